//! Rows of activations as halves, the way matrix units multiply them: x = factor · (high + low), both f16, so that 21 bits of
//! a value are left of its row's largest. The factor is a power of two for which high stays below 2^15.
//!
//! A row has its high halves, its low halves (both padded with zeros to a multiple of 64 values), and 16 bytes that begin with the
//! factor as f32.

use crate::{HostMemory, Slice};
use half::f16;

/// Values that a row is padded to a multiple of: what a step of a matrix product takes at most.
const MULTIPLE: usize = 64;
/// Bytes behind the halves of a row.
const TAIL_BYTES: usize = 16;

/// Bytes of `rows` rows of `values` values.
pub fn bytes(rows: u32, values: u32) -> u64 {
    u64::from(rows) * row_bytes(values as usize) as u64
}

fn row_bytes(values: usize) -> usize {
    values.next_multiple_of(MULTIPLE) * 4 + TAIL_BYTES
}

/// x of the first `rows` rows of `values` values.
pub(crate) fn decode(memory: &HostMemory, slice: Slice, rows: usize, values: usize) -> Vec<f32> {
    let bytes = memory.read::<u8>(slice);
    let padded = values.next_multiple_of(MULTIPLE);
    let half = |bytes: [u8; 2]| f16::from_le_bytes(bytes).to_f32();
    let row = |row: &[u8]| {
        let (high, rest) = row.split_at(padded * 2);
        let (low, tail) = rest.split_at(padded * 2);
        let factor = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        let halves = high.as_chunks().0.iter().zip(low.as_chunks().0);
        halves.take(values).map(|(h, l)| factor * (half(*h) + half(*l))).collect::<Vec<_>>()
    };
    bytes.chunks_exact(row_bytes(values)).take(rows).flat_map(row).collect()
}

/// Writes the first rows of `slice`, `values` values each.
pub(crate) fn encode(memory: &HostMemory, slice: Slice, x: &[f32], values: usize) {
    let mut bytes = memory.write::<u8>(slice);
    let padded = values.next_multiple_of(MULTIPLE);
    for (row, x) in bytes.chunks_exact_mut(row_bytes(values)).zip(x.chunks_exact(values)) {
        let largest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        // The exponent of the largest, so that it comes to lie in [2^14, 2^15).
        let exponent = (largest.to_bits() >> 23).max(15);
        let (factor, inverse) =
            (f32::from_bits((exponent - 14) << 23), f32::from_bits((268 - exponent) << 23));
        row.fill(0);
        let (high, rest) = row.split_at_mut(padded * 2);
        let (low, tail) = rest.split_at_mut(padded * 2);
        let places = high.as_chunks_mut().0.iter_mut().zip(low.as_chunks_mut().0);
        for (x, (high, low)) in x.iter().zip(places) {
            let value = x * inverse;
            let first = f16::from_f32(value);
            *high = first.to_le_bytes();
            *low = f16::from_f32(value - first.to_f32()).to_le_bytes();
        }
        tail[..4].copy_from_slice(&factor.to_le_bytes());
    }
}
