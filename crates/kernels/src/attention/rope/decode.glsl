// softmax(scale * q K^T) V of a row over the positions up to its own, where q, k and v come as the projection left them. A
// workgroup serves a query head, for one part of the row's positions; rope.rs says what
// parts are. Each of its subgroups goes through positions of its own, with sums of its own, until they meet at
// the end. Workgroups of heads that share a KV head read the same K and V, from the caches.
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
layout(constant_id = 6) const uint PART = 128;     // positions of a part are a multiple of this
layout(constant_id = 7) const uint MAX_PARTS = 32;
layout(constant_id = 8) const uint SUBGROUP = 4;   // invocations
layout(constant_id = 9) const uint ROTARY_DIM = 128;
layout(constant_id = 10) const uint NORMED = 0;     // 1 if q and k are normalised
layout(constant_id = 11) const uint POLLS = 0;     // qkv is handed over
layout(constant_id = 12) const uint PUBLISHES = 0; // y is handed over
#include "handover.glsl"
#include "kv_cache.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Partials { nonprivate vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer PartialValues { nonprivate float at[]; };
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
  Partials partials; // (rows, HEADS, MAX_PARTS, PART_VECTORS)
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
const uint Q_ITEM = 0, K_ITEM = 1, V_ITEM = 2;     // of what is staged
const float LOWEST = -3.0e38;
const float LOG2_E = 1.44269504;

shared vec4 staged[3 * HEAD_VECTORS];              // q times scale and log2(e), then k and v of the row's position
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
  uint head = item == Q_ITEM ? query_head : HEADS + (item - K_ITEM) * KV_HEADS + query_head / SHARES;
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
      norm_first[i] = item == Q_ITEM ? q_norm.at[pair_of(i)] : k_norm.at[pair_of(i)];
      norm_second[i] = item == Q_ITEM ? q_norm.at[pair_of(i) + HALF] : k_norm.at[pair_of(i) + HALF];
    }
    if (turns) {
      across[i] = cos_table.at[position * HALF + pair_of(i)];
      along[i] = sin_table.at[position * HALF + pair_of(i)];
    }
  }
  [[unroll]] for (uint i = 0; i < RESTS_EACH; ++i) {
    norm_rest[i] = 1.0;
    if (normed) norm_rest[i] = item == Q_ITEM ? q_norm.at[rest_of(i)] : k_norm.at[rest_of(i)];
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
  float factor = item == Q_ITEM ? scale * LOG2_E : 1.0;
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

// The positions that a subgroup goes through at a time: this invocation's, or the attended one next to it, and the number of
// the KV head in its block.
uint position_here;
uint head_here;
uvec4 k[K_FLIGHT];
uvec4 v[V_FLIGHT * LANE_QUADS];

void load_keys(uint first_quad) {
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j)
    k[j] = k_cache.at[k_quad_at(head_here, position_here, min(first_quad + j, KV_QUADS - 1))];
}

// The invocation whose position this one's team adds in a step.
uint added_lane(uint step) { return min(step * TEAMS + gl_SubgroupInvocationID / KV_QUADS, SUBGROUP - 1); }
uint quad_of(uint i) { return min(KV_QUADS > SUBGROUP ? i * SUBGROUP + gl_SubgroupInvocationID : gl_SubgroupInvocationID % KV_QUADS, KV_QUADS - 1); }

void load_values(uint first_step) {
  [[unroll]] for (uint j = 0; j < V_FLIGHT; ++j) {
    uint lane = added_lane(first_step + j);
    uint position = subgroupShuffle(position_here, lane), head = subgroupShuffle(head_here, lane);
    [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) v[j * LANE_QUADS + i] = v_cache.at[v_quad_at(head, position, quad_of(i))];
  }
}

// Stores a value of the head, which is zero-padded.
void store_value(uint head_index, uint dim, float result) {
  if (dim < HEAD_DIM) hand_over(y, head_index * HEAD_DIM + dim, result);
}

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

// Adds up the parts from vector `first` on in `partials`.
void combine(uint first, uint parts, uint head_index) {
  const uint VALUES = 4 * HEAD_VECTORS;
  const uint IN_FLIGHT = HEAD_DIM >= 64 ? 16 : 4;
  for (uint value = gl_LocalInvocationIndex; value < VALUES; value += gl_WorkGroupSize.x) {
    float maximum = LOWEST, sum = 0.0, total = 0.0;
    [[dont_unroll]] for (uint part = 0; part < parts; part += IN_FLIGHT) {
      float loaded[IN_FLIGHT];
      vec2 of_part[IN_FLIGHT];
      [[unroll]] for (uint i = 0; i < IN_FLIGHT; ++i) {
        uint at = first + min(part + i, parts - 1) * PART_VECTORS;
        loaded[i] = PartialValues(partials).at[4 * at + value];
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
    store_value(head_index, value, sum / total);
  }
}

void main() {
  uint lane = gl_SubgroupInvocationID, subgroup = gl_SubgroupID;
  uint row_index = gl_WorkGroupID.x, query_head = gl_WorkGroupID.y, part = gl_WorkGroupID.z;
  uint kv_head = query_head / SHARES;
  Row row = row_of(step_rows.at[row_index]);
  uint rows = row_count.at[0];
  peek_item(item_from(min(subgroup, V_ITEM), row_index, query_head));
  // As it is for the first sequence, while parts are as short as they can be, and without a window.
  uint guessed_at = min((part * PART + subgroup * SUBGROUP + lane) / KV_BLOCK, max_blocks - 1);
  uint guessed = block_table.at[guessed_at];
  if (row_index >= rows) return;

  uint own_position = row.position;
  uint start = window == 0 || window > own_position ? 0 : own_position + 1 - window;
  uint origin = start / KV_BLOCK * KV_BLOCK;
  uint part_positions = ((own_position - origin) / MAX_PARTS / PART + 1) * PART;
  uint parts = (own_position - origin) / part_positions + 1;
  if (part >= parts) return;
  uint from = origin + part * part_positions;
  uint to = min(from + part_positions, own_position + 1);

  uint table = row.sequence * max_blocks;
  uint first = from + subgroup * SUBGROUP; // position of the subgroup's first invocation
  position_here = clamp(first + lane, start, own_position);
  uint block_at = table + position_here / KV_BLOCK;
  uint block = guessed;
  if (block_at != guessed_at) block = block_table.at[block_at];
  head_here = block * KV_HEADS + kv_head;
  load_keys(0);
  load_values(0);

  bool appends = part + 1 == parts;
  uint items = appends ? 3 : 1;
  for (uint item = subgroup; item < items; item += SUBGROUPS) {
    uint item_at = item_from(item, row_index, query_head);
    if (item != subgroup) peek_item(item_at);
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

  [[dont_unroll]] for (; first < to; first += SUBGROUPS * SUBGROUP) {
    bool attended = first + lane >= start && first + lane < to;
    bool is_own = position_here == own_position;
    float score = 0.0;
    [[unroll]] for (uint batch = 0; batch < KV_QUADS; batch += K_FLIGHT) {
      if (batch > 0) load_keys(batch);
      if (is_own) [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j) k[j] = own_quad(K_ITEM, min(batch + j, KV_QUADS - 1));
      [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j)
        if (batch + j < KV_QUADS) {
          uint query = (batch + j) * KV_VALUES;
          score += dot(kv_low(k[j]), staged[query]);
#if defined(KV_F16)
          score += dot(kv_high(k[j]), staged[query + 1]);
#endif
        }
    }
    if (SOFT_CAP != 0) score = soft_cap(score, cap * LOG2_E);
    float new_maximum = max(maximum, subgroupMax(attended ? score : LOWEST));
    float rescale = exp2(maximum - new_maximum);
    float weight = attended ? exp2(score - new_maximum) : 0.0;
    total = total * rescale + weight;
    maximum = new_maximum;
    [[unroll]] for (uint i = 0; i < SUM_VECTORS; ++i) sums[i] *= rescale;
    [[unroll]] for (uint batch = 0; batch < V_STEPS; batch += V_FLIGHT) {
      if (batch > 0) load_values(batch);
      [[unroll]] for (uint j = 0; j < V_FLIGHT; ++j) {
        uint step = batch + j, from_lane = added_lane(step);
        bool adds = step * TEAMS + lane / KV_QUADS < SUBGROUP && lane / KV_QUADS < TEAMS;
        if (KV_QUADS > SUBGROUP) adds = step < SUBGROUP;
        bool own = subgroupShuffle(is_own ? 1u : 0u, from_lane) != 0;
        if (own) [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) v[j * LANE_QUADS + i] = own_quad(V_ITEM, quad_of(i));
        float added = subgroupShuffle(weight, from_lane);
        if (!adds) added = 0.0;
        [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) {
          sums[i * KV_VALUES] += added * kv_low(v[j * LANE_QUADS + i]);
#if defined(KV_F16)
          sums[i * KV_VALUES + 1] += added * kv_high(v[j * LANE_QUADS + i]);
#endif
        }
      }
    }
    if (first + SUBGROUPS * SUBGROUP < to) {
      position_here = clamp(first + SUBGROUPS * SUBGROUP + lane, start, own_position);
      head_here = block_table.at[table + position_here / KV_BLOCK] * KV_HEADS + kv_head;
      load_keys(0);
      load_values(0);
    }
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
  uint first_partial = head_index * MAX_PARTS * PART_VECTORS;
  for (uint vector = gl_LocalInvocationIndex; vector < HEAD_VECTORS; vector += gl_WorkGroupSize.x) {
    float best = LOWEST, all = 0.0;
    [[unroll]] for (uint s = 0; s < SUBGROUPS; ++s) best = max(best, ends[s].x);
    vec4 sum = vec4(0.0);
    [[unroll]] for (uint s = 0; s < SUBGROUPS; ++s) {
      float factor = exp2(ends[s].x - best);
      all += ends[s].y * factor;
      [[unroll]] for (uint t = 0; t < TEAMS; ++t) sum += room[(s * TEAMS + t) * HEAD_VECTORS + vector] * factor;
    }
    if (parts == 1) {
      [[unroll]] for (uint j = 0; j < 4; ++j) store_value(head_index, 4 * vector + j, sum[j] / all);
    } else {
      uint to_part = first_partial + part * PART_VECTORS;
      partials.at[to_part + vector] = sum;
      if (vector == 0) partials.at[to_part + HEAD_VECTORS] = vec4(best, all, 0.0, 0.0);
    }
  }
  if (parts > 1 && arrives_last(head_index, parts)) combine(first_partial, parts, head_index);
}
