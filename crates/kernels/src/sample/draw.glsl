// Draws a token at a temperature. Include where logits, vocab and sequences are declared.
//
// Nothing is sorted. A histogram over how far logits lie below the maximum finds the bin where top-k or top-p ends;
// histograms over the keys within the bin then find the exact value. Probability is counted in whole numbers, so that
// the order in which invocations come does not matter: within a bin weights differ by 1.6 % at most, and what an
// element lacks to the weight at the bin's top is added up in units of 2^-20.

const uint BINS = 2048;
const float BINS_PER_UNIT = 64.0; // 2048 bins reach e^-32
const float CUTOFF = 32.0;
const float DEFICIT_UNIT = 1.0 / 1048576.0;
const uint DRAW_LOADS = 4; // independent loads in flight in an invocation

shared uint counts[BINS];
shared uint deficits[BINS];
shared float bin_masses[BINS]; // up to and with a bin of the first histogram
shared uint found_bin;
shared uint count_slots[256];
shared uint deficit_slots[256];
shared float mass_slots[256];

// The row to draw from.
uint first_logit;
float maximum;
float inverse_temperature;

// How far a logit lies below the maximum, in units of the temperature; infinite for -inf.
float below(uint bits) {
  precise float difference = maximum - uintBitsToFloat(bits);
  precise float scaled = difference * inverse_temperature;
  return scaled;
}

// What an element of a bin lacks to the weight at the bin's top.
uint deficit_of(float below_maximum, uint bin) {
  return uint((1.0 - exp(float(bin) / BINS_PER_UNIT - below_maximum)) / DEFICIT_UNIT);
}

// Probability, relative to the largest, of elements of a bin.
float mass_of(uint bin, uint count, uint deficit) {
  return exp(-float(bin) / BINS_PER_UNIT) * (float(count) - float(deficit) * DEFICIT_UNIT);
}

void clear_histogram() {
  barrier(); // it may still be read
  for (uint i = gl_LocalInvocationIndex; i < BINS; i += gl_WorkGroupSize.x) {
    counts[i] = 0;
    deficits[i] = 0;
  }
  if (gl_LocalInvocationIndex == 0) found_bin = BINS;
  barrier();
}

void count_element(uint bits, bool within, uint bin, uint low_key, uint high_key, uint shift) {
  float distance = below(bits);
  if (!(distance < CUTOFF)) return;
  uint element_bin = min(uint(distance * BINS_PER_UNIT), BINS - 1);
  uint place = element_bin;
  if (within) {
    uint key = logit_key(bits);
    if (element_bin != bin || key < low_key || key > high_key) return;
    place = min((high_key - key) >> shift, BINS - 1);
  }
  atomicAdd(counts[place], 1u);
  atomicAdd(deficits[place], deficit_of(max(distance, 0.0), element_bin));
}

// A histogram of the row by distance from the maximum; or, `within` a bin of that, of keys from `high_key` down to
// `low_key`, 2^shift of them a place. Large values come first.
void histogram(bool within, uint bin, uint low_key, uint high_key, uint shift) {
  clear_histogram();
  for (uint first = gl_LocalInvocationIndex; first < vocab; first += DRAW_LOADS * gl_WorkGroupSize.x) {
    uint bits[DRAW_LOADS];
    [[unroll]] for (uint j = 0; j < DRAW_LOADS; ++j)
      bits[j] = logits.at[first_logit + min(first + j * gl_WorkGroupSize.x, vocab - 1)];
    [[unroll]] for (uint j = 0; j < DRAW_LOADS; ++j)
      if (first + j * gl_WorkGroupSize.x < vocab) count_element(bits[j], within, bin, low_key, high_key, shift);
  }
  barrier();
}

// Makes counts and deficits those up to and with each place; of the first histogram also the probabilities.
void accumulate_histogram(bool with_masses) {
  uint span = (BINS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
  uint from = min(gl_LocalInvocationIndex * span, BINS);
  uint to = min(from + span, BINS);
  uint count = 0;
  uint deficit = 0;
  float mass = 0.0;
  for (uint i = from; i < to; ++i) {
    if (with_masses) mass += mass_of(i, counts[i], deficits[i]);
    count += counts[i];
    deficit += deficits[i];
  }
  uint count_before = subgroupExclusiveAdd(count);
  uint deficit_before = subgroupExclusiveAdd(deficit);
  float mass_before = subgroupExclusiveAdd(mass);
  uint subgroup_count = subgroupAdd(count);
  uint subgroup_deficit = subgroupAdd(deficit);
  float subgroup_mass = subgroupAdd(mass);
  if (subgroupElect()) {
    count_slots[gl_SubgroupID] = subgroup_count;
    deficit_slots[gl_SubgroupID] = subgroup_deficit;
    mass_slots[gl_SubgroupID] = subgroup_mass;
  }
  barrier();
  for (uint i = 0; i < gl_SubgroupID; ++i) {
    count_before += count_slots[i];
    deficit_before += deficit_slots[i];
    mass_before += mass_slots[i];
  }
  for (uint i = from; i < to; ++i) {
    if (with_masses) {
      mass_before += mass_of(i, counts[i], deficits[i]);
      bin_masses[i] = mass_before;
    }
    count_before += counts[i];
    deficit_before += deficits[i];
    counts[i] = count_before;
    deficits[i] = deficit_before;
  }
  barrier();
}

// The elements of a bin that are kept: those with at least this key, and what they come to.
struct Kept {
  uint lowest_key;
  uint count;
  uint deficit;
};

// The first place at which enough is kept: by count or, if `by_mass`, by probability. BINS if there is none.
uint place_where_enough(bool by_mass, uint bin, Kept above, uint wanted_count, float wanted_mass) {
  for (uint i = gl_LocalInvocationIndex; i < BINS; i += gl_WorkGroupSize.x) {
    uint count = above.count + counts[i];
    bool enough = by_mass ? mass_of(bin, count, above.deficit + deficits[i]) >= wanted_mass : count >= wanted_count;
    if (enough && count > 0) atomicMin(found_bin, i);
  }
  barrier();
  return found_bin;
}

// Keeps elements of a bin, largest first, all of equal value together, until there are `wanted_count` or their
// probability comes to `wanted_mass`; none below `lowest_key`.
Kept keep_within(uint bin, bool by_mass, uint wanted_count, float wanted_mass, uint lowest_key) {
  // The bin's keys, with room for rounding.
  float top = maximum - float(bin) / (BINS_PER_UNIT * inverse_temperature);
  float bottom = maximum - float(bin + 1) / (BINS_PER_UNIT * inverse_temperature);
  float room = (abs(top) + abs(bottom) + abs(maximum)) * 1e-6 + 1e-30;
  uint high_key = logit_key(floatBitsToUint(top + room));
  uint low_key = max(logit_key(floatBitsToUint(bottom - room)), lowest_key);
  uint shift = max(findMSB(max(high_key - low_key, 1)), 10) - 10;
  Kept above = Kept(low_key, 0, 0);
  while (true) {
    histogram(true, bin, low_key, high_key, shift);
    accumulate_histogram(false);
    uint place = min(place_where_enough(by_mass, bin, above, wanted_count, wanted_mass), BINS - 1);
    uint count = counts[place];
    uint deficit = deficits[place];
    uint count_before = place == 0 ? 0 : counts[place - 1];
    uint deficit_before = place == 0 ? 0 : deficits[place - 1];
    high_key -= min(place << shift, high_key - low_key);
    low_key = max(low_key, high_key - min((1u << shift) - 1, high_key));
    // Done where keys cannot be told apart further, or all of the place are kept.
    bool all_kept = count - count_before <= 1 || (!by_mass && above.count + count == wanted_count);
    if (shift == 0 || all_kept) return Kept(low_key, above.count + count, above.deficit + deficit);
    above.count += count_before;
    above.deficit += deficit_before;
    shift = max(shift, 11) - 11;
  }
}

// The lowest key that top-k and top-p keep.
uint lowest_kept_key(uint top_k, float top_p) {
  histogram(false, 0, 0, 0, 0);
  accumulate_histogram(true);
  uint lowest_key = 0;
  uint last_bin = BINS - 1; // what top-k keeps ends in it
  float total = bin_masses[last_bin];
  bool by_count = top_k > 0 && top_k < counts[last_bin];
  // Top-k, then top-p; a loop rather than two calls, so that the code of keep_within stands once.
  [[dont_unroll]] for (uint rule = 0; rule < 2; ++rule) {
    bool by_mass = rule == 1;
    if (by_mass ? !(top_p < 1.0) : !by_count) continue;
    // The first bin that reaches what is wanted; the last one where rounding keeps all from doing so.
    float mass = top_p * total;
    barrier();
    if (gl_LocalInvocationIndex == 0) found_bin = last_bin;
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < last_bin; i += gl_WorkGroupSize.x)
      if (by_mass ? bin_masses[i] >= mass && bin_masses[i] > 0.0 : counts[i] >= top_k) atomicMin(found_bin, i);
    barrier();
    uint bin = found_bin;
    uint count_before = by_mass || bin == 0 ? 0 : counts[bin - 1];
    float mass_before = bin == 0 ? 0.0 : bin_masses[bin - 1];
    uint lower_bound = bin == last_bin ? lowest_key : 0;
    Kept kept = keep_within(bin, by_mass, top_k - count_before, mass - mass_before, lower_bound);
    lowest_key = kept.lowest_key;
    last_bin = bin;
    total = mass_before + mass_of(bin, kept.count, kept.deficit);
  }
  return lowest_key;
}

// A random number in [0, 1), as sample::uniform draws it.
float uniform_at(uint seed_low, uint seed_high, uint position) {
  uvec4 counter = uvec4(position, 0, 0, 0);
  uvec2 key = uvec2(seed_low, seed_high);
  for (uint i = 0; i < 10; ++i) {
    uint high_a, low_a, high_b, low_b;
    umulExtended(counter.x, 0xd2511f53u, high_a, low_a);
    umulExtended(counter.z, 0xcd9e8d57u, high_b, low_b);
    counter = uvec4(high_b ^ counter.y ^ key.x, low_b, high_a ^ counter.w ^ key.y, low_a);
    key += uvec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return float(counter.x >> 8) / 16777216.0;
}

float weight_of(uint bits, uint lowest_key, float min_p) {
  float distance = below(bits);
  float weight = distance < CUTOFF ? exp(-max(distance, 0.0)) : 0.0;
  return logit_key(bits) >= lowest_key && weight >= min_p ? weight : 0.0;
}

// The first token whose cumulative weight exceeds `u` of the total. Each round cuts the tokens that are left into as
// many segments as there are subgroups and goes on with one of them.
uint token_at(float u, uint lowest_key, float min_p) {
  uint first = 0;
  uint length = vocab;
  float target = -1.0;
  while (length > 1) {
    uint segment = (length + gl_NumSubgroups - 1) / gl_NumSubgroups;
    uint from = first + gl_SubgroupID * segment;
    uint to = min(from + segment, first + length);
    float weight = 0.0;
    for (uint i = from + gl_SubgroupInvocationID; i < to; i += DRAW_LOADS * gl_SubgroupSize) {
      uint bits[DRAW_LOADS];
      [[unroll]] for (uint j = 0; j < DRAW_LOADS; ++j)
        bits[j] = logits.at[first_logit + min(i + j * gl_SubgroupSize, to - 1)];
      [[unroll]] for (uint j = 0; j < DRAW_LOADS; ++j)
        if (i + j * gl_SubgroupSize < to) weight += weight_of(bits[j], lowest_key, min_p);
    }
    float segment_weight = subgroupAdd(weight);
    barrier(); // the round before has read the slots
    if (subgroupElect()) mass_slots[gl_SubgroupID] = segment_weight;
    barrier();
    if (target < 0.0) {
      float total = 0.0;
      for (uint i = 0; i < gl_NumSubgroups; ++i) total += mass_slots[i];
      target = u * total;
    }
    // Sums of the same tokens may round differently from round to round, so that the target may lie behind the end:
    // then the last segment with any weight is meant.
    uint chosen = 0;
    float chosen_before = 0.0;
    float before = 0.0;
    for (uint i = 0; i < gl_NumSubgroups; ++i) {
      if (mass_slots[i] > 0.0) {
        chosen = i;
        chosen_before = before;
        before += mass_slots[i];
        if (before > target) break;
      }
    }
    target = max(target - chosen_before, 0.0);
    first += chosen * segment;
    length = min(segment, length - chosen * segment);
  }
  return first;
}

uint draw(uint first, float largest, uint sequence, uint position) {
  first_logit = first;
  maximum = largest;
  inverse_temperature = clamp(1.0 / sequences.at[sequence].temperature, 1e-30, 1e30);
  uint top_k = sequences.at[sequence].top_k;
  float top_p = sequences.at[sequence].top_p;
  float min_p = min(sequences.at[sequence].min_p, 1.0);
  uint lowest_key = 0;
  if ((top_k > 0 && top_k < vocab) || top_p < 1.0) lowest_key = lowest_kept_key(top_k, top_p);
  float u = uniform_at(sequences.at[sequence].seed_low, sequences.at[sequence].seed_high, position);
  return token_at(u, lowest_key, min_p);
}
