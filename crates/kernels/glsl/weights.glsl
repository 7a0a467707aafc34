// Weight matrices as `weights.rs` and `weights/planes.rs` lay them out. A .comp file defines WEIGHTS_<TYPE> and gets:
// CHUNK weights that a lane reads at a time, load_chunk, and the weights of a chunk, whole or as quants and scales.

#if defined(WEIGHTS_F32)
#define CHUNK 4
#elif defined(WEIGHTS_F16) || defined(WEIGHTS_BF16)
#define CHUNK 8
#else
// A group: weight = scale * quant - min, with SCALES scales (and mins, where MINS is defined) a group.
#define CHUNK 32
#define QUANTS
#endif

// LOW_BITS a quant in the first plane, HIGH_BITS in the second; QUANT_SHIFT moves a centred quant to the top of its byte.
#if defined(WEIGHTS_Q8_0)
#define LOW_BITS 8
#elif defined(WEIGHTS_Q2_K) || defined(WEIGHTS_Q3_K)
#define LOW_BITS 2
#else
#define LOW_BITS 4
#endif

#if defined(WEIGHTS_Q5_0) || defined(WEIGHTS_Q5_1) || defined(WEIGHTS_Q5_K) || defined(WEIGHTS_Q3_K)
#define HIGH_BITS 1
#elif defined(WEIGHTS_Q6_K)
#define HIGH_BITS 2
#else
#define HIGH_BITS 0
#endif

#if defined(WEIGHTS_Q4_K) || defined(WEIGHTS_Q5_K)
#define SCALES_SIX_BITS
#elif defined(WEIGHTS_Q6_K) || defined(WEIGHTS_Q3_K)
#define SCALES_HALVES
#elif defined(WEIGHTS_Q2_K)
#define SCALES_HALVES_AND_MINS
#elif defined(WEIGHTS_Q4_1) || defined(WEIGHTS_Q5_1)
#define SCALES_AND_MIN
#endif

#if defined(SCALES_SIX_BITS) || defined(SCALES_HALVES_AND_MINS) || defined(SCALES_AND_MIN)
#define MINS
#endif
#if defined(SCALES_HALVES) || defined(SCALES_HALVES_AND_MINS)
#define SCALES 2
#else
#define SCALES 1
#endif
#if defined(MINS) || defined(WEIGHTS_IQ4_NL)
#define QUANT_SHIFT 0
#else
#define QUANT_SHIFT (8 - LOW_BITS - HIGH_BITS)
#endif

#ifdef QUANTS
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words2 { uvec2 at[]; };

// Scales stay as they were loaded until they are needed, so that a load that runs ahead is not waited for.
struct Chunk {
#if LOW_BITS == 8
  uvec4 first;  // quants 0 - 15 of the group
  uvec4 second; // quants 16 - 31
#elif LOW_BITS == 4
  uvec4 low;
#else
  uvec2 low;
#endif
#if HIGH_BITS == 1
  uint high;
#elif HIGH_BITS == 2
  uvec2 high;
#endif
#if defined(SCALES_SIX_BITS)
  uvec4 scales;
  uint group; // of the 8 that share them
#elif defined(SCALES_HALVES) || defined(SCALES_HALVES_AND_MINS)
  uint halves; // and a neighbour's
  uint halves_shift;
  uint scale;
#ifdef SCALES_HALVES
  uint scale_shift;
#endif
#elif defined(SCALES_AND_MIN)
  uint scale;
#else
  uint scale; // and a neighbour's
  uint scale_shift;
#endif
};
#else
struct Chunk {
  uvec4 words;
};
#endif

uint chunks_in_row(uint cols) { return (cols + CHUNK - 1) / CHUNK; }

// Chunk `chunk` of `row`. `scales` begins where the quants of all rows end.
Chunk load_chunk(Words4 values, Words scales, uint row, uint chunk, uint cols) {
  Chunk loaded;
#ifndef QUANTS
  loaded.words = values.at[row * chunks_in_row(cols) + chunk];
#else
  uint groups = cols / 32;
#if LOW_BITS == 8
  uint run = chunk / 32;
  uint groups_in_run = min(32, groups - run * 32);
  uint word = row * groups * 2 + run * 64 + chunk % 32;
  loaded.first = values.at[word];
  loaded.second = values.at[word + groups_in_run];
#else
  uint row_words = (groups * (LOW_BITS + HIGH_BITS) + 3) / 4 * 4;
#if LOW_BITS == 4
  loaded.low = values.at[row * (row_words / 4) + chunk];
#else
  loaded.low = Words2(values).at[row * (row_words / 2) + chunk];
#endif
#if HIGH_BITS == 1
  loaded.high = Words(values).at[row * row_words + groups * LOW_BITS + chunk];
#elif HIGH_BITS == 2
  loaded.high = Words2(values).at[row * (row_words / 2) + groups * (LOW_BITS / 2) + chunk];
#endif
#endif

#if defined(SCALES_SIX_BITS)
  loaded.scales = Words4(scales).at[row * (groups / 8) + chunk / 8];
  loaded.group = chunk % 8;
#elif defined(SCALES_HALVES)
  uint halves = row * (groups / 8 * 9) + chunk, scale = row * (groups / 8 * 9) + groups + chunk / 8;
  loaded.halves = scales.at[halves / 2];
  loaded.halves_shift = halves % 2 * 16;
  loaded.scale = scales.at[scale / 2];
  loaded.scale_shift = scale % 2 * 16;
#elif defined(SCALES_HALVES_AND_MINS)
  uint row_scales = row * (groups / 8 * 5);
  loaded.halves = scales.at[row_scales + chunk / 2];
  loaded.halves_shift = chunk % 2 * 16;
  loaded.scale = scales.at[row_scales + groups / 2 + chunk / 8];
#elif defined(SCALES_AND_MIN)
  loaded.scale = scales.at[row * groups + chunk];
#else
  uint scale = row * groups + chunk;
  loaded.scale = scales.at[scale / 2];
  loaded.scale_shift = scale % 2 * 16;
#endif
#endif
  return loaded;
}

#ifdef QUANTS
// The bits `mask` of every byte of `word`, moved up by `places`.
uint moved(uint word, int places, uint mask) {
  uint shifted = places >= 0 ? word << places : word >> -places;
  return shifted & (places >= 0 ? mask << places : mask >> -places) * 0x01010101u;
}

#ifdef WEIGHTS_IQ4_NL
// The table of values as bytes: -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113.
uint iq4_nl_value(uint place) {
  uvec2 pair = place < 8 ? uvec2(0xbfad9881u, 0xf6eaddcfu) : uvec2(0x26190d01u, 0x71594535u);
  return ((place & 4) == 0 ? pair.x : pair.y) >> (place % 4 * 8) & 0xffu;
}
#endif

// Four quants as signed bytes, 2^QUANT_SHIFT times as large: quants 16 * half + 4 * word and so on.
uint quant_word(Chunk chunk, uint half_group, uint word) {
#if LOW_BITS == 8
  return half_group == 0 ? chunk.first[word] : chunk.second[word];
#elif defined(WEIGHTS_IQ4_NL)
  uint places = chunk.low[word] >> (4 * half_group) & 0x0f0f0f0fu;
  return iq4_nl_value(places & 15) | iq4_nl_value(places >> 8 & 15) << 8 | iq4_nl_value(places >> 16 & 15) << 16 |
    iq4_nl_value(places >> 24) << 24;
#else
  // From where a plane has them, as (bits << from).
#if LOW_BITS == 4
  int from = 4 * int(half_group);
  uint quants = moved(chunk.low[word], QUANT_SHIFT - from, 15 << from);
#else
  int from = 2 * int(word);
  uint quants = moved(chunk.low[half_group], QUANT_SHIFT - from, 3 << from);
#endif
#if HIGH_BITS == 1
  int high_from = int(word + 4 * half_group);
  quants |= moved(chunk.high, QUANT_SHIFT + LOW_BITS - high_from, 1 << high_from);
#elif HIGH_BITS == 2
  int high_from = 2 * int(word);
  quants |= moved(chunk.high[half_group], QUANT_SHIFT + LOW_BITS - high_from, 3 << high_from);
#endif
  return quants;
#endif
}

vec4 signed_bytes(uint word) {
  int bytes = int(word);
  return vec4(bitfieldExtract(bytes, 0, 8), bitfieldExtract(bytes, 8, 8), bitfieldExtract(bytes, 16, 8), bytes >> 24);
}

// Scale (of what quant_word returns) and min of half `half_group`, or of the whole group where SCALES is 1.
vec2 scale_and_min(Chunk chunk, uint half_group) {
#if defined(SCALES_SIX_BITS)
  uint shift = chunk.group * 4;
  uint scale = chunk.scales.y >> shift & 15 | (chunk.scales.w >> shift / 2 & 3) << 4;
  uint least = chunk.scales.z >> shift & 15 | (chunk.scales.w >> (16 + shift / 2) & 3) << 4;
  vec2 found = unpackHalf2x16(chunk.scales.x) * vec2(scale, least);
#elif defined(SCALES_HALVES)
  int halves = int(chunk.halves >> chunk.halves_shift);
  vec2 found = vec2(unpackHalf2x16(chunk.scale >> chunk.scale_shift).x * float(bitfieldExtract(halves, 8 * int(half_group), 8)), 0.0);
#elif defined(SCALES_HALVES_AND_MINS)
  uint halves = chunk.halves >> (chunk.halves_shift + 8 * half_group);
  vec2 found = unpackHalf2x16(chunk.scale) * vec2(halves & 15, halves >> 4 & 15);
#elif defined(SCALES_AND_MIN)
  vec2 found = unpackHalf2x16(chunk.scale);
#else
  vec2 found = vec2(unpackHalf2x16(chunk.scale >> chunk.scale_shift).x, 0.0);
#endif
  return vec2(found.x / float(1 << QUANT_SHIFT), found.y);
}
#else
vec2 scale_and_min(Chunk chunk, uint half_group) { return vec2(1.0, 0.0); }
#endif

// Four of the chunk's weights, from weight 4 * part on, without scale and min.
vec4 unscaled_weights(Chunk chunk, uint part) {
#if defined(WEIGHTS_F32)
  return uintBitsToFloat(chunk.words);
#elif defined(WEIGHTS_F16)
  return vec4(unpackHalf2x16(chunk.words[2 * part]), unpackHalf2x16(chunk.words[2 * part + 1]));
#elif defined(WEIGHTS_BF16)
  uvec2 pair = uvec2(chunk.words[2 * part], chunk.words[2 * part + 1]);
  return uintBitsToFloat(uvec4(pair.x << 16, pair.x & 0xffff0000u, pair.y << 16, pair.y & 0xffff0000u));
#else
  return signed_bytes(quant_word(chunk, part / 4, part % 4));
#endif
}

// Four of the chunk's weights, from weight 4 * part on.
vec4 weights_of(Chunk chunk, uint part) {
  vec2 scale = scale_and_min(chunk, part / 4);
  vec4 weights = unscaled_weights(chunk, part) * scale.x;
#ifdef MINS
  weights -= scale.y;
#endif
  return weights;
}
