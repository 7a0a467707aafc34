// PCG64 XSL-RR on 128-bit states of four words, the lowest first; a state is jumped to, not walked to.

// a + b modulo 2^128.
uvec4 add_wide(uvec4 a, uvec4 b) {
  uvec4 sum;
  uint carry = 0;
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    uint once, twice;
    uint part = uaddCarry(a[i], b[i], once);
    sum[i] = uaddCarry(part, carry, twice);
    carry = once + twice;
  }
  return sum;
}

// a * b modulo 2^128.
uvec4 multiply_wide(uvec4 a, uvec4 b) {
  uvec4 product = uvec4(0);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    uint carry = 0;
    [[unroll]] for (uint j = 0; i + j < 4; ++j) {
      uint high, low, first, second;
      umulExtended(a[i], b[j], high, low);
      low = uaddCarry(low, carry, first);
      product[i + j] = uaddCarry(product[i + j], low, second);
      // high is at most 2^32 - 2, and the three never pass a word together.
      carry = high + first + second;
    }
  }
  return product;
}

// The 64 bits that a state gives: low and high word.
uvec2 output_of(uvec4 state) {
  uvec2 folded = state.xy ^ state.zw;
  uint turn = state.w >> 26;
  if (turn >= 32) folded = folded.yx;
  turn &= 31;
  if (turn == 0) return folded;
  return uvec2(folded.x >> turn | folded.y << (32 - turn), folded.y >> turn | folded.x << (32 - turn));
}

// Cosine and sine of 2 pi times the output as a fraction. Vulkan leaves the precision of its own open; the angle's first three
// bits are the octant, and in one octant a short series is exact to 3e-9.
vec2 phase_of(uvec2 bits) {
  uint octant = bits.y >> 29;
  float part = float((bits.y << 3 | bits.x >> 29) >> 8) * (1.0 / 16777216.0);
  float angle = ((octant & 1) == 1 ? 1.0 - part : part) * 0.785398163397448;
  float q = angle * angle;
  float s = angle * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0))));
  float c = 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0 * (1.0 - q / 90.0))));
  vec2 turned = (octant & 1) == 1 ? vec2(s, c) : vec2(c, s);
  uint quadrant = octant >> 1;
  if ((quadrant & 1) == 1) turned = vec2(-turned.y, turned.x);
  return quadrant >= 2 ? -turned : turned;
}
