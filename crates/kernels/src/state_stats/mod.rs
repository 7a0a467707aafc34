//! `state_stats_<type>`: minimum, maximum, sum and sum of squares of the finite values of z, and how many are not finite.

#[cfg(test)]
mod tests;

use crate::checks::{Params, number, put_result, words_of};
use crate::real::{Operator, Real, RealType};
use crate::{Cost, Dispatch, HostMemory};

real_kernels!(kernel, "state_stats", reference, reference);

/// Words of a result: four numbers and a count.
pub fn result_words(real: RealType) -> u32 {
    4 * real.words() + 1
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
    let params = Params::new(operator, rows, bindings.ring, result_words(operator.real));
    let cost = Cost {
        activation_bytes: operator.state_bytes(rows),
        operations: 5 * u64::from(params.values),
        ..Cost::default()
    };
    params.dispatch(kernel(operator.real), bindings.list(), cost)
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
    put_result(dispatch, memory, &words);
}
