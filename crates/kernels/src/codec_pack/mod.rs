//! `codec_pack`: the vector of a vorticity field: its low modes, the share of cells with structure, the energies of the bands
//! above, and the anchor modes of its residual. One workgroup; the spectra are those of unnormalised transforms.

mod reference;
#[cfg(test)]
mod tests;

use crate::codec::BandCounts;
use crate::{Cost, Dispatch, Grid, Kernel};

static KERNEL: Kernel = Kernel {
    name: "codec_pack",
    spirv: include_bytes!("codec_pack.spv"),
    host: reference::run,
    reference: reference::run,
};

/// A single workgroup hides latency by its size.
const LOCAL_SIZE: u32 = 512;

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (n, n, 2): the field's spectrum.
        omega: Read,
        /// f32 (n, n, 2): the residual's spectrum.
        residual: Read,
        /// i32 (n, n): the residual's ternary structure.
        signs: Read,
        /// u32 (n, n): [`crate::codec::Place`]s.
        places: Read,
        /// f32 (dimension).
        z: Write,
    }
}

/// Packs a field of n × n cells.
pub fn dispatch(n: u32, counts: &BandCounts, bindings: Bindings) -> Dispatch {
    let cells = u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(counts).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { weight_bytes: cells * 4, activation_bytes: cells * 12, operations: cells * 4 },
    }
}
