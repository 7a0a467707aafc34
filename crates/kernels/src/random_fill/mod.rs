//! `random_fill`: random values straight into device memory, so that a model of any shape can be measured without a file.
//! Values are uniform in a range, a function of seed and place alone; `Bytes` takes every bit pattern.

#[cfg(test)]
mod tests;

use crate::{Access, Binding, Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE, Slice};
use bytemuck::{Pod, Zeroable};
use half::f16;
use rayon::prelude::*;
use std::ops::Range;

static KERNEL: Kernel =
    Kernel { name: "random_fill", spirv: include_bytes!("random_fill.spv"), host: reference, reference };

/// What the words hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RandomType {
    /// An f32 a word.
    F32,
    /// Two f16 a word.
    F16,
    /// Two bf16 a word, rounded towards zero.
    Bf16,
    /// Four bytes of any value a word.
    Bytes,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    words: u32,
    seed: u32,
    low: f32,
    span: f32,
}

/// Workgroups of a launch; they stride over the words.
const GROUPS: u32 = 4096;

/// Random values: each word is a function of these and of its index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Random {
    ty: RandomType,
    seed: u32,
    low: f32,
    span: f32,
}

/// What an index is multiplied with.
const STEP: u32 = 747_796_405;

impl Random {
    /// Values in `range`, which `Bytes` ignores.
    pub fn new(ty: RandomType, seed: u32, range: Range<f32>) -> Self {
        Self { ty, seed, low: range.start, span: range.end - range.start }
    }

    /// The values from word `first` on.
    pub fn skip(self, first: u64) -> Self {
        Self { seed: self.seed.wrapping_add((first as u32).wrapping_mul(STEP)), ..self }
    }

    /// Word `index`, as the CPU device fills it.
    pub fn word(self, index: u32) -> u32 {
        let state = index.wrapping_mul(STEP).wrapping_add(self.seed);
        let mixed = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        let bits = (mixed >> 22) ^ mixed;
        let uniform = |bits: u32| self.low + self.span * (bits as f32 * (1.0 / 65536.0));
        let (first, second) = (bits & 0xffff, bits >> 16);
        match self.ty {
            RandomType::F32 => uniform(second).to_bits(),
            RandomType::F16 => {
                let half = |bits| u32::from(f16::from_f32(uniform(bits)).to_bits());
                half(first) | half(second) << 16
            }
            RandomType::Bf16 => uniform(first).to_bits() >> 16 | (uniform(second).to_bits() & 0xffff_0000),
            RandomType::Bytes => bits,
        }
    }

    /// Fills a slice of whole words.
    pub fn dispatch(self, values: Slice) -> Dispatch {
        assert!(values.bytes.is_multiple_of(4), "random_fill of {} bytes", values.bytes);
        let Self { ty, seed, low, span } = self;
        let words = u32::try_from(values.bytes / 4).expect("at most 16 GiB at once");
        Dispatch {
            kernel: &KERNEL,
            specialization: vec![LOCAL_SIZE, ty as u32],
            bindings: vec![Binding { name: "values", slice: Some(values), access: Access::Write }],
            params: bytemuck::bytes_of(&Params { words, seed, low, span }).to_vec(),
            grid: Grid::Groups([words.div_ceil(LOCAL_SIZE).clamp(1, GROUPS), 1, 1]),
            cost: Cost { activation_bytes: values.bytes, ..Cost::default() },
        }
    }
}

/// Fills a slice of whole words with [`Random`] values.
pub fn dispatch(ty: RandomType, seed: u32, range: Range<f32>, values: Slice) -> Dispatch {
    Random::new(ty, seed, range).dispatch(values)
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { seed, low, span, .. } = dispatch.params();
    let ty = [RandomType::F32, RandomType::F16, RandomType::Bf16, RandomType::Bytes]
        [dispatch.specialization[1] as usize];
    let random = Random { ty, seed, low, span };
    let mut words = memory.write::<u32>(dispatch.slice("values"));
    words.par_iter_mut().enumerate().for_each(|(index, word)| *word = random.word(index as u32));
}
