// The largest and the mean |z - before|, and how many differences are not finite. One workgroup.
layout(push_constant, std430) uniform Push {
  Reals z;              // (rows, stride)
  Reals before;         // (rows, stride): z one step earlier
  MutableWords counter; // [0] = results so far
  MutableWords ring;    // results of 2 * REAL_WORDS + 1 words
  uint cols;
  uint stride;
  uint values;          // rows * cols
  uint ring_mask;
};

void main() {
  REAL largest = REAL(0), sum = REAL(0);
  uint lost = 0;
  for (uint at = gl_LocalInvocationIndex; at < values; at += gl_WorkGroupSize.x) {
    uint index = at / cols * stride + at % cols;
    REAL difference = abs(z.at[index] - before.at[index]);
    if (is_finite(difference)) {
      largest = max(largest, difference);
      sum += difference;
    } else {
      ++lost;
    }
  }
  largest = real_max(largest);
  sum = real_sum(sum);
  lost = count_sum(lost);
  if (gl_LocalInvocationIndex > 0) return;
  uint to = (counter.at[0] & ring_mask) * (2 * REAL_WORDS + 1);
  put_real(ring, to, largest);
  put_real(ring, to + REAL_WORDS, sum / REAL(values));
  ring.at[to + 2 * REAL_WORDS] = lost;
  counter.at[0] += 1;
}
