#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// y[r] = residual[r] + the sum of weights[r, slot] * x[r * SLOTS + slot] over the slots.
layout(constant_id = 1) const uint COLS = 32; // values in a row
layout(constant_id = 2) const uint SLOTS = 2; // experts chosen a row

layout(push_constant, std430) uniform Push {
  Floats x;        // (rows * SLOTS, x_stride)
  Floats weights;  // (rows, SLOTS)
  Words row_count; // [0] = rows that hold a token
  Floats residual; // (rows, y_stride)
  MutableFloats y; // (rows, y_stride)
  uint x_stride;
  uint y_stride;
};

void main() {
  uint row = gl_WorkGroupID.y;
  uint col = gl_GlobalInvocationID.x;
  if (row >= row_count.at[0] || col >= COLS) return;
  float sum = residual.at[row * y_stride + col];
  for (uint slot = row * SLOTS; slot < (row + 1) * SLOTS; ++slot) sum += weights.at[slot] * x.at[slot * x_stride + col];
  y.at[row * y_stride + col] = sum;
}
