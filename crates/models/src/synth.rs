//! Synthetic models: the real shapes of well-known ones with random weights, so that a device can be measured without a
//! file. Named `synth:SHAPE:FORMAT`, such as `synth:qwen3-0.6b:bf16`.

use crate::checkpoint::{DecoderConfig, Rope, RopeScaling};
use crate::decoder::Decoder;
use resident_kernels::weights::WeightFormat;
use std::fmt;
use std::str::FromStr;

/// The sizes of a known model.
#[derive(Debug)]
struct ShapeOf {
    name: &'static str,
    layers: u32,
    hidden: u32,
    mlp: u32,
    heads: u32,
    kv_heads: u32,
    vocab: u32,
    tied: bool,
    normalise_heads: bool,
}

/// Head size and context of all of them.
const HEAD_DIM: u32 = 128;
const CONTEXT: u32 = 40960;

/// Gemma's stands for its matrix shapes: norms, activation and window are those of the shared decoder.
#[rustfmt::skip]
static SHAPES: [ShapeOf; 5] = [
    ShapeOf { name: "qwen3-0.6b", layers: 28, hidden: 1024, mlp: 3072, heads: 16, kv_heads: 8, vocab: 151_936, tied: true, normalise_heads: true },
    ShapeOf { name: "qwen3-8b", layers: 36, hidden: 4096, mlp: 12288, heads: 32, kv_heads: 8, vocab: 151_936, tied: false, normalise_heads: true },
    ShapeOf { name: "gemma3-27b", layers: 62, hidden: 5376, mlp: 21504, heads: 32, kv_heads: 16, vocab: 262_208, tied: true, normalise_heads: true },
    ShapeOf { name: "llama3-8b", layers: 32, hidden: 4096, mlp: 14336, heads: 32, kv_heads: 8, vocab: 128_256, tied: false, normalise_heads: false },
    ShapeOf { name: "llama3-3b", layers: 28, hidden: 3072, mlp: 8192, heads: 24, kv_heads: 8, vocab: 128_256, tied: true, normalise_heads: false },
];

/// A shape and the format of its weights.
#[derive(Clone, Debug)]
pub struct SynthSpec {
    shape: &'static ShapeOf,
    pub(crate) format: WeightFormat,
}

/// A name that is no synthetic model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no synthetic model; expected synth:SHAPE:FORMAT with SHAPE one of {shapes} and FORMAT one of f32, f16, bf16, q8_0"
)]
pub struct SynthError {
    name: String,
    shapes: String,
}

impl FromStr for SynthSpec {
    type Err = SynthError;

    fn from_str(name: &str) -> Result<Self, SynthError> {
        let parts: Vec<&str> = name.split(':').collect();
        let found = match parts[..] {
            ["synth", shape, format] => SHAPES
                .iter()
                .find(|known| known.name == shape)
                .zip(WeightFormat::ALL.into_iter().find(|known| known.name() == format)),
            _ => None,
        };
        let shapes = || SHAPES.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        let (shape, format) = found.ok_or_else(|| SynthError { name: name.to_owned(), shapes: shapes() })?;
        Ok(Self { shape, format })
    }
}

impl fmt::Display for SynthSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "synth:{}:{}", self.shape.name, self.format.name())
    }
}

impl SynthSpec {
    /// The longest context.
    pub fn max_context(&self) -> u32 {
        CONTEXT
    }

    pub(crate) fn decoder(&self) -> Decoder {
        let ShapeOf { layers, hidden, mlp, heads, kv_heads, vocab, tied, normalise_heads, .. } = *self.shape;
        let config = DecoderConfig {
            architecture: if normalise_heads { "qwen3" } else { "llama" }.to_owned(),
            vocab_size: vocab,
            hidden_size: hidden,
            intermediate_size: mlp,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim: HEAD_DIM,
            max_position_embeddings: CONTEXT,
            rms_norm_eps: 1e-6,
            rope: Rope { theta: 1e6, scaling: RopeScaling::None },
            tie_word_embeddings: tied,
        };
        Decoder { config, normalise_heads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for name in ["synth:qwen3-0.6b:bf16", "synth:gemma3-27b:q8_0"] {
            assert_eq!(name.parse::<SynthSpec>().unwrap().to_string(), name);
        }
        for name in
            ["synth:qwen3-0.6b", "synth:qwen3-0.6b:q4_0", "qwen3-0.6b:bf16", "synth:gpt:f16", "synth:::"]
        {
            assert!(name.parse::<SynthSpec>().unwrap_err().to_string().contains("qwen3-8b"), "{name}");
        }
    }
}
