#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
#include "codec.glsl"
// The vector of a field from the spectra of the field and of its residual, by one workgroup.
layout(constant_id = 1) const uint N = 64;

layout(push_constant, std430) uniform Push {
  Complexes omega;    // (N, N): spectrum of the field
  Complexes residual; // (N, N): spectrum of the residual
  Words signs;        // (N, N): the residual's ternary structure
  Words places;       // (N, N): what each mode is
  MutableFloats z;    // (2 low + 4 + 2 anchors)
  uint low;
  uint mid;
  uint high;
  uint anchors;
};

void main() {
  const float scale = 1.0 / float(N * N);
  uint header = 2 * low;
  float support = 0.0;
  float mid_sum = 0.0, mid_lost = 0.0, high_sum = 0.0, high_lost = 0.0;
  for (uint at = gl_LocalInvocationIndex; at < N * N; at += gl_WorkGroupSize.x) {
    uint place = places.at[at], band = band_of(place), index = index_of(place);
    if (signs.at[at] != 0) support += 1.0;
    vec2 mode = residual.at[at] * scale;
    if (band == LOW) {
      vec2 kept = omega.at[at] * scale;
      z.at[index] = kept.x;
      z.at[low + index] = kept.y;
    } else if (band == ANCHOR) {
      z.at[header + 4 + index] = mode.x;
      z.at[header + 4 + anchors + index] = mode.y;
    } else if (band == MID) {
      add_compensated(mid_sum, mid_lost, dot(mode, mode));
    } else {
      add_compensated(high_sum, high_lost, dot(mode, mode));
    }
  }
  support = workgroup_sum(support);
  mid_sum = workgroup_sum(mid_sum);
  high_sum = workgroup_sum(high_sum);
  if (gl_LocalInvocationIndex == 0) {
    z.at[header] = support * scale;
    z.at[header + 1] = mid > anchors ? mid_sum / float(mid - anchors) : 0.0;
    z.at[header + 2] = high > 0 ? high_sum / float(high) : 0.0;
    z.at[header + 3] = float(anchors);
  }
}
