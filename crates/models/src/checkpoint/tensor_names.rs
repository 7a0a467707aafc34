//! GGUF tensor names as Hugging Face writes them, so that an architecture asks for one name whatever the file.

/// Divisors of the RoPE frequencies, one a pair: how GGUF stores `llama3` scaling. Hugging Face has no such tensor.
pub const ROPE_FREQ_FACTORS: &str = "rope_freqs.weight";

/// Divisors of the frequencies in contexts up to the original length: how GGUF stores `longrope`.
pub const ROPE_FACTORS_SHORT: &str = "rope_factors_short.weight";

/// The divisors for longer contexts.
pub const ROPE_FACTORS_LONG: &str = "rope_factors_long.weight";

/// Names outside the layers.
static GLOBAL: &[(&str, &str)] =
    &[("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Names within a layer: after `blk.N.` and after `model.layers.N.`.
static LAYER: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_exps", "mlp.experts.gate_proj"),
    ("ffn_up_exps", "mlp.experts.up_proj"),
    ("ffn_down_exps", "mlp.experts.down_proj"),
];

/// Names within a layer that mean something else, or nothing, in other architectures.
fn own_layer_names(architecture: &str) -> &'static [(&'static str, &'static str)] {
    match architecture {
        "gemma2" | "gemma3" => &[
            ("ffn_norm", "pre_feedforward_layernorm"),
            ("post_attention_norm", "post_attention_layernorm"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ],
        "phi3" => &[("attn_qkv", "self_attn.qkv_proj"), ("ffn_up", "mlp.gate_up_proj")],
        _ => &[],
    }
}

/// The canonical name of a GGUF tensor; a name without one stays as it is.
pub(super) fn canonical(architecture: &str, gguf: &str) -> String {
    translate(architecture, gguf).unwrap_or_else(|| gguf.to_owned())
}

/// The name in a GGUF file of this architecture, by GGUF's name of it, for a canonical name.
pub fn gguf(architecture: &str, canonical: &str) -> Option<String> {
    let (stem, kind) = canonical.rsplit_once('.')?;
    let inverse = |table: &[(&'static str, &'static str)], stem: &str| {
        table.iter().find(|(_, name)| *name == stem).map(|(gguf, _)| *gguf)
    };
    let Some((layer, part)) = stem.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
        return Some(format!("{}.{kind}", inverse(GLOBAL, stem)?));
    };
    let own = own_layer_names(architecture);
    let shared = || inverse(LAYER, part).filter(|gguf| lookup(own, gguf).is_none());
    Some(format!("blk.{layer}.{}.{kind}", inverse(own, part).or_else(shared)?))
}

/// The name of a tensor of a folder. A model saved without its head, for embeddings, leaves out the prefix.
pub(super) fn with_prefix(name: &str) -> String {
    match ["embed_tokens.", "layers.", "norm."].iter().any(|part| name.starts_with(part)) {
        true => format!("model.{name}"),
        false => name.to_owned(),
    }
}

/// Where the language model's tensors stand in a model that sees, too: before and after transformers 4.52.
const LANGUAGE_PREFIXES: [(&str, &str); 3] = [
    ("language_model.model.", "model."),
    ("model.language_model.", "model."),
    ("language_model.lm_head.", "lm_head."),
];

/// The parts of such a model that a text does not go through.
const VISION_PREFIXES: [&str; 4] =
    ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."];

/// The name of a tensor of a model that sees as the language model alone would have it.
pub(super) fn without_wrapper(name: &str) -> String {
    let inner = LANGUAGE_PREFIXES
        .iter()
        .find_map(|(prefix, instead)| name.strip_prefix(prefix).map(|rest| format!("{instead}{rest}")));
    inner.unwrap_or_else(|| name.to_owned())
}

/// Whether a text does not go through this tensor of a model that sees.
pub(super) fn is_vision(name: &str) -> bool {
    VISION_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn translate(architecture: &str, gguf: &str) -> Option<String> {
    let (stem, kind) = gguf.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let Some((layer, stem)) = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return Some(format!("{}.{kind}", lookup(GLOBAL, stem)?));
    };
    // '007' and '7' are two names in the file and must stay two names here.
    let is_plain = layer.parse::<u32>().is_ok_and(|number| number.to_string() == layer);
    is_plain.then_some(())?;
    let own = lookup(own_layer_names(architecture), stem);
    Some(format!("model.layers.{layer}.{}.{kind}", own.or_else(|| lookup(LAYER, stem))?))
}

fn lookup(table: &[(&str, &'static str)], gguf: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == gguf).map(|(_, canonical)| *canonical)
}

#[cfg(test)]
mod tests {
    use super::{canonical, gguf as gguf_name, is_vision, without_wrapper};

    #[test]
    fn known_names_are_translated() {
        for (gguf, hf) in [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output.weight", "lm_head.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"),
            ("blk.3.attn_q.bias", "model.layers.3.self_attn.q_proj.bias"),
            ("blk.10.attn_k_norm.weight", "model.layers.10.self_attn.k_norm.weight"),
            ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"),
            ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
            ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"),
        ] {
            assert_eq!(canonical("llama", gguf), hf);
            assert_eq!(gguf_name("llama", hf).as_deref(), Some(gguf));
        }
    }

    #[test]
    fn other_names_stay_and_do_not_collide() {
        for name in [
            "rope_freqs.weight",
            "blk.03.attn_q.weight",
            "blk.+3.attn_q.weight",
            "blk.3.attn_qkv.weight",
            "blk.3.attn_q.scale",
            "blk..attn_q.weight",
            "blk.99999999999.attn_q.weight",
            "weight",
            "",
        ] {
            assert_eq!(canonical("llama", name), name);
        }
    }

    #[test]
    fn norms_are_called_by_where_they_stand() {
        let norm = |architecture: &str| canonical(architecture, "blk.0.ffn_norm.weight");
        assert_eq!(norm("qwen2"), "model.layers.0.post_attention_layernorm.weight");
        assert_eq!(norm("gemma3"), "model.layers.0.pre_feedforward_layernorm.weight");
    }

    #[test]
    fn a_model_that_sees_has_a_language_model_inside() {
        for name in ["language_model.model.norm.weight", "model.language_model.norm.weight"] {
            assert_eq!(without_wrapper(name), "model.norm.weight");
        }
        assert!(is_vision("vision_tower.post_layernorm.bias") && !is_vision("model.norm.weight"));
    }
}
