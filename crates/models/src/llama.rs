//! Llama 2 and 3, and what has their architecture under another name: RMSNorm, GQA, RoPE, SiLU-gated MLP.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::Decoder;
use crate::error::ModelError;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    keys.expect("hidden_act", "silu")?;
    keys.expect("attention_bias", false)?;
    keys.expect("mlp_bias", false)?;
    keys.expect_full_attention()?;
    // How many slices the training framework cut its matrices into: no part of the maths.
    keys.ignore(&["pretraining_tp"]);
    keys.finish()?;
    Ok(Decoder { config, normalise_heads: false })
}
