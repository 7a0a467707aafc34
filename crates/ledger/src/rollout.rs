//! What the report of a rollout says beside the counters. The names of figures that others measure too are theirs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rollout z\[t+1\] = z\[t\] · A: what ran, how, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutReport {
    /// D: A is D × D.
    pub dimension: u64,
    /// Trajectories.
    pub batch: u64,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Steps that were asked for.
    pub steps_requested: u64,
    /// Steps that were done.
    pub steps: u64,
    /// Whether the run was broken off before its end.
    pub interrupted: bool,
    /// By stride: `hash`, `stats`, `defect`, `snapshot`, `decode`, `progress`; 0 is never.
    pub strides: BTreeMap<String, u64>,
    /// How steps were run: `replay`, `workgroup` or `persistent`.
    pub executor: String,
    /// How it shared the work out: the fastest of the ways that were measured.
    #[serde(default)]
    pub executor_way: String,
    /// Whether `--executor` named it.
    pub executor_forced: bool,
    /// The executors, and their speed before the run or why they were not taken into account.
    pub executors: Vec<ExecutorReport>,
    /// From the first submission to the last result.
    pub seconds: f64,
    /// Steps over that time.
    pub steps_per_second: f64,
    /// Time that the device was busy with the run, by its own clock at both ends of each submission. Absent on the CPU device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_time_seconds: Option<f64>,
    /// Time of the run in which the host did not wait for the device.
    pub cpu_orchestration_seconds: f64,
    /// `gpu_time_seconds` over `seconds`, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_utilization_estimate: Option<f64>,
    /// By kernel: calls in the run times the duration of one as measured before it.
    pub kernel_times_ms: BTreeMap<String, f64>,
    /// The kernels that multiply by A, of all of those times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_share: Option<f64>,
    /// Bytes of A as it lies on the device.
    #[serde(rename = "A_bytes")]
    pub a_bytes: u64,
    /// Bytes of A that went to the device, in all.
    #[serde(rename = "A_uploaded_bytes")]
    pub a_uploaded_bytes: u64,
    /// Those of them that went there during the run, a step.
    #[serde(rename = "A_uploaded_bytes_per_step")]
    pub a_uploaded_bytes_per_step: f64,
    /// Times that something came back during the run: `z` whole, `field` decoded of it, `hash`, `stats`, `defect` a few bytes
    /// each. The final state is no part of it.
    pub cpu_readbacks: BTreeMap<String, u64>,
    /// Times the host waited for the device, a step.
    pub fences_per_step: f64,
    /// Bytes of the states on the device, all trajectories.
    pub state_bytes: u64,
    /// Bytes of a field that the device decodes and the host reads in the place of z; 0 where the host decodes.
    #[serde(default)]
    pub field_bytes: u64,
    /// Whether the final state was read back.
    pub reads_final_state: bool,
    /// Where `operator` and `state` lie: `device-local`, `host-visible` or `host`.
    pub memory: BTreeMap<String, String>,
    /// The hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashReport>,
    /// The last statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<StatsReport>,
    /// The defects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<DefectReport>,
    /// BLAKE2b-128 of z as f64 at the snapshots, as hexadecimal digits; of the last 1 000 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot_blake2b: Vec<(u64, String)>,
    /// The same sort of rollout on the CPU device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineReport>,
    /// Steps a second over the baseline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_up: Option<f64>,
}

/// One executor before the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecutorReport {
    /// Its name.
    pub name: String,
    /// How it shares the work out over invocations, where it can run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// Steps a second in the measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps_per_second: Option<f64>,
    /// Why it was not taken into account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Hashes of z, as 32 hexadecimal digits: four words, each with its most significant digit first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HashReport {
    /// How many there are.
    pub count: u64,
    /// The first and its step.
    pub first: (u64, String),
    /// The last and its step.
    pub last: (u64, String),
    /// What a run before this one, from the same beginning, found at the first one's step; absent where that would have taken
    /// too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of_first: Option<String>,
}

/// Statistics of z after one step. Absent numbers are infinite: there was no finite value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsReport {
    /// How many there are.
    pub count: u64,
    /// The step of the last, which the rest describes.
    pub step: u64,
    /// The smallest finite value.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Their sum.
    pub sum: Option<f64>,
    /// The sum of their squares.
    pub sum_of_squares: Option<f64>,
    /// Values that are NaN or infinite, in all of them.
    pub non_finite: u64,
}

/// How far single steps moved z: max |z\[t+1\] − z\[t\]|.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DefectReport {
    /// How many there are.
    pub count: u64,
    /// The first largest difference.
    pub first: f64,
    /// The last.
    pub last: f64,
    /// The largest of all.
    pub max: f64,
    /// The last mean difference.
    pub last_mean: f64,
    /// How many were larger than the one before.
    pub increases: u64,
    /// Differences that were NaN or infinite, in all of them.
    pub non_finite: u64,
    /// At most 1 000 of them, evenly taken, with the last: step, largest and mean difference.
    pub samples: Vec<(u64, f64, f64)>,
}

/// What the CPU device does with the same operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineReport {
    /// The processor and its threads.
    pub device: String,
    /// D of its operator.
    pub dimension: u64,
    /// Its trajectories.
    pub batch: u64,
    /// Its type.
    pub dtype: String,
    /// Its executor.
    pub executor: String,
    /// Steps that were measured.
    pub steps: u64,
    /// Their rate.
    pub steps_per_second: f64,
}
