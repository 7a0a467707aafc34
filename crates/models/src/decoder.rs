//! The decoder-only transformer that the architectures share: its weights and the plans that run it.
//!
//! One function builds the layers for any number of rows. A decode plan has one row and feeds the token it samples to the
//! next replay; a prefill plan takes rows from the mailbox and samples after the last one; a score plan keeps the logits
//! of all its rows for the host.

use crate::checkpoint::{Checkpoint, ConfigReader, DecoderConfig, ROPE_FREQ_FACTORS, Rope};
use crate::error::ModelError;
use crate::experts::ExpertShape;
use crate::layer_weights::{Layer, LayerBuilder, Mlp};
use crate::layers::{Activation, Norm, Rows, Then, add_to_stream, embedding, handover_of, linear, norm_rows};
use crate::model::{Executor, Shape, StepBuffers};
use crate::rope;
use crate::weights::{Matrix, SinkError, Source, WeightPlan, WeightSink};
use resident_kernels::attention::{self, Attention};
use resident_kernels::linear::Epilogue;
use resident_kernels::pool_rows::{self, PoolRows, Pooling};
use resident_kernels::rope_kv::{self, KV_BLOCK, KvLayout, RopeKv};
use resident_kernels::{Slice, argmax, gather_rows, load_rows, penalties, sample};
use resident_plan::{BufferKind, PlanBuilder, PlanId, Program};

/// What an architecture is made of.
pub(crate) struct Decoder {
    /// Sizes and constants.
    pub(crate) config: DecoderConfig,
    /// How each layer attends, and whether it has experts.
    pub(crate) layers: Vec<LayerKind>,
    /// Rotary positions that layers have beside `config.rope`.
    pub(crate) other_ropes: Vec<Rope>,
    /// Whether every head of q and k goes through an RMSNorm before it is rotated.
    pub(crate) normalise_heads: bool,
    /// Whether what attention and MLP return is normalised before it joins the residual stream.
    pub(crate) normalise_results: bool,
    /// Added to the stored weights of every norm.
    pub(crate) norm_offset: f32,
    /// Which projections have biases.
    pub(crate) biases: Biases,
    /// Whether q, k and v, and gate and up, are one tensor each.
    pub(crate) fused: bool,
    /// What the MLP makes of gate and up.
    pub(crate) gate: Epilogue,
    /// Factor on embeddings.
    pub(crate) embed_scale: f32,
    /// Factor on attention's scores.
    pub(crate) attention_scale: f32,
    /// Soft cap of attention's scores.
    pub(crate) attention_cap: Option<f32>,
    /// Soft cap of the logits.
    pub(crate) logit_cap: Option<f32>,
    /// The experts of the layers that have some.
    pub(crate) experts: Option<ExpertShape>,
}

/// What distinguishes a layer from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerKind {
    /// Positions that a row attends to, its own included; 0 means all.
    pub(crate) window: u32,
    /// Its rotary positions: 0 is `config.rope`, n the n-th of `other_ropes`.
    pub(crate) rope: usize,
    /// Whether its MLP is made of experts.
    pub(crate) has_experts: bool,
}

/// Projections that add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Biases {
    /// q, k and v.
    pub(crate) qkv: bool,
    /// Attention's output.
    pub(crate) o: bool,
    /// gate, up and down.
    pub(crate) mlp: bool,
}

impl Biases {
    /// As the configuration has it, or in GGUF, which has no key for them, as there are tensors.
    pub(crate) fn take(keys: &mut ConfigReader, checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        if checkpoint.is_gguf() {
            let has = |part: &str| checkpoint.has_tensor(&format!("model.layers.0.{part}.bias"));
            let [qkv, o] = ["self_attn.q_proj", "self_attn.o_proj"].map(has);
            return Ok(Self { qkv, o, mlp: has("mlp.gate_proj") });
        }
        let attention = keys.take_opt("attention_bias")?.unwrap_or(false);
        Ok(Self { qkv: attention, o: attention, mlp: keys.take_opt("mlp_bias")?.unwrap_or(false) })
    }
}

impl Decoder {
    /// Llama's maths: everything else sets the fields in which it differs.
    pub(crate) fn plain(config: DecoderConfig) -> Self {
        Self {
            layers: vec![LayerKind::default(); config.num_hidden_layers as usize],
            other_ropes: Vec::new(),
            normalise_heads: false,
            normalise_results: false,
            norm_offset: 0.0,
            biases: Biases::default(),
            fused: false,
            gate: Epilogue::SiluGated,
            embed_scale: 1.0,
            attention_scale: 1.0 / (config.head_dim as f32).sqrt(),
            attention_cap: None,
            logit_cap: None,
            experts: None,
            config,
        }
    }

    /// With the window of each layer.
    pub(crate) fn with_windows(mut self, windows: Vec<u32>) -> Self {
        self.layers.iter_mut().zip(windows).for_each(|(layer, window)| layer.window = window);
        self
    }
}

/// All weights, caches and tables of a model.
pub(crate) struct Resident {
    decoder: Decoder,
    shape: Shape,
    step: StepBuffers,
    cache: KvLayout,
    embed: Matrix,
    layers: Vec<Layer>,
    norm: Norm,
    head: Matrix,
    /// Cosines and sines, by the layers' `rope`.
    ropes: Vec<[Slice; 2]>,
    block_table: Slice,
    sample_scratch: Slice,
}

/// Scratch of split attention: zeroed counters, and results of parts.
#[derive(Clone, Copy)]
pub(crate) struct AttentionScratch {
    partials: Slice,
    counters: Slice,
}

impl AttentionScratch {
    /// Scratch for one row, where its attention is split.
    fn declare(program: &mut Program, attention: &Attention, name: &str) -> Option<Self> {
        let mut buffer = |part, bytes| program.buffer(format!("{name}.{part}"), bytes, BufferKind::State);
        (attention::rope::most_parts(attention) > 1).then(|| Self {
            partials: buffer("partials", attention::rope::partial_bytes(attention, 1)),
            counters: buffer("counters", attention::rope::counter_bytes(attention, 1)),
        })
    }
}

/// What is written at the start and comes from no tensor. It is made when it is written: a program is planned without.
pub(crate) enum Table {
    /// Cosines and sines of all positions.
    Rope { slices: [Slice; 2], rope: Rope, rotary_dim: u32, factors: Option<Vec<f32>>, positions: u32 },
    /// Which block of the KV cache holds which positions.
    Blocks { slice: Slice, blocks: u32 },
}

impl Table {
    pub(crate) fn write(&self, sink: &mut dyn WeightSink) -> Result<(), SinkError> {
        match self {
            Self::Rope { slices, rope, rotary_dim, factors, positions } => {
                let tables = rope::tables(rope, *rotary_dim, factors.as_deref(), *positions);
                let mut both = slices.iter().zip(&tables);
                both.try_for_each(|(slice, table)| sink.write_table(*slice, bytemuck::cast_slice(table)))
            }
            Self::Blocks { slice, blocks } => {
                let table: Vec<u32> = (0..*blocks).collect();
                sink.write_table(*slice, bytemuck::cast_slice(&table))
            }
        }
    }
}

impl Decoder {
    /// Declares weights, caches, tables and step buffers.
    pub(crate) fn declare(
        self,
        program: &mut Program,
        weights: &mut WeightPlan,
        shape: Shape,
    ) -> Result<(Resident, Vec<Table>), ModelError> {
        let config = &self.config;
        let query_width = config.num_attention_heads * config.head_dim;
        if !query_width.is_multiple_of(4) {
            let (heads, head_dim) = (config.num_attention_heads, config.head_dim);
            return Err(ModelError::Shape(format!(
                "{heads} heads of head_dim {head_dim} are {query_width} values, expected a multiple of 4: the kernels read 16 bytes at a time"
            )));
        }
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let whole = |tensor: &str| vec![Source::matrix(tensor.to_owned(), vocab, hidden)];
        let embed = weights.stacked(program, "embed_tokens", whole("model.embed_tokens.weight"))?;
        let mut layers = Vec::new();
        let cache = KvLayout {
            dtype: shape.kv_type,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        };
        let blocks = shape.context.div_ceil(KV_BLOCK);
        // Sizes of a damaged file: the tensors' shapes and the device's memory refuse them, an overflow must not.
        let cache_bytes = u64::from(blocks * shape.max_sequences).saturating_mul(cache.block_bytes());
        if cache_bytes > KvLayout::MAX_BYTES {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            return Err(ModelError::Shape(format!(
                "a context of {} tokens takes {:.1} GiB for the keys of one layer, expected at most {:.0}; ask for fewer tokens or a shorter context",
                shape.context,
                gib(cache_bytes),
                gib(KvLayout::MAX_BYTES)
            )));
        }
        // As for a layer without a window: no other has more parts.
        let decode = attention_of(&self, 0, &shape, cache);
        let mut scratch = None;
        for index in 0..config.num_hidden_layers {
            // Layers that meet no barrier do not share it.
            if scratch.is_none() || shape.executors.contains(&Executor::Handover) {
                scratch = AttentionScratch::declare(program, &decode, &format!("layers.{index}.attention"));
            }
            let builder = LayerBuilder { decoder: &self, index };
            layers.push(builder.declare(program, weights, cache_bytes, scratch)?);
        }
        let eps = config.rms_norm_eps;
        let norm = weights.norm(program, "model.norm.weight".into(), hidden, self.norm_offset)?;
        let norm = Norm { weight: norm, eps };
        let head = if config.tie_word_embeddings {
            if let Some(checkpoint) = weights.checkpoint() {
                checkpoint.ignore_tensor("lm_head.weight");
            }
            embed.clone()
        } else {
            weights.stacked(program, "lm_head", whole("lm_head.weight"))?
        };

        let factors = match weights.checkpoint() {
            Some(checkpoint) => {
                let factors = rope_factors(checkpoint, ROPE_FREQ_FACTORS, config.rotary_dim)?;
                checkpoint.refuse_unused_tensors()?;
                factors
            }
            None => None,
        };
        let mut tables = Vec::new();
        let mut ropes = Vec::new();
        for (index, rope) in [&config.rope].into_iter().chain(&self.other_ropes).enumerate() {
            let name = if index == 0 { "rope".to_owned() } else { format!("rope.{index}") };
            let bytes = rope::table_bytes(config.rotary_dim, shape.context);
            let slices = ["cos", "sin"]
                .map(|part| program.buffer(format!("{name}.{part}"), bytes, BufferKind::Weight));
            tables.push(Table::Rope {
                slices,
                rope: rope.clone(),
                rotary_dim: config.rotary_dim,
                factors: factors.clone().filter(|_| index == 0),
                positions: shape.context,
            });
            ropes.push(slices);
        }
        let blocks = blocks * shape.max_sequences;
        let block_table = program.buffer("block_table", u64::from(blocks) * 4, BufferKind::Weight);
        tables.push(Table::Blocks { slice: block_table, blocks });
        let step = StepBuffers::declare(program, &shape);
        let sample_scratch = program.buffer("sample.scratch", sample::scratch_bytes(1), BufferKind::State);
        let resident = Resident {
            decoder: self,
            shape,
            step,
            cache,
            embed,
            layers,
            norm,
            head,
            ropes,
            block_table,
            sample_scratch,
        };
        Ok((resident, tables))
    }
}

/// The divisors of RoPE's frequencies in this tensor, one a pair, where the file has it.
pub(crate) fn rope_factors(
    checkpoint: &Checkpoint,
    tensor: &str,
    rotary_dim: u32,
) -> Result<Option<Vec<f32>>, ModelError> {
    if !checkpoint.has_tensor(tensor) {
        return Ok(None);
    }
    let view = checkpoint.tensor_shaped(tensor, &[u64::from(rotary_dim / 2)])?;
    let factors = view.to_f32();
    match factors.iter().position(|factor| !factor.is_normal()) {
        None => Ok(Some(factors)),
        Some(index) => Err(ModelError::NonFinite {
            file: checkpoint.label().to_owned(),
            tensor: tensor.to_owned(),
            index: index as u64,
        }),
    }
}

impl Resident {
    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.decoder.config
    }

    /// Bytes of all layers' keys and values.
    pub(crate) fn kv_cache_bytes(&self) -> u64 {
        let caches = self.layers.iter().flat_map(|layer| [layer.k_cache, layer.v_cache]);
        caches.map(|cache| cache.bytes).fold(0, u64::saturating_add)
    }

    /// What becomes of the head's products.
    fn logits(&self) -> Then {
        self.decoder.logit_cap.map_or(Then::Store, Then::SoftCap)
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
        let logits = Activation::new(&mut plan, "logits", 1, self.config().vocab_size);
        linear(&mut plan, "lm_head", &self.head, (hidden, Some(self.norm)), rows, logits, self.logits());
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
        let last = Activation::new(&mut plan, "last", 1, self.config().hidden_size);
        let gather = gather_rows::GatherRows {
            cols: self.config().hidden_size,
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
        let logits = Activation::new(&mut plan, "logits", 1, self.config().vocab_size);
        linear(&mut plan, "lm_head", &self.head, (last, Some(self.norm)), sampled, logits, self.logits());
        self.sample(&mut plan, logits, 1);
        plan.finish()
    }

    /// Up to `rows` rows from the mailbox; leaves the logits of all of them, f32 (rows, vocab), in the returned slice.
    pub(crate) fn score_plan(&self, program: &mut Program, rows: u32) -> (PlanId, Slice) {
        let stride = self.config().vocab_size.next_multiple_of(4);
        let logits = program.buffer("scores", u64::from(rows) * u64::from(stride) * 4, BufferKind::State);
        let mut plan = program.plan(format!("score_{rows}"), rows);
        self.load_rows(&mut plan);
        let hidden = self.layers(&mut plan);
        let to = Activation { slice: logits, stride, packed: None };
        linear(
            &mut plan,
            "lm_head",
            &self.head,
            (hidden, Some(self.norm)),
            self.rows(rows),
            to,
            self.logits(),
        );
        (plan.finish(), logits)
    }

    /// Up to `rows` rows from the mailbox, of one text; leaves what all rows of the text so far pool to behind the final norm,
    /// f32 (hidden), in the returned slice.
    pub(crate) fn embed_plan(&self, program: &mut Program, rows: u32, pooling: Pooling) -> (PlanId, Slice) {
        let cols = self.config().hidden_size;
        let embedding = program.buffer("embedding", u64::from(cols) * 4, BufferKind::State);
        let mut plan = program.plan(format!("embed_{rows}"), rows);
        self.load_rows(&mut plan);
        let hidden = self.layers(&mut plan);
        let normed = Activation::new(&mut plan, "normed", rows, cols);
        norm_rows(&mut plan, "norm".to_owned(), (hidden, self.norm), cols, self.rows(rows), normed, None);
        let bindings = pool_rows::Bindings {
            x: normed.slice,
            row_count: self.rows(rows).count,
            step_rows: self.step.layout.rows(self.step.step),
            y: embedding,
        };
        let pool = PoolRows { cols, stride: normed.stride, pooling };
        plan.dispatch("pool", pool_rows::dispatch(&pool, rows, bindings));
        (plan.finish(), embedding)
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
        let config = self.config();
        let capacity = plan.rows();
        let rows = self.rows(capacity);
        let mut hidden = Activation::handed_on(plan, "hidden", capacity, config.hidden_size);
        let step_rows = self.step.layout.rows(self.step.step);
        embedding(plan, &self.embed, rows, step_rows, self.decoder.embed_scale, hidden);
        for (index, layer) in self.layers.iter().enumerate() {
            let label = |part: &str| format!("layers.{index}.{part}");
            let attended = self.attention(plan, layer, &label, rows, hidden);
            let [attention_norm, mlp_norm] = layer.result_norms.map_or([None; 2], |norms| norms.map(Some));
            let sum = Activation::handed_on(plan, &label("attention_sum"), capacity, config.hidden_size);
            add_to_stream(plan, &label("o_proj"), &layer.o, (attended, attention_norm), rows, hidden, sum);
            let next = |plan: &mut PlanBuilder| {
                Activation::handed_on(plan, &label("mlp_sum"), capacity, config.hidden_size)
            };
            hidden = match &layer.mlp {
                Mlp::Dense { gate_up, down } => {
                    let name = label("gated");
                    let gated = Activation::handed_on(plan, &name, capacity, config.intermediate_size)
                        .with_planes(plan, &name, gate_up, down);
                    let (normed, then) = ((sum, Some(layer.mlp_norm)), Then::Gated(self.decoder.gate));
                    linear(plan, &label("gate_up_proj"), gate_up, normed, rows, gated, then);
                    let hidden = next(plan);
                    add_to_stream(plan, &label("down_proj"), down, (gated, mlp_norm), rows, sum, hidden);
                    hidden
                }
                Mlp::Experts(experts) => {
                    let hidden = next(plan);
                    experts.add_to_stream(plan, &label, layer.mlp_norm, rows, sum, hidden);
                    hidden
                }
            };
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
            *self.config();
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

        let attention = attention_of(&self.decoder, layer.kind.window, &self.shape, self.cache);
        let [cos, sin] = self.ropes[layer.kind.rope];
        let rotary_dim = self.config().rotary_dim;
        let attended = Activation::handed_on(plan, &label("attended"), rows.capacity, q_values);
        if rows.capacity == 1 {
            let scratch = layer.scratch.filter(|_| attention::rope::most_parts(&attention) > 1);
            let rope = attention::rope::Rope {
                rotary_dim,
                norm_eps: self.config().rms_norm_eps,
                qkv_stride: qkv.stride,
                handover: handover_of(plan, qkv.slice, attended.slice),
            };
            let bindings = attention::rope::Bindings {
                qkv: qkv.slice,
                head_norms: layer.head_norms,
                cos,
                sin,
                k_cache: layer.k_cache,
                v_cache: layer.v_cache,
                row_count: rows.count,
                step_rows,
                block_table: self.block_table,
                partials: scratch.map(|scratch| scratch.partials),
                counters: scratch.map(|scratch| scratch.counters),
                y: attended.slice,
            };
            let call = attention::rope::dispatch(&attention, &rope, 1, plan.device(), bindings);
            plan.dispatch(label("attention"), call);
            return attended;
        }

        // Rows of one sequence attend to each other, so all keys and values are in the cache before any row begins.
        let q = Activation::new(plan, &label("q"), rows.capacity, q_values);
        let rope = RopeKv {
            cache: self.cache,
            heads,
            rotary_dim,
            norm_eps: self.config().rms_norm_eps,
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
            cos,
            sin,
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
            y: attended.slice,
        };
        plan.dispatch(label("attention"), attention::dispatch(&attention, rows.capacity, bindings));
        attended
    }

    /// From logits to the next token and the rows of the next step.
    fn sample(&self, plan: &mut PlanBuilder, logits: Activation, rows: u32) {
        let StepBuffers { layout, step, sequences, history, ring, .. } = self.step;
        let (vocab, stride, context) = (self.config().vocab_size, logits.stride, self.shape.context);
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

/// Attention of a layer with this window.
fn attention_of(decoder: &Decoder, window: u32, shape: &Shape, cache: KvLayout) -> Attention {
    let positions = if window == 0 { shape.context } else { window.min(shape.context) };
    Attention {
        cache,
        heads: decoder.config.num_attention_heads,
        scale: decoder.attention_scale,
        window,
        soft_cap: decoder.attention_cap,
        max_blocks: shape.context.div_ceil(KV_BLOCK),
        expected_positions: positions.min(shape.context / 2),
    }
}
