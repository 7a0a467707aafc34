// Maps the bits of a float to an integer of the same order, as argmax::key does: both zeros to one key, every NaN to
// NAN_KEY, above everything.
const uint NAN_KEY = 0xffffffffu;
const uint LOWEST_KEY = 0x007fffffu;   // -inf
const uint INFINITY_KEY = 0xff800000u; // +inf

uint logit_key(uint bits) {
  uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return NAN_KEY;
  if (magnitude == 0) return 0x80000000u;
  return bits >= 0x80000000u ? ~bits : bits | 0x80000000u;
}
