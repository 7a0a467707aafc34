// What matvec and matmul share: the shape constants, the arguments, and what happens to a finished product.
#define EPILOGUE_STORE 0
#define EPILOGUE_ADD 1
#define EPILOGUE_SILU_GATED 2

layout(constant_id = 1) const uint COLS = 32;     // input features
layout(constant_id = 2) const uint EPILOGUE = EPILOGUE_STORE;

layout(push_constant, std430) uniform Push {
  Words4 weight;      // values or quants, (rows, padded cols)
  Words scales;       // f16 pairs, (rows, cols / 32); q8_0 only
  Floats4 x;          // (token rows, x_stride)
  Floats4 norm_weight; // (COLS), where the norm is taken along
  Words row_count;    // [0] = token rows in use
  Floats residual;    // (token rows, y_stride); EPILOGUE_ADD only
  MutableFloats y;    // (token rows, y_stride)
  uint rows;          // output features
  uint x_stride;      // a multiple of 4
  uint y_stride;
  float eps;
};

// Values k .. k + 3 of a row that begins at vec4 `base`; zero past its end.
vec4 load_row4(Floats4 values, uint base, uint k) {
  if (COLS % CHUNK == 0) return values.at[base + k / 4];
  if (k >= COLS) return vec4(0.0);
  vec4 loaded = values.at[base + k / 4];
  return mix(loaded, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

float silu(float value) { return value / (1.0 + exp(-value)); }
