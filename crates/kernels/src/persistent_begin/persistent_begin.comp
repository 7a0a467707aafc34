#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Makes the ring ready for a persistent dispatch: z in slot 0, "not there yet" in the others; and says how many steps it runs.
// Words that nobody will write (columns of padding) are zeros in all slots. A workgroup a trajectory.
layout(push_constant, std430) uniform Push {
  Words segments;       // how many steps each call runs
  MutableWords control; // [0] = calls so far, [1] = steps of the call that follows
  Words z;              // (rows, stride), as words
  MutableWords slots;   // (4, rows, padded)
  uint dim;
  uint padded;
  uint written;         // words of a slot that the persistent workgroups write
  uint segment_mask;
  uint stride;
};

void main() {
  const uint row = gl_WorkGroupID.x, rows = gl_NumWorkGroups.x;
  for (uint i = gl_LocalInvocationIndex; i < padded; i += gl_WorkGroupSize.x) {
    slots.at[row * padded + i] = i < dim ? z.at[row * stride + i] : 0u;
    for (uint slot = 1; slot < 4; ++slot) slots.at[(slot * rows + row) * padded + i] = i < written ? 0xffffffffu : 0u;
  }
  if (row > 0 || gl_LocalInvocationIndex > 0) return;
  uint call = control.at[0];
  control.at[1] = segments.at[call & segment_mask];
  control.at[0] = call + 1;
}
