//! `state_hash`: a 128-bit hash of z on the device, equal wherever the bytes are equal.
//!
//! The bytes of z, trajectory after trajectory without padding, are taken as little-endian 32-bit words `w[0], w[1], …`. The hash
//! is the sum over i, modulo 2³² in each of four lanes, of Philox4x32-10 with the counter (i, w\[i\], 0, 0) and the key (0, 0): a
//! word counts for its place and its value at once, so neither an exchange of words nor a pair of equal changes cancels.
//! Sums of whole numbers have no order, so every device finds the same.

#[cfg(test)]
mod tests;

use crate::real::Operator;
use crate::sample::philox::philox4x32;
use crate::{Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE, Slice};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel =
    Kernel { name: "state_hash", spirv: include_bytes!("state_hash.spv"), host: reference, reference };

/// Words of a result.
pub const RESULT_WORDS: u32 = 4;

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    cols: u32,
    stride: u32,
    words: u32,
    ring_mask: u32,
}

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
    let words = operator.real.words();
    let cols = operator.dim * words;
    let params = Params {
        cols,
        stride: operator.stride() * words,
        words: cols.checked_mul(rows).expect("states have fewer than 2^32 words"),
        ring_mask: ring_mask(bindings.ring, RESULT_WORDS),
    };
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost { activation_bytes: operator.state_bytes(rows), ..Cost::default() },
    }
}

/// The mask of the index of a ring of results of so many words.
///
/// # Panics
/// If it does not hold a power of two of them.
pub(crate) fn ring_mask(ring: Slice, result_words: u32) -> u32 {
    let results = u32::try_from(ring.bytes / 4).expect("a small ring") / result_words;
    assert!(results.is_power_of_two(), "a ring of {results} results, expected a power of two");
    results - 1
}

/// Writes the words of the next result.
pub(crate) fn put_result(dispatch: &Dispatch, memory: &HostMemory, ring_mask: u32, words: &[u32]) {
    let mut counter = memory.write::<u32>(dispatch.slice("counter"));
    let mut ring = memory.write::<u32>(dispatch.slice("ring"));
    ring[(counter[0] & ring_mask) as usize * words.len()..][..words.len()].copy_from_slice(words);
    counter[0] = counter[0].wrapping_add(1);
}

/// The hash of little-endian words.
pub fn hash(words: impl IntoIterator<Item = u32>) -> [u32; 4] {
    (0u32..).zip(words).fold([0; 4], |sum, (i, word)| {
        let mixed = philox4x32([i, word, 0, 0], [0; 2]);
        std::array::from_fn(|lane| sum[lane].wrapping_add(mixed[lane]))
    })
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { cols, stride, words, ring_mask } = dispatch.params();
    let z = memory.read::<u32>(dispatch.slice("z"));
    let rows = z.chunks(stride as usize).take((words / cols) as usize);
    let result = hash(rows.flat_map(|row| row[..cols as usize].iter().copied()));
    put_result(dispatch, memory, ring_mask, &result);
}
