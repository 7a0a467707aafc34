//! `rms_norm`: `y[r] = x[r] / sqrt(mean(x[r]²) + eps) · weight`, or that added to `residual[r]`, for each row that holds a
//! token. One workgroup a row. Matvecs take the norm of their input along themselves; this one stands before matrix products,
//! and behind the projections whose results are normalised before they join the residual stream.

mod reference;
#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::{Access, Binding, Cost, Dispatch, Grid, Kernel, LOCAL_SIZE, Slice};
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
    /// Values from one row to the next, in `x`, `residual` and `y`; a multiple of 4.
    pub stride: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// How x, residual and y pass from call to call.
    pub handover: Handover,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    stride: u32,
    eps: f32,
}

/// Buffers, in push-constant order.
#[derive(Clone, Copy, Debug)]
pub struct Bindings {
    /// f32 (rows, stride).
    pub x: Slice,
    /// f32 (cols).
    pub weight: Slice,
    /// u32: how many rows hold a token.
    pub row_count: Slice,
    /// f32 (rows, stride): what the normalised rows are added to, where they are.
    pub residual: Option<Slice>,
    /// f32 (rows, stride).
    pub y: Slice,
}

/// Normalises up to `rows` rows.
pub fn dispatch(norm: &RmsNorm, rows: u32, bindings: Bindings) -> Dispatch {
    let RmsNorm { cols, stride, eps, handover } = *norm;
    assert!(stride.is_multiple_of(4) && stride >= cols, "stride {stride}");
    let Bindings { x, weight, row_count, residual, y } = bindings;
    // A vec4 is polled as a whole: what nobody writes would be waited for.
    let handover = Handover { polls: handover.polls && cols.is_multiple_of(4), ..handover };
    let [polls, publishes] = handover.specialization();
    let bind = |name, slice, access| Binding { name, slice, access };
    let values = u64::from(rows) * u64::from(cols);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, cols, residual.is_some().into(), polls, publishes],
        bindings: vec![
            bind("x", Some(x), handover.reading()),
            bind("weight", Some(weight), Access::Read),
            bind("row_count", Some(row_count), Access::Read),
            bind("residual", residual, handover.reading()),
            bind("y", Some(y), handover.writing()),
        ],
        params: bytemuck::bytes_of(&Params { stride, eps }).to_vec(),
        grid: Grid::Groups([rows, 1, 1]),
        cost: Cost {
            weight_bytes: u64::from(cols) * 4,
            activation_bytes: values * if residual.is_some() { 12 } else { 8 },
            operations: values * 4,
        },
    }
}
