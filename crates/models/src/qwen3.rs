//! Qwen3, dense: Llama with an RMSNorm on every head of q and k, and a head_dim of its own.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::Decoder;
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("attention_bias", false)?;
    keys.expect_full_attention()?;
    keys.finish()?;
    Ok(Decoder { config, normalise_heads: true })
}
