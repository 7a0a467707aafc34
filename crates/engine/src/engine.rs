//! A model resident on a device, and the mailbox through which rows go there.

use crate::executor::{self, ChosenExecutor};
use crate::open::Source;
use crate::tuning::Tuning;
use crate::{EngineError, OpenModel};
use resident_kernels::pool_rows::Pooling;
use resident_kernels::rope_kv::KvType;
use resident_kernels::step::{NO_SEQUENCE, Row, SequenceParams, SlotHeader};
use resident_kernels::weights::WeightLayout;
use resident_kernels::{DeviceTraits, Dispatch, Slice};
use resident_ledger::{Ledger, class};
use resident_models::checkpoint::DecoderConfig;
use resident_models::{
    Executor, Handles, Model, Quantisation, RowFiller, Shape, SinkError, StepBuffers, WeightSink,
};
use resident_plan::{BufferKind, PlanId};
use resident_runtime::{Choice, Kind, Session, SessionBuilder, SessionOptions, Target, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Rows of the prefill plans: a short prompt goes through the small one, a long one in chunks of the large one.
const PREFILL_ROWS: [u32; 2] = [64, 512];
/// Rows of the plan that returns all logits.
const SCORE_ROWS: u32 = 64;
/// The most that the Vulkan crate allocates at once: 4 GiB − 2 MiB.
const MAX_BUFFER_BYTES: u64 = (4 << 30) - (2 << 20);

/// How a model is made resident.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Positions that the sequence can have.
    pub context: u32,
    /// Whether [`Engine::score`] will be called.
    pub score: bool,
    /// How [`Engine::embed`] pools, where it will be called.
    pub pooling: Option<Pooling>,
    /// How activations meet quantised weights.
    pub activations: Activations,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// How decode's steps wait for each other; `None` is the faster way of those that work here.
    pub executor: Option<Executor>,
    /// Whether the workgroups of decode are measured on a hardware GPU for which that has not been done yet.
    pub autotune: bool,
    /// Whether the device's speed at a matrix product is measured, for [`Engine::compute_limit`].
    pub measure_compute: bool,
    /// At most so much of the device's memory; `None` is as much as there is for this process.
    pub memory_bytes: Option<u64>,
    /// How the device is opened.
    pub session: SessionOptions,
}

impl EngineOptions {
    /// What generates fastest at a quality that nobody can tell from f32.
    pub fn fast(context: u32) -> Self {
        Self {
            context,
            score: false,
            pooling: None,
            activations: Activations::Auto,
            kv_type: KvType::F16,
            executor: None,
            autotune: true,
            measure_compute: false,
            memory_bytes: None,
            session: SessionOptions::default(),
        }
    }

    /// f32 everywhere but in the weights, and logits at every position: for comparing with other implementations.
    pub fn exact(context: u32) -> Self {
        let (activations, kv_type) = (Activations::F32, KvType::F32);
        Self { score: true, activations, kv_type, ..Self::fast(context) }
    }
}

/// The numbers that activations are multiplied as, where the weights are quantised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// 16-bit integers where the device has fast packed dot products, else f32.
    #[default]
    Auto,
    /// f32 everywhere.
    F32,
    /// 16-bit integers; refused on a device without packed dot products.
    Int16,
}

/// The traits that lead to the wanted activations.
fn with_activations(device: DeviceTraits, wanted: Activations) -> Result<DeviceTraits, EngineError> {
    match wanted {
        Activations::F32 => Ok(DeviceTraits { packed_dot_product: false, ..device }),
        Activations::Int16 if !device.packed_dot_product => {
            let problem = "int16 activations need a device with fast packed 8-bit dot products, this one has none; use f32";
            Err(EngineError::Request(problem.into()))
        }
        Activations::Auto | Activations::Int16 => Ok(device),
    }
}

/// Builds the model's program for the chosen device. Nothing is allocated yet.
pub(crate) fn build<'a>(
    model: &'a OpenModel,
    weights: Option<Quantisation>,
    choice: &Choice,
    options: &EngineOptions,
) -> Result<Model<'a>, EngineError> {
    let (max_buffer_bytes, device) = match &choice.target {
        Target::Vulkan(info) => {
            (info.limits.max_memory_allocation_bytes.min(MAX_BUFFER_BYTES), resident_runtime::traits_of(info))
        }
        Target::Cpu => (u64::MAX, DeviceTraits::LEAST),
    };
    let shape = Shape {
        context: options.context,
        max_sequences: 1,
        prefill_rows: PREFILL_ROWS.to_vec(),
        score_rows: options.score.then_some(SCORE_ROWS),
        pooling: options.pooling,
        kv_type: options.kv_type,
        executors: executor::candidates(options.executor, choice.kind()),
        max_buffer_bytes,
        device: with_activations(device, options.activations)?,
    };
    Ok(match (model.source(), weights) {
        (Source::Checkpoint(checkpoint), weights) => Model::build(checkpoint, weights, shape)?,
        (Source::Synthetic(spec), None) => Model::synthetic(spec, shape)?,
        (Source::Synthetic(spec), Some(weights)) => Model::synthetic(&spec.with_types(weights), shape)?,
    })
}

/// What a mailbox slot holds: rows of sequence 0 from `position` on, of which the last may want to be sampled.
pub(crate) fn slot_bytes(
    header: SlotHeader,
    params: SequenceParams,
    ids: &[u32],
    position: u32,
    sample_last: bool,
) -> Vec<u8> {
    let last = ids.len().wrapping_sub(1);
    let rows = (position..).zip(ids).enumerate().map(|(index, (position, token))| Row {
        token: *token,
        position,
        sequence: 0,
        wants_logits: (sample_last && index == last).into(),
    });
    let rows: Vec<Row> = rows.collect();
    [bytemuck::bytes_of(&header), bytemuck::bytes_of(&params), bytemuck::cast_slice(&rows)].concat()
}

/// Where in the mailbox the bytes of the load number `loads` go.
pub(crate) fn slot_of(step: &StepBuffers, loads: u32, bytes: &[u8]) -> Slice {
    let index = u64::from(loads % StepBuffers::SLOTS);
    step.mailbox.at(index * step.layout.slot_bytes(), bytes.len() as u64)
}

/// A resident model with one sequence.
pub struct Engine {
    pub(crate) session: Session,
    pub(crate) handles: Handles,
    /// The plan of a decode step.
    pub(crate) decode: PlanId,
    executor: ChosenExecutor,
    kv_type: KvType,
    pub(crate) config: DecoderConfig,
    pub(crate) context: u32,
    parameters: u64,
    weight_bytes: u64,
    weights_format: String,
    bandwidth_limit: f64,
    compute_limit: Option<f64>,
    /// Mailbox slots written so far.
    loads: u32,
    /// The submissions whose slots may still be unread, oldest first.
    unread: VecDeque<Ticket>,
    /// Tokens that the device has written to the ring so far.
    pub(crate) ring_head: u32,
    /// The tokens whose keys and values the cache holds, from position 0 on.
    pub(crate) cached: Vec<u32>,
}

/// Loads weights into a session under their ledger class.
struct Loading<'a>(&'a mut SessionBuilder);

impl WeightSink for Loading<'_> {
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
        Ok(self.0.load(slice, bytes, class::WEIGHTS)?)
    }

    fn fill(&mut self, slice: Slice, layout: WeightLayout, fill: RowFiller<'_>) -> Result<(), SinkError> {
        self.0.load_matrix(slice, layout, class::WEIGHTS, fill)
    }

    fn write_table(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
        Ok(self.0.load(slice, bytes, "tables")?)
    }

    fn run(&mut self, call: &Dispatch) -> Result<(), SinkError> {
        Ok(self.0.run(call)?)
    }
}

impl Engine {
    /// Builds the model's program, loads its weights into the chosen device, compiles, records and seals.
    /// `progress` hears of weight bytes done and in all.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`], before anything is allocated; whatever is wrong with model, device or options.
    pub fn load(
        model: &OpenModel,
        choice: &Choice,
        options: EngineOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, EngineError> {
        if model.has_no_head() && options.pooling.is_none() {
            let problem = "has no head, it was saved for embeddings and makes no text; use 'resident embed'";
            return Err(EngineError::Request(format!("{} {problem}", model.name())));
        }
        let mut built = build(model, model.weights(), choice, &options)?;
        crate::fit::check(model, choice, &options, &built)?;
        let EngineOptions { context, kv_type, executor: wanted, autotune, measure_compute, session, .. } =
            options;
        let mut program = std::mem::take(&mut built.program);
        let ledger = Arc::new(Ledger::new());
        if let (Target::Vulkan(info), Kind::Gpu, true) = (&choice.target, choice.kind(), autotune) {
            let plans: Vec<PlanId> = built.handles.decode.iter().map(|(_, plan)| *plan).collect();
            Tuning::of(info, &program, &plans, &ledger, &session)?.apply(&mut program);
        }
        let mut builder = SessionBuilder::new(&choice.target, program, ledger, session)?;
        let weight_bytes = built.weight_bytes();
        built.load(&mut Loading(&mut builder), &mut |done| progress(done, weight_bytes))?;
        let bandwidth_limit = builder.measure_read_bandwidth()?;
        let compute_limit = measure_compute.then(|| builder.measure_matrix_product()).transpose()?;
        let (executor, decode) = executor::choose(&mut builder, &built.handles, wanted, context)?;
        let Handles { score, embed, .. } = &built.handles;
        let scores = score.iter().map(|score| (score.logits, "logits"));
        let embeddings = embed.iter().map(|embed| (embed.embedding, "embeddings"));
        let session = builder.seal(&scores.chain(embeddings).collect::<Vec<_>>())?;
        Ok(Self {
            session,
            handles: built.handles.clone(),
            decode,
            executor,
            kv_type,
            config: built.config.clone(),
            context,
            parameters: built.parameters,
            weight_bytes,
            weights_format: built.weights_format(),
            bandwidth_limit,
            compute_limit,
            loads: 0,
            unread: VecDeque::new(),
            ring_head: 0,
            cached: Vec::new(),
        })
    }

    /// Sizes and constants of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Positions that the sequence can have.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Bytes of the weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Their format there: `q8_0`, or all of them by share where they are mixed.
    pub fn weights_format(&self) -> &str {
        &self.weights_format
    }

    /// What decode multiplies weights with: `f32`, or `int16` where some matrices meet 16-bit integers.
    pub fn activations(&self) -> &'static str {
        let steps = &self.session.program().plan_of(self.decode).steps;
        let int16 = steps.iter().any(|step| step.dispatch.kernel.name.ends_with("_int16"));
        if int16 { "int16" } else { "f32" }
    }

    /// Element type of the KV cache.
    pub fn kv_type(&self) -> KvType {
        self.kv_type
    }

    /// How decode's steps wait for each other, and why.
    pub fn executor(&self) -> &ChosenExecutor {
        &self.executor
    }

    /// The account book of the run.
    pub fn ledger(&self) -> &Ledger {
        self.session.ledger()
    }

    /// Weight bytes that a decode step reads, by the plan's own account.
    pub fn weight_bytes_per_token(&self) -> u64 {
        self.session.program().plan_of(self.decode).cost().weight_bytes
    }

    /// Operations a second of a matrix product on this device, if that was to be measured while loading.
    pub fn compute_limit(&self) -> Option<f64> {
        self.compute_limit
    }

    /// Operations of a decode step, without attention's, which grow with the context.
    pub fn operations_per_token(&self) -> u64 {
        let steps = &self.session.program().plan_of(self.decode).steps;
        let linear = steps.iter().map(|step| step.dispatch.cost).filter(|cost| cost.weight_bytes > 0);
        linear.map(|cost| cost.operations).sum()
    }

    /// Bytes a second of a streaming read on this device, measured while loading.
    pub fn bandwidth_limit(&self) -> f64 {
        self.bandwidth_limit
    }

    /// Bytes of the program's buffers by kind.
    pub fn memory(&self) -> BTreeMap<String, u64> {
        let program = self.session.program();
        let kinds = [
            ("weights", BufferKind::Weight),
            ("state", BufferKind::State),
            ("handover", BufferKind::Handover),
            ("mailbox", BufferKind::Mailbox),
            ("ring", BufferKind::Ring),
        ];
        let arena = program.plans.iter().map(|plan| resident_plan::Arena::of(program, plan).bytes).max();
        let declared = kinds.map(|(name, kind)| (name.to_owned(), program.bytes_of(kind)));
        declared.into_iter().chain([("activations".to_owned(), arena.unwrap_or(0))]).collect()
    }

    /// What the validation layer had to say, where it watches.
    pub fn validation_messages(&self) -> Vec<String> {
        self.session.validation_messages()
    }

    /// Refuses ids outside the vocabulary, and sequences longer than the context.
    pub(crate) fn check_tokens(&self, first_position: u32, ids: &[u32]) -> Result<(), EngineError> {
        let vocab = self.config.vocab_size;
        if let Some(index) = ids.iter().position(|id| *id >= vocab) {
            let id = ids[index];
            let message =
                format!("token {index} is {id}, expected less than {vocab}, the size of the vocabulary");
            return Err(EngineError::Request(message));
        }
        if ids.is_empty() {
            return Err(EngineError::Request(
                "no tokens: the prompt is empty and the model has no token to begin with".into(),
            ));
        }
        let end = u64::from(first_position) + ids.len() as u64;
        if end > u64::from(self.context) {
            let message = format!("{end} tokens are longer than the context of {}", self.context);
            return Err(EngineError::Request(message));
        }
        Ok(())
    }

    /// Writes `ids` as rows of sequence 0 from `position` on into the next mailbox slot and replays `plan`.
    pub(crate) fn submit_rows(
        &mut self,
        plan: PlanId,
        ids: &[u32],
        position: u32,
        sample_last: bool,
        params: Option<SequenceParams>,
    ) -> Result<Ticket, EngineError> {
        if self.unread.len() == StepBuffers::SLOTS as usize {
            let oldest = self.unread.pop_front().expect("as many as there are slots");
            self.session.wait(oldest)?;
        }
        let header = SlotHeader {
            row_count: ids.len() as u32,
            params_sequence: if params.is_some() { 0 } else { NO_SEQUENCE },
            sets_ring_head: params.is_some().into(),
            ring_head: self.ring_head,
        };
        self.cached.truncate(position as usize);
        if self.cached.len() == position as usize {
            self.cached.extend_from_slice(ids);
        }
        let bytes = slot_bytes(header, params.unwrap_or_default(), ids, position, sample_last);
        let slot = slot_of(&self.handles.step, self.loads, &bytes);
        self.session.write_mailbox(slot, &bytes, "inputs");
        self.loads = self.loads.wrapping_add(1);
        let ticket = self.session.submit(&[plan])?;
        self.unread.push_back(ticket);
        Ok(ticket)
    }

    /// The prefill plan for `tokens` more tokens: the smallest that holds them, else the largest.
    pub(crate) fn prefill_plan(&self, tokens: usize) -> (u32, PlanId) {
        let plans = &self.handles.prefill;
        let fitting = plans.iter().find(|(rows, _)| *rows as usize >= tokens);
        *fitting.or(plans.last()).expect("a program has prefill plans")
    }
}
