//! A synthetic model as a GGUF file: the weights that a device is filled with, as the rows of a checkpoint. Made and written
//! in slices of rows, so that no model is too large.

use super::keys::Keys;
use super::{gguf_name, paired, stored_row};
use crate::checkpoint::gguf::{GgufWriter, TensorInfo};
use crate::error::ModelError;
use crate::model;
use crate::synth::SynthSpec;
use crate::weights::{SynthTypes, WeightPlan};
use rayon::prelude::*;
use resident_tensor::DType;
use std::io::{self, Write};

/// Bytes of rows that are made at a time.
const BATCH_BYTES: usize = 16 << 20;

/// The file of a synthetic model, about to be written.
pub struct SynthFile {
    weights: WeightPlan<'static>,
    file: GgufWriter,
    /// In the file's order.
    tensors: Vec<Tensor>,
}

struct Tensor {
    /// Canonical name.
    name: String,
    /// Rows of a head whose rotary pairs stand side by side.
    paired: Option<u32>,
}

impl SynthFile {
    /// Plans metadata and tensors. The tokenizer is the caller's.
    ///
    /// # Errors
    /// Rows that do not fill the blocks of the type, and q3_k: its scales have 6 bits in a file and random ones more.
    pub fn plan(spec: &SynthSpec) -> Result<Self, ModelError> {
        let label = spec.to_string();
        let decoder = spec.decoder();
        let config = &decoder.config;
        let architecture = match config.architecture.as_str() {
            "mistral" => "llama",
            other => other,
        };
        let mut file = GgufWriter::default();
        file.set("general.architecture", architecture);
        file.set("general.type", "model");
        // llama.cpp expects a family's tokens where its name stands in this one.
        file.set("general.name", "synthetic");
        file.set("general.description", label.as_str());
        Keys { file: &mut file, label: &label, architecture, decoder: &decoder, pooling: None }.set()?;
        file.set("general.quantization_version", 2u32);
        file.set("general.file_type", file_type(spec.types));

        let weights = model::synthetic_weights(spec)?;
        if spec.types == SynthTypes::One(DType::Q3K) {
            let problem =
                "the random scales of q3_k have 8 bits and a file has 6 for each; choose another type";
            return Err(ModelError::Shape(format!("{label}: {problem}")));
        }
        let mut tensors = Vec::new();
        for tensor in weights.random_tensors() {
            let name = gguf_name(&label, architecture, tensor.name)?;
            let size = |e| ModelError::Shape(format!("{label}: {name}: {e}"));
            file.tensor(&name, tensor.dtype, tensor.shape).map_err(size)?;
            let paired = paired(architecture, tensor.name, config.head_dim);
            tensors.push(Tensor { name: tensor.name.to_owned(), paired });
        }
        Ok(Self { weights, file, tensors })
    }

    /// The metadata, for what else belongs there: a tokenizer.
    pub fn file(&mut self) -> &mut GgufWriter {
        &mut self.file
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.weights.parameters
    }

    /// The matrices' types, the largest share first.
    pub fn weights_format(&self) -> String {
        self.weights.formats()
    }

    /// How many tensors there are.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file.file_bytes()
    }

    /// Writes the file; `progress` hears how many bytes of tensors are done and of how many.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(u64, u64)) -> io::Result<()> {
        let total: u64 = self.file.tensors().iter().map(|tensor| tensor.bytes).sum();
        let (mut done, mut tensors) = (0, self.tensors.iter());
        self.file.write(out, &mut |info: &TensorInfo, out| {
            let tensor = tensors.next().expect("the file has these tensors");
            let made = self.weights.random_rows(&tensor.name);
            // A vector's rows are its elements.
            let cols = if info.shape.len() == 1 { 1 } else { info.shape[info.shape.len() - 1] };
            let row_bytes = info.dtype.row_bytes(cols).expect("planned with this type") as usize;
            let rows = info.bytes as usize / row_bytes;
            let rows_a_batch = (BATCH_BYTES / row_bytes).max(1);
            for first in (0..rows).step_by(rows_a_batch) {
                let mut bytes = vec![0; rows_a_batch.min(rows - first) * row_bytes];
                bytes.par_chunks_mut(row_bytes).enumerate().for_each(|(index, row)| {
                    made.write(stored_row(tensor.paired, first + index), row);
                });
                out.write_all(&bytes)?;
                done += bytes.len() as u64;
                progress(done, total);
            }
            Ok(())
        })
    }
}

/// The number under which GGUF keeps the types as `general.file_type`.
fn file_type(types: SynthTypes) -> u32 {
    match types {
        SynthTypes::Mixture(mixture) => mixture.file_type(),
        SynthTypes::One(dtype) => match dtype {
            DType::F32 => 0,
            DType::F16 => 1,
            DType::Q4_0 => 2,
            DType::Q4_1 => 3,
            DType::Q8_0 => 7,
            DType::Q5_0 => 8,
            DType::Q5_1 => 9,
            DType::Q2K => 10,
            DType::Q3K => 11,
            DType::Q4K => 14,
            DType::Q5K => 16,
            DType::Q6K => 18,
            DType::IQ4NL => 25,
            DType::BF16 => 32,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::weights::{RowFiller, SinkError, WeightSink};
    use crate::{Executor, Model, Shape};
    use resident_kernels::rope_kv::KvType;
    use resident_kernels::weights::WeightLayout;
    use resident_kernels::{DeviceTraits, Dispatch, HostMemory, Slice};

    fn shape() -> Shape {
        Shape {
            context: 64,
            max_sequences: 1,
            prefill_rows: vec![64],
            score_rows: None,
            pooling: None,
            kv_type: KvType::F32,
            executors: vec![Executor::Barriers],
            max_buffer_bytes: 1 << 40,
            device: DeviceTraits::LEAST,
        }
    }

    struct Host(HostMemory);

    impl WeightSink for Host {
        fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
            self.0.write::<u8>(slice.at(0, bytes.len() as u64)).copy_from_slice(bytes);
            Ok(())
        }

        fn fill(&mut self, slice: Slice, layout: WeightLayout, fill: RowFiller<'_>) -> Result<(), SinkError> {
            let mut bytes = self.0.write::<u8>(slice);
            let (values, rest) = bytes.split_at_mut(layout.value_bytes() as usize);
            fill(0, values, rest)
        }

        fn write_table(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
            self.write(slice, bytes)
        }

        fn run(&mut self, call: &Dispatch) -> Result<(), SinkError> {
            (call.kernel.host)(call, &self.0);
            Ok(())
        }
    }

    fn loaded(model: &Model) -> Host {
        let mut host = Host(resident_plan::host_memory(&model.program));
        model.load(&mut host, &mut |_| {}).expect("weights");
        host
    }

    fn file_of(spec: &SynthSpec) -> Checkpoint {
        let mut bytes = Vec::new();
        let (file, mut last) = (SynthFile::plan(spec).expect("plan"), (0, 1));
        file.write(&mut bytes, &mut |done, total| last = (done, total)).expect("memory");
        assert_eq!((bytes.len() as u64, last.0), (file.file_bytes(), last.1), "{spec}");
        Checkpoint::from_bytes(&spec.to_string(), bytes.leak()).expect("a file")
    }

    /// The plans of both, call by call, and what their buffers hold.
    fn assert_same(spec: &SynthSpec, model: &Model) {
        let checkpoint = file_of(spec);
        let read = Model::build(&checkpoint, None, shape()).expect("model");
        assert_eq!((read.parameters, read.weights_format()), (model.parameters, model.weights_format()));
        for (plan, expected) in read.program.plans.iter().zip(&model.program.plans) {
            assert_eq!(plan.steps.len(), expected.steps.len(), "{spec}");
            for (step, expected) in plan.steps.iter().zip(&expected.steps) {
                let call = |dispatch: &Dispatch| (dispatch.kernel.name, dispatch.params.clone());
                assert_eq!(call(&step.dispatch), call(&expected.dispatch), "{spec}: {}", step.label);
            }
        }
        let [host, expected] = [&read, model].map(loaded);
        for (index, (buffer, other)) in read.program.buffers.iter().zip(&model.program.buffers).enumerate() {
            let slice = Slice {
                buffer: resident_kernels::BufferId(index as u32),
                offset_bytes: 0,
                bytes: buffer.bytes,
            };
            assert_eq!(buffer.bytes, other.bytes, "{spec}: {}", buffer.name);
            let same = host.0.read::<u8>(slice)[..] == expected.0.read::<u8>(slice)[..];
            assert!(same, "{spec}: {} differs", buffer.name);
        }
    }

    #[test]
    fn a_file_of_every_family_is_the_model_that_it_was_made_of() {
        for spec in SynthSpec::small("q8_0") {
            assert_same(&spec, &Model::synthetic(&spec, shape()).expect("model"));
        }
    }

    #[test]
    fn a_file_of_every_type_is_the_model_that_it_was_made_of() {
        let formats = DType::all().filter(|dtype| *dtype != DType::Q3K).map(DType::name).chain(["q4_k_m"]);
        for format in formats {
            let spec = SynthSpec::small(format).remove(0);
            assert_same(&spec, &Model::synthetic(&spec, shape()).expect("model"));
        }
    }

    #[test]
    fn parts_hold_the_same_weights_as_one_matrix() {
        let spec = SynthSpec::small("q8_0").remove(0);
        let whole = Model::synthetic(&spec, shape()).expect("model");
        let parts = Model::synthetic(&spec, Shape { max_buffer_bytes: 10_000, ..shape() }).expect("model");
        let values_of = |model: &Model, name: &str| -> Vec<u8> {
            let host = loaded(model);
            let of_matrix = |found: &str| found == name || found.starts_with(&format!("{name}."));
            let buffers = (0..).zip(&model.program.buffers).filter(|(_, buffer)| of_matrix(&buffer.name));
            let values = buffers.flat_map(|(index, buffer)| {
                // 32 quants to a scale of 2 bytes.
                let bytes = buffer.bytes / 34 * 32;
                let slice = Slice { buffer: resident_kernels::BufferId(index), offset_bytes: 0, bytes };
                host.0.read::<u8>(slice).to_vec()
            });
            values.collect()
        };
        assert!(parts.program.buffers.len() > whole.program.buffers.len());
        for name in ["embed_tokens", "layers.1.gate_up_proj"] {
            assert!(values_of(&whole, name) == values_of(&parts, name), "{name}");
        }
    }

    #[test]
    fn what_has_no_file_is_refused() {
        let refused = |name: &str| {
            let spec: SynthSpec = name.parse().expect("a name");
            SynthFile::plan(&spec).err().expect("refused").to_string()
        };
        assert!(refused("synth:qwen3-0.6b:q3_k").contains("q3_k have 8 bits"));
        let error = refused("synth:smollm2-135m:q4_k");
        assert!(error.contains("a row of 576 elements is no multiple of the 256"), "{error}");
    }
}
