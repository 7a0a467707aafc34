//! Gemma 3, its language model: Gemma 2 with an RMSNorm on every head of q and k instead of soft caps; five layers with a
//! window for one without, each kind with rotary positions of its own.

use crate::checkpoint::{Checkpoint, DecoderConfig, Rope};
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::gemma2;
use serde_json::Value;

/// Layers of the model whose GGUF files mean another scale of the scores; 27B.
const LAYERS_OF_27B: u32 = 62;
/// Every so manyth layer has no window, where the file does not say it.
const PATTERN: u32 = 6;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    // What the formats mean where they do not say it, of layers without a window and with one.
    let default_theta = if checkpoint.is_gguf() { [1e4, 1e4] } else { [1e6, 1e4] };
    let [global, local] = Rope::take_pair(&mut keys, default_theta)?;
    let mut config = DecoderConfig::take_rotating(&mut keys, global, 1.0)?;
    config.limit_to(&local, &keys)?;
    let windows = keys.take_windows(config.num_hidden_layers, |layer| (layer + 1) % PATTERN != 0)?;
    // The reference implementation reads this key and does nothing with it.
    keys.expect("attn_logit_softcapping", Value::Null)?;
    let decoder = gemma2::take_gemma(&mut keys, checkpoint, config, LAYERS_OF_27B)?;
    keys.finish()?;
    let decoder = Decoder { normalise_heads: true, other_ropes: vec![local], ..decoder };
    let mut decoder = decoder.with_windows(windows);
    decoder.layers.iter_mut().for_each(|layer| layer.rope = usize::from(layer.window != 0));
    Ok(decoder)
}
