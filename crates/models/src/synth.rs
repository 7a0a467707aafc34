//! Synthetic models: the real shapes of well-known ones with random weights, so that a device can be measured without a
//! file. Named `synth:SHAPE:FORMAT`, such as `synth:qwen3-0.6b:bf16`.

use crate::checkpoint::{DecoderConfig, Rope, RopeScaling};
use crate::decoder::{Biases, Decoder};
use crate::experts::ExpertShape;
use crate::quantisation::Quantisation;
use crate::weights::SynthTypes;
use resident_kernels::linear::Epilogue;
use resident_tensor::DType;
use std::fmt;
use std::str::FromStr;

/// What of an architecture is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Llama,
    Mistral,
    Phi3,
    Qwen2,
    Qwen3,
    Qwen3Moe,
    Gemma2,
    Gemma3,
}

/// The sizes of a known model.
#[derive(Debug)]
struct ShapeOf {
    name: &'static str,
    family: Family,
    layers: u32,
    hidden: u32,
    mlp: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocab: u32,
    tied: bool,
}

/// Layers of Gemma 3 27B, whose scores have a scale of their own.
const LAYERS_OF_GEMMA3_27B: u32 = 62;

/// Context of all of them, so that all can be measured at the same depths.
const CONTEXT: u32 = 40960;

#[rustfmt::skip]
static SHAPES: [ShapeOf; 13] = [
    ShapeOf { name: "qwen3-0.6b", family: Family::Qwen3, layers: 28, hidden: 1024, mlp: 3072, heads: 16, kv_heads: 8, head_dim: 128, vocab: 151_936, tied: true },
    ShapeOf { name: "qwen3-8b", family: Family::Qwen3, layers: 36, hidden: 4096, mlp: 12288, heads: 32, kv_heads: 8, head_dim: 128, vocab: 151_936, tied: false },
    ShapeOf { name: "qwen3-30b-a3b", family: Family::Qwen3Moe, layers: 48, hidden: 2048, mlp: 6144, heads: 32, kv_heads: 4, head_dim: 128, vocab: 151_936, tied: false },
    ShapeOf { name: "qwen2.5-7b", family: Family::Qwen2, layers: 28, hidden: 3584, mlp: 18944, heads: 28, kv_heads: 4, head_dim: 128, vocab: 152_064, tied: false },
    ShapeOf { name: "gemma3-27b", family: Family::Gemma3, layers: 62, hidden: 5376, mlp: 21504, heads: 32, kv_heads: 16, head_dim: 128, vocab: 262_208, tied: true },
    ShapeOf { name: "gemma3-4b", family: Family::Gemma3, layers: 34, hidden: 2560, mlp: 10240, heads: 8, kv_heads: 4, head_dim: 256, vocab: 262_208, tied: true },
    ShapeOf { name: "gemma2-9b", family: Family::Gemma2, layers: 42, hidden: 3584, mlp: 14336, heads: 16, kv_heads: 8, head_dim: 256, vocab: 256_000, tied: true },
    ShapeOf { name: "mistral-7b", family: Family::Mistral, layers: 32, hidden: 4096, mlp: 14336, heads: 32, kv_heads: 8, head_dim: 128, vocab: 32_000, tied: false },
    ShapeOf { name: "phi3-mini", family: Family::Phi3, layers: 32, hidden: 3072, mlp: 8192, heads: 32, kv_heads: 32, head_dim: 96, vocab: 32_064, tied: false },
    ShapeOf { name: "llama3-8b", family: Family::Llama, layers: 32, hidden: 4096, mlp: 14336, heads: 32, kv_heads: 8, head_dim: 128, vocab: 128_256, tied: false },
    ShapeOf { name: "llama3-3b", family: Family::Llama, layers: 28, hidden: 3072, mlp: 8192, heads: 24, kv_heads: 8, head_dim: 128, vocab: 128_256, tied: true },
    ShapeOf { name: "smollm2-135m", family: Family::Llama, layers: 30, hidden: 576, mlp: 1536, heads: 9, kv_heads: 3, head_dim: 64, vocab: 49_152, tied: true },
    ShapeOf { name: "stories15m", family: Family::Llama, layers: 6, hidden: 288, mlp: 768, heads: 6, kv_heads: 6, head_dim: 48, vocab: 32_000, tied: true },
];

impl ShapeOf {
    fn config(&self) -> DecoderConfig {
        DecoderConfig {
            architecture: match self.family {
                Family::Llama => "llama",
                Family::Mistral => "mistral",
                Family::Phi3 => "phi3",
                Family::Qwen2 => "qwen2",
                Family::Qwen3 => "qwen3",
                Family::Qwen3Moe => "qwen3moe",
                Family::Gemma2 => "gemma2",
                Family::Gemma3 => "gemma3",
            }
            .to_owned(),
            vocab_size: self.vocab,
            hidden_size: self.hidden,
            intermediate_size: self.mlp,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            head_dim: self.head_dim,
            rotary_dim: self.head_dim,
            max_position_embeddings: CONTEXT,
            rms_norm_eps: 1e-6,
            rope: Rope { theta: 1e6, scaling: RopeScaling::None },
            tie_word_embeddings: self.tied,
        }
    }

    /// Windows, norms, caps, biases and experts as the family's published models have them.
    fn decoder(&self) -> Decoder {
        let plain = Decoder::plain(self.config());
        let windows = |window: u32, slides: fn(u32) -> bool| {
            (0..self.layers).map(|layer| if slides(layer) { window } else { 0 }).collect()
        };
        let gemma = |plain: Decoder| Decoder {
            normalise_results: true,
            gate: Epilogue::GeluGated,
            embed_scale: (self.hidden as f32).sqrt(),
            ..plain
        };
        match self.family {
            Family::Llama => plain,
            Family::Mistral => plain.with_windows(windows(4096, |_| true)),
            Family::Phi3 => Decoder { fused: true, ..plain }.with_windows(windows(2047, |_| true)),
            Family::Qwen2 => Decoder { biases: Biases { qkv: true, ..Biases::default() }, ..plain },
            Family::Qwen3 => Decoder { normalise_heads: true, ..plain },
            Family::Qwen3Moe => {
                let experts =
                    ExpertShape { count: 128, slots: 8, intermediate_size: self.mlp / 8, normalise: true };
                let mut decoder = Decoder { normalise_heads: true, experts: Some(experts), ..plain };
                decoder.layers.iter_mut().for_each(|layer| layer.has_experts = true);
                decoder
            }
            Family::Gemma2 => {
                let capped = Decoder { attention_cap: Some(50.0), logit_cap: Some(30.0), ..gemma(plain) };
                capped.with_windows(windows(4096, |layer| layer % 2 == 0))
            }
            Family::Gemma3 => {
                let local = Rope { theta: 1e4, scaling: RopeScaling::None };
                let decoder = Decoder { normalise_heads: true, other_ropes: vec![local], ..gemma(plain) };
                let mut decoder = decoder.with_windows(windows(1024, |layer| (layer + 1) % 6 != 0));
                decoder.layers.iter_mut().for_each(|layer| layer.rope = usize::from(layer.window != 0));
                if self.layers == LAYERS_OF_GEMMA3_27B {
                    decoder.attention_scale = (self.heads as f32 / self.hidden as f32).sqrt();
                }
                decoder
            }
        }
    }
}

/// A shape and the format of its weights.
#[derive(Clone, Debug)]
pub struct SynthSpec {
    shape: &'static ShapeOf,
    pub(crate) types: SynthTypes,
}

/// A name that is no synthetic model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no synthetic model; expected synth:SHAPE:FORMAT with SHAPE one of {shapes} and FORMAT one of {formats}"
)]
pub struct SynthError {
    name: String,
    shapes: String,
    formats: String,
}

/// The mixtures whose names are no type's.
fn mixtures() -> impl Iterator<Item = Quantisation> {
    Quantisation::ALL.into_iter().filter(|mixture| DType::all().all(|dtype| dtype.name() != mixture.name()))
}

fn type_names() -> impl Iterator<Item = &'static str> {
    DType::all().map(DType::name).chain(mixtures().map(Quantisation::name))
}

fn types_named(name: &str) -> Option<SynthTypes> {
    let one = DType::all().find(|dtype| dtype.name() == name).map(SynthTypes::One);
    one.or_else(|| mixtures().find(|mixture| mixture.name() == name).map(SynthTypes::Mixture))
}

impl FromStr for SynthSpec {
    type Err = SynthError;

    fn from_str(name: &str) -> Result<Self, SynthError> {
        let parts: Vec<&str> = name.split(':').collect();
        let found = match parts[..] {
            ["synth", shape, format] => {
                SHAPES.iter().find(|known| known.name == shape).zip(types_named(format))
            }
            _ => None,
        };
        let shapes = || SHAPES.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        let formats = || type_names().collect::<Vec<_>>().join(", ");
        let refused = || SynthError { name: name.to_owned(), shapes: shapes(), formats: formats() };
        let (shape, types) = found.ok_or_else(refused)?;
        Ok(Self { shape, types })
    }
}

impl fmt::Display for SynthSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.types {
            SynthTypes::One(dtype) => dtype.name(),
            SynthTypes::Mixture(mixture) => mixture.name(),
        };
        write!(f, "synth:{}:{format}", self.shape.name)
    }
}

impl SynthSpec {
    /// The longest context.
    pub fn max_context(&self) -> u32 {
        CONTEXT
    }

    /// Rows of the embedding.
    pub fn vocab_size(&self) -> u32 {
        self.shape.vocab
    }

    /// The same shape with these types.
    pub fn with_types(&self, types: Quantisation) -> Self {
        Self { shape: self.shape, types: types_named(types.name()).expect("every quantisation is a format") }
    }

    pub(crate) fn decoder(&self) -> Decoder {
        self.shape.decoder()
    }

    /// A small model of the family of each known shape.
    #[cfg(test)]
    pub(crate) fn small(format: &str) -> Vec<Self> {
        let types = types_named(format).expect("a format");
        let small = |known: &ShapeOf| {
            // Gemma 3's pattern repeats after 6 layers, and the number of layers says which of them it is.
            let layers = if known.layers == LAYERS_OF_GEMMA3_27B { known.layers } else { 7 };
            let (heads, kv_heads, head_dim) = (4, 2, 64);
            let small =
                ShapeOf { layers, hidden: 256, mlp: 512, heads, kv_heads, head_dim, vocab: 272, ..*known };
            Self { shape: Box::leak(Box::new(small)), types }
        };
        SHAPES.iter().map(small).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for name in
            ["synth:qwen3-0.6b:bf16", "synth:gemma3-27b:q8_0", "synth:qwen3-8b:q4_k", "synth:qwen3-8b:q4_k_m"]
        {
            assert_eq!(name.parse::<SynthSpec>().unwrap().to_string(), name);
        }
        for name in
            ["synth:qwen3-0.6b", "synth:qwen3-0.6b:q4_9", "qwen3-0.6b:bf16", "synth:gpt:f16", "synth:::"]
        {
            assert!(name.parse::<SynthSpec>().unwrap_err().to_string().contains("qwen3-8b"), "{name}");
        }
    }

    #[test]
    fn a_decode_step_of_a_model_with_experts_reads_only_the_chosen_ones() {
        let spec: SynthSpec = "synth:qwen3-30b-a3b:q8_0".parse().unwrap();
        let shape = crate::Shape {
            context: 512,
            max_sequences: 1,
            prefill_rows: vec![64],
            score_rows: None,
            pooling: None,
            kv_type: resident_kernels::rope_kv::KvType::F32,
            executors: vec![crate::Executor::Barriers],
            max_buffer_bytes: u64::MAX,
            device: resident_kernels::DeviceTraits::LEAST,
        };
        let model = crate::Model::synthetic(&spec, shape).unwrap();
        assert!((30.5e9..30.6e9).contains(&(model.parameters as f64)), "{}", model.parameters);
        // 3.3 billion parameters less the embedding, at 34 bytes for 32.
        let read = model.program.plan_of(model.handles.decode[0].1).cost().weight_bytes as f64;
        let active = 48.0 * (8.0 * 3.0 * 768.0 * 2048.0 + 2048.0 * (128.0 + 2.0 * 4096.0 + 2.0 * 512.0))
            + 2048.0 * 151_936.0;
        assert!((read / (active * 34.0 / 32.0) - 1.0).abs() < 1e-3, "{read} bytes");
    }
}
