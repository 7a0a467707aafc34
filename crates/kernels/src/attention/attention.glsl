// softmax(scale * q K^T) V of a row over the positions up to its own. A workgroup serves the GROUP query heads of one
// share of a KV head, for the parts `split, split + SPLITS, ...` of the row's positions; mod.rs says what parts are.
//
// Where ATTENTION_ROPE is defined, q, k and v come as the projection left them: heads are normalised and rotated while they
// are staged, and the workgroup that serves the row's own position puts k and v into the cache.
//
// A part goes by chunks of as many positions as there are invocations. Scores: an invocation a position, quads of K
// side by side. Weighted sums: KV_QUADS invocations a position, so that teams of them work on several positions at once.
#pragma use_vulkan_memory_model
#include "common.glsl"
#include "step.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 128;
layout(constant_id = 2) const uint GROUP = 1;
layout(constant_id = 3) const uint SPLITS = 1;
layout(constant_id = 4) const uint SOFT_CAP = 0;  // 1 if scores go through cap * tanh(score / cap)
layout(constant_id = 5) const uint KV_HEADS = 1;
layout(constant_id = 6) const uint SHARES = 1;    // workgroups that share a KV head
#ifdef ATTENTION_ROPE
layout(constant_id = 7) const uint ROTARY_DIM = 128;
layout(constant_id = 8) const uint Q_NORM = 0;    // 1 if q is normalised
layout(constant_id = 9) const uint K_NORM = 0;    // 1 if k is normalised
layout(constant_id = 10) const uint POLLS = 0;     // qkv is handed over
layout(constant_id = 11) const uint PUBLISHES = 0; // y is handed over
#else
const uint POLLS = 0;
const uint PUBLISHES = 0;
#endif
#include "handover.glsl"
#include "kv_cache.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Partials { nonprivate vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Counters { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Cache { nonprivate uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer CacheWords { nonprivate uint at[]; };

layout(push_constant, std430) uniform Push {
#ifdef ATTENTION_ROPE
  Floats qkv;       // (rows, qkv_stride): heads of q, of k, of v
  Floats q_norm;    // (HEAD_DIM)
  Floats k_norm;    // (HEAD_DIM)
  Floats cos_table; // (context, ROTARY_DIM / 2)
  Floats sin_table; // (context, ROTARY_DIM / 2)
#else
  Floats q; // (rows, heads * HEAD_DIM)
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

const uint MAX_PARTS = 32;
const uint LOCAL_SIZE = 128;                       // invocations (as constant 0 says), and positions in a chunk
const uint CHUNK_BLOCKS = LOCAL_SIZE / KV_BLOCK;
const uint HEAD_VECTORS = KV_QUADS * KV_VALUES;    // vec4s of a head, zero-padded
const uint GROUP_VECTORS = GROUP * HEAD_VECTORS;
const uint PART_VECTORS = GROUP_VECTORS + GROUP;   // of a part in `partials`: sums, then {maximum, total} of each head
const uint WEIGHT_VECTORS = (GROUP + 3) / 4;
const uint TEAMS = LOCAL_SIZE / KV_QUADS;
const uint BATCH = GROUP < 4 ? GROUP : 4;          // heads whose sums are added up over the teams at a time
const uint BATCH_VECTORS = BATCH * HEAD_VECTORS;
const uint BATCHES = (GROUP + BATCH - 1) / BATCH;
const uint OWNED = (BATCH_VECTORS + LOCAL_SIZE - 1) / LOCAL_SIZE; // vec4s of a batch that an invocation owns
// Independent loads in flight in an invocation, and the same of partial results: fewer for small heads, whose pipelines
// then compile faster on software drivers.
const uint IN_FLIGHT = KV_QUADS >= 16 ? 8 : KV_QUADS >= 8 ? 4 : 2;
const uint COMBINED = 2 * IN_FLIGHT;
const uint MAX_SUBGROUPS = LOCAL_SIZE / 4;
const float LOWEST = -3.0e38;

#ifdef ATTENTION_ROPE
const uint STAGED_HEADS = GROUP + 2; // k and v of the row's position behind the queries
#else
const uint STAGED_HEADS = GROUP;
#endif
shared vec4 queries[STAGED_HEADS * HEAD_VECTORS]; // times scale and log2(e)
shared vec4 weights[LOCAL_SIZE * WEIGHT_VECTORS]; // (position, head), zero-padded
shared float slots[GROUP * MAX_SUBGROUPS];
shared float part_maxima[GROUP];
shared vec4 team_sums[BATCH * TEAMS * HEAD_VECTORS];
shared uint blocks[2][CHUNK_BLOCKS];              // of this chunk and of the next
shared bool is_last;

// The part being attended to: of each head the maximum so far, this invocation's share of the total, and of the sums
// those of this invocation's team and quad.
float maxima[GROUP];
float totals[GROUP];
vec4 sums[GROUP * KV_VALUES];

const int ALL_BUFFERS = gl_StorageSemanticsBuffer | gl_StorageSemanticsShared;
const int BOTH_WAYS = gl_SemanticsAcquireRelease | gl_SemanticsMakeAvailable | gl_SemanticsMakeVisible;

// What parts have been folded to, for a vec4 of a head.
struct Folded {
  vec4 sum;
  float maximum;
  float total;
};

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

#ifdef ATTENTION_ROPE
float staged(uint head, uint dim) { return queries[head * HEAD_VECTORS + dim / 4][dim % 4]; }
void set_staged(uint head, uint dim, float value) { queries[head * HEAD_VECTORS + dim / 4][dim % 4] = value; }

// Four values of a head of qkv that begins at `from`; 0 behind its end.
vec4 load_head4(uint from, uint dim) {
  if (HEAD_DIM % 4 == 0) return handed_vec4(Floats4(qkv), (from + dim) / 4);
  vec4 values = vec4(0.0);
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (dim + j < HEAD_DIM) values[j] = handed_float(qkv, from + dim + j);
  return values;
}

// Normalises and rotates a staged head in place; a subgroup takes it.
void turn(uint head, Floats norm_weight, bool normed, uint position, float factor) {
  uint lane = gl_SubgroupInvocationID;
  if (normed) {
    float squares = 0.0;
    for (uint dim = lane; dim < HEAD_DIM; dim += gl_SubgroupSize) squares += staged(head, dim) * staged(head, dim);
    factor *= inversesqrt(subgroupAdd(squares) / float(HEAD_DIM) + norm_eps);
  }
  const uint HALF = ROTARY_DIM / 2;
  for (uint pair = lane; pair < HALF; pair += gl_SubgroupSize) {
    float first = staged(head, pair), second = staged(head, pair + HALF);
    if (normed) {
      first *= norm_weight.at[pair];
      second *= norm_weight.at[pair + HALF];
    }
    float across = cos_table.at[position * HALF + pair] * factor, along = sin_table.at[position * HALF + pair] * factor;
    set_staged(head, pair, first * across - second * along);
    set_staged(head, pair + HALF, second * across + first * along);
  }
  for (uint dim = ROTARY_DIM + lane; dim < HEAD_DIM; dim += gl_SubgroupSize)
    set_staged(head, dim, staged(head, dim) * factor * (normed ? norm_weight.at[dim] : 1.0));
}

// Stages the queries from `first_head` of the row on; where `appends`, also k and v, and puts them into block `head` of
// the caches. All shares of a KV head put the same words there.
void stage_row(uint row_index, uint first_head, uint kv_head, uint position, bool appends, uint head) {
  uint heads = KV_HEADS * SHARES * GROUP;
  uint staged_heads = GROUP + (appends ? 2 : 0);
  for (uint i = gl_LocalInvocationIndex; i < staged_heads * HEAD_VECTORS; i += LOCAL_SIZE) {
    uint which = i / HEAD_VECTORS;
    uint in_row = which < GROUP ? first_head + which : heads + (which - GROUP) * KV_HEADS + kv_head;
    uint dim = i % HEAD_VECTORS * 4;
    queries[i] = dim < HEAD_DIM ? load_head4(row_index * qkv_stride + in_row * HEAD_DIM, dim) : vec4(0.0);
  }
  barrier();
  for (uint which = gl_SubgroupID; which < GROUP + (appends ? 1 : 0); which += gl_NumSubgroups) {
    if (which < GROUP) turn(which, q_norm, Q_NORM != 0, position, scale * LOG2_E);
    else turn(which, k_norm, K_NORM != 0, position, 1.0);
  }
  barrier();
  if (!appends) return;
  for (uint word = gl_LocalInvocationIndex; word < 4 * KV_QUADS; word += LOCAL_SIZE) {
    uint dim = word * KV_VALUES, next = min(dim + 1, 4 * HEAD_VECTORS - 1);
    uint k = kv_pack(vec2(staged(GROUP, dim), staged(GROUP, next)));
    uint v = kv_pack(vec2(staged(GROUP + 1, dim), staged(GROUP + 1, next)));
    CacheWords(k_cache).at[4 * k_quad_at(head, position, word / 4) + word % 4] = k;
    CacheWords(v_cache).at[4 * v_quad_at(head, position, word / 4) + word % 4] = v;
  }
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, ALL_BUFFERS, BOTH_WAYS);
}
#else
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
#endif

float dot_quad(uvec4 k, uint query) {
#if defined(KV_F32)
  return dot(kv_low(k), queries[query]);
#else
  return dot(kv_low(k), queries[query]) + dot(kv_high(k), queries[query + 1]);
#endif
}

// Scores of this invocation's position; `head` is its block's.
void score(uint head, uint position, inout float scores[GROUP]) {
  [[dont_unroll]] for (uint quad = 0; quad < KV_QUADS; quad += IN_FLIGHT) {
    uvec4 k[IN_FLIGHT];
    [[unroll]] for (uint j = 0; j < IN_FLIGHT; ++j)
      k[j] = k_cache.at[k_quad_at(head, position, min(quad + j, KV_QUADS - 1))];
    [[unroll]] for (uint j = 0; j < IN_FLIGHT; ++j)
      if (quad + j < KV_QUADS)
        [[unroll]] for (uint g = 0; g < GROUP; ++g)
          scores[g] += dot_quad(k[j], g * HEAD_VECTORS + (quad + j) * KV_VALUES);
  }
}

// Loads this invocation's quad of V at every TEAMS-th position of the chunk from `index` on. Positions that the row
// does not attend to may hold anything: one that it does attend to stands in for them.
void load_values(uint index, uint quad, uint low, uint high, uint parity, uint kv_head, out uvec4 v[IN_FLIGHT]) {
  [[unroll]] for (uint j = 0; j < IN_FLIGHT; ++j) {
    uint position = clamp(index + j * TEAMS, low, high - 1);
    v[j] = v_cache.at[v_quad_at(blocks[parity][position / KV_BLOCK] * KV_HEADS + kv_head, position, quad)];
  }
}

void add_values(uint index, uint high, uvec4 v[IN_FLIGHT]) {
  [[unroll]] for (uint j = 0; j < IN_FLIGHT; ++j) {
    uint position = index + j * TEAMS;
    [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) {
      vec4 heads = weights[min(position, high - 1) * WEIGHT_VECTORS + i];
      if (position >= high) heads = vec4(0.0);
      [[unroll]] for (uint g = 4 * i; g < min(4 * i + 4, GROUP); ++g) {
        sums[g * KV_VALUES] += heads[g % 4] * kv_low(v[j]);
#if defined(KV_F16)
        sums[g * KV_VALUES + 1] += heads[g % 4] * kv_high(v[j]);
#endif
      }
    }
  }
}

// Turns scores into weights for everyone, after the workgroup has agreed on the new maxima.
void weigh(float scores[GROUP], bool attended) {
  uint lane = gl_LocalInvocationIndex;
  [[unroll]] for (uint g = 0; g < GROUP; ++g) {
    float best = subgroupMax(attended ? scores[g] : LOWEST);
    if (subgroupElect()) slots[g * MAX_SUBGROUPS + gl_SubgroupID] = best;
  }
  barrier();
  vec4 new_weights[WEIGHT_VECTORS];
  [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) new_weights[i] = vec4(0.0);
  [[unroll]] for (uint g = 0; g < GROUP; ++g) {
    float maximum = maxima[g];
    for (uint i = 0; i < gl_NumSubgroups; ++i) maximum = max(maximum, slots[g * MAX_SUBGROUPS + i]);
    float factor = exp2(maxima[g] - maximum);
    float weight = attended ? exp2(scores[g] - maximum) : 0.0;
    maxima[g] = maximum;
    totals[g] = totals[g] * factor + weight;
    new_weights[g / 4][g % 4] = weight;
    [[unroll]] for (uint i = 0; i < KV_VALUES; ++i) sums[g * KV_VALUES + i] *= factor;
  }
  [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) weights[lane * WEIGHT_VECTORS + i] = new_weights[i];
}

// Attends to the positions [low, high) of a chunk; `next_block` comes into place meanwhile.
void attend(uint low, uint high, uint parity, uint kv_head, uint next_block) {
  uint lane = gl_LocalInvocationIndex;
  bool attended = lane >= low && lane < high;
  float scores[GROUP];
  [[unroll]] for (uint g = 0; g < GROUP; ++g) scores[g] = 0.0;
  if (attended) score(blocks[parity][lane / KV_BLOCK] * KV_HEADS + kv_head, lane, scores);
  if (SOFT_CAP != 0)
    [[unroll]] for (uint g = 0; g < GROUP; ++g) scores[g] = soft_cap(scores[g], cap * LOG2_E);

  uint quad = lane % KV_QUADS;
  uint team = lane / KV_QUADS;
  for (uint first = 0; first < high; first += IN_FLIGHT * TEAMS) {
    bool busy = team < TEAMS && first + team < high;
    uvec4 v[IN_FLIGHT];
    if (busy) load_values(first + team, quad, low, high, parity, kv_head, v);
    if (first == 0) { // the first values are on their way meanwhile
      weigh(scores, attended);
      if (lane < CHUNK_BLOCKS) blocks[1 - parity][lane] = next_block;
      barrier();
    }
    if (busy) add_values(first + team, high, v);
  }
}

// Adds up the sums of a batch of heads over the teams. Every invocation calls it, then takes what it owns.
void share_sums(uint batch) {
  uint quad = gl_LocalInvocationIndex % KV_QUADS;
  uint team = gl_LocalInvocationIndex / KV_QUADS;
  barrier(); // the batch before has been taken
  if (team < TEAMS)
    [[unroll]] for (uint g = 0; g < GROUP; ++g)
      if (g / BATCH == batch)
        [[unroll]] for (uint i = 0; i < KV_VALUES; ++i)
          team_sums[(g % BATCH * TEAMS + team) * HEAD_VECTORS + quad * KV_VALUES + i] = sums[g * KV_VALUES + i];
  barrier();
}

// The part's result for the vec4 number `vector` of the group, after share_sums of its batch.
Folded part_result(uint vector) {
  uint head = vector / HEAD_VECTORS;
  Folded part = Folded(vec4(0.0), part_maxima[head], 0.0);
  for (uint team = 0; team < TEAMS; ++team)
    part.sum += team_sums[(head % BATCH * TEAMS + team) * HEAD_VECTORS + vector % HEAD_VECTORS];
  for (uint i = 0; i < gl_NumSubgroups; ++i) part.total += slots[head * MAX_SUBGROUPS + i];
  return part;
}

void store(uint first_head, uint vector, Folded folded) {
  uint dim = vector % HEAD_VECTORS * 4;
  uint to = (first_head + vector / HEAD_VECTORS) * HEAD_DIM + dim;
  vec4 values = folded.sum / folded.total;
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (dim + j < HEAD_DIM) hand_over(y, to + j, values[j]);
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

// Folds the parts from vector `first` on in `partials`, in ascending order.
void combine(uint first, uint parts, uint first_head) {
  // Maxima and totals go through shared memory, where the weights have done their work.
  for (uint i = gl_LocalInvocationIndex; i < parts * GROUP; i += LOCAL_SIZE) {
    vec4 ends = partials.at[first + i / GROUP * PART_VECTORS + GROUP_VECTORS + i % GROUP];
    weights[i] = ends;
  }
  barrier();
  for (uint vector = gl_LocalInvocationIndex; vector < GROUP_VECTORS; vector += LOCAL_SIZE) {
    Folded folded = Folded(vec4(0.0), LOWEST, 0.0);
    uint head = vector / HEAD_VECTORS;
    [[dont_unroll]] for (uint part = 0; part < parts; part += COMBINED) {
      vec4 part_sums[COMBINED];
      [[unroll]] for (uint j = 0; j < COMBINED; ++j)
        part_sums[j] = partials.at[first + min(part + j, parts - 1) * PART_VECTORS + vector];
      [[unroll]] for (uint j = 0; j < COMBINED; ++j) {
        vec4 ends = weights[min(part + j, parts - 1) * GROUP + head];
        if (part + j < parts) folded = fold(folded, Folded(part_sums[j], ends.x, ends.y));
      }
    }
    store(first_head, vector, folded);
  }
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint row_index = gl_WorkGroupID.x;
  uint share = gl_WorkGroupID.y;
  uint split = gl_WorkGroupID.z;
  Row row = row_of(step_rows.at[row_index]);
  if (row_index >= row_count.at[0]) return;

  uint end = row.position + 1;
  uint start = window == 0 || window >= end ? 0 : end - window;
  uint first_block = start / KV_BLOCK;
  uint last_block = row.position / KV_BLOCK;
  uint block_count = last_block - first_block + 1;
  uint part_chunks = ((block_count + MAX_PARTS - 1) / MAX_PARTS + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
  uint part_positions = part_chunks * LOCAL_SIZE;
  uint parts = (block_count * KV_BLOCK + part_positions - 1) / part_positions;
  if (split >= parts) return;

  uint kv_head = share / SHARES;
  uint first_head = (row_index * KV_HEADS * SHARES + share) * GROUP;
  uint table = row.sequence * max_blocks;
  uint origin = first_block * KV_BLOCK;
#ifdef ATTENTION_ROPE
  uint own_block = block_table.at[table + last_block] * KV_HEADS + kv_head;
  stage_row(row_index, share * GROUP, kv_head, row.position, split == (parts - 1) % SPLITS, own_block);
#else
  stage_queries(first_head);
#endif
  uint parity = 0;
  uint block = first_block + split * part_chunks * CHUNK_BLOCKS + lane;
  if (lane < CHUNK_BLOCKS) blocks[0][lane] = block_table.at[table + min(block, last_block)];
  barrier();

  bool folds_here = SPLITS == 1 || parts == 1;
  uint first_partial = (row_index * KV_HEADS * SHARES + share) * MAX_PARTS * PART_VECTORS;
  Folded folded[BATCHES * OWNED];
  [[unroll]] for (uint i = 0; i < BATCHES * OWNED; ++i) folded[i] = Folded(vec4(0.0), LOWEST, 0.0);

  for (uint part = split; part < parts; part += SPLITS) {
    if (part > split) barrier(); // the slots hold the totals of the part before
    [[unroll]] for (uint g = 0; g < GROUP; ++g) {
      maxima[g] = LOWEST;
      totals[g] = 0.0;
      [[unroll]] for (uint i = 0; i < KV_VALUES; ++i) sums[g * KV_VALUES + i] = vec4(0.0);
    }
    uint from = origin + part * part_positions;
    uint to = min(from + part_positions, end);
    for (uint chunk = from; chunk < to; chunk += LOCAL_SIZE) {
      uint next = chunk + LOCAL_SIZE < to ? chunk + LOCAL_SIZE : from + SPLITS * part_positions;
      uint next_block = 0;
      if (lane < CHUNK_BLOCKS) next_block = block_table.at[table + min(next / KV_BLOCK + lane, last_block)];
      attend(max(start, chunk) - chunk, min(to - chunk, LOCAL_SIZE), parity, kv_head, next_block);
      parity = 1 - parity;
    }

    [[unroll]] for (uint g = 0; g < GROUP; ++g) {
      float total = subgroupAdd(totals[g]);
      if (subgroupElect()) slots[g * MAX_SUBGROUPS + gl_SubgroupID] = total;
      if (lane == 0) part_maxima[g] = maxima[g];
    }
    [[unroll]] for (uint batch = 0; batch < BATCHES; ++batch) {
      share_sums(batch);
      [[unroll]] for (uint i = 0; i < OWNED; ++i) {
        uint vector = batch * BATCH_VECTORS + i * LOCAL_SIZE + lane;
        if (vector >= min((batch + 1) * BATCH_VECTORS, GROUP_VECTORS)) continue;
        Folded result = part_result(vector);
        if (folds_here) {
          folded[batch * OWNED + i] = fold(folded[batch * OWNED + i], result);
        } else {
          uint to_part = first_partial + part * PART_VECTORS;
          partials.at[to_part + vector] = result.sum;
          if (vector % HEAD_VECTORS == 0)
            partials.at[to_part + GROUP_VECTORS + vector / HEAD_VECTORS] = vec4(result.maximum, result.total, 0.0, 0.0);
        }
      }
    }
  }

  if (folds_here) {
    [[unroll]] for (uint batch = 0; batch < BATCHES; ++batch)
      [[unroll]] for (uint i = 0; i < OWNED; ++i) {
        uint vector = batch * BATCH_VECTORS + i * LOCAL_SIZE + lane;
        if (vector < min((batch + 1) * BATCH_VECTORS, GROUP_VECTORS)) store(first_head, vector, folded[batch * OWNED + i]);
      }
  } else if (arrives_last(row_index * KV_HEADS * SHARES + share, min(SPLITS, parts))) {
    combine(first_partial, parts, first_head);
  }
}
