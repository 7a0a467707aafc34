// y = W x for one token row at a time; see mod.rs. A subgroup computes SUBGROUP_ROWS output features; each lane
// multiplies every subgroup-size-th chunk of them, with UNROLL chunks of each row in flight.
#include "common.glsl"
#include "weights.glsl"
#include "linear.glsl"

layout(constant_id = 3) const uint NORM = 0;
layout(constant_id = 4) const uint SUBGROUP_ROWS = 2;
layout(constant_id = 5) const uint UNROLL = 1;

void main() {
  uint token_row = gl_WorkGroupID.y;
  if (token_row >= row_count.at[0]) return;
  uint first_row = (gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID) * SUBGROUP_ROWS;
  if (first_row >= rows) return;

  const uint chunks = chunks_in_row(COLS);
  uint x_base = token_row * (x_stride / 4);
  float sums[SUBGROUP_ROWS];
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) sums[r] = 0.0;
  float squares = 0.0;

  for (uint start = gl_SubgroupInvocationID; start < chunks; start += gl_SubgroupSize * UNROLL) {
    Chunk weights[UNROLL * SUBGROUP_ROWS];
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
      uint chunk = min(start + u * gl_SubgroupSize, chunks - 1);
      [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r)
        weights[u * SUBGROUP_ROWS + r] = load_chunk(weight, scales, min(first_row + r, rows - 1), chunk, COLS);
    }
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
      uint chunk = start + u * gl_SubgroupSize;
      if (u > 0 && chunk >= chunks) break;
      float products[SUBGROUP_ROWS];
      [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) products[r] = 0.0;
      [[unroll]] for (uint part = 0; part < CHUNK / 4; ++part) {
        uint k = chunk * CHUNK + part * 4;
        vec4 values = load_row4(x, x_base, k);
        if (NORM != 0) {
          squares += dot(values, values);
          values *= load_row4(norm_weight, 0, k);
        }
        [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r)
          products[r] += dot(unscaled_weights(weights[u * SUBGROUP_ROWS + r], part), values);
      }
      [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r)
        sums[r] += products[r] * chunk_scale(weights[u * SUBGROUP_ROWS + r]);
    }
  }

  float norm = NORM != 0 ? inversesqrt(subgroupAdd(squares) / float(COLS) + eps) : 1.0;
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) sums[r] = subgroupAdd(sums[r]) * norm;

  uint y_base = token_row * y_stride;
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) {
    uint row = first_row + r;
    if (gl_SubgroupInvocationID != r % gl_SubgroupSize || row >= rows) continue;
    if (EPILOGUE == EPILOGUE_SILU_GATED) {
      // Gate and up rows alternate: an even row is a gate, the next one its partner.
      if (r % 2 == 0) y.at[y_base + row / 2] = silu(sums[r]) * sums[min(r + 1, SUBGROUP_ROWS - 1)];
    } else if (EPILOGUE == EPILOGUE_ADD) {
      y.at[y_base + row] += sums[r];
    } else {
      y.at[y_base + row] = sums[r];
    }
  }
}
