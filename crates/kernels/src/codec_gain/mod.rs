//! `codec_gain`: what the synthesised middle and high bands of a decoded field are multiplied by, so that cut to the structure
//! of its low modes they have the energies that the vector names. One workgroup.

mod reference;
#[cfg(test)]
mod tests;

use crate::codec::BandCounts;
use crate::{Cost, Dispatch, Grid, Kernel};

static KERNEL: Kernel = Kernel {
    name: "codec_gain",
    spirv: include_bytes!("codec_gain.spv"),
    host: reference::run,
    reference: reference::run,
};

/// A single workgroup hides latency by its size.
const LOCAL_SIZE: u32 = 512;

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (dimension).
        z: Read,
        /// f32 (4, n, n, 2): low, anchors, middle, high; the real parts are the fields.
        fields: Read,
        /// i32 (n, n): 0 where a band may not be.
        signs: Read,
        /// f32 (2): of the middle band, of the high one.
        gains: Write,
    }
}

/// Finds the gains of a field of n × n cells.
pub fn dispatch(n: u32, counts: &BandCounts, bindings: Bindings) -> Dispatch {
    let cells = u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(counts).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { weight_bytes: 0, activation_bytes: cells * 20, operations: cells * 4 },
    }
}
