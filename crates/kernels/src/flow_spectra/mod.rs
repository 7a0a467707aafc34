//! `flow_spectra`: the spectra of what a two-dimensional flow is advanced by, from that of its vorticity: velocity, gradient
//! and Laplacian of the vorticity, and where wanted the strain. Real fields that go in pairs are packed as a + ib, so that one
//! complex transform makes both; first derivatives leave the Nyquist mode out, which keeps the pairs apart.

mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};

static KERNEL: Kernel = Kernel {
    name: "flow_spectra",
    spirv: include_bytes!("flow_spectra.spv"),
    host: reference::run,
    reference: reference::run,
};

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (n, n, 2): the vorticity's spectrum.
        omega: Read,
        /// f32 (3 or 4, n, n, 2): u + iv; ω_x + i ω_y; ∇²ω; with strain also u_x + i S_xy.
        spectra: Write,
    }
}

/// Derives the spectra.
pub fn dispatch(n: u32, with_strain: bool, bindings: Bindings) -> Dispatch {
    let cells = u64::from(n) * u64::from(n);
    let spectra = 3 + u64::from(with_strain);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n, with_strain.into()],
        bindings: bindings.list(),
        params: Vec::new(),
        grid: Grid::Groups([(n * n).div_ceil(LOCAL_SIZE), 1, 1]),
        cost: Cost {
            weight_bytes: 0,
            activation_bytes: cells * 8 * (1 + spectra),
            operations: cells * spectra * 6,
        },
    }
}
