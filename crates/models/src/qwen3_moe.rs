//! Qwen3 with experts: attention as in Qwen3; most layers' MLPs are experts, of which a softmax over the router's logits
//! chooses some for each row.

use crate::checkpoint::{Checkpoint, CheckpointError, ConfigReader, DecoderConfig};
use crate::decoder::{Biases, Decoder};
use crate::error::ModelError;
use crate::experts::ExpertShape;
use resident_kernels::choose_experts::MAX_EXPERTS;

/// Takes the configuration.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    let mut keys = checkpoint.config()?;
    let config = DecoderConfig::take(&mut keys)?;
    keys.set_default("use_sliding_window", false);
    keys.ignore(&["max_window_layers"]);
    let windows = keys.take_windows(config.num_hidden_layers, |_| true)?;
    let biases = Biases::take(&mut keys, checkpoint)?;
    // GGUF has no key for this; its readers take it for granted.
    let normalise = keys.take_opt("norm_topk_prob")?.unwrap_or(checkpoint.is_gguf());
    let experts = take_experts(&mut keys, normalise)?;
    let step: u32 = keys.take_opt_size("decoder_sparse_step")?.unwrap_or(1);
    let dense: Vec<u32> = keys.take_opt("mlp_only_layers")?.unwrap_or_default();
    keys.expect("hidden_act", "silu")?;
    // For training.
    keys.ignore(&["output_router_logits", "router_aux_loss_coef"]);
    keys.finish()?;
    let decoder = Decoder { normalise_heads: true, biases, ..Decoder::plain(config) };
    let mut decoder = Decoder { experts: Some(experts), ..decoder }.with_windows(windows);
    for (index, layer) in (0..).zip(&mut decoder.layers) {
        layer.has_experts = !dense.contains(&index) && (index + 1) % step == 0;
    }
    Ok(decoder)
}

fn take_experts(keys: &mut ConfigReader, normalise: bool) -> Result<ExpertShape, CheckpointError> {
    // transformers 5 calls them local.
    let count = match keys.take_opt_size("num_local_experts")? {
        None => keys.take_size("num_experts")?,
        Some(count) => {
            keys.expect("num_experts", count)?;
            count
        }
    };
    if count > MAX_EXPERTS {
        return Err(keys.mismatch("num_experts", count, format!("at most {MAX_EXPERTS}")));
    }
    let slots = keys.take_size("num_experts_per_tok")?;
    if slots > count {
        return Err(keys.mismatch("num_experts_per_tok", slots, format!("at most num_experts, {count}")));
    }
    let intermediate_size = keys.take_size("moe_intermediate_size")?;
    Ok(ExpertShape { count, slots, intermediate_size, normalise })
}
