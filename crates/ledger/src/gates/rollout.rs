//! The gates of a rollout. Like those of a model run they are computed from counters and figures, never from stored verdicts;
//! shares, speed-ups and readbacks that a report states are computed anew from what they are made of, and where the two differ
//! the worse one counts.

use super::{Figure, GateResult, Verdict, backend_identity, count, finite_output, result, skip};
use crate::text::counted;
use crate::thresholds::{
    AtMost, CommandBuffers, DefectBounds, GpuShare, OperatorShare, RolloutThresholds, SpeedUp,
    Synchronisation,
};
use crate::{DeviceKind, Report, RolloutReport};

/// The class of A's upload.
const OPERATOR: &str = "operator";
/// The class of readbacks of whole states.
const STATE: &str = "z";
/// The class of readbacks of fields.
const FIELD: &str = "fields";
/// Kernels that multiply by A begin so.
const OPERATOR_KERNEL: &str = "vecmat";

/// Judges a rollout by its counters and figures. Every gate appears once, judged or skipped.
pub fn evaluate_rollout(report: &Report, thresholds: &RolloutThresholds) -> Vec<GateResult> {
    let hot = report.hot_loop();
    let rollout = report.rollout.clone().unwrap_or_default();
    let t = thresholds;
    let mut gates = vec![
        identity(report),
        operator_upload(report, &rollout, t.operator_upload),
        state_readback(report, &rollout, t.state_readback),
        synchronisation(report, &rollout, t.synchronisation),
        memory(report, &rollout),
        command_buffers(report, &rollout, t.command_buffers),
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
        speed_up(report, &rollout, t.speed_up),
        gpu_share(&rollout, t.gpu_share),
        operator_share(&rollout, t.operator_share),
        defect(&rollout, t.defect),
        hash(&rollout),
        finite_output(report.non_finite_outputs, t.finite_output),
    ];
    if report.device.kind == DeviceKind::Cpu {
        let everywhere = ["backend_identity", "operator_share", "defect", "hash", "finite_output"];
        let of_a_gpu = gates.iter_mut().filter(|g| !everywhere.contains(&g.name.as_str()));
        of_a_gpu.for_each(|gate| *gate = skip(&gate.name, "no GPU was used, so there is nothing to judge"));
    }
    gates
}

/// A verdict of three.
fn graded(name: &str, verdict: Verdict, value: f64, threshold: f64, detail: String) -> GateResult {
    let gate = result(name, true, Figure::Ratio(value), Figure::Ratio(threshold), detail);
    GateResult { verdict, ..gate }
}

/// The device is one that the request allows, and in a run on a GPU no kernel ran on the host.
fn identity(report: &Report) -> GateResult {
    let mut gate = backend_identity(report);
    let fallbacks = &report.hot_loop().cpu_ops;
    if report.device.kind != DeviceKind::Cpu && !fallbacks.is_empty() {
        let kernels: Vec<_> = fallbacks.iter().map(|(kernel, times)| format!("{kernel} {times}")).collect();
        gate.verdict = Verdict::Fail;
        gate.detail = format!("kernels fell back to the CPU: {}", kernels.join(", "));
    }
    gate
}

/// A goes up once, whole, before the seal.
fn operator_upload(report: &Report, rollout: &RolloutReport, AtMost { at_most }: AtMost) -> GateResult {
    let bytes = |counters: &crate::Counters| counters.upload_bytes.get(OPERATOR).copied().unwrap_or(0);
    let stated = (rollout.a_uploaded_bytes_per_step * rollout.steps as f64).ceil() as u64;
    let (before, during) = (bytes(&report.counters.before_seal), bytes(report.hot_loop()).max(stated));
    let detail = format!(
        "A of {} went up with {} before the run and {} in it",
        counted(rollout.a_bytes, "byte"),
        counted(before, "byte"),
        counted(during, "byte")
    );
    let passed = during <= at_most && before == rollout.a_bytes;
    result("operator_upload", passed, Figure::Count(during), Figure::Count(at_most), detail)
}

/// How often a stride named a step.
fn times(rollout: &RolloutReport, stride: u64) -> u64 {
    rollout.steps.checked_div(stride).unwrap_or(0)
}

/// Fields that the device decodes for the host to read.
fn declared_fields(rollout: &RolloutReport) -> u64 {
    if rollout.field_bytes == 0 { 0 } else { times(rollout, stride(rollout, "decode")) }
}

/// Steps at which the host reads z: for snapshots, and for decodes if it is the host that decodes.
fn declared_reads(rollout: &RolloutReport) -> u64 {
    let [snapshot, decode] = ["snapshot", "decode"].map(|name| stride(rollout, name));
    let decode = if rollout.field_bytes == 0 { decode } else { 0 };
    let times = |stride: u64| times(rollout, stride);
    let both = match (snapshot, decode) {
        (0, _) | (_, 0) => 0,
        (a, b) => (a / gcd(a, b)).checked_mul(b).map_or(0, times),
    };
    times(snapshot) + times(decode) - both
}

fn stride(rollout: &RolloutReport, name: &str) -> u64 {
    rollout.strides.get(name).copied().unwrap_or(0)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The host reads z and fields where a stride says so, and nowhere else.
fn state_readback(report: &Report, rollout: &RolloutReport, AtMost { at_most }: AtMost) -> GateResult {
    let bytes = report.hot_loop().readback_bytes.get(STATE).copied().unwrap_or(0);
    let of_the_end = if rollout.reads_final_state { rollout.state_bytes } else { 0 };
    let in_the_loop = bytes.saturating_sub(of_the_end);
    let declared = declared_reads(rollout);
    let counted_reads = in_the_loop.div_ceil(rollout.state_bytes.max(1));
    let exact = bytes >= of_the_end && in_the_loop == counted_reads * rollout.state_bytes;
    let reads = counted_reads.max(rollout.cpu_readbacks.get(STATE).copied().unwrap_or(0));
    let fields = report.hot_loop().readback_bytes.get(FIELD).copied().unwrap_or(0);
    let declared_bytes = declared_fields(rollout) * rollout.field_bytes;
    let passed = exact && reads >= declared && reads - declared <= at_most && fields == declared_bytes;
    let detail = format!(
        "{} of z in {}, {declared} by stride{}{}",
        counted(reads, "readback"),
        counted(rollout.steps, "step"),
        if exact { "" } else { ", and not whole states" },
        match (fields, declared_bytes) {
            (0, 0) => String::new(),
            _ => format!(", {fields} bytes of fields, {declared_bytes} by stride"),
        }
    );
    result("state_readback", passed, Figure::Count(reads), Figure::Count(declared + at_most), detail)
}

/// The host waits for batches of steps.
fn synchronisation(report: &Report, rollout: &RolloutReport, limits: Synchronisation) -> GateResult {
    let name = "synchronisation";
    let Synchronisation { pass_below, fail_from, min_steps } = limits;
    if rollout.steps < min_steps {
        let steps = counted(rollout.steps, "step");
        return skip(name, &format!("{steps} are too few to judge, {min_steps} are enough"));
    }
    // A declared wake waits for its batch, a declared read once more, and a field for its decoding and its read.
    let wakes = rollout.steps.checked_div(stride(rollout, "progress")).unwrap_or(0);
    let declared = 2 * declared_reads(rollout) + 3 * declared_fields(rollout) + wakes;
    let stated = (rollout.fences_per_step * rollout.steps as f64).round() as u64;
    let waits = report.hot_loop().host_waits.max(stated);
    let share = waits.saturating_sub(declared) as f64 / rollout.steps as f64;
    let verdict = match share {
        _ if share < pass_below => Verdict::Pass,
        _ if share < fail_from => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let steps = counted(rollout.steps, "step");
    let detail = format!("{} in {steps}, {declared} of them declared", counted(waits, "host wait"));
    graded(name, verdict, share, pass_below, detail)
}

/// A and z lie in the device's own memory; where the device is no card of its own there is no other.
fn memory(report: &Report, rollout: &RolloutReport) -> GateResult {
    let place = |name: &str| rollout.memory.get(name).map_or("unknown", String::as_str);
    let (operator, state) = (place("operator"), place("state"));
    let local = operator == "device-local" && state == "device-local";
    let passed = local || report.device.kind != DeviceKind::Gpu;
    let value = if local { "device-local".to_owned() } else { format!("{operator}, {state}") };
    let detail = format!("A in {operator} memory, z in {state} memory");
    result("memory", passed, Figure::Name(value), Figure::Name("device-local".to_owned()), detail)
}

fn command_buffers(report: &Report, rollout: &RolloutReport, limits: CommandBuffers) -> GateResult {
    let recordings = report.hot_loop().recordings;
    let share = recordings as f64 / rollout.steps.max(1) as f64;
    let verdict = match share {
        _ if share <= limits.pass_at_most => Verdict::Pass,
        _ if share <= limits.warn_at_most => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let detail = format!(
        "{} after the seal in {}",
        counted(recordings, "command buffer recording"),
        counted(rollout.steps, "step")
    );
    graded("command_buffers", verdict, share, limits.pass_at_most, detail)
}

fn speed_up(report: &Report, rollout: &RolloutReport, limits: SpeedUp) -> GateResult {
    let name = "speed_up";
    let Some(baseline) = &rollout.baseline else {
        return skip(name, "no baseline was measured; --baseline-cpu measures one");
    };
    if report.device.kind != DeviceKind::Gpu {
        return skip(name, "a software driver computes on the CPU itself");
    }
    let same = (baseline.dimension, baseline.batch, &baseline.dtype)
        == (rollout.dimension, rollout.batch, &rollout.dtype);
    if !same || baseline.steps_per_second <= 0.0 {
        return skip(name, "the baseline is of another operator");
    }
    let ratio = (rate(rollout) / baseline.steps_per_second).min(rollout.speed_up.unwrap_or(f64::INFINITY));
    let verdict = match ratio {
        _ if ratio >= limits.pass_from => Verdict::Pass,
        _ if ratio >= limits.fail_below => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let detail =
        format!("{ratio:.2} times the {:.0} steps/s of {}", baseline.steps_per_second, baseline.device);
    graded(name, verdict, ratio, limits.pass_from, detail)
}

fn rate(rollout: &RolloutReport) -> f64 {
    if rollout.seconds > 0.0 { rollout.steps as f64 / rollout.seconds } else { 0.0 }
}

fn gpu_share(rollout: &RolloutReport, limits: GpuShare) -> GateResult {
    let name = "gpu_share";
    let GpuShare { pass_above, fail_below, min_seconds } = limits;
    let Some(gpu_time) = rollout.gpu_time_seconds else {
        return skip(name, "the device has no clock to measure it with");
    };
    if rollout.seconds < min_seconds {
        let detail = format!("{:.3} s are too short to judge, {min_seconds} s are enough", rollout.seconds);
        return skip(name, &detail);
    }
    let share = (gpu_time / rollout.seconds).min(rollout.gpu_utilization_estimate.unwrap_or(f64::INFINITY));
    let verdict = match share {
        _ if share > pass_above => Verdict::Pass,
        _ if share >= fail_below => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let detail = format!("the device was busy for {gpu_time:.3} s of {:.3} s", rollout.seconds);
    graded(name, verdict, share, pass_above, detail)
}

fn operator_share(rollout: &RolloutReport, limits: OperatorShare) -> GateResult {
    let name = "operator_share";
    let all: f64 = rollout.kernel_times_ms.values().sum();
    if rollout.seconds < limits.min_seconds || all <= 0.0 {
        return skip(name, &format!("{:.3} s are too short to judge", rollout.seconds));
    }
    let own = rollout.kernel_times_ms.iter().filter(|(kernel, _)| kernel.starts_with(OPERATOR_KERNEL));
    let share =
        (own.map(|(_, time)| time).sum::<f64>() / all).min(rollout.operator_share.unwrap_or(f64::INFINITY));
    let verdict = if share >= limits.pass_from { Verdict::Pass } else { Verdict::Fail };
    let detail = format!("products with A take {:.0} % of the kernels' time", share * 100.0);
    graded(name, verdict, share, limits.pass_from, detail)
}

fn defect(rollout: &RolloutReport, limits: DefectBounds) -> GateResult {
    let name = "defect";
    let Some(defect) = &rollout.defect else {
        return skip(name, "no defect was measured; --defect-every does");
    };
    let every_one_grew = defect.count >= limits.min_samples && defect.increases + 1 >= defect.count;
    let growth = if defect.first > 0.0 { defect.last / defect.first } else { 1.0 };
    let diverges = every_one_grew && growth >= limits.growth;
    let lost = defect.non_finite > limits.non_finite_at_most;
    let detail = match (lost, diverges) {
        (true, _) => format!("{} NaN or infinite", counted(defect.non_finite, "difference")),
        (_, true) => {
            format!("diverges: each of {} larger, the last {growth:.1} times the first", defect.count)
        }
        _ => format!(
            "{}, the last {:.2e}, the largest {:.2e}",
            counted(defect.count, "sample"),
            defect.last,
            defect.max
        ),
    };
    result(name, !lost && !diverges, Figure::Ratio(growth), Figure::Ratio(limits.growth), detail)
}

fn hash(rollout: &RolloutReport) -> GateResult {
    let name = "hash";
    let Some(hash) = &rollout.hash else { return skip(name, "no hash was taken; --hash-every takes them") };
    let Some(rerun) = &hash.rerun_of_first else { return skip(name, "a rerun would have taken too long") };
    let (step, first) = &hash.first;
    let same = first == rerun;
    let detail = match same {
        true => format!("the same at step {step} in two runs"),
        false => format!("differs at step {step}: {first} in this run, {rerun} in one before it"),
    };
    result(name, same, Figure::Name(first.clone()), Figure::Name(rerun.clone()), detail)
}

#[cfg(test)]
mod tests;
