// softmax(scale * q K^T) V of a row over the positions up to its own, where q, k and v come as the projection left them. A
// workgroup serves a query head, or in long rows TOGETHER of them that read the same K and V, for one part of the row's positions;
// rope.rs says what parts are. Each of its subgroups goes through positions of its own for one head, with sums of its own, until those of a
// head meet at the end.
//
// One row is all latency, so what does not depend on each other is under way together: K and V are asked for before q is
// normalised and rotated, and the block table before it is known whose row it is.
//
// Scores: an invocation a position, quads of K side by side. Weighted sums: KV_QUADS invocations a position, so that teams
// of a subgroup work on several positions at once.
#pragma use_vulkan_memory_model
#include "common.glsl"
#extension GL_KHR_shader_subgroup_shuffle : require
#include "step.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 128;
layout(constant_id = 3) const uint KV_HEADS = 1;
layout(constant_id = 4) const uint SHARES = 1;     // query heads that share a KV head
layout(constant_id = 5) const uint SOFT_CAP = 0;   // 1 if scores go through cap * tanh(score / cap)
layout(constant_id = 6) const uint SUBGROUP = 4;   // invocations
layout(constant_id = 7) const uint ROTARY_DIM = 128;
layout(constant_id = 8) const uint NORMED = 0;     // 1 if q and k are normalised
layout(constant_id = 9) const uint POLLS = 0;      // qkv is handed over
layout(constant_id = 10) const uint PUBLISHES = 0; // y is handed over
layout(constant_id = 11) const uint TOGETHER = 1;  // query heads of a KV head that a workgroup serves in long rows
layout(constant_id = 12) const uint LONG = 2048;   // positions from which on a row is long
layout(constant_id = 13) const uint PARTS = 1;     // of a short row at most
layout(constant_id = 14) const uint LONG_PARTS = 1; // of a long one
#include "handover.glsl"
#include "kv_cache.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Partials { nonprivate vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Counters { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Cache { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
  Floats qkv;        // (rows, qkv_stride): heads of q, of k, of v
  Floats q_norm;     // (HEAD_DIM)
  Floats k_norm;     // (HEAD_DIM)
  Floats cos_table;  // (context, ROTARY_DIM / 2)
  Floats sin_table;  // (context, ROTARY_DIM / 2)
  Cache k_cache;
  Cache v_cache;
  Words row_count;   // [0] = rows that hold a token
  Words4 step_rows;  // (max_rows)
  Words block_table; // (max_sequences, max_blocks)
  Partials partials; // (rows, HEADS, most parts, PART_VECTORS)
  Counters counters; // (rows, HEADS)
  MutableFloats y;   // (rows, heads * HEAD_DIM)
  uint max_blocks;
  uint window; // 0 = all positions
  float scale;
  float cap;   // of the scores, with SOFT_CAP only
  uint qkv_stride;
  float norm_eps;
};

const uint SUBGROUPS = gl_WorkGroupSize.x / SUBGROUP;
const uint HEADS = KV_HEADS * SHARES;
const uint HEAD_VECTORS = KV_QUADS * KV_VALUES;    // vec4s of a head, zero-padded
const uint MOST_PARTS = PARTS > LONG_PARTS ? PARTS : LONG_PARTS;
const uint PART_VECTORS = HEAD_VECTORS + 1;        // of a part in `partials`: sums, then {maximum, total}
// Of V: positions that a subgroup adds at once, quads of an invocation, and how many times it does so for its positions.
const uint TEAMS = SUBGROUP > KV_QUADS ? SUBGROUP / KV_QUADS : 1;
const uint LANE_QUADS = (KV_QUADS + SUBGROUP - 1) / SUBGROUP;
const uint V_STEPS = (SUBGROUP + TEAMS - 1) / TEAMS;
// Quads of K and steps of V that are in flight in an invocation.
const uint K_FLIGHT = KV_QUADS < 16 ? KV_QUADS : 16;
const uint V_FLIGHT = V_STEPS < 8 ? V_STEPS : 8;
const uint SUM_VECTORS = LANE_QUADS * KV_VALUES;   // of a head in an invocation
const uint HALF = ROTARY_DIM / 2;
const uint PAIRS_EACH = (HALF + SUBGROUP - 1) / SUBGROUP;
const uint RESTS_EACH = (HEAD_DIM - ROTARY_DIM + SUBGROUP - 1) / SUBGROUP;
const uint K_ITEM = TOGETHER, V_ITEM = TOGETHER + 1; // of what is staged; before them the heads of q
const float LOWEST = -3.0e38;
const float LOG2_E = 1.44269504;

shared vec4 staged[(TOGETHER + 2) * HEAD_VECTORS]; // q times scale and log2(e), then k and v of the row's position
shared vec4 room[SUBGROUPS * TEAMS * HEAD_VECTORS];      // sums of subgroups and teams
shared vec2 ends[SUBGROUPS];                       // {maximum, total}
shared bool is_last;

const int ALL_BUFFERS = gl_StorageSemanticsBuffer | gl_StorageSemanticsShared;
const int BOTH_WAYS = gl_SemanticsAcquireRelease | gl_SemanticsMakeAvailable | gl_SemanticsMakeVisible;

void set_staged(uint item, uint dim, float value) { staged[item * HEAD_VECTORS + dim / 4][dim % 4] = value; }

// A head on its way into `staged`: the values that are rotated together, and those behind them.
uint first_words[PAIRS_EACH > 0 ? PAIRS_EACH : 1];
uint second_words[PAIRS_EACH > 0 ? PAIRS_EACH : 1];
uint rest_words[RESTS_EACH > 0 ? RESTS_EACH : 1];

uint pair_of(uint i) { return min(i * SUBGROUP + gl_SubgroupInvocationID, HALF - 1); }
uint rest_of(uint i) { return min(ROTARY_DIM + i * SUBGROUP + gl_SubgroupInvocationID, HEAD_DIM - 1); }

// Where an item of this workgroup begins in qkv.
uint item_from(uint item, uint row_index, uint query_head) {
  uint head = item < K_ITEM ? query_head + item : HEADS + (item - K_ITEM) * KV_HEADS + query_head / SHARES;
  return row_index * qkv_stride + head * HEAD_DIM;
}

// Asks for an item, which may not be ready.
void peek_item(uint from) {
  [[unroll]] for (uint i = 0; i < PAIRS_EACH; ++i) {
    first_words[i] = first_poll_float(qkv, from + pair_of(i));
    second_words[i] = first_poll_float(qkv, from + pair_of(i) + HALF);
  }
  [[unroll]] for (uint i = 0; i < RESTS_EACH; ++i) rest_words[i] = first_poll_float(qkv, from + rest_of(i));
}

// Waits for it, normalises and rotates what is to be, and stages it.
void stage_item(uint item, uint from, uint position) {
  uint lane = gl_SubgroupInvocationID;
  bool turns = item != V_ITEM, normed = NORMED != 0 && turns;
  float norm_first[PAIRS_EACH > 0 ? PAIRS_EACH : 1], norm_second[PAIRS_EACH > 0 ? PAIRS_EACH : 1];
  float across[PAIRS_EACH > 0 ? PAIRS_EACH : 1], along[PAIRS_EACH > 0 ? PAIRS_EACH : 1];
  float norm_rest[RESTS_EACH > 0 ? RESTS_EACH : 1];
  [[unroll]] for (uint i = 0; i < PAIRS_EACH; ++i) {
    norm_first[i] = norm_second[i] = across[i] = 1.0;
    along[i] = 0.0;
    if (normed) {
      norm_first[i] = item < K_ITEM ? q_norm.at[pair_of(i)] : k_norm.at[pair_of(i)];
      norm_second[i] = item < K_ITEM ? q_norm.at[pair_of(i) + HALF] : k_norm.at[pair_of(i) + HALF];
    }
    if (turns) {
      across[i] = cos_table.at[position * HALF + pair_of(i)];
      along[i] = sin_table.at[position * HALF + pair_of(i)];
    }
  }
  [[unroll]] for (uint i = 0; i < RESTS_EACH; ++i) {
    norm_rest[i] = 1.0;
    if (normed) norm_rest[i] = item < K_ITEM ? q_norm.at[rest_of(i)] : k_norm.at[rest_of(i)];
  }

  float squares = 0.0;
  [[unroll]] for (uint i = 0; i < PAIRS_EACH; ++i) {
    first_words[i] = polled_float(first_words[i], qkv, from + pair_of(i));
    second_words[i] = polled_float(second_words[i], qkv, from + pair_of(i) + HALF);
    vec2 pair = uintBitsToFloat(uvec2(first_words[i], second_words[i]));
    if (i * SUBGROUP + lane < HALF) squares += dot(pair, pair);
  }
  [[unroll]] for (uint i = 0; i < RESTS_EACH; ++i) {
    rest_words[i] = polled_float(rest_words[i], qkv, from + rest_of(i));
    float value = uintBitsToFloat(rest_words[i]);
    if (ROTARY_DIM + i * SUBGROUP + lane < HEAD_DIM) squares += value * value;
  }
  float factor = item < K_ITEM ? scale * LOG2_E : 1.0;
  if (normed) factor *= inversesqrt(subgroupAdd(squares) / float(HEAD_DIM) + norm_eps);
  [[unroll]] for (uint i = 0; i < PAIRS_EACH; ++i) {
    float first = uintBitsToFloat(first_words[i]) * norm_first[i] * factor;
    float second = uintBitsToFloat(second_words[i]) * norm_second[i] * factor;
    if (i * SUBGROUP + lane < HALF) {
      set_staged(item, pair_of(i), first * across[i] - second * along[i]);
      set_staged(item, pair_of(i) + HALF, second * across[i] + first * along[i]);
    }
  }
  [[unroll]] for (uint i = 0; i < RESTS_EACH; ++i)
    if (ROTARY_DIM + i * SUBGROUP + lane < HEAD_DIM) set_staged(item, rest_of(i), uintBitsToFloat(rest_words[i]) * norm_rest[i] * factor);
  for (uint dim = HEAD_DIM + lane; dim < 4 * HEAD_VECTORS; dim += SUBGROUP) set_staged(item, dim, 0.0);
}

// A quad of the row's own k or v, as it goes into the cache.
uvec4 own_quad(uint item, uint quad) {
  uint at = item * HEAD_VECTORS + quad * KV_VALUES;
#if defined(KV_F32)
  return floatBitsToUint(staged[at]);
#else
  vec4 low = staged[at], high = staged[at + 1];
  return uvec4(kv_pack(low.xy), kv_pack(low.zw), kv_pack(high.xy), kv_pack(high.zw));
#endif
}

// The positions that a subgroup goes through at a time: the first, this invocation's or the attended one next to it, and the
// number of the KV head in its block. Positions that a row does not attend to may hold anything.
struct Chunk {
  uint first;
  uint position;
  uint head;
};

uvec4 k[K_FLIGHT];
uvec4 v[V_FLIGHT * LANE_QUADS];

void load_key(Chunk chunk, uint j, uint quad) { k[j] = k_cache.at[k_quad_at(chunk.head, chunk.position, min(quad, KV_QUADS - 1))]; }

// The invocation whose position this one's team adds in a step.
uint added_lane(uint step) { return min(step * TEAMS + gl_SubgroupInvocationID / KV_QUADS, SUBGROUP - 1); }
uint quad_of(uint i) { return min(KV_QUADS > SUBGROUP ? i * SUBGROUP + gl_SubgroupInvocationID : gl_SubgroupInvocationID % KV_QUADS, KV_QUADS - 1); }

void load_value(Chunk chunk, uint j, uint step, uint start, uint own_position) {
  uint lane = added_lane(step), head = chunk.head;
  if (SUBGROUP > KV_BLOCK) head = subgroupShuffle(chunk.head, lane);
  uint position = clamp(chunk.first + lane, start, own_position);
  [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) v[j * LANE_QUADS + i] = v_cache.at[v_quad_at(head, position, quad_of(i))];
}

// Stores a vector of a head, which is zero-padded.
void store(uint head_index, uint vector, vec4 values) {
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (4 * vector + j < HEAD_DIM) hand_over(y, head_index * HEAD_DIM + 4 * vector + j, values[j]);
}

// Where the parts of a head begin in `partials`.
uint partials_of(uint head_index) { return head_index * MOST_PARTS * PART_VECTORS; }

// Whether this workgroup is the last of `count` to come here for `counter`; if so, it sees what the others wrote.
bool arrives_last(uint counter, uint count) {
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, ALL_BUFFERS, BOTH_WAYS);
  if (gl_LocalInvocationIndex == 0) {
    uint before = atomicAdd(counters.at[counter], 1u, gl_ScopeDevice, gl_StorageSemanticsBuffer, BOTH_WAYS);
    is_last = before + 1 == count;
    if (is_last) atomicStore(counters.at[counter], 0u, gl_ScopeDevice, 0, 0); // for the next step
  }
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, ALL_BUFFERS, BOTH_WAYS);
  return is_last;
}

// Adds up the parts of `heads` heads from `head_index` on.
void combine(uint head_index, uint heads, uint parts) {
  const uint IN_FLIGHT = HEAD_DIM >= 64 ? 16 : 4;
  for (uint i = gl_LocalInvocationIndex; i < heads * HEAD_VECTORS; i += gl_WorkGroupSize.x) {
    uint head = head_index + i / HEAD_VECTORS, vector = i % HEAD_VECTORS;
    uint first = partials_of(head);
    float maximum = LOWEST, total = 0.0;
    vec4 sum = vec4(0.0);
    [[dont_unroll]] for (uint part = 0; part < parts; part += IN_FLIGHT) {
      vec4 loaded[IN_FLIGHT];
      vec2 of_part[IN_FLIGHT];
      [[unroll]] for (uint i = 0; i < IN_FLIGHT; ++i) {
        uint at = first + min(part + i, parts - 1) * PART_VECTORS;
        loaded[i] = partials.at[at + vector];
        of_part[i] = partials.at[at + HEAD_VECTORS].xy;
      }
      float best = maximum;
      [[unroll]] for (uint i = 0; i < IN_FLIGHT; ++i) best = max(best, of_part[i].x);
      float rescale = exp2(maximum - best);
      sum *= rescale;
      total *= rescale;
      [[unroll]] for (uint i = 0; i < IN_FLIGHT; ++i) {
        float factor = part + i < parts ? exp2(of_part[i].x - best) : 0.0;
        sum += loaded[i] * factor;
        total += of_part[i].y * factor;
      }
      maximum = best;
    }
    store(head, vector, sum / total);
  }
}

void main() {
  uint lane = gl_SubgroupInvocationID, subgroup = gl_SubgroupID;
  uint row_index = gl_WorkGroupID.y;
  Row row = row_of(step_rows.at[row_index]);
  uint rows = row_count.at[0];
  // As it is for short rows, the first sequence, while parts are as short as they can be, and without a window.
  uint query_head = gl_WorkGroupID.x % HEADS, part = gl_WorkGroupID.x / HEADS;
  uint guessed_item = subgroup == 0 ? 0 : min(K_ITEM - 1 + subgroup, V_ITEM);
  peek_item(item_from(guessed_item, row_index, query_head));
  uint guessed_at = min(((part * SUBGROUPS + subgroup) * SUBGROUP + lane) / KV_BLOCK, max_blocks - 1);
  uint guessed = block_table.at[guessed_at];
  if (row_index >= rows) return;

  uint own_position = row.position;
  uint start = window == 0 || window > own_position ? 0 : own_position + 1 - window;
  uint origin = start / KV_BLOCK * KV_BLOCK;
  bool is_long = TOGETHER > 1 && own_position - origin >= LONG;
  uint heads = is_long ? TOGETHER : 1;
  uint ranks = SUBGROUPS / heads; // subgroups of a head
  if (is_long) {
    query_head = gl_WorkGroupID.x % (HEADS / TOGETHER) * TOGETHER;
    part = gl_WorkGroupID.x / (HEADS / TOGETHER);
  }
  uint kv_head = query_head / SHARES;
  uint multiple = is_long ? max(KV_BLOCK, SUBGROUP) : SUBGROUPS * SUBGROUP;
  uint part_positions = ((own_position - origin) / (is_long ? LONG_PARTS : PARTS) / multiple + 1) * multiple;
  uint parts = (own_position - origin) / part_positions + 1;
  if (part >= parts) return;
  uint from = origin + part * part_positions;
  uint to = min(from + part_positions, own_position + 1);

  uint table = row.sequence * max_blocks;
  uint head = subgroup / ranks, rank = subgroup % ranks;
  Chunk here;
  here.first = from + rank * SUBGROUP;
  here.position = clamp(here.first + lane, start, own_position);
  uint block_at = table + here.position / KV_BLOCK;
  uint block = guessed;
  if (block_at != guessed_at) block = block_table.at[block_at];
  here.head = block * KV_HEADS + kv_head;
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j) load_key(here, j, j);
  [[unroll]] for (uint j = 0; j < V_FLIGHT; ++j) load_value(here, j, j, start, own_position);

  bool appends = part + 1 == parts;
  // The first subgroup of a head stages its q; others k and v, the second of the first head and one that is not first either.
  uint v_subgroup = heads == 1 ? 2 : ranks + 1;
  if (rank == 0 || appends && (subgroup == 1 || subgroup == v_subgroup)) {
    uint item = rank == 0 ? head : subgroup == 1 ? K_ITEM : V_ITEM;
    uint item_at = item_from(item, row_index, query_head);
    if (is_long || item != guessed_item) peek_item(item_at);
    stage_item(item, item_at, own_position);
  }
  barrier();
  // Nobody reads them there in this call: whoever attends to the row's position takes them from where they are staged.
  if (appends && query_head % SHARES == 0)
    for (uint i = gl_LocalInvocationIndex; i < 2 * KV_QUADS; i += gl_WorkGroupSize.x) {
      uint quad = i % KV_QUADS, own_head = block_table.at[table + own_position / KV_BLOCK] * KV_HEADS + kv_head;
      if (i < KV_QUADS) k_cache.at[k_quad_at(own_head, own_position, quad)] = own_quad(K_ITEM, quad);
      else v_cache.at[v_quad_at(own_head, own_position, quad)] = own_quad(V_ITEM, quad);
    }

  float maximum = LOWEST, total = 0.0;
  vec4 sums[SUM_VECTORS];
  [[unroll]] for (uint i = 0; i < SUM_VECTORS; ++i) sums[i] = vec4(0.0);

  uint query_at = head * HEAD_VECTORS;
  // What is multiplied is asked for anew at once: the next of these positions, or the first of the next ones, or where
  // there are none what the caches hold anyway.
  [[dont_unroll]] while (here.first < to) {
    Chunk next = here;
    if (here.first + ranks * SUBGROUP < to) {
      next.first = here.first + ranks * SUBGROUP;
      next.position = clamp(next.first + lane, start, own_position);
      next.head = block_table.at[table + next.position / KV_BLOCK] * KV_HEADS + kv_head;
    }
    bool attended = here.first + lane >= start && here.first + lane < to;
    bool has_own = here.first + SUBGROUP > own_position; // some invocation here
    float score = 0.0;
    [[unroll]] for (uint quad = 0; quad < KV_QUADS; ++quad) {
      uint j = quad % K_FLIGHT;
      uvec4 words = k[j];
      if (has_own && here.position == own_position) words = own_quad(K_ITEM, quad);
      if (quad + K_FLIGHT < KV_QUADS) load_key(here, j, quad + K_FLIGHT);
      else load_key(next, j, j);
      uint query = query_at + quad * KV_VALUES;
      score += dot(kv_low(words), staged[query]);
#if defined(KV_F16)
      score += dot(kv_high(words), staged[query + 1]);
#endif
    }
    if (SOFT_CAP != 0) score = soft_cap(score, cap * LOG2_E);
    float new_maximum = max(maximum, subgroupMax(attended ? score : LOWEST));
    float rescale = exp2(maximum - new_maximum);
    float weight = attended ? exp2(score - new_maximum) : 0.0;
    total = total * rescale + weight;
    maximum = new_maximum;
    [[unroll]] for (uint i = 0; i < SUM_VECTORS; ++i) sums[i] *= rescale;
    [[unroll]] for (uint step = 0; step < V_STEPS; ++step) {
      uint j = step % V_FLIGHT, from_lane = added_lane(step);
      bool adds = step * TEAMS + lane / KV_QUADS < SUBGROUP && lane / KV_QUADS < TEAMS;
      if (KV_QUADS > SUBGROUP) adds = step < SUBGROUP;
      float added = subgroupShuffle(weight, from_lane);
      if (!adds) added = 0.0;
      [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) {
        uvec4 words = v[j * LANE_QUADS + i];
        if (has_own && here.first + from_lane >= own_position) words = own_quad(V_ITEM, quad_of(i));
        sums[i * KV_VALUES] += added * kv_low(words);
#if defined(KV_F16)
        sums[i * KV_VALUES + 1] += added * kv_high(words);
#endif
      }
      if (step + V_FLIGHT < V_STEPS) load_value(here, j, step + V_FLIGHT, start, own_position);
      else load_value(next, j, j, start, own_position);
    }
    if (next.first == here.first) break;
    here = next;
  }

  total = subgroupAdd(total);
  if (lane == 0) ends[subgroup] = vec2(maximum, total);
  uint team = KV_QUADS > SUBGROUP ? 0 : lane / KV_QUADS;
  uint to_vector = (subgroup * TEAMS + team) * HEAD_VECTORS;
  [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) {
    bool owns = team < TEAMS && (KV_QUADS <= SUBGROUP || i * SUBGROUP + lane < KV_QUADS);
    if (owns) [[unroll]] for (uint j = 0; j < KV_VALUES; ++j) room[to_vector + quad_of(i) * KV_VALUES + j] = sums[i * KV_VALUES + j];
  }
  barrier();

  uint head_index = row_index * HEADS + query_head;
  uint busy = min(ranks, (to - from + SUBGROUP - 1) / SUBGROUP); // subgroups of a head that had positions
  for (uint i = gl_LocalInvocationIndex; i < heads * HEAD_VECTORS; i += gl_WorkGroupSize.x) {
    uint vector = i % HEAD_VECTORS, first_rank = i / HEAD_VECTORS * ranks;
    float best = LOWEST, all = 0.0;
    for (uint s = first_rank; s < first_rank + busy; ++s) best = max(best, ends[s].x);
    vec4 sum = vec4(0.0);
    for (uint s = first_rank; s < first_rank + busy; ++s) {
      float factor = exp2(ends[s].x - best);
      all += ends[s].y * factor;
      [[unroll]] for (uint t = 0; t < TEAMS; ++t) sum += room[(s * TEAMS + t) * HEAD_VECTORS + vector] * factor;
    }
    uint of_head = head_index + i / HEAD_VECTORS;
    if (parts == 1) {
      store(of_head, vector, sum / all);
    } else {
      uint to_part = partials_of(of_head) + part * PART_VECTORS;
      partials.at[to_part + vector] = sum;
      if (vector == 0) partials.at[to_part + HEAD_VECTORS] = vec4(best, all, 0.0, 0.0);
    }
  }
  if (parts > 1 && arrives_last(head_index, parts)) combine(head_index, heads, parts);
}
