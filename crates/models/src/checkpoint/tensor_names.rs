//! GGUF tensor names as Hugging Face writes them, so that an architecture asks for one name whatever the file.

/// Divisors of the RoPE frequencies, one a pair: how GGUF stores `llama3` scaling. Hugging Face has no such tensor.
pub const ROPE_FREQ_FACTORS: &str = "rope_freqs.weight";

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
];

/// The canonical name of a GGUF tensor; a name without one stays as it is.
pub(super) fn canonical(gguf: &str) -> String {
    translate(gguf).unwrap_or_else(|| gguf.to_owned())
}

fn translate(gguf: &str) -> Option<String> {
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
    Some(format!("model.layers.{layer}.{}.{kind}", lookup(LAYER, stem)?))
}

fn lookup(table: &[(&str, &'static str)], gguf: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == gguf).map(|(_, canonical)| *canonical)
}

#[cfg(test)]
mod tests {
    use super::canonical;

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
            assert_eq!(canonical(gguf), hf);
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
            assert_eq!(canonical(name), name);
        }
    }
}
