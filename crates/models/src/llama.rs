//! Llama 2 and 3, SmolLM, and what has their architecture under another name: RMSNorm, GQA, RoPE, SiLU-gated MLP.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::{Biases, Decoder};
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    // GGUF files of Mistral are of this architecture, too.
    let windows = match checkpoint.is_gguf() {
        true => keys.take_windows(config.num_hidden_layers, |_| true)?,
        false => {
            keys.expect_full_attention()?;
            Vec::new()
        }
    };
    let biases = Biases::take(&mut keys, checkpoint)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("rope_interleaved", false)?;
    keys.expect("is_llama_config", true)?;
    keys.finish()?;
    Ok(Decoder { biases, ..Decoder::plain(config) }.with_windows(windows))
}
