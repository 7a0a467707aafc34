//! How weight matrices lie in device memory: the order in which the kernels read them.
//!
//! Rows are stored one after the other, each padded to whole 16-byte words.
//!
//! | format | a row of `cols` weights | per lane and step |
//! |---|---|---|
//! | f32 | values | 4 weights (16 bytes) |
//! | f16, bf16 | values | 8 weights (16 bytes) |
//! | q8_0 | runs of up to 32 groups of 32: the first 16 quants of every group, then the second 16 of every group | one group (2 × 16 bytes) |
//!
//! q8_0 keeps its f16 scales in an array of their own behind the quants, row by row, so that 32 lanes that each own
//! a group read 512 consecutive bytes.

use half::{bf16, f16};
use resident_tensor::DType;

/// A weight type that has kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Groups of 32 signed bytes with an f16 scale.
    Q8_0,
}

impl WeightFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The format in which weights stored as `dtype` stay resident, if there are kernels for it.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            DType::F16 => Some(Self::F16),
            DType::BF16 => Some(Self::Bf16),
            DType::Q8_0 => Some(Self::Q8_0),
            _ => None,
        }
    }

    /// The name as it stands in kernel names.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }
}

/// Declares `fn kernel(WeightFormat) -> &'static Kernel`: one kernel a format, each from `<op>_<format>.spv` beside the
/// caller's source.
macro_rules! weight_kernels {
    ($op:literal, $host:path, $reference:path) => {
        fn kernel(format: $crate::weights::WeightFormat) -> &'static $crate::Kernel {
            static KERNELS: [$crate::Kernel; 4] = [
        weight_kernels!(@one $op, "f32", $host, $reference),
        weight_kernels!(@one $op, "f16", $host, $reference),
        weight_kernels!(@one $op, "bf16", $host, $reference),
        weight_kernels!(@one $op, "q8_0", $host, $reference),
            ];
            &KERNELS[format as usize]
        }
    };
    (@one $op:literal, $format:literal, $host:path, $reference:path) => {
        $crate::Kernel {
            name: concat!($op, "_", $format),
            spirv: include_bytes!(concat!($op, "_", $format, ".spv")),
            host: $host,
            reference: $reference,
        }
    };
}

/// Weights in a q8_0 group.
const GROUP: usize = 32;
/// Groups whose halves are stored together.
const RUN: usize = 32;

/// The layout of a matrix `[rows, cols]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightLayout {
    /// Weight type.
    pub format: WeightFormat,
    /// Output features.
    pub rows: u64,
    /// Input features; a multiple of 32 for q8_0.
    pub cols: u32,
}

impl WeightLayout {
    /// Bytes of one row's values or quants, padding included.
    pub fn row_bytes(&self) -> u64 {
        let cols = u64::from(self.cols);
        match self.format {
            WeightFormat::F32 => (cols * 4).next_multiple_of(16),
            WeightFormat::F16 | WeightFormat::Bf16 => (cols * 2).next_multiple_of(16),
            WeightFormat::Q8_0 => cols,
        }
    }

    /// Bytes of one row's scales.
    pub fn row_scale_bytes(&self) -> u64 {
        if self.format == WeightFormat::Q8_0 { u64::from(self.cols) / GROUP as u64 * 2 } else { 0 }
    }

    /// Bytes of the values or quants of all rows; the scales begin here.
    pub fn value_bytes(&self) -> u64 {
        self.rows * self.row_bytes()
    }

    /// Bytes of the whole matrix.
    pub fn bytes(&self) -> u64 {
        (self.value_bytes() + self.rows * self.row_scale_bytes()).next_multiple_of(16)
    }

    /// Turns one row as a checkpoint stores it into the row of this layout: `values` and `scales` receive
    /// [`row_bytes`](Self::row_bytes) and [`row_scale_bytes`](Self::row_scale_bytes).
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn repack_row(&self, stored: &[u8], values: &mut [u8], scales: &mut [u8]) {
        match self.format {
            WeightFormat::Q8_0 => {
                let blocks: Vec<&[u8]> = stored.chunks_exact(GROUP + 2).collect();
                assert_eq!(blocks.len() * GROUP, self.cols as usize, "q8_0 row length");
                for (scale, block) in scales.chunks_exact_mut(2).zip(&blocks) {
                    scale.copy_from_slice(&block[..2]);
                }
                for (run, blocks) in values.chunks_mut(RUN * GROUP).zip(blocks.chunks(RUN)) {
                    let (first, second) = run.split_at_mut(blocks.len() * GROUP / 2);
                    let halves = first.chunks_exact_mut(GROUP / 2).zip(second.chunks_exact_mut(GROUP / 2));
                    for ((first, second), block) in halves.zip(blocks) {
                        first.copy_from_slice(&block[2..2 + GROUP / 2]);
                        second.copy_from_slice(&block[2 + GROUP / 2..]);
                    }
                }
            }
            _ => {
                let (row, padding) = values.split_at_mut(stored.len());
                row.copy_from_slice(stored);
                padding.fill(0);
            }
        }
    }

    /// The row as f32, from this layout's `values` and `scales` of that row.
    pub fn decode_row(&self, values: &[u8], scales: &[u8], row: &mut [f32]) {
        fn pairs(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> {
            bytes.chunks_exact(2).map(|b| [b[0], b[1]])
        }
        match self.format {
            WeightFormat::F32 => {
                for (v, b) in row.iter_mut().zip(values.chunks_exact(4)) {
                    *v = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            WeightFormat::F16 => {
                row.iter_mut().zip(pairs(values)).for_each(|(v, b)| *v = f16::from_le_bytes(b).to_f32())
            }
            WeightFormat::Bf16 => {
                row.iter_mut().zip(pairs(values)).for_each(|(v, b)| *v = bf16::from_le_bytes(b).to_f32())
            }
            WeightFormat::Q8_0 => {
                let mut scales = pairs(scales).map(|b| f16::from_le_bytes(b).to_f32());
                for (row, run) in row.chunks_mut(RUN * GROUP).zip(values.chunks(RUN * GROUP)) {
                    let (first, second) = run.split_at(run.len() / 2);
                    let halves = first.chunks_exact(GROUP / 2).zip(second.chunks_exact(GROUP / 2));
                    for (row, (first, second)) in row.chunks_exact_mut(GROUP).zip(halves) {
                        let scale = scales.next().expect("one scale a group");
                        for (v, q) in row.iter_mut().zip(first.iter().chain(second)) {
                            *v = f32::from(*q as i8) * scale;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(format: WeightFormat, cols: u32, stored: &[u8]) -> Vec<f32> {
        let layout = WeightLayout { format, rows: 1, cols };
        let mut values = vec![0xff; layout.row_bytes() as usize];
        let mut scales = vec![0xff; layout.row_scale_bytes() as usize];
        layout.repack_row(stored, &mut values, &mut scales);
        let mut row = vec![f32::NAN; cols as usize];
        layout.decode_row(&values, &scales, &mut row);
        row
    }

    #[test]
    fn q8_0_rows_of_several_runs_and_a_short_one_keep_every_weight() {
        for groups in [1, 2, 31, 32, 33, 70] {
            let blocks = (0..groups).flat_map(|g| {
                let scale = f16::from_f32(0.5 + g as f32).to_le_bytes();
                scale.into_iter().chain((0..GROUP).map(move |i| (i as i8 - 16) as u8))
            });
            let row = round_trip(WeightFormat::Q8_0, (groups * GROUP) as u32, &blocks.collect::<Vec<_>>());
            for (i, value) in row.iter().enumerate() {
                assert_eq!(
                    *value,
                    (i % GROUP) as f32 * (0.5 + (i / GROUP) as f32) - 16.0 * (0.5 + (i / GROUP) as f32)
                );
            }
        }
    }

    #[test]
    fn odd_rows_are_padded_with_zeros() {
        let stored: Vec<u8> = [1.0f32, -2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(round_trip(WeightFormat::F32, 3, &stored), [1.0, -2.0, 3.0]);
        let layout = WeightLayout { format: WeightFormat::F16, rows: 7, cols: 172 };
        assert_eq!((layout.row_bytes(), layout.bytes()), (352, 7 * 352));
    }
}
