//! The weights of one layer: which tensors there are, by the names of Hugging Face, and how they are put together.

use crate::checkpoint::{Checkpoint, DecoderConfig};
use crate::decoder::{AttentionScratch, Decoder, LayerKind};
use crate::error::ModelError;
use crate::experts::ExpertWeights;
use crate::layers::Norm;
use crate::weights::{Matrix, RowOrder, Source, WeightPlan};
use resident_kernels::Slice;
use resident_plan::{BufferKind, Program};

/// A layer's weights and caches.
pub(crate) struct Layer {
    pub(crate) kind: LayerKind,
    pub(crate) input_norm: Norm,
    pub(crate) qkv: Matrix,
    pub(crate) head_norms: Option<[Slice; 2]>,
    pub(crate) o: Matrix,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
    /// Norms of what attention and MLP return, where there are some.
    pub(crate) result_norms: Option<[Norm; 2]>,
    pub(crate) k_cache: Slice,
    pub(crate) v_cache: Slice,
    /// Where decode's attention splits its work.
    pub(crate) scratch: Option<AttentionScratch>,
}

/// What stands behind attention.
pub(crate) enum Mlp {
    /// One gated MLP for every row.
    Dense { gate_up: Matrix, down: Matrix },
    /// Several, of which each row chooses some.
    Experts(ExpertWeights),
}

/// Declares the weights of one layer.
pub(crate) struct LayerBuilder<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) index: u32,
}

impl LayerBuilder<'_> {
    /// Canonical name of a tensor.
    pub(crate) fn tensor(&self, part: &str, kind: &str) -> String {
        format!("model.layers.{}.{part}.{kind}", self.index)
    }

    /// Name of a buffer.
    pub(crate) fn short(&self, part: &str) -> String {
        format!("layers.{}.{part}", self.index)
    }

    pub(crate) fn matrix(&self, part: &str, rows: u32, cols: u32) -> Source {
        Source::matrix(self.tensor(part, "weight"), rows, cols)
    }

    fn norm(&self, weights: &mut WeightPlan, program: &mut Program, part: &str) -> Result<Norm, ModelError> {
        let DecoderConfig { hidden_size, rms_norm_eps: eps, .. } = self.decoder.config;
        let weight =
            weights.norm(program, self.tensor(part, "weight"), hidden_size, self.decoder.norm_offset)?;
        Ok(Norm { weight, eps })
    }

    pub(crate) fn declare(
        &self,
        program: &mut Program,
        weights: &mut WeightPlan,
        cache_bytes: u64,
        scratch: Option<AttentionScratch>,
    ) -> Result<Layer, ModelError> {
        let Decoder { config, biases, normalise_results, .. } = self.decoder;
        let kind = self.decoder.layers[self.index as usize];
        let (hidden, q) = (config.hidden_size, config.num_attention_heads * config.head_dim);
        let input_norm = self.norm(weights, program, "input_layernorm")?;
        let qkv = self.qkv(program, weights)?;
        let head_norms = self.head_norms(program, weights)?;
        let mut o = weights.stacked(
            program,
            &self.short("o_proj"),
            vec![self.matrix("self_attn.o_proj", hidden, q)],
        )?;
        if biases.o {
            o.bias = Some(self.bias(program, weights, "self_attn.o_proj", hidden)?);
        }
        // Where results are normalised, too, the norm before the MLP has another name.
        let (mlp_norm, result_norms) = match normalise_results {
            false => (self.norm(weights, program, "post_attention_layernorm")?, None),
            true => {
                let after_attention = self.norm(weights, program, "post_attention_layernorm")?;
                let before = self.norm(weights, program, "pre_feedforward_layernorm")?;
                (before, Some([after_attention, self.norm(weights, program, "post_feedforward_layernorm")?]))
            }
        };
        let mlp = match &self.decoder.experts {
            Some(shape) if kind.has_experts => {
                Mlp::Experts(ExpertWeights::declare(self, *shape, hidden, program, weights)?)
            }
            _ => self.dense(program, weights)?,
        };
        let k_cache = program.buffer(self.short("k_cache"), cache_bytes, BufferKind::State);
        let v_cache = program.buffer(self.short("v_cache"), cache_bytes, BufferKind::State);
        Ok(Layer {
            kind,
            input_norm,
            qkv,
            head_norms,
            o,
            mlp_norm,
            mlp,
            result_norms,
            k_cache,
            v_cache,
            scratch,
        })
    }

    /// q, k and v one after the other.
    fn qkv(&self, program: &mut Program, weights: &mut WeightPlan) -> Result<Matrix, ModelError> {
        let Decoder { config, biases, fused, .. } = self.decoder;
        let DecoderConfig { hidden_size: hidden, head_dim, .. } = *config;
        let (q, kv) = (config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim);
        let name = self.short("qkv_proj");
        if *fused {
            let source = self.matrix("self_attn.qkv_proj", q + 2 * kv, hidden);
            return weights.stacked(program, &name, vec![source]);
        }
        let rotated = match weights.checkpoint().is_some_and(Checkpoint::interleaved_rope) {
            true => RowOrder::PairsToHalves { head_dim },
            false => RowOrder::Stored,
        };
        let parts = [("q_proj", q, rotated), ("k_proj", kv, rotated), ("v_proj", kv, RowOrder::Stored)];
        let matrices = parts.map(|(part, rows, order)| {
            self.matrix(&format!("self_attn.{part}"), rows, hidden).ordered(order)
        });
        let mut matrix = weights.stacked(program, &name, matrices.into())?;
        if biases.qkv {
            let vectors = parts.map(|(part, rows, order)| {
                Source::vector(self.tensor(&format!("self_attn.{part}"), "bias"), rows).ordered(order)
            });
            matrix.bias = Some(weights.bias(program, &format!("{name}.bias"), vectors.into())?);
        }
        Ok(matrix)
    }

    fn head_norms(
        &self,
        program: &mut Program,
        weights: &mut WeightPlan,
    ) -> Result<Option<[Slice; 2]>, ModelError> {
        if !self.decoder.normalise_heads {
            return Ok(None);
        }
        let mut norm = |part: &str| {
            let (head_dim, offset) = (self.decoder.config.head_dim, self.decoder.norm_offset);
            weights.norm(program, self.tensor(part, "weight"), head_dim, offset)
        };
        Ok(Some([norm("self_attn.q_norm")?, norm("self_attn.k_norm")?]))
    }

    /// The rows of gate and up in turn, and down.
    fn dense(&self, program: &mut Program, weights: &mut WeightPlan) -> Result<Mlp, ModelError> {
        let Decoder { config, biases, fused, .. } = self.decoder;
        let DecoderConfig { hidden_size: hidden, intermediate_size: mlp, .. } = *config;
        let sources = match fused {
            true => [0, 1].map(|half| self.matrix("mlp.gate_up_proj", 2 * mlp, hidden).share(half, 2)),
            false => ["mlp.gate_proj", "mlp.up_proj"].map(|part| self.matrix(part, mlp, hidden)),
        };
        let name = self.short("gate_up_proj");
        let mut gate_up = weights.alternating(program, &name, sources.map(|source| vec![source]), 2)?;
        let mut down = weights.stacked(
            program,
            &self.short("down_proj"),
            vec![self.matrix("mlp.down_proj", hidden, mlp)],
        )?;
        if biases.mlp {
            let vectors =
                ["mlp.gate_proj", "mlp.up_proj"].map(|part| Source::vector(self.tensor(part, "bias"), mlp));
            gate_up.bias = Some(weights.alternating_bias(program, &format!("{name}.bias"), vectors)?);
            down.bias = Some(self.bias(program, weights, "mlp.down_proj", hidden)?);
        }
        Ok(Mlp::Dense { gate_up, down })
    }

    fn bias(
        &self,
        program: &mut Program,
        weights: &mut WeightPlan,
        part: &str,
        len: u32,
    ) -> Result<Slice, ModelError> {
        let tensor = self.tensor(part, "bias");
        weights.bias(program, &tensor.clone(), vec![Source::vector(tensor, len)])
    }
}
