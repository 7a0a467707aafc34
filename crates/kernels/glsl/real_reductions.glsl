// Sums and extremes over a workgroup of at most 256 invocations, a power of two. Include real.glsl first; call in uniform
// control flow. The result is there in invocation 0.
shared REAL real_slots[256];
shared uint count_slots[256];

#define WORKGROUP_REDUCTION(NAME, TYPE, SLOTS, COMBINE)                                   \
  TYPE NAME(TYPE value) {                                                                 \
    uint own = gl_LocalInvocationIndex;                                                   \
    barrier();                                                                            \
    SLOTS[own] = value;                                                                   \
    for (uint half_size = gl_WorkGroupSize.x / 2; half_size > 0; half_size /= 2) {        \
      barrier();                                                                          \
      if (own < half_size) SLOTS[own] = COMBINE(SLOTS[own], SLOTS[own + half_size]);      \
    }                                                                                     \
    return SLOTS[0];                                                                      \
  }
#define ADDED(a, b) ((a) + (b))
WORKGROUP_REDUCTION(real_sum, REAL, real_slots, ADDED)
WORKGROUP_REDUCTION(real_min, REAL, real_slots, min)
WORKGROUP_REDUCTION(real_max, REAL, real_slots, max)
WORKGROUP_REDUCTION(count_sum, uint, count_slots, ADDED)
