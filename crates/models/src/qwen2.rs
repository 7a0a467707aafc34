//! Qwen2 and 2.5: Llama with biases on q, k and v, and windows on the upper layers where they are switched on.

use crate::checkpoint::{Checkpoint, CheckpointError, ConfigReader, DecoderConfig};
use crate::decoder::{Biases, Decoder};
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    let windows = take_windows(&mut keys, config.num_hidden_layers)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("use_mrope", false)?;
    keys.finish()?;
    let biases = Biases { qkv: true, ..Biases::default() };
    Ok(Decoder { biases, ..Decoder::plain(config) }.with_windows(windows))
}

/// Qwen's windows: only if they are switched on, and from `max_window_layers` on.
pub(crate) fn take_windows(keys: &mut ConfigReader, layers: u32) -> Result<Vec<u32>, CheckpointError> {
    keys.set_default("use_sliding_window", false);
    let first: u32 = keys.take_opt("max_window_layers")?.unwrap_or(28);
    keys.take_windows(layers, |layer| layer >= first)
}
