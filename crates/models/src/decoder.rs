//! The decoder-only transformer that the architectures share: its weights and the plans that run it.
//!
//! One function builds the layers for any number of rows. A decode plan has one row and feeds the token it samples to the
//! next replay; a prefill plan takes rows from the mailbox and samples after the last one; a score plan keeps the logits
//! of all its rows for the host.

use crate::checkpoint::{Checkpoint, DecoderConfig, ROPE_FREQ_FACTORS};
use crate::error::ModelError;
use crate::layers::{Activation, Norm, Rows, Then, embedding, handover_of, linear};
use crate::model::{Executor, Shape, StepBuffers};
use crate::rope;
use crate::weights::{Matrix, RowOrder, Source, WeightPlan};
use resident_kernels::attention::rope::Rope;
use resident_kernels::attention::{self, Attention, MAX_PARTS};
use resident_kernels::rope_kv::{self, KV_BLOCK, KvLayout, RopeKv};
use resident_kernels::{Slice, argmax, gather_rows, load_rows, penalties, sample};
use resident_plan::{BufferKind, PlanBuilder, PlanId, Program};

/// What an architecture is made of.
pub(crate) struct Decoder {
    /// Sizes and constants.
    pub(crate) config: DecoderConfig,
    /// Whether every head of q and k goes through an RMSNorm before it is rotated.
    pub(crate) normalise_heads: bool,
}

/// A layer's weights and caches.
struct Layer {
    input_norm: Norm,
    qkv: Matrix,
    head_norms: Option<[Slice; 2]>,
    o: Matrix,
    post_attention_norm: Norm,
    gate_up: Matrix,
    down: Matrix,
    k_cache: Slice,
    v_cache: Slice,
    /// Where decode's attention splits its work.
    scratch: Option<AttentionScratch>,
}

/// All weights, caches and tables of a model.
pub(crate) struct Resident {
    config: DecoderConfig,
    shape: Shape,
    step: StepBuffers,
    cache: KvLayout,
    embed: Matrix,
    layers: Vec<Layer>,
    norm: Norm,
    head: Matrix,
    cos: Slice,
    sin: Slice,
    block_table: Slice,
    sample_scratch: Slice,
}

/// Scratch of split attention: zeroed counters, and results of parts.
#[derive(Clone, Copy)]
struct AttentionScratch {
    partials: Slice,
    counters: Slice,
}

impl AttentionScratch {
    /// Scratch for one row, where its attention is split.
    fn declare(program: &mut Program, attention: &Attention, name: &str) -> Option<Self> {
        let mut buffer = |part, bytes| program.buffer(format!("{name}.{part}"), bytes, BufferKind::State);
        (attention.splits > 1).then(|| Self {
            partials: buffer("partials", attention.partial_bytes(1)),
            counters: buffer("counters", attention.counter_bytes(1)),
        })
    }
}

/// Bytes written at the start that come from no tensor.
pub(crate) struct Table {
    pub(crate) slice: Slice,
    pub(crate) bytes: Vec<u8>,
}

impl Decoder {
    /// Declares weights, caches, tables and step buffers.
    pub(crate) fn declare(
        self,
        program: &mut Program,
        weights: &mut WeightPlan,
        shape: Shape,
    ) -> Result<(Resident, Vec<Table>), ModelError> {
        let Self { config, normalise_heads } = self;
        let query_width = config.num_attention_heads * config.head_dim;
        if !query_width.is_multiple_of(4) {
            let (heads, head_dim) = (config.num_attention_heads, config.head_dim);
            return Err(ModelError::Shape(format!(
                "{heads} heads of head_dim {head_dim} are {query_width} values, expected a multiple of 4: the kernels read 16 bytes at a time"
            )));
        }
        let (hidden, vocab) = (u64::from(config.hidden_size), u64::from(config.vocab_size));
        let plain =
            |tensor: &str, shape| Source { tensor: tensor.to_owned(), shape, order: RowOrder::Stored };
        let embed = weights.stacked(
            program,
            "embed_tokens",
            vec![plain("model.embed_tokens.weight", [vocab, hidden])],
        )?;
        let mut layers = Vec::new();
        let cache = KvLayout {
            dtype: shape.kv_type,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        };
        let blocks = shape.context.div_ceil(KV_BLOCK);
        // Sizes of a damaged file: the tensors' shapes and the check of the memory find them, an overflow must not.
        let cache_bytes = u64::from(blocks * shape.max_sequences).saturating_mul(cache.block_bytes());
        let decode = attention_of(&config, &shape, cache, 1);
        let mut scratch = None;
        for index in 0..config.num_hidden_layers {
            // Layers that meet no barrier do not share it.
            if scratch.is_none() || shape.executors.contains(&Executor::Handover) {
                scratch = AttentionScratch::declare(program, &decode, &format!("layers.{index}.attention"));
            }
            let builder = LayerBuilder { config: &config, normalise_heads, index };
            layers.push(Layer { scratch, ..builder.declare(program, weights, cache_bytes)? });
        }
        let eps = config.rms_norm_eps;
        let norm =
            Norm { weight: weights.vector(program, "model.norm.weight".into(), config.hidden_size)?, eps };
        let head = if config.tie_word_embeddings {
            if let Some(checkpoint) = weights.checkpoint() {
                checkpoint.ignore_tensor("lm_head.weight");
            }
            embed.clone()
        } else {
            weights.stacked(program, "lm_head", vec![plain("lm_head.weight", [vocab, hidden])])?
        };

        let factors = match weights.checkpoint() {
            Some(checkpoint) => {
                let factors = rope_factors(checkpoint, config.head_dim)?;
                checkpoint.refuse_unused_tensors()?;
                factors
            }
            None => None,
        };
        // The tables of a mistaken context would fill the host's memory before a device refuses it.
        let tables_bytes = u64::from(shape.context) * u64::from(config.head_dim) * 4;
        let caches_bytes = cache_bytes.saturating_mul(2 * u64::from(config.num_hidden_layers));
        let what = || format!("a context of {} tokens", shape.context);
        let remedy = "ask for fewer tokens or a shorter context";
        shape.refuse_beyond_memory(caches_bytes.saturating_add(tables_bytes), what, remedy)?;
        let frequencies = rope::inverse_frequencies(&config.rope, config.head_dim, factors.as_deref());
        let [cos, sin] = rope::tables(&frequencies, shape.context);
        let block_table: Vec<u32> = (0..blocks * shape.max_sequences).collect();
        let mut tables = Vec::new();
        let mut table = |name: &str, bytes: &[u8]| {
            let slice = program.buffer(name, bytes.len() as u64, BufferKind::Weight);
            tables.push(Table { slice, bytes: bytes.to_vec() });
            slice
        };
        let cos = table("rope.cos", bytemuck::cast_slice(&cos));
        let sin = table("rope.sin", bytemuck::cast_slice(&sin));
        let block_table = table("block_table", bytemuck::cast_slice(&block_table));
        let step = StepBuffers::declare(program, &shape);
        let sample_scratch = program.buffer("sample.scratch", sample::scratch_bytes(1), BufferKind::State);
        let resident = Resident {
            config,
            shape,
            step,
            cache,
            embed,
            layers,
            norm,
            head,
            cos,
            sin,
            block_table,
            sample_scratch,
        };
        Ok((resident, tables))
    }
}

/// The divisors of RoPE's frequencies, one a pair, where the file stores some.
fn rope_factors(checkpoint: &Checkpoint, head_dim: u32) -> Result<Option<Vec<f32>>, ModelError> {
    if !checkpoint.has_tensor(ROPE_FREQ_FACTORS) {
        return Ok(None);
    }
    let view = checkpoint.tensor_shaped(ROPE_FREQ_FACTORS, &[u64::from(head_dim / 2)])?;
    let factors = view.to_f32();
    match factors.iter().position(|factor| !factor.is_normal()) {
        None => Ok(Some(factors)),
        Some(index) => Err(ModelError::NonFinite {
            file: checkpoint.label().to_owned(),
            tensor: ROPE_FREQ_FACTORS.to_owned(),
            index: index as u64,
        }),
    }
}

/// Declares the weights of one layer.
struct LayerBuilder<'a> {
    config: &'a DecoderConfig,
    normalise_heads: bool,
    index: u32,
}

impl LayerBuilder<'_> {
    fn name(&self, part: &str) -> String {
        format!("model.layers.{}.{part}.weight", self.index)
    }

    fn source(&self, part: &str, rows: u32, cols: u32, order: RowOrder) -> Source {
        Source { tensor: self.name(part), shape: [rows.into(), cols.into()], order }
    }

    fn declare(
        &self,
        program: &mut Program,
        weights: &mut WeightPlan,
        cache_bytes: u64,
    ) -> Result<Layer, ModelError> {
        let DecoderConfig {
            hidden_size: hidden, intermediate_size: mlp, head_dim, rms_norm_eps: eps, ..
        } = *self.config;
        let (q, kv) =
            (self.config.num_attention_heads * head_dim, self.config.num_key_value_heads * head_dim);
        let rotated = match weights.checkpoint().is_some_and(Checkpoint::interleaved_rope) {
            true => RowOrder::PairsToHalves { head_dim },
            false => RowOrder::Stored,
        };
        let plain = |part: &str, rows, cols| self.source(part, rows, cols, RowOrder::Stored);
        let short = |part: &str| format!("layers.{}.{part}", self.index);
        let norm = |weights: &mut WeightPlan, program: &mut Program, part: &str| {
            Ok::<_, ModelError>(Norm { weight: weights.vector(program, self.name(part), hidden)?, eps })
        };
        let input_norm = norm(weights, program, "input_layernorm")?;
        let qkv = vec![
            self.source("self_attn.q_proj", q, hidden, rotated),
            self.source("self_attn.k_proj", kv, hidden, rotated),
            plain("self_attn.v_proj", kv, hidden),
        ];
        let qkv = weights.stacked(program, &short("qkv_proj"), qkv)?;
        let head_norms = match self.normalise_heads {
            true => Some([
                weights.vector(program, self.name("self_attn.q_norm"), head_dim)?,
                weights.vector(program, self.name("self_attn.k_norm"), head_dim)?,
            ]),
            false => None,
        };
        let o = weights.stacked(program, &short("o_proj"), vec![plain("self_attn.o_proj", hidden, q)])?;
        let post_attention_norm = norm(weights, program, "post_attention_layernorm")?;
        let gate_up = [plain("mlp.gate_proj", mlp, hidden), plain("mlp.up_proj", mlp, hidden)];
        let gate_up = weights.alternating(program, &short("gate_up_proj"), gate_up)?;
        let down =
            weights.stacked(program, &short("down_proj"), vec![plain("mlp.down_proj", hidden, mlp)])?;
        let k_cache = program.buffer(short("k_cache"), cache_bytes, BufferKind::State);
        let v_cache = program.buffer(short("v_cache"), cache_bytes, BufferKind::State);
        Ok(Layer {
            input_norm,
            qkv,
            head_norms,
            o,
            post_attention_norm,
            gate_up,
            down,
            k_cache,
            v_cache,
            scratch: None,
        })
    }
}

impl Resident {
    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.config
    }

    pub(crate) fn step(&self) -> StepBuffers {
        self.step
    }

    /// One row: embeds the current token, samples the next one and makes it the current one.
    pub(crate) fn decode_plan(&self, program: &mut Program, executor: Executor) -> PlanId {
        let mut plan = match executor {
            Executor::Barriers => program.plan("decode", 1),
            Executor::Handover => program.plan_with_handover("decode_handover", 1),
        };
        let hidden = self.layers(&mut plan);
        let rows = self.rows(1);
        let logits = Activation::new(&mut plan, "logits", 1, self.config.vocab_size);
        linear(&mut plan, "lm_head", &self.head, (hidden, Some(self.norm)), rows, logits, Then::Store);
        plan.clear_handover();
        self.sample(&mut plan, logits, 1);
        plan.finish()
    }

    /// Up to `rows` rows from the mailbox; samples after the row that wants it, for one sequence.
    pub(crate) fn prefill_plan(&self, program: &mut Program, rows: u32) -> PlanId {
        let mut plan = program.plan(format!("prefill_{rows}"), rows);
        self.load_rows(&mut plan);
        let hidden = self.layers(&mut plan);
        let sampled = Rows { capacity: 1, count: self.step.layout.logit_count(self.step.step) };
        let last = Activation::new(&mut plan, "last", 1, self.config.hidden_size);
        let gather = gather_rows::GatherRows {
            cols: self.config.hidden_size,
            x_stride: hidden.stride,
            y_stride: last.stride,
        };
        let bindings = gather_rows::Bindings {
            x: hidden.slice,
            logit_count: sampled.count,
            logit_rows: self.step.layout.logit_rows(self.step.step),
            y: last.slice,
        };
        plan.dispatch("last_row", gather_rows::dispatch(&gather, 1, bindings));
        let logits = Activation::new(&mut plan, "logits", 1, self.config.vocab_size);
        linear(&mut plan, "lm_head", &self.head, (last, Some(self.norm)), sampled, logits, Then::Store);
        self.sample(&mut plan, logits, 1);
        plan.finish()
    }

    /// Up to `rows` rows from the mailbox; leaves the logits of all of them, f32 (rows, vocab), in the returned slice.
    pub(crate) fn score_plan(&self, program: &mut Program, rows: u32) -> (PlanId, Slice) {
        let stride = self.config.vocab_size.next_multiple_of(4);
        let logits = program.buffer("scores", u64::from(rows) * u64::from(stride) * 4, BufferKind::State);
        let mut plan = program.plan(format!("score_{rows}"), rows);
        self.load_rows(&mut plan);
        let hidden = self.layers(&mut plan);
        let to = Activation { slice: logits, stride };
        linear(&mut plan, "lm_head", &self.head, (hidden, Some(self.norm)), self.rows(rows), to, Then::Store);
        (plan.finish(), logits)
    }

    fn rows(&self, capacity: u32) -> Rows {
        Rows { capacity, count: self.step.layout.row_count(self.step.step) }
    }

    fn load_rows(&self, plan: &mut PlanBuilder) {
        let StepBuffers { layout, step, mailbox, sequences, history, .. } = self.step;
        let params = load_rows::Params {
            max_rows: layout.max_rows,
            slots: StepBuffers::SLOTS,
            context: self.shape.context,
        };
        let bindings = load_rows::Bindings { step, mailbox, sequences, history };
        plan.dispatch("load_rows", load_rows::dispatch(params, bindings));
    }

    /// The embedding and all layers: the residual stream after the last one.
    fn layers(&self, plan: &mut PlanBuilder) -> Activation {
        let config = &self.config;
        let capacity = plan.rows();
        let rows = self.rows(capacity);
        let mut hidden = Activation::handed_on(plan, "hidden", capacity, config.hidden_size);
        embedding(plan, &self.embed, rows, self.step.layout.rows(self.step.step), 1.0, hidden);
        for (index, layer) in self.layers.iter().enumerate() {
            let label = |part: &str| format!("layers.{index}.{part}");
            let attended = self.attention(plan, layer, &label, rows, hidden);
            let sum = Activation::handed_on(plan, &label("attention_sum"), capacity, config.hidden_size);
            linear(plan, &label("o_proj"), &layer.o, (attended, None), rows, sum, Then::AddTo(hidden));
            let gated = Activation::handed_on(plan, &label("gated"), capacity, config.intermediate_size);
            let normed = (sum, Some(layer.post_attention_norm));
            linear(plan, &label("gate_up_proj"), &layer.gate_up, normed, rows, gated, Then::SiluGated);
            hidden = Activation::handed_on(plan, &label("mlp_sum"), capacity, config.hidden_size);
            linear(plan, &label("down_proj"), &layer.down, (gated, None), rows, hidden, Then::AddTo(sum));
        }
        hidden
    }

    /// Projections to q, k and v, RoPE, the cache, and attention over it.
    fn attention(
        &self,
        plan: &mut PlanBuilder,
        layer: &Layer,
        label: &impl Fn(&str) -> String,
        rows: Rows,
        hidden: Activation,
    ) -> Activation {
        let DecoderConfig { num_attention_heads: heads, num_key_value_heads: kv_heads, head_dim, .. } =
            self.config;
        let (q_values, kv_values) = (heads * head_dim, kv_heads * head_dim);
        let step_rows = self.step.layout.rows(self.step.step);
        let qkv = Activation::handed_on(plan, &label("qkv"), rows.capacity, q_values + 2 * kv_values);
        linear(
            plan,
            &label("qkv_proj"),
            &layer.qkv,
            (hidden, Some(layer.input_norm)),
            rows,
            qkv,
            Then::Store,
        );

        let attention = attention_of(&self.config, &self.shape, self.cache, rows.capacity);
        let scratch = layer.scratch.filter(|_| attention.splits > 1);
        let (partials, counters) = (scratch.map(|s| s.partials), scratch.map(|s| s.counters));
        let attended = Activation::handed_on(plan, &label("attended"), rows.capacity, q_values);
        if rows.capacity == 1 {
            let rope = Rope {
                rotary_dim: head_dim,
                norm_eps: self.config.rms_norm_eps,
                qkv_stride: qkv.stride,
                handover: handover_of(plan, qkv.slice, attended.slice),
            };
            let bindings = attention::rope::Bindings {
                qkv: qkv.slice,
                head_norms: layer.head_norms,
                cos: self.cos,
                sin: self.sin,
                k_cache: layer.k_cache,
                v_cache: layer.v_cache,
                row_count: rows.count,
                step_rows,
                block_table: self.block_table,
                partials,
                counters,
                y: attended.slice,
            };
            plan.dispatch(label("attention"), attention::rope::dispatch(&attention, &rope, 1, bindings));
            return attended;
        }

        // Rows of one sequence attend to each other, so all keys and values are in the cache before any row begins.
        let q = Activation::new(plan, &label("q"), rows.capacity, q_values);
        let rope = RopeKv {
            cache: self.cache,
            heads,
            rotary_dim: head_dim,
            norm_eps: self.config.rms_norm_eps,
            qkv_stride: qkv.stride,
            q_offset: 0,
            k_offset: q_values,
            v_offset: q_values + kv_values,
            max_blocks: attention.max_blocks,
        };
        let bindings = rope_kv::Bindings {
            qkv: qkv.slice,
            q_norm: layer.head_norms.map(|[q, _]| q),
            k_norm: layer.head_norms.map(|[_, k]| k),
            cos: self.cos,
            sin: self.sin,
            row_count: rows.count,
            step_rows,
            block_table: self.block_table,
            q: q.slice,
            k_cache: layer.k_cache,
            v_cache: layer.v_cache,
        };
        plan.dispatch(label("rope_kv"), rope_kv::dispatch(&rope, rows.capacity, bindings));
        let bindings = attention::Bindings {
            q: q.slice,
            k_cache: layer.k_cache,
            v_cache: layer.v_cache,
            row_count: rows.count,
            step_rows,
            block_table: self.block_table,
            partials,
            counters,
            y: attended.slice,
        };
        plan.dispatch(label("attention"), attention::dispatch(&attention, rows.capacity, bindings));
        attended
    }

    /// From logits to the next token and the rows of the next step.
    fn sample(&self, plan: &mut PlanBuilder, logits: Activation, rows: u32) {
        let StepBuffers { layout, step, sequences, history, ring, .. } = self.step;
        let (vocab, stride, context) = (self.config.vocab_size, logits.stride, self.shape.context);
        let logit_count = layout.logit_count(step);

        let bindings = penalties::Bindings {
            logit_count,
            logit_rows: layout.logit_rows(step),
            step_rows: layout.rows(step),
            sequences,
            history,
            logits: logits.slice,
        };
        plan.dispatch(
            "penalties",
            penalties::dispatch(penalties::Params { vocab, stride, context }, rows, bindings),
        );

        let partials = plan.activation_bytes("argmax", argmax::partial_bytes(vocab, rows));
        let bindings = argmax::Bindings { logits: logits.slice, logit_count, partials };
        plan.dispatch("argmax", argmax::dispatch(argmax::Params { vocab, stride }, rows, bindings));

        let params = sample::Params {
            vocab,
            stride,
            pieces: argmax::pieces(vocab),
            context,
            ring_size: StepBuffers::RING_TOKENS,
            max_rows: layout.max_rows,
        };
        let scratch = self.sample_scratch;
        let bindings =
            sample::Bindings { logits: logits.slice, partials, step, sequences, history, ring, scratch };
        plan.dispatch("sample", sample::dispatch(params, rows, bindings));
    }
}

/// Attention of a plan for `rows` rows. Many workgroups share one row's context, so that it fills the card; many rows
/// fill it by themselves.
fn attention_of(config: &DecoderConfig, shape: &Shape, cache: KvLayout, rows: u32) -> Attention {
    Attention {
        cache,
        heads: config.num_attention_heads,
        scale: 1.0 / (config.head_dim as f32).sqrt(),
        window: 0,
        max_blocks: shape.context.div_ceil(KV_BLOCK),
        splits: if rows == 1 { shape.context.div_ceil(256).clamp(1, MAX_PARTS) } else { 1 },
        expected_positions: shape.context / 2,
    }
}
