// The extremes, the sum and the sum of squares of the finite values of z, and how many are not finite. One workgroup.
layout(push_constant, std430) uniform Push {
  Reals z;              // (rows, stride)
  MutableWords counter; // [0] = results so far
  MutableWords ring;    // results of 4 * REAL_WORDS + 1 words
  uint cols;
  uint stride;
  uint values;          // rows * cols
  uint ring_mask;
};

void main() {
  REAL least = infinity(), most = -infinity(), sum = REAL(0), squares = REAL(0);
  uint lost = 0;
  for (uint at = gl_LocalInvocationIndex; at < values; at += gl_WorkGroupSize.x) {
    REAL value = z.at[at / cols * stride + at % cols];
    if (is_finite(value)) {
      least = min(least, value);
      most = max(most, value);
      sum += value;
      squares += value * value;
    } else {
      ++lost;
    }
  }
  least = real_min(least);
  most = real_max(most);
  sum = real_sum(sum);
  squares = real_sum(squares);
  lost = count_sum(lost);
  if (gl_LocalInvocationIndex > 0) return;
  uint to = (counter.at[0] & ring_mask) * (4 * REAL_WORDS + 1);
  put_real(ring, to, least);
  put_real(ring, to + REAL_WORDS, most);
  put_real(ring, to + 2 * REAL_WORDS, sum);
  put_real(ring, to + 3 * REAL_WORDS, squares);
  ring.at[to + 4 * REAL_WORDS] = lost;
  counter.at[0] += 1;
}
