#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
// Fourier transforms of the lines of N x N fields, one workgroup a line: Stockham's radix 2 in shared memory, in order.
layout(constant_id = 1) const uint N = 64; // a power of two, at most 1024
layout(constant_id = 2) const uint INVERSE = 0;
layout(constant_id = 3) const uint REAL_INPUT = 0; // x has real values

layout(push_constant, std430) uniform Push {
  Floats x;             // (fields, N, N), complex unless REAL_INPUT
  Complexes twiddles;   // (N / 2): exp(-2 pi i m / N)
  MutableComplexes y;   // (fields, N, N)
  uint element_stride;  // values from one element of a line to the next
  uint line_stride;     // values from one line to the next
  float scale;
};

shared vec2 line[1024];

void main() {
  uint first = gl_WorkGroupID.y * N * N + gl_WorkGroupID.x * line_stride;
  for (uint i = gl_LocalInvocationIndex; i < N; i += gl_WorkGroupSize.x) {
    uint from = first + i * element_stride;
    line[i] = REAL_INPUT == 1 ? vec2(x.at[from], 0.0) : vec2(x.at[2 * from], x.at[2 * from + 1]);
  }
  barrier();
  for (uint span = 1; span < N; span *= 2) {
    // At most 512 butterflies by 256 invocations.
    vec2 sum[2], difference[2];
    [[unroll]] for (uint turn = 0; turn < 2; ++turn) {
      uint j = gl_LocalInvocationIndex + turn * gl_WorkGroupSize.x;
      if (j < N / 2) {
        vec2 turned = twiddles.at[(j & (span - 1)) * (N / 2 / span)];
        if (INVERSE == 1) turned.y = -turned.y;
        vec2 right = complex_product(line[j + N / 2], turned);
        sum[turn] = line[j] + right;
        difference[turn] = line[j] - right;
      }
    }
    barrier();
    [[unroll]] for (uint turn = 0; turn < 2; ++turn) {
      uint j = gl_LocalInvocationIndex + turn * gl_WorkGroupSize.x;
      if (j < N / 2) {
        uint to = 2 * j - (j & (span - 1));
        line[to] = sum[turn];
        line[to + span] = difference[turn];
      }
    }
    barrier();
  }
  for (uint i = gl_LocalInvocationIndex; i < N; i += gl_WorkGroupSize.x)
    y.at[first + i * element_stride] = line[i] * scale;
}
