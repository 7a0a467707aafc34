//! What a Hugging Face folder is called in GGUF: keys, names of tensors, the order of rotated rows, and which tensors are
//! stored otherwise: Gemma's norms with their 1 added, the experts of a layer as one tensor.

use super::{Content, Export, Tensor};
use crate::checkpoint::{ROPE_FREQ_FACTORS, Rope, RopeScaling, gguf_tensor_name};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::model;
use crate::quantisation::{ModelFacts, Quantisation};
use crate::rope::inverse_frequencies;
use resident_tensor::DType;
use std::collections::BTreeMap;

/// GGUF's names of the architectures whose folders can be written, by Hugging Face's.
static ARCHITECTURES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("mistral", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("qwen3_moe", "qwen3moe"),
    ("gemma2", "gemma2"),
    ("gemma3_text", "gemma3"),
];

/// The base of Gemma 3's layers with a window, where a GGUF file does not say it.
const LOCAL_THETA: f64 = 1e4;

/// Plans metadata and tensors. The tokenizer is the caller's.
pub(super) fn plan(export: &mut Export<'_>, to: Quantisation) -> Result<(), ModelError> {
    let checkpoint = export.checkpoint;
    let found = ARCHITECTURES.iter().find(|(name, _)| *name == checkpoint.architecture());
    let Some((_, architecture)) = found else {
        let have = ARCHITECTURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(ModelError::Shape(format!(
            "{}: a folder of architecture \"{}\" is not translated to GGUF (have {have}); give a GGUF file",
            checkpoint.label(),
            checkpoint.architecture()
        )));
    };
    let decoder = model::read(checkpoint)?;
    let file = &mut export.file;
    file.set("general.architecture", *architecture);
    file.set("general.type", "model");
    if let Some(name) = checkpoint.folder().and_then(|folder| folder.file_name()) {
        file.set("general.name", &*name.to_string_lossy());
    }
    Keys { export, architecture, decoder: &decoder }.set()?;
    add_tensors(export, architecture, &decoder, to)
}

/// Sets the keys of the architecture's namespace.
struct Keys<'a, 'b> {
    export: &'a mut Export<'b>,
    architecture: &'a str,
    decoder: &'a Decoder,
}

impl Keys<'_, '_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn refused(&self, what: &str) -> ModelError {
        let (label, architecture) = (self.export.checkpoint.label(), self.architecture);
        ModelError::Shape(format!(
            "{label}: GGUF's architecture {architecture} has no {what}; give a GGUF file"
        ))
    }

    fn count(&mut self, name: &str, value: u32) {
        let key = self.key(name);
        self.export.file.set(&key, value);
    }

    fn number(&mut self, name: &str, value: f32) {
        let key = self.key(name);
        self.export.file.set(&key, value);
    }

    fn set(mut self) -> Result<(), ModelError> {
        let config = &self.decoder.config;
        for (name, value) in [
            ("block_count", config.num_hidden_layers),
            ("context_length", config.max_position_embeddings),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.intermediate_size),
            ("attention.head_count", config.num_attention_heads),
            ("attention.head_count_kv", config.num_key_value_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
            ("rope.dimension_count", config.head_dim),
            ("vocab_size", config.vocab_size),
        ] {
            self.count(name, value);
        }
        self.number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
        self.set_rope()?;
        self.set_windows()?;
        self.set_experts()?;
        self.set_scores()
    }

    fn set_rope(&mut self) -> Result<(), ModelError> {
        let rope = &self.decoder.config.rope;
        self.number("rope.freq_base", rope.theta as f32);
        match rope.scaling {
            RopeScaling::None | RopeScaling::Llama3 { .. } => {}
            RopeScaling::Linear { factor } => {
                let key = self.key("rope.scaling.type");
                self.export.file.set(&key, "linear");
                self.number("rope.scaling.factor", factor as f32);
            }
            _ => return Err(self.refused("RoPE scaling but linear and llama3 that is translated here")),
        }
        for local in &self.decoder.other_ropes {
            if local.scaling != RopeScaling::None {
                return Err(self.refused("RoPE scaling of the layers with a window"));
            }
            if local.theta != LOCAL_THETA {
                self.number("rope.freq_base_swa", local.theta as f32);
            }
        }
        Ok(())
    }

    /// A window on every layer, or on all but every so manyth.
    fn set_windows(&mut self) -> Result<(), ModelError> {
        let windows: Vec<u32> = self.decoder.layers.iter().map(|layer| layer.window).collect();
        let Some(window) = windows.iter().copied().find(|window| *window != 0) else { return Ok(()) };
        let period = windows.iter().position(|window| *window == 0).map(|layer| layer + 1);
        let follows = |(layer, found): (usize, &u32)| {
            let expected = if period.is_some_and(|period| (layer + 1) % period == 0) { 0 } else { window };
            *found == expected
        };
        let is_known = match self.architecture {
            "llama" => period.is_none(),
            "gemma2" => period == Some(2),
            "gemma3" => period.is_some(),
            _ => false,
        };
        if !is_known || !windows.iter().enumerate().all(follows) {
            return Err(self.refused("windows on these layers"));
        }
        self.count("attention.sliding_window", window);
        if let Some(period) = period.filter(|_| self.architecture == "gemma3") {
            self.count("attention.sliding_window_pattern", period as u32);
        }
        Ok(())
    }

    fn set_experts(&mut self) -> Result<(), ModelError> {
        let Some(experts) = &self.decoder.experts else { return Ok(()) };
        if !experts.normalise || self.decoder.layers.iter().any(|layer| !layer.has_experts) {
            return Err(
                self.refused("shares of experts that do not add up to 1, and no layers without experts")
            );
        }
        self.count("expert_count", experts.count);
        self.count("expert_used_count", experts.slots);
        self.count("expert_feed_forward_length", experts.intermediate_size);
        Ok(())
    }

    fn set_scores(&mut self) -> Result<(), ModelError> {
        let config = &self.decoder.config;
        // GGUF has no key for the scale; its readers take this one, but for the largest of Gemma.
        let largest =
            [("gemma2", 46), ("gemma3", 62)].contains(&(self.architecture, config.num_hidden_layers));
        let scalar = match largest {
            true => config.hidden_size as f32 / config.num_attention_heads as f32,
            false => config.head_dim as f32,
        };
        if (self.decoder.attention_scale * scalar.sqrt() - 1.0).abs() > 1e-5 {
            return Err(self.refused("other scale of the scores"));
        }
        if let Some(cap) = self.decoder.attention_cap {
            self.number("attn_logit_softcapping", cap);
        }
        if let Some(cap) = self.decoder.logit_cap {
            self.number("final_logit_softcapping", cap);
        }
        Ok(())
    }
}

/// The layer's prefix and the part of an expert's tensor: `model.layers.3.mlp.experts.17.up_proj.weight` belongs to
/// `model.layers.3.mlp.experts.up_proj.weight`, as number 17.
fn expert_of(name: &str) -> Option<(String, u32)> {
    let (layer, rest) = name.split_once(".mlp.experts.")?;
    let (expert, part) = rest.split_once('.')?;
    Some((format!("{layer}.mlp.experts.{part}"), expert.parse().ok()?))
}

fn add_tensors(
    export: &mut Export<'_>,
    architecture: &str,
    decoder: &Decoder,
    to: Quantisation,
) -> Result<(), ModelError> {
    let (checkpoint, config) = (export.checkpoint, &decoder.config);
    let facts = ModelFacts { layers: config.num_hidden_layers, tied: config.tie_word_embeddings };
    let mut experts: BTreeMap<String, BTreeMap<u32, (String, Vec<u64>)>> = BTreeMap::new();
    let gguf_name = |name: &str| {
        let label = checkpoint.label();
        gguf_tensor_name(architecture, name)
            .ok_or_else(|| ModelError::Shape(format!("{label}: tensor \"{name}\" has no name in GGUF")))
    };
    for view in checkpoint.tensors() {
        if view.name == "lm_head.weight" && config.tie_word_embeddings {
            continue;
        }
        if let Some((stack, expert)) = expert_of(view.name) {
            let stored = (view.name.to_owned(), view.shape.to_vec());
            experts.entry(stack).or_default().insert(expert, stored);
            continue;
        }
        let rotated = ["self_attn.q_proj.", "self_attn.k_proj."].iter().any(|part| view.name.contains(part));
        let content = Content::Stored {
            names: vec![view.name.to_owned()],
            paired: (rotated && architecture == "llama").then_some(config.head_dim),
            offset: if view.shape.len() == 1 { decoder.norm_offset } else { 0.0 },
        };
        export.add(&gguf_name(view.name)?, view.shape, content, to.dtype(view.name, view.shape, facts))?;
    }
    for (stack, parts) in experts {
        let count = decoder.experts.as_ref().map_or(0, |experts| experts.count);
        let shapes: Vec<&Vec<u64>> = parts.values().map(|(_, shape)| shape).collect();
        if !parts.keys().copied().eq(0..count) || shapes.windows(2).any(|pair| pair[0] != pair[1]) {
            let problem = format!("{}: {stack}: expected {count} experts of one shape", checkpoint.label());
            return Err(ModelError::Shape(problem));
        }
        let shape = [&[u64::from(count)][..], shapes[0]].concat();
        let dtype = to.dtype(&stack, &shape, facts);
        let names = parts.into_values().map(|(name, _)| name).collect();
        let content = Content::Stored { names, paired: None, offset: 0.0 };
        export.add(&gguf_name(&stack)?, &shape, content, dtype)?;
    }
    if let RopeScaling::Llama3 { .. } = config.rope.scaling {
        // GGUF keeps this scaling as divisors of the frequencies.
        let plain = Rope { scaling: RopeScaling::None, ..config.rope.clone() };
        let [plain, scaled] =
            [&plain, &config.rope].map(|rope| inverse_frequencies(rope, config.head_dim, None));
        let factors: Vec<f32> = plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect();
        let size = |e| ModelError::Shape(format!("{ROPE_FREQ_FACTORS}: {e}"));
        export.file.tensor(ROPE_FREQ_FACTORS, DType::F32, &[factors.len() as u64]).map_err(size)?;
        export.tensors.push(Tensor { content: Content::Computed(factors), dtype: DType::F32 });
    }
    Ok(())
}
