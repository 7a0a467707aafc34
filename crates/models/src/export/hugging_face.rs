//! What a Hugging Face folder is called in GGUF: keys, names of tensors, and the order of rotated rows.

use super::{Content, Export, Tensor};
use crate::checkpoint::{ROPE_FREQ_FACTORS, Rope, RopeScaling, gguf_tensor_name};
use crate::error::ModelError;
use crate::model;
use crate::quantisation::{ModelFacts, Quantisation};
use crate::rope::inverse_frequencies;
use resident_tensor::DType;

/// GGUF's names of the architectures whose folders can be written, by Hugging Face's.
static ARCHITECTURES: &[(&str, &str)] =
    &[("llama", "llama"), ("mistral", "llama"), ("qwen2", "qwen2"), ("qwen3", "qwen3")];

/// Plans metadata and tensors. The tokenizer is the caller's.
pub(super) fn plan(export: &mut Export<'_>, to: Quantisation) -> Result<(), ModelError> {
    let checkpoint = export.checkpoint;
    let found = ARCHITECTURES.iter().find(|(name, _)| *name == checkpoint.architecture());
    let Some((_, architecture)) = found else {
        return Err(ModelError::Shape(format!(
            "{}: a folder of architecture \"{}\" is not translated to GGUF (have llama, mistral, qwen2, qwen3); give a GGUF file",
            checkpoint.label(),
            checkpoint.architecture()
        )));
    };
    let decoder = model::read(checkpoint)?;
    let refused = |what: &str| {
        let label = checkpoint.label();
        ModelError::Shape(format!(
            "{label}: GGUF's architecture {architecture} has no {what}; give a GGUF file"
        ))
    };
    let window = decoder.layers.first().map_or(0, |layer| layer.window);
    if decoder.layers.iter().any(|layer| layer.window != window) || (window != 0 && *architecture != "llama")
    {
        return Err(refused("sliding windows on some layers"));
    }
    let config = decoder.config;
    let file = &mut export.file;
    file.set("general.architecture", *architecture);
    file.set("general.type", "model");
    if let Some(name) = checkpoint.folder().and_then(|folder| folder.file_name()) {
        file.set("general.name", &*name.to_string_lossy());
    }
    let key = |name: &str| format!("{architecture}.{name}");
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
        file.set(&key(name), value);
    }
    file.set(&key("attention.layer_norm_rms_epsilon"), config.rms_norm_eps);
    file.set(&key("rope.freq_base"), config.rope.theta as f32);
    if window != 0 {
        file.set(&key("attention.sliding_window"), window);
    }
    match config.rope.scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } => {}
        RopeScaling::Linear { factor } => {
            file.set(&key("rope.scaling.type"), "linear");
            file.set(&key("rope.scaling.factor"), factor as f32);
        }
        _ => return Err(refused("RoPE scaling but linear and llama3 that is translated here")),
    }

    let facts = ModelFacts { layers: config.num_hidden_layers, tied: config.tie_word_embeddings };
    for view in checkpoint.tensors() {
        if view.name == "lm_head.weight" && config.tie_word_embeddings {
            continue;
        }
        let name = gguf_tensor_name(architecture, view.name).ok_or_else(|| {
            let label = checkpoint.label();
            ModelError::Shape(format!("{label}: tensor \"{}\" has no name in GGUF", view.name))
        })?;
        let rotated = ["self_attn.q_proj.", "self_attn.k_proj."].iter().any(|part| view.name.contains(part));
        let content = match rotated && *architecture == "llama" {
            true => Content::Paired(view.name.to_owned(), config.head_dim),
            false => Content::Stored(view.name.to_owned()),
        };
        export.add(&name, &view, content, to.dtype(view.name, view.shape, facts))?;
    }
    if let RopeScaling::Llama3 { .. } = config.rope.scaling {
        // GGUF keeps this scaling as divisors of the frequencies.
        let plain = Rope { scaling: RopeScaling::None, ..config.rope.clone() };
        let [plain, scaled] =
            [plain, config.rope.clone()].map(|rope| inverse_frequencies(&rope, config.head_dim, None));
        let factors: Vec<f32> = plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect();
        let size = |e| ModelError::Shape(format!("{ROPE_FREQ_FACTORS}: {e}"));
        export.file.tensor(ROPE_FREQ_FACTORS, DType::F32, &[factors.len() as u64]).map_err(size)?;
        export.tensors.push(Tensor { content: Content::Computed(factors), dtype: DType::F32 });
    }
    Ok(())
}
