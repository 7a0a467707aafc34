// y[r] = table[token of row r] * scale, an invocation four values; see mod.rs.
#include "common.glsl"
#include "weights.glsl"

layout(constant_id = 1) const uint COLS = 32;     // values in a row
layout(constant_id = 2) const uint PUBLISHES = 0; // y is handed over
const uint POLLS = 0;
#include "handover.glsl"

const uint CHUNKS = (COLS + CHUNK - 1) / CHUNK;
const uint PARTS = CHUNK / 4; // of a chunk

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
  uint count = row_count.at[0];
  uint entry = step_rows.at[row * 4] - first_row; // both loads are under way together
  if (row >= count || entry >= rows) return;
  uint i = gl_WorkGroupID.y * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  if (i >= CHUNKS * PARTS) return;
  uint chunk = i / PARTS, part = i % PARTS;
  vec4 four = weights_of(load_chunk(weight, scales, entry, chunk, COLS), part) * scale;
  uint k = chunk * CHUNK + part * 4;
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (k + j < COLS) hand_over(y, row * y_stride + k + j, four[j]);
}
