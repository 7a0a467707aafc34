// y = z · A for one trajectory: y[j] = sum over i of z[i] * A[i][j], A row-major.
// A workgroup owns 32 columns: 8 invocations side by side hold 4 columns each (16-byte loads, 128 bytes of a row in a run), and
// the others take every 32nd row of A. Columns of padding are zeros in A, so y's padding becomes zero.
layout(push_constant, std430) uniform Push {
  Reals z;        // (dim)
  Reals4 a;       // (dim, stride)
  MutableReals y; // (stride)
  uint stride;    // values, a multiple of 4
  uint rows;      // trajectories: 1
  uint dim;
};

const uint QUADS = 8;
shared REAL4 partial[256];

void main() {
  uint quad = gl_WorkGroupID.x * QUADS + gl_LocalInvocationIndex % QUADS;
  uint first = gl_LocalInvocationIndex / QUADS;
  uint slices = gl_WorkGroupSize.x / QUADS;
  uint quads = stride / 4;
  REAL4 sum = REAL4(0), other = REAL4(0);
  if (quad < quads) {
    uint i = first;
    // Four independent loads of A in flight.
    for (; i + 3 * slices < dim; i += 4 * slices) {
      REAL4 a0 = a.at[i * quads + quad], a1 = a.at[(i + slices) * quads + quad];
      REAL4 a2 = a.at[(i + 2 * slices) * quads + quad], a3 = a.at[(i + 3 * slices) * quads + quad];
      sum += z.at[i] * a0 + z.at[i + slices] * a1;
      other += z.at[i + 2 * slices] * a2 + z.at[i + 3 * slices] * a3;
    }
    for (; i < dim; i += slices) sum += z.at[i] * a.at[i * quads + quad];
  }
  partial[gl_LocalInvocationIndex] = sum + other;
  for (uint kept = gl_WorkGroupSize.x / 2; kept >= QUADS; kept /= 2) {
    barrier();
    if (gl_LocalInvocationIndex < kept)
      partial[gl_LocalInvocationIndex] += partial[gl_LocalInvocationIndex + kept];
  }
  if (gl_LocalInvocationIndex < QUADS && quad < quads)
    [[unroll]] for (uint c = 0; c < 4; ++c) y.at[4 * quad + c] = partial[gl_LocalInvocationIndex][c];
}
