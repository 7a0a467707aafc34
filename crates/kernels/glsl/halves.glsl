// f32 values as two of f16: high + low, 21 bits of the value in all.

// What f16 keeps of values between 2^-14 and 2^15. Cut off by hand: a compiler may take a value that was packed and unpacked for itself.
vec4 high_part(vec4 values) { return uintBitsToFloat(floatBitsToUint(values) & 0xffffe000u); }

// Four values as f16.
uvec2 packed_halves(vec4 values) { return uvec2(packHalf2x16(values.xy), packHalf2x16(values.zw)); }
