//! Qwen3, dense: Llama with an RMSNorm on every head of q and k, and a head_dim of its own.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::{Biases, Decoder};
use crate::error::ModelError;
use crate::qwen2;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    let windows = qwen2::take_windows(&mut keys, config.num_hidden_layers)?;
    let biases = Biases::take(&mut keys, checkpoint)?;
    keys.expect("hidden_act", "silu")?;
    keys.finish()?;
    Ok(Decoder { normalise_heads: true, biases, ..Decoder::plain(config) }.with_windows(windows))
}
