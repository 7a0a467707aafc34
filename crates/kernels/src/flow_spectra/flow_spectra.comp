#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
// The spectra of a flow's derivatives from that of its vorticity, two real fields packed as a + ib where they go in pairs.
layout(constant_id = 1) const uint N = 64;
layout(constant_id = 2) const uint WITH_STRAIN = 1; // the fourth spectrum is wanted

layout(push_constant, std430) uniform Push {
  Complexes omega;          // (N, N)
  MutableComplexes spectra; // (3 or 4, N, N): u + iv; w_x + i w_y; laplacian; u_x + i S_xy
};

vec2 times_i(vec2 a) { return vec2(-a.y, a.x); }

float wavenumber(uint index) { return index < N / 2 ? float(index) : float(index) - float(N); }

// The Nyquist mode's first derivative is imaginary, and only real parts are fields.
float derivative_wavenumber(uint index) { return index == N / 2 ? 0.0 : wavenumber(index); }

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= N * N) return;
  uint x = at % N, y = at / N;
  float square = wavenumber(x) * wavenumber(x) + wavenumber(y) * wavenumber(y);
  float kx = derivative_wavenumber(x), ky = derivative_wavenumber(y);
  vec2 w = omega.at[at];
  vec2 psi = at == 0 ? vec2(0.0) : w / square;
  // i ky psi + i (-i kx psi), i kx w + i (i ky w)
  spectra.at[at] = times_i(ky * psi) + kx * psi;
  spectra.at[N * N + at] = times_i(kx * w) - ky * w;
  spectra.at[2 * N * N + at] = (at == 0 ? -1.0 : -square) * w;
  if (WITH_STRAIN == 1)
    spectra.at[3 * N * N + at] = -kx * ky * psi + times_i(0.5 * (kx * kx - ky * ky) * psi);
}
