//! `penalties`: the repetition penalty, on logits in place. Every distinct token in a window of its sequence's history
//! has its logit divided by the penalty, or multiplied if it is negative, once.
//!
//! A workgroup owns a range of the vocabulary: it walks the window, marks the tokens of its range in a bitmap in shared
//! memory, and whoever sets a bit scales the logit. So the order in which tokens are met does not matter, and nothing
//! is left to clear. Does nothing for sequences without a penalty.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "penalties",
    spirv: include_bytes!("penalties.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Tokens that a workgroup owns; the bitmap takes an eighth as many bytes.
const RANGE: u32 = 16384;

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    /// Logits in a row.
    pub vocab: u32,
    /// Values from one row of logits to the next.
    pub stride: u32,
    /// Positions of a sequence in `history`.
    pub context: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order; [`crate::step`] describes them.
    pub struct Bindings {
        /// u32: how many rows of logits there are.
        logit_count: Read,
        /// u32: which rows of the step they belong to.
        logit_rows: Read,
        /// The rows of the step.
        step_rows: Read,
        /// Parameters of the sequences.
        sequences: Read,
        /// Tokens of the sequences.
        history: Read,
        /// f32 (rows, stride).
        logits: ReadWrite,
    }
}

/// Penalises up to `rows` rows.
pub fn dispatch(params: Params, rows: u32, bindings: Bindings) -> Dispatch {
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, RANGE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([params.vocab.div_ceil(RANGE), rows, 1]),
        cost: Cost::default(),
    }
}
