//! Phi-3: Llama with q, k and v in one tensor, gate and up in another, a part of each head rotated, and `longrope` up to the
//! original context.

use crate::checkpoint::{
    Checkpoint, ConfigReader, DecoderConfig, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, Rope, RopeScaling,
};
use crate::decoder::{Decoder, rope_factors};
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let gguf_scaling = take_gguf_longrope(&mut keys, checkpoint)?;
    let (mut rope, mut partial) = Rope::take_partial(&mut keys)?;
    if let Some(scaling) = gguf_scaling {
        rope.scaling = scaling;
    }
    // GGUF says how many elements are rotated, not which share of them.
    if let Some(rotated) = keys.clone().take_opt_size("rope.dimension_count")? {
        let head_dim = keys.peek_size("hidden_size")? / keys.peek_size("num_attention_heads")?;
        partial = f64::from(rotated) / f64::from(head_dim.max(1));
    }
    let config = DecoderConfig::take_rotating(&mut keys, rope, partial)?;
    let windows = keys.take_windows(config.num_hidden_layers, |_| true)?;
    keys.expect("hidden_act", "silu")?;
    for bias in ["attention_bias", "lm_head_bias", "mlp_bias"] {
        keys.expect(bias, false)?;
    }
    // Left over from experiments: no released code reads them.
    keys.expect("full_attn_mod", 1)?;
    keys.expect("interpolate_factor", 1)?;
    keys.ignore(&["original_max_position_embeddings"]);
    keys.finish()?;
    Ok(Decoder { fused: true, ..Decoder::plain(config) }.with_windows(windows))
}

/// `longrope` as GGUF stores it: the factors as tensors, the lengths and the factor on cosines and sines as keys.
fn take_gguf_longrope(
    keys: &mut ConfigReader,
    checkpoint: &Checkpoint,
) -> Result<Option<RopeScaling>, ModelError> {
    if !checkpoint.has_tensor(ROPE_FACTORS_SHORT) {
        return Ok(None);
    }
    let original = keys.take_size("rope.scaling.original_context_length")?;
    let attention_factor = keys.take_opt_positive("rope.scaling.attn_factor")?;
    let pairs = checkpoint.tensor(ROPE_FACTORS_SHORT)?.elements() as u32;
    let factors = rope_factors(checkpoint, ROPE_FACTORS_SHORT, 2 * pairs)?.unwrap_or_default();
    checkpoint.ignore_tensor(ROPE_FACTORS_LONG);
    let short_factor = factors.into_iter().map(f64::from).collect();
    let longest = keys.peek_size("max_position_embeddings")?;
    Ok(Some(RopeScaling::long_rope(short_factor, attention_factor, original, longest)))
}
