//! `gather_rows`: `y[j] = x[logit_rows[j]]`, so that only rows whose logits are wanted go through the final norm and the
//! head. One workgroup a row.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "gather_rows",
    spirv: include_bytes!("gather_rows.spv"),
    host: reference::run,
    reference: reference::run,
};

/// What is gathered.
#[derive(Clone, Copy, Debug)]
pub struct GatherRows {
    /// Values in a row.
    pub cols: u32,
    /// Values from one row of x to the next.
    pub x_stride: u32,
    /// Values from one row of y to the next.
    pub y_stride: u32,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    x_stride: u32,
    y_stride: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, x_stride).
        x: Read,
        /// u32: how many rows are wanted.
        logit_count: Read,
        /// u32 (max_rows): which.
        logit_rows: Read,
        /// f32 (rows, y_stride).
        y: Write,
    }
}

/// Gathers up to `rows` rows.
pub fn dispatch(gather: &GatherRows, rows: u32, bindings: Bindings) -> Dispatch {
    let GatherRows { cols, x_stride, y_stride } = *gather;
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, cols],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { x_stride, y_stride }).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost { activation_bytes: u64::from(rows) * u64::from(cols) * 8, ..Cost::default() },
    }
}
