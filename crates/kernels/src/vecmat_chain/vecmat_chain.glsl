// Many steps z = z · A in one dispatch of one workgroup: A in registers, z in shared memory. Invocation (slice, column) holds
// the values A[i][column] for i = slice, slice + SLICES, ...; the slices' sums are added between two barriers.
layout(constant_id = 1) const uint DIM = 32;
layout(constant_id = 2) const uint COLUMNS = 32; // DIM, padded; the workgroup has COLUMNS * SLICES invocations
layout(constant_id = 3) const uint SLICES = 8;

layout(push_constant, std430) uniform Push {
  Words segments;       // how many steps each call runs
  MutableWords control; // [0] = calls so far
  Reals a;              // (DIM, stride)
  MutableReals z;       // (stride)
  MutableReals before;  // (stride): z before the last step
  uint stride;
  uint segment_mask;
};

const uint HELD = 32; // values of A in an invocation, at the most
shared REAL state[HELD * SLICES];
shared REAL partial[COLUMNS * SLICES];

void main() {
  uint own = gl_LocalInvocationIndex, column = own % COLUMNS, slice = own / COLUMNS;
  uint call = control.at[0];
  uint steps = segments.at[call & segment_mask];
  const uint USED = (DIM + SLICES - 1) / SLICES;
  REAL held[HELD];
  [[unroll]] for (uint n = 0; n < HELD; ++n) {
    uint i = slice + n * SLICES;
    held[n] = n < USED && i < DIM && column < DIM ? a.at[i * stride + column] : REAL(0);
  }
  for (uint i = own; i < HELD * SLICES; i += gl_WorkGroupSize.x) state[i] = i < DIM ? z.at[i] : REAL(0);
  barrier();
  for (uint step = 0; step < steps; ++step) {
    REAL sum = REAL(0), other = REAL(0);
    [[unroll]] for (uint n = 0; n < HELD; n += 2) {
      if (n < USED) sum += state[slice + n * SLICES] * held[n];
      if (n + 1 < USED) other += state[slice + (n + 1) * SLICES] * held[n + 1];
    }
    partial[own] = sum + other;
    barrier();
    if (own < DIM) {
      REAL total = partial[own];
      for (uint s = 1; s < SLICES; ++s) total += partial[s * COLUMNS + own];
      if (step + 1 == steps) {
        before.at[own] = state[own];
        z.at[own] = total;
      }
      state[own] = total;
    }
    barrier();
  }
  if (own == 0) control.at[0] = call + 1;
}
