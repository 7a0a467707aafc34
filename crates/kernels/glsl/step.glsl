// The state of a step in device memory, as src/step.rs describes it. Include common.glsl first.

const uint NO_SEQUENCE = 0xffffffffu;
const uint NO_TOKEN = 0xffffffffu;
const uint MAX_STOP_TOKENS = 14;

// Words of the step buffer's header; the rows follow it.
const uint ROW_COUNT = 0;
const uint LOGIT_COUNT = 1;
const uint RING_HEAD = 2;
const uint LOADS = 3;
const uint HEADER_WORDS = 4;
const uint ROW_WORDS = 4;

// One token to run: a uvec4 in memory.
struct Row {
  uint token;
  uint position;
  uint sequence;
  uint wants_logits;
};

Row row_of(uvec4 words) { return Row(words.x, words.y, words.z, words.w); }
uvec4 words_of(Row row) { return uvec4(row.token, row.position, row.sequence, row.wants_logits); }

struct SequenceParams {
  float temperature;
  uint top_k;
  float top_p;
  float min_p;
  float repetition_penalty;
  uint penalty_window;
  uint seed_low;
  uint seed_high;
  uint end_position;
  uint stop_count;
  uint stop_tokens[MAX_STOP_TOKENS];
};
const uint SEQUENCE_WORDS = 24;

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Sequences { SequenceParams at[]; };

// First word of `logit_rows` in a step buffer for `max_rows` rows.
uint logit_rows_at(uint max_rows) { return HEADER_WORDS + ROW_WORDS * max_rows; }

shared uint rank_slots[256];

// How many invocations before this one in the workgroup have `counts`, and in `total` how many there are.
// Call it in uniform control flow.
uint workgroup_rank(bool counts, out uint total) {
  uint one = counts ? 1 : 0;
  uint rank = subgroupExclusiveAdd(one);
  uint sum = subgroupAdd(one);
  barrier(); // the slots may still be read by a call before this one
  if (subgroupElect()) rank_slots[gl_SubgroupID] = sum;
  barrier();
  total = 0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) {
    if (i == gl_SubgroupID) rank += total;
    total += rank_slots[i];
  }
  return rank;
}
