//! Activations as planes of bytes, the way matvecs with 16-bit activations multiply them: x = scale · (256 · high + low) in groups of
//! 32. The matvec that makes a row writes it this way, so that none of those that read it has to quantise it.
//!
//! Four arrays of 16 bytes a group (high bytes of values 0 – 15 and 16 – 31, then low bytes), and one with what belongs to the
//! group: its scale as f32, and the sums of x / scale of both halves as i32.
//!
//! Planes can be handed over: no word is ever [`NOT_READY`](crate::handover::NOT_READY). Their bytes are never −128 and stand xor
//! 7f, sums stand xor 7fffffff, and scales are not negative.

use crate::{HostMemory, Slice};

/// Values of a group.
pub(crate) const GROUP: usize = 32;
/// Bytes of a group.
pub(crate) const GROUP_BYTES: usize = 80;

/// What words of bytes stand xor.
const BYTES_MASK: u32 = 0x7f7f_7f7f;
/// What sums stand xor.
const SUM_MASK: u32 = 0x7fff_ffff;

/// Bytes of a row of `values` values, a multiple of 32.
pub fn bytes(values: u32) -> u64 {
    u64::from(values) / GROUP as u64 * GROUP_BYTES as u64
}

/// x of every group.
pub(crate) fn decode(memory: &HostMemory, slice: Slice) -> Vec<f32> {
    let words = memory.read::<u32>(slice);
    let groups = words.len() * 4 / GROUP_BYTES;
    let mut x = Vec::with_capacity(groups * GROUP);
    for group in 0..groups {
        let head = &words[(4 * groups + group) * 4..][..4];
        for index in 0..GROUP {
            let byte = |plane: usize| {
                let word = words[((2 * plane + index / 16) * groups + group) * 4 + index % 16 / 4];
                f32::from((word ^ BYTES_MASK).to_le_bytes()[index % 4] as i8)
            };
            x.push(f32::from_bits(head[0]) * (256.0 * byte(0) + byte(1)));
        }
    }
    x
}

/// Writes a row.
pub(crate) fn encode(memory: &HostMemory, slice: Slice, row: &[f32]) {
    let mut words = memory.write::<u32>(slice);
    let groups = row.len() / GROUP;
    for (group, values) in row.as_chunks::<GROUP>().0.iter().enumerate() {
        let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let inverse = if largest > 0.0 { 32512.0 / largest } else { 0.0 };
        let parts = values.map(|value| {
            let whole = (value * inverse).round_ties_even() as i32;
            let high = (whole + 128) >> 8;
            [high, (whole - 256 * high).max(-127)]
        });
        for (half, parts) in parts.chunks_exact(16).enumerate() {
            for (word, four) in parts.chunks_exact(4).enumerate() {
                for plane in 0..2 {
                    let bytes = std::array::from_fn(|i| four[i][plane] as u8);
                    words[((2 * plane + half) * groups + group) * 4 + word] =
                        u32::from_le_bytes(bytes) ^ BYTES_MASK;
                }
            }
        }
        let sum = |half: &[[i32; 2]]| {
            half.iter().map(|[high, low]| 256 * high + low).sum::<i32>() as u32 ^ SUM_MASK
        };
        let head = [(largest / 32512.0).to_bits(), sum(&parts[..16]), sum(&parts[16..]), 0];
        words[(4 * groups + group) * 4..][..4].copy_from_slice(&head);
    }
}
