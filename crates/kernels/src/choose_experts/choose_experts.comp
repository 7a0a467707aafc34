#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "logit_key.glsl"
// The SLOTS experts with the largest router logits of a row, in falling order, and the softmax of their logits: over all
// experts, or over the chosen ones. One workgroup a row. An expert's place is the number of those before it.
layout(constant_id = 1) const uint EXPERTS = 8;
layout(constant_id = 2) const uint SLOTS = 2;     // experts chosen a row
layout(constant_id = 3) const uint NORMALISE = 0; // 1: the weights of the chosen ones add up to 1

layout(push_constant, std430) uniform Push {
  Floats logits;          // (rows, stride)
  Words row_count;        // [0] = rows that hold a token
  MutableWords experts;   // (rows, SLOTS)
  MutableFloats weights;  // (rows, SLOTS)
  uint stride;
};

shared float values[EXPERTS];
shared uint keys[EXPERTS];
shared uint chosen[SLOTS];

void main() {
  uint row = gl_WorkGroupID.x;
  uint lane = gl_LocalInvocationIndex;
  if (row >= row_count.at[0]) return;
  float best = uintBitsToFloat(0xff800000u); // -inf
  for (uint e = lane; e < EXPERTS; e += gl_WorkGroupSize.x) {
    float value = logits.at[row * stride + e];
    values[e] = value;
    keys[e] = logit_key(floatBitsToUint(value));
    best = max(best, value);
  }
  best = workgroup_max(best);

  float total = 0.0;
  for (uint e = lane; e < EXPERTS; e += gl_WorkGroupSize.x) {
    uint key = keys[e], before = 0;
    // Of equal ones the first; so every place is taken by exactly one, whatever the logits.
    for (uint i = 0; i < EXPERTS; ++i) before += keys[i] > key || (keys[i] == key && i < e) ? 1 : 0;
    if (before < SLOTS) chosen[before] = e;
    if (NORMALISE == 0 || before < SLOTS) total += exp(values[e] - best);
  }
  total = workgroup_sum(total);
  for (uint slot = lane; slot < SLOTS; slot += gl_WorkGroupSize.x) {
    experts.at[row * SLOTS + slot] = chosen[slot];
    weights.at[row * SLOTS + slot] = exp(values[chosen[slot]] - best) / total;
  }
}
