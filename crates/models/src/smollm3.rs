//! SmolLM3: Llama, where some layers do without positions.

use crate::checkpoint::{Checkpoint, DecoderConfig, Rope, RopeScaling};
use crate::decoder::{Biases, Decoder};
use crate::error::ModelError;

/// Every so manyth layer does without positions, where the file does not say it.
const INTERVAL: u32 = 4;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    let layers = config.num_hidden_layers;
    let interval = keys.take_opt_size("no_rope_layer_interval")?.unwrap_or(INTERVAL);
    // 1 where a layer has positions.
    let rotated: Vec<u32> = match keys.take_opt("no_rope_layers")? {
        Some(list) => list,
        None => (1..=layers).map(|layer| u32::from(layer % interval != 0)).collect(),
    };
    if rotated.len() != layers as usize {
        let found = format!("{} values", rotated.len());
        return Err(keys.mismatch("no_rope_layers", found, format!("{layers}, one a layer")).into());
    }
    keys.set_default("use_sliding_window", false);
    let windows = keys.take_windows(layers, |layer| rotated[layer as usize] == 0)?;
    let biases = Biases::take(&mut keys, checkpoint)?;
    keys.expect("hidden_act", "silu")?;
    keys.ignore(&["max_window_layers"]);
    keys.finish()?;
    let still = Rope { theta: config.rope.theta, scaling: RopeScaling::Still };
    let decoder = Decoder { biases, other_ropes: vec![still], ..Decoder::plain(config) };
    let mut decoder = decoder.with_windows(windows);
    for (layer, rotated) in decoder.layers.iter_mut().zip(rotated) {
        layer.rope = usize::from(rotated == 0);
    }
    Ok(decoder)
}
