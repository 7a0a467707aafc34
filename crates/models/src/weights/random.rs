//! Random weights of a variance that keeps activations in range: filled on the device, or row by row as a file has them.
//! Both are the same bits, on every device that rounds as the CPU device does: a matrix' seed comes from its first tensor's
//! name, its values from their places.

use super::{Job, Rows, Values, WeightPlan, WeightSink};
use crate::error::ModelError;
use resident_kernels::Slice;
use resident_kernels::random_fill::{Random, RandomType};
use resident_kernels::weights::WeightLayout;
use resident_tensor::DType;

/// What fills a matrix: its values or quants, and the scales behind them.
struct Fill {
    values: Random,
    scales: Option<Random>,
}

impl Fill {
    /// That of a part: standard deviation 1/√cols.
    fn of(rows: &Rows, layout: WeightLayout) -> Self {
        let (source, before) = rows.origin();
        let seed = seed_of(&source.tensor);
        let limit = (3.0 / layout.cols as f32).sqrt();
        let floats = |ty| Self { values: Random::new(ty, seed, -limit..limit), scales: None };
        let fill = match layout.dtype {
            DType::F32 => floats(RandomType::F32),
            DType::F16 => floats(RandomType::F16),
            DType::BF16 => floats(RandomType::Bf16),
            quantised => {
                // Quants and sub-scales take any bits, so halves of any words in a small range are scales of every type.
                let scale = limit / largest_multiple(quantised);
                Self {
                    values: Random::new(RandomType::Bytes, seed, 0.0..1.0),
                    scales: Some(Random::new(RandomType::F16, seed, scale * 0.9..scale * 1.1)),
                }
            }
        };
        Self {
            values: fill.values.skip(before * layout.row_bytes() / 4),
            scales: fill.scales.map(|scales| scales.skip(before * layout.row_scale_bytes() / 4)),
        }
    }
}

/// FNV-1a: the same on every machine and in every version.
fn seed_of(tensor: &str) -> u32 {
    tensor.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The largest weight of a type in units of its block's f16 scale.
fn largest_multiple(dtype: DType) -> f32 {
    match dtype {
        DType::Q8_0 => 128.0,
        DType::Q4_0 => 8.0,
        DType::Q4_1 => 15.0,
        DType::Q5_0 => 16.0,
        DType::Q5_1 => 31.0,
        DType::IQ4NL => 127.0,
        DType::Q2K => 15.0 * 3.0,
        DType::Q3K => 128.0 * 4.0,
        DType::Q4K => 63.0 * 15.0,
        DType::Q5K => 63.0 * 31.0,
        DType::Q6K => 128.0 * 32.0,
        DType::F32 | DType::F16 | DType::BF16 => 1.0,
    }
}

/// Bytes `from ..` of a fill.
fn fill_bytes(random: Random, from: u64, bytes: &mut [u8]) {
    let (random, lead) = (random.skip(from / 4), (from % 4) as usize);
    for (index, byte) in bytes.iter_mut().enumerate() {
        let at = lead + index;
        *byte = random.word((at / 4) as u32).to_le_bytes()[at % 4];
    }
}

impl Values {
    /// What a synthetic model has there.
    fn synthetic(self) -> f32 {
        match self {
            Values::Norm { .. } => 1.0,
            Values::Bias => 0.0,
        }
    }
}

/// A tensor that the file of a synthetic model has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomTensor<'a> {
    /// Canonical name.
    pub(crate) name: &'a str,
    /// `[out, in]` for a projection.
    pub(crate) shape: &'a [u64],
    /// Its type.
    pub(crate) dtype: DType,
}

/// The rows of such a tensor.
pub(crate) struct RandomRows<'a> {
    /// By stored row: what it is made of.
    rows: Vec<RandomRow<'a>>,
}

#[derive(Clone, Copy)]
enum RandomRow<'a> {
    Element(f32),
    Row { rows: &'a Rows, layout: WeightLayout, row: u64 },
}

impl RandomRows<'_> {
    /// Writes row `row` as a file has it.
    pub(crate) fn write(&self, row: usize, stored: &mut [u8]) {
        match self.rows[row] {
            RandomRow::Element(value) => stored.copy_from_slice(&value.to_le_bytes()),
            RandomRow::Row { rows, layout, row } => {
                let fill = Fill::of(rows, layout);
                let bytes_of = |random, row_bytes: u64| {
                    let mut bytes = vec![0; row_bytes as usize];
                    fill_bytes(random, row * row_bytes, &mut bytes);
                    bytes
                };
                let values = bytes_of(fill.values, layout.row_bytes());
                let scales = fill.scales.map(|scales| bytes_of(scales, layout.row_scale_bytes()));
                layout.stored_row(&values, &scales.unwrap_or_default(), stored);
            }
        }
    }
}

impl WeightPlan<'_> {
    /// Fills matrices with random values, norms with ones, biases with zeros.
    pub(super) fn load_random(
        &self,
        sink: &mut dyn WeightSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let mut done = 0;
        for job in &self.jobs {
            let slice = match job {
                Job::Vector { slice, values, .. } => {
                    let filled = vec![values.synthetic(); (slice.bytes / 4) as usize];
                    sink.write(*slice, bytemuck::cast_slice(&filled)).map_err(ModelError::Device)?;
                    slice
                }
                Job::Matrix { slice, layout, rows } => {
                    fill_on_device(*slice, *layout, &Fill::of(rows, *layout), sink)?;
                    slice
                }
            };
            done += slice.bytes;
            progress(done);
        }
        Ok(())
    }

    /// The tensors of a synthetic model as a checkpoint has them, each once.
    pub(crate) fn random_tensors(&self) -> Vec<RandomTensor<'_>> {
        let mut tensors: Vec<RandomTensor> = Vec::new();
        for job in &self.jobs {
            let (rows, dtype) = match job {
                Job::Matrix { rows, layout, .. } => (rows, layout.dtype),
                Job::Vector { elements, .. } => (elements, DType::F32),
            };
            for source in rows.sources() {
                // Two halves of one tensor follow each other.
                if tensors.last().is_none_or(|last| last.name != source.tensor) {
                    tensors.push(RandomTensor { name: &source.tensor, shape: &source.shape, dtype });
                }
            }
        }
        tensors
    }

    /// The rows of one of them.
    pub(crate) fn random_rows(&self, tensor: &str) -> RandomRows<'_> {
        let mut found: Vec<(u64, RandomRow)> = Vec::new();
        for job in &self.jobs {
            let (rows, count) = match job {
                Job::Matrix { rows, layout, .. } => (rows, layout.rows),
                Job::Vector { elements, len, .. } => (elements, *len),
            };
            if rows.sources().all(|source| source.tensor != tensor) {
                continue;
            }
            for row in 0..count {
                let (source, stored) = rows.at(row);
                if source.tensor == tensor {
                    let made_of = match job {
                        Job::Matrix { rows, layout, .. } => RandomRow::Row { rows, layout: *layout, row },
                        Job::Vector { values, .. } => RandomRow::Element(values.synthetic()),
                    };
                    found.push((stored, made_of));
                }
            }
        }
        found.sort_by_key(|(stored, _)| *stored);
        RandomRows { rows: found.into_iter().map(|(_, row)| row).collect() }
    }
}

fn fill_on_device(
    slice: Slice,
    layout: WeightLayout,
    fill: &Fill,
    sink: &mut dyn WeightSink,
) -> Result<(), ModelError> {
    let scales = slice.at(layout.value_bytes(), slice.bytes - layout.value_bytes());
    let values = fill.values.dispatch(slice.at(0, layout.value_bytes()));
    let calls = [values].into_iter().chain(fill.scales.map(|random| random.dispatch(scales)));
    for call in calls {
        sink.run(&call).map_err(ModelError::Device)?;
    }
    Ok(())
}
