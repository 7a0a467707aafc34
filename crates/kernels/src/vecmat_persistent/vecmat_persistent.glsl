// Many steps z = z · A in one dispatch, A in registers, z handed from workgroup to workgroup as bare words. Define LANES_K and
// VALUES_K first.
//
// A workgroup owns COLUMNS columns and up to ROWS trajectories; its subgroup w owns the rows of A from w * SLICE on, SLICE = LANES_K *
// VALUES_K. A lane holds VALUES_K rows by 4 columns. Trajectories go through one after the other, BATCH of them between two barriers, so
// that the words of one are on their way while others are multiplied. z travels in a ring of 4 slots: a word that holds NOT_READY (a NaN that no arithmetic makes) is not
// there yet, so a word is its own flag: no counters, fences or tags, and a 32-bit word is whole by itself. Whoever writes a word
// of slot t+1 puts NOT_READY into its word of slot t-1, which everyone has consumed: this workgroup has received all of that
// trajectory's z[t], which the others made from z[t-1]. Polls are bounded: when one runs out, 'status' is set, nobody waits any more, and the run ends with
// values that the host discards.
#extension GL_KHR_shader_subgroup_shuffle : require
#pragma use_vulkan_memory_model

layout(constant_id = 1) const uint DIM = 32;
layout(constant_id = 2) const uint SUBGROUP = 32;
layout(constant_id = 3) const uint SUBGROUPS = 1; // of a workgroup; local_size_x = SUBGROUP * SUBGROUPS
layout(constant_id = 4) const uint ROWS = 1;      // trajectories of a workgroup
layout(constant_id = 5) const uint BATCH = 1;     // of them between two barriers; at most SUBGROUPS
layout(constant_id = 6) const uint ALL_ROWS = 1;  // trajectories of all workgroups

layout(buffer_reference, std430, buffer_reference_align = 4) volatile devicecoherent buffer SharedWords { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) volatile devicecoherent buffer SharedWords4 { uvec4 at[]; };

layout(push_constant, std430) uniform Push {
  Words control;        // [1] = steps
  Floats a;             // (DIM, stride)
  SharedWords4 slots;   // (4, rows, PADDED)
  MutableFloats z;      // (rows, stride): after the last step
  MutableFloats before; // (rows, stride): before the last step
  MutableWords status;  // [0] = 1 once a word did not come
  uint stride;
  uint patience;        // polls before a word is given up
};

const uint NOT_READY = 0xffffffffu;
const uint SLICE = LANES_K * VALUES_K;
const uint PADDED = SLICE * SUBGROUPS;
const uint COLUMNS = 4 * (SUBGROUP / LANES_K);

shared float partial[2 * BATCH * SUBGROUPS * COLUMNS]; // two copies, by turns: one barrier a turn is enough
uvec4 asked[VALUES_K / 4];

// Asks for exactly the words that this lane multiplies.
void ask(uint t, uint row) {
  const uint from = (((t & 3) * ALL_ROWS + row) * PADDED + gl_SubgroupID * SLICE) / 4 + gl_SubgroupInvocationID % LANES_K;
  [[unroll]] for (uint j = 0; j < VALUES_K / 4; ++j) asked[j] = slots.at[from + j * LANES_K];
}

void main() {
  const uint lane = gl_SubgroupInvocationID, w = gl_SubgroupID;
  const uint lane_k = lane % LANES_K, lane_c = lane / LANES_K;
  const uint first_column = gl_WorkGroupID.x * COLUMNS;
  const uint first_row = ALL_ROWS == 1 ? 0 : gl_WorkGroupID.y * ROWS, own_rows = ROWS == 1 ? 1 : min(ROWS, ALL_ROWS - first_row);
  const uint steps = control.at[1];
  float held[VALUES_K * 4];
  [[unroll]] for (uint k = 0; k < VALUES_K; ++k) {
    uint row = w * SLICE + (k / 4 * LANES_K + lane_k) * 4 + k % 4;
    [[unroll]] for (uint c = 0; c < 4; ++c) {
      uint column = first_column + lane_c * 4 + c;
      held[k * 4 + c] = row < DIM && column < DIM ? a.at[row * stride + column] : 0.0;
    }
  }
  // The column whose sum this lane is left with below, and whether it is the one that hands it on.
  const uint column = lane_c * 4 + ((lane & 1) != 0 ? 2 : 0) + ((lane & 2) != 0 ? 1 : 0);
  const bool hands_on = LANES_K < 8 || (lane & 4) == 0;
  uint patience_left = patience;
  uint turn = 0;
  SharedWords words = SharedWords(slots);
  for (uint t = 0; t < steps; ++t) {
    for (uint done = 0; done < own_rows; done += BATCH) {
      const uint copy = (turn++ & 1) * BATCH * SUBGROUPS * COLUMNS;
      const uint begin = first_row + done, count = BATCH == 1 ? 1 : min(BATCH, own_rows - done);
      if (BATCH > 1) ask(t, begin);
      for (uint b = 0; b < count; ++b) {
        // Each lane leaves the loop by itself.
        uint polls = 0;
        bool complete;
        do {
          // One trajectory's words, and those that were not there yet; with several, they were asked for before.
          if (BATCH == 1 || polls > 0) ask(t, begin + b);
          complete = true;
          [[unroll]] for (uint j = 0; j < VALUES_K / 4; ++j) {
            uvec4 q = asked[j];
            complete = complete && q.x != NOT_READY && q.y != NOT_READY && q.z != NOT_READY && q.w != NOT_READY;
          }
        } while (!complete && ++polls < patience_left);
        if (!complete) {
          patience_left = 1;
          status.at[0] = 1;
        }
        float values[VALUES_K];
        [[unroll]] for (uint k = 0; k < VALUES_K; ++k) values[k] = uintBitsToFloat(asked[k / 4][k % 4]);
        if (BATCH > 1 && b + 1 < count) ask(t, begin + b + 1);
        float sums[4];
        [[unroll]] for (uint c = 0; c < 4; ++c) {
          sums[c] = values[0] * held[c];
          [[unroll]] for (uint k = 1; k < VALUES_K; ++k) sums[c] = fma(values[k], held[k * 4 + c], sums[c]);
        }
        // The lanes that share columns halve what they hold: 4 sums, then 2, then 1.
        const bool second = (lane & 1) != 0, odd = (lane & 2) != 0;
        float low = (second ? sums[2] : sums[0]) + subgroupShuffleXor(second ? sums[0] : sums[2], 1);
        float high = (second ? sums[3] : sums[1]) + subgroupShuffleXor(second ? sums[1] : sums[3], 1);
        float sum = (odd ? high : low) + subgroupShuffleXor(odd ? low : high, 2);
#if LANES_K >= 8
        sum += subgroupShuffleXor(sum, 4);
#endif
        if (hands_on) partial[copy + (b * SUBGROUPS + w) * COLUMNS + column] = sum;
      }
      barrier();
      // A subgroup a trajectory adds the subgroups' sums and publishes; the others are already polling for the next turn.
      if (w < count) {
        const uint row = BATCH == 1 ? begin : begin + w;
        const uint sharing = SUBGROUP / COLUMNS; // lanes that add for one column
        float total = 0.0, other = 0.0;
        [[unroll]] for (uint i = 0; i < (SUBGROUPS + sharing - 1) / sharing; ++i) {
          uint ww = i * sharing + lane / COLUMNS;
          float part = ww < SUBGROUPS ? partial[copy + (w * SUBGROUPS + ww) * COLUMNS + lane % COLUMNS] : 0.0;
          if ((i & 1) == 0) total += part; else other += part;
        }
        total += other;
#if LANES_K >= 8
        total += subgroupShuffleXor(total, COLUMNS);
#endif
        uint own = first_column + lane;
        if (lane < COLUMNS && own < PADDED) {
          uint bits = floatBitsToUint(total);
          words.at[(((t + 1) & 3) * ALL_ROWS + row) * PADDED + own] = bits == NOT_READY ? 0x7fc00000u : bits;
          words.at[(((t + 3) & 3) * ALL_ROWS + row) * PADDED + own] = NOT_READY;
          if (own < DIM) {
            const uint at = row * stride + own;
            if (t + 2 == steps) before.at[at] = total;
            if (t + 1 == steps) {
              // z is still what the run began with.
              if (steps == 1) before.at[at] = z.at[at];
              z.at[at] = total;
            }
          }
        }
      }
    }
  }
}
