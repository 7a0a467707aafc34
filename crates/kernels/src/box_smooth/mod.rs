//! `box_smooth`: a box filter along the rows or the columns of an N × N field: the window [i − ⌊w/2⌋, i − ⌊w/2⌋ + w), zeros
//! beyond the border, always divided by w. With an original it gives what the filter takes away from that.

mod reference;
#[cfg(test)]
mod tests;

use crate::fft::Lines;
use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "box_smooth",
    spirv: include_bytes!("box_smooth.spv"),
    host: reference::run,
    reference: reference::run,
};

/// How a field is filtered.
#[derive(Clone, Copy, Debug)]
pub struct BoxSmooth {
    /// Cells a side.
    pub n: u32,
    /// Cells in the window, at least 1.
    pub width: u32,
    /// Along which lines.
    pub lines: Lines,
    /// Floats from one value of x to the next: 2 reads the real parts of a complex field.
    pub x_step: u32,
    /// The same of the original.
    pub original_step: u32,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    element_stride: u32,
    x_step: u32,
    original_step: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (n, n, x_step).
        x: Read,
        /// f32 (n, n, original_step): if bound, y is this minus the filtered x.
        original: Read 0,
        /// f32 (n, n).
        y: Write,
    }
}

/// Filters.
pub fn dispatch(smooth: &BoxSmooth, bindings: Bindings) -> Dispatch {
    let BoxSmooth { n, width, lines, x_step, original_step } = *smooth;
    let element_stride = if lines == Lines::Rows { 1 } else { n };
    let cells = u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n, width, bindings.original.is_some().into()],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { element_stride, x_step, original_step }).to_vec(),
        grid: Grid::Groups([(n * n).div_ceil(LOCAL_SIZE), 1, 1]),
        cost: Cost { weight_bytes: 0, activation_bytes: cells * 8, operations: cells * u64::from(width + 1) },
    }
}
