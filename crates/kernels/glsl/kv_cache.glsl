// How the KV cache lies in memory, as src/rope_kv/layout.rs describes it. Define KV_F32 or KV_F16 first.
//
// K: [block][kv_head][quad][position][4 words], V: [block][kv_head][position][word]; a position of a head takes
// KV_WORDS words of KV_VALUES values, zero-padded to whole quads of 16 bytes.

const uint KV_BLOCK = 32;

#if defined(KV_F32)
const uint KV_VALUES = 1; // in a word
uint kv_pack(vec2 values) { return floatBitsToUint(values.x); }
vec4 kv_low(uvec4 quad) { return uintBitsToFloat(quad); }
#elif defined(KV_F16)
const uint KV_VALUES = 2;
uint kv_pack(vec2 values) { return packHalf2x16(values); }
vec4 kv_low(uvec4 quad) { return vec4(unpackHalf2x16(quad.x), unpackHalf2x16(quad.y)); }
vec4 kv_high(uvec4 quad) { return vec4(unpackHalf2x16(quad.z), unpackHalf2x16(quad.w)); }
#endif

// Quads of a position of a head.
#define KV_QUADS ((HEAD_DIM + 4 * KV_VALUES - 1) / (4 * KV_VALUES))

// Index of a quad of K; `head` is block * kv_heads + kv_head.
uint k_quad_at(uint head, uint position, uint quad) {
  return (head * KV_QUADS + quad) * KV_BLOCK + position % KV_BLOCK;
}

// Index of a quad of V.
uint v_quad_at(uint head, uint position, uint quad) {
  return (head * KV_BLOCK + position % KV_BLOCK) * KV_QUADS + quad;
}
