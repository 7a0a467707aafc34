//! `codec_spectra`: the four spectra that a vector of the vorticity codec stands for: low modes, anchors, and the middle and
//! the high band with the energies that the vector names, at the phases that NumPy's `default_rng` draws: every cell jumps
//! to its own number of the PCG64 generator.

mod reference;
#[cfg(test)]
mod tests;

use crate::codec::BandCounts;
use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE};

static KERNEL: Kernel = Kernel {
    name: "codec_spectra",
    spirv: include_bytes!("codec_spectra.spv"),
    host: reference::run,
    reference: reference::run,
};

/// PCG64's multiplier (O'Neill 2014).
pub const PCG_MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (dimension), finite.
        z: Read,
        /// u32 (n, n): [`crate::codec::Place`]s.
        places: Read,
        /// u32 (3 n, 2, 4): what [`jumps`] makes.
        jumps: Read,
        /// u32 (2, 4): the generator's state and increment, lowest words first.
        generator: Read,
        /// f32 (4, n, n, 2): low, anchors, middle, high; of a transform back without 1/n².
        spectra: Write,
    }
}

/// Jumps of the generator, state → m · state + s · increment, as words of m and s: by x + 1 numbers for x < n, then by y · n
/// numbers for y < 2n. A number of a stream of 2n² is one jump of each sort away.
pub fn jumps(n: u32) -> Vec<u32> {
    let one = (PCG_MULTIPLIER, 1u128);
    let after = |(m, s): (u128, u128), (m2, s2): (u128, u128)| {
        (m2.wrapping_mul(m), m2.wrapping_mul(s).wrapping_add(s2))
    };
    let walk = |step, count| {
        std::iter::successors(Some((1u128, 0u128)), move |jump| Some(after(*jump, step))).take(count)
    };
    let columns: Vec<_> = walk(one, n as usize + 1).skip(1).collect();
    let rows = walk(*columns.last().expect("n is not 0"), 2 * n as usize);
    columns.iter().copied().chain(rows).flat_map(|(m, s)| [words(m), words(s)]).flatten().collect()
}

/// A wide number's words, the lowest first.
pub fn words(wide: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|shift| (wide >> shift) as u32)
}

/// Derives the spectra of n × n modes.
pub fn dispatch(n: u32, counts: &BandCounts, bindings: Bindings) -> Dispatch {
    let cells = u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, n],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(counts).to_vec(),
        grid: Grid::Groups([(n * n).div_ceil(LOCAL_SIZE), 1, 1]),
        cost: Cost { weight_bytes: cells * 4, activation_bytes: cells * 32, operations: cells * 30 },
    }
}
