// Y = X Wᵀ for many token rows on the matrix units; see mod.rs. x comes as halves (linear/halves.rs): a power of two times
// high + low, both f16. Weights become f16 where they are staged, and those that f16 cannot hold become high + low, too: so a
// product is two or three of f16, summed in f32, and as exact as one of f32.
//
// A subgroup computes TOKEN_SQUARES × FEATURE_SQUARES squares of 16 × 16 products. What the next step multiplies is on its way
// from memory while this one's is multiplied.
#pragma use_vulkan_memory_model
#include "common.glsl"
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "weights.glsl"
#include "halves.glsl"
#include "linear.glsl"
layout(constant_id = 6) const uint SUBGROUP = 32;          // invocations
layout(constant_id = 7) const uint TOKEN_SQUARES = 2;      // of a subgroup
layout(constant_id = 8) const uint FEATURE_SQUARES = 2;
layout(constant_id = 9) const uint FEATURE_SUBGROUPS = 2;  // subgroups side by side along the features
layout(constant_id = 10) const uint DEPTH = 32;            // input features of a step

#define SIDE 16  // of a square
#if defined(WEIGHTS_F16) || defined(WEIGHTS_BF16)
#define WEIGHT_PLANES 1
#else
#define WEIGHT_PLANES 2
#endif
// Weights that an invocation stages together.
#if CHUNK > 16
#define UNIT 16
#else
#define UNIT CHUNK
#endif
// Weights are staged 64 times as large, so that small ones keep their bits: f16 has steps of 2^-24 below 2^-14, and ends at 65504.
const float WEIGHT_FACTOR = 64.0;

const uint SUBGROUPS = gl_WorkGroupSize.x / SUBGROUP;
const uint TILE_TOKENS = SUBGROUPS / FEATURE_SUBGROUPS * TOKEN_SQUARES * SIDE;
const uint TILE_FEATURES = FEATURE_SUBGROUPS * FEATURE_SQUARES * SIDE;
const uint HALVES = (COLS + 63) / 64 * 8;                     // uvec4s of a plane of a row of x
const uint X_ROW = 2 * HALVES + 1;                            // with both planes and the factor
const uint LINE = DEPTH / 8 + 1;                              // of a staged row, padded against bank conflicts
const uint ROOM_LINE = TILE_FEATURES / 4 + 1;                   // of finished squares side by side, padded, too
const uint X_EACH = 2 * TILE_TOKENS * (DEPTH / 8) / gl_WorkGroupSize.x;
const uint UNITS = DEPTH / UNIT;                              // of a row of weights in a step
const uint WEIGHT_EACH = TILE_FEATURES * UNITS / gl_WorkGroupSize.x;

// [plane][row][input features], eight a word. In the end the first holds finished squares.
shared uvec4 x_tile[2 * TILE_TOKENS * LINE];
shared uvec4 weight_tile[WEIGHT_PLANES * TILE_FEATURES * LINE];
shared uint tile_slots[TILE_TOKENS]; // token rows, or slots of an expert
shared float factors[TILE_TOKENS];

uvec4 x_next[X_EACH];
Chunk weights_next[WEIGHT_EACH];

// Of the i-th vector of x that this invocation stages: the row, the plane, the place in the step.
uvec3 x_place(uint i) {
  uint at = i * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  return uvec3(at / (2 * DEPTH / 8), at / (DEPTH / 8) % 2, at % (DEPTH / 8));
}

// Of the i-th unit of weights: the row, the place in the step.
uvec2 weight_place(uint i) {
  uint at = i * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
  return uvec2(at / UNITS, at % UNITS);
}

// Asks for a step. What lies past the last feature or token belongs to products that nobody stores, and past the last
// input feature x is zero.
void ask(uint k0, uint first_row, uint last_row) {
  [[unroll]] for (uint i = 0; i < X_EACH; ++i) {
    uvec3 place = x_place(i);
    x_next[i] = Words4(x).at[tile_slots[place.x] / X_SLOTS * X_ROW + place.y * HALVES + k0 / 8 + place.z];
  }
  [[unroll]] for (uint i = 0; i < WEIGHT_EACH; ++i) {
    uvec2 place = weight_place(i);
    uint chunk = min((k0 + place.y * UNIT) / CHUNK, (COLS - 1) / CHUNK);
    weights_next[i] = load_chunk(weight, scales, min(first_row + place.x, last_row), chunk, COLS);
  }
}

// Stages weights k .. k + 3 of a row.
void set_weights(uint plane, uint row, uint k, vec4 values) {
  uint at = (plane * TILE_FEATURES + row) * LINE + k / 8, word = k % 8 / 2;
  uvec2 halves = packed_halves(values);
  weight_tile[at][word] = halves.x;
  weight_tile[at][word + 1] = halves.y;
}

void stage() {
  [[unroll]] for (uint i = 0; i < X_EACH; ++i) {
    uvec3 place = x_place(i);
    x_tile[(place.y * TILE_TOKENS + place.x) * LINE + place.z] = x_next[i];
  }
  [[unroll]] for (uint i = 0; i < WEIGHT_EACH; ++i) {
    uvec2 place = weight_place(i);
    uint first_part = place.y * UNIT % CHUNK / 4;
    [[unroll]] for (uint part = 0; part < UNIT / 4; ++part) {
      vec4 values = weights_of(weights_next[i], first_part + part) * WEIGHT_FACTOR;
      vec4 high = WEIGHT_PLANES == 2 ? high_part(values) : values;
      uint k = place.y * UNIT + 4 * part;
      set_weights(0, place.x, k, high);
      if (WEIGHT_PLANES == 2) set_weights(1, place.x, k, values - high);
    }
  }
}

// Stores products [feature] .. [feature + 3] of a row of y.
void store(vec4 products, uint y_base, uint matrix, uint feature) {
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (feature + i >= rows) return;
    float product = biased(products[i], matrix + feature + i);
    if (GATED) {
      if (i % 2 == 0)
        y.at[y_base + (feature + i) / 2] = gated(product, biased(products[min(i + 1, 3)], matrix + feature + i + 1));
    } else if (EPILOGUE == EPILOGUE_ADD) {
      y.at[y_base + feature + i] = residual.at[y_base + feature + i] + product;
    } else {
      y.at[y_base + feature + i] = capped(product);
    }
  }
}

void main() {
  uint token_base = gl_WorkGroupID.y * TILE_TOKENS;
  uint feature_base = gl_WorkGroupID.x * TILE_FEATURES;
  uint tokens = row_count.at[0];
  uint matrix = 0; // the row where the expert's begin
  if (SLOTS != 0) {
    uint tile = 4 * gl_WorkGroupID.y;
    uint expert = experts.at[tile] - first_expert;
    if (expert >= expert_count) return;
    matrix = expert * rows;
    token_base = experts.at[tile + 1];
    tokens = token_base + experts.at[tile + 2];
  }
  if (token_base >= tokens) return;

  for (uint i = gl_LocalInvocationIndex; i < TILE_TOKENS; i += gl_WorkGroupSize.x) {
    uint token = min(token_base + i, tokens - 1);
    uint slot = SLOTS == 0 ? token : experts.at[4 * gl_NumWorkGroups.y + token];
    tile_slots[i] = slot;
    factors[i] = uintBitsToFloat(Words4(x).at[slot / X_SLOTS * X_ROW + 2 * HALVES].x) / WEIGHT_FACTOR;
  }
  barrier();
  uint first_row = matrix + feature_base, last_row = matrix + rows - 1;
  uint token_line = gl_SubgroupID / FEATURE_SUBGROUPS * TOKEN_SQUARES * SIDE;
  uint feature_line = gl_SubgroupID % FEATURE_SUBGROUPS * FEATURE_SQUARES * SIDE;
  coopmat<float, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseAccumulator> sums[TOKEN_SQUARES * FEATURE_SQUARES];
  [[unroll]] for (uint i = 0; i < TOKEN_SQUARES * FEATURE_SQUARES; ++i)
    sums[i] = coopmat<float, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseAccumulator>(0.0);

  ask(0, first_row, last_row);
  [[dont_unroll]] for (uint k0 = 0; k0 < COLS; k0 += DEPTH) {
    barrier();
    stage();
    barrier();
    ask(min(k0 + DEPTH, HALVES * 8 - DEPTH), first_row, last_row);
    [[unroll]] for (uint k = 0; k < DEPTH; k += SIDE) {
      coopmat<float16_t, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseA> of_x[2 * TOKEN_SQUARES];
      [[unroll]] for (uint plane = 0; plane < 2; ++plane)
        [[unroll]] for (uint t = 0; t < TOKEN_SQUARES; ++t)
          coopMatLoad(of_x[2 * t + plane], x_tile, (plane * TILE_TOKENS + token_line + t * SIDE) * LINE + k / 8, LINE,
                      gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint f = 0; f < FEATURE_SQUARES; ++f) {
        coopmat<float16_t, gl_ScopeSubgroup, SIDE, SIDE, gl_MatrixUseB> high, low;
        uint at = (feature_line + f * SIDE) * LINE + k / 8;
        coopMatLoad(high, weight_tile, at, LINE, gl_CooperativeMatrixLayoutColumnMajor);
        if (WEIGHT_PLANES == 2) coopMatLoad(low, weight_tile, TILE_FEATURES * LINE + at, LINE, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint t = 0; t < TOKEN_SQUARES; ++t) {
          uint square = t * FEATURE_SQUARES + f;
          sums[square] = coopMatMulAdd(of_x[2 * t + 1], high, sums[square]);
          if (WEIGHT_PLANES == 2) sums[square] = coopMatMulAdd(of_x[2 * t], low, sums[square]);
          sums[square] = coopMatMulAdd(of_x[2 * t], high, sums[square]);
        }
      }
    }
  }

  // A line of squares at a time passes through x_tile. What the driver does not unroll indexes no sums, which would put them all
  // into memory and take four times as long.
  [[dont_unroll]] for (uint t = 0; t < TOKEN_SQUARES; ++t) {
    barrier();
    uint to = gl_SubgroupID / FEATURE_SUBGROUPS * SIDE * ROOM_LINE + feature_line / 4;
    [[unroll]] for (uint s = 0; s < TOKEN_SQUARES; ++s)
      if (s == t)
        [[unroll]] for (uint f = 0; f < FEATURE_SQUARES; ++f)
          coopMatStore(sums[s * FEATURE_SQUARES + f], x_tile, to + f * SIDE / 4, ROOM_LINE, gl_CooperativeMatrixLayoutRowMajor);
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < TILE_TOKENS / TOKEN_SQUARES * TILE_FEATURES / 4; i += gl_WorkGroupSize.x) {
      uint row = i / (TILE_FEATURES / 4), quad = i % (TILE_FEATURES / 4);
      uint line = (row / SIDE * TOKEN_SQUARES + t) * SIDE + row % SIDE;
      if (token_base + line < tokens)
        store(uintBitsToFloat(x_tile[row * ROOM_LINE + quad]) * factors[line], tile_slots[line] * y_stride, matrix,
              feature_base + 4 * quad);
    }
  }
}
