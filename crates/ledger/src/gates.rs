//! The gates of a model run (those of a rollout are in `rollout`): each looks at the counters and figures of a report and gives a verdict.
//! A verdict that a report brings along is never read: [`evaluate`] computes all of them anew.

pub(crate) mod rollout;

use crate::counters::class;
use crate::text::{bytes_by_class, counted};
use crate::thresholds::{AtMost, PerToken, Thresholds, TokenReadback};
use crate::{DeviceKind, DeviceReport, Report};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a gate says, from the mildest to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There was nothing to judge; the detail says why.
    Skip,
    /// As it should be.
    Pass,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Fail,
}

impl Verdict {
    /// The exit code of a command that ends with this verdict: 3 if a gate failed, else 0.
    pub fn exit_code(self) -> u8 {
        if self == Verdict::Fail { 3 } else { 0 }
    }
}

/// A measured value or a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    /// A count.
    Count(u64),
    /// A quotient.
    Ratio(f64),
    /// A name.
    Name(String),
}

/// One gate's verdict with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The gate.
    pub name: String,
    /// What it says.
    pub verdict: Verdict,
    /// What was found; none where nothing was judged.
    pub value: Option<Figure>,
    /// What was wanted; none where nothing was judged.
    pub threshold: Option<Figure>,
    /// The verdict in words.
    pub detail: String,
}

/// The worst verdict of all gates; `Skip` when none judged.
pub fn verdict_of(gates: &[GateResult]) -> Verdict {
    gates.iter().map(|gate| gate.verdict).max().unwrap_or(Verdict::Skip)
}

/// Judges a run by its counters and figures. Every gate appears once, judged or skipped.
pub fn evaluate(report: &Report, thresholds: &Thresholds) -> Vec<GateResult> {
    let hot = report.hot_loop();
    let generation = report.generation.clone().unwrap_or_default();
    let steps = report.timings.as_ref().map_or(0, |t| t.decode_tokens);
    let decode_submits = hot.submits.saturating_sub(generation.prefill_submits);
    let decode_waits = hot.host_waits.saturating_sub(generation.prefill_host_waits);
    let weight_bytes = hot.upload_bytes.get(class::WEIGHTS).copied().unwrap_or(0);
    let t = thresholds;

    let mut gates = vec![
        backend_identity(report),
        cpu_ops("no_cpu_ops", &hot.cpu_ops, t.no_cpu_ops),
        count(
            "allocations_after_seal",
            "device memory allocation",
            hot.allocations,
            t.allocations_after_seal,
        ),
        count(
            "pipeline_creations_after_seal",
            "pipeline creation",
            hot.pipeline_creations,
            t.pipeline_creations_after_seal,
        ),
        count("recordings_after_seal", "command buffer recording", hot.recordings, t.recordings_after_seal),
        count(
            "descriptor_writes_after_seal",
            "descriptor write",
            hot.descriptor_writes,
            t.descriptor_writes_after_seal,
        ),
        count("weight_uploads_after_seal", "uploaded weight byte", weight_bytes, t.weight_uploads_after_seal),
        token_readback(report, generation.produced_tokens, &t.token_readback),
        per_token("submits_per_token", "submit", decode_submits, steps, t.submits_per_token),
        per_token("host_waits_per_token", "host wait", decode_waits, steps, t.host_waits_per_token),
        finite_output(report.non_finite_outputs, t.finite_output),
    ];
    if report.device.kind == DeviceKind::Cpu {
        let of_a_gpu =
            gates.iter_mut().filter(|g| !["backend_identity", "finite_output"].contains(&g.name.as_str()));
        of_a_gpu.for_each(|gate| *gate = skip(&gate.name, "no GPU was used, so there is nothing to judge"));
    }
    gates
}

fn result(name: &str, passed: bool, value: Figure, threshold: Figure, detail: String) -> GateResult {
    let verdict = if passed { Verdict::Pass } else { Verdict::Fail };
    GateResult { name: name.to_owned(), verdict, value: Some(value), threshold: Some(threshold), detail }
}

fn skip(name: &str, why: &str) -> GateResult {
    GateResult {
        name: name.to_owned(),
        verdict: Verdict::Skip,
        value: None,
        threshold: None,
        detail: why.to_owned(),
    }
}

/// The device that did the work is one that the request allows, and the counters show that it did the work.
fn backend_identity(report: &Report) -> GateResult {
    let DeviceReport { kind, requested, require_gpu, used, index, .. } = &report.device;
    let number = requested.strip_prefix("gpu:").map(str::parse::<usize>);
    let (threshold, allowed) = match (requested.as_str(), number) {
        (_, _) if *require_gpu => ("gpu", *kind == DeviceKind::Gpu),
        ("auto", _) => ("gpu or cpu", *kind != DeviceKind::SoftwareGpu),
        ("cpu", _) => ("cpu", *kind == DeviceKind::Cpu),
        ("gpu", _) => ("gpu or software-gpu", *kind != DeviceKind::Cpu),
        (_, Some(Ok(wanted))) => (requested.as_str(), *kind != DeviceKind::Cpu && *index == Some(wanted)),
        _ => ("auto, cpu, gpu or gpu:N", false),
    };
    let (work, unit) = match &report.rollout {
        Some(rollout) => (rollout.steps, "step"),
        None => (report.timings.as_ref().map_or(0, |t| t.prefill_tokens + t.decode_tokens), "token"),
    };
    let idle = *kind != DeviceKind::Cpu && work > 0 && report.hot_loop().dispatches.is_empty();
    let demand = if *require_gpu { " with a hardware GPU required" } else { "" };
    let detail = match (allowed, idle) {
        (true, false) => format!("{kind} {used}, as '{requested}'{demand} allows"),
        (false, _) => format!("{kind} {used} did the work; '{requested}'{demand} allows {threshold}"),
        (true, true) => format!("{} without one dispatch on {kind} {used}", counted(work, unit)),
    };
    result(
        "backend_identity",
        allowed && !idle,
        Figure::Name(kind.to_string()),
        Figure::Name(threshold.to_owned()),
        detail,
    )
}

fn cpu_ops(name: &str, ops: &BTreeMap<String, u64>, limit: AtMost) -> GateResult {
    let mut gate = count(name, "CPU operation", ops.values().sum(), limit);
    if gate.verdict == Verdict::Fail {
        let kernels: Vec<_> = ops.iter().map(|(kernel, times)| format!("{kernel} {times}")).collect();
        gate.detail += &format!(": {}", kernels.join(", "));
    }
    gate
}

fn count(name: &str, what: &str, found: u64, AtMost { at_most }: AtMost) -> GateResult {
    let passed = found <= at_most;
    let allowed = if passed { String::new() } else { format!(", at most {at_most} allowed") };
    let detail = format!("{} after the seal{allowed}", counted(found, what));
    result(name, passed, Figure::Count(found), Figure::Count(at_most), detail)
}

/// The host hears of each produced token once, in so many bytes, and of nothing else that the command does not exist for.
fn token_readback(report: &Report, produced: u64, limit: &TokenReadback) -> GateResult {
    let read = &report.hot_loop().readback_bytes;
    let tokens = read.get(class::TOKENS).copied().unwrap_or(0);
    let wanted = limit.bytes_per_token * produced;
    let allowed = limit.other_classes.get(&report.command).map_or(&[][..], Vec::as_slice);
    let undeclared: BTreeMap<String, u64> = read
        .iter()
        .filter(|(class, bytes)| **bytes > 0 && *class != class::TOKENS && !allowed.contains(class))
        .map(|(class, bytes)| (class.clone(), *bytes))
        .collect();
    let found = match produced {
        0 => Figure::Count(tokens),
        _ => Figure::Ratio(tokens as f64 / produced as f64),
    };
    let mut faults = Vec::new();
    if tokens != wanted {
        let (tokens, wanted) = (counted(tokens, "byte"), counted(wanted, "byte"));
        faults.push(format!(
            "{tokens} of tokens for {} instead of {wanted}",
            counted(produced, "produced token")
        ));
    }
    if !undeclared.is_empty() {
        let left = bytes_by_class(&undeclared);
        faults.push(format!("{left}, which '{}' has no reason to read back", report.command));
    }
    let detail = match faults.is_empty() {
        true => format!("{} for {}", counted(tokens, "byte"), counted(produced, "produced token")),
        false => faults.join("; "),
    };
    result("token_readback", faults.is_empty(), found, Figure::Count(limit.bytes_per_token), detail)
}

fn per_token(name: &str, what: &str, found: u64, tokens: u64, limit: PerToken) -> GateResult {
    let PerToken { below, min_tokens } = limit;
    if tokens < min_tokens {
        return skip(
            name,
            &format!("{} are too few to judge, {min_tokens} are enough", counted(tokens, "decode step")),
        );
    }
    let share = found as f64 / tokens as f64;
    let detail =
        format!("{} in {}: {share:.3} a token", counted(found, what), counted(tokens, "decode step"));
    let passed = share < below;
    let wanted = if passed { String::new() } else { format!(", must be below {below}") };
    result(name, passed, Figure::Ratio(share), Figure::Ratio(below), detail + &wanted)
}

fn finite_output(non_finite: Option<u64>, AtMost { at_most }: AtMost) -> GateResult {
    match non_finite {
        None => skip("finite_output", "nothing looked for NaN or infinite output"),
        Some(found) => {
            let detail = format!("{} NaN or infinite", counted(found, "output"));
            result("finite_output", found <= at_most, Figure::Count(found), Figure::Count(at_most), detail)
        }
    }
}

#[cfg(test)]
mod tests;
