#version 460
#extension GL_GOOGLE_include_directive : require
#pragma use_vulkan_memory_model
#include "common.glsl"
#include "step.glsl"
#include "logit_key.glsl"
// Picks a token from each row of logits, one workgroup a row; the workgroup that arrives last makes the tokens the rows
// of the next step. mod.rs says by which rules, philox.rs where the random numbers come from.
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Partials { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer SharedWords { nonprivate uint at[]; };

layout(push_constant, std430) uniform Push {
  Words logits;      // (rows, stride), as bits
  Partials partials; // (rows, pieces) of {key, token}
  MutableWords step; // header, rows, logit_rows
  Sequences sequences;
  MutableWords history; // (max_sequences, context)
  MutableWords ring;    // (ring_size)
  SharedWords scratch;  // how many workgroups have arrived, then the token of each row
  uint vocab;
  uint stride;
  uint pieces;
  uint context;
  uint ring_size;
  uint max_rows;
};

#include "draw.glsl"

shared uint best_keys[256];
shared uint best_tokens[256];
shared bool is_last;

Row row_at(uint index) {
  uint at = HEADER_WORDS + ROW_WORDS * index;
  return Row(step.at[at], step.at[at + 1], step.at[at + 2], step.at[at + 3]);
}

void set_row(uint index, Row row) {
  uint at = HEADER_WORDS + ROW_WORDS * index;
  step.at[at] = row.token;
  step.at[at + 1] = row.position;
  step.at[at + 2] = row.sequence;
  step.at[at + 3] = row.wants_logits;
}

// {key, token} of the largest logit of a row, the lowest token of equals.
uvec2 best_of(uint index) {
  uvec2 best = uvec2(0, NO_TOKEN);
  for (uint i = gl_LocalInvocationIndex; i < pieces; i += gl_WorkGroupSize.x) {
    uvec2 other = partials.at[index * pieces + i];
    if (other.x > best.x) best = other;
  }
  uint key = subgroupMax(best.x);
  uint token = subgroupMin(best.x == key ? best.y : NO_TOKEN);
  if (subgroupElect()) {
    best_keys[gl_SubgroupID] = key;
    best_tokens[gl_SubgroupID] = token;
  }
  barrier();
  best = uvec2(0, NO_TOKEN);
  for (uint i = 0; i < gl_NumSubgroups; ++i) {
    uvec2 other = uvec2(best_keys[i], best_tokens[i]);
    if (other.x > best.x || (other.x == best.x && other.y < best.y)) best = other;
  }
  return best;
}

uint pick(uint index, Row row) {
  uvec2 best = best_of(index);
  if (best.x <= LOWEST_KEY || best.x >= INFINITY_KEY) return NO_TOKEN;
  float temperature = sequences.at[row.sequence].temperature;
  if (!(temperature > 0.0)) return best.y;
  uint first = index * stride;
  return draw(first, uintBitsToFloat(logits.at[first + best.y]), row.sequence, row.position);
}

const int ALL_MEMORY = gl_StorageSemanticsBuffer | gl_StorageSemanticsShared;
const int BOTH_WAYS = gl_SemanticsAcquireRelease | gl_SemanticsMakeAvailable | gl_SemanticsMakeVisible;

// Whether this workgroup is the last of `count`; if so, it sees the tokens of the others.
bool arrives_last(uint count) {
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, ALL_MEMORY, BOTH_WAYS);
  if (gl_LocalInvocationIndex == 0) {
    uint before = atomicAdd(scratch.at[0], 1u, gl_ScopeDevice, gl_StorageSemanticsBuffer, BOTH_WAYS);
    is_last = before + 1 == count;
    if (is_last) atomicStore(scratch.at[0], 0u, gl_ScopeDevice, 0, 0); // for the next step
  }
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, ALL_MEMORY, BOTH_WAYS);
  return is_last;
}

bool goes_on(uint token, uint sequence, uint position) {
  bool stops = token == NO_TOKEN || position >= min(sequences.at[sequence].end_position, context);
  uint stop_count = min(sequences.at[sequence].stop_count, MAX_STOP_TOKENS);
  // Unconditional, so that all are under way together.
  [[unroll]] for (uint i = 0; i < MAX_STOP_TOKENS; ++i) {
    bool same = sequences.at[sequence].stop_tokens[i] == token;
    stops = stops || (same && i < stop_count);
  }
  return !stops;
}

// Hands out the tokens of `count` rows of logits and makes the rows that go on the next step's, in order. `token` is
// that of a single row. A round reads its rows before it writes, and writes nowhere behind them.
void act(uint count, uint token) {
  uint ring_head = step.at[RING_HEAD];
  uint next_count = 0;
  for (uint first = 0; first < count; first += gl_WorkGroupSize.x) {
    uint index = first + gl_LocalInvocationIndex;
    bool stays = false;
    Row row;
    if (index < count) {
      row = row_at(step.at[logit_rows_at(max_rows) + index]);
      row.token = count == 1 ? token : scratch.at[1 + index];
      row.position += 1;
      row.wants_logits = 1;
      ring.at[(ring_head + index) % ring_size] = row.token;
      if (row.position < context && row.token != NO_TOKEN)
        history.at[row.sequence * context + row.position] = row.token;
      stays = goes_on(row.token, row.sequence, row.position);
    }
    uint total;
    uint rank = next_count + workgroup_rank(stays, total);
    if (stays) {
      set_row(rank, row);
      step.at[logit_rows_at(max_rows) + rank] = rank;
    }
    next_count += total;
  }
  if (gl_LocalInvocationIndex == 0) {
    step.at[ROW_COUNT] = next_count;
    atomicStore(step.at[LOGIT_COUNT], next_count, gl_ScopeDevice, 0, 0);
    step.at[RING_HEAD] = ring_head + count;
  }
}

void main() {
  uint index = gl_WorkGroupID.x;
  // Atomic, since a workgroup without a row may come when the last one with a row has acted.
  uint count = atomicLoad(step.at[LOGIT_COUNT], gl_ScopeDevice, 0, 0);
  if (index >= max(count, 1)) return;
  uint token = NO_TOKEN;
  if (count > 0) token = pick(index, row_at(step.at[logit_rows_at(max_rows) + index]));
  if (count > 1) {
    if (gl_LocalInvocationIndex == 0) scratch.at[1 + index] = token;
    if (!arrives_last(count)) return;
  }
  act(count, token);
}
