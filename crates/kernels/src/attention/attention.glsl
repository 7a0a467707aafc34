// softmax(scale * q K^T) V of a row over the positions up to its own. A workgroup serves the GROUP query heads of one
// share of a KV head.
//
// Positions go by chunks of LOCAL_SIZE. Scores: an invocation a position, quads of K side by side. Weights: a subgroup a
// head. Weighted sums: KV_QUADS invocations a position, so that teams of them work on several positions at
// once. K and V of the next chunk are under way while one is attended to.
#pragma use_vulkan_memory_model
#include "common.glsl"
#include "step.glsl"
layout(constant_id = 0) const uint LOCAL_SIZE = 128; // invocations, and positions of a chunk: whole blocks, at most 8
layout(constant_id = 1) const uint HEAD_DIM = 128;
layout(constant_id = 2) const uint GROUP = 1;
layout(constant_id = 3) const uint KV_HEADS = 1;
layout(constant_id = 4) const uint SHARES = 1;    // workgroups that share a KV head
layout(constant_id = 5) const uint SOFT_CAP = 0;  // 1 if scores go through cap * tanh(score / cap)
#include "kv_cache.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Cache { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
  Floats q;          // (rows, heads * HEAD_DIM)
  Cache k_cache;
  Cache v_cache;
  Words row_count;   // [0] = rows that hold a token
  Words4 step_rows;  // (max_rows)
  Words block_table; // (max_sequences, max_blocks)
  MutableFloats y;   // (rows, heads * HEAD_DIM)
  uint max_blocks;
  uint window; // 0 = all positions
  float scale;
  float cap;       // of the scores, with SOFT_CAP only
};

const uint CHUNK_BLOCKS = LOCAL_SIZE / KV_BLOCK;
const uint HEADS = KV_HEADS * SHARES * GROUP;
const uint HEAD_VECTORS = KV_QUADS * KV_VALUES;    // vec4s of a head, zero-padded
const uint GROUP_VECTORS = GROUP * HEAD_VECTORS;
const uint WEIGHT_VECTORS = (GROUP + 3) / 4;
const uint TEAMS = LOCAL_SIZE / KV_QUADS;
// Independent loads of K in flight in an invocation, and of V. More make pipelines that software drivers compile slowly.
const uint IN_FLIGHT = 8;
const uint K_FLIGHT = KV_QUADS < IN_FLIGHT ? KV_QUADS : IN_FLIGHT;
const uint K_BATCHES = (KV_QUADS + K_FLIGHT - 1) / K_FLIGHT;
const uint V_EACH = (LOCAL_SIZE + TEAMS - 1) / TEAMS;      // positions of a chunk that are a team's
const uint V_FLIGHT = V_EACH < IN_FLIGHT ? V_EACH : IN_FLIGHT;
const uint V_BATCHES = (V_EACH + V_FLIGHT - 1) / V_FLIGHT;
// Heads whose sums are added up over the teams at a time: 16 KiB of f16.
const uint MOST_IN_BATCH = LOCAL_SIZE < 512 ? 512 / LOCAL_SIZE : 1;
const uint BATCH = GROUP < MOST_IN_BATCH ? GROUP : MOST_IN_BATCH;
const uint BATCH_VECTORS = BATCH * HEAD_VECTORS;
const uint BATCHES = (GROUP + BATCH - 1) / BATCH;
const uint OWNED = (BATCH_VECTORS + LOCAL_SIZE - 1) / LOCAL_SIZE; // vec4s of a batch that an invocation owns
const float LOWEST = -3.0e38;

shared vec4 queries[GROUP_VECTORS];                 // times scale and log2(e)
shared float all_scores[GROUP * LOCAL_SIZE];        // (head, position)
shared vec4 weights[LOCAL_SIZE * WEIGHT_VECTORS];        // (position, head), zero-padded
shared float maxima[GROUP];                         // of the chunks so far
shared float totals[GROUP];
shared float rescales[GROUP];                       // of what came before a chunk
shared vec4 room[BATCH * TEAMS * HEAD_VECTORS];     // sums of teams

// The row.
uint kv_head;
uint row_table; // where its blocks begin in the block table
uint own_position;
uint start;     // attends from here
uint last_block;
// Sums of this invocation's team and quad.
vec4 sums[GROUP * KV_VALUES];

const float LOG2_E = 1.44269504;

void stage_queries(uint first_head) {
  for (uint i = gl_LocalInvocationIndex; i < GROUP_VECTORS; i += LOCAL_SIZE) {
    uint dim = i % HEAD_VECTORS * 4;
    uint from = (first_head + i / HEAD_VECTORS) * HEAD_DIM + dim;
    vec4 values = vec4(0.0);
    [[unroll]] for (uint j = 0; j < 4; ++j)
      if (dim + j < HEAD_DIM) values[j] = q.at[from + j] * (scale * LOG2_E);
    queries[i] = values;
  }
}

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
  chunk.high = min(own_position + 1 - first, LOCAL_SIZE);
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

// Asks for a batch of quads of K at this invocation's position.
void load_keys(Chunk chunk, uint batch, out uvec4 k[K_FLIGHT]) {
  uint index = clamp(gl_LocalInvocationIndex, chunk.low, chunk.high - 1);
  uint head = head_at(chunk, index);
  uint quad = batch * K_FLIGHT;
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j)
    k[j] = k_cache.at[k_quad_at(head, index, min(quad + j, KV_QUADS - 1))];
}

// Adds what a batch of quads of K gives to the scores of this invocation's position.
void score(Chunk chunk, uint batch, uvec4 k[K_FLIGHT], inout float scores[GROUP]) {
  [[unroll]] for (uint j = 0; j < K_FLIGHT; ++j) {
    uint quad = batch * K_FLIGHT + j;
    if (quad >= KV_QUADS) continue;
    uvec4 words = k[j];
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
    [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) {
      vec4 heads = weights[min(index, LOCAL_SIZE - 1) * WEIGHT_VECTORS + i];
      if (index >= LOCAL_SIZE) heads = vec4(0.0);
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
    float old_maximum = begins ? LOWEST : maxima[g];
    float old_total = begins ? 0.0 : totals[g];
    float best = old_maximum;
    for (uint i = gl_SubgroupInvocationID; i < LOCAL_SIZE; i += gl_SubgroupSize) {
      float whole = all_scores[g * LOCAL_SIZE + i];
      if (SOFT_CAP != 0) whole = soft_cap(whole, cap * LOG2_E);
      if (i < chunk.low || i >= chunk.high) whole = LOWEST;
      all_scores[g * LOCAL_SIZE + i] = whole;
      best = max(best, whole);
    }
    float maximum = subgroupMax(best);
    float total = 0.0;
    for (uint i = gl_SubgroupInvocationID; i < LOCAL_SIZE; i += gl_SubgroupSize) {
      float weight = exp2(all_scores[g * LOCAL_SIZE + i] - maximum);
      weights[i * WEIGHT_VECTORS + g / 4][g % 4] = weight;
      total += weight;
    }
    total = subgroupAdd(total);
    if (subgroupElect()) { // the maximum has come from all, so all have read the old one
      float rescale = exp2(old_maximum - maximum);
      maxima[g] = maximum;
      totals[g] = old_total * rescale + total;
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

// The sum of a batch's heads over the teams, for the vec4 number `vector` of the group, after share_sums of the batch.
vec4 whole_sum(uint vector) {
  vec4 sum = vec4(0.0);
  for (uint team = 0; team < TEAMS; ++team)
    sum += room[(vector / HEAD_VECTORS % BATCH * TEAMS + team) * HEAD_VECTORS + vector % HEAD_VECTORS];
  return sum;
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint row_index = gl_WorkGroupID.x;
  uint share = gl_WorkGroupID.y;
  kv_head = share / SHARES;
  Row row = row_of(step_rows.at[row_index]);
  if (row_index >= row_count.at[0]) return;

  own_position = row.position;
  uint end = own_position + 1;
  start = window == 0 || window >= end ? 0 : end - window;
  last_block = own_position / KV_BLOCK;
  row_table = row.sequence * max_blocks;
  uint origin = start / KV_BLOCK * KV_BLOCK;
  Chunk here = chunk_at(origin);
  uvec4 k[K_FLIGHT];
  uvec4 v[V_FLIGHT];
  load_keys(here, 0, k);
  load_values(here, 0, v);
  uint first_head = row_index * HEADS + share * GROUP;
  stage_queries(first_head);
  barrier();

  [[unroll]] for (uint i = 0; i < GROUP * KV_VALUES; ++i) sums[i] = vec4(0.0);
  for (uint first = origin; first < end; first += LOCAL_SIZE) {
    bool goes_on = first + LOCAL_SIZE < end;
    Chunk next = here;
    if (goes_on) next = chunk_at(first + LOCAL_SIZE);

    float scores[GROUP];
    [[unroll]] for (uint g = 0; g < GROUP; ++g) scores[g] = 0.0;
    [[dont_unroll]] for (uint batch = 0; batch < K_BATCHES; ++batch) {
      score(here, batch, k, scores);
      if (batch + 1 < K_BATCHES) load_keys(here, batch + 1, k);
      else if (goes_on) load_keys(next, 0, k);
    }
    [[unroll]] for (uint g = 0; g < GROUP; ++g) all_scores[g * LOCAL_SIZE + lane] = scores[g];
    barrier();
    weigh(here, first == origin);
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
      if (vector >= min((batch + 1) * BATCH_VECTORS, GROUP_VECTORS)) continue;
      uint head = vector / HEAD_VECTORS, dim = vector % HEAD_VECTORS * 4;
      vec4 values = whole_sum(vector) / totals[head];
      [[unroll]] for (uint j = 0; j < 4; ++j)
        if (dim + j < HEAD_DIM) y.at[(first_head + head) * HEAD_DIM + dim + j] = values[j];
    }
  }
}
