//! The run report: what a command did, on which device, at what speed, and what crossed the bus meanwhile.
//! Data first: the JSON of `--report` and `--json` is this file serialised, the closing line is made from it, and the
//! gates judge it. `docs/report.md` describes every field.

use crate::gates::GateResult;
use crate::{Counters, RolloutReport, Snapshot};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The report of one run. Fields that a command has nothing to say about are absent from the JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which report this is.
    pub schema: Schema,
    /// The version of Resident that wrote it.
    pub resident_version: String,
    /// The command: `run`, `logits`, `verify` …
    pub command: String,
    /// Where the work ran, and why there.
    pub device: DeviceReport,
    /// What ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// What the run did to the bus and the queue.
    pub counters: Snapshot,
    /// What lies where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryReport>,
    /// How close decode came to the limit of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What was generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// What was rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutReport>,
    /// How many outputs were NaN or infinite; absent where nothing looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_finite_outputs: Option<u64>,
    /// The verdicts. Whoever trusts the counters can compute them anew with [`crate::evaluate`] or [`crate::evaluate_rollout`].
    #[serde(default)]
    pub gates: Vec<GateResult>,
}

impl Report {
    /// A report that says where a command ran and what was counted; the rest is for the command to fill in.
    pub fn new(command: &str, resident_version: &str, device: DeviceReport, counters: Snapshot) -> Self {
        Self {
            schema: Schema,
            resident_version: resident_version.to_owned(),
            command: command.to_owned(),
            device,
            model: None,
            timings: None,
            counters,
            memory: None,
            bandwidth: None,
            generation: None,
            rollout: None,
            non_finite_outputs: None,
            gates: Vec::new(),
        }
    }

    /// The counters of the hot loop.
    pub(crate) fn hot_loop(&self) -> &Counters {
        &self.counters.after_seal
    }
}

/// The schema's name and version. The version rises when a field changes its meaning or goes away, not when one is added;
/// a report of another version is refused when it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schema;

impl Schema {
    /// What stands in the JSON.
    pub const NAME: &'static str = "resident.report/1";
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::NAME)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        match found == Self::NAME {
            true => Ok(Self),
            false => Err(de::Error::custom(format!(
                "schema is '{found}', this version of resident reads '{}'",
                Self::NAME
            ))),
        }
    }
}

/// What sort of device did the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A hardware GPU, through Vulkan.
    Gpu,
    /// A Vulkan driver that computes on the CPU. It counts as CPU wherever a GPU is required.
    SoftwareGpu,
    /// The CPU device: the plan interpreter.
    Cpu,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpu => "gpu",
            Self::SoftwareGpu => "software-gpu",
            Self::Cpu => "cpu",
        })
    }
}

/// The choice of the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What sort of device did the work.
    pub kind: DeviceKind,
    /// What was asked for: `auto`, `cpu`, `gpu` or `gpu:N`.
    pub requested: String,
    /// Whether a hardware GPU was demanded.
    pub require_gpu: bool,
    /// The name of the device used; of the CPU device also its threads.
    pub used: String,
    /// Driver and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its place in `resident devices`: the N of `gpu:N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Why it was chosen.
    pub reason: String,
}

/// The model that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Its name or path.
    pub name: String,
    /// Its architecture, as Hugging Face or GGUF name it.
    pub architecture: String,
    /// How many weights it has.
    pub parameters: u64,
    /// Their bytes on the device.
    pub weight_bytes: u64,
    /// Their format on the device: `f32`, `bf16`, `q8_0` …
    pub weights_format: String,
    /// What decode multiplies them with: `f32`, or `int16` where 8-bit weights meet 16-bit integers.
    #[serde(default)]
    pub activations: String,
    /// Element type of the KV cache: `f16`, `f32`.
    #[serde(default)]
    pub kv_cache: String,
    /// How decode's steps wait for each other: `barriers` or `handover`.
    #[serde(default)]
    pub executor: String,
    /// Why so.
    #[serde(default)]
    pub executor_reason: String,
    /// The longest sequence of this run, in tokens.
    pub context: u64,
}

/// How long everything took. Rates are absent where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the start of the command to the seal: reading, repacking, upload, pipelines, recording.
    pub load_seconds: f64,
    /// The prompt's way through the model, up to the first token.
    pub prefill_seconds: f64,
    /// Its tokens.
    pub prefill_tokens: u64,
    /// Their rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_tokens_per_second: Option<f64>,
    /// All steps after the first token.
    pub decode_seconds: f64,
    /// The tokens those steps made: one fewer than were generated.
    pub decode_tokens: u64,
    /// Their rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_tokens_per_second: Option<f64>,
    /// From the seal to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_seconds: Option<f64>,
    /// The whole command.
    pub wall_seconds: f64,
    /// Time that the device was busy, where timestamps were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_seconds: Option<f64>,
}

impl Timings {
    /// Enters the prefill and its rate.
    pub fn set_prefill(&mut self, tokens: u64, time: Duration) {
        self.prefill_tokens = tokens;
        self.prefill_seconds = time.as_secs_f64();
        self.prefill_tokens_per_second = rate(tokens, time);
    }

    /// Enters the decode steps and their rate.
    pub fn set_decode(&mut self, tokens: u64, time: Duration) {
        self.decode_tokens = tokens;
        self.decode_seconds = time.as_secs_f64();
        self.decode_tokens_per_second = rate(tokens, time);
    }
}

fn rate(tokens: u64, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

/// What lies where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Device memory in use, by kind: `weights`, `state`, `activations` …
    pub device_bytes: BTreeMap<String, u64>,
}

/// How close decode came to the limit of the device: a decode step reads every weight once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Weight bytes that one decode step reads, by the plan's own account.
    pub weight_bytes_per_token: u64,
    /// Those bytes times the decode rate.
    pub achieved_bytes_per_second: f64,
    /// What a streaming read reached on this device in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes_per_second: Option<f64>,
    /// Achieved over limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_limit: Option<f64>,
}

impl Bandwidth {
    /// From the plan's cost, the decode rate and the limit that was measured in the same run.
    pub fn new(weight_bytes_per_token: u64, tokens_per_second: f64, limit: Option<f64>) -> Self {
        let achieved = weight_bytes_per_token as f64 * tokens_per_second;
        Self {
            weight_bytes_per_token,
            achieved_bytes_per_second: achieved,
            limit_bytes_per_second: limit,
            share_of_limit: limit.filter(|limit| *limit > 0.0).map(|limit| achieved / limit),
        }
    }
}

/// What was generated, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Tokens of the prompt that were fed in.
    pub prompt_tokens: u64,
    /// Tokens of the prompt that the KV cache held from the turn before; absent where there is no turn before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_tokens: Option<u64>,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Tokens that the host took from the device: those of the answer, and a stop token that is no part of it.
    pub produced_tokens: u64,
    /// Why it ended: `length`, `stop` …
    pub finish_reason: String,
    /// The part of `counters.after_seal.submits` that belongs to the prefill.
    #[serde(default)]
    pub prefill_submits: u64,
    /// The part of `counters.after_seal.host_waits` that belongs to the prefill.
    #[serde(default)]
    pub prefill_host_waits: u64,
    /// The sampler's seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Only the k most likely tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// Only the most likely tokens that together reach this probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only tokens with at least this share of the most likely one's probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that were there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
