#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
// The first half of Heun's method: viscosity, tendency, and the vorticity ahead by it.
layout(push_constant, std430) uniform Push {
  Floats omega;            // (cells)
  Complexes fields;        // (4, cells): u + iv; w_x + i w_y; laplacian; u_x + i S_xy
  MutableFloats viscosity; // (cells)
  MutableFloats tendency;  // (cells)
  MutableFloats ahead;     // (cells)
  uint cells;
  float dt;
  float nu0;
  float length_square; // (Cs dx)^2
};

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= cells) return;
  vec2 velocity = fields.at[at], gradient = fields.at[cells + at], strain = fields.at[3 * cells + at];
  float nu = nu0 + length_square * sqrt(4.0 * dot(strain, strain) + 1e-30);
  float k = nu * fields.at[2 * cells + at].x - dot(velocity, gradient);
  viscosity.at[at] = nu;
  tendency.at[at] = k;
  ahead.at[at] = omega.at[at] + dt * k;
}
