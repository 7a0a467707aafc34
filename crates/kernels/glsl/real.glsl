// The number type of a rollout, and reductions over a workgroup. Define REAL_F32 or REAL_F64 first.
// No subgroup operations, so that results do not depend on the subgroup's size.
#if defined(REAL_F32)
#define REAL float
#define REAL4 vec4
const uint REAL_WORDS = 1;
bool is_finite(REAL value) { return (floatBitsToUint(value) & 0x7f800000u) != 0x7f800000u; }
void put_real(MutableWords to, uint at, REAL value) { to.at[at] = floatBitsToUint(value); }
REAL infinity() { return uintBitsToFloat(0x7f800000u); }
#elif defined(REAL_F64)
#define REAL double
#define REAL4 dvec4
const uint REAL_WORDS = 2;
bool is_finite(REAL value) { return (unpackDouble2x32(value).y & 0x7ff00000u) != 0x7ff00000u; }
void put_real(MutableWords to, uint at, REAL value) {
  uvec2 words = unpackDouble2x32(value);
  to.at[at] = words.x;
  to.at[at + 1] = words.y;
}
REAL infinity() { return packDouble2x32(uvec2(0u, 0x7ff00000u)); }
#endif

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Reals { REAL at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer MutableReals { REAL at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Reals4 { REAL4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer MutableReals4 { REAL4 at[]; };
