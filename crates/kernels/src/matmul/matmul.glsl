// Y = X Wᵀ for many token rows; see mod.rs. A workgroup of 256 computes a tile of 64 token rows × 64 output features,
// staging 32 input features of both at a time in shared memory; each invocation holds 4 × 4 of the tile.
#include "common.glsl"
#include "weights.glsl"
#include "linear.glsl"

#define TILE 64
#define DEPTH 32

// Padded by 4 floats: still 16-byte aligned rows, and column writes fall into different banks.
shared vec4 x_tile[DEPTH][TILE / 4 + 1];
shared vec4 weight_tile[DEPTH][TILE / 4 + 1];
shared uint tile_slots[TILE]; // token rows, or slots of an expert

void main() {
  uint token_base = gl_WorkGroupID.y * TILE;
  uint feature_base = gl_WorkGroupID.x * TILE;
  uint tokens = row_count.at[0];
  uint matrix = 0; // the row where the expert's begin
  if (SLOTS != 0) {
    uint tile = 4 * gl_WorkGroupID.y;
    uint expert = experts.at[tile] - first_expert;
    if (expert >= expert_count) return;
    matrix = expert * rows;
    token_base = experts.at[tile + 1];
    tokens = token_base + experts.at[tile + 2];
  }
  if (token_base >= tokens) return;

  uint lane = gl_LocalInvocationIndex;
  if (lane < TILE) {
    uint token = min(token_base + lane, tokens - 1);
    tile_slots[lane] = SLOTS == 0 ? token : experts.at[4 * gl_NumWorkGroups.y + token];
  }
  barrier();
  uint column = lane % 16; // features feature_base + 4 * column ..
  uint line = lane / 16;   // tokens token_base + 4 * line ..
  vec4 tile[4] = vec4[](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));

  for (uint k0 = 0; k0 < COLS; k0 += DEPTH) {
    for (uint i = lane; i < TILE * DEPTH / 4; i += gl_WorkGroupSize.x) {
      uint token = i / (DEPTH / 4), k = i % (DEPTH / 4) * 4;
      vec4 values = vec4(0.0);
      if (k0 + k < COLS && token_base + token < tokens)
        values = load_row4(x, tile_slots[token] / X_SLOTS * (x_stride / 4), k0 + k);
      [[unroll]] for (uint j = 0; j < 4; ++j) x_tile[k + j][token / 4][token % 4] = values[j];
    }
    for (uint i = lane; i < TILE * DEPTH / CHUNK; i += gl_WorkGroupSize.x) {
      uint feature = i / (DEPTH / CHUNK), k = i % (DEPTH / CHUNK) * CHUNK;
      bool inside = k0 + k < COLS && feature_base + feature < rows;
      Chunk chunk;
      if (inside) chunk = load_chunk(weight, scales, matrix + feature_base + feature, (k0 + k) / CHUNK, COLS);
      [[unroll]] for (uint part = 0; part < CHUNK / 4; ++part) {
        vec4 values = inside ? weights_of(chunk, part) : vec4(0.0);
        [[unroll]] for (uint j = 0; j < 4; ++j) weight_tile[k + part * 4 + j][feature / 4][feature % 4] = values[j];
      }
    }
    barrier();
    [[unroll]] for (uint k = 0; k < DEPTH; ++k) {
      vec4 x4 = x_tile[k][line], w4 = weight_tile[k][column];
      [[unroll]] for (uint j = 0; j < 4; ++j) tile[j] += x4[j] * w4;
    }
    barrier();
  }

  [[unroll]] for (uint j = 0; j < 4; ++j) {
    uint token = token_base + line * 4 + j;
    if (token >= tokens) break;
    uint y_base = tile_slots[line * 4 + j] * y_stride;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      uint feature = feature_base + column * 4 + i;
      if (feature >= rows) break;
      float product = biased(tile[j][i], matrix + feature);
      if (GATED) {
        if (i % 2 == 0)
          y.at[y_base + feature / 2] = gated(product, biased(tile[j][min(i + 1, 3)], matrix + feature + 1));
      } else if (EPILOGUE == EPILOGUE_ADD) {
        y.at[y_base + feature] = residual.at[y_base + feature] + product;
      } else {
        y.at[y_base + feature] = capped(product);
      }
    }
  }
}
