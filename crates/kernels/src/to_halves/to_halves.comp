#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "halves.glsl"
// y[r] = x[r], or its RMSNorm, as halves (linear/halves.rs): a factor and two planes of f16. One workgroup a row.
layout(constant_id = 0) const uint LOCAL_SIZE = 256;
layout(constant_id = 1) const uint COLS = 32;  // values in a row
layout(constant_id = 2) const uint NORMED = 0; // 1 if the row is normalised
layout(constant_id = 3) const uint EACH = 1;   // rows of x a token row

layout(push_constant, std430) uniform Push {
  Floats4 x;        // (rows, stride)
  Floats4 weight;   // (COLS), with NORMED
  Words row_count;  // [0] = token rows in use
  MutableWords4 y;  // (rows, X_ROW)
  uint stride;      // a multiple of 4
  float eps;
};

const uint OCTETS = (COLS + 63) / 64 * 8; // of a plane, padded
const uint X_ROW = 2 * OCTETS + 1;
const uint TURNS = (OCTETS + LOCAL_SIZE - 1) / LOCAL_SIZE; // octets of an invocation

vec4 padded(Floats4 values, uint base, uint k) {
  if (k >= COLS) return vec4(0.0);
  vec4 loaded = values.at[base + k / 4];
  return mix(loaded, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

uint octet_of(uint turn) { return turn * LOCAL_SIZE + gl_LocalInvocationIndex; }

void main() {
  uint row = gl_WorkGroupID.x;
  if (row >= row_count.at[0] * EACH) return;
  vec4 values[2 * TURNS];
  [[unroll]] for (uint i = 0; i < 2 * TURNS; ++i) values[i] = padded(x, row * (stride / 4), 8 * octet_of(i / 2) + 4 * (i % 2));
  if (NORMED != 0) {
    float squares = 0.0;
    [[unroll]] for (uint i = 0; i < 2 * TURNS; ++i) squares += dot(values[i], values[i]);
    float scale = inversesqrt(workgroup_sum(squares) / float(COLS) + eps);
    [[unroll]] for (uint i = 0; i < 2 * TURNS; ++i) values[i] *= scale * padded(weight, 0, 8 * octet_of(i / 2) + 4 * (i % 2));
  }
  float largest = 0.0;
  [[unroll]] for (uint i = 0; i < 2 * TURNS; ++i) {
    vec4 sizes = abs(values[i]);
    largest = max(largest, max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)));
  }
  // The exponent of the largest, which comes to lie in [2^14, 2^15).
  uint exponent = max(floatBitsToUint(workgroup_max(largest)) >> 23, 15u);
  float inverse = uintBitsToFloat((268 - exponent) << 23);
  [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
    if (octet_of(turn) >= OCTETS) break;
    vec4 first = values[2 * turn] * inverse, second = values[2 * turn + 1] * inverse;
    vec4 first_high = high_part(first), second_high = high_part(second);
    uint at = row * X_ROW + octet_of(turn);
    y.at[at] = uvec4(packed_halves(first_high), packed_halves(second_high));
    y.at[at + OCTETS] = uvec4(packed_halves(first - first_high), packed_halves(second - second_high));
  }
  if (gl_LocalInvocationIndex == 0) y.at[row * X_ROW + 2 * OCTETS] = uvec4((exponent - 14) << 23, 0, 0, 0);
}
