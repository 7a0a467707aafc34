// Y = Z · A for trajectories that share A: y[r][j] = sum over i of z[r][i] * A[i][j], A row-major.
//
// An invocation holds ROWS trajectories by 4 * QUADS columns of sums and takes four rows of A at a time straight into registers: every
// load is 16 bytes (f32), DEPTH times as many are under way before the first is used, and nobody waits for anybody until the end.
// LANES_R by LANES_C invocations are a tile; PARTS of them share it, each with every PARTS-th chunk of four rows of A, so that the
// workgroups sweep over A together. Which sums an invocation holds changes nothing about the order in which a sum's terms are added:
// only PARTS does, and the direction.
// Columns of padding are zeros in A, so Y's padding becomes zero.
layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint QUADS = 1;
layout(constant_id = 3) const uint DEPTH = 1;
layout(constant_id = 4) const uint LANES_R = 1;
layout(constant_id = 5) const uint LANES_C = 8;
layout(constant_id = 6) const uint PARTS = 32; // invocations behind the last part have nothing to do

layout(push_constant, std430) uniform Push {
  Reals4 z;        // (rows, stride)
  Reals4 a;        // (dim, stride)
  MutableReals4 y; // (rows, stride)
  uint stride;     // values, a multiple of 4
  uint rows;       // trajectories
  uint dim;
  uint backwards;  // whether A is swept from its end: what the step before read last may still lie in a cache
};

const uint LANES = LANES_R * LANES_C;
const uint SUMS = ROWS * QUADS;

shared REAL4 others[(PARTS + 1) / 2 * LANES * SUMS];
REAL4 sums[SUMS];
REAL4 left[DEPTH * ROWS];
REAL4 right[DEPTH * QUADS * 4];
uint row_at[ROWS];     // where the trajectories begin
uint column_at[QUADS]; // in quads

void load(uint chunk, uint chunks, uint d) {
  if (backwards != 0) chunk = chunks - 1 - chunk;
  [[unroll]] for (uint k = 0; k < 4; ++k)
    [[unroll]] for (uint q = 0; q < QUADS; ++q)
      right[(d * 4 + k) * QUADS + q] = a.at[(chunk * 4 + k) * (stride / 4) + column_at[q]];
  [[unroll]] for (uint r = 0; r < ROWS; ++r) left[d * ROWS + r] = z.at[row_at[r] + chunk];
}

void multiply(uint d) {
  [[unroll]] for (uint k = 0; k < 4; ++k)
    [[unroll]] for (uint r = 0; r < ROWS; ++r)
      [[unroll]] for (uint q = 0; q < QUADS; ++q)
        sums[r * QUADS + q] = fma(REAL4(left[d * ROWS + r][k]), right[(d * 4 + k) * QUADS + q], sums[r * QUADS + q]);
}

void main() {
  const uint lane = gl_LocalInvocationIndex % LANES, part = gl_LocalInvocationIndex / LANES;
  const uint quads = stride / 4, chunks = dim / 4;
  const uint first_row = gl_WorkGroupID.y * LANES_R * ROWS + lane / LANES_C * ROWS;
  const uint first_quad = gl_WorkGroupID.x * LANES_C * QUADS + lane % LANES_C;
  // What lies behind the last trajectory or column is computed as if it were that one, and not written.
  [[unroll]] for (uint r = 0; r < ROWS; ++r) row_at[r] = min(first_row + r, rows - 1) * quads;
  [[unroll]] for (uint q = 0; q < QUADS; ++q) column_at[q] = min(first_quad + q * LANES_C, quads - 1);
  [[unroll]] for (uint n = 0; n < SUMS; ++n) sums[n] = REAL4(0);
  uint chunk = part < PARTS ? part : chunks;
  for (; chunk + (DEPTH - 1) * PARTS < chunks; chunk += DEPTH * PARTS) {
    [[unroll]] for (uint d = 0; d < DEPTH; ++d) load(chunk + d * PARTS, chunks, d);
    [[unroll]] for (uint d = 0; d < DEPTH; ++d) multiply(d);
  }
  for (; chunk < chunks; chunk += PARTS) {
    load(chunk, chunks, 0);
    multiply(0);
  }
  // The rows of A that are no whole chunk.
  if (part == 0)
    for (uint k = 0; k < dim % 4; ++k)
      [[unroll]] for (uint q = 0; q < QUADS; ++q) {
        REAL4 last = a.at[(chunks * 4 + k) * quads + column_at[q]];
        [[unroll]] for (uint r = 0; r < ROWS; ++r)
          sums[r * QUADS + q] = fma(REAL4(z.at[row_at[r] + chunks][k]), last, sums[r * QUADS + q]);
      }
  // The second half of the parts hands its sums to the first, until there is one.
  for (uint left_over = PARTS; left_over > 1;) {
    const uint kept = (left_over + 1) / 2;
    barrier();
    if (part >= kept && part < left_over)
      [[unroll]] for (uint n = 0; n < SUMS; ++n) others[((part - kept) * SUMS + n) * LANES + lane] = sums[n];
    barrier();
    if (part + kept < left_over)
      [[unroll]] for (uint n = 0; n < SUMS; ++n) sums[n] += others[(part * SUMS + n) * LANES + lane];
    left_over = kept;
  }
  if (part > 0) return;
  [[unroll]] for (uint r = 0; r < ROWS; ++r)
    [[unroll]] for (uint q = 0; q < QUADS; ++q)
      if (first_row + r < rows && first_quad + q * LANES_C < quads)
        y.at[row_at[r] + column_at[q]] = sums[r * QUADS + q];
}
