#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
// The second half of Heun's method: the mean of the tendencies at both ends of the step.
layout(push_constant, std430) uniform Push {
  Complexes fields;  // (3, cells), of the vorticity ahead: u + iv; w_x + i w_y; laplacian
  Floats viscosity;  // (cells)
  Floats tendency;   // (cells), at the beginning
  MutableFloats omega; // (cells)
  uint cells;
  float dt;
};

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= cells) return;
  float k = viscosity.at[at] * fields.at[2 * cells + at].x - dot(fields.at[at], fields.at[cells + at]);
  omega.at[at] += 0.5 * dt * (tendency.at[at] + k);
}
