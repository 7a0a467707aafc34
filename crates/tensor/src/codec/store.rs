//! Groups back into the blocks that [`group`](super::group) takes them from, byte for byte.

use super::groups::{GROUP, Group, IQ4_NL_VALUES};
use crate::DType;

/// Writes the groups of one block.
///
/// # Panics
/// If `groups` or `block` are not one block of the type, the type is a float, or a group has values that the type has no
/// bits for.
pub fn store(dtype: DType, groups: &[Group], block: &mut [u8]) {
    let lengths = (groups.len() * GROUP, block.len());
    assert_eq!(lengths, (dtype.block_len(), dtype.block_bytes()), "one block of {dtype}");
    block.fill(0);
    let first = &groups[0];
    let (scale, min) = (first.scale.to_le_bytes(), first.min.to_le_bytes());
    // ggml adds the `m` of these two; a minimum is subtracted.
    let added = (-first.min).to_le_bytes();
    let mut put = |at: usize, bytes: [u8; 2]| block[at..at + 2].copy_from_slice(&bytes);
    match dtype {
        DType::Q8_0 | DType::Q4_0 | DType::Q5_0 | DType::IQ4NL => put(0, scale),
        DType::Q4_1 | DType::Q5_1 => {
            put(0, scale);
            put(2, added);
        }
        DType::Q4K | DType::Q5K => {
            put(0, scale);
            put(2, min);
        }
        DType::Q2K => {
            put(80, scale);
            put(82, min);
        }
        DType::Q3K => put(108, scale),
        DType::Q6K => put(208, scale),
        DType::F32 | DType::F16 | DType::BF16 => panic!("{dtype} has no groups"),
    }
    match dtype {
        DType::Q8_0 => {
            block[2..].iter_mut().zip(first.quants).for_each(|(byte, quant)| *byte = quant as u8);
        }
        DType::Q4_0 => nibbles(&mut block[2..], first.quants.map(|quant| (quant + 8) as u8)),
        DType::Q4_1 => nibbles(&mut block[4..], first.quants.map(|quant| quant as u8)),
        DType::Q5_0 => five_bits(&mut block[2..], first.quants.map(|quant| (quant + 16) as u8)),
        DType::Q5_1 => five_bits(&mut block[4..], first.quants.map(|quant| quant as u8)),
        DType::IQ4NL => nibbles(&mut block[2..], first.quants.map(place_in_table)),
        _ => groups.iter().enumerate().for_each(|(index, group)| part(dtype, group, index, block)),
    }
}

fn place_in_table(value: i8) -> u8 {
    IQ4_NL_VALUES.iter().position(|known| *known == value).expect("a value of the table") as u8
}

/// Quants 0 to 15 in low nibbles, 16 to 31 in high ones.
fn nibbles(bytes: &mut [u8], quants: [u8; GROUP]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = quants[index] & 15 | (quants[index + 16] & 15) << 4;
    }
}

/// The fifth bits as a little-endian word, then the nibbles.
fn five_bits(bytes: &mut [u8], quants: [u8; GROUP]) {
    let high = quants.iter().rev().fold(0u32, |bits, quant| bits << 1 | u32::from(quant >> 4));
    bytes[..4].copy_from_slice(&high.to_le_bytes());
    nibbles(&mut bytes[4..], quants);
}

/// Adds group `index` of a super-block to its zeroed bytes. `groups` says what stands where.
fn part(dtype: DType, group: &Group, index: usize, block: &mut [u8]) {
    let quants = match dtype {
        DType::Q3K => group.quants.map(|quant| (quant + 4) as u8),
        DType::Q6K => group.quants.map(|quant| (quant + 32) as u8),
        _ => group.quants.map(|quant| quant as u8),
    };
    let mut add = |at: usize, shift: usize, bits: fn(u8) -> u8| {
        block[at..].iter_mut().zip(quants).for_each(|(byte, quant)| *byte |= bits(quant) << shift);
    };
    let (low_two, nibble) = (|quant: u8| quant & 3, |quant: u8| quant & 15);
    match dtype {
        DType::Q2K => add(16 + index / 4 * GROUP, index % 4 * 2, low_two),
        DType::Q3K => {
            add(32 + index / 4 * GROUP, index % 4 * 2, low_two);
            add(0, index, |quant| quant >> 2);
        }
        DType::Q4K => add(16 + index / 2 * GROUP, index % 2 * 4, nibble),
        DType::Q5K => {
            add(48 + index / 2 * GROUP, index % 2 * 4, nibble);
            add(16, index, |quant| quant >> 4);
        }
        _ => {
            let (run, of_run) = (index / 4, index % 4);
            add(run * 64 + of_run % 2 * GROUP, of_run / 2 * 4, nibble);
            add(128 + run * GROUP, 2 * of_run, |quant| quant >> 4);
        }
    }
    match dtype {
        DType::Q4K | DType::Q5K => {
            sub_scale_and_min(&mut block[4..16], index, group.sub_scales[0] as u8, group.sub_mins[0]);
        }
        _ => {
            for (half, (scale, min)) in group.sub_scales.into_iter().zip(group.sub_mins).enumerate() {
                sub_scale(dtype, block, 2 * index + half, scale, min);
            }
        }
    }
}

/// Scale and minimum of a half of a group.
fn sub_scale(dtype: DType, block: &mut [u8], half: usize, scale: i8, min: u8) {
    match dtype {
        DType::Q2K => block[half] = scale as u8 | min << 4,
        DType::Q3K => {
            let bits = scale.wrapping_add(32) as u8;
            assert!(bits < 64, "a scale of {scale} in q3_k");
            block[96 + half % 8] |= (bits & 15) << (half / 8 * 4);
            block[104 + half % 4] |= (bits >> 4) << (half / 4 * 2);
        }
        _ => block[192 + half] = scale as u8,
    }
}

/// Six bits each, of the groups in turn.
fn sub_scale_and_min(bytes: &mut [u8], index: usize, scale: u8, min: u8) {
    match index {
        0..4 => {
            bytes[index] |= scale & 63;
            bytes[index + 4] |= min & 63;
        }
        _ => {
            bytes[index + 4] = scale & 15 | (min & 15) << 4;
            bytes[index - 4] |= scale >> 4 << 6;
            bytes[index] |= min >> 4 << 6;
        }
    }
}
