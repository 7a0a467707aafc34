//! `argmax`: the largest logit of each piece of each row, as partial results for `sample`. Equal logits go to the lower
//! token. A NaN counts as larger than everything, so that it is never overlooked.
//!
//! A partial result is {[`key`] of the logit, token}.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "argmax",
    spirv: include_bytes!("argmax.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Logits that a workgroup looks at.
const PIECE: u32 = 1024;

/// The key of a NaN.
pub const NAN_KEY: u32 = u32::MAX;

/// Maps floats to integers of the same order; both zeros to one, every NaN to [`NAN_KEY`].
pub fn key(value: f32) -> u32 {
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    match bits {
        _ if value.is_nan() => NAN_KEY,
        0x8000_0000.. => !bits,
        _ => bits | 0x8000_0000,
    }
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    /// Logits in a row.
    pub vocab: u32,
    /// Values from one row of logits to the next.
    pub stride: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, stride).
        logits: Read,
        /// u32: how many rows of logits there are.
        logit_count: Read,
        /// (rows, [`pieces`]) of {key, token}.
        partials: Write,
    }
}

/// Partial results of a row.
pub fn pieces(vocab: u32) -> u32 {
    vocab.div_ceil(PIECE)
}

/// Bytes of the partial results of up to `rows` rows.
pub fn partial_bytes(vocab: u32, rows: u32) -> u64 {
    u64::from(rows) * u64::from(pieces(vocab)) * 8
}

/// Looks at up to `rows` rows.
pub fn dispatch(params: Params, rows: u32, bindings: Bindings) -> Dispatch {
    let values = u64::from(rows) * u64::from(params.vocab);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, PIECE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([pieces(params.vocab), rows, 1]),
        cost: Cost { activation_bytes: values * 4, operations: values, ..Cost::default() },
    }
}
