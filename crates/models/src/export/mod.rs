//! Writes a checkpoint as one GGUF file whose matrices are quantised: `resident quantize`. `synthetic` writes a model without one.
//!
//! A GGUF file keeps its metadata and its names; of a Hugging Face folder, `hugging_face` says what they become. Tensors
//! are read, rounded and written in slices of rows, so that memory holds a few megabytes of the model at a time.

mod hugging_face;
mod keys;
mod synthetic;

pub use synthetic::SynthFile;

use crate::checkpoint::gguf::{GgufWriter, TensorInfo};
use crate::checkpoint::{Checkpoint, INTERLEAVED, TensorView, gguf_tensor_name};
use crate::error::ModelError;
use crate::quantisation::{ModelFacts, Quantisation};
use rayon::prelude::*;
use resident_tensor::{DType, codec};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Bytes of f32 that are rounded at a time.
const BATCH_BYTES: usize = 32 << 20;

/// A file about to be written.
pub struct Export<'a> {
    checkpoint: &'a Checkpoint,
    file: GgufWriter,
    /// In the file's order.
    tensors: Vec<Tensor>,
}

/// Where a tensor of the file comes from.
#[derive(Clone, Debug)]
struct Tensor {
    content: Content,
    /// The type of the file.
    dtype: DType,
}

#[derive(Clone, Debug)]
enum Content {
    /// The rows of the tensors of these canonical names, one after the other: one, or the experts of a layer.
    Stored {
        names: Vec<String>,
        /// Rows of a head whose rows are stored as halves, (i, i + head_dim / 2), and written as pairs, (2i, 2i + 1).
        paired: Option<u32>,
        /// Added to every value.
        offset: f32,
    },
    /// Values that no tensor has.
    Computed(Vec<f32>),
}

impl Content {
    /// A tensor as it is.
    fn of(name: &str) -> Self {
        Self::Stored { names: vec![name.to_owned()], paired: None, offset: 0.0 }
    }
}

/// What became of the tensors of one kind, such as every layer's `mlp.down_proj`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TensorClass {
    /// The kind, named without the layer.
    pub name: String,
    /// Their types in the file.
    pub types: Vec<&'static str>,
    /// How many there are.
    pub tensors: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// ‖written − read‖ / ‖read‖.
    pub relative_error: f64,
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The place that it is written to.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<'a> Export<'a> {
    /// Plans the file of a checkpoint.
    ///
    /// # Errors
    /// A configuration that is not understood; a folder of an architecture whose translation is not written.
    pub fn plan(checkpoint: &'a Checkpoint, to: Quantisation) -> Result<Self, ModelError> {
        let mut export = Self { checkpoint, file: GgufWriter::default(), tensors: Vec::new() };
        match checkpoint.gguf_metadata() {
            Some(metadata) => {
                let split = |key: &str| key.starts_with("split.");
                export.file.copy(metadata, |key| !split(key) && key != "general.alignment");
                let facts = facts_of(checkpoint)?;
                for view in checkpoint.tensors() {
                    let dtype = to.dtype(view.name, view.shape, facts);
                    export.add(view.stored_name, view.shape, Content::of(view.name), dtype)?;
                }
            }
            None => hugging_face::plan(&mut export, to)?,
        }
        export.file.set("general.quantization_version", 2u32);
        export.file.set("general.file_type", to.file_type());
        Ok(export)
    }

    fn add(&mut self, name: &str, shape: &[u64], content: Content, dtype: DType) -> Result<(), ModelError> {
        let size = |e| ModelError::Shape(format!("{}: {name}: {e}", self.checkpoint.label()));
        self.file.tensor(name, dtype, shape).map_err(size)?;
        self.tensors.push(Tensor { content, dtype });
        Ok(())
    }

    /// The metadata, for what else belongs there: a folder's tokenizer.
    pub fn file(&mut self) -> &mut GgufWriter {
        &mut self.file
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file.file_bytes()
    }

    /// Writes the file; `progress` hears how many bytes of tensors are done and of how many.
    ///
    /// # Errors
    /// Weights that are not finite or too large for their type, and those of `out`.
    pub fn write(
        &self,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<TensorClass>, ExportError> {
        let total: u64 = self.file.tensors().iter().map(|tensor| tensor.bytes).sum();
        let (mut done, mut index, mut failed) = (0, 0, None);
        let mut classes: BTreeMap<String, Class> = BTreeMap::new();
        let written = self.file.write(out, &mut |info: &TensorInfo, out| {
            let tensor = &self.tensors[index];
            index += 1;
            let result = match &tensor.content {
                Content::Computed(values) => {
                    done += info.bytes;
                    progress(done, total);
                    return values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()));
                }
                Content::Stored { names, paired, offset } => {
                    let class = classes.entry(class_of(&names[0])).or_default();
                    class.types.insert(tensor.dtype);
                    class.tensors += 1;
                    class.bytes += info.bytes;
                    let rounding = Rounding { dtype: tensor.dtype, paired: *paired, offset: *offset };
                    names.iter().try_for_each(|name| {
                        self.write_tensor(name, rounding, class, out, &mut |bytes| {
                            done += bytes;
                            progress(done, total);
                        })
                    })
                }
            };
            result.map_err(|error| match error {
                ExportError::Io(error) => error,
                ExportError::Model(error) => {
                    let message = error.to_string();
                    failed = Some(error);
                    io::Error::other(message)
                }
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        written?;
        Ok(classes.into_iter().map(|(name, class)| class.named(name)).collect())
    }

    fn write_tensor(
        &self,
        name: &str,
        rounding: Rounding,
        class: &mut Class,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ExportError> {
        let view = self.checkpoint.tensor(name).map_err(ModelError::from)?;
        class.bytes_before += view.data.len() as u64;
        // Where rows move, those of a vector are its elements.
        let is_paired_vector = rounding.paired.is_some() && view.shape.len() == 1;
        let cols = view.shape.last().copied().filter(|_| !is_paired_vector).unwrap_or(1);
        let rows = view.elements().checked_div(cols).unwrap_or(0) as usize;
        let stored_bytes = view.data.len() / rows.max(1);
        let row_bytes = rounding.dtype.row_bytes(cols).expect("planned with this type") as usize;
        let rows_a_batch = (BATCH_BYTES / (cols as usize * 4).max(1)).max(1);
        for first in (0..rows).step_by(rows_a_batch) {
            let batch = rows_a_batch.min(rows - first);
            let mut bytes = vec![0; batch * row_bytes];
            let sums = bytes.par_chunks_mut(row_bytes).enumerate().map(|(index, bytes)| {
                let row = stored_row(rounding.paired, first + index);
                let stored = &view.data[row * stored_bytes..][..stored_bytes];
                self.round_row(&view, stored, row as u64 * cols, rounding, bytes)
            });
            let zero = || Ok([0.0, 0.0]);
            let sums = sums.reduce(zero, |a, b| {
                let (a, b): ([f64; 2], [f64; 2]) = (a?, b?);
                Ok([a[0] + b[0], a[1] + b[1]])
            })?;
            class.error_squares += sums[0];
            class.squares += sums[1];
            out.write_all(&bytes)?;
            progress(bytes.len() as u64);
        }
        Ok(())
    }

    /// Rounds a row; returns the squares of the errors and of the values.
    fn round_row(
        &self,
        view: &TensorView<'_>,
        stored: &[u8],
        first_element: u64,
        Rounding { dtype, offset, .. }: Rounding,
        bytes: &mut [u8],
    ) -> Result<[f64; 2], ModelError> {
        let file = || self.checkpoint.label().to_owned();
        if let Some(index) = codec::first_non_finite(view.dtype, stored) {
            let (tensor, index) = (view.name.to_owned(), first_element + index as u64);
            return Err(ModelError::NonFinite { file: file(), tensor, index });
        }
        let mut values = vec![0.0f32; stored.len() / view.dtype.block_bytes() * view.dtype.block_len()];
        codec::decode(view.dtype, stored, &mut values);
        if offset != 0.0 {
            values.iter_mut().for_each(|value| *value += offset);
        } else if dtype == view.dtype {
            bytes.copy_from_slice(stored);
            return Ok([0.0, values.iter().map(|value| f64::from(*value).powi(2)).sum()]);
        }
        codec::encode(dtype, &values, bytes).expect("a quantisation names types that are written");
        if codec::first_non_finite(dtype, bytes).is_some() {
            return Err(ModelError::TooLarge { file: file(), tensor: view.name.to_owned(), dtype });
        }
        let mut back = vec![0.0f32; values.len()];
        codec::decode(dtype, bytes, &mut back);
        let square = |(value, back): (&f32, &f32)| {
            let value = f64::from(*value);
            [(value - f64::from(*back)).powi(2), value.powi(2)]
        };
        let pairs = values.iter().zip(&back).map(square);
        Ok(pairs.fold([0.0, 0.0], |sum, pair| [sum[0] + pair[0], sum[1] + pair[1]]))
    }
}

/// What happens to the rows of a tensor.
#[derive(Clone, Copy)]
struct Rounding {
    dtype: DType,
    paired: Option<u32>,
    offset: f32,
}

/// GGUF's name of a tensor of this canonical name.
fn gguf_name(label: &str, architecture: &str, name: &str) -> Result<String, ModelError> {
    gguf_tensor_name(architecture, name)
        .ok_or_else(|| ModelError::Shape(format!("{label}: tensor \"{name}\" has no name in GGUF")))
}

/// The rows of a head of a tensor whose rotary pairs GGUF stores side by side.
fn paired(architecture: &str, name: &str, head_dim: u32) -> Option<u32> {
    let rotated = ["self_attn.q_proj.", "self_attn.k_proj."].iter().any(|part| name.contains(part));
    (rotated && INTERLEAVED.contains(&architecture)).then_some(head_dim)
}

/// The row, in halves, that is written as row `row`, in pairs where heads of so many rows are paired.
fn stored_row(paired: Option<u32>, row: usize) -> usize {
    let Some(head_dim) = paired.map(|head_dim| head_dim as usize) else { return row };
    let (head, within) = (row / head_dim, row % head_dim);
    head * head_dim + within % 2 * (head_dim / 2) + within / 2
}

/// Sums over the tensors of a class.
#[derive(Default)]
struct Class {
    types: BTreeSet<DType>,
    tensors: u64,
    bytes_before: u64,
    bytes: u64,
    error_squares: f64,
    squares: f64,
}

impl Class {
    fn named(self, name: String) -> TensorClass {
        let Self { types, tensors, bytes_before, bytes, error_squares, squares } = self;
        let types = types.into_iter().map(DType::name).collect();
        let relative_error = if squares > 0.0 { (error_squares / squares).sqrt() } else { 0.0 };
        TensorClass { name, types, tensors, bytes_before, bytes, relative_error }
    }
}

/// A canonical name without its layer and its expert: `mlp.down_proj`, `lm_head`.
fn class_of(name: &str) -> String {
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    let in_layer = stem.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let part = in_layer.map_or(stem, |(_, part)| part);
    match part.strip_prefix("mlp.experts.").and_then(|rest| rest.split_once('.')) {
        Some((_, part)) => format!("mlp.experts.{part}"),
        None => part.to_owned(),
    }
}

fn facts_of(checkpoint: &Checkpoint) -> Result<ModelFacts, ModelError> {
    let mut keys = checkpoint.config()?;
    let layers = keys.take_size("num_hidden_layers")?;
    Ok(ModelFacts { layers, tied: !checkpoint.has_tensor("lm_head.weight") })
}
