//! The state of a step, as it lies in device memory: which rows run, what their sequences want, which tokens there are.
//!
//! | buffer | words |
//! |---|---|
//! | `step` | [`Header`], `max_rows` × [`Row`], `max_rows` × u32 `logit_rows`: indices of the rows whose logits are wanted, ascending |
//! | `sequences` | `max_sequences` × [`SequenceParams`] |
//! | `history` | `max_sequences` × `context` tokens, by position |
//! | `block_table` | `max_sequences` × `max_blocks` block numbers of the paged KV cache |
//! | `mailbox` | `slots` × ([`SlotHeader`], [`SequenceParams`], `max_rows` × [`Row`]): written by the host, loaded by `load_rows` |
//! | `ring` | `ring_size` tokens: written by `sample`, read by the host |
//!
//! `slots` and `ring_size` are powers of two, so that the counters that index them may wrap.
//! `glsl/step.glsl` declares the same.

use crate::Slice;
use bytemuck::{Pod, Zeroable};

/// Words that stand for no sequence in a mailbox slot.
pub const NO_SEQUENCE: u32 = u32::MAX;

/// The token of a row whose logits had a NaN, a +∞ or nothing above −∞.
pub const NO_TOKEN: u32 = u32::MAX;

/// How many stop tokens a sequence may have.
pub const MAX_STOP_TOKENS: usize = 14;

/// The first words of the step buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// Rows in use.
    pub row_count: u32,
    /// Rows whose logits are wanted.
    pub logit_count: u32,
    /// Tokens written to the ring so far, modulo 2³².
    pub ring_head: u32,
    /// Mailbox slots loaded so far, modulo 2³².
    pub loads: u32,
}

/// One token to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    /// The token.
    pub token: u32,
    /// Its position in its sequence.
    pub position: u32,
    /// Its sequence.
    pub sequence: u32,
    /// 1 if a token is to be sampled from this row's logits, else 0.
    pub wants_logits: u32,
}

/// How a sequence is sampled and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct SequenceParams {
    /// Logits are divided by it; 0 takes the largest logit.
    pub temperature: f32,
    /// Only values not below the k-th largest; 0 is off.
    pub top_k: u32,
    /// Only the largest values, until their probability reaches it; 1 is off.
    pub top_p: f32,
    /// Only values with at least this share of the largest probability; 0 is off.
    pub min_p: f32,
    /// Logits of tokens in the window are divided by it (multiplied if negative); 1 is off.
    pub repetition_penalty: f32,
    /// How many of the last tokens count as repeated; 0 is all.
    pub penalty_window: u32,
    /// Low half of the seed.
    pub seed_low: u32,
    /// High half of the seed.
    pub seed_high: u32,
    /// No step runs at this position or behind it.
    pub end_position: u32,
    /// How many of `stop_tokens` count.
    pub stop_count: u32,
    /// A sequence stops after one of these.
    pub stop_tokens: [u32; MAX_STOP_TOKENS],
}

impl Default for SequenceParams {
    /// Greedy, without penalties, stop tokens or an end.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            penalty_window: 0,
            seed_low: 0,
            seed_high: 0,
            end_position: u32::MAX,
            stop_count: 0,
            stop_tokens: [0; MAX_STOP_TOKENS],
        }
    }
}

impl SequenceParams {
    /// Whether a sequence ends with `token`.
    pub fn stops_at(&self, token: u32) -> bool {
        token == NO_TOKEN
            || self.stop_tokens[..MAX_STOP_TOKENS.min(self.stop_count as usize)].contains(&token)
    }
}

/// The first words of a mailbox slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SlotHeader {
    /// Rows in this slot.
    pub row_count: u32,
    /// The sequence whose parameters this slot carries, or [`NO_SEQUENCE`].
    pub params_sequence: u32,
    /// 1 to have `ring_head` take the place of the step buffer's, else 0: after a text that the host broke off, the device
    /// may have written tokens that nobody counted.
    pub sets_ring_head: u32,
    /// Where in the ring the next token goes.
    pub ring_head: u32,
}

/// Where things lie in the step buffer and in a mailbox slot of a program for up to `max_rows` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLayout {
    /// Rows a step can have.
    pub max_rows: u32,
}

const HEADER_BYTES: u64 = size_of::<Header>() as u64;
const ROW_BYTES: u64 = size_of::<Row>() as u64;

impl StepLayout {
    /// Bytes of the step buffer.
    pub fn step_bytes(self) -> u64 {
        self.logit_rows_offset() + self.max(4)
    }

    /// The word of the step buffer that holds the number of rows.
    pub fn row_count(self, step: Slice) -> Slice {
        step.at(0, 4)
    }

    /// The word of the step buffer that holds the number of rows whose logits are wanted.
    pub fn logit_count(self, step: Slice) -> Slice {
        step.at(4, 4)
    }

    /// The rows in the step buffer.
    pub fn rows(self, step: Slice) -> Slice {
        step.at(HEADER_BYTES, self.rows_bytes())
    }

    /// The indices of the rows whose logits are wanted.
    pub fn logit_rows(self, step: Slice) -> Slice {
        step.at(self.logit_rows_offset(), self.max(4))
    }

    /// Bytes of a mailbox slot.
    pub fn slot_bytes(self) -> u64 {
        self.slot_rows_offset() + self.rows_bytes()
    }

    /// Where the [`SequenceParams`] stand in a mailbox slot.
    pub fn slot_params_offset(self) -> u64 {
        size_of::<SlotHeader>() as u64
    }

    /// Where the rows stand in a mailbox slot.
    pub fn slot_rows_offset(self) -> u64 {
        self.slot_params_offset() + size_of::<SequenceParams>() as u64
    }

    /// Bytes of `max_rows` rows.
    pub fn rows_bytes(self) -> u64 {
        self.max(ROW_BYTES)
    }

    fn logit_rows_offset(self) -> u64 {
        HEADER_BYTES + self.rows_bytes()
    }

    fn max(self, bytes: u64) -> u64 {
        u64::from(self.max_rows) * bytes
    }
}

/// The step buffer, seen from the host.
pub(crate) struct HostStep<'a> {
    pub(crate) header: &'a mut Header,
    pub(crate) rows: &'a mut [Row],
    pub(crate) logit_rows: &'a mut [u32],
}

impl<'a> HostStep<'a> {
    pub(crate) fn of(words: &'a mut [u32], max_rows: u32) -> Self {
        let (header, rest) = words.split_at_mut(4);
        let (rows, logit_rows) = rest.split_at_mut(4 * max_rows as usize);
        let header = &mut bytemuck::cast_slice_mut::<u32, Header>(header)[0];
        Self { header, rows: bytemuck::cast_slice_mut(rows), logit_rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BufferId;

    #[test]
    fn sizes_are_those_of_the_shaders() {
        assert_eq!((size_of::<Header>(), size_of::<Row>()), (16, 16));
        assert_eq!((size_of::<SlotHeader>(), size_of::<SequenceParams>()), (16, 96));
    }

    #[test]
    fn parts_of_the_step_buffer_do_not_overlap() {
        let layout = StepLayout { max_rows: 3 };
        let step = Slice { buffer: BufferId(0), offset_bytes: 32, bytes: layout.step_bytes() };
        assert_eq!(layout.step_bytes(), 16 + 48 + 12);
        assert_eq!((layout.row_count(step).offset_bytes, layout.logit_count(step).offset_bytes), (32, 36));
        assert_eq!((layout.rows(step).offset_bytes, layout.rows(step).bytes), (48, 48));
        assert_eq!((layout.logit_rows(step).offset_bytes, layout.logit_rows(step).bytes), (96, 12));
        assert_eq!(
            (layout.slot_params_offset(), layout.slot_rows_offset(), layout.slot_bytes()),
            (16, 112, 160)
        );
    }

    #[test]
    fn stop_tokens_end_a_sequence_and_so_does_no_token() {
        let params =
            SequenceParams { stop_count: 1, stop_tokens: [7; MAX_STOP_TOKENS], ..Default::default() };
        assert!(params.stops_at(7) && params.stops_at(NO_TOKEN) && !params.stops_at(8));
        assert!(!SequenceParams { stop_count: 0, ..params }.stops_at(7));
    }
}
