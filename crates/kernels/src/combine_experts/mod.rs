//! `combine_experts`: adds what the experts of a row made of it to the residual stream, each by its weight.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "combine_experts",
    spirv: include_bytes!("combine_experts.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Invocations of a workgroup, a value each: few, so that a single row spreads over the card.
const COMBINE_LOCAL_SIZE: u32 = 64;

/// What is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CombineExperts {
    /// Values in a row.
    pub cols: u32,
    /// Experts that a row chooses.
    pub slots: u32,
    /// Values from one row of x to the next.
    pub x_stride: u32,
    /// Values from one row of residual and y to the next.
    pub y_stride: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows · slots, x_stride).
        x: Read,
        /// f32 (rows, slots).
        weights: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// f32 (rows, y_stride).
        residual: Read,
        /// f32 (rows, y_stride).
        y: Write,
    }
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    x_stride: u32,
    y_stride: u32,
}

/// Combines for up to `rows` rows.
pub fn dispatch(combine: &CombineExperts, rows: u32, bindings: Bindings) -> Dispatch {
    let CombineExperts { cols, slots, x_stride, y_stride } = *combine;
    let values = u64::from(rows) * u64::from(cols);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![COMBINE_LOCAL_SIZE, cols, slots],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { x_stride, y_stride }).to_vec(),
        grid: Grid::Groups([cols.div_ceil(COMBINE_LOCAL_SIZE), rows, 1]),
        cost: Cost {
            activation_bytes: values * u64::from(slots + 2) * 4,
            operations: values * u64::from(slots) * 2,
            ..Cost::default()
        },
    }
}
