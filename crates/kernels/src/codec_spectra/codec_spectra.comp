#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
#include "codec.glsl"
#include "pcg64.glsl"
// The spectra that a vector stands for: low modes, anchors, and the middle and the high band at random phases.
layout(constant_id = 1) const uint N = 64;

layout(push_constant, std430) uniform Push {
  Floats z;                 // (2 low + 4 + 2 anchors)
  Words places;             // (N, N): what each mode is
  Words4 jumps;             // (3 N, 2): multiplier and sum of a jump by x + 1 numbers, then by y N
  Words4 generator;         // [0] state, [1] increment
  MutableComplexes spectra; // (4, N, N): low, anchors, middle, high; of a transform back without 1/N^2
  uint low;
  uint mid;
  uint high;
  uint anchors;
};

// The phase of number `index` of the generator's.
vec2 phase(uint index) {
  uint row = N + index / N, column = index % N;
  uvec4 state = add_wide(multiply_wide(jumps.at[2 * row], generator.at[0]),
                         multiply_wide(jumps.at[2 * row + 1], generator.at[1]));
  state = add_wide(multiply_wide(jumps.at[2 * column], state),
                   multiply_wide(jumps.at[2 * column + 1], generator.at[1]));
  return phase_of(output_of(state));
}

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= N * N) return;
  uint place = places.at[at], band = band_of(place), index = index_of(place);
  uint header = 2 * low;
  float mid_energy = z.at[header + 1], high_energy = z.at[header + 2];
  uint kept = kept_anchors(z.at[header + 3], anchors);
  vec2 low_mode = vec2(0.0), anchor = vec2(0.0), mid_mode = vec2(0.0), high_mode = vec2(0.0);
  // A band without modes or energy draws no numbers.
  bool mid_drawn = mid > kept && mid_energy > 0.0;
  if (band == LOW) {
    low_mode = vec2(z.at[index], z.at[low + index]);
  } else if (band == ANCHOR && index < kept) {
    anchor = vec2(z.at[header + 4 + index], z.at[header + 4 + anchors + index]);
  } else if (band == HIGH) {
    if (high_energy > 0.0) high_mode = sqrt(high_energy) * phase(mid_drawn ? N * N + at : at);
  } else if (mid_drawn) {
    mid_mode = sqrt(mid_energy) * phase(at);
  }
  spectra.at[at] = low_mode;
  spectra.at[N * N + at] = anchor;
  spectra.at[2 * N * N + at] = mid_mode;
  spectra.at[3 * N * N + at] = high_mode;
}
