//! `state_hash`: a 128-bit hash of z on the device, equal wherever the bytes are equal.
//!
//! The bytes of z, trajectory after trajectory without padding, are taken as little-endian 32-bit words `w[0], w[1], …`. The hash
//! is the sum over i, modulo 2³² in each of four lanes, of Philox4x32-10 with the counter (i, w\[i\], 0, 0) and the key (0, 0): a
//! word counts for its place and its value at once, so neither an exchange of words nor a pair of equal changes cancels.
//! Sums of whole numbers have no order, so every device finds the same.

#[cfg(test)]
mod tests;

use crate::checks::{Params, put_result};
use crate::real::Operator;
use crate::sample::philox::philox4x32;
use crate::{Cost, Dispatch, HostMemory, Kernel};

static KERNEL: Kernel =
    Kernel { name: "state_hash", spirv: include_bytes!("state_hash.spv"), host: reference, reference };

/// Words of a result.
pub const RESULT_WORDS: u32 = 4;

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// (rows, stride): the states.
        z: Read,
        /// u32: results so far.
        counter: ReadWrite,
        /// u32 (a power of two, [`RESULT_WORDS`]): the results, each at its number modulo their count.
        ring: Write,
    }
}

/// Hashes the states of `rows` trajectories.
pub fn dispatch(operator: Operator, rows: u32, bindings: Bindings) -> Dispatch {
    operator.check(rows, None, &[bindings.z]);
    let params = Params::new(operator, rows, bindings.ring, RESULT_WORDS).in_words(operator.real);
    let cost = Cost { activation_bytes: operator.state_bytes(rows), ..Cost::default() };
    params.dispatch(&KERNEL, bindings.list(), cost)
}

/// The hash of little-endian words.
pub fn hash(words: impl IntoIterator<Item = u32>) -> [u32; 4] {
    (0u32..).zip(words).fold([0; 4], |sum, (i, word)| {
        let mixed = philox4x32([i, word, 0, 0], [0; 2]);
        std::array::from_fn(|lane| sum[lane].wrapping_add(mixed[lane]))
    })
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let params: Params = dispatch.params();
    let z = memory.read::<u32>(dispatch.slice("z"));
    let result = hash(params.indices().map(|at| z[at]));
    put_result(dispatch, memory, &result);
}
