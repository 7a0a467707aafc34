//! What the checks of a state share: which values they look at, how results go around their ring, what their words hold.
//!
//! A check is one workgroup. It looks at the states of all trajectories as one, without their padding.

use crate::real::{Operator, Real, RealType};
use crate::{Binding, Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE, Slice};
use bytemuck::{Pod, Zeroable};

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
    /// For the values of `rows` trajectories and a ring of results of `result_words` words.
    ///
    /// # Panics
    /// If the ring does not hold a power of two of them.
    pub(crate) fn new(operator: Operator, rows: u32, ring: Slice, result_words: u32) -> Self {
        let values = operator.dim.checked_mul(rows).expect("states have fewer than 2^32 values");
        let results = u32::try_from(ring.bytes / 4).expect("a small ring") / result_words;
        assert!(results.is_power_of_two(), "a ring of {results} results, expected a power of two");
        Self { cols: operator.dim, stride: operator.stride(), values, ring_mask: results - 1 }
    }

    /// The same for the 32-bit words of the values.
    pub(crate) fn in_words(self, real: RealType) -> Self {
        let words = |values: u32| values.checked_mul(real.words()).expect("fewer than 2^32 words");
        let Self { cols, stride, values, ring_mask } = self;
        Self { cols: words(cols), stride: words(stride), values: words(values), ring_mask }
    }

    /// Where the values stand.
    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.values).map(move |at| (at / self.cols * self.stride + at % self.cols) as usize)
    }

    pub(crate) fn dispatch(self, kernel: &'static Kernel, bindings: Vec<Binding>, cost: Cost) -> Dispatch {
        Dispatch {
            kernel,
            specialization: vec![LOCAL_SIZE],
            bindings,
            params: bytemuck::bytes_of(&self).to_vec(),
            grid: Grid::Groups([1, 1, 1]),
            cost,
        }
    }
}

/// Writes the words of the next result.
pub(crate) fn put_result(dispatch: &Dispatch, memory: &HostMemory, words: &[u32]) {
    let Params { ring_mask, .. } = dispatch.params();
    let mut counter = memory.write::<u32>(dispatch.slice("counter"));
    let mut ring = memory.write::<u32>(dispatch.slice("ring"));
    ring[(counter[0] & ring_mask) as usize * words.len()..][..words.len()].copy_from_slice(words);
    counter[0] = counter[0].wrapping_add(1);
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
