//! What a Hugging Face folder is called in GGUF: names of tensors, the order of rotated rows, and which tensors are
//! stored otherwise: Gemma's norms with their 1 added, the experts of a layer as one tensor.

use super::keys::Keys;
use super::{Content, Export, Tensor, gguf_name, paired};
use crate::checkpoint::{ROPE_FREQ_FACTORS, Rope, RopeScaling};
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
    ("phi3", "phi3"),
    ("smollm3", "smollm3"),
];

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
    let pooling = checkpoint.pooling()?;
    Keys { file, label: checkpoint.label(), architecture, decoder: &decoder, pooling }.set()?;
    add_tensors(export, architecture, &decoder, to)
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
    let gguf_name = |name: &str| gguf_name(checkpoint.label(), architecture, name);
    for view in checkpoint.tensors() {
        if view.name == "lm_head.weight" && config.tie_word_embeddings {
            continue;
        }
        if let Some((stack, expert)) = expert_of(view.name) {
            let stored = (view.name.to_owned(), view.shape.to_vec());
            experts.entry(stack).or_default().insert(expert, stored);
            continue;
        }
        let content = Content::Stored {
            names: vec![view.name.to_owned()],
            paired: paired(architecture, view.name, config.head_dim),
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
