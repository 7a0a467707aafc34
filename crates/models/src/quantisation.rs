//! Which type each tensor of a model gets when the whole model is quantised: the mixtures that llama.cpp makes under the
//! same names, so that files of one name are alike wherever they were made.

use resident_tensor::DType;
use std::fmt;
use std::str::FromStr;

/// A named choice of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// bf16 throughout.
    Bf16,
    /// f16 throughout.
    F16,
    /// q8_0 throughout.
    Q8_0,
    /// q4_0, the head q6_k.
    Q4_0,
    /// q4_k; q6_k for the head and, in half of the layers, for v_proj and down_proj.
    Q4KM,
}

/// What a tensor's type depends on besides the tensor.
#[derive(Clone, Copy, Debug)]
pub struct ModelFacts {
    /// Layers of the model.
    pub layers: u32,
    /// Whether the embedding is the head, too.
    pub tied: bool,
}

/// A name that is no choice of types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no quantisation, expected one of bf16, f16, q8_0, q4_0, q4_k_m")]
pub struct UnknownQuantisation(String);

impl Quantisation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bf16, Self::F16, Self::Q8_0, Self::Q4_0, Self::Q4KM];

    /// Its name: `q4_k_m`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4KM => "q4_k_m",
        }
    }

    /// The number under which GGUF keeps it as `general.file_type`.
    pub fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
            Self::Bf16 => 32,
        }
    }

    /// The type of the tensor of this canonical name and shape: its own where the format has room for its rows, else the
    /// next one with blocks that fit.
    pub fn dtype(self, tensor: &str, shape: &[u64], model: ModelFacts) -> DType {
        let cols = shape.last().copied().unwrap_or(1);
        let wanted = self.wanted(tensor, shape, model);
        let fits = |dtype: DType| cols.is_multiple_of(dtype.block_len() as u64);
        let instead = match wanted {
            DType::Q4K => DType::Q5_0,
            DType::Q6K => DType::Q8_0,
            _ => DType::F16,
        };
        [wanted, instead].into_iter().find(|dtype| fits(*dtype)).unwrap_or(DType::F16)
    }

    fn wanted(self, tensor: &str, shape: &[u64], model: ModelFacts) -> DType {
        let (layer, part) = split_name(tensor);
        // Norms, biases and RoPE's factors, and the few values that choose the experts.
        if shape.len() < 2 || part == "mlp.gate" {
            return DType::F32;
        }
        let is_head = match tensor {
            "lm_head.weight" => true,
            "model.embed_tokens.weight" => model.tied,
            _ => false,
        };
        let more_bits = |layer: u32| {
            let (eighth, layers) = (model.layers / 8, model.layers);
            layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
        };
        match self {
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
            Self::Q8_0 => DType::Q8_0,
            Self::Q4_0 | Self::Q4KM if is_head => DType::Q6K,
            Self::Q4_0 => DType::Q4_0,
            Self::Q4KM => match (part, layer) {
                (part, Some(layer))
                    if (part == "self_attn.v_proj" || part.ends_with("down_proj")) && more_bits(layer) =>
                {
                    DType::Q6K
                }
                _ => DType::Q4K,
            },
        }
    }
}

/// The layer and the part of a canonical name: `model.layers.3.mlp.down_proj.weight` is 3 and `mlp.down_proj`.
fn split_name(tensor: &str) -> (Option<u32>, &str) {
    let stem = tensor.rsplit_once('.').map_or(tensor, |(stem, _)| stem);
    let in_layer = stem.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    match in_layer.and_then(|(layer, part)| Some((layer.parse().ok()?, part))) {
        Some((layer, part)) => (Some(layer), part),
        None => (None, stem),
    }
}

impl FromStr for Quantisation {
    type Err = UnknownQuantisation;

    fn from_str(name: &str) -> Result<Self, UnknownQuantisation> {
        let lower = name.to_lowercase();
        let found = Self::ALL.into_iter().find(|known| known.name() == lower);
        found.ok_or_else(|| UnknownQuantisation(name.to_owned()))
    }
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(quantisation: Quantisation, part: &str, layers: u32) -> Vec<DType> {
        let facts = ModelFacts { layers, tied: false };
        let name = |layer| format!("model.layers.{layer}.{part}.weight");
        (0..layers).map(|layer| quantisation.dtype(&name(layer), &[64, 512], facts)).collect()
    }

    #[test]
    fn half_of_the_layers_get_more_bits() {
        let facts = ModelFacts { layers: 36, tied: false };
        let name = |layer| format!("model.layers.{layer}.mlp.down_proj.weight");
        let more = |layer: &u32| Quantisation::Q4KM.dtype(&name(*layer), &[64, 512], facts) == DType::Q6K;
        let found: Vec<u32> = (0..36).filter(more).collect();
        assert_eq!(found, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35]);
        assert_eq!(types(Quantisation::Q4KM, "self_attn.q_proj", 4), [DType::Q4K; 4]);
        assert_eq!(types(Quantisation::Q4_0, "self_attn.v_proj", 4), [DType::Q4_0; 4]);
    }

    #[test]
    fn heads_norms_and_routers_are_spared() {
        let tied = ModelFacts { layers: 4, tied: true };
        let untied = ModelFacts { tied: false, ..tied };
        let of = |name: &str, shape: &[u64], facts| Quantisation::Q4_0.dtype(name, shape, facts);
        assert_eq!(of("lm_head.weight", &[8, 512], untied), DType::Q6K);
        assert_eq!(of("model.embed_tokens.weight", &[8, 512], untied), DType::Q4_0);
        assert_eq!(of("model.embed_tokens.weight", &[8, 512], tied), DType::Q6K);
        assert_eq!(of("model.norm.weight", &[512], tied), DType::F32);
        assert_eq!(of("model.layers.1.mlp.gate.weight", &[8, 512], tied), DType::F32);
    }

    #[test]
    fn rows_that_do_not_fill_blocks_get_other_types() {
        let facts = ModelFacts { layers: 8, tied: false };
        let of = |name: &str, cols| Quantisation::Q4KM.dtype(name, &[8, cols], facts);
        assert_eq!(of("model.layers.0.self_attn.q_proj.weight", 64), DType::Q5_0);
        assert_eq!(of("model.layers.0.mlp.down_proj.weight", 96), DType::Q8_0);
        assert_eq!(of("model.layers.0.mlp.down_proj.weight", 172), DType::F16);
    }

    #[test]
    fn names_come_back() {
        for quantisation in Quantisation::ALL {
            assert_eq!(quantisation.name().parse(), Ok(quantisation));
        }
        assert!("q4_k".parse::<Quantisation>().unwrap_err().to_string().contains("q4_k_m"));
    }
}
