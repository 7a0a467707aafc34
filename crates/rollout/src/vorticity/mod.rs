//! Two-dimensional vorticity: the ground-truth flow, the codec between fields and the vectors that an operator rolls, the
//! fit of that operator, and their files and pictures. `docs/vorticity.md` has the formulas.
//!
//! Fields are `omega[y, x]` in C order on a periodic box of 2π, N cells a side. [`Flow`] and [`Codec`] compute in f64 on the
//! CPU; [`Simulation`], [`Encoder`] and [`Decoder`] on the device that was chosen.

mod codec;
mod device;
mod error;
mod fft;
mod files;
mod fit;
mod flow;
mod picture;
mod random;
mod runner;
mod structure;

pub use codec::{Atom, Bands, Codec, CodecConfig, DecodeOptions, Decoded};
pub use device::DecodeProgram;
pub use error::VorticityError;
pub use files::{
    CodecMeta, State, Trajectory, read_atoms, read_operator, read_sequence, read_vector, write_field,
    write_operator, write_sequence,
};
pub use fit::fit;
pub use flow::{Flow, FlowConfig, initial_field};
pub use picture::write_png;
pub use random::{Mt19937, Pcg64};
pub use runner::{Decoder, Encoder, Place, Precision, Simulation};

/// Cells a side that the codec and the flow take.
pub const SIZES: std::ops::RangeInclusive<usize> = 8..=4096;

/// Refuses a size beyond [`SIZES`].
///
/// # Errors
/// Such a size, by name.
pub fn check_size(n: usize) -> Result<(), VorticityError> {
    if SIZES.contains(&n) {
        return Ok(());
    }
    let (least, most) = (SIZES.start(), SIZES.end());
    Err(VorticityError::Invalid(format!("N is {n} cells a side, expected {least} to {most}")))
}

/// |a − b| / |b| in the Euclidean norm; 0 if both are zero everywhere.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

#[cfg(test)]
mod tests;
