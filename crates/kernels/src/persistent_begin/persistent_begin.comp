#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Makes the ring ready for a persistent dispatch: z in slot 0, "not there yet" in the others; and says how many steps it runs.
// Words that nobody will write (columns of padding) are zeros in all slots. One workgroup.
layout(push_constant, std430) uniform Push {
  Words segments;       // how many steps each call runs
  MutableWords control; // [0] = calls so far, [1] = steps of the call that follows
  Words z;              // (dim), as words
  MutableWords slots;   // (4, padded)
  uint dim;
  uint padded;
  uint written;         // words of a slot that the persistent workgroups write
  uint segment_mask;
};

void main() {
  for (uint i = gl_LocalInvocationIndex; i < padded; i += gl_WorkGroupSize.x) {
    slots.at[i] = i < dim ? z.at[i] : 0u;
    for (uint slot = 1; slot < 4; ++slot) slots.at[slot * padded + i] = i < written ? 0xffffffffu : 0u;
  }
  if (gl_LocalInvocationIndex > 0) return;
  uint call = control.at[0];
  control.at[1] = segments.at[call & segment_mask];
  control.at[0] = call + 1;
}
