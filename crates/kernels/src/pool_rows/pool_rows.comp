#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// The mean of all rows of a sequence so far, or its last row: y goes on from what the rows before these left there.
layout(constant_id = 1) const uint COLS = 32; // values in a row
layout(constant_id = 2) const uint MEAN = 1;  // 0 takes the last row

layout(push_constant, std430) uniform Push {
  Floats x;         // (rows, stride)
  Words row_count;  // [0] = rows that hold a token
  Words step_rows;  // (rows) of {token, position, sequence, wants_logits}
  MutableFloats y;  // (COLS)
  uint stride;
};

void main() {
  uint col = gl_GlobalInvocationID.x;
  uint rows = row_count.at[0];
  if (col >= COLS || rows == 0) return;
  if (MEAN == 0) {
    y.at[col] = x.at[(rows - 1) * stride + col];
    return;
  }
  float before = float(step_rows.at[1]); // the first row's position: as many rows came before it
  float sum = before > 0.0 ? y.at[col] * before : 0.0;
  for (uint row = 0; row < rows; ++row) sum += x.at[row * stride + col];
  y.at[col] = sum / (before + float(rows));
}
