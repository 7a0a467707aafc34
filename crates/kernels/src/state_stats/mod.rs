//! `state_stats_<type>`: minimum, maximum, sum and sum of squares of the finite values of z, and how many are not finite.

#[cfg(test)]
mod tests;

use crate::real::{Operator, Real, RealType};
use crate::state_hash::{put_result, ring_mask};
use crate::{Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE};
use bytemuck::{Pod, Zeroable};

static F32: Kernel = Kernel {
    name: "state_stats_f32",
    spirv: include_bytes!("state_stats_f32.spv"),
    host: reference::<f32>,
    reference: reference::<f32>,
};
static F64: Kernel = Kernel {
    name: "state_stats_f64",
    spirv: include_bytes!("state_stats_f64.spv"),
    host: reference::<f64>,
    reference: reference::<f64>,
};

/// Words of a result: four numbers and a count.
pub fn result_words(real: RealType) -> u32 {
    4 * real.words() + 1
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) cols: u32,
    pub(crate) stride: u32,
    pub(crate) values: u32,
    pub(crate) ring_mask: u32,
}

impl Params {
    pub(crate) fn new(operator: Operator, rows: u32, ring_mask: u32) -> Self {
        let values = operator.dim.checked_mul(rows).expect("states have fewer than 2^32 values");
        Self { cols: operator.dim, stride: operator.stride(), values, ring_mask }
    }

    /// Where the values stand.
    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.values).map(move |at| (at / self.cols * self.stride + at % self.cols) as usize)
    }
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// (rows, stride): the states.
        z: Read,
        /// u32: results so far.
        counter: ReadWrite,
        /// u32 (a power of two, [`result_words`]): the results, each at its number modulo their count.
        ring: Write,
    }
}

/// Looks at the states of `rows` trajectories, as one.
pub fn dispatch(operator: Operator, rows: u32, bindings: Bindings) -> Dispatch {
    operator.check(rows, None, &[bindings.z]);
    let params = Params::new(operator, rows, ring_mask(bindings.ring, result_words(operator.real)));
    Dispatch {
        kernel: if operator.real == RealType::F32 { &F32 } else { &F64 },
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost {
            activation_bytes: operator.state_bytes(rows),
            operations: 5 * u64::from(params.values),
            ..Cost::default()
        },
    }
}

/// A result, in the order of its words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// The smallest finite value; +∞ where there is none.
    pub min: f64,
    /// The largest finite value; −∞ where there is none.
    pub max: f64,
    /// Σ z over the finite values.
    pub sum: f64,
    /// Σ z² over the finite values.
    pub sum_of_squares: f64,
    /// Values that are NaN or infinite.
    pub non_finite: u32,
}

impl Stats {
    /// From the words of a result.
    pub fn of(real: RealType, words: &[u32]) -> Self {
        let [min, max, sum, sum_of_squares] = [0, 1, 2, 3].map(|index| number(real, words, index));
        Self { min, max, sum, sum_of_squares, non_finite: words[4 * real.words() as usize] }
    }
}

/// A number in the words of a result.
pub(crate) fn number(real: RealType, words: &[u32], index: usize) -> f64 {
    match real {
        RealType::F32 => f32::from_bits(words[index]).into(),
        RealType::F64 => f64::from_bits(u64::from(words[2 * index]) | u64::from(words[2 * index + 1]) << 32),
    }
}

/// Numbers and a count as the words of a result.
pub(crate) fn words_of<T: Real>(numbers: &[f64], count: u32) -> Vec<u32> {
    let mut words: Vec<u32> = match T::TYPE {
        RealType::F32 => numbers.iter().map(|n| (*n as f32).to_bits()).collect(),
        RealType::F64 => {
            numbers.iter().flat_map(|n| [n.to_bits() as u32, (n.to_bits() >> 32) as u32]).collect()
        }
    };
    words.push(count);
    words
}

fn reference<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let params: Params = dispatch.params();
    let z = memory.read::<T>(dispatch.slice("z"));
    let [mut min, mut max, mut sum, mut squares] = [f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0];
    let mut lost = 0;
    for value in params.indices().map(|at| z[at].to_f64()) {
        if value.is_finite() {
            min = value.min(min);
            max = value.max(max);
            sum += value;
            squares += value * value;
        } else {
            lost += 1;
        }
    }
    let words = words_of::<T>(&[min, max, sum, squares], lost);
    drop(z);
    put_result(dispatch, memory, params.ring_mask, &words);
}
