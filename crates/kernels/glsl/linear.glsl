// What matvec and matmul share: the shape constants, the arguments, and what happens to a finished product.
#define EPILOGUE_STORE 0
#define EPILOGUE_ADD 1
#define EPILOGUE_SILU_GATED 2
#define EPILOGUE_GELU_GATED 3
#define EPILOGUE_SOFT_CAP 4

layout(constant_id = 1) const uint COLS = 32;     // input features
layout(constant_id = 2) const uint EPILOGUE = EPILOGUE_STORE;
layout(constant_id = 3) const uint BIAS = 0;      // 1 if products get a bias
layout(constant_id = 4) const uint SLOTS = 0;     // experts that a token row chooses; 0 where all share one matrix
layout(constant_id = 5) const uint X_SLOTS = 1;   // slots that read the same row of x

const bool GATED = EPILOGUE == EPILOGUE_SILU_GATED || EPILOGUE == EPILOGUE_GELU_GATED;

layout(push_constant, std430) uniform Push {
  Words4 weight;      // values or quants, (rows, padded cols), those of the experts one after the other
  Words scales;       // of quantised weights, row by row
  Floats4 x;          // (token rows, x_stride)
  Floats4 norm_weight; // (COLS), where the norm is taken along
  Floats bias;        // (rows)
  Words row_count;    // [0] = token rows in use
  Words experts;      // which expert works on what, as linear.rs says
  Floats residual;    // (token rows, y_stride); EPILOGUE_ADD only
  MutableFloats y;    // (token rows or slots, y_stride)
  MutableWords y_planes;    // as planes.rs has them, one row; matvec only
  uint rows;          // output features
  uint x_stride;      // a multiple of 4
  uint y_stride;
  float eps;
  float cap;          // EPILOGUE_SOFT_CAP only
  uint first_expert;  // the matrices are those of the experts first_expert ..
  uint expert_count;  // .. first_expert + expert_count - 1; others are left alone
};

// Values k .. k + 3 of a row that begins at vec4 `base`; zero past its end.
vec4 load_row4(Floats4 values, uint base, uint k) {
  if (COLS % CHUNK == 0) return values.at[base + k / 4];
  if (k >= COLS) return vec4(0.0);
  vec4 loaded = values.at[base + k / 4];
  return mix(loaded, vec4(0.0), greaterThanEqual(uvec4(k, k + 1, k + 2, k + 3), uvec4(COLS)));
}

// The product of output feature `feature` with its bias.
float biased(float product, uint feature) { return BIAS != 0 ? product + bias.at[feature] : product; }

// What becomes of a product where it is stored as it is.
float capped(float product) { return EPILOGUE == EPILOGUE_SOFT_CAP ? soft_cap(product, cap) : product; }

// act(gate) * up. GELU by its tanh formula: gate * (1 + tanh(u)) / 2 = gate / (1 + exp(-2 u)).
float gated(float gate, float up) {
  float exponent = EPILOGUE == EPILOGUE_SILU_GATED ? gate : 1.59576912 * gate * (1.0 + 0.044715 * gate * gate);
  return gate / (1.0 + exp(-exponent)) * up;
}
