//! Gemma 2: four norms a layer, every other layer with a window, soft caps on scores and logits, GELU-gated MLP, scaled
//! embeddings.

use crate::checkpoint::{Checkpoint, CheckpointError, ConfigReader, DecoderConfig};
use crate::decoder::Decoder;
use crate::error::ModelError;
use resident_kernels::linear::Epilogue;

/// Layers of the model whose GGUF files mean another scale of the scores; 27B.
const LAYERS_OF_27B: u32 = 46;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    if checkpoint.is_gguf() {
        // What the format's readers take where early files of this family do not say it.
        keys.set_default("attn_logit_softcapping", 50.0);
        keys.set_default("final_logit_softcapping", 30.0);
        keys.set_default("sliding_window", 4096);
    }
    let config = DecoderConfig::take(&mut keys)?;
    // An older name beside the other one.
    if let Some(window) = keys.take_opt_size("sliding_window_size")? {
        keys.set_default("sliding_window", window);
        if keys.peek_size("sliding_window")? != window {
            return Err(keys.mismatch("sliding_window_size", window, "the same as sliding_window").into());
        }
    }
    let windows = keys.take_windows(config.num_hidden_layers, |layer| layer % 2 == 0)?;
    let decoder = take_gemma(&mut keys, checkpoint, config, LAYERS_OF_27B)?;
    keys.finish()?;
    Ok(decoder.with_windows(windows))
}

/// What Gemma 2 and 3 have in common.
pub(crate) fn take_gemma(
    keys: &mut ConfigReader,
    checkpoint: &Checkpoint,
    config: DecoderConfig,
    layers_of_27b: u32,
) -> Result<Decoder, CheckpointError> {
    keys.expect("hidden_act", "gelu_pytorch_tanh")?;
    keys.expect("hidden_activation", "gelu_pytorch_tanh")?;
    keys.expect("attention_bias", false)?;
    keys.expect("use_bidirectional_attention", false)?;
    let query_pre_attn_scalar = match checkpoint.is_gguf() {
        false => keys.take_positive("query_pre_attn_scalar")? as f32,
        // GGUF has no key for it: its readers know the models.
        true if config.num_hidden_layers == layers_of_27b => {
            config.hidden_size as f32 / config.num_attention_heads as f32
        }
        true => config.head_dim as f32,
    };
    Ok(Decoder {
        normalise_results: true,
        // GGUF files hold 1 + w already.
        norm_offset: if checkpoint.is_gguf() { 0.0 } else { 1.0 },
        gate: Epilogue::GeluGated,
        // In the type that the model is computed in: f32.
        embed_scale: (config.hidden_size as f32).sqrt(),
        attention_scale: 1.0 / query_pre_attn_scalar.sqrt(),
        attention_cap: keys.take_opt_positive("attn_logit_softcapping")?.map(|cap| cap as f32),
        logit_cap: keys.take_opt_positive("final_logit_softcapping")?.map(|cap| cap as f32),
        ..Decoder::plain(config)
    })
}
