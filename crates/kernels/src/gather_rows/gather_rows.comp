#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// y[j] = x[logit_rows[j]], one workgroup a row.
layout(constant_id = 1) const uint COLS = 32; // values in a row

layout(push_constant, std430) uniform Push {
  Floats x;          // (rows, x_stride)
  Words logit_count; // [0] = rows wanted
  Words logit_rows;  // (max_rows)
  MutableFloats y;   // (rows, y_stride)
  uint x_stride;
  uint y_stride;
};

void main() {
  uint wanted = gl_WorkGroupID.x;
  if (wanted >= logit_count.at[0]) return;
  uint row = logit_rows.at[wanted];
  for (uint i = gl_LocalInvocationIndex; i < COLS; i += gl_WorkGroupSize.x)
    y.at[wanted * y_stride + i] = x.at[row * x_stride + i];
}
