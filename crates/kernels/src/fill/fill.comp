#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// One word into every word; see mod.rs.
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Quads { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
  Quads values;
  uint quads;
  uint word;
};

void main() {
  uint stride = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
  for (uint i = gl_GlobalInvocationID.x; i < quads; i += stride) values.at[i] = uvec4(word);
}
