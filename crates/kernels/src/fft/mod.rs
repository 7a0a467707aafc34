//! `fft`: Fourier transforms of all rows or all columns of N × N fields, N a power of two. Two calls transform a field.
//! One workgroup a line, Stockham's radix 2 in shared memory; the twiddle factors are a table, because Vulkan leaves the
//! precision of sines open.

mod host;
mod reference;
#[cfg(test)]
mod tests;

use crate::{Cost, Dispatch, Grid, Kernel};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel =
    Kernel { name: "fft", spirv: include_bytes!("fft.spv"), host: host::run, reference: reference::run };

/// Sizes that the kernel takes, all powers of two among them: a line fits 8 KiB of shared memory.
pub const SIZES: std::ops::RangeInclusive<u32> = 16..=1024;

/// Which lines of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Neighbouring values.
    Rows,
    /// Values N apart.
    Columns,
}

/// What is transformed.
#[derive(Clone, Copy, Debug)]
pub struct Fft {
    /// Values in a line, lines in a field.
    pub n: u32,
    /// Fields behind each other.
    pub fields: u32,
    /// The lines of a field.
    pub lines: Lines,
    /// exp(+2πi jk/N) instead of exp(−2πi jk/N).
    pub inverse: bool,
    /// `x` has real values.
    pub real_input: bool,
    /// The results are multiplied by it.
    pub scale: f32,
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    element_stride: u32,
    line_stride: u32,
    scale: f32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (fields, n, n), pairs of them unless the input is real.
        x: Read,
        /// f32 (n / 2, 2): what [`twiddles`] makes.
        twiddles: Read,
        /// f32 (fields, n, n, 2).
        y: Write,
    }
}

/// exp(−2πi m/n) for m < n/2, as pairs.
pub fn twiddles(n: u32) -> Vec<f32> {
    let angle = |m: u32| -std::f64::consts::TAU * f64::from(m) / f64::from(n);
    (0..n / 2).flat_map(|m| [angle(m).cos() as f32, angle(m).sin() as f32]).collect()
}

/// Transforms the lines.
///
/// # Panics
/// If the size is none of [`SIZES`] or no power of two.
pub fn dispatch(fft: &Fft, bindings: Bindings) -> Dispatch {
    let Fft { n, fields, lines, inverse, real_input, scale } = *fft;
    assert!(SIZES.contains(&n) && n.is_power_of_two(), "fft of lines of {n} values");
    let (element_stride, line_stride) = if lines == Lines::Rows { (1, n) } else { (n, 1) };
    let values = u64::from(fields) * u64::from(n) * u64::from(n);
    Dispatch {
        kernel: &KERNEL,
        // Each invocation does one butterfly or two; the workgroup is whole subgroups of any device.
        specialization: vec![(n / 2).clamp(64, 256), n, inverse.into(), real_input.into()],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&Params { element_stride, line_stride, scale }).to_vec(),
        grid: Grid::Groups([n, fields, 1]),
        cost: Cost {
            weight_bytes: 0,
            activation_bytes: values * if real_input { 12 } else { 16 },
            operations: values * u64::from(n.ilog2()) * 5,
        },
    }
}

/// A call as its host functions need it.
struct Call {
    n: usize,
    inverse: bool,
    real_input: bool,
    params: Params,
}

impl Call {
    fn of(dispatch: &Dispatch) -> Self {
        let constants = &dispatch.specialization;
        let (inverse, real_input) = (constants[2] == 1, constants[3] == 1);
        Self { n: constants[1] as usize, inverse, real_input, params: dispatch.params() }
    }

    /// Where element `i` of line `line` of all fields stands.
    fn at(&self, line: usize, i: usize) -> usize {
        let Params { element_stride, line_stride, .. } = self.params;
        line / self.n * self.n * self.n + line % self.n * line_stride as usize + i * element_stride as usize
    }

    /// A value of x.
    fn value(&self, x: &[f32], at: usize) -> [f32; 2] {
        if self.real_input { [x[at], 0.0] } else { [x[2 * at], x[2 * at + 1]] }
    }
}
