// Y = Z · A for a batch of trajectories that share A: a tiled product, 32 trajectories by 32 columns a workgroup.
// Four groups of 64 invocations take every fourth row of a staged tile and hold 4 x 4 sums each; at the end the groups' sums
// are added. Columns of padding are zeros in A, so Y's padding becomes zero.
layout(push_constant, std430) uniform Push {
  Reals z;        // (rows, stride)
  Reals a;        // (dim, stride)
  MutableReals y; // (rows, stride)
  uint stride;
  uint rows;      // trajectories
  uint dim;
};

const uint TILE = 32;
const uint GROUPS = 4;
const uint DEPTH = 32 / (REAL_WORDS * REAL_WORDS); // rows of A staged at a time: 12 KiB of shared memory in both types
shared REAL z_tile[DEPTH][TILE + 1];
shared REAL a_tile[DEPTH][TILE];
shared REAL others[TILE * TILE];

void main() {
  uint first_column = gl_WorkGroupID.x * TILE, first_row = gl_WorkGroupID.y * TILE;
  uint group = gl_LocalInvocationIndex / 64;
  uint down = gl_LocalInvocationIndex % 64 / 8 * 4, across = gl_LocalInvocationIndex % 8 * 4;
  REAL sums[4][4];
  [[unroll]] for (uint r = 0; r < 4; ++r) [[unroll]] for (uint c = 0; c < 4; ++c) sums[r][c] = REAL(0);
  for (uint begin = 0; begin < dim; begin += DEPTH) {
    for (uint at = gl_LocalInvocationIndex; at < DEPTH * TILE; at += gl_WorkGroupSize.x) {
      uint row = first_row + at / DEPTH, i = begin + at % DEPTH;
      z_tile[at % DEPTH][at / DEPTH] = row < rows && i < dim ? z.at[row * stride + i] : REAL(0);
      uint k = begin + at / TILE, column = first_column + at % TILE;
      a_tile[at / TILE][at % TILE] = k < dim && column < stride ? a.at[k * stride + column] : REAL(0);
    }
    barrier();
    for (uint k = group; k < DEPTH; k += GROUPS) {
      REAL left[4], right[4];
      [[unroll]] for (uint r = 0; r < 4; ++r) left[r] = z_tile[k][down + r];
      [[unroll]] for (uint c = 0; c < 4; ++c) right[c] = a_tile[k][across + c];
      [[unroll]] for (uint r = 0; r < 4; ++r)
        [[unroll]] for (uint c = 0; c < 4; ++c) sums[r][c] += left[r] * right[c];
    }
    barrier();
  }
  for (uint adding = 1; adding < GROUPS; ++adding) {
    [[unroll]] for (uint r = 0; r < 4; ++r) [[unroll]] for (uint c = 0; c < 4; ++c) {
      uint at = (down + r) * TILE + across + c;
      if (group == adding) others[at] = adding == 1 ? sums[r][c] : others[at] + sums[r][c];
    }
    barrier();
  }
  if (group > 0) return;
  [[unroll]] for (uint r = 0; r < 4; ++r) {
    uint row = first_row + down + r;
    [[unroll]] for (uint c = 0; c < 4; ++c) {
      uint column = first_column + across + c;
      if (row < rows && column < stride)
        y.at[row * stride + column] = sums[r][c] + others[(down + r) * TILE + across + c];
    }
  }
}
