// Spectra of N × N fields: complex numbers as vec2, NumPy's order of wavenumbers.
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Complexes { vec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer MutableComplexes { vec2 at[]; };

vec2 complex_product(vec2 a, vec2 b) { return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

// Adds with the rounding error of the sum so far (Kahan): a workgroup sums up to a million values.
void add_compensated(inout float sum, inout float lost, float value) {
  precise float corrected = value - lost;
  precise float next = sum + corrected;
  precise float error = (next - sum) - corrected;
  lost = error;
  sum = next;
}
