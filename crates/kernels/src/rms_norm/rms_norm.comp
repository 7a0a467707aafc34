#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// y[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight, or that added to residual[r]; one workgroup a row.
layout(constant_id = 1) const uint COLS = 32;     // values in a row
layout(constant_id = 2) const uint ADD = 0;       // 1 if there is a residual
layout(constant_id = 3) const uint POLLS = 0;     // x and the residual are handed over
layout(constant_id = 4) const uint PUBLISHES = 0; // y is handed over
#include "handover.glsl"

layout(push_constant, std430) uniform Push {
  Floats4 x;        // (rows, stride)
  Floats weight;    // (COLS)
  Words row_count;  // [0] = rows that hold a token
  Floats4 residual; // (rows, stride), with ADD
  MutableFloats y;  // (rows, stride)
  uint stride;      // a multiple of 4
  float eps;
};

const uint VECTORS = (COLS + 3) / 4;

// Vector `vector` of the row; zero past its end.
vec4 load(Floats4 values, uint row, uint vector) {
  vec4 loaded = handed_vec4(values, row * (stride / 4) + vector);
  if (COLS % 4 == 0) return loaded;
  uint k = 4 * vector;
  return mix(loaded, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

void main() {
  uint row = gl_WorkGroupID.x;
  if (row >= row_count.at[0]) return;
  float squares = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < VECTORS; i += gl_WorkGroupSize.x) {
    vec4 values = load(x, row, i);
    squares += dot(values, values);
  }
  float scale = inversesqrt(workgroup_sum(squares) / float(COLS) + eps);
  for (uint i = gl_LocalInvocationIndex; i < VECTORS; i += gl_WorkGroupSize.x) {
    vec4 values = load(x, row, i) * scale;
    vec4 sum = ADD != 0 ? load(residual, row, i) : vec4(0.0);
    [[unroll]] for (uint j = 0; j < 4; ++j)
      if (4 * i + j < COLS) hand_over(y, row * stride + 4 * i + j, sum[j] + values[j] * weight.at[4 * i + j]);
  }
}
