//! A model ready to become resident: program, plans and the weights that fill it.

use crate::checkpoint::{Checkpoint, DecoderConfig, RopeScaling};
use crate::decoder::{Decoder, Table};
use crate::error::ModelError;
use crate::quantisation::{ModelFacts, Quantisation};
use crate::synth::SynthSpec;
use crate::weights::{Origin, WeightPlan, WeightSink};
use crate::{gemma2, gemma3, llama, mistral, phi3, qwen2, qwen3, qwen3_moe, smollm3};
use resident_kernels::pool_rows::Pooling;
use resident_kernels::rope_kv::KvType;
use resident_kernels::step::{SequenceParams, StepLayout};
use resident_kernels::{DeviceTraits, Slice};
use resident_plan::{BufferKind, PlanId, Program};

/// How large a program is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Positions a sequence can have.
    pub context: u32,
    /// Sequences that the KV cache has room for.
    pub max_sequences: u32,
    /// Rows of the prefill plans, ascending.
    pub prefill_rows: Vec<u32>,
    /// Rows of the plan that returns all logits, where it is wanted.
    pub score_rows: Option<u32>,
    /// How the plan that returns embeddings pools, where it is wanted.
    pub pooling: Option<Pooling>,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// For which executors there is a decode plan.
    pub executors: Vec<Executor>,
    /// The largest buffer that the device allocates.
    pub max_buffer_bytes: u64,
    /// What the kernels' variants are chosen for.
    pub device: DeviceTraits,
}

impl Shape {
    /// The most rows of any plan.
    pub(crate) fn max_rows(&self) -> u32 {
        self.prefill_rows.iter().copied().chain(self.score_rows).max().unwrap_or(1)
    }
}

/// The buffers through which host and device talk about steps; see [`resident_kernels::step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepBuffers {
    /// Where things lie in `step` and in a mailbox slot.
    pub layout: StepLayout,
    /// The step state.
    pub step: Slice,
    /// Sampling parameters by sequence.
    pub sequences: Slice,
    /// Tokens by sequence and position.
    pub history: Slice,
    /// Rows from the host, [`StepBuffers::SLOTS`] slots.
    pub mailbox: Slice,
    /// Tokens to the host, [`StepBuffers::RING_TOKENS`] words.
    pub ring: Slice,
}

impl StepBuffers {
    /// Mailbox slots: submissions that may be under way at once.
    pub const SLOTS: u32 = 4;
    /// Tokens that the ring holds.
    pub const RING_TOKENS: u32 = 4096;

    pub(crate) fn declare(program: &mut Program, shape: &Shape) -> Self {
        let layout = StepLayout { max_rows: shape.max_rows() };
        let (sequences, context) = (u64::from(shape.max_sequences), u64::from(shape.context));
        Self {
            layout,
            step: program.buffer("step", layout.step_bytes(), BufferKind::State),
            sequences: program.buffer(
                "sequences",
                sequences * size_of::<SequenceParams>() as u64,
                BufferKind::State,
            ),
            history: program.buffer("history", sequences * context * 4, BufferKind::State),
            mailbox: program.buffer(
                "mailbox",
                u64::from(Self::SLOTS) * layout.slot_bytes(),
                BufferKind::Mailbox,
            ),
            ring: program.buffer("ring", u64::from(Self::RING_TOKENS) * 4, BufferKind::Ring),
        }
    }
}

/// The plan that returns all logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScorePlan {
    /// Rows it holds.
    pub rows: u32,
    /// The plan.
    pub plan: PlanId,
    /// f32 (rows, vocab rounded up to 4), after a replay.
    pub logits: Slice,
}

/// The plan that returns embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmbedPlan {
    /// Rows it holds.
    pub rows: u32,
    /// The plan.
    pub plan: PlanId,
    /// f32 (hidden), after the replays of all of a text's rows.
    pub embedding: Slice,
}

/// How the steps of a decode plan wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executor {
    /// At barriers, where they share bytes: works on every device.
    Barriers,
    /// At the words that they read, which say by themselves that they are there
    /// ([`resident_kernels::handover`]): for devices that pass a self-test.
    Handover,
}

impl Executor {
    /// The name in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Executor::Barriers => "barriers",
            Executor::Handover => "handover",
        }
    }
}

/// What a runner of the program needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Handles {
    /// One token in, the next one out: the same steps for every executor of the shape.
    pub decode: Vec<(Executor, PlanId)>,
    /// Prefill plans with their rows, ascending.
    pub prefill: Vec<(u32, PlanId)>,
    /// The plan that returns all logits.
    pub score: Option<ScorePlan>,
    /// The plan that returns embeddings.
    pub embed: Option<EmbedPlan>,
    /// Buffers between host and device.
    pub step: StepBuffers,
}

/// A model: its program and how to fill it.
pub struct Model<'a> {
    /// Sizes and constants.
    pub config: DecoderConfig,
    /// Buffers and plans.
    pub program: Program,
    /// The program's entrances.
    pub handles: Handles,
    /// Number of parameters.
    pub parameters: u64,
    /// Bytes of the KV cache.
    pub kv_cache_bytes: u64,
    weights: WeightPlan<'a>,
    tables: Vec<Table>,
}

/// The context length that a checkpoint was made for.
pub fn max_context(checkpoint: &Checkpoint) -> Result<u32, ModelError> {
    Ok(read(checkpoint)?.config.max_position_embeddings)
}

pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Decoder, ModelError> {
    match checkpoint.architecture() {
        "gemma2" => gemma2::read(checkpoint),
        "gemma3" | "gemma3_text" => gemma3::read(checkpoint),
        "llama" => llama::read(checkpoint),
        "mistral" => mistral::read(checkpoint),
        "phi3" => phi3::read(checkpoint),
        "qwen2" => qwen2::read(checkpoint),
        "qwen3" => qwen3::read(checkpoint),
        "qwen3_moe" | "qwen3moe" => qwen3_moe::read(checkpoint),
        "smollm3" => smollm3::read(checkpoint),
        other => Err(ModelError::UnknownArchitecture {
            file: checkpoint.label().to_owned(),
            architecture: other.to_owned(),
            have: "gemma2, gemma3, llama, mistral, phi3, qwen2, qwen3, qwen3_moe, smollm3".to_owned(),
        }),
    }
}

/// The weights of a synthetic model, none of them in parts.
pub(crate) fn synthetic_weights(spec: &SynthSpec) -> Result<WeightPlan<'static>, ModelError> {
    let shape = Shape {
        context: 1,
        max_sequences: 1,
        prefill_rows: Vec::new(),
        score_rows: None,
        pooling: None,
        kv_type: KvType::F16,
        executors: Vec::new(),
        max_buffer_bytes: u64::MAX,
        device: DeviceTraits::LEAST,
    };
    Ok(Model::synthetic(spec, shape)?.weights)
}

impl<'a> Model<'a> {
    /// Builds the program of a checkpoint; nothing is read yet but its directory. Matrices of more bits than `weights`
    /// has are rounded to it when they are read.
    ///
    /// # Errors
    /// Whatever of the checkpoint is not understood, missing or of the wrong shape or type.
    pub fn build(
        checkpoint: &'a Checkpoint,
        weights: Option<Quantisation>,
        shape: Shape,
    ) -> Result<Self, ModelError> {
        let decoder = read(checkpoint)?;
        let longest = decoder.config.max_position_embeddings;
        if shape.context > longest {
            let reason = match decoder.config.rope.scaling {
                RopeScaling::LongRope { original_max_position_embeddings: original, .. } => format!(
                    "the long_factor of its \"longrope\" for more than original_max_position_embeddings = {original} \
                     is not supported"
                ),
                _ => format!("the model was made for {longest}"),
            };
            return Err(ModelError::Shape(format!(
                "{}: a context of {} tokens was asked for, {reason}",
                checkpoint.label(),
                shape.context
            )));
        }
        Self::of(decoder, Origin::Checkpoint(checkpoint, weights), shape)
    }

    /// Builds the program of a synthetic model.
    ///
    /// # Errors
    /// None that a listed shape can have.
    pub fn synthetic(spec: &SynthSpec, shape: Shape) -> Result<Self, ModelError> {
        Self::of(spec.decoder(), Origin::Synthetic(spec.types), shape)
    }

    fn of(decoder: Decoder, origin: Origin<'a>, shape: Shape) -> Result<Self, ModelError> {
        let mut program = Program { device: shape.device, ..Program::default() };
        let facts =
            ModelFacts { layers: decoder.config.num_hidden_layers, tied: decoder.config.tie_word_embeddings };
        let mut weights = WeightPlan::new(origin, facts, shape.max_buffer_bytes);
        let (resident, tables) = decoder.declare(&mut program, &mut weights, shape.clone())?;
        let decode = shape
            .executors
            .iter()
            .map(|executor| (*executor, resident.decode_plan(&mut program, *executor)))
            .collect();
        let prefill = shape
            .prefill_rows
            .iter()
            .map(|rows| (*rows, resident.prefill_plan(&mut program, *rows)))
            .collect();
        let score = shape.score_rows.map(|rows| {
            let (plan, logits) = resident.score_plan(&mut program, rows);
            ScorePlan { rows, plan, logits }
        });
        let embed = shape.pooling.map(|pooling| {
            let rows = shape.max_rows();
            let (plan, embedding) = resident.embed_plan(&mut program, rows, pooling);
            EmbedPlan { rows, plan, embedding }
        });
        let handles = Handles { decode, prefill, score, embed, step: resident.step() };
        let (config, parameters) = (resident.config().clone(), weights.parameters);
        let kv_cache_bytes = resident.kv_cache_bytes();
        Ok(Self { config, program, handles, parameters, kv_cache_bytes, weights, tables })
    }

    /// The weights' format on the device: `q8_0`, or `q8_0 + f16` where a file mixes them, the larger share first.
    pub fn weights_format(&self) -> String {
        self.weights.formats()
    }

    /// Bytes of weights on the device.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.bytes()
    }

    /// Reads, checks and repacks every weight into `weights`, and the tables into `tables`; `progress` hears how many
    /// weight bytes are done.
    ///
    /// # Errors
    /// Weights that are not finite, and whatever the sink returns.
    pub fn load(&self, sink: &mut dyn WeightSink, progress: &mut dyn FnMut(u64)) -> Result<(), ModelError> {
        self.tables.iter().try_for_each(|table| table.write(sink)).map_err(ModelError::Device)?;
        self.weights.load(sink, progress)
    }
}
