// Weight matrices as `weights.rs` lays them out. A .comp file defines one of WEIGHTS_F32, WEIGHTS_F16, WEIGHTS_BF16,
// WEIGHTS_Q8_0 and gets: CHUNK weights that a lane reads at a time, load_chunk and decode_chunk.

#if defined(WEIGHTS_F32)
#define CHUNK 4
#elif defined(WEIGHTS_F16) || defined(WEIGHTS_BF16)
#define CHUNK 8
#elif defined(WEIGHTS_Q8_0)
#define CHUNK 32
#endif

#ifdef WEIGHTS_Q8_0
struct Chunk {
  uvec4 first;  // quants 0 - 15 of a group
  uvec4 second; // quants 16 - 31
  float scale;
};
#else
struct Chunk {
  uvec4 words;
};
#endif

uint chunks_in_row(uint cols) { return (cols + CHUNK - 1) / CHUNK; }

// Chunk `chunk` of `row`. `scales` begins where the quants of all rows end.
Chunk load_chunk(Words4 values, Words scales, uint row, uint chunk, uint cols) {
#ifdef WEIGHTS_Q8_0
  uint groups = cols / 32;
  uint run = chunk / 32;
  uint groups_in_run = min(32, groups - run * 32);
  uint word = row * groups * 2 + run * 64 + chunk % 32;
  uint scale = row * groups + chunk;
  vec2 pair = unpackHalf2x16(scales.at[scale / 2]);
  return Chunk(values.at[word], values.at[word + groups_in_run], scale % 2 == 0 ? pair.x : pair.y);
#else
  return Chunk(values.at[row * chunks_in_row(cols) + chunk]);
#endif
}

#ifdef WEIGHTS_Q8_0
vec4 signed_bytes(uint word) {
  int bytes = int(word);
  return vec4(bitfieldExtract(bytes, 0, 8), bitfieldExtract(bytes, 8, 8), bitfieldExtract(bytes, 16, 8), bytes >> 24);
}
#endif

// Four of the chunk's weights, from weight 4 * part on, without the group's scale.
vec4 unscaled_weights(Chunk chunk, uint part) {
#if defined(WEIGHTS_F32)
  return uintBitsToFloat(chunk.words);
#elif defined(WEIGHTS_F16)
  return vec4(unpackHalf2x16(chunk.words[2 * part]), unpackHalf2x16(chunk.words[2 * part + 1]));
#elif defined(WEIGHTS_BF16)
  uvec2 pair = uvec2(chunk.words[2 * part], chunk.words[2 * part + 1]);
  return uintBitsToFloat(uvec4(pair.x << 16, pair.x & 0xffff0000u, pair.y << 16, pair.y & 0xffff0000u));
#else
  return signed_bytes(part < 4 ? chunk.first[part] : chunk.second[part - 4]);
#endif
}

float chunk_scale(Chunk chunk) {
#ifdef WEIGHTS_Q8_0
  return chunk.scale;
#else
  return 1.0;
#endif
}
