#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// largest = max |x|, by one workgroup.
layout(push_constant, std430) uniform Push {
  Floats x;               // (count)
  MutableFloats largest;  // [0]
  uint count;
};

void main() {
  float largest_here = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < count; i += gl_WorkGroupSize.x)
    largest_here = max(largest_here, abs(x.at[i]));
  float of_all = workgroup_max(largest_here);
  if (gl_LocalInvocationIndex == 0) largest.at[0] = of_all;
}
