#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// voted = the sign of the sum over the 3 x 3 cells around each, periodic.
layout(constant_id = 1) const uint N = 64;

layout(push_constant, std430) uniform Push {
  Words signs;        // (N, N), as signed integers
  MutableWords voted; // (N, N)
};

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= N * N) return;
  int sum = 0;
  [[unroll]] for (uint dy = 0; dy < 3; ++dy) {
    uint row = (at / N + N + dy - 1) % N * N;
    [[unroll]] for (uint dx = 0; dx < 3; ++dx) sum += int(signs.at[row + (at % N + N + dx - 1) % N]);
  }
  voted.at[at] = uint(sign(sum));
}
