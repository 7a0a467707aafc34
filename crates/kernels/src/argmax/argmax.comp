#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "logit_key.glsl"
// The largest logit of a piece of a row. One workgroup a piece.
layout(constant_id = 0) const uint LOCAL_SIZE = 256;
layout(constant_id = 1) const uint PIECE = 1024; // a multiple of LOCAL_SIZE
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer Partials { uvec2 at[]; };

layout(push_constant, std430) uniform Push {
  Words logits;      // (rows, stride), as bits
  Words logit_count; // [0] = rows of logits
  Partials partials; // (rows, pieces) of {key, token}
  uint vocab;
  uint stride;
};

shared uint best_keys[256];
shared uint best_tokens[256];

void main() {
  uint row = gl_WorkGroupID.y;
  uint rows = logit_count.at[0];
  uint end = min(vocab, (gl_WorkGroupID.x + 1) * PIECE);
  // All loads are under way together.
  uint bits[PIECE / LOCAL_SIZE];
  [[unroll]] for (uint e = 0; e < PIECE / LOCAL_SIZE; ++e) {
    uint i = gl_WorkGroupID.x * PIECE + e * LOCAL_SIZE + gl_LocalInvocationIndex;
    bits[e] = logits.at[row * stride + min(i, vocab - 1)];
  }
  if (row >= rows) return;
  uint key = 0;
  uint token = 0xffffffffu;
  // An invocation meets its tokens in ascending order, so the first of equals stays.
  [[unroll]] for (uint e = 0; e < PIECE / LOCAL_SIZE; ++e) {
    uint i = gl_WorkGroupID.x * PIECE + e * LOCAL_SIZE + gl_LocalInvocationIndex;
    uint other = i < end ? logit_key(bits[e]) : 0;
    if (other > key) {
      key = other;
      token = i;
    }
  }
  uint best = subgroupMax(key);
  uint first = subgroupMin(key == best ? token : 0xffffffffu);
  if (subgroupElect()) {
    best_keys[gl_SubgroupID] = best;
    best_tokens[gl_SubgroupID] = first;
  }
  barrier();
  if (gl_LocalInvocationIndex > 0) return;
  for (uint i = 0; i < gl_NumSubgroups; ++i) {
    if (best_keys[i] > best || (best_keys[i] == best && best_tokens[i] < first)) {
      best = best_keys[i];
      first = best_tokens[i];
    }
  }
  partials.at[row * gl_NumWorkGroups.x + gl_WorkGroupID.x] = uvec2(best, first);
}
