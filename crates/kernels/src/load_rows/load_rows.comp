#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "step.glsl"
// Takes the next mailbox slot into the step buffer, one workgroup.
layout(push_constant, std430) uniform Push {
  MutableWords4 step; // header, rows, logit_rows
  Words4 mailbox;
  MutableWords4 sequences; // (max_sequences, SEQUENCE_WORDS)
  MutableWords history;    // (max_sequences, context)
  uint max_rows;
  uint slots;
  uint context;
};

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint loads = step.at[0][LOADS];
  const uint sequence_vectors = SEQUENCE_WORDS / 4;
  uint slot = (loads % slots) * (1 + sequence_vectors + max_rows);
  uvec4 header = mailbox.at[slot];
  uint row_count = min(header.x, max_rows);
  uint params_sequence = header.y;
  MutableWords logit_rows = MutableWords(step);

  // Each round takes as many rows as there are invocations and appends those that want logits, in order.
  uint logit_count = 0;
  for (uint first = 0; first < row_count; first += gl_WorkGroupSize.x) {
    uint index = first + lane;
    bool in_use = index < row_count;
    Row row = Row(0, 0, 0, 0);
    if (in_use) {
      row = row_of(mailbox.at[slot + 1 + sequence_vectors + index]);
      step.at[1 + index] = words_of(row);
      if (row.position < context) history.at[row.sequence * context + row.position] = row.token;
    }
    bool wanted = in_use && row.wants_logits != 0;
    uint total;
    uint rank = workgroup_rank(wanted, total);
    if (wanted) logit_rows.at[logit_rows_at(max_rows) + logit_count + rank] = index;
    logit_count += total;
  }
  if (params_sequence != NO_SEQUENCE && lane < sequence_vectors)
    sequences.at[params_sequence * sequence_vectors + lane] = mailbox.at[slot + 1 + lane];
  barrier(); // everyone has read `loads`
  uint ring_head = header.z != 0 ? header.w : step.at[0][RING_HEAD];
  if (lane == 0) step.at[0] = uvec4(row_count, logit_count, ring_head, loads + 1);
}
