//! `rms_norm`: `y[r] = x[r] / sqrt(mean(x[r]²) + eps) · weight`, for each row that holds a token.
//! One workgroup a row. Matvecs take the norm along themselves; this one stands before matrix products.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "rms_norm",
    spirv: include_bytes!("rms_norm.spv"),
    host: reference::run,
    reference: reference::run,
};

/// What is normalised.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Values in a row.
    pub cols: u32,
    /// Values from one row to the next, in `x` and `y`.
    pub stride: u32,
    /// Added to the mean square.
    pub eps: f32,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
    eps: f32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, stride).
        x: Read,
        /// f32 (cols).
        weight: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// f32 (rows, stride).
        y: Write,
    }
}

/// Normalises up to `rows` rows.
pub fn dispatch(norm: &RmsNorm, rows: u32, bindings: Bindings) -> Dispatch {
    let RmsNorm { cols, stride, eps } = *norm;
    let values = u64::from(rows) * u64::from(cols);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, cols],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride, eps }).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost {
            weight_bytes: u64::from(cols) * 4,
            activation_bytes: values * 8,
            operations: values * 4,
        },
    }
}
