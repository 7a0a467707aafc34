#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
#include "codec.glsl"
// The gains that give the synthesised bands, cut to the structure, the energies that a vector names. One workgroup.
layout(constant_id = 1) const uint N = 64;

layout(push_constant, std430) uniform Push {
  Floats z;            // (2 low + 4 + 2 anchors)
  Complexes fields;    // (4, N, N): low, anchors, middle, high; real parts count
  Words signs;         // (N, N): where they may be
  MutableFloats gains; // middle, high
  uint low;
  uint mid;
  uint high;
  uint anchors;
};

float gain(float square_sum, uint modes, float energy) {
  float mean = square_sum / float(N * N);
  return energy > 0.0 && mean > 1e-30 ? sqrt(float(modes) * energy / mean) : 1.0;
}

void main() {
  float mid_sum = 0.0, mid_lost = 0.0, high_sum = 0.0, high_lost = 0.0;
  for (uint at = gl_LocalInvocationIndex; at < N * N; at += gl_WorkGroupSize.x) {
    if (signs.at[at] == 0) continue;
    float mid_value = fields.at[2 * N * N + at].x, high_value = fields.at[3 * N * N + at].x;
    add_compensated(mid_sum, mid_lost, mid_value * mid_value);
    add_compensated(high_sum, high_lost, high_value * high_value);
  }
  mid_sum = workgroup_sum(mid_sum);
  high_sum = workgroup_sum(high_sum);
  if (gl_LocalInvocationIndex == 0) {
    uint header = 2 * low;
    gains.at[0] = gain(mid_sum, mid - kept_anchors(z.at[header + 3], anchors), z.at[header + 1]);
    gains.at[1] = gain(high_sum, high, z.at[header + 2]);
  }
}
