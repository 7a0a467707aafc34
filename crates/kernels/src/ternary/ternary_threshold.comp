#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// sign = +1 where x / max |x| >= tau, -1 where it is <= -tau, else 0.
layout(push_constant, std430) uniform Push {
  Floats x;            // (count)
  Floats largest;      // [0] = max |x|
  MutableWords signs;  // (count), as signed integers
  uint count;
  float tau;
};

void main() {
  uint at = gl_GlobalInvocationID.x;
  if (at >= count) return;
  float scaled = clamp(x.at[at] / (largest.at[0] + 1e-12), -1.0, 1.0);
  signs.at[at] = uint(int(scaled >= tau) - int(scaled <= -tau));
}
