#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// y[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight, one workgroup a row.
layout(constant_id = 1) const uint COLS = 32; // values in a row

layout(push_constant, std430) uniform Push {
  Floats x;       // (rows, stride)
  Floats weight;  // (COLS)
  Words row_count; // [0] = rows that hold a token
  MutableFloats y; // (rows, stride)
  uint stride;
  float eps;
};

void main() {
  uint row = gl_WorkGroupID.x;
  if (row >= row_count.at[0]) return;
  float squares = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < COLS; i += gl_WorkGroupSize.x) {
    float value = x.at[row * stride + i];
    squares += value * value;
  }
  float scale = inversesqrt(workgroup_sum(squares) / float(COLS) + eps);
  for (uint i = gl_LocalInvocationIndex; i < COLS; i += gl_WorkGroupSize.x)
    y.at[row * stride + i] = x.at[row * stride + i] * scale * weight.at[i];
}
