// Activations that carry their own readiness, as src/handover.rs describes them. Include common.glsl first, and declare the
// specialization constants POLLS and PUBLISHES.
#pragma use_vulkan_memory_model

const uint NOT_READY = 0xffffffffu; // a NaN that no arithmetic makes
const uint OTHER_NAN = 0x7fc00000u;
// So that a device that breaks the rules returns: about half a second, and NaN from there on.
const uint MAX_POLLS = 1u << 20;

layout(buffer_reference, std430, buffer_reference_align = 4) volatile devicecoherent buffer Handed { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) volatile devicecoherent buffer Handed4 { uvec4 at[]; };

// The first load of a poll: with several under way, they take no longer than one.
uvec4 first_poll(Floats4 from, uint index) { return POLLS == 0 ? Words4(from).at[index] : Handed4(from).at[index]; }

// Polls on from what `first_poll` found.
uvec4 polled(uvec4 words, Floats4 from, uint index) {
  if (POLLS != 0)
    for (uint polls = 0; any(equal(words, uvec4(NOT_READY))) && polls < MAX_POLLS; ++polls) words = Handed4(from).at[index];
  return words;
}

vec4 handed_vec4(Floats4 from, uint index) { return uintBitsToFloat(polled(first_poll(from, index), from, index)); }

uint first_poll_float(Floats from, uint index) {
  return POLLS == 0 ? floatBitsToUint(from.at[index]) : Handed(from).at[index];
}

// As `polled`, for one word.
uint polled_float(uint word, Floats from, uint index) {
  if (POLLS != 0)
    for (uint polls = 0; word == NOT_READY && polls < MAX_POLLS; ++polls) word = Handed(from).at[index];
  return word;
}

float handed_float(Floats from, uint index) { return uintBitsToFloat(polled_float(first_poll_float(from, index), from, index)); }

void hand_over_word(MutableWords to, uint index, uint word) {
  if (PUBLISHES == 0) to.at[index] = word;
  else Handed(to).at[index] = word == NOT_READY ? OTHER_NAN : word;
}

void hand_over(MutableFloats to, uint index, float value) { hand_over_word(MutableWords(to), index, floatBitsToUint(value)); }
