//! The quantised types, block by block, as groups of 32 weights: weight = scale · quant − min.
//!
//! Layouts and formulas are those of ggml's `block_*` structures. Every product is rounded to f32 in ggml's order, so the
//! values agree bit for bit.

use super::assert_lengths;
use crate::DType;
use half::f16;

/// Weights in a group.
pub const GROUP: usize = 32;

/// The values that the 16 quants of iq4_nl stand for.
pub const IQ4_NL_VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 weights, in halves of 16: weight = (`scale` · `sub_scales`) · quant − (`min` · `sub_mins`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Quants in the order of the weights, centred: a q4_0 quant is −8 to 7, a q4_k quant 0 to 15.
    pub quants: [i8; GROUP],
    /// The scale of the block.
    pub scale: f16,
    /// The minimum of the block; zero for types without one.
    pub min: f16,
    /// Multiples of `scale`, one a half; 1 for types without them.
    pub sub_scales: [i8; 2],
    /// Multiples of `min`, one a half; 1 for types without them.
    pub sub_mins: [u8; 2],
}

impl Group {
    /// A group of a type whose blocks are groups.
    #[inline(always)]
    pub fn plain(quants: [i8; GROUP], scale: f16, min: f16) -> Self {
        Self { quants, scale, min, sub_scales: [1; 2], sub_mins: [1; 2] }
    }

    /// The weights.
    #[inline(always)]
    pub fn write(&self, weights: &mut [f32; GROUP]) {
        let (scale, min) = (self.scale.to_f32(), self.min.to_f32());
        let halves = weights.as_chunks_mut::<16>().0.iter_mut().zip(self.quants.as_chunks::<16>().0);
        for (half, (weights, quants)) in halves.enumerate() {
            let (scale, min) =
                (scale * f32::from(self.sub_scales[half]), min * f32::from(self.sub_mins[half]));
            for (weight, quant) in weights.iter_mut().zip(quants) {
                *weight = scale * f32::from(*quant) - min;
            }
        }
    }
}

/// Group `index` of a block of a quantised type.
///
/// # Panics
/// If `block` is not one block of the type, or the type is a float.
pub fn group(dtype: DType, block: &[u8], index: usize) -> Group {
    fn sized<const N: usize>(block: &[u8]) -> &[u8; N] {
        block.try_into().expect("a whole block")
    }
    match dtype {
        DType::Q8_0 => q8_0(sized(block)),
        DType::Q4_0 => q4_0(sized(block)),
        DType::Q4_1 => q4_1(sized(block)),
        DType::Q5_0 => q5_0(sized(block)),
        DType::Q5_1 => q5_1(sized(block)),
        DType::IQ4NL => iq4_nl(sized(block)),
        DType::Q2K => q2_k(sized(block), index),
        DType::Q3K => q3_k(sized(block), index),
        DType::Q4K => q4_k(sized(block), index),
        DType::Q5K => q5_k(sized(block), index),
        DType::Q6K => q6_k(sized(block), index),
        DType::F32 | DType::F16 | DType::BF16 => panic!("{dtype} has no groups"),
    }
}

/// Expands whole blocks of a quantised type.
pub(super) fn dequantise(dtype: DType, data: &[u8], out: &mut [f32]) {
    fn expand<const BYTES: usize>(
        data: &[u8],
        out: &mut [f32],
        group: impl Fn(&[u8; BYTES], usize) -> Group,
    ) {
        let blocks = data.as_chunks::<BYTES>().0;
        let groups = out.as_chunks_mut::<GROUP>().0;
        let per_block = groups.len() / blocks.len().max(1);
        for (block, groups) in blocks.iter().zip(groups.chunks_exact_mut(per_block.max(1))) {
            for (index, weights) in groups.iter_mut().enumerate() {
                group(block, index).write(weights);
            }
        }
    }
    assert_lengths(dtype, data.len(), out.len());
    match dtype {
        DType::Q8_0 => expand(data, out, |block, _| q8_0(block)),
        DType::Q4_0 => expand(data, out, |block, _| q4_0(block)),
        DType::Q4_1 => expand(data, out, |block, _| q4_1(block)),
        DType::Q5_0 => expand(data, out, |block, _| q5_0(block)),
        DType::Q5_1 => expand(data, out, |block, _| q5_1(block)),
        DType::IQ4NL => expand(data, out, |block, _| iq4_nl(block)),
        DType::Q2K => expand(data, out, q2_k),
        DType::Q3K => expand(data, out, q3_k),
        DType::Q4K => expand(data, out, q4_k),
        DType::Q5K => expand(data, out, q5_k),
        DType::Q6K => expand(data, out, q6_k),
        DType::F32 | DType::F16 | DType::BF16 => panic!("{dtype} has no groups"),
    }
}

#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

/// 16 bytes of two quants each: the low halves are quants 0 to 15, the high ones 16 to 31.
#[inline(always)]
fn nibbles(bytes: &[u8], quant: impl Fn(u8) -> i8) -> [i8; GROUP] {
    let mut quants = [0; GROUP];
    for (index, byte) in bytes[..16].iter().enumerate() {
        quants[index] = quant(byte & 15);
        quants[index + 16] = quant(byte >> 4);
    }
    quants
}

/// As [`nibbles`], with a fifth bit of each quant from a little-endian word, then moved by `centre`.
#[inline(always)]
fn five_bits(bytes: &[u8], high: &[u8], centre: i8) -> [i8; GROUP] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let mut quants = nibbles(bytes, |low| low as i8);
    for (index, quant) in quants.iter_mut().enumerate() {
        *quant = (*quant | ((high >> index & 1) << 4) as i8) - centre;
    }
    quants
}

#[inline(always)]
fn q8_0(block: &[u8; 34]) -> Group {
    let mut quants = [0; GROUP];
    quants.iter_mut().zip(&block[2..]).for_each(|(quant, byte)| *quant = *byte as i8);
    Group::plain(quants, half_at(block, 0), f16::ZERO)
}

#[inline(always)]
fn q4_0(block: &[u8; 18]) -> Group {
    Group::plain(nibbles(&block[2..], |low| low as i8 - 8), half_at(block, 0), f16::ZERO)
}

/// ggml adds its `m`; a minimum is subtracted.
#[inline(always)]
fn q4_1(block: &[u8; 20]) -> Group {
    Group::plain(nibbles(&block[4..], |low| low as i8), half_at(block, 0), -half_at(block, 2))
}

#[inline(always)]
fn q5_0(block: &[u8; 22]) -> Group {
    Group::plain(five_bits(&block[6..], &block[2..6], 16), half_at(block, 0), f16::ZERO)
}

#[inline(always)]
fn q5_1(block: &[u8; 24]) -> Group {
    Group::plain(five_bits(&block[8..], &block[4..8], 0), half_at(block, 0), -half_at(block, 2))
}

#[inline(always)]
fn iq4_nl(block: &[u8; 18]) -> Group {
    let quants = nibbles(&block[2..], |low| IQ4_NL_VALUES[usize::from(low)]);
    Group::plain(quants, half_at(block, 0), f16::ZERO)
}

/// Two bits of each of 32 bytes: quants of group `index` of q2_k, low bits of q3_k.
#[inline(always)]
fn two_bits(bytes: &[u8], index: usize) -> [i8; GROUP] {
    let mut quants = [0; GROUP];
    let (from, shift) = (index / 4 * GROUP, index % 4 * 2);
    quants.iter_mut().zip(&bytes[from..]).for_each(|(quant, byte)| *quant = (byte >> shift & 3) as i8);
    quants
}

/// Scales (low nibbles) and minima (high) of the halves, quants, scale of the scales, scale of the minima.
#[inline(always)]
fn q2_k(block: &[u8; 84], index: usize) -> Group {
    let halves = [block[2 * index], block[2 * index + 1]];
    Group {
        quants: two_bits(&block[16..80], index),
        scale: half_at(block, 80),
        min: half_at(block, 82),
        sub_scales: halves.map(|byte| (byte & 15) as i8),
        sub_mins: halves.map(|byte| byte >> 4),
    }
}

/// Third bits (bit `index` of 32 bytes), low bits, 16 scales of 6 bits, scale of the scales.
#[inline(always)]
fn q3_k(block: &[u8; 110], index: usize) -> Group {
    let mut quants = two_bits(&block[32..96], index);
    for (quant, byte) in quants.iter_mut().zip(&block[..32]) {
        *quant += 4 * (byte >> index & 1) as i8 - 4;
    }
    let scales = &block[96..108];
    let sub_scale = |half: usize| {
        let low = scales[half % 8] >> (half / 8 * 4) & 15;
        let high = scales[8 + half % 4] >> (half / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    };
    Group {
        sub_scales: [sub_scale(2 * index), sub_scale(2 * index + 1)],
        ..Group::plain(quants, half_at(block, 108), f16::ZERO)
    }
}

/// Scale and minimum of group `index` of q4_k and q5_k, 6 bits each, out of 12 bytes: four scales and four minima in the
/// low bits of eight bytes, the other four's low halves in four bytes, their high ones in the first eight's top bits.
#[inline(always)]
fn sub_scale_and_min(bytes: &[u8], index: usize) -> (u8, u8) {
    match index {
        0..4 => (bytes[index] & 63, bytes[index + 4] & 63),
        _ => (
            bytes[index + 4] & 15 | bytes[index - 4] >> 6 << 4,
            bytes[index + 4] >> 4 | bytes[index] >> 6 << 4,
        ),
    }
}

/// Low nibbles of 32 bytes for an even group, high ones for the odd group after it.
#[inline(always)]
fn nibbles_of_pair(bytes: &[u8], index: usize) -> [i8; GROUP] {
    let mut quants = [0; GROUP];
    let (from, shift) = (index / 2 * GROUP, index % 2 * 4);
    quants.iter_mut().zip(&bytes[from..]).for_each(|(quant, byte)| *quant = (byte >> shift & 15) as i8);
    quants
}

/// Scale of the scales, scale of the minima, scales and minima, quants.
#[inline(always)]
fn q4_k(block: &[u8; 144], index: usize) -> Group {
    let (scale, min) = sub_scale_and_min(&block[4..16], index);
    Group {
        quants: nibbles_of_pair(&block[16..], index),
        scale: half_at(block, 0),
        min: half_at(block, 2),
        sub_scales: [scale as i8; 2],
        sub_mins: [min; 2],
    }
}

/// As [`q4_k`], with fifth bits (bit `index` of 32 bytes) before the quants.
#[inline(always)]
fn q5_k(block: &[u8; 176], index: usize) -> Group {
    let (scale, min) = sub_scale_and_min(&block[4..16], index);
    let mut quants = nibbles_of_pair(&block[48..], index);
    for (quant, byte) in quants.iter_mut().zip(&block[16..48]) {
        *quant |= ((byte >> index & 1) << 4) as i8;
    }
    Group {
        quants,
        scale: half_at(block, 0),
        min: half_at(block, 2),
        sub_scales: [scale as i8; 2],
        sub_mins: [min; 2],
    }
}

/// Low nibbles, high pairs of bits, a scale a half, scale of the scales. In each run of four groups, the nibbles of groups
/// 0 and 2 share 32 bytes, those of 1 and 3 the next; the four groups' high bits share 32 more.
#[inline(always)]
fn q6_k(block: &[u8; 210], index: usize) -> Group {
    let (run, of_run) = (index / 4, index % 4);
    let low = &block[run * 64 + of_run % 2 * GROUP..][..GROUP];
    let high = &block[128 + run * GROUP..][..GROUP];
    let mut quants = [0; GROUP];
    for (quant, (low, high)) in quants.iter_mut().zip(low.iter().zip(high)) {
        *quant = (low >> (of_run / 2 * 4) & 15 | (high >> (2 * of_run) & 3) << 4) as i8 - 32;
    }
    let sub_scales = [block[192 + 2 * index] as i8, block[193 + 2 * index] as i8];
    Group { sub_scales, ..Group::plain(quants, half_at(block, 208), f16::ZERO) }
}
