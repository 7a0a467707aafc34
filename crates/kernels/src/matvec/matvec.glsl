// y = W x for one token row at a time; see mod.rs. An invocation owns the same chunks of every row it works on, so it reads
// x once, into registers, and then streams rows: LANE_ROWS at a time, the next ones loaded while it multiplies.
//
// K_LANES neighbouring invocations and K_SUBGROUPS subgroups share a row; the other lanes and subgroups work on other rows.
// Sums meet in shared memory; an invocation a row finishes them.
#include "common.glsl"
#extension GL_KHR_shader_subgroup_shuffle : require
#ifdef ACTIVATIONS_INT16
#extension GL_EXT_integer_dot_product : require
#extension GL_KHR_shader_subgroup_clustered : require
#endif
#include "weights.glsl"
#include "linear.glsl"

layout(constant_id = 6) const uint NORM = 0;
layout(constant_id = 7) const uint LANE_ROWS = 2;
layout(constant_id = 8) const uint K_LANES = 4; // a power of two, at most a subgroup
layout(constant_id = 9) const uint K_SUBGROUPS = 1;
layout(constant_id = 10) const uint WORKGROUP_ROWS = 32; // at most as many as there are invocations
layout(constant_id = 11) const uint POLLS = 0;     // x and the residual are handed over
layout(constant_id = 12) const uint PUBLISHES = 0; // y is handed over
layout(constant_id = 13) const uint STAGES = 0;    // f32 x goes through shared memory, so that a workgroup reads it once
layout(constant_id = 14) const uint X_PLANES = 0;  // x comes as planes of bytes, as planes.rs describes them
layout(constant_id = 15) const uint Y_PLANES = 0;  // y goes out as planes too
#include "handover.glsl"

const uint CHUNKS = (COLS + CHUNK - 1) / CHUNK;
const uint STEP = K_LANES * K_SUBGROUPS;             // chunks of a row that are multiplied at once
const uint STEPS = (CHUNKS + STEP - 1) / STEP;       // chunks of a row that an invocation owns
const uint BLOCK_ROWS = gl_WorkGroupSize.x / STEP * LANE_ROWS; // rows that are multiplied at once
const uint BLOCKS = (WORKGROUP_ROWS + BLOCK_ROWS - 1) / BLOCK_ROWS;
const uint OUTPUTS = GATED ? WORKGROUP_ROWS / 2 : WORKGROUP_ROWS;

shared float partial_sums[K_SUBGROUPS * WORKGROUP_ROWS];
shared float partial_squares[256]; // of the norm, by subgroup

// The invocation's first chunk; the next ones are STEP apart.
uint first_chunk() { return gl_SubgroupID % K_SUBGROUPS * K_LANES + gl_SubgroupInvocationID % K_LANES; }

// Zero for what of x[k .. k + 3] lies behind the row's end.
vec4 cut(vec4 values, uint k) {
  if (COLS % 4 == 0) return k < COLS ? values : vec4(0.0);
  return mix(values, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

// Where x[k .. k + 3] lies in a row, or the row's last vector.
uint vector_of(uint k) { return min(k, COLS - 1) / 4; }

// x with the norm's weight, and what it adds to the sum of squares.
vec4 weighted(vec4 values, vec4 norm_weights, inout float squares) {
  if (NORM == 0) return values;
  squares += dot(values, values);
  return values * norm_weights;
}

#ifdef ACTIVATIONS_INT16
// x = scale * (256 * high + low) in groups of 32: [high 0-15][high 16-31][low 0-15][low 16-31], each by group.
shared uvec4 staged[X_PLANES != 0 ? 1 : 4 * CHUNKS];
shared float staged_scales[X_PLANES != 0 ? 1 : CHUNKS];
shared float outputs[Y_PLANES != 0 ? OUTPUTS : 1];
uvec4 planes[4 * STEPS];
float plane_scales[STEPS];
#ifdef MINS
// Sums of x / scale over the weights that share a min.
shared int staged_sums[X_PLANES != 0 ? 1 : SCALES * CHUNKS];
int plane_sums[SCALES * STEPS];
#endif

uint packed_bytes(ivec4 values) {
  uvec4 bytes = uvec4(values) & 0xffu;
  return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

// Four values of a group that eight neighbouring invocations hold, quantised.
struct Quantised {
  uint high;
  uint low;
  float scale; // of the group
  int sum;     // of the four
};

Quantised quantised(vec4 values) {
  vec4 sizes = abs(values);
  float largest = subgroupClusteredMax(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)), 8);
  float inverse = largest > 0.0 ? 32512.0 / largest : 0.0;
  ivec4 whole = ivec4(roundEven(values * inverse));
  ivec4 high = (whole + 128) >> 8;
  ivec4 low = max(whole - 256 * high, ivec4(-127)); // four times -128 would be NOT_READY, see planes.rs
  whole = 256 * high + low;
  return Quantised(packed_bytes(high), packed_bytes(low), largest / 32512.0, whole.x + whole.y + whole.z + whole.w);
}

// Quantises x into shared memory, once for the workgroup.
float stage(uint x_base) {
  float squares = 0.0;
  for (uint start = 0; start < COLS / 4; start += gl_WorkGroupSize.x) {
    uint vector = start + gl_LocalInvocationIndex;
    bool inside = vector < COLS / 4;
    vec4 norm_weights = vec4(1.0), values = vec4(0.0);
    if (inside) {
      if (NORM != 0) norm_weights = norm_weight.at[vector];
      values = weighted(handed_vec4(x, x_base + vector), norm_weights, squares);
    }
    Quantised four = quantised(values);
#ifdef MINS
    int sum = subgroupClusteredAdd(four.sum, 8 / SCALES);
#endif
    if (inside) {
      uint group = vector / 8, half_group = vector / 4 % 2;
      staged[half_group * CHUNKS + group][vector % 4] = four.high;
      staged[(2 + half_group) * CHUNKS + group][vector % 4] = four.low;
      if (vector % 8 == 0) staged_scales[group] = four.scale;
#ifdef MINS
      if (vector % (8 / SCALES) == 0) staged_sums[(SCALES == 2 ? half_group : 0) * CHUNKS + group] = sum;
#endif
    }
  }
  barrier();
  return squares;
}

// Masks of the words of planes in memory, see planes.rs.
const uint PLANES_MASK = 0x7f7f7f7fu;
const uint SUM_MASK = 0x7fffffffu;

// Where x has part i % 5 (the last one is what belongs to the group) of this invocation's chunk number i / 5.
uint plane_word(uint i) { return i % 5 * CHUNKS + min(first_chunk() + i / 5 * STEP, CHUNKS - 1); }

// Brings x into `planes`; returns what this invocation adds to the sum of its squares.
float take_activations(uint x_base) {
  float squares = X_PLANES != 0 ? 0.0 : stage(x_base);
  uvec4 words[X_PLANES != 0 ? 5 * STEPS : 1];
  if (X_PLANES != 0) [[unroll]] for (uint i = 0; i < 5 * STEPS; ++i) words[i] = first_poll(x, plane_word(i));
  [[unroll]] for (uint s = 0; s < STEPS; ++s) {
    bool inside = first_chunk() + s * STEP < CHUNKS;
    uint chunk = min(first_chunk() + s * STEP, CHUNKS - 1);
    if (X_PLANES != 0) {
      [[unroll]] for (uint part = 0; part < 5; ++part)
        words[5 * s + part] = polled(words[5 * s + part], x, plane_word(5 * s + part));
      [[unroll]] for (uint part = 0; part < 4; ++part) planes[4 * s + part] = words[5 * s + part] ^ PLANES_MASK;
      uvec4 head = words[5 * s + 4];
      plane_scales[s] = inside ? uintBitsToFloat(head.x) : 0.0;
#ifdef MINS
      ivec2 sums = ivec2(head.yz ^ SUM_MASK);
      plane_sums[s * SCALES] = SCALES == 2 ? sums.x : sums.x + sums.y;
      if (SCALES == 2) plane_sums[s * SCALES + 1] = sums.y;
#endif
    } else {
      [[unroll]] for (uint part = 0; part < 4; ++part) planes[4 * s + part] = staged[part * CHUNKS + chunk];
      plane_scales[s] = inside ? staged_scales[chunk] : 0.0;
#ifdef MINS
      [[unroll]] for (uint i = 0; i < SCALES; ++i) plane_sums[s * SCALES + i] = staged_sums[i * CHUNKS + chunk];
#endif
    }
  }
  return squares;
}

// The workgroup's outputs as planes for the next layer.
void publish_planes(uint place, float value, uint first_output) {
  if (place < OUTPUTS) outputs[place] = value;
  barrier();
  if (place >= OUTPUTS / 4) return;
  uint groups = (GATED ? rows / 2 : rows) / 32;
  uint vector = first_output / 4 + place, group = vector / 8;
  if (group >= groups) return; // with all its eight neighbours
  vec4 values = vec4(outputs[4 * place], outputs[4 * place + 1], outputs[4 * place + 2], outputs[4 * place + 3]);
  Quantised four = quantised(values);
  uint sum = uint(subgroupClusteredAdd(four.sum, 4)), second_sum = subgroupShuffleXor(sum, 4);
  uint half_group = vector / 4 % 2;
  hand_over_word(y_planes, (half_group * groups + group) * 4 + vector % 4, four.high ^ PLANES_MASK);
  hand_over_word(y_planes, ((2 + half_group) * groups + group) * 4 + vector % 4, four.low ^ PLANES_MASK);
  if (vector % 8 == 0) {
    uvec4 head = uvec4(floatBitsToUint(four.scale), sum ^ SUM_MASK, second_sum ^ SUM_MASK, 0);
    [[unroll]] for (uint i = 0; i < 4; ++i) hand_over_word(y_planes, (4 * groups + group) * 4 + i, head[i]);
  }
}

// Adds what half a chunk makes of the high bytes (plane 0) or the low ones (plane 1).
int plane_product(Chunk weights, uint half_group, uint plane, uint s, int sum) {
  uvec4 bytes = planes[4 * s + 2 * plane + half_group];
  [[unroll]] for (uint word = 0; word < 4; ++word)
    sum += dotPacked4x8EXT(int(quant_word(weights, half_group, word)), int(bytes[word]));
  return sum;
}

float chunk_product(Chunk weights, uint s) {
  float sum = 0.0;
  [[unroll]] for (uint first = 0; first < SCALES; ++first) {
    int product = 0;
    [[unroll]] for (uint h = first; h < 2; h += SCALES) product = plane_product(weights, h, 0, s, product);
    product *= 256;
    [[unroll]] for (uint h = first; h < 2; h += SCALES) product = plane_product(weights, h, 1, s, product);
    vec2 scale = scale_and_min(weights, first);
    sum += float(product) * scale.x;
#ifdef MINS
    sum -= float(plane_sums[s * SCALES + first]) * scale.y;
#endif
  }
  return sum * plane_scales[s];
}
#else
const uint PARTS = CHUNK / 4;
vec4 activations[STEPS * PARTS];
// Part p of every chunk, then part p + 1: lanes with neighbouring chunks read neighbouring vectors.
shared vec4 staged[STAGES != 0 ? PARTS * CHUNKS : 1];

uint chunk_of(uint i) { return first_chunk() + i / PARTS * STEP; }
uint column_of(uint i) { return chunk_of(i) * CHUNK + i % PARTS * 4; }

// Brings x into `activations`, zero behind the row's end; returns what this invocation adds to the sum of its squares.
float take_activations(uint x_base) {
  float squares = 0.0;
  if (STAGES != 0) {
    for (uint vector = gl_LocalInvocationIndex; vector < PARTS * CHUNKS; vector += gl_WorkGroupSize.x) {
      uint from = min(vector, (COLS - 1) / 4);
      vec4 norm_weights = NORM != 0 ? norm_weight.at[from] : vec4(1.0);
      staged[vector % PARTS * CHUNKS + vector / PARTS] = weighted(cut(handed_vec4(x, x_base + from), 4 * vector), norm_weights, squares);
    }
    barrier();
    [[unroll]] for (uint i = 0; i < STEPS * PARTS; ++i)
      activations[i] = chunk_of(i) < CHUNKS ? staged[i % PARTS * CHUNKS + chunk_of(i)] : vec4(0.0);
    return squares;
  }
  uvec4 words[STEPS * PARTS];
  vec4 norm_weights[STEPS * PARTS];
  [[unroll]] for (uint i = 0; i < STEPS * PARTS; ++i) {
    words[i] = first_poll(x, x_base + vector_of(column_of(i)));
    if (NORM != 0) norm_weights[i] = norm_weight.at[vector_of(column_of(i))];
  }
  [[unroll]] for (uint i = 0; i < STEPS * PARTS; ++i) {
    vec4 values = cut(uintBitsToFloat(polled(words[i], x, x_base + vector_of(column_of(i)))), column_of(i));
    activations[i] = weighted(values, NORM != 0 ? norm_weights[i] : vec4(1.0), squares);
  }
  // Of the invocations that share chunks one counts them.
  return gl_SubgroupInvocationID < K_LANES && gl_SubgroupID < K_SUBGROUPS ? squares : 0.0;
}

float chunk_product(Chunk weights, uint s) {
  float sum = 0.0;
  [[unroll]] for (uint first = 0; first < SCALES; ++first) {
    float product = 0.0, total = 0.0;
    [[unroll]] for (uint part = first * PARTS / SCALES; part < (first + 1) * PARTS / SCALES; ++part) {
      vec4 values = activations[s * PARTS + part];
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

// The sum over the K_LANES neighbours that share a row.
float row_sum(float value) {
  if (K_LANES == gl_SubgroupSize) return subgroupAdd(value);
  [[unroll]] for (uint distance = 1; distance < K_LANES; distance *= 2) value += subgroupShuffleXor(value, distance);
  return value;
}

// The chunks that are multiplied next, row by row.
Chunk next[LANE_ROWS * STEPS];

void load_next(uint i, uint row) {
  next[i] = load_chunk(weight, scales, row, min(first_chunk() + i % STEPS * STEP, CHUNKS - 1), COLS);
}

// Multiplies rows `row ..` of the workgroup; where `loads`, rows `from ..` of the matrix take their place.
void multiply(uint row, uint from, uint last, bool loads) {
  [[unroll]] for (uint r = 0; r < LANE_ROWS; ++r) {
    float sum = 0.0;
    [[unroll]] for (uint s = 0; s < STEPS; ++s) {
      Chunk weights = next[r * STEPS + s];
      if (loads) load_next(r * STEPS + s, min(from + r, last));
      sum += chunk_product(weights, s);
    }
    sum = row_sum(sum);
    if (gl_SubgroupInvocationID % K_LANES == 0 && row + r < WORKGROUP_ROWS)
      partial_sums[gl_SubgroupID % K_SUBGROUPS * WORKGROUP_ROWS + row + r] = sum;
  }
}

// The finished product of row `row` of the workgroup, behind the barrier.
float finished(uint row, float norm, uint feature) {
  float sum = 0.0;
  [[unroll]] for (uint i = 0; i < K_SUBGROUPS; ++i) sum += partial_sums[i * WORKGROUP_ROWS + row];
  return biased(sum * norm, feature);
}

void main() {
  uint slot = gl_WorkGroupID.y; // a token row, or one of its experts
  uint slots = row_count.at[0] * max(SLOTS, 1);
  uint matrix = 0; // the row where the expert's begin
  if (SLOTS != 0) {
    if (slot >= slots) return;
    uint expert = experts.at[slot] - first_expert;
    if (expert >= expert_count) return;
    matrix = expert * rows;
  }
  uint workgroup_row = gl_WorkGroupID.x * WORKGROUP_ROWS;
  uint lane_rows = LANE_ROWS * (gl_SubgroupSize / K_LANES); // of a subgroup
  uint row = gl_SubgroupID / K_SUBGROUPS * lane_rows + gl_SubgroupInvocationID / K_LANES * LANE_ROWS;
  uint first = matrix + workgroup_row + row, last = matrix + rows - 1;
  [[unroll]] for (uint i = 0; i < LANE_ROWS * STEPS; ++i) load_next(i, min(first + i / STEPS, last));
  if (slot >= slots) return; // after the loads, which do not wait for row_count this way

  uint x_base = slot / X_SLOTS * (x_stride / 4);
  float squares = take_activations(x_base);
  if (NORM != 0) {
    squares = subgroupAdd(squares);
    if (subgroupElect()) partial_squares[gl_SubgroupID] = squares;
  }
  uint place = gl_LocalInvocationIndex;
  uint first_output = GATED ? workgroup_row / 2 : workgroup_row;
  uint y_base = slot * y_stride + first_output;
  bool finishes = place < OUTPUTS && first_output + place < (GATED ? rows / 2 : rows);
  float start = 0.0;
  if (EPILOGUE == EPILOGUE_ADD && finishes) start = handed_float(residual, y_base + place);

  [[dont_unroll]] for (uint block = 0; block + 1 < BLOCKS; ++block) {
    multiply(row, first + BLOCK_ROWS, last, true);
    row += BLOCK_ROWS;
    first += BLOCK_ROWS;
  }
  multiply(row, first, last, false);
  barrier();

  float value = 0.0;
  if (finishes) {
    float norm = 1.0;
    if (NORM != 0) {
      float total = 0.0;
      for (uint i = 0; i < gl_NumSubgroups; ++i) total += partial_squares[i];
      norm = inversesqrt(total / float(COLS) + eps);
    }
    if (GATED) { // gate and up rows alternate
      uint feature = matrix + workgroup_row + 2 * place;
      value = gated(finished(2 * place, norm, feature), finished(2 * place + 1, norm, feature + 1));
    } else {
      value = start + capped(finished(place, norm, matrix + workgroup_row + place));
    }
    hand_over(y, y_base + place, value);
  }
#ifdef ACTIVATIONS_INT16
  if (Y_PLANES != 0) publish_planes(place, value, first_output);
#endif
}
