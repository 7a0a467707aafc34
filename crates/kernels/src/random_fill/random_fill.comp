#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Fills words with random values; see mod.rs.
#define F32 0
#define F16 1
#define BF16 2
#define BYTES 3

layout(constant_id = 1) const uint TYPE = F32;

layout(push_constant, std430) uniform Push {
  MutableWords values;
  uint words;
  uint seed;
  float low;
  float span; // values lie in low .. low + span
};

// PCG's output permutation over the word's index: every word has its own value, whatever the grid.
uint hash(uint index) {
  uint state = index * 747796405u + seed;
  uint word = ((state >> ((state >> 28) + 4u)) ^ state) * 277803737u;
  return (word >> 22) ^ word;
}

float uniform_value(uint bits16) {
  // Rounded after each operation, as on the CPU device: the same values everywhere.
  precise float scaled = span * (float(bits16) * (1.0 / 65536.0));
  precise float value = low + scaled;
  return value;
}

void main() {
  uint stride = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
  for (uint i = gl_GlobalInvocationID.x; i < words; i += stride) {
    uint bits = hash(i);
    uint word = bits;
    if (TYPE == F32) word = floatBitsToUint(uniform_value(bits >> 16));
    if (TYPE == F16) word = packHalf2x16(vec2(uniform_value(bits & 0xffffu), uniform_value(bits >> 16)));
    if (TYPE == BF16) {
      uint first = floatBitsToUint(uniform_value(bits & 0xffffu)), second = floatBitsToUint(uniform_value(bits >> 16));
      word = (first >> 16) | (second & 0xffff0000u);
    }
    values.at[i] = word;
  }
}
