//! `to_halves`: rows of x as [`halves`], the form in which `matmul` on matrix units reads them, each
//! normalised before where that is asked for. One workgroup a row.

mod reference;
#[cfg(test)]
mod tests;

use crate::linear::halves;
use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "to_halves",
    spirv: include_bytes!("to_halves.spv"),
    host: reference::run,
    reference: reference::run,
};

/// What becomes halves.
#[derive(Clone, Copy, Debug)]
pub struct ToHalves {
    /// Values in a row.
    pub cols: u32,
    /// Values from one row of x to the next; a multiple of 4.
    pub stride: u32,
    /// Rows of x a token row: 1, or the experts that a token row chooses.
    pub each: u32,
    /// RMSNorm by `weight` with this eps.
    pub norm_eps: Option<f32>,
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
        /// f32 (token rows · each, stride).
        x: Read,
        /// f32 (cols), padded to 16 bytes; bound where rows are normalised.
        weight: Read 0,
        /// u32: how many token rows are in use.
        row_count: Read,
        /// Halves of token rows · each rows.
        y: Write,
    }
}

/// Converts up to `token_rows` · each rows.
///
/// # Panics
/// If the norm has no weight, or no eps.
pub fn dispatch(call: &ToHalves, token_rows: u32, bindings: Bindings) -> Dispatch {
    let ToHalves { cols, stride, each, norm_eps } = *call;
    assert!(stride.is_multiple_of(4) && stride >= cols, "stride {stride}");
    assert_eq!(bindings.weight.is_some(), norm_eps.is_some(), "a norm needs its weight and its eps");
    let rows = token_rows * each;
    let values = u64::from(rows) * u64::from(cols);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, cols, norm_eps.is_some().into(), each],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { stride, eps: norm_eps.unwrap_or(0.0) }).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost {
            weight_bytes: norm_eps.map_or(0, |_| u64::from(cols) * 4),
            activation_bytes: values * 4 + halves::bytes(rows, cols),
            operations: values * 4,
        },
    }
}
