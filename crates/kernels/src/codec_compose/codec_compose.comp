#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "spectrum.glsl"
// A decoded field from its parts, with vortices on top.
layout(constant_id = 1) const uint N = 64;

layout(push_constant, std430) uniform Push {
  Complexes fields;       // (4, N, N): low, anchors, middle, high; real parts count
  Words signs;            // (N, N): where middle and high may be
  Floats gains;           // of middle and high
  Words options;          // [0] = 1: leave the anchors out; [1] = vortices
  Floats atoms;           // (vortices, 4): x, y, signed height, 1 / (2 radius^2)
  MutableWords decoded;   // (4, N, N): field, low, anchors as floats; 1 where middle and high may be
};

const float TAU = 6.28318530717958648;

float distance_square(vec2 a, vec2 b) {
  vec2 d = abs(a - b);
  d = min(d, TAU - d);
  return dot(d, d);
}

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= N * N) return;
  float low = fields.at[at].x, anchors = fields.at[N * N + at].x;
  float value = options.at[0] == 1 ? low : low + anchors;
  bool open = signs.at[at] != 0;
  if (open) {
    value += gains.at[0] * fields.at[2 * N * N + at].x;
    value += gains.at[1] * fields.at[3 * N * N + at].x;
  }
  vec2 centre = (vec2(at % N, at / N) + 0.5) * (TAU / float(N));
  for (uint i = 0; i < options.at[1]; ++i) {
    vec2 place = vec2(atoms.at[4 * i], atoms.at[4 * i + 1]);
    value += atoms.at[4 * i + 2] * exp(-distance_square(centre, place) * atoms.at[4 * i + 3]);
  }
  decoded.at[at] = floatBitsToUint(value);
  decoded.at[N * N + at] = floatBitsToUint(low);
  decoded.at[2 * N * N + at] = floatBitsToUint(anchors);
  decoded.at[3 * N * N + at] = uint(open);
}
