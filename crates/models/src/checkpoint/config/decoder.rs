//! The facts that every decoder-only transformer has, whatever its file format.

use super::reader::ConfigReader;
use super::rope::{Rope, RopeScaling};
use crate::checkpoint::error::CheckpointError;

/// Far above any model; keeps a mistaken count from becoming a long loop.
const MAX_LAYERS: u32 = 65536;

/// Sizes and constants of a decoder-only transformer, under the names of Hugging Face. Every size is at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// `qwen3`, `llama`: as the file names it.
    pub architecture: String,
    /// Rows of the embedding and of the head.
    pub vocab_size: u32,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Width of the MLP between its two projections.
    pub intermediate_size: u32,
    /// Layers.
    pub num_hidden_layers: u32,
    /// Query heads a layer.
    pub num_attention_heads: u32,
    /// Key and value heads a layer; divides `num_attention_heads`.
    pub num_key_value_heads: u32,
    /// Elements of a head; even. Its own key: heads × head_dim need not be `hidden_size`.
    pub head_dim: u32,
    /// How many elements of a head are rotated, the first ones; even.
    pub rotary_dim: u32,
    /// Positions the model was made for.
    pub max_position_embeddings: u32,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f32,
    /// Rotary positions.
    pub rope: Rope,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}

impl DecoderConfig {
    /// Takes the keys that every decoder has, all of a head rotated. What else an architecture understands, it takes itself.
    pub fn take(keys: &mut ConfigReader) -> Result<DecoderConfig, CheckpointError> {
        let rope = Rope::take(keys)?;
        DecoderConfig::take_rotating(keys, rope, 1.0)
    }

    /// As [`take`](Self::take), for an architecture that has taken its rotary positions; `partial` is the share of a head
    /// that is rotated where the file does not give a number of elements.
    pub fn take_rotating(
        keys: &mut ConfigReader,
        rope: Rope,
        partial: f64,
    ) -> Result<DecoderConfig, CheckpointError> {
        let hidden_size = keys.take_size("hidden_size")?;
        let num_attention_heads = keys.take_size("num_attention_heads")?;
        let head_dim = take_head_dim(keys, hidden_size, num_attention_heads)?;
        let rotary_dim = (f64::from(head_dim) * partial) as u32;
        let mut config = DecoderConfig {
            architecture: keys.architecture().to_owned(),
            vocab_size: keys.take_size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.take_size("intermediate_size")?,
            num_hidden_layers: keys.take_size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: keys.take_opt_size("num_key_value_heads")?.unwrap_or(num_attention_heads),
            head_dim,
            rotary_dim,
            max_position_embeddings: keys.take_size("max_position_embeddings")?,
            rms_norm_eps: keys.take_positive("rms_norm_eps")? as f32,
            rope,
            tie_word_embeddings: keys.take("tie_word_embeddings")?,
        };
        keys.expect("rope.dimension_count", rotary_dim)?;
        config.check(keys)?;
        let rope = config.rope.clone();
        config.limit_to(&rope, keys)?;
        Ok(config)
    }

    /// Ends the context where the divisors of `longrope` do that are implemented, and refuses another number of them than
    /// there are rotary pairs.
    pub(crate) fn limit_to(&mut self, rope: &Rope, keys: &ConfigReader) -> Result<(), CheckpointError> {
        let RopeScaling::LongRope { short_factor, original_max_position_embeddings: original, .. } =
            &rope.scaling
        else {
            return Ok(());
        };
        let pairs = self.rotary_dim as usize / 2;
        if short_factor.len() != pairs {
            let found = format!("{} values", short_factor.len());
            return Err(keys.mismatch("short_factor", found, format!("{pairs}, one a rotary pair")));
        }
        self.max_position_embeddings = self.max_position_embeddings.min(*original);
        Ok(())
    }

    /// What the values must be to each other.
    fn check(&self, keys: &ConfigReader) -> Result<(), CheckpointError> {
        let heads = self.num_attention_heads;
        if !heads.is_multiple_of(self.num_key_value_heads) {
            let expected = format!("a divisor of num_attention_heads, {heads}");
            return Err(keys.mismatch("num_key_value_heads", self.num_key_value_heads, expected));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(keys.mismatch("head_dim", self.head_dim, "an even number, for rotary pairs"));
        }
        if self.rotary_dim == 0 || !self.rotary_dim.is_multiple_of(2) {
            let found = format!("{} of {} elements", self.rotary_dim, self.head_dim);
            return Err(keys.mismatch("partial_rotary_factor", found, "an even number, for rotary pairs"));
        }
        if heads.checked_mul(self.head_dim).is_none_or(|width| width > i32::MAX as u32) {
            let expected = format!("less, with {heads} heads");
            return Err(keys.mismatch("head_dim", self.head_dim, expected));
        }
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(keys.mismatch(
                "num_hidden_layers",
                self.num_hidden_layers,
                format!("at most {MAX_LAYERS}"),
            ));
        }
        Ok(())
    }
}

/// The elements of a head: given, or the residual stream divided among the heads. In GGUF a value is as wide as a
/// key, or the file is refused.
fn take_head_dim(keys: &mut ConfigReader, hidden_size: u32, heads: u32) -> Result<u32, CheckpointError> {
    let head_dim = match keys.take_opt_size("head_dim")? {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let expected = format!("given, because {heads} heads do not divide hidden_size {hidden_size}");
            return Err(keys.mismatch("head_dim", "absent", expected));
        }
    };
    keys.expect("attention.value_length", head_dim)?;
    Ok(head_dim)
}
