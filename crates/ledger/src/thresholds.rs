//! The thresholds of the gates, from TOML: `gates/models.toml` and `gates/rollout.toml` are compiled in, a file of the same form
//! overrides one of them key by key. A key that no gate knows is refused.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const MODELS: Embedded =
    Embedded { name: "gates/models.toml", text: include_str!("../../../gates/models.toml") };
const ROLLOUT: Embedded =
    Embedded { name: "gates/rollout.toml", text: include_str!("../../../gates/rollout.toml") };

/// A file of thresholds that is part of the program.
struct Embedded {
    name: &'static str,
    text: &'static str,
}

/// One field a gate that has a threshold; the field is the gate's name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// CPU operations after the seal in a run on a GPU.
    pub no_cpu_ops: AtMost,
    /// Device memory allocations after the seal.
    pub allocations_after_seal: AtMost,
    /// Pipelines made after the seal.
    pub pipeline_creations_after_seal: AtMost,
    /// Command buffers recorded after the seal.
    pub recordings_after_seal: AtMost,
    /// Descriptor sets written after the seal.
    pub descriptor_writes_after_seal: AtMost,
    /// Weight bytes uploaded after the seal.
    pub weight_uploads_after_seal: AtMost,
    /// What comes back a token.
    pub token_readback: TokenReadback,
    /// Submits a decode step.
    pub submits_per_token: PerToken,
    /// Host waits a decode step.
    pub host_waits_per_token: PerToken,
    /// Outputs that are NaN or infinite.
    pub finite_output: AtMost,
}

/// A count that must not be passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// The largest count that passes.
    pub at_most: u64,
}

/// A count a token.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerToken {
    /// The count a token must stay below this.
    pub below: f64,
    /// Runs with fewer decode steps are not judged.
    pub min_tokens: u64,
}

/// What may come back from the device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenReadback {
    /// Bytes of class `tokens` for each token that was produced: exactly these.
    pub bytes_per_token: u64,
    /// The further classes that a command may read back, by command.
    pub other_classes: BTreeMap<String, Vec<String>>,
}

/// Why a thresholds file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ThresholdsError {
    /// The file cannot be read.
    #[error("cannot read thresholds '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no TOML, names no gate of ours, or has a value of another type.
    #[error("thresholds '{origin}': {message}; {shown_by} shows every gate and key")]
    Parse {
        /// The file that is right.
        shown_by: &'static str,
        /// The file.
        origin: String,
        /// Where, found and expected.
        message: String,
    },
}

impl Default for Thresholds {
    /// The thresholds that are compiled in.
    fn default() -> Self {
        Self::parse(MODELS.name, "").expect("a test reads the embedded thresholds")
    }
}

impl Thresholds {
    /// The compiled-in thresholds, overridden by those of a file.
    pub fn read(path: &Path) -> Result<Self, ThresholdsError> {
        MODELS.read(path)
    }

    /// The compiled-in thresholds, overridden by those of `text`, which stands in `origin`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ThresholdsError> {
        MODELS.parse(origin, text)
    }
}

/// The thresholds of a rollout: one field a gate that has one; the field is the gate's name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutThresholds {
    /// Bytes of A uploaded after the seal.
    pub operator_upload: AtMost,
    /// Reads of z in the loop beyond those declared.
    pub state_readback: AtMost,
    /// Host waits a step.
    pub synchronisation: Synchronisation,
    /// Command buffers recorded after the seal, a step.
    pub command_buffers: CommandBuffers,
    /// Device memory allocations after the seal.
    pub allocations_after_seal: AtMost,
    /// Pipelines made after the seal.
    pub pipeline_creations_after_seal: AtMost,
    /// Speed over the CPU baseline's.
    pub speed_up: SpeedUp,
    /// GPU time over wall time.
    pub gpu_share: GpuShare,
    /// The operator's kernels of all GPU time.
    pub operator_share: OperatorShare,
    /// What the defects may do.
    pub defect: DefectBounds,
    /// Values of the final state that are NaN or infinite.
    pub finite_output: AtMost,
}

/// Host waits a step.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synchronisation {
    /// Passes below this.
    pub pass_below: f64,
    /// Fails from here on.
    pub fail_from: f64,
    /// Runs of fewer steps are not judged.
    pub min_steps: u64,
}

/// Recordings a step.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandBuffers {
    /// Passes up to this.
    pub pass_at_most: f64,
    /// Warns up to this, and fails beyond.
    pub warn_at_most: f64,
}

/// Times the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeedUp {
    /// Passes from here on.
    pub pass_from: f64,
    /// Fails below this.
    pub fail_below: f64,
}

/// A share of the run's time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuShare {
    /// Passes above this.
    pub pass_above: f64,
    /// Fails below this.
    pub fail_below: f64,
    /// Shorter runs are not judged.
    pub min_seconds: f64,
}

/// A share of the device's time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorShare {
    /// Passes from here on, and fails below.
    pub pass_from: f64,
    /// Shorter runs are not judged.
    pub min_seconds: f64,
}

/// When defects count as diverging.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefectBounds {
    /// Differences that may be NaN or infinite.
    pub non_finite_at_most: u64,
    /// Fewer samples say nothing about divergence.
    pub min_samples: u64,
    /// They diverge if each is larger than the one before and the last is this many times the first.
    pub growth: f64,
}

impl Default for RolloutThresholds {
    /// The thresholds that are compiled in.
    fn default() -> Self {
        Self::parse(ROLLOUT.name, "").expect("a test reads the embedded thresholds")
    }
}

impl RolloutThresholds {
    /// The compiled-in thresholds, overridden by those of a file.
    pub fn read(path: &Path) -> Result<Self, ThresholdsError> {
        ROLLOUT.read(path)
    }

    /// The compiled-in thresholds, overridden by those of `text`, which stands in `origin`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ThresholdsError> {
        ROLLOUT.parse(origin, text)
    }
}

impl Embedded {
    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<T, ThresholdsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ThresholdsError::Read { path: path.to_owned(), source })?;
        self.parse(&path.display().to_string(), &text)
    }

    fn parse<T: DeserializeOwned>(&self, origin: &str, text: &str) -> Result<T, ThresholdsError> {
        let refuse = |error: toml::de::Error| ThresholdsError::Parse {
            shown_by: self.name,
            origin: origin.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let mut merged: Table = self.text.parse().map_err(refuse)?;
        override_with(&mut merged, text.parse().map_err(refuse)?);
        merged.try_into().map_err(refuse)
    }
}

/// Replaces the values that `changes` names and keeps the others.
fn override_with(table: &mut Table, changes: Table) {
    for (key, change) in changes {
        match (table.get_mut(&key), change) {
            (Some(Value::Table(inner)), Value::Table(change)) => override_with(inner, change),
            (_, change) => {
                table.insert(key, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Thresholds::parse("mine.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_embedded_thresholds_can_be_read() {
        let thresholds = Thresholds::default();
        assert_eq!(thresholds.allocations_after_seal.at_most, 0);
        assert_eq!(thresholds.submits_per_token, PerToken { below: 0.2, min_tokens: 64 });
    }

    #[test]
    fn a_rollout_has_thresholds_of_its_own() {
        let text = "[speed_up]\nfail_below = 1.0";
        let thresholds = RolloutThresholds::parse("mine.toml", text).unwrap();
        assert_eq!(thresholds.speed_up, SpeedUp { pass_from: 5.0, fail_below: 1.0 });
        assert_eq!(thresholds.defect, RolloutThresholds::default().defect);
        let message =
            RolloutThresholds::parse("mine.toml", "[no_cpu_ops]\nat_most = 1").unwrap_err().to_string();
        assert!(message.contains("`no_cpu_ops`") && message.contains("gates/rollout.toml"), "{message}");
    }

    #[test]
    fn a_file_overrides_single_keys() {
        let text =
            "[submits_per_token]\nbelow = 1.5\n[token_readback.other_classes]\nprofile = ['timestamps']";
        let thresholds = Thresholds::parse("mine.toml", text).unwrap();
        assert_eq!(thresholds.submits_per_token, PerToken { below: 1.5, min_tokens: 64 });
        assert_eq!(thresholds.token_readback.other_classes["profile"], ["timestamps"]);
        assert_eq!(thresholds.token_readback.other_classes["verify"], ["logits"]);
        assert_eq!(thresholds.no_cpu_ops, Thresholds::default().no_cpu_ops);
    }

    #[test]
    fn an_unknown_gate_is_refused_by_name() {
        let message = message("[alocations_after_seal]\nat_most = 1");
        assert!(message.contains("'mine.toml'") && message.contains("`alocations_after_seal`"), "{message}");
        assert!(message.contains("`allocations_after_seal`"), "the known gates are listed: {message}");
    }

    #[test]
    fn an_unknown_key_of_a_gate_is_refused_by_name() {
        let message = message("[no_cpu_ops]\nat_least = 1");
        assert!(message.contains("`at_least`") && message.contains("`at_most`"), "{message}");
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let message = message("[no_cpu_ops]\nat_most = 'none'");
        assert!(message.contains("no_cpu_ops") && message.contains("\"none\""), "{message}");
        let negative = self::message("[no_cpu_ops]\nat_most = -1");
        assert!(negative.contains("-1"), "{negative}");
    }

    #[test]
    fn broken_toml_is_refused_with_its_line() {
        let message = message("[no_cpu_ops]\nat_most =\n");
        assert!(message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Thresholds::read(Path::new("no/such/gates.toml")).unwrap_err();
        assert!(error.to_string().contains("no/such/gates.toml"), "{error}");
    }
}
