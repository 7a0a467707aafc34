#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "step.glsl"
// The repetition penalty, on logits in place. One workgroup a row and range of the vocabulary.
layout(constant_id = 1) const uint RANGE = 16384; // tokens, a multiple of 32

layout(push_constant, std430) uniform Push {
  Words logit_count; // [0] = rows of logits
  Words logit_rows;  // (max_rows)
  Words4 step_rows;  // (max_rows)
  Sequences sequences;
  Words history;        // (max_sequences, context)
  MutableFloats logits; // (rows, stride)
  uint vocab;
  uint stride;
  uint context;
};

shared uint seen[RANGE / 32];

void main() {
  uint index = gl_WorkGroupID.y;
  if (index >= logit_count.at[0]) return;
  Row row = row_of(step_rows.at[logit_rows.at[index]]);
  float penalty = sequences.at[row.sequence].repetition_penalty;
  if (penalty == 1.0) return;
  uint window = sequences.at[row.sequence].penalty_window;
  for (uint i = gl_LocalInvocationIndex; i < RANGE / 32; i += gl_WorkGroupSize.x) seen[i] = 0;
  barrier();

  uint length = min(row.position + 1, context);
  uint first = window == 0 || window >= length ? 0 : length - window;
  uint first_token = gl_WorkGroupID.x * RANGE;
  for (uint i = first + gl_LocalInvocationIndex; i < length; i += gl_WorkGroupSize.x) {
    uint token = history.at[row.sequence * context + i];
    uint place = token - first_token;
    if (token < first_token || place >= RANGE || token >= vocab) continue;
    uint bit = 1u << (place % 32);
    if ((atomicOr(seen[place / 32], bit) & bit) != 0) continue;
    float logit = logits.at[index * stride + token];
    logits.at[index * stride + token] = logit < 0.0 ? logit * penalty : logit / penalty;
  }
}
