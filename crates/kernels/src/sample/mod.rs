//! `sample`: picks a token from each row of logits and makes it the row's next one. One workgroup a row picks, the one
//! that arrives last acts for all.
//!
//! **Picking.** Temperature 0 takes `argmax`'s token. Otherwise, in the order of Hugging Face: temperature, top-k, top-p,
//! min-p, then a draw. All three keep every value that equals the last one kept: top-k keeps what is not below the k-th
//! largest value, top-p what has less than top_p of the probability strictly above it, min-p what has at least min_p of
//! the largest probability. Probabilities below e⁻³² of the largest count as zero. The draw is u in [0, 1) of
//! Philox4x32-10 (key: the seed, counter: the row's position); it takes the first token, in the order of the
//! vocabulary, whose cumulative weight exceeds u · total. A row whose logits hold a NaN or +∞, or nothing above −∞,
//! gets [`NO_TOKEN`](crate::step::NO_TOKEN).
//!
//! **Acting.** The j-th row of logits puts its token to `ring[(ring_head + j) % ring_size]` and to its sequence's history
//! at the next position p + 1, if there is one. The sequence goes on unless the token is one of its stop tokens or
//! `NO_TOKEN`, or p + 1 reaches its end_position or the context. The rows that go on become the rows of the next step,
//! in their order, all wanting logits; without any, row_count is 0 and every kernel of the next replay returns at once.

pub(crate) mod philox;
mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};
use bytemuck::{Pod, Zeroable};
pub use philox::uniform;

static KERNEL: Kernel = Kernel {
    name: "sample",
    spirv: include_bytes!("sample.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Invocations in a workgroup.
const SAMPLE_LOCAL_SIZE: u32 = 1024;

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    /// Logits in a row.
    pub vocab: u32,
    /// Values from one row of logits to the next.
    pub stride: u32,
    /// Partial results of a row: [`crate::argmax::pieces`].
    pub pieces: u32,
    /// Positions of a sequence in `history`.
    pub context: u32,
    /// Words of the ring, a power of two.
    pub ring_size: u32,
    /// Rows that the step buffer has room for.
    pub max_rows: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order; [`crate::step`] describes them.
    pub struct Bindings {
        /// f32 (rows, stride), after temperature-independent changes such as `penalties`.
        logits: Read,
        /// Partial results of `argmax` on these logits.
        partials: Read,
        /// The step buffer.
        step: ReadWrite,
        /// Parameters of the sequences.
        sequences: Read,
        /// Tokens of the sequences.
        history: ReadWrite,
        /// Where the host finds the tokens.
        ring: ReadWrite,
        /// Scratch of [`scratch_bytes`], zero before the first step; its first word is zero after every one.
        scratch: ReadWrite,
    }
}

/// Bytes of `scratch` for up to `rows` rows.
pub fn scratch_bytes(rows: u32) -> u64 {
    u64::from(rows + 1) * 4
}

/// Samples up to `rows` rows.
pub fn dispatch(params: Params, rows: u32, bindings: Bindings) -> Dispatch {
    assert!(params.ring_size.is_power_of_two(), "a ring of {} words is no power of two", params.ring_size);
    assert_eq!(params.pieces, crate::argmax::pieces(params.vocab), "partial results of a row");
    let values = u64::from(rows) * u64::from(params.vocab);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![SAMPLE_LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        // Greedy rows read the partial results only; the others pass over their logits.
        cost: Cost {
            activation_bytes: u64::from(rows) * u64::from(params.pieces) * 8,
            operations: values,
            ..Cost::default()
        },
    }
}
