#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Reads a buffer once, as fast as the device can, and leaves a checksum; see mod.rs.
layout(push_constant, std430) uniform Push {
  Words4 source;
  MutableWords checksum; // one word a workgroup
  uint words4;           // uvec4s to read; a multiple of 4
};

void main() {
  uint stride = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
  uvec4 sum = uvec4(0);
  // Four independent 16-byte loads in flight an invocation.
  for (uint i = gl_GlobalInvocationID.x; i < words4 / 4; i += stride)
    sum += source.at[i] + source.at[i + words4 / 4] + source.at[i + words4 / 2] + source.at[i + words4 / 4 * 3];
  uint total = subgroupAdd(sum.x + sum.y + sum.z + sum.w);
  if (subgroupElect()) atomicAdd(checksum.at[gl_WorkGroupID.x], total);
}
