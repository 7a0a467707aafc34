// y = W x for one token row at a time; see mod.rs. A workgroup first stages x in shared memory (with the norm's weight,
// and as two planes of bytes where ACTIVATIONS_INT16 is defined), then each of its subgroups computes
// SUBGROUP_ROWS (at most 4) output features: each lane multiplies every subgroup-size-th chunk of their rows. The weights of the next
// step are loaded before the current ones are multiplied, the first ones before x is staged.
#include "common.glsl"
#ifdef ACTIVATIONS_INT16
#extension GL_EXT_integer_dot_product : require
#extension GL_KHR_shader_subgroup_clustered : require
#endif
#include "weights.glsl"
#include "linear.glsl"

layout(constant_id = 6) const uint NORM = 0;
layout(constant_id = 7) const uint SUBGROUP_ROWS = 2;
// 0 where x is too long for shared memory: then every product reads it again.
layout(constant_id = 8) const uint STAGED = 1;
layout(constant_id = 9) const uint POLLS = 0;     // x and the residual are handed over
layout(constant_id = 10) const uint PUBLISHES = 0; // y is handed over
#include "handover.glsl"

const uint CHUNKS = (COLS + CHUNK - 1) / CHUNK;

#ifdef ACTIVATIONS_INT16
// x = scale * (256 * high + low) in groups of 32: [high 0-15][high 16-31][low 0-15][low 16-31], each by group.
shared uvec4 staged[4 * CHUNKS];
shared float staged_scales[CHUNKS];
#ifdef MINS
// Sums of x / scale over the weights that share a min.
shared int staged_sums[SCALES * CHUNKS];
#endif
#else
// Part p of every chunk, then part p + 1: lanes with neighbouring chunks read neighbouring vectors.
shared vec4 staged[STAGED != 0 ? CHUNK / 4 * CHUNKS : 1];
#endif

// Four values of x with the norm's weight, and what they add to the sum of squares.
vec4 load_activation(uint x_base, uint k, inout float squares) {
  vec4 values;
  if (POLLS == 0) values = load_row4(x, x_base, k);
  else values = k < COLS ? handed_vec4(x, x_base + k / 4) : vec4(0.0);
  if (NORM != 0) {
    squares += dot(values, values);
    values *= load_row4(norm_weight, 0, k);
  }
  return values;
}

#ifdef ACTIVATIONS_INT16
uint packed_bytes(ivec4 values) {
  uvec4 bytes = uvec4(values) & 0xffu;
  return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

// Eight neighbouring invocations quantise a group of 32.
float stage(uint x_base) {
  float squares = 0.0;
  for (uint start = 0; start < COLS / 4; start += gl_WorkGroupSize.x) {
    uint vector = start + gl_LocalInvocationIndex;
    bool inside = vector < COLS / 4;
    vec4 values = inside ? load_activation(x_base, vector * 4, squares) : vec4(0.0);
    vec4 sizes = abs(values);
    float largest = subgroupClusteredMax(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)), 8);
    float inverse = largest > 0.0 ? 32512.0 / largest : 0.0;
    ivec4 whole = ivec4(roundEven(values * inverse));
    ivec4 high = (whole + 128) >> 8;
#ifdef MINS
    int sum = subgroupClusteredAdd(whole.x + whole.y + whole.z + whole.w, 8 / SCALES);
#endif
    if (inside) {
      uint group = vector / 8, half_group = vector / 4 % 2;
      staged[half_group * CHUNKS + group][vector % 4] = packed_bytes(high);
      staged[(2 + half_group) * CHUNKS + group][vector % 4] = packed_bytes(whole - 256 * high);
      if (vector % 8 == 0) staged_scales[group] = largest / 32512.0;
#ifdef MINS
      if (vector % (8 / SCALES) == 0) staged_sums[(SCALES == 2 ? half_group : 0) * CHUNKS + group] = sum;
#endif
    }
  }
  return squares;
}

// Adds what half a chunk makes of the high bytes (plane 0) or the low ones (plane 1).
int plane_product(Chunk weights, uint half_group, uint plane, uint chunk, int sum) {
  uvec4 bytes = staged[(2 * plane + half_group) * CHUNKS + chunk];
  [[unroll]] for (uint word = 0; word < 4; ++word)
    sum += dotPacked4x8EXT(int(quant_word(weights, half_group, word)), int(bytes[word]));
  return sum;
}

float chunk_product(Chunk weights, uint chunk, uint x_base) {
  float sum = 0.0;
  [[unroll]] for (uint first = 0; first < SCALES; ++first) {
    int product = 0;
    [[unroll]] for (uint h = first; h < 2; h += SCALES) product = plane_product(weights, h, 0, chunk, product);
    product *= 256;
    [[unroll]] for (uint h = first; h < 2; h += SCALES) product = plane_product(weights, h, 1, chunk, product);
    vec2 scale = scale_and_min(weights, first);
    sum += float(product) * scale.x;
#ifdef MINS
    sum -= float(staged_sums[first * CHUNKS + chunk]) * scale.y;
#endif
  }
  return sum * staged_scales[chunk];
}
#else
float stage(uint x_base) {
  float squares = 0.0;
  if (STAGED == 0 && NORM == 0) return squares;
  for (uint vector = gl_LocalInvocationIndex; vector < CHUNKS * (CHUNK / 4); vector += gl_WorkGroupSize.x) {
    vec4 values = load_activation(x_base, vector * 4, squares);
    if (STAGED != 0) staged[vector % (CHUNK / 4) * CHUNKS + vector / (CHUNK / 4)] = values;
  }
  return squares;
}

float chunk_product(Chunk weights, uint chunk, uint x_base) {
  const uint PARTS = CHUNK / 4 / SCALES; // that share a scale
  float sum = 0.0, squares = 0.0;
  [[unroll]] for (uint first = 0; first < SCALES; ++first) {
    float product = 0.0, total = 0.0;
    [[unroll]] for (uint part = first * PARTS; part < (first + 1) * PARTS; ++part) {
      vec4 values = STAGED != 0 ? staged[part * CHUNKS + chunk] : load_activation(x_base, chunk * CHUNK + part * 4, squares);
      product += dot(unscaled_weights(weights, part), values);
#ifdef MINS
      total += dot(vec4(1.0), values);
#endif
    }
    vec2 scale = scale_and_min(weights, first);
    sum += product * scale.x - total * scale.y;
  }
  return sum;
}
#endif

// Arrays sized by a specialization constant cannot be passed or assigned, so these work on one row.
Chunk load_row_chunk(uint matrix, uint row, uint chunk) {
  return load_chunk(weight, scales, matrix + min(row, rows - 1), min(chunk, CHUNKS - 1), COLS);
}

void main() {
  uint slot = gl_WorkGroupID.y; // a token row, or one of its experts
  if (slot >= row_count.at[0] * max(SLOTS, 1)) return;
  uint matrix = 0; // the row where the expert's begin
  if (SLOTS != 0) {
    uint expert = experts.at[slot] - first_expert;
    if (expert >= expert_count) return;
    matrix = expert * rows;
  }
  uint first_row = (gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID) * SUBGROUP_ROWS;
  uint lane = gl_SubgroupInvocationID;
  Chunk next[SUBGROUP_ROWS];
  uint x_base = slot / X_SLOTS * (x_stride / 4);
  // Weights under way would hold up the polls behind them.
  float squares = POLLS != 0 ? stage(x_base) : 0.0;
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) next[r] = load_row_chunk(matrix, first_row + r, lane);
  if (POLLS == 0) squares = stage(x_base);
  float norm = 1.0;
  if (NORM != 0) norm = inversesqrt(workgroup_sum(squares) / float(COLS) + eps);
  barrier();
  if (first_row >= rows) return; // the whole subgroup

  uint y_base = slot * y_stride;
  float start = 0.0; // lane r has the residual of row r
  if (EPILOGUE == EPILOGUE_ADD && lane < SUBGROUP_ROWS && first_row + lane < rows)
    start = handed_float(residual, y_base + first_row + lane);
  float sums[SUBGROUP_ROWS];
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) sums[r] = 0.0;
  for (uint chunk = lane; chunk < CHUNKS; chunk += gl_SubgroupSize) {
    Chunk weights[SUBGROUP_ROWS];
    [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) weights[r] = next[r];
    if (chunk + gl_SubgroupSize < CHUNKS) {
      [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r)
        next[r] = load_row_chunk(matrix, first_row + r, chunk + gl_SubgroupSize);
    }
    [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) sums[r] += chunk_product(weights[r], chunk, x_base);
  }
  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) sums[r] = subgroupAdd(sums[r]) * norm;

  [[unroll]] for (uint r = 0; r < SUBGROUP_ROWS; ++r) {
    uint feature = first_row + r;
    if (lane != r || feature >= rows) continue;
    float product = biased(sums[r], matrix + feature);
    if (!GATED) hand_over(y, y_base + feature, start + capped(product));
    // Gate and up rows alternate: an even row is a gate, the next one its partner.
    else if (r % 2 == 0)
      hand_over(y, y_base + feature / 2, gated(product, biased(sums[min(r + 1, SUBGROUP_ROWS - 1)], matrix + feature + 1)));
  }
}
