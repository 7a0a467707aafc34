#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A 128-bit hash of z's little-endian words: the sum, modulo 2^32 in each of four lanes, of Philox4x32-10 with the word's place
// and the word as its counter. One workgroup. Whole numbers only, so every device finds the same.
layout(push_constant, std430) uniform Push {
  Words z;              // (rows, stride), as words
  MutableWords counter; // [0] = results so far
  MutableWords ring;    // results of 4 words
  uint cols;            // words of a row that count
  uint stride;          // words from one row to the next
  uint words;           // rows * cols
  uint ring_mask;
};

uvec4 philox(uvec4 counter_words) {
  uvec2 key = uvec2(0);
  [[unroll]] for (uint round = 0; round < 10; ++round) {
    uint high_a, low_a, high_b, low_b;
    umulExtended(counter_words.x, 0xd2511f53u, high_a, low_a);
    umulExtended(counter_words.z, 0xcd9e8d57u, high_b, low_b);
    counter_words = uvec4(high_b ^ counter_words.y ^ key.x, low_b, high_a ^ counter_words.w ^ key.y, low_a);
    key += uvec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return counter_words;
}

shared uvec4 slots[256];

void main() {
  uint own = gl_LocalInvocationIndex;
  uvec4 sum = uvec4(0);
  for (uint at = own; at < words; at += gl_WorkGroupSize.x)
    sum += philox(uvec4(at, z.at[at / cols * stride + at % cols], 0, 0));
  slots[own] = sum;
  for (uint half_size = gl_WorkGroupSize.x / 2; half_size > 0; half_size /= 2) {
    barrier();
    if (own < half_size) slots[own] += slots[own + half_size];
  }
  if (own > 0) return;
  uint to = (counter.at[0] & ring_mask) * 4;
  [[unroll]] for (uint lane = 0; lane < 4; ++lane) ring.at[to + lane] = slots[0][lane];
  counter.at[0] += 1;
}
