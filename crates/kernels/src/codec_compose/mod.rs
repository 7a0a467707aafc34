//! `codec_compose`: a decoded vorticity field from its parts: low modes, anchors unless left out, the middle and the high band
//! where there is structure, and Gaussian vortices on top.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "codec_compose",
    spirv: include_bytes!("codec_compose.spv"),
    host: reference::run,
    reference: reference::run,
};

/// What `options` holds: it may differ from field to field.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ComposeOptions {
    /// 1: the anchors are left out.
    pub without_anchors: u32,
    /// Vortices in `atoms`.
    pub atoms: u32,
}

/// A Gaussian vortex as `atoms` holds it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AtomWords {
    /// Centre along x.
    pub x: f32,
    /// Centre along y.
    pub y: f32,
    /// Height, with its sign.
    pub height: f32,
    /// 1 / (2 radius²).
    pub falloff: f32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (4, n, n, 2): low, anchors, middle, high; the real parts are the fields.
        fields: Read,
        /// i32 (n, n): 0 where the bands may not be.
        signs: Read,
        /// f32 (2): of the middle band, of the high one.
        gains: Read,
        /// [`ComposeOptions`].
        options: Read,
        /// [`AtomWords`] (atoms).
        atoms: Read,
        /// (4, n, n): f32 field, low part, anchors' part; u32 1 where the bands may be.
        decoded: Write,
    }
}

/// Composes a field of n × n cells.
pub fn dispatch(n: u32, bindings: Bindings) -> Dispatch {
    let cells = u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n],
        bindings: bindings.list(),
        params: Vec::new(),
        grid: Grid::Groups([(n * n).div_ceil(LOCAL_SIZE), 1, 1]),
        cost: Cost { weight_bytes: 0, activation_bytes: cells * 52, operations: cells * 6 },
    }
}
