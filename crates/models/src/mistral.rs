//! Mistral: Llama, where each layer sees a window of the last positions.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::Decoder;
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    let windows = keys.take_windows(config.num_hidden_layers, |_| true)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("attention_bias", false)?;
    keys.finish()?;
    Ok(Decoder::plain(config).with_windows(windows))
}
