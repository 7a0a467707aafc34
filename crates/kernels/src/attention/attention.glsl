// softmax(scale * q K^T) V of a row over the positions up to its own. A workgroup serves the GROUP query heads of one
// share of a KV head, for the parts `split, split + SPLITS, ...` of the row's positions; mod.rs says what parts are.
//
// Where ATTENTION_ROPE is defined, q, k and v come as the projection left them: heads are normalised and rotated while they
// are staged, and the workgroup that serves the row's own position puts k and v into the cache.
//
// A part goes by chunks of CHUNK positions. Scores: SLICES invocations a position, each with its quads of K side by side.
// Weights: a subgroup a head. Weighted sums: KV_QUADS invocations a position, so that teams of them work on several
// positions at once. One row is all latency, so what does not depend on each other is under way together: K and V of a
// chunk are asked for before q is staged, those of the next while this one is attended to.
#pragma use_vulkan_memory_model
#include "common.glsl"
#include "step.glsl"
layout(constant_id = 0) const uint LOCAL_SIZE = 128; // invocations: a multiple of CHUNK
layout(constant_id = 1) const uint HEAD_DIM = 128;
layout(constant_id = 2) const uint GROUP = 1;
layout(constant_id = 3) const uint SPLITS = 1;
layout(constant_id = 4) const uint SOFT_CAP = 0;  // 1 if scores go through cap * tanh(score / cap)
layout(constant_id = 5) const uint KV_HEADS = 1;
layout(constant_id = 6) const uint SHARES = 1;    // workgroups that share a KV head
layout(constant_id = 7) const uint CHUNK = 128;   // positions: whole blocks, at most 8
layout(constant_id = 8) const uint MAX_PARTS = 32;
#ifdef ATTENTION_ROPE
layout(constant_id = 9) const uint ROTARY_DIM = 128;
layout(constant_id = 10) const uint Q_NORM = 0;    // 1 if q is normalised
layout(constant_id = 11) const uint K_NORM = 0;    // 1 if k is normalised
layout(constant_id = 12) const uint POLLS = 0;     // qkv is handed over
layout(constant_id = 13) const uint PUBLISHES = 0; // y is handed over
#else
const uint POLLS = 0;
const uint PUBLISHES = 0;
#endif
#include "handover.glsl"
#include "kv_cache.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Partials { nonprivate vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer PartialValues { nonprivate float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Counters { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Cache { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
#ifdef ATTENTION_ROPE
  Floats heads_from; // (rows, qkv_stride): heads of q, of k, of v
  Floats q_norm;     // (HEAD_DIM)
  Floats k_norm;     // (HEAD_DIM)
  Floats cos_table;  // (context, ROTARY_DIM / 2)
  Floats sin_table;  // (context, ROTARY_DIM / 2)
#else
  Floats heads_from; // (rows, heads * HEAD_DIM): heads of q
#endif
  Cache k_cache;
  Cache v_cache;
  Words row_count;   // [0] = rows that hold a token
  Words4 step_rows;  // (max_rows)
  Words block_table; // (max_sequences, max_blocks)
  Partials partials; // (rows, KV_HEADS * SHARES, MAX_PARTS, PART_VECTORS)
  Counters counters; // (rows, KV_HEADS * SHARES)
  MutableFloats y;   // (rows, heads * HEAD_DIM)
  uint max_blocks;
  uint window; // 0 = all positions
  float scale;
  float cap;       // of the scores, with SOFT_CAP only
  uint qkv_stride; // a multiple of 4; this and the next with ATTENTION_ROPE only
  float norm_eps;
};

const uint CHUNK_BLOCKS = CHUNK / KV_BLOCK;
const uint SLICES = LOCAL_SIZE / CHUNK;
const uint HEADS = KV_HEADS * SHARES * GROUP;
const uint HEAD_VECTORS = KV_QUADS * KV_VALUES;    // vec4s of a head, zero-padded
const uint GROUP_VECTORS = GROUP * HEAD_VECTORS;
const uint PART_VECTORS = GROUP_VECTORS + GROUP;   // of a part in `partials`: sums, then {maximum, total} of each head
const uint WEIGHT_VECTORS = (GROUP + 3) / 4;
const uint TEAMS = LOCAL_SIZE / KV_QUADS;
// Independent loads of K in flight in an invocation, and of V. More make pipelines that software drivers compile slowly.
const uint IN_FLIGHT = 8;
const uint K_EACH = (KV_QUADS + SLICES - 1) / SLICES; // quads of a position that are an invocation's
const uint K_FLIGHT = K_EACH < IN_FLIGHT ? K_EACH : IN_FLIGHT;
const uint K_BATCHES = (K_EACH + K_FLIGHT - 1) / K_FLIGHT;
const uint V_EACH = (CHUNK + TEAMS - 1) / TEAMS;      // positions of a chunk that are a team's
const uint V_FLIGHT = V_EACH < IN_FLIGHT ? V_EACH : IN_FLIGHT;
const uint V_BATCHES = (V_EACH + V_FLIGHT - 1) / V_FLIGHT;
// Heads whose sums are added up over the teams at a time: 16 KiB of f16.
const uint MOST_IN_BATCH = LOCAL_SIZE < 512 ? 512 / LOCAL_SIZE : 1;
const uint BATCH = GROUP < MOST_IN_BATCH ? GROUP : MOST_IN_BATCH;
const uint BATCH_VECTORS = BATCH * HEAD_VECTORS;
const uint BATCHES = (GROUP + BATCH - 1) / BATCH;
const uint OWNED = (BATCH_VECTORS + LOCAL_SIZE - 1) / LOCAL_SIZE; // vec4s of a batch that an invocation owns
// When parts are combined: values that an invocation owns at a time, parts of each that are in flight, and all of those:
// fewer for small heads, whose pipelines then compile faster on software drivers.
const uint COMBINES = 4 * GROUP_VECTORS > LOCAL_SIZE ? 2 : 1;
const uint COMBINED = (HEAD_DIM >= 128 ? 32 : HEAD_DIM >= 64 ? 16 : 4) / COMBINES;
const uint LOADED = COMBINES * COMBINED;
const float LOWEST = -3.0e38;

#ifdef ATTENTION_ROPE
const uint STAGED_HEADS = GROUP + 2; // k and v of the row's position behind the queries
#else
const uint STAGED_HEADS = GROUP;
#endif
const uint STAGED_EACH = (STAGED_HEADS * HEAD_VECTORS + LOCAL_SIZE - 1) / LOCAL_SIZE;
const uint SUMS_ROOM = BATCH * TEAMS * HEAD_VECTORS;
const uint ENDS_ROOM = MAX_PARTS * GROUP;

shared vec4 queries[STAGED_HEADS * HEAD_VECTORS];   // times scale and log2(e)
shared float slice_scores[GROUP * LOCAL_SIZE];      // (head, slice, position)
shared vec4 weights[CHUNK * WEIGHT_VECTORS];        // (position, head), zero-padded
shared float part_maxima[GROUP];
shared float part_totals[GROUP];
shared float rescales[GROUP];                       // of what came before a chunk
shared vec4 room[SUMS_ROOM > ENDS_ROOM ? SUMS_ROOM : ENDS_ROOM]; // sums of teams, then ends of parts
shared bool is_last;

// The row.
uint kv_head;
uint row_table; // where its blocks begin in the block table
uint own_position;
uint start;     // attends from here
uint last_block;
// Sums of this invocation's team and quad in the part being attended to.
vec4 sums[GROUP * KV_VALUES];

const int ALL_BUFFERS = gl_StorageSemanticsBuffer | gl_StorageSemanticsShared;
const int BOTH_WAYS = gl_SemanticsAcquireRelease | gl_SemanticsMakeAvailable | gl_SemanticsMakeVisible;

// What parts have been folded to, for a vec4 of a head.
struct Folded {
  vec4 sum;
  float maximum;
  float total;
};
const Folded NOTHING = Folded(vec4(0.0), LOWEST, 0.0);

// combine() does the same to values of many parts.
Folded fold(Folded folded, Folded part) {
  precise Folded result;
  result.maximum = max(folded.maximum, part.maximum);
  precise float old_factor = exp2(folded.maximum - result.maximum);
  precise float part_factor = exp2(part.maximum - result.maximum);
  result.total = folded.total * old_factor + part.total * part_factor;
  result.sum = folded.sum * old_factor + part.sum * part_factor;
  return result;
}

const float LOG2_E = 1.44269504;

// The vec4 number `i` of what is staged: the value of `heads_from` at which it begins.
uint staged_from(uint row_index, uint first_head, uint i) {
  uint which = i / HEAD_VECTORS;
  uint dim = i % HEAD_VECTORS * 4;
#ifdef ATTENTION_ROPE
  uint in_row = which < GROUP ? first_head + which : HEADS + (which - GROUP) * KV_HEADS + kv_head;
  return row_index * qkv_stride + in_row * HEAD_DIM + dim;
#else
  return (row_index * HEADS + first_head + which) * HEAD_DIM + dim;
#endif
}

// Four values of a head, 0 behind its end, as they are now.
uvec4 peek_head4(uint from, uint dim) {
  if (HEAD_DIM % 4 == 0) return first_poll(Floats4(heads_from), from / 4);
  uvec4 words = uvec4(0);
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (dim + j < HEAD_DIM) words[j] = first_poll_float(heads_from, from + j);
  return words;
}

// The same when they are ready.
vec4 load_head4(uint from, uint dim) {
  if (HEAD_DIM % 4 == 0) return handed_vec4(Floats4(heads_from), from / 4);
  vec4 values = vec4(0.0);
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (dim + j < HEAD_DIM) values[j] = handed_float(heads_from, from + j);
  return values;
}

// Asks for this invocation's share of what is staged. It may not be ready, nor the row hold a token.
void peek_row(uint row_index, uint first_head, out uvec4 words[STAGED_EACH]) {
  [[unroll]] for (uint e = 0; e < STAGED_EACH; ++e) {
    uint i = min(e * LOCAL_SIZE + gl_LocalInvocationIndex, STAGED_HEADS * HEAD_VECTORS - 1);
    uint dim = i % HEAD_VECTORS * 4;
    words[e] = dim < HEAD_DIM ? peek_head4(staged_from(row_index, first_head, i), dim) : uvec4(0);
  }
}

// Stages the queries, and k and v behind them where `count` heads say so; waits for what was not ready.
void stage_row(uint row_index, uint first_head, uint count, uvec4 words[STAGED_EACH]) {
  [[unroll]] for (uint e = 0; e < STAGED_EACH; ++e) {
    uint i = e * LOCAL_SIZE + gl_LocalInvocationIndex;
    if (i < count * HEAD_VECTORS) {
      vec4 values = uintBitsToFloat(words[e]);
      if (POLLS != 0 && any(equal(words[e], uvec4(NOT_READY))))
        values = load_head4(staged_from(row_index, first_head, i), i % HEAD_VECTORS * 4);
#ifndef ATTENTION_ROPE
      values *= scale * LOG2_E;
#endif
      queries[i] = values;
    }
  }
}

#ifdef ATTENTION_ROPE
const uint HALF = ROTARY_DIM / 2;
const uint NORMS_EACH = (2 * HEAD_DIM + LOCAL_SIZE - 1) / LOCAL_SIZE;
const uint ANGLES_EACH = (ROTARY_DIM + LOCAL_SIZE) / LOCAL_SIZE;
shared float norms[2 * HEAD_DIM];      // weights of q's norm, then of k's
shared float angles[ROTARY_DIM + 1];   // cosines of the position, then sines

float staged(uint head, uint dim) { return queries[head * HEAD_VECTORS + dim / 4][dim % 4]; }
void set_staged(uint head, uint dim, float value) { queries[head * HEAD_VECTORS + dim / 4][dim % 4] = value; }

// Normalises and rotates a staged head in place; a subgroup takes it.
void turn(uint head, uint norm_at, bool normed, float factor) {
  uint lane = gl_SubgroupInvocationID;
  if (normed) {
    float squares = 0.0;
    for (uint dim = lane; dim < HEAD_DIM; dim += gl_SubgroupSize) squares += staged(head, dim) * staged(head, dim);
    factor *= inversesqrt(subgroupAdd(squares) / float(HEAD_DIM) + norm_eps);
  }
  for (uint pair = lane; pair < HALF; pair += gl_SubgroupSize) {
    float first = staged(head, pair), second = staged(head, pair + HALF);
    if (normed) {
      first *= norms[norm_at + pair];
      second *= norms[norm_at + pair + HALF];
    }
    float across = angles[pair] * factor, along = angles[HALF + pair] * factor;
    set_staged(head, pair, first * across - second * along);
    set_staged(head, pair + HALF, second * across + first * along);
  }
  for (uint dim = ROTARY_DIM + lane; dim < HEAD_DIM; dim += gl_SubgroupSize)
    set_staged(head, dim, staged(head, dim) * factor * (normed ? norms[norm_at + dim] : 1.0));
}

// A quad of the row's own k (`which` 0) or v (1), as it goes into the cache.
uvec4 own_quad(uint which, uint quad) {
  uint at = (GROUP + which) * HEAD_VECTORS + quad * KV_VALUES;
#if defined(KV_F32)
  return floatBitsToUint(queries[at]);
#else
  vec4 low = queries[at], high = queries[at + 1];
  return uvec4(kv_pack(low.xy), kv_pack(low.zw), kv_pack(high.xy), kv_pack(high.zw));
#endif
}
#endif

// Positions to attend to.
struct Chunk {
  uint first;                // begins a block
  uint low;                  // attends to [low, high), counted from the first
  uint high;
  uint heads[8];             // number of the KV head in each of its CHUNK_BLOCKS blocks
};

Chunk chunk_at(uint first) {
  Chunk chunk;
  chunk.first = first;
  chunk.low = max(start, first) - first;
  chunk.high = min(own_position + 1 - first, CHUNK);
  [[unroll]] for (uint i = 0; i < CHUNK_BLOCKS; ++i)
    chunk.heads[i] = block_table.at[row_table + min(first / KV_BLOCK + i, last_block)] * KV_HEADS + kv_head;
  return chunk;
}

uint head_at(Chunk chunk, uint index) {
  uint head = chunk.heads[0];
  [[unroll]] for (uint i = 1; i < CHUNK_BLOCKS; ++i)
    if (index >= i * KV_BLOCK) head = chunk.heads[i];
  return head;
}

// Where this invocation's slice of K begins.
uint first_quad() { return gl_LocalInvocationIndex / CHUNK * K_EACH; }

// Asks for a batch of this invocation's quads of K.
void load_keys(Chunk chunk, uint batch, out uvec4 k[K_FLIGHT]) {
  uint index = clamp(gl_LocalInvocationIndex % CHUNK, chunk.low, chunk.high - 1);
  uint head = head_at(chunk, index);
  uint quad = first_quad() + batch * K_FLIGHT;
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j)
    k[j] = k_cache.at[k_quad_at(head, index, min(quad + j, KV_QUADS - 1))];
}

// Adds what a batch of quads of K gives to the scores of this invocation's position.
void score(Chunk chunk, uint batch, uvec4 k[K_FLIGHT], inout float scores[GROUP]) {
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j) {
    uint in_slice = batch * K_FLIGHT + j;
    uint quad = first_quad() + in_slice;
    if (in_slice >= K_EACH || quad >= KV_QUADS) continue;
    uvec4 words = k[j];
#ifdef ATTENTION_ROPE
    if (chunk.first + gl_LocalInvocationIndex % CHUNK == own_position) words = own_quad(0, quad);
#endif
    [[unroll]] for (uint g = 0; g < GROUP; ++g) {
      uint query = g * HEAD_VECTORS + quad * KV_VALUES;
      scores[g] += dot(kv_low(words), queries[query]);
#if defined(KV_F16)
      scores[g] += dot(kv_high(words), queries[query + 1]);
#endif
    }
  }
}

// The position, counted from the chunk's first, at which a batch of V has its load number j.
uint value_index(uint batch, uint j) { return gl_LocalInvocationIndex / KV_QUADS + (batch * V_FLIGHT + j) * TEAMS; }

// Positions that the row does not attend to may hold anything: one that it does attend to stands in for them.
uint attended_index(Chunk chunk, uint index) { return clamp(index, chunk.low, chunk.high - 1); }

// Asks for a batch of this invocation's quad of V, at every TEAMS-th position.
void load_values(Chunk chunk, uint batch, out uvec4 v[V_FLIGHT]) {
  [[unroll]] for (uint j = 0; j < V_FLIGHT; ++j) {
    uint index = attended_index(chunk, value_index(batch, j));
    v[j] = v_cache.at[v_quad_at(head_at(chunk, index), index, gl_LocalInvocationIndex % KV_QUADS)];
  }
}

void add_values(Chunk chunk, uint batch, uvec4 v[V_FLIGHT]) {
  [[unroll]] for (uint j = 0; j < V_FLIGHT; ++j) {
    uint index = value_index(batch, j);
    uvec4 words = v[j];
#ifdef ATTENTION_ROPE
    if (chunk.first + attended_index(chunk, index) == own_position)
      words = own_quad(1, gl_LocalInvocationIndex % KV_QUADS);
#endif
    [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) {
      vec4 heads = weights[min(index, CHUNK - 1) * WEIGHT_VECTORS + i];
      if (index >= CHUNK) heads = vec4(0.0);
      [[unroll]] for (uint g = 4 * i; g < min(4 * i + 4, GROUP); ++g) {
        sums[g * KV_VALUES] += heads[g % 4] * kv_low(words);
#if defined(KV_F16)
        sums[g * KV_VALUES + 1] += heads[g % 4] * kv_high(words);
#endif
      }
    }
  }
}

// Turns scores into weights for everyone; a subgroup takes a head. `begins` where the chunk is the first of its part.
void weigh(Chunk chunk, bool begins) {
  for (uint g = gl_SubgroupID; g < GROUP; g += gl_NumSubgroups) {
    float old_maximum = begins ? LOWEST : part_maxima[g];
    float old_total = begins ? 0.0 : part_totals[g];
    float best = old_maximum;
    for (uint i = gl_SubgroupInvocationID; i < CHUNK; i += gl_SubgroupSize) {
      float whole = 0.0;
      [[unroll]] for (uint slice = 0; slice < SLICES; ++slice) whole += slice_scores[g * LOCAL_SIZE + slice * CHUNK + i];
      if (SOFT_CAP != 0) whole = soft_cap(whole, cap * LOG2_E);
      if (i < chunk.low || i >= chunk.high) whole = LOWEST;
      slice_scores[g * LOCAL_SIZE + i] = whole;
      best = max(best, whole);
    }
    float maximum = subgroupMax(best);
    float total = 0.0;
    for (uint i = gl_SubgroupInvocationID; i < CHUNK; i += gl_SubgroupSize) {
      float weight = exp2(slice_scores[g * LOCAL_SIZE + i] - maximum);
      weights[i * WEIGHT_VECTORS + g / 4][g % 4] = weight;
      total += weight;
    }
    total = subgroupAdd(total);
    if (subgroupElect()) { // the maximum has come from all, so all have read the old one
      float rescale = exp2(old_maximum - maximum);
      part_maxima[g] = maximum;
      part_totals[g] = old_total * rescale + total;
      rescales[g] = rescale;
    }
  }
}

// Adds up the sums of a batch of heads over the teams. Every invocation calls it, then takes what it owns.
void share_sums(uint batch) {
  uint quad = gl_LocalInvocationIndex % KV_QUADS;
  uint team = gl_LocalInvocationIndex / KV_QUADS;
  if (batch > 0) barrier(); // the batch before has been taken
  if (team < TEAMS)
    [[unroll]] for (uint g = 0; g < GROUP; ++g)
      if (g / BATCH == batch)
        [[unroll]] for (uint i = 0; i < KV_VALUES; ++i)
          room[(g % BATCH * TEAMS + team) * HEAD_VECTORS + quad * KV_VALUES + i] = sums[g * KV_VALUES + i];
  barrier();
}

// The part's result for the vec4 number `vector` of the group, after share_sums of its batch.
Folded part_result(uint vector) {
  uint head = vector / HEAD_VECTORS;
  Folded part = Folded(vec4(0.0), part_maxima[head], part_totals[head]);
  for (uint team = 0; team < TEAMS; ++team)
    part.sum += room[(head % BATCH * TEAMS + team) * HEAD_VECTORS + vector % HEAD_VECTORS];
  return part;
}

// Stores value number `value` of the group, of which heads are zero-padded.
void store_value(uint first_head, uint value, float result) {
  uint dim = value % (4 * HEAD_VECTORS);
  if (dim < HEAD_DIM) hand_over(y, (first_head + value / (4 * HEAD_VECTORS)) * HEAD_DIM + dim, result);
}

void store(uint first_head, uint vector, Folded folded) {
  vec4 values = folded.sum / folded.total;
  [[unroll]] for (uint j = 0; j < 4; ++j) store_value(first_head, 4 * vector + j, values[j]);
}

// Stores a part's result for the vec4 number `vector` of the group; `to` is the part's place in `partials`.
void store_part(uint to, uint vector, Folded part) {
  partials.at[to + vector] = part.sum;
  if (vector % HEAD_VECTORS == 0)
    partials.at[to + GROUP_VECTORS + vector / HEAD_VECTORS] = vec4(part.maximum, part.total, 0.0, 0.0);
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

// Puts {maximum, total, factor of what came before, factor} of all heads' parts into `room`, side by side: the factors do
// not need the sums.
void find_factors(uint first, uint parts) {
  for (uint i = gl_LocalInvocationIndex; i < parts * GROUP; i += LOCAL_SIZE)
    room[i] = partials.at[first + i / GROUP * PART_VECTORS + GROUP_VECTORS + i % GROUP];
  barrier();
  for (uint i = gl_LocalInvocationIndex; i < parts * GROUP; i += LOCAL_SIZE) {
    float before = LOWEST;
    for (uint other = i % GROUP; other < i; other += GROUP) before = max(before, room[other].x);
    float maximum = max(before, room[i].x);
    room[i].z = exp2(before - maximum);
    room[i].w = exp2(room[i].x - maximum);
  }
  barrier();
}

// Folds the parts from vector `first` on in `partials`, in ascending order and with the operations of fold().
void combine(uint first, uint parts, uint first_head) {
  const uint VALUES = 4 * GROUP_VECTORS;
  for (uint base = 0; base < VALUES; base += COMBINES * LOCAL_SIZE) {
    float sums[COMBINES];
    float totals[COMBINES];
    [[unroll]] for (uint c = 0; c < COMBINES; ++c) sums[c] = totals[c] = 0.0;
    [[dont_unroll]] for (uint part = 0; part < parts; part += COMBINED) {
      float loaded[LOADED];
      [[unroll]] for (uint i = 0; i < LOADED; ++i) {
        uint value = min(base + i % COMBINES * LOCAL_SIZE + gl_LocalInvocationIndex, VALUES - 1);
        uint of_part = first + min(part + i / COMBINES, parts - 1) * PART_VECTORS;
        loaded[i] = PartialValues(partials).at[4 * of_part + value];
      }
      if (base == 0 && part == 0) find_factors(first, parts); // the first values are on their way meanwhile
      [[unroll]] for (uint i = 0; i < LOADED; ++i) {
        uint c = i % COMBINES;
        uint value = base + c * LOCAL_SIZE + gl_LocalInvocationIndex;
        uint head = min(value / (4 * HEAD_VECTORS), GROUP - 1);
        vec4 ends = room[min(part + i / COMBINES, parts - 1) * GROUP + head];
        precise float total = totals[c] * ends.z + ends.y * ends.w;
        precise float sum = sums[c] * ends.z + loaded[i] * ends.w;
        if (part + i / COMBINES < parts) {
          totals[c] = total;
          sums[c] = sum;
        }
      }
    }
    [[unroll]] for (uint c = 0; c < COMBINES; ++c) {
      uint value = base + c * LOCAL_SIZE + gl_LocalInvocationIndex;
      if (value < VALUES) store_value(first_head, value, sums[c] / totals[c]);
    }
  }
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint row_index = gl_WorkGroupID.x;
  uint share = gl_WorkGroupID.y;
  uint split = gl_WorkGroupID.z;
  kv_head = share / SHARES;
  Row row = row_of(step_rows.at[row_index]);
  uint rows = row_count.at[0];
  // Meanwhile, what does not depend on the row.
  uvec4 staged_words[STAGED_EACH];
  peek_row(row_index, share * GROUP, staged_words);
#ifdef ATTENTION_ROPE
  float norm_weights[NORMS_EACH];
  [[unroll]] for (uint e = 0; e < NORMS_EACH; ++e) {
    uint i = min(e * LOCAL_SIZE + lane, 2 * HEAD_DIM - 1);
    norm_weights[e] = 1.0;
    if (i < HEAD_DIM) {
      if (Q_NORM != 0) norm_weights[e] = q_norm.at[i];
    } else if (K_NORM != 0) {
      norm_weights[e] = k_norm.at[i - HEAD_DIM];
    }
  }
#endif
  if (row_index >= rows) return;

  own_position = row.position;
  uint end = own_position + 1;
  start = window == 0 || window >= end ? 0 : end - window;
  last_block = own_position / KV_BLOCK;
  row_table = row.sequence * max_blocks;
  uint first_block = start / KV_BLOCK;
  uint block_count = last_block - first_block + 1;
  uint part_chunks = ((block_count + MAX_PARTS - 1) / MAX_PARTS + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
  uint part_positions = part_chunks * CHUNK;
  uint parts = (block_count * KV_BLOCK + part_positions - 1) / part_positions;
  if (split >= parts) return;

  uint origin = first_block * KV_BLOCK;
  Chunk here = chunk_at(origin + split * part_positions);
#ifdef ATTENTION_ROPE
  bool appends = split == (parts - 1) % SPLITS;
  uint own_head = block_table.at[row_table + last_block] * KV_HEADS + kv_head;
  float angle_values[ANGLES_EACH];
  [[unroll]] for (uint e = 0; e < ANGLES_EACH; ++e) {
    uint i = e * LOCAL_SIZE + lane;
    angle_values[e] = 0.0;
    if (i < HALF) angle_values[e] = cos_table.at[own_position * HALF + i];
    else if (i < ROTARY_DIM) angle_values[e] = sin_table.at[own_position * HALF + i - HALF];
  }
#endif
  uvec4 k[K_FLIGHT];
  uvec4 v[V_FLIGHT];
  load_keys(here, 0, k);
  load_values(here, 0, v);

#ifdef ATTENTION_ROPE
  stage_row(row_index, share * GROUP, appends ? STAGED_HEADS : GROUP, staged_words);
  [[unroll]] for (uint e = 0; e < NORMS_EACH; ++e)
    if (e * LOCAL_SIZE + lane < 2 * HEAD_DIM) norms[e * LOCAL_SIZE + lane] = norm_weights[e];
  [[unroll]] for (uint e = 0; e < ANGLES_EACH; ++e)
    if (e * LOCAL_SIZE + lane < ROTARY_DIM) angles[e * LOCAL_SIZE + lane] = angle_values[e];
  barrier();
  for (uint which = gl_SubgroupID; which < GROUP + (appends ? 1 : 0); which += gl_NumSubgroups) {
    if (which < GROUP) turn(which, 0, Q_NORM != 0, scale * LOG2_E);
    else turn(which, HEAD_DIM, K_NORM != 0, 1.0);
  }
  barrier();
  // Nobody reads them there in this call: whoever attends to the row's position takes them from where they are staged.
  if (appends && share % SHARES == 0)
    for (uint i = lane; i < 2 * KV_QUADS; i += LOCAL_SIZE) {
      uint quad = i % KV_QUADS;
      if (i < KV_QUADS) k_cache.at[k_quad_at(own_head, own_position, quad)] = own_quad(0, quad);
      else v_cache.at[v_quad_at(own_head, own_position, quad)] = own_quad(1, quad);
    }
#else
  stage_row(row_index, share * GROUP, GROUP, staged_words);
  barrier();
#endif

  uint first_head = row_index * HEADS + share * GROUP;
  uint first_partial = (row_index * KV_HEADS * SHARES + share) * MAX_PARTS * PART_VECTORS;
  Folded folded[BATCHES * OWNED]; // with one split
  [[unroll]] for (uint i = 0; i < BATCHES * OWNED; ++i) folded[i] = NOTHING;

  for (uint part = split; part < parts; part += SPLITS) {
    [[unroll]] for (uint i = 0; i < GROUP * KV_VALUES; ++i) sums[i] = vec4(0.0);
    uint from = origin + part * part_positions;
    uint to = min(from + part_positions, end);
    for (uint first = from; first < to; first += CHUNK) {
      uint next_first = first + CHUNK < to ? first + CHUNK : from + SPLITS * part_positions;
      bool goes_on = next_first < end;
      Chunk next = here;
      if (goes_on) next = chunk_at(next_first);

      float scores[GROUP];
      [[unroll]] for (uint g = 0; g < GROUP; ++g) scores[g] = 0.0;
      [[dont_unroll]] for (uint batch = 0; batch < K_BATCHES; ++batch) {
        score(here, batch, k, scores);
        if (batch + 1 < K_BATCHES) load_keys(here, batch + 1, k);
        else if (goes_on) load_keys(next, 0, k);
      }
      [[unroll]] for (uint g = 0; g < GROUP; ++g) slice_scores[g * LOCAL_SIZE + lane] = scores[g];
      barrier();
      weigh(here, first == from);
      barrier();
      [[unroll]] for (uint i = 0; i < GROUP * KV_VALUES; ++i) sums[i] *= rescales[i / KV_VALUES];
      [[dont_unroll]] for (uint batch = 0; batch < V_BATCHES; ++batch) {
        add_values(here, batch, v);
        if (batch + 1 < V_BATCHES) load_values(here, batch + 1, v);
        else if (goes_on) load_values(next, 0, v);
      }
      here = next;
    }

    [[unroll]] for (uint batch = 0; batch < BATCHES; ++batch) {
      share_sums(batch);
      [[unroll]] for (uint i = 0; i < OWNED; ++i) {
        uint vector = batch * BATCH_VECTORS + i * LOCAL_SIZE + lane;
        if (vector < min((batch + 1) * BATCH_VECTORS, GROUP_VECTORS)) {
          Folded result = part_result(vector);
          if (SPLITS == 1) folded[batch * OWNED + i] = fold(folded[batch * OWNED + i], result);
          else if (parts == 1) store(first_head, vector, fold(NOTHING, result));
          else store_part(first_partial + part * PART_VECTORS, vector, result);
        }
      }
    }
  }

  if (SPLITS == 1) {
    [[unroll]] for (uint batch = 0; batch < BATCHES; ++batch)
      [[unroll]] for (uint i = 0; i < OWNED; ++i) {
        uint vector = batch * BATCH_VECTORS + i * LOCAL_SIZE + lane;
        if (vector < min((batch + 1) * BATCH_VECTORS, GROUP_VECTORS)) store(first_head, vector, folded[batch * OWNED + i]);
      }
  } else if (parts > 1 && arrives_last(row_index * KV_HEADS * SHARES + share, min(SPLITS, parts))) {
    combine(first_partial, parts, first_head);
  }
}
