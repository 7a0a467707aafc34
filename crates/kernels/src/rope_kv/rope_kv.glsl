// From the q, k and v of a projection to what attention reads: RMSNorm of each head of q and k (where there is one),
// RoPE over half-split pairs, q into `q`, k and v into the KV cache. A subgroup takes one head of one row; heads are
// numbered q, k, v.
#include "common.glsl"
#include "step.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 128;
layout(constant_id = 2) const uint ROTARY_DIM = 128;
layout(constant_id = 3) const uint Q_NORM = 0; // 1 if q is normalised
layout(constant_id = 4) const uint K_NORM = 0; // 1 if k is normalised
#include "kv_cache.glsl"

layout(push_constant, std430) uniform Push {
  Floats qkv;        // (rows, qkv_stride)
  Floats q_norm;     // (HEAD_DIM)
  Floats k_norm;     // (HEAD_DIM)
  Floats cos_table;  // (context, ROTARY_DIM / 2)
  Floats sin_table;  // (context, ROTARY_DIM / 2)
  Words row_count;   // [0] = rows that hold a token
  Words4 step_rows;  // (max_rows)
  Words block_table; // (max_sequences, max_blocks)
  MutableFloats q;   // (rows, heads * HEAD_DIM)
  MutableWords k_cache;
  MutableWords v_cache;
  uint qkv_stride;
  uint q_offset;
  uint k_offset;
  uint v_offset;
  uint heads;
  uint kv_heads;
  uint max_blocks;
  float norm_eps;
};

const uint HALF = ROTARY_DIM / 2;

// A head of `qkv` and what is to be done with it.
struct Head {
  uint from;   // its first value
  bool is_q;
  bool normed;
  bool turned;
  float scale; // 1 / root mean square
  uint angles; // first entry of its position in the tables
};

float normed_value(Head head, uint dim) {
  float value = qkv.at[head.from + dim];
  if (!head.normed) return value;
  return value * head.scale * (head.is_q ? q_norm.at[dim] : k_norm.at[dim]);
}

// Value `dim` of a head, normalised and rotated; 0 behind its end.
float value_at(Head head, uint dim) {
  if (dim >= HEAD_DIM) return 0.0;
  float value = normed_value(head, dim);
  if (!head.turned || dim >= ROTARY_DIM) return value;
  uint pair = dim < HALF ? dim + HALF : dim - HALF;
  float other = normed_value(head, pair);
  uint angle = head.angles + min(dim, pair);
  float turn = sin_table.at[angle];
  return value * cos_table.at[angle] + other * (dim < HALF ? -turn : turn);
}

void main() {
  uint row_index = gl_WorkGroupID.y;
  uint job = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID;
  if (row_index >= row_count.at[0] || job >= heads + 2 * kv_heads) return;
  Row row = row_of(step_rows.at[row_index]);
  uint lane = gl_SubgroupInvocationID;

  bool is_q = job < heads;
  bool is_v = job >= heads + kv_heads;
  uint index = is_q ? job : is_v ? job - heads - kv_heads : job - heads;
  uint offset = is_q ? q_offset : is_v ? v_offset : k_offset;
  bool normed = is_q ? Q_NORM != 0 : !is_v && K_NORM != 0;
  Head head = Head(row_index * qkv_stride + offset + index * HEAD_DIM, is_q, normed, !is_v, 1.0, row.position * HALF);
  if (normed) {
    float squares = 0.0;
    for (uint dim = lane; dim < HEAD_DIM; dim += gl_SubgroupSize) {
      float value = qkv.at[head.from + dim];
      squares += value * value;
    }
    head.scale = inversesqrt(subgroupAdd(squares) / float(HEAD_DIM) + norm_eps);
  }

  if (is_q) {
    for (uint dim = lane; dim < HEAD_DIM; dim += gl_SubgroupSize)
      q.at[(row_index * heads + index) * HEAD_DIM + dim] = value_at(head, dim);
    return;
  }
  uint cache_head = block_table.at[row.sequence * max_blocks + row.position / KV_BLOCK] * kv_heads + index;
  for (uint word = lane; word < 4 * KV_QUADS; word += gl_SubgroupSize) {
    uint dim = word * KV_VALUES;
    uint packed = kv_pack(vec2(value_at(head, dim), KV_VALUES == 1 ? 0.0 : value_at(head, dim + 1)));
    if (is_v) v_cache.at[4 * v_quad_at(cache_head, row.position, word / 4) + word % 4] = packed;
    else k_cache.at[4 * k_quad_at(cache_head, row.position, word / 4) + word % 4] = packed;
  }
}
