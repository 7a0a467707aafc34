#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// y[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight, or that added to residual[r]; one workgroup a row.
layout(constant_id = 0) const uint LOCAL_SIZE = 256;
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
const uint EACH = (VECTORS + LOCAL_SIZE - 1) / LOCAL_SIZE; // vectors of an invocation

// Vector `vector` of the row as it is now; zero past its end.
uvec4 ask(Floats4 values, uint row, uint vector) {
  return vector < VECTORS ? first_poll(values, row * (stride / 4) + vector) : uvec4(0);
}

// The same when it is ready.
vec4 ready(uvec4 words, Floats4 values, uint row, uint vector) {
  if (vector >= VECTORS) return vec4(0.0);
  vec4 loaded = uintBitsToFloat(polled(words, values, row * (stride / 4) + vector));
  if (COLS % 4 == 0) return loaded;
  uint k = 4 * vector;
  return mix(loaded, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

vec4 weights_at(uint vector) {
  if (COLS % 4 == 0) return Floats4(weight).at[min(vector, VECTORS - 1)];
  vec4 weights = vec4(0.0);
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (4 * vector + j < COLS) weights[j] = weight.at[4 * vector + j];
  return weights;
}

void main() {
  uint row = gl_WorkGroupID.x;
  uint rows = row_count.at[0];
  // All loads are under way together.
  uvec4 x_words[EACH];
  uvec4 residual_words[EACH];
  vec4 weights[EACH];
  [[unroll]] for (uint e = 0; e < EACH; ++e) {
    uint vector = e * LOCAL_SIZE + gl_LocalInvocationIndex;
    x_words[e] = ask(x, row, vector);
    if (ADD != 0) residual_words[e] = ask(residual, row, vector);
    weights[e] = weights_at(vector);
  }
  if (row >= rows) return;

  vec4 values[EACH];
  float squares = 0.0;
  [[unroll]] for (uint e = 0; e < EACH; ++e) {
    values[e] = ready(x_words[e], x, row, e * LOCAL_SIZE + gl_LocalInvocationIndex);
    squares += dot(values[e], values[e]);
  }
  float scale = inversesqrt(workgroup_sum(squares) / float(COLS) + eps);
  [[unroll]] for (uint e = 0; e < EACH; ++e) {
    uint vector = e * LOCAL_SIZE + gl_LocalInvocationIndex;
    vec4 sum = ADD != 0 ? ready(residual_words[e], residual, row, vector) : vec4(0.0);
    sum += values[e] * scale * weights[e];
    [[unroll]] for (uint j = 0; j < 4; ++j)
      if (4 * vector + j < COLS) hand_over(y, row * stride + 4 * vector + j, sum[j]);
  }
}
