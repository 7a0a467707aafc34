#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A box filter along the rows or the columns of an N x N field, zeros beyond the border; or what it takes away.
layout(constant_id = 1) const uint N = 64;
layout(constant_id = 2) const uint WIDTH = 11;
layout(constant_id = 3) const uint RESIDUAL = 0; // y = original - filtered

layout(push_constant, std430) uniform Push {
  Floats x;        // (N, N), x_step floats apart
  Floats original; // (N, N), original_step floats apart; only with RESIDUAL
  MutableFloats y; // (N, N)
  uint element_stride; // 1 along rows, N along columns
  uint x_step;
  uint original_step;
};

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= N * N) return;
  uint i = element_stride == 1 ? at % N : at / N;
  uint line = at - i * element_stride;
  int first = int(i) - int(WIDTH / 2);
  float sum = 0.0;
  for (int j = max(first, 0); j < min(first + int(WIDTH), int(N)); ++j)
    sum += x.at[(line + uint(j) * element_stride) * x_step];
  float filtered = sum / float(WIDTH);
  y.at[at] = RESIDUAL == 1 ? original.at[at * original_step] - filtered : filtered;
}
