// y[r] = table[token of row r] * scale, one workgroup a row; see mod.rs.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 1) const uint COLS = 32;     // values in a row
layout(constant_id = 2) const uint PUBLISHES = 0; // y is handed over
const uint POLLS = 0;
#include "handover.glsl"

const uint CHUNKS = (COLS + CHUNK - 1) / CHUNK;

layout(push_constant, std430) uniform Push {
  Words4 weight;    // (rows, padded cols)
  Words scales;     // of quantised tables
  Words row_count;  // [0] = token rows in use
  Words step_rows;  // (token rows) of {token, position, sequence, wants_logits}
  MutableFloats y;  // (token rows, y_stride)
  uint first_row;   // the table holds tokens first_row ..
  uint rows;        // .. first_row + rows - 1; other tokens are left alone
  uint y_stride;
  float scale;
};

void main() {
  uint row = gl_WorkGroupID.x;
  if (row >= row_count.at[0]) return;
  uint entry = step_rows.at[row * 4] - first_row;
  if (entry >= rows) return;
  for (uint chunk = gl_LocalInvocationIndex; chunk < CHUNKS; chunk += gl_WorkGroupSize.x) {
    Chunk values = load_chunk(weight, scales, entry, chunk, COLS);
    [[unroll]] for (uint part = 0; part < CHUNK / 4; ++part) {
      vec4 four = weights_of(values, part) * scale;
      uint k = chunk * CHUNK + part * 4;
      [[unroll]] for (uint j = 0; j < 4; ++j)
        if (k + j < COLS) hand_over(y, row * y_stride + k + j, four[j]);
    }
  }
}
