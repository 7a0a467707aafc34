//! A decoder's sizes and constants as the keys of a GGUF file.

use crate::checkpoint::gguf::GgufWriter;
use crate::checkpoint::{RopeScaling, StoredPooling, yarn_mscale};
use crate::decoder::{Biases, Decoder, LayerKind};
use crate::error::ModelError;

/// The base of Gemma 3's layers with a window, where a GGUF file does not say it.
const LOCAL_THETA: f64 = 1e4;

/// Sets the keys of the architecture's namespace.
pub(super) struct Keys<'a> {
    pub(super) file: &'a mut GgufWriter,
    /// The model, for messages.
    pub(super) label: &'a str,
    /// GGUF's name of the architecture.
    pub(super) architecture: &'a str,
    pub(super) decoder: &'a Decoder,
    /// How it pools, where it makes embeddings.
    pub(super) pooling: Option<StoredPooling>,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn refused(&self, what: &str) -> ModelError {
        let (label, architecture) = (self.label, self.architecture);
        ModelError::Shape(format!(
            "{label}: GGUF's architecture {architecture} has no {what}; give a GGUF file"
        ))
    }

    fn count(&mut self, name: &str, value: u32) {
        let key = self.key(name);
        self.file.set(&key, value);
    }

    fn number(&mut self, name: &str, value: f32) {
        let key = self.key(name);
        self.file.set(&key, value);
    }

    /// Sets them all.
    ///
    /// # Errors
    /// What the architecture has no key for in GGUF.
    pub(super) fn set(mut self) -> Result<(), ModelError> {
        let config = &self.decoder.config;
        for (name, value) in [
            ("block_count", config.num_hidden_layers),
            ("context_length", config.max_position_embeddings),
            ("embedding_length", config.hidden_size),
            ("feed_forward_length", config.intermediate_size),
            ("attention.head_count", config.num_attention_heads),
            ("attention.head_count_kv", config.num_key_value_heads),
            ("attention.key_length", config.head_dim),
            ("attention.value_length", config.head_dim),
            ("rope.dimension_count", config.rotary_dim),
            ("vocab_size", config.vocab_size),
        ] {
            self.count(name, value);
        }
        self.number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
        if let Some(pooling) = self.pooling {
            self.count("pooling_type", pooling.in_gguf());
        }
        self.set_rope()?;
        self.check_biases()?;
        self.set_windows()?;
        self.set_experts()?;
        self.set_scores()
    }

    fn set_rope(&mut self) -> Result<(), ModelError> {
        let rope = &self.decoder.config.rope;
        self.number("rope.freq_base", rope.theta as f32);
        match rope.scaling {
            RopeScaling::None | RopeScaling::Llama3 { .. } => {}
            RopeScaling::Linear { factor } => {
                let key = self.key("rope.scaling.type");
                self.file.set(&key, "linear");
                self.number("rope.scaling.factor", factor as f32);
            }
            RopeScaling::Yarn {
                factor,
                beta_fast: 32.0,
                beta_slow: 1.0,
                truncate: true,
                attention_factor,
                original_max_position_embeddings: original,
            } => {
                let key = self.key("rope.scaling.type");
                self.file.set(&key, "yarn");
                self.number("rope.scaling.factor", factor as f32);
                self.count("rope.scaling.original_context_length", original);
                // What stands there multiplies the factor that follows from the other one.
                let on_top = attention_factor / yarn_mscale(factor, 1.0);
                if on_top != 1.0 {
                    self.number("rope.scaling.attn_factor", on_top as f32);
                }
            }
            _ => {
                return Err(self.refused(
                    "RoPE scaling but linear, llama3 and yarn with its usual bounds that is translated here",
                ));
            }
        }
        if self.architecture == "smollm3" {
            // GGUF's readers know which layers do without positions.
            let usual = |(layer, kind): (usize, &LayerKind)| (kind.rope != 0) == ((layer + 1) % 4 == 0);
            return match self.decoder.layers.iter().enumerate().all(usual) {
                true => Ok(()),
                false => Err(self.refused("other layers without positions than every fourth")),
            };
        }
        for local in &self.decoder.other_ropes {
            if local.scaling != RopeScaling::None {
                return Err(self.refused("RoPE scaling of the layers with a window"));
            }
            if local.theta != LOCAL_THETA {
                self.number("rope.freq_base_swa", local.theta as f32);
            }
        }
        Ok(())
    }

    /// GGUF's readers look for biases in some architectures only.
    fn check_biases(&self) -> Result<(), ModelError> {
        let has_bias = self.decoder.biases != Biases::default();
        match has_bias && !matches!(self.architecture, "llama" | "qwen2") {
            true => Err(self.refused("biases")),
            false => Ok(()),
        }
    }

    /// A window on every layer, or on all but every so manyth.
    fn set_windows(&mut self) -> Result<(), ModelError> {
        let windows: Vec<u32> = self.decoder.layers.iter().map(|layer| layer.window).collect();
        let Some(window) = windows.iter().copied().find(|window| *window != 0) else { return Ok(()) };
        let period = windows.iter().position(|window| *window == 0).map(|layer| layer + 1);
        let follows = |(layer, found): (usize, &u32)| {
            let expected = if period.is_some_and(|period| (layer + 1) % period == 0) { 0 } else { window };
            *found == expected
        };
        let is_known = match self.architecture {
            "llama" | "phi3" => period.is_none(),
            "gemma2" => period == Some(2),
            "gemma3" => period.is_some(),
            _ => false,
        };
        if !is_known || !windows.iter().enumerate().all(follows) {
            return Err(self.refused("windows on these layers"));
        }
        self.count("attention.sliding_window", window);
        if let Some(period) = period.filter(|_| self.architecture == "gemma3") {
            self.count("attention.sliding_window_pattern", period as u32);
        }
        Ok(())
    }

    fn set_experts(&mut self) -> Result<(), ModelError> {
        let Some(experts) = &self.decoder.experts else { return Ok(()) };
        if !experts.normalise || self.decoder.layers.iter().any(|layer| !layer.has_experts) {
            return Err(
                self.refused("shares of experts that do not add up to 1, and no layers without experts")
            );
        }
        self.count("expert_count", experts.count);
        self.count("expert_used_count", experts.slots);
        self.count("expert_feed_forward_length", experts.intermediate_size);
        Ok(())
    }

    fn set_scores(&mut self) -> Result<(), ModelError> {
        let config = &self.decoder.config;
        // GGUF has no key for the scale; its readers take this one, but for the largest of Gemma.
        let largest =
            [("gemma2", 46), ("gemma3", 62)].contains(&(self.architecture, config.num_hidden_layers));
        let scalar = match largest {
            true => config.hidden_size as f32 / config.num_attention_heads as f32,
            false => config.head_dim as f32,
        };
        if (self.decoder.attention_scale * scalar.sqrt() - 1.0).abs() > 1e-5 {
            return Err(self.refused("other scale of the scores"));
        }
        let caps = [self.decoder.attention_cap, self.decoder.logit_cap];
        if self.architecture == "gemma2" && caps.contains(&None) {
            return Err(self.refused("key for scores and logits without a soft cap"));
        }
        if let Some(cap) = self.decoder.attention_cap {
            self.number("attn_logit_softcapping", cap);
        }
        if let Some(cap) = self.decoder.logit_cap {
            self.number("final_logit_softcapping", cap);
        }
        Ok(())
    }
}
