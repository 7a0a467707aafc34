//! How weight matrices lie in device memory: the order in which the kernels read them.
//!
//! Rows are stored one after the other, each padded to whole 16-byte words. A lane takes 16 bytes of floats at a time, or a
//! group of 32 quantised weights:
//!
//! | type | a row's quants | bytes a group | its scales |
//! |---|---|---|---|
//! | f32, f16, bf16 | values | | |
//! | q8_0 | runs of up to 32 groups: the first 16 quants of every group, then the second 16 of every group | 32 | f16 |
//! | q4_0, iq4_nl | nibbles | 16 | f16 |
//! | q4_1 | nibbles | 16 | f16 scale, f16 minimum |
//! | q5_0 | nibbles, then fifth bits | 16 + 4 | f16 |
//! | q5_1 | nibbles, then fifth bits | 16 + 4 | f16 scale, f16 minimum |
//! | q4_k | nibbles | 16 | for 8 groups: two f16, then 6 bits of scale and minimum each |
//! | q5_k | nibbles, then fifth bits | 16 + 4 | as q4_k |
//! | q6_k | nibbles, then pairs of high bits | 16 + 8 | two signed bytes; behind the row's, an f16 for 8 groups |
//! | q3_k | pairs of bits, then third bits | 8 + 4 | as q6_k |
//! | q2_k | pairs of bits | 8 | two bytes of scale and minimum; behind the row's, two f16 for 8 groups |
//!
//! All scales lie behind all quants, row by row, so that 32 lanes that each own a group read 512 consecutive bytes of
//! either. No type takes more bytes than in its file, but q3_k: its scales of 6 bits have 8 here (3.56 bits a weight
//! instead of 3.44). `planes` says where each bit of a group goes.

mod planes;

use half::{bf16, f16};
use planes::Planes;
pub use resident_tensor::DType;
use resident_tensor::codec::{self, GROUP};

/// Declares `fn kernel(DType) -> &'static Kernel`: one kernel a type, each from `<op>_<type>.spv` beside the caller's
/// source.
macro_rules! weight_kernels {
    ($op:literal, $host:path, $reference:path) => {
        fn kernel(dtype: resident_tensor::DType) -> &'static $crate::Kernel {
            // In the order of the enum.
            static KERNELS: [$crate::Kernel; 14] = [
        weight_kernels!(@one $op, "f32", $host, $reference),
        weight_kernels!(@one $op, "f16", $host, $reference),
        weight_kernels!(@one $op, "bf16", $host, $reference),
        weight_kernels!(@one $op, "q8_0", $host, $reference),
        weight_kernels!(@one $op, "q4_0", $host, $reference),
        weight_kernels!(@one $op, "q4_1", $host, $reference),
        weight_kernels!(@one $op, "q5_0", $host, $reference),
        weight_kernels!(@one $op, "q5_1", $host, $reference),
        weight_kernels!(@one $op, "q2_k", $host, $reference),
        weight_kernels!(@one $op, "q3_k", $host, $reference),
        weight_kernels!(@one $op, "q4_k", $host, $reference),
        weight_kernels!(@one $op, "q5_k", $host, $reference),
        weight_kernels!(@one $op, "q6_k", $host, $reference),
        weight_kernels!(@one $op, "iq4_nl", $host, $reference),
            ];
            &KERNELS[dtype as usize]
        }
    };
    (@one $op:literal, $dtype:literal, $host:path, $reference:path) => {
        $crate::Kernel {
            name: concat!($op, "_", $dtype),
            spirv: include_bytes!(concat!($op, "_", $dtype, ".spv")),
            host: $host,
            reference: $reference,
        }
    };
}

/// The weight type that a kernel's name ends with, without what follows it in variants.
pub(crate) fn dtype_of(kernel: &str) -> DType {
    let name = kernel.trim_end_matches("_int16").trim_end_matches("_cooperative");
    let dtype = DType::all().find(|dtype| name.ends_with(&format!("_{dtype}")));
    dtype.expect("kernels of weights are named after their type")
}

/// Weights that a lane reads at a time: `CHUNK` in `glsl/weights.glsl`.
pub(crate) fn chunk_len(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 4,
        DType::F16 | DType::BF16 => 8,
        _ => 32,
    }
}

/// The layout of a matrix `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightLayout {
    /// Weight type.
    pub dtype: DType,
    /// Output features.
    pub rows: u64,
    /// Input features; whole blocks.
    pub cols: u32,
}

impl WeightLayout {
    /// Bytes of one row's values or quants, padding included.
    pub fn row_bytes(&self) -> u64 {
        let cols = u64::from(self.cols);
        let bytes = match self.dtype {
            DType::F32 => cols * 4,
            DType::F16 | DType::BF16 => cols * 2,
            quantised => cols / 8 * u64::from(Planes::of(quantised).bits()),
        };
        bytes.next_multiple_of(16)
    }

    /// Bytes of one row's scales.
    pub fn row_scale_bytes(&self) -> u64 {
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => 0,
            quantised => Planes::of(quantised).scales.row_bytes(self.groups()) as u64,
        }
    }

    /// Bytes of the values or quants of all rows; the scales begin here.
    pub fn value_bytes(&self) -> u64 {
        self.rows * self.row_bytes()
    }

    /// Bytes of the whole matrix.
    pub fn bytes(&self) -> u64 {
        (self.value_bytes() + self.rows * self.row_scale_bytes()).next_multiple_of(16)
    }

    /// Minima that a group of 32 has: none, one, or one a half.
    pub(crate) fn mins_a_group(&self) -> u32 {
        if self.dtype.is_quantised() { Planes::of(self.dtype).scales.mins_a_group() } else { 0 }
    }

    /// Groups of 32 in a row.
    fn groups(&self) -> usize {
        self.cols as usize / GROUP
    }

    /// Turns one row as a checkpoint stores it into the row of this layout: `values` and `scales` receive
    /// [`row_bytes`](Self::row_bytes) and [`row_scale_bytes`](Self::row_scale_bytes).
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn repack_row(&self, stored: &[u8], values: &mut [u8], scales: &mut [u8]) {
        let dtype = self.dtype;
        assert_eq!(dtype.row_bytes(self.cols.into()), Ok(stored.len() as u64), "a row of {dtype}");
        if !dtype.is_quantised() {
            let (row, padding) = values.split_at_mut(stored.len());
            row.copy_from_slice(stored);
            return padding.fill(0);
        }
        let (planes, groups) = (Planes::of(dtype), self.groups());
        let per_block = dtype.block_len() / GROUP;
        values.fill(0);
        scales.fill(0);
        for (block_index, block) in stored.chunks_exact(dtype.block_bytes()).enumerate() {
            for index in 0..per_block {
                let group = codec::group(dtype, block, index);
                let at = block_index * per_block + index;
                planes.pack(&group.quants, values, at, groups);
                planes.scales.pack(&group, scales, at, groups);
            }
        }
    }

    /// The inverse of [`repack_row`](Self::repack_row): the row as a checkpoint stores it, from `values` and `scales` of
    /// this layout.
    ///
    /// # Panics
    /// If the lengths do not fit, or the type is q3_k and a scale has more than the 6 bits that its file keeps.
    pub fn stored_row(&self, values: &[u8], scales: &[u8], stored: &mut [u8]) {
        let dtype = self.dtype;
        assert_eq!(dtype.row_bytes(self.cols.into()), Ok(stored.len() as u64), "a row of {dtype}");
        if !dtype.is_quantised() {
            return stored.copy_from_slice(&values[..stored.len()]);
        }
        let (planes, groups) = (Planes::of(dtype), self.groups());
        let per_block = dtype.block_len() / GROUP;
        for (block_index, block) in stored.chunks_exact_mut(dtype.block_bytes()).enumerate() {
            let of_block: Vec<_> = (0..per_block)
                .map(|index| planes.group(values, scales, block_index * per_block + index, groups))
                .collect();
            codec::store(dtype, &of_block, block);
        }
    }

    /// The row as f32, from this layout's `values` and `scales` of that row.
    #[inline(always)]
    pub fn decode_row(&self, values: &[u8], scales: &[u8], row: &mut [f32]) {
        match self.dtype {
            DType::F32 => {
                row.iter_mut().zip(values.as_chunks().0).for_each(|(v, b)| *v = f32::from_le_bytes(*b))
            }
            DType::F16 => {
                let halves = values.as_chunks().0;
                row.iter_mut().zip(halves).for_each(|(v, b)| *v = f16::from_le_bytes(*b).to_f32())
            }
            DType::BF16 => {
                let halves = values.as_chunks().0;
                row.iter_mut().zip(halves).for_each(|(v, b)| *v = bf16::from_le_bytes(*b).to_f32())
            }
            quantised => {
                let planes = Planes::of(quantised);
                planes::decode_row(&planes, values, scales, row.as_chunks_mut::<GROUP>().0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    /// A stored row of any bits, its scales small numbers.
    fn stored_row(dtype: DType, cols: usize) -> Vec<u8> {
        let bytes = dtype.row_bytes(cols as u64).unwrap() as usize;
        let mut stored = Case::new().random_bytes(bytes);
        for (index, block) in stored.chunks_exact_mut(dtype.block_bytes()).enumerate() {
            for &at in dtype.f16_scale_offsets() {
                let scale = f16::from_f32(0.01 * (index + at + 1) as f32);
                block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        stored
    }

    #[test]
    fn every_type_keeps_the_bits_of_every_weight() {
        for dtype in DType::all().filter(|dtype| dtype.is_quantised()) {
            for blocks in [1, 2, 3, 31, 32, 33, 70] {
                let cols = blocks * dtype.block_len();
                let layout = WeightLayout { dtype, rows: 1, cols: cols as u32 };
                let stored = stored_row(dtype, cols);
                let mut values = vec![0xff; layout.row_bytes() as usize];
                let mut scales = vec![0xff; layout.row_scale_bytes() as usize];
                layout.repack_row(&stored, &mut values, &mut scales);
                let (mut row, mut expected) = (vec![f32::NAN; cols], vec![f32::NAN; cols]);
                layout.decode_row(&values, &scales, &mut row);
                codec::decode(dtype, &stored, &mut expected);
                let differs = row.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
                assert_eq!(differs, None, "{dtype}, {blocks} blocks");
                let mut back = vec![0xa5; stored.len()];
                layout.stored_row(&values, &scales, &mut back);
                assert!(back == stored, "{dtype}, {blocks} blocks: the stored row does not come back");
            }
        }
    }

    #[test]
    fn odd_rows_are_padded_with_zeros() {
        let layout = WeightLayout { dtype: DType::F32, rows: 1, cols: 3 };
        let stored: Vec<u8> = [1.0f32, -2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let (mut values, mut row) = ([0xff; 16], [f32::NAN; 3]);
        layout.repack_row(&stored, &mut values, &mut []);
        layout.decode_row(&values, &[], &mut row);
        assert_eq!((row, &values[12..]), ([1.0, -2.0, 3.0], &[0; 4][..]));
        let layout = WeightLayout { dtype: DType::F16, rows: 7, cols: 172 };
        assert_eq!((layout.row_bytes(), layout.bytes()), (352, 7 * 352));
    }

    #[test]
    fn no_type_takes_more_than_in_its_file() {
        for dtype in DType::all().filter(|dtype| *dtype != DType::Q3K) {
            let layout = WeightLayout { dtype, rows: 1024, cols: 4096 };
            assert_eq!(Ok(layout.bytes()), dtype.tensor_bytes(&[1024, 4096]), "{dtype}");
        }
        let layout = WeightLayout { dtype: DType::Q3K, rows: 1024, cols: 4096 };
        assert_eq!(layout.bytes(), 1024 * 4096 / 256 * 114);
    }
}
