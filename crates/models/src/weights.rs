//! Weights on their way from a checkpoint to the device: which tensors make up a matrix, in which order their rows
//! stand, and the repacking into the kernels' layout. A checkpoint is read once, front to back, in slices.

use crate::checkpoint::Checkpoint;
use crate::error::ModelError;
use rayon::prelude::*;
use resident_kernels::random_fill::{self, RandomType};
use resident_kernels::weights::{WeightFormat, WeightLayout};
use resident_kernels::{Dispatch, Slice};
use resident_plan::{BufferKind, Program};
use resident_tensor::{DType, codec};

/// Bytes repacked at a time.
const BATCH_BYTES: u64 = 16 << 20;

/// A matrix `[rows, cols]` on the device, in parts of consecutive rows: a part is of one type and fits one allocation.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) rows: u32,
    pub(crate) cols: u32,
    pub(crate) parts: Vec<MatrixPart>,
}

/// Rows `first_row ..` of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatrixPart {
    pub(crate) first_row: u32,
    pub(crate) layout: WeightLayout,
    pub(crate) slice: Slice,
}

/// The order in which a tensor's rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// As stored.
    Stored,
    /// Stored with rotary pairs side by side, (2i, 2i + 1) in each head; wanted as halves, (i, i + head_dim / 2).
    PairsToHalves {
        /// Rows of a head.
        head_dim: u32,
    },
}

/// Rows of a matrix that come from one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Canonical name.
    pub(crate) tensor: String,
    /// Rows and columns it must have.
    pub(crate) shape: [u64; 2],
    /// Their order.
    pub(crate) order: RowOrder,
}

impl Source {
    /// The stored row that becomes row `row`.
    fn stored_row(&self, row: u64) -> u64 {
        match self.order {
            RowOrder::Stored => row,
            RowOrder::PairsToHalves { head_dim } => {
                let head_dim = u64::from(head_dim);
                let (head, within) = (row / head_dim, row % head_dim);
                let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
                head * head_dim + 2 * pair + half
            }
        }
    }
}

/// How the rows of a job's sources make up the rows of its part.
#[derive(Clone, Debug)]
enum Rows {
    /// Rows `first ..` of the sources one after the other.
    Stacked { sources: Vec<Source>, first: u64 },
    /// One row of each in turn, from row `first` of both: gate, up, gate, up …
    Alternating { sources: [Source; 2], first: u64 },
}

impl Rows {
    /// Source and stored row of the part's row `row`.
    fn at(&self, row: u64) -> (&Source, u64) {
        match self {
            Rows::Stacked { sources, first } => {
                let mut row = first + row;
                for source in sources {
                    if row < source.shape[0] {
                        return (source, source.stored_row(row));
                    }
                    row -= source.shape[0];
                }
                unreachable!("a part has no more rows than its sources")
            }
            Rows::Alternating { sources, first } => {
                let source = &sources[(row % 2) as usize];
                (source, source.stored_row(first + row / 2))
            }
        }
    }
}

/// What fills one weight buffer.
#[derive(Clone, Debug)]
enum Job {
    Matrix { slice: Slice, layout: WeightLayout, rows: Rows },
    Vector { slice: Slice, tensor: String },
}

/// Where the weights come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// Files.
    Checkpoint(&'a Checkpoint),
    /// Random values of this format, made on the device; norms are ones.
    Synthetic(WeightFormat),
}

/// All weights of a model and what fills them.
#[derive(Debug)]
pub(crate) struct WeightPlan<'a> {
    origin: Origin<'a>,
    /// The largest buffer that the device allocates.
    max_buffer_bytes: u64,
    jobs: Vec<Job>,
    /// Parameters of all tensors.
    pub(crate) parameters: u64,
}

/// Why a sink refused: a device error, as a rule.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Where the bytes go.
pub trait WeightSink {
    /// Takes weights for the beginning of `slice`.
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError>;

    /// Takes a table (RoPE, blocks of the KV cache) for the beginning of `slice`.
    fn write_table(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError>;

    /// Runs a call that fills weights on the device.
    fn run(&mut self, call: &Dispatch) -> Result<(), SinkError>;
}

impl<'a> WeightPlan<'a> {
    pub(crate) fn new(origin: Origin<'a>, max_buffer_bytes: u64) -> Self {
        Self { origin, max_buffer_bytes, jobs: Vec::new(), parameters: 0 }
    }

    /// The checkpoint, where the weights come from one.
    pub(crate) fn checkpoint(&self) -> Option<&'a Checkpoint> {
        match self.origin {
            Origin::Checkpoint(checkpoint) => Some(checkpoint),
            Origin::Synthetic(_) => None,
        }
    }

    /// A matrix whose rows are the sources' rows one after the other.
    pub(crate) fn stacked(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: Vec<Source>,
    ) -> Result<Matrix, ModelError> {
        let cols = sources[0].shape[1] as u32;
        let mut matrix = Matrix { rows: 0, cols, parts: Vec::new() };
        // Neighbours of one format become one part: one launch instead of several.
        let mut runs: Vec<(WeightFormat, Vec<Source>)> = Vec::new();
        for source in sources {
            let format = self.format(&source, "matvec")?;
            match runs.last_mut().filter(|(last, _)| *last == format) {
                Some((_, run)) => run.push(source),
                None => runs.push((format, vec![source])),
            }
        }
        for (format, sources) in runs {
            let rows = sources.iter().map(|source| source.shape[0]).sum();
            let rows_from = |first| Rows::Stacked { sources: sources.clone(), first };
            self.add_parts(program, name, &mut matrix, format, rows, 1, rows_from);
        }
        Ok(matrix)
    }

    /// A matrix whose rows come from two sources in turn.
    pub(crate) fn alternating(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: [Source; 2],
    ) -> Result<Matrix, ModelError> {
        let formats = [self.format(&sources[0], "matvec")?, self.format(&sources[1], "matvec")?];
        // Rows of one matrix are of one type; two different ones meet in f32, which holds both exactly.
        let format = if formats[0] == formats[1] { formats[0] } else { WeightFormat::F32 };
        let [rows, cols] = sources[0].shape;
        let mut matrix = Matrix { rows: 0, cols: cols as u32, parts: Vec::new() };
        self.add_parts(program, name, &mut matrix, format, rows * 2, 2, |first| Rows::Alternating {
            sources: sources.clone(),
            first: first / 2,
        });
        Ok(matrix)
    }

    /// A vector, as f32 padded to 16 bytes.
    pub(crate) fn vector(
        &mut self,
        program: &mut Program,
        tensor: String,
        len: u32,
    ) -> Result<Slice, ModelError> {
        if let Some(checkpoint) = self.checkpoint() {
            checkpoint.tensor_shaped(&tensor, &[len.into()])?;
        }
        self.parameters += u64::from(len);
        let slice =
            program.buffer(tensor.clone(), u64::from(len.next_multiple_of(4)) * 4, BufferKind::Weight);
        self.jobs.push(Job::Vector { slice, tensor });
        Ok(slice)
    }

    /// The format in which a source's weights stay resident.
    fn format(&mut self, source: &Source, op: &str) -> Result<WeightFormat, ModelError> {
        self.parameters += source.shape[0] * source.shape[1];
        match self.origin {
            Origin::Synthetic(format) => Ok(format),
            Origin::Checkpoint(checkpoint) => {
                let dtype = checkpoint.tensor_shaped(&source.tensor, &source.shape)?.dtype;
                WeightFormat::of(dtype)
                    .ok_or_else(|| no_kernel(checkpoint, &source.tensor, op, dtype, "f32, f16, bf16, q8_0"))
            }
        }
    }

    /// Appends `rows` rows to the matrix, in parts of whole `unit`s that fit a buffer.
    #[allow(clippy::too_many_arguments)]
    fn add_parts(
        &mut self,
        program: &mut Program,
        name: &str,
        matrix: &mut Matrix,
        format: WeightFormat,
        rows: u64,
        unit: u64,
        source: impl Fn(u64) -> Rows,
    ) {
        let one_row = WeightLayout { format, rows: 1, cols: matrix.cols };
        let row_bytes = one_row.row_bytes() + one_row.row_scale_bytes();
        let rows_a_part = (self.max_buffer_bytes.saturating_sub(16) / row_bytes / unit * unit).max(unit);
        for first in (0..rows).step_by(rows_a_part as usize) {
            let layout = WeightLayout { rows: rows_a_part.min(rows - first), ..one_row };
            let part = matrix.parts.len();
            let name = if part == 0 { name.to_owned() } else { format!("{name}.{part}") };
            let slice = program.buffer(name, layout.bytes(), BufferKind::Weight);
            matrix.parts.push(MatrixPart { first_row: matrix.rows + first as u32, layout, slice });
            self.jobs.push(Job::Matrix { slice, layout, rows: source(first) });
        }
        matrix.rows += rows as u32;
    }

    /// The formats of the matrices, by falling number of bytes.
    pub(crate) fn formats(&self) -> String {
        let mut bytes = [0u64; WeightFormat::ALL.len()];
        for job in &self.jobs {
            if let Job::Matrix { slice, layout, .. } = job {
                bytes[layout.format as usize] += slice.bytes;
            }
        }
        let mut formats: Vec<_> = WeightFormat::ALL.into_iter().filter(|f| bytes[*f as usize] > 0).collect();
        formats.sort_by_key(|format| std::cmp::Reverse(bytes[*format as usize]));
        formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(" + ")
    }

    /// Bytes that [`load`](Self::load) will write.
    pub(crate) fn bytes(&self) -> u64 {
        self.jobs
            .iter()
            .map(|job| match job {
                Job::Matrix { slice, .. } | Job::Vector { slice, .. } => slice.bytes,
            })
            .sum()
    }

    /// Reads, checks and repacks every weight into `sink`; `progress` hears how many bytes are done.
    pub(crate) fn load(
        &self,
        sink: &mut dyn WeightSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let checkpoint = match self.origin {
            Origin::Checkpoint(checkpoint) => checkpoint,
            Origin::Synthetic(_) => return self.load_random(sink, progress),
        };
        let mut done = 0;
        for job in &self.jobs {
            match job {
                Job::Vector { slice, tensor } => {
                    let view = checkpoint.tensor(tensor)?;
                    if let Some(index) = view.first_non_finite() {
                        return Err(non_finite(checkpoint, tensor, index as u64));
                    }
                    let mut values = vec![0.0f32; (slice.bytes / 4) as usize];
                    let decoded = view.to_f32();
                    values[..decoded.len()].copy_from_slice(&decoded);
                    sink.write(*slice, bytemuck::cast_slice(&values)).map_err(ModelError::Device)?;
                    done += slice.bytes;
                }
                Job::Matrix { slice, layout, rows } => {
                    load_matrix(checkpoint, *slice, *layout, rows, sink, &mut |bytes| {
                        done += bytes;
                        progress(done);
                    })?
                }
            }
            progress(done);
        }
        Ok(())
    }

    /// Fills matrices with random values of the variance that keeps activations in range, and vectors with ones.
    fn load_random(
        &self,
        sink: &mut dyn WeightSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let mut done = 0;
        for (seed, job) in (0..).zip(&self.jobs) {
            match job {
                Job::Vector { slice, .. } => {
                    let ones = vec![1.0f32; (slice.bytes / 4) as usize];
                    sink.write(*slice, bytemuck::cast_slice(&ones)).map_err(ModelError::Device)?;
                    done += slice.bytes;
                }
                Job::Matrix { slice, layout, .. } => {
                    for call in random_matrix(seed, *slice, *layout) {
                        sink.run(&call).map_err(ModelError::Device)?;
                    }
                    done += slice.bytes;
                }
            }
            progress(done);
        }
        Ok(())
    }
}

/// The calls that fill a matrix with values of standard deviation 1/√cols.
fn random_matrix(seed: u32, slice: Slice, layout: WeightLayout) -> Vec<Dispatch> {
    let limit = (3.0 / layout.cols as f32).sqrt();
    let values = slice.at(0, layout.value_bytes());
    let ty = match layout.format {
        WeightFormat::F32 => RandomType::F32,
        WeightFormat::F16 => RandomType::F16,
        WeightFormat::Bf16 => RandomType::Bf16,
        WeightFormat::Q8_0 => {
            // Bytes of any value lie in ±128, evenly.
            let scales = slice.at(layout.value_bytes(), slice.bytes - layout.value_bytes());
            let scale = limit / 128.0;
            return vec![
                random_fill::dispatch(RandomType::Bytes, seed, 0.0..1.0, values),
                random_fill::dispatch(RandomType::F16, seed, scale * 0.9..scale * 1.1, scales),
            ];
        }
    };
    vec![random_fill::dispatch(ty, seed, -limit..limit, values)]
}

fn load_matrix(
    checkpoint: &Checkpoint,
    slice: Slice,
    layout: WeightLayout,
    rows: &Rows,
    sink: &mut dyn WeightSink,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ModelError> {
    let (value_bytes, scale_bytes) = (layout.row_bytes() as usize, layout.row_scale_bytes() as usize);
    let rows_a_batch = (BATCH_BYTES / layout.row_bytes()).max(1);
    for first in (0..layout.rows).step_by(rows_a_batch as usize) {
        let batch = rows_a_batch.min(layout.rows - first) as usize;
        let mut values = vec![0u8; batch * value_bytes];
        // One byte a row where there are no scales keeps the two in step; it goes nowhere.
        let mut scales = vec![0u8; batch * scale_bytes.max(1)];
        let pairs = values.par_chunks_mut(value_bytes).zip(scales.par_chunks_mut(scale_bytes.max(1)));
        pairs.enumerate().try_for_each(|(row, (values, scales))| {
            let (source, stored) = rows.at(first + row as u64);
            repack(checkpoint, source, stored, layout, values, &mut scales[..scale_bytes])
        })?;
        let mut write = |offset: u64, bytes: &[u8]| {
            sink.write(slice.at(offset, bytes.len() as u64), bytes).map_err(ModelError::Device)
        };
        write(first * layout.row_bytes(), &values)?;
        if scale_bytes > 0 {
            write(layout.value_bytes() + first * layout.row_scale_bytes(), &scales)?;
        }
        progress((values.len() + batch * scale_bytes) as u64);
    }
    Ok(())
}

fn repack(
    checkpoint: &Checkpoint,
    source: &Source,
    row: u64,
    layout: WeightLayout,
    values: &mut [u8],
    scales: &mut [u8],
) -> Result<(), ModelError> {
    let view = checkpoint.tensor(&source.tensor)?;
    let row_bytes = view.data.len() / source.shape[0] as usize;
    let stored = &view.data[row as usize * row_bytes..][..row_bytes];
    if let Some(index) = codec::first_non_finite(view.dtype, stored) {
        return Err(non_finite(checkpoint, &source.tensor, row * source.shape[1] + index as u64));
    }
    if WeightFormat::of(view.dtype) == Some(layout.format) {
        layout.repack_row(stored, values, scales);
    } else {
        let mut decoded = vec![0.0f32; layout.cols as usize];
        codec::decode(view.dtype, stored, &mut decoded);
        layout.repack_row(bytemuck::cast_slice(&decoded), values, scales);
    }
    Ok(())
}

fn non_finite(checkpoint: &Checkpoint, tensor: &str, index: u64) -> ModelError {
    ModelError::NonFinite { file: checkpoint.label().to_owned(), tensor: tensor.to_owned(), index }
}

fn no_kernel(checkpoint: &Checkpoint, tensor: &str, op: &str, dtype: DType, have: &str) -> ModelError {
    let (file, tensor) = (checkpoint.label().to_owned(), tensor.to_owned());
    ModelError::NoKernel { file, tensor, op: op.to_owned(), dtype, have: have.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotary_pairs_become_halves() {
        let order = RowOrder::PairsToHalves { head_dim: 6 };
        let source = Source { tensor: String::new(), shape: [12, 1], order };
        let stored: Vec<u64> = (0..12).map(|row| source.stored_row(row)).collect();
        assert_eq!(stored, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
