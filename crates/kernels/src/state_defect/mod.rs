//! `state_defect_<type>`: how far the last step moved z: the largest and the mean `|z[t+1] − z[t]|`, and how many of the
//! differences are not finite.

#[cfg(test)]
mod tests;

use crate::checks::{Params, number, put_result, words_of};
use crate::real::{Operator, Real, RealType};
use crate::{Cost, Dispatch, HostMemory};

real_kernels!(kernel, "state_defect", reference, reference);

/// Words of a result: two numbers and a count.
pub fn result_words(real: RealType) -> u32 {
    2 * real.words() + 1
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// (rows, stride): the states.
        z: Read,
        /// (rows, stride): the states one step earlier.
        before: Read,
        /// u32: results so far.
        counter: ReadWrite,
        /// u32 (a power of two, [`result_words`]): the results, each at its number modulo their count.
        ring: Write,
    }
}

/// Compares the states of `rows` trajectories, as one.
pub fn dispatch(operator: Operator, rows: u32, bindings: Bindings) -> Dispatch {
    operator.check(rows, None, &[bindings.z, bindings.before]);
    let params = Params::new(operator, rows, bindings.ring, result_words(operator.real));
    let cost = Cost {
        activation_bytes: 2 * operator.state_bytes(rows),
        operations: 3 * u64::from(params.values),
        ..Cost::default()
    };
    params.dispatch(kernel(operator.real), bindings.list(), cost)
}

/// A result, in the order of its words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defect {
    /// The largest finite `|z[t+1] − z[t]|`.
    pub max: f64,
    /// The finite ones' sum over the number of all.
    pub mean: f64,
    /// Differences that are NaN or infinite.
    pub non_finite: u32,
}

impl Defect {
    /// From the words of a result.
    pub fn of(real: RealType, words: &[u32]) -> Self {
        let [max, mean] = [0, 1].map(|index| number(real, words, index));
        Self { max, mean, non_finite: words[2 * real.words() as usize] }
    }
}

fn reference<T: Real>(dispatch: &Dispatch, memory: &HostMemory) {
    let params: Params = dispatch.params();
    let z = memory.read::<T>(dispatch.slice("z"));
    let before = memory.read::<T>(dispatch.slice("before"));
    let (mut max, mut sum, mut lost) = (0.0f64, 0.0, 0);
    for at in params.indices() {
        let difference = (z[at] - before[at]).to_f64().abs();
        if difference.is_finite() {
            max = max.max(difference);
            sum += difference;
        } else {
            lost += 1;
        }
    }
    let words = words_of::<T>(&[max, sum / f64::from(params.values)], lost);
    drop((z, before));
    put_result(dispatch, memory, &words);
}
