//! Weights on their way from a checkpoint to the device: which tensors make up a matrix, in which order their rows
//! stand, and the repacking into the kernels' layout. A checkpoint is read once, front to back, in slices. `random` has the
//! weights of models without one.

mod random;

use crate::checkpoint::{Checkpoint, TensorView};
use crate::error::ModelError;
use crate::quantisation::{ModelFacts, Quantisation};
use resident_kernels::weights::WeightLayout;
use resident_kernels::{Dispatch, Slice};
use resident_plan::{BufferKind, Program};
use resident_tensor::{DType, codec};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The files' bytes that are asked for ahead of those that are read: what a disk brings while a large matrix is repacked.
const READ_AHEAD_BYTES: u64 = 512 << 20;

/// A matrix `[rows, cols]` on the device, in parts of consecutive rows: a part is of one type and fits one allocation.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) rows: u32,
    pub(crate) cols: u32,
    pub(crate) parts: Vec<MatrixPart>,
    /// f32 (rows): what is added to the products, where the layer has a bias.
    pub(crate) bias: Option<Slice>,
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

/// Rows of a matrix, or elements of a vector, that come from one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Canonical name.
    tensor: String,
    /// The shape it must have; for a matrix the last dimension is the columns, all others count rows.
    shape: Vec<u64>,
    /// The first row wanted.
    first_row: u64,
    /// How many.
    rows: u64,
    /// Their order.
    order: RowOrder,
}

impl Source {
    /// All of a matrix.
    pub(crate) fn matrix(tensor: String, rows: u32, cols: u32) -> Self {
        let (rows, cols) = (rows.into(), cols.into());
        Self { tensor, shape: vec![rows, cols], first_row: 0, rows, order: RowOrder::Stored }
    }

    /// All of the matrices `[rows, cols]` that one tensor holds for `count` experts.
    pub(crate) fn matrices(tensor: String, count: u32, rows: u32, cols: u32) -> Self {
        let shape = vec![count.into(), rows.into(), cols.into()];
        Self {
            tensor,
            shape,
            first_row: 0,
            rows: u64::from(count) * u64::from(rows),
            order: RowOrder::Stored,
        }
    }

    /// All of a vector.
    pub(crate) fn vector(tensor: String, len: u32) -> Self {
        Self { tensor, shape: vec![len.into()], first_row: 0, rows: len.into(), order: RowOrder::Stored }
    }

    /// In another order.
    pub(crate) fn ordered(self, order: RowOrder) -> Self {
        Self { order, ..self }
    }

    /// One of `of` equal shares of the rows: of a tensor that holds several projections one after the other.
    pub(crate) fn share(self, index: u64, of: u64) -> Self {
        let rows = self.rows / of;
        Self { first_row: index * rows, rows, ..self }
    }

    fn cols(&self) -> u64 {
        if self.shape.len() == 1 { 1 } else { self.shape[self.shape.len() - 1] }
    }

    /// Rows that the tensor has.
    fn stored_rows(&self) -> u64 {
        self.shape.iter().product::<u64>() / self.cols()
    }

    /// The stored row that becomes row `row`.
    fn stored_row(&self, row: u64) -> u64 {
        self.first_row
            + match self.order {
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

/// Sources one after the other.
#[derive(Clone, Debug)]
struct Stack {
    sources: Vec<Source>,
    /// Rows up to the end of each.
    ends: Vec<u64>,
}

impl Stack {
    fn new(sources: Vec<Source>) -> Self {
        let ends = sources.iter().scan(0, |end, source| {
            *end += source.rows;
            Some(*end)
        });
        let ends = ends.collect();
        Self { sources, ends }
    }

    fn rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Source and stored row of row `row`.
    fn at(&self, row: u64) -> (&Source, u64) {
        let index = self.ends.partition_point(|end| *end <= row);
        let source = &self.sources[index];
        (source, source.stored_row(row + source.rows - self.ends[index]))
    }
}

/// How the rows of a job's sources make up the rows of its part.
#[derive(Clone, Debug)]
enum Rows {
    /// Rows `first ..` of the stack.
    Stacked { stack: Stack, first: u64 },
    /// One row of each in turn, from row `first` of both: gate, up, gate, up …
    Alternating { stacks: [Stack; 2], first: u64 },
}

impl Rows {
    /// Row 0 of the matrix that the part is one of: its first source and how many rows before the part's.
    fn origin(&self) -> (&Source, u64) {
        match self {
            Rows::Stacked { stack, first } => (&stack.sources[0], *first),
            Rows::Alternating { stacks, first } => (&stacks[0].sources[0], 2 * first),
        }
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        let stacks = match self {
            Rows::Stacked { stack, .. } => std::slice::from_ref(stack),
            Rows::Alternating { stacks, .. } => &stacks[..],
        };
        stacks.iter().flat_map(|stack| &stack.sources)
    }

    /// Source and stored row of the part's row `row`.
    fn at(&self, row: u64) -> (&Source, u64) {
        match self {
            Rows::Stacked { stack, first } => stack.at(first + row),
            Rows::Alternating { stacks, first } => stacks[(row % 2) as usize].at(first + row / 2),
        }
    }
}

/// What fills one weight buffer.
#[derive(Clone, Debug)]
enum Job {
    Matrix { slice: Slice, layout: WeightLayout, rows: Rows },
    Vector { slice: Slice, elements: Rows, len: u64, values: Values },
}

impl Job {
    fn bytes(&self) -> u64 {
        match self {
            Job::Matrix { slice, .. } | Job::Vector { slice, .. } => slice.bytes,
        }
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        match self {
            Job::Matrix { rows, .. } | Job::Vector { elements: rows, .. } => rows.sources(),
        }
    }
}

/// What a vector holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values {
    /// A norm's weights, with this added to them: 1 where a file stores what they differ from 1.
    Norm {
        /// What is added.
        offset: f32,
    },
    /// What is added to products.
    Bias,
}

/// Where the weights come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// Files; matrices are requantised while they are read, where a quantisation is given.
    Checkpoint(&'a Checkpoint, Option<Quantisation>),
    /// Random values, made on the device; norms are ones, biases zeros.
    Synthetic(SynthTypes),
}

/// The types of random weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SynthTypes {
    /// One for all matrices.
    One(DType),
    /// As a quantised model has them.
    Mixture(Quantisation),
}

/// All weights of a model and what fills them.
#[derive(Debug)]
pub(crate) struct WeightPlan<'a> {
    origin: Origin<'a>,
    facts: ModelFacts,
    /// The largest buffer that the device allocates.
    max_buffer_bytes: u64,
    jobs: Vec<Job>,
    /// Parameters of all tensors.
    pub(crate) parameters: u64,
}

/// Why a sink refused: a device error, as a rule.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Makes rows of a matrix, from a given one on, in the kernels' layout: as many as there is room for in their values and in
/// their scales. Called by several threads at once.
pub type RowFiller<'a> = &'a (dyn Fn(u64, &mut [u8], &mut [u8]) -> Result<(), SinkError> + Sync);

/// Where the bytes go.
pub trait WeightSink {
    /// Takes weights for the beginning of `slice`.
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError>;

    /// Has `fill` make a matrix where it goes, so that no row is copied again on the host.
    fn fill(&mut self, slice: Slice, layout: WeightLayout, fill: RowFiller<'_>) -> Result<(), SinkError>;

    /// Takes a table (RoPE, blocks of the KV cache) for the beginning of `slice`.
    fn write_table(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError>;

    /// Runs a call that fills weights on the device.
    fn run(&mut self, call: &Dispatch) -> Result<(), SinkError>;
}

impl<'a> WeightPlan<'a> {
    pub(crate) fn new(origin: Origin<'a>, facts: ModelFacts, max_buffer_bytes: u64) -> Self {
        Self { origin, facts, max_buffer_bytes, jobs: Vec::new(), parameters: 0 }
    }

    /// The checkpoint, where the weights come from one.
    pub(crate) fn checkpoint(&self) -> Option<&'a Checkpoint> {
        match self.origin {
            Origin::Checkpoint(checkpoint, _) => Some(checkpoint),
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
        let cols = sources[0].cols() as u32;
        let mut matrix = Matrix { rows: 0, cols, parts: Vec::new(), bias: None };
        // Neighbours of one type become one part: one launch instead of several.
        let mut runs: Vec<(DType, Vec<Source>)> = Vec::new();
        for source in sources {
            let dtype = self.dtype(&source)?;
            match runs.last_mut().filter(|(last, _)| *last == dtype) {
                Some((_, run)) => run.push(source),
                None => runs.push((dtype, vec![source])),
            }
        }
        for (dtype, sources) in runs {
            let stack = Stack::new(sources);
            let rows_from = |first| Rows::Stacked { stack: stack.clone(), first };
            self.add_parts(program, name, &mut matrix, dtype, stack.rows(), 1, rows_from);
        }
        Ok(matrix)
    }

    /// A matrix whose rows come from two stacks of sources in turn, in parts of whole `unit`s of rows.
    pub(crate) fn alternating(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: [Vec<Source>; 2],
        unit: u32,
    ) -> Result<Matrix, ModelError> {
        let dtype = self.common_dtype(sources.iter().flatten())?;
        let cols = sources[0][0].cols() as u32;
        let stacks = sources.map(Stack::new);
        let mut matrix = Matrix { rows: 0, cols, parts: Vec::new(), bias: None };
        let rows = stacks[0].rows() * 2;
        self.add_parts(program, name, &mut matrix, dtype, rows, unit.into(), |first| Rows::Alternating {
            stacks: stacks.clone(),
            first: first / 2,
        });
        Ok(matrix)
    }

    /// As [`stacked`](Self::stacked), all of one type and in parts of whole `unit`s of rows.
    pub(crate) fn stacked_units(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: Vec<Source>,
        unit: u32,
    ) -> Result<Matrix, ModelError> {
        let dtype = self.common_dtype(sources.iter())?;
        let cols = sources[0].cols() as u32;
        let stack = Stack::new(sources);
        let mut matrix = Matrix { rows: 0, cols, parts: Vec::new(), bias: None };
        let rows_from = |first| Rows::Stacked { stack: stack.clone(), first };
        self.add_parts(program, name, &mut matrix, dtype, stack.rows(), unit.into(), rows_from);
        Ok(matrix)
    }

    /// A norm's weights, as f32 padded to 16 bytes.
    pub(crate) fn norm(
        &mut self,
        program: &mut Program,
        tensor: String,
        len: u32,
        offset: f32,
    ) -> Result<Slice, ModelError> {
        let elements =
            Rows::Stacked { stack: Stack::new(vec![Source::vector(tensor.clone(), len)]), first: 0 };
        self.vector(program, tensor, elements, len.into(), Values::Norm { offset })
    }

    /// The biases of a [`stacked`](Self::stacked) matrix, as f32 padded to 16 bytes.
    pub(crate) fn bias(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: Vec<Source>,
    ) -> Result<Slice, ModelError> {
        let stack = Stack::new(sources);
        let len = stack.rows();
        self.vector(program, name.to_owned(), Rows::Stacked { stack, first: 0 }, len, Values::Bias)
    }

    /// The biases of an [`alternating`](Self::alternating) matrix, as f32 padded to 16 bytes.
    pub(crate) fn alternating_bias(
        &mut self,
        program: &mut Program,
        name: &str,
        sources: [Source; 2],
    ) -> Result<Slice, ModelError> {
        let stacks = sources.map(|source| Stack::new(vec![source]));
        let len = stacks[0].rows() * 2;
        self.vector(program, name.to_owned(), Rows::Alternating { stacks, first: 0 }, len, Values::Bias)
    }

    fn vector(
        &mut self,
        program: &mut Program,
        name: String,
        elements: Rows,
        len: u64,
        values: Values,
    ) -> Result<Slice, ModelError> {
        if let Some(checkpoint) = self.checkpoint() {
            for Source { tensor, shape, .. } in elements.sources() {
                checkpoint.tensor_shaped(tensor, shape)?;
            }
        }
        self.parameters += len;
        let slice = program.buffer(name, len.next_multiple_of(4) * 4, BufferKind::Weight);
        self.jobs.push(Job::Vector { slice, elements, len, values });
        Ok(slice)
    }

    /// The type in which rows of all these sources stay resident: rows of one part are of one type, and different ones
    /// meet in f32, which holds all exactly.
    fn common_dtype<'s>(&mut self, sources: impl Iterator<Item = &'s Source>) -> Result<DType, ModelError> {
        let mut common = None;
        for source in sources {
            let dtype = self.dtype(source)?;
            common = Some(if common.is_none_or(|common| common == dtype) { dtype } else { DType::F32 });
        }
        Ok(common.expect("a matrix has a source"))
    }

    /// The type in which a source's weights stay resident: that of its file, or the wanted one where it has fewer bits.
    fn dtype(&mut self, source: &Source) -> Result<DType, ModelError> {
        self.parameters += source.rows * source.cols();
        match self.origin {
            Origin::Synthetic(SynthTypes::One(dtype)) => match dtype.row_bytes(source.cols()) {
                Ok(_) => Ok(dtype),
                Err(problem) => Err(ModelError::Shape(format!("{}: {problem}", source.tensor))),
            },
            Origin::Synthetic(SynthTypes::Mixture(mixture)) => {
                Ok(mixture.dtype(&source.tensor, &source.shape, self.facts))
            }
            Origin::Checkpoint(checkpoint, wanted) => {
                let stored = checkpoint.tensor_shaped(&source.tensor, &source.shape)?.dtype;
                let wanted = wanted.map(|wanted| wanted.dtype(&source.tensor, &source.shape, self.facts));
                Ok(wanted.filter(|wanted| has_fewer_bits(*wanted, stored)).unwrap_or(stored))
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
        dtype: DType,
        rows: u64,
        unit: u64,
        source: impl Fn(u64) -> Rows,
    ) {
        let one_row = WeightLayout { dtype, rows: 1, cols: matrix.cols };
        let row_bytes = one_row.row_bytes() + one_row.row_scale_bytes();
        // Scales have whole halves of a word: those of an even number of rows end with a word, as random ones must.
        let unit = unit.next_multiple_of(2);
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

    /// The types of the matrices, by falling number of bytes.
    pub(crate) fn formats(&self) -> String {
        let mut bytes: BTreeMap<DType, u64> = BTreeMap::new();
        for job in &self.jobs {
            if let Job::Matrix { slice, layout, .. } = job {
                *bytes.entry(layout.dtype).or_default() += slice.bytes;
            }
        }
        let mut dtypes: Vec<_> = bytes.into_iter().collect();
        dtypes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        dtypes.iter().map(|(dtype, _)| dtype.name()).collect::<Vec<_>>().join(" + ")
    }

    /// Bytes that [`load`](Self::load) will write.
    pub(crate) fn bytes(&self) -> u64 {
        self.jobs.iter().map(Job::bytes).sum()
    }

    /// Reads, checks and repacks every weight into `sink`; `progress` hears how many bytes are done.
    pub(crate) fn load(
        &self,
        sink: &mut dyn WeightSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let checkpoint = match self.origin {
            Origin::Checkpoint(checkpoint, _) => checkpoint,
            Origin::Synthetic(_) => return self.load_random(sink, progress),
        };
        let (mut done, mut asked_for) = (0, 0);
        let mut ahead = self.jobs.iter();
        for job in &self.jobs {
            while asked_for < done + READ_AHEAD_BYTES
                && let Some(job) = ahead.next()
            {
                job.sources().for_each(|source| checkpoint.read_ahead(&source.tensor));
                asked_for += job.bytes();
            }
            match job {
                Job::Vector { slice, elements, len, values } => {
                    let mut loaded = load_vector(checkpoint, elements, *len)?;
                    if let Values::Norm { offset } = values {
                        loaded.iter_mut().for_each(|value| *value += offset);
                    }
                    loaded.resize((slice.bytes / 4) as usize, 0.0);
                    sink.write(*slice, bytemuck::cast_slice(&loaded)).map_err(ModelError::Device)?;
                    done += slice.bytes;
                }
                Job::Matrix { slice, layout, rows } => {
                    load_matrix(checkpoint, *slice, *layout, rows, sink)?;
                    done += slice.bytes;
                }
            }
            progress(done);
        }
        Ok(())
    }
}

fn load_matrix(
    checkpoint: &Checkpoint,
    slice: Slice,
    layout: WeightLayout,
    rows: &Rows,
    sink: &mut dyn WeightSink,
) -> Result<(), ModelError> {
    // Found once, not for each row by each thread.
    let views = rows.sources().map(|source| Ok((source.tensor.as_str(), checkpoint.tensor(&source.tensor)?)));
    let views = views.collect::<Result<BTreeMap<&str, TensorView<'_>>, ModelError>>()?;
    let (value_bytes, scale_bytes) = (layout.row_bytes() as usize, layout.row_scale_bytes() as usize);
    let fill = |first: u64, values: &mut [u8], scales: &mut [u8]| -> Result<(), SinkError> {
        for (index, values) in values.chunks_exact_mut(value_bytes).enumerate() {
            let (source, stored) = rows.at(first + index as u64);
            let scales = &mut scales[index * scale_bytes..][..scale_bytes];
            repack(checkpoint, &views[source.tensor.as_str()], source, stored, layout, values, scales)?;
        }
        Ok(())
    };
    sink.fill(slice, layout, &fill).map_err(|error| match error.downcast::<ModelError>() {
        Ok(of_weights) => *of_weights,
        Err(of_device) => ModelError::Device(of_device),
    })
}

fn repack(
    checkpoint: &Checkpoint,
    view: &TensorView<'_>,
    source: &Source,
    row: u64,
    layout: WeightLayout,
    values: &mut [u8],
    scales: &mut [u8],
) -> Result<(), ModelError> {
    let row_bytes = view.data.len() / source.stored_rows() as usize;
    let stored = &view.data[row as usize * row_bytes..][..row_bytes];
    if let Some(index) = codec::first_non_finite(view.dtype, stored) {
        return Err(non_finite(checkpoint, &source.tensor, row * source.cols() + index as u64));
    }
    if view.dtype == layout.dtype {
        layout.repack_row(stored, values, scales);
    } else {
        let mut decoded = vec![0.0f32; layout.cols as usize];
        codec::decode(view.dtype, stored, &mut decoded);
        let row_bytes =
            layout.dtype.row_bytes(layout.cols.into()).expect("whole blocks, by the choice of the type");
        let mut encoded = vec![0; row_bytes as usize];
        codec::encode(layout.dtype, &decoded, &mut encoded).expect("chosen among those that are written");
        if codec::first_non_finite(layout.dtype, &encoded).is_some() {
            let (file, tensor) = (checkpoint.label().to_owned(), source.tensor.clone());
            return Err(ModelError::TooLarge { file, tensor, dtype: layout.dtype });
        }
        layout.repack_row(&encoded, values, scales);
    }
    Ok(())
}

fn load_vector(checkpoint: &Checkpoint, elements: &Rows, len: u64) -> Result<Vec<f32>, ModelError> {
    let mut decoded = BTreeMap::<&str, Vec<f32>>::new();
    let mut loaded = Vec::new();
    for (source, stored) in (0..len).map(|row| elements.at(row)) {
        let values = match decoded.entry(&source.tensor) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let view = checkpoint.tensor(&source.tensor)?;
                if let Some(index) = view.first_non_finite() {
                    return Err(non_finite(checkpoint, &source.tensor, index as u64));
                }
                entry.insert(view.to_f32())
            }
        };
        loaded.push(values[stored as usize]);
    }
    Ok(loaded)
}

fn has_fewer_bits(one: DType, other: DType) -> bool {
    one.block_bytes() * other.block_len() < other.block_bytes() * one.block_len()
}

fn non_finite(checkpoint: &Checkpoint, tensor: &str, index: u64) -> ModelError {
    ModelError::NonFinite { file: checkpoint.label().to_owned(), tensor: tensor.to_owned(), index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotary_pairs_become_halves() {
        let order = RowOrder::PairsToHalves { head_dim: 6 };
        let source = Source::matrix(String::new(), 12, 1).ordered(order);
        let stored: Vec<u64> = (0..12).map(|row| source.stored_row(row)).collect();
        assert_eq!(stored, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }

    #[test]
    fn rows_of_stacks_and_shares_come_from_where_they_are_stored() {
        let both = || Source::matrix("both".into(), 4, 1);
        let stack =
            Stack::new(vec![both().share(1, 2), Source::matrix("one".into(), 1, 1), both().share(0, 2)]);
        let found: Vec<_> = (0..stack.rows()).map(|row| stack.at(row)).collect();
        let found: Vec<_> = found.iter().map(|(source, row)| (source.tensor.as_str(), *row)).collect();
        assert_eq!(found, [("both", 2), ("both", 3), ("one", 0), ("both", 0), ("both", 1)]);
    }
}
