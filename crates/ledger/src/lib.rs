//! What a run did to the bus and the queue, as plain numbers: counters, the run report, and the gates that judge it.
//! Pure data; knows nothing of Vulkan or of models.

mod closing_line;
mod counters;
#[cfg(test)]
mod fixtures;
mod gates;
mod json_file;
mod report;
mod rollout;
mod text;
mod thresholds;

pub use counters::{Counters, Ledger, RecordingId, Snapshot, class};
pub use gates::rollout::evaluate_rollout;
pub use gates::{Figure, GateResult, Verdict, evaluate, verdict_of};
pub use json_file::{AtomicFile, WriteError, write_atomically, write_json_atomically};
pub use report::{
    Bandwidth, DeviceKind, DeviceReport, Generation, MemoryReport, ModelReport, Report, Schema, Timings,
};
pub use rollout::{BaselineReport, DefectReport, ExecutorReport, HashReport, RolloutReport, StatsReport};
pub use thresholds::{
    AtMost, CommandBuffers, DefectBounds, GpuShare, OperatorShare, PerToken, RolloutThresholds, SpeedUp,
    Synchronisation, Thresholds, ThresholdsError, TokenReadback,
};
