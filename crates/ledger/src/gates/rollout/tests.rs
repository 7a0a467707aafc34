//! Every gate of a rollout passes on a good report and fails on the fault that it is there for.

use super::*;
use crate::fixtures::gpu_run;
use crate::gates::verdict_of;
use crate::{BaselineReport, DefectReport, HashReport};
use std::collections::BTreeMap;

/// 300 000 steps on a hardware GPU as they should be, with snapshots, decodes and every check.
fn good() -> Report {
    let mut report = gpu_run();
    (report.model, report.generation, report.timings, report.bandwidth) = (None, None, None, None);
    report.command = "rollout".into();
    let by_name = |entries: &[(&str, u64)]| {
        entries.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<BTreeMap<_, _>>()
    };
    report.counters.before_seal.upload_bytes = by_name(&[("operator", 1 << 20)]);
    let hot = &mut report.counters.after_seal;
    hot.upload_bytes = by_name(&[("schedule", 1200)]);
    // 30 snapshots, 20 decodes, 10 of them together, and the end.
    hot.readback_bytes = by_name(&[("z", 2048 * 41), ("hash", 16 * 300)]);
    hot.dispatches = by_name(&[("vecmat_persistent_l4_k8", 300)]);
    hot.host_waits = 90;
    report.rollout = Some(RolloutReport {
        dimension: 512,
        batch: 1,
        dtype: "f32".into(),
        steps_requested: 300_000,
        steps: 300_000,
        strides: by_name(&[("hash", 1000), ("snapshot", 10_000), ("decode", 15_000)]),
        executor: "persistent".into(),
        seconds: 0.3,
        steps_per_second: 1e6,
        gpu_time_seconds: Some(0.28),
        kernel_times_ms: BTreeMap::from([
            ("vecmat_persistent_l4_k8".into(), 250.0),
            ("state_hash".into(), 2.0),
        ]),
        a_bytes: 1 << 20,
        state_bytes: 2048,
        reads_final_state: true,
        memory: ["operator", "state"].map(|name| (name.into(), "device-local".into())).into(),
        hash: Some(HashReport {
            count: 300,
            first: (1000, "aa".into()),
            last: (300_000, "bb".into()),
            rerun_of_first: Some("aa".into()),
        }),
        defect: Some(DefectReport { count: 5, first: 1.0, last: 0.5, max: 1.0, ..DefectReport::default() }),
        baseline: Some(BaselineReport {
            dimension: 512,
            batch: 1,
            dtype: "f32".into(),
            steps_per_second: 60_000.0,
            ..BaselineReport::default()
        }),
        ..RolloutReport::default()
    });
    report
}

fn failing(report: &Report) -> Vec<String> {
    let gates = evaluate_rollout(report, &RolloutThresholds::default());
    gates.into_iter().filter(|g| g.verdict == Verdict::Fail).map(|g| g.name).collect()
}

fn verdict(report: &Report, name: &str) -> Verdict {
    let gates = evaluate_rollout(report, &RolloutThresholds::default());
    gates.iter().find(|gate| gate.name == name).expect("a gate of that name").verdict
}

/// Breaks a good run; exactly the named gate must fail, with a detail that contains `detail`.
fn fails(name: &str, detail: &str, fault: impl FnOnce(&mut Report)) {
    let mut report = good();
    fault(&mut report);
    assert_eq!(failing(&report), [name]);
    let gates = evaluate_rollout(&report, &RolloutThresholds::default());
    let gate = gates.iter().find(|gate| gate.name == name).expect("it failed");
    assert!(gate.detail.contains(detail), "{}", gate.detail);
    assert_eq!(verdict_of(&gates).exit_code(), 3);
}

fn rollout(report: &mut Report) -> &mut RolloutReport {
    report.rollout.as_mut().expect("a rollout")
}

#[test]
fn every_gate_passes_on_a_good_rollout() {
    let gates = evaluate_rollout(&good(), &RolloutThresholds::default());
    assert_eq!(gates.len(), 14);
    assert!(gates.iter().all(|gate| gate.verdict == Verdict::Pass), "{gates:#?}");
}

#[test]
fn the_wrong_device_and_a_fallback_fail() {
    fails("backend_identity", "fell back to the CPU: vecmat_f32 3", |report| {
        report.counters.after_seal.cpu_ops.insert("vecmat_f32".into(), 3);
    });
    fails("backend_identity", "300 000 steps without one dispatch", |report| {
        report.counters.after_seal.dispatches.clear();
    });
    let mut report = good();
    report.device.require_gpu = true;
    report.device.kind = DeviceKind::SoftwareGpu;
    assert_eq!(failing(&report), ["backend_identity"]);
}

#[test]
fn an_operator_that_goes_up_with_the_steps_fails() {
    fails("operator_upload", "314 572 800 000 bytes in it", |report| {
        report.counters.after_seal.upload_bytes.insert("operator".into(), 300_000 << 20);
    });
    fails("operator_upload", "2 097 152 bytes before the run", |report| {
        report.counters.before_seal.upload_bytes.insert("operator".into(), 2 << 20);
    });
}

#[test]
fn reads_of_z_are_exactly_those_declared() {
    for extra in [1, 299_960] {
        fails("state_readback", "40 by stride", |report| {
            *report.counters.after_seal.readback_bytes.get_mut("z").expect("z") += 2048 * extra;
        });
    }
    for fewer in [2048, 4] {
        fails("state_readback", "40 by stride", |report| {
            *report.counters.after_seal.readback_bytes.get_mut("z").expect("z") -= fewer;
        });
    }
    fails("state_readback", "1 readback of z in 300 000 steps, 0 by stride", |report| {
        rollout(report).strides.clear();
        rollout(report).reads_final_state = false;
        report.counters.after_seal.readback_bytes.insert("z".into(), 2048);
    });
}

#[test]
fn a_wait_a_step_fails_and_some_warn() {
    fails("synchronisation", "300 180 host waits in 300 000 steps, 80 of them declared", |report| {
        report.counters.after_seal.host_waits = 300_180;
    });
    let mut report = good();
    report.counters.after_seal.host_waits = 60_000;
    assert_eq!(verdict(&report, "synchronisation"), Verdict::Warn);
    rollout(&mut report).steps = 10;
    assert_eq!(verdict(&report, "synchronisation"), Verdict::Skip);
}

#[test]
fn memory_in_sight_of_the_host_fails_on_a_card() {
    fails("memory", "A in host-visible memory", |report| {
        rollout(report).memory.insert("operator".into(), "host-visible".into());
    });
}

#[test]
fn recordings_warn_and_then_fail() {
    let mut report = good();
    report.counters.after_seal.recordings = 300_000;
    assert_eq!(verdict(&report, "command_buffers"), Verdict::Warn);
    fails("command_buffers", "600 000 command buffer recordings", |report| {
        report.counters.after_seal.recordings = 600_000;
    });
}

#[test]
fn what_was_allocated_or_compiled_after_the_seal_fails() {
    fails("allocations_after_seal", "1 device memory allocation", |r| r.counters.after_seal.allocations = 1);
    fails("pipeline_creations_after_seal", "1 pipeline creation", |r| {
        r.counters.after_seal.pipeline_creations = 1;
    });
}

#[test]
fn a_claimed_speed_up_is_computed_anew() {
    fails("speed_up", "1.25 times the 800000 steps/s", |report| {
        rollout(report).baseline.as_mut().expect("a baseline").steps_per_second = 800_000.0;
        rollout(report).speed_up = Some(1000.0);
        rollout(report).steps_per_second = 1e9;
    });
    let mut report = good();
    rollout(&mut report).baseline.as_mut().expect("a baseline").steps_per_second = 300_000.0;
    assert_eq!(verdict(&report, "speed_up"), Verdict::Warn);
    rollout(&mut report).baseline.as_mut().expect("a baseline").dimension = 256;
    assert_eq!(verdict(&report, "speed_up"), Verdict::Skip);
}

#[test]
fn an_idle_gpu_fails() {
    fails("gpu_share", "busy for 0.050 s of 0.300 s", |report| {
        rollout(report).gpu_time_seconds = Some(0.05);
        rollout(report).gpu_utilization_estimate = Some(0.99);
    });
    let mut report = good();
    rollout(&mut report).gpu_time_seconds = Some(0.15);
    assert_eq!(verdict(&report, "gpu_share"), Verdict::Warn);
    rollout(&mut report).seconds = 0.01;
    assert_eq!(verdict(&report, "gpu_share"), Verdict::Skip);
}

/// A device that decodes hands out fields in the place of z, whole ones and as many as the stride says.
#[test]
fn fields_take_the_place_of_states() {
    let mut report = good();
    let steps = rollout(&mut report).steps;
    rollout(&mut report).strides.insert("decode".into(), steps / 4);
    rollout(&mut report).field_bytes = 4096;
    // The snapshots, and the end.
    report.counters.after_seal.readback_bytes.insert("z".into(), 2048 * 31);
    report.counters.after_seal.readback_bytes.insert("fields".into(), 4 * 4096);
    assert_eq!(verdict(&report, "state_readback"), Verdict::Pass);
    for bytes in [0, 3 * 4096, 5 * 4096] {
        report.counters.after_seal.readback_bytes.insert("fields".into(), bytes);
        assert_eq!(verdict(&report, "state_readback"), Verdict::Fail, "{bytes} bytes");
    }
}

#[test]
fn checks_that_dominate_fail() {
    fails("operator_share", "33 %", |report| {
        rollout(report).kernel_times_ms.insert("state_hash".into(), 500.0);
        rollout(report).operator_share = Some(0.9);
    });
}

#[test]
fn divergence_and_what_is_not_finite_fail() {
    fails("defect", "2 differences NaN or infinite", |report| {
        rollout(report).defect.as_mut().expect("defects").non_finite = 2;
    });
    let grown =
        DefectReport { count: 5, increases: 4, first: 1.0, last: 40.0, max: 40.0, ..Default::default() };
    fails("defect", "diverges: each of 5 larger, the last 40.0 times the first", |report| {
        rollout(report).defect = Some(grown.clone());
    });
    let mut report = good();
    rollout(&mut report).defect = Some(DefectReport { increases: 3, ..grown });
    assert_eq!(verdict(&report, "defect"), Verdict::Pass);
    fails("finite_output", "3 outputs NaN or infinite", |report| report.non_finite_outputs = Some(3));
}

#[test]
fn a_figure_that_is_worse_than_its_parts_counts() {
    type Fault = fn(&mut RolloutReport);
    let faults: [(&str, Fault); 6] = [
        ("operator_upload", |r| r.a_uploaded_bytes_per_step = 4.0),
        ("state_readback", |r| {
            r.cpu_readbacks.insert("z".into(), 300_000);
        }),
        ("synchronisation", |r| r.fences_per_step = 2.0),
        ("speed_up", |r| r.speed_up = Some(1.1)),
        ("gpu_share", |r| r.gpu_utilization_estimate = Some(0.1)),
        ("operator_share", |r| r.operator_share = Some(0.2)),
    ];
    for (name, fault) in faults {
        fails(name, "", |report| fault(rollout(report)));
    }
}

#[test]
fn a_hash_that_a_rerun_does_not_find_fails() {
    fails("hash", "differs at step 1000: aa in this run, ab in one before it", |report| {
        rollout(report).hash.as_mut().expect("hashes").rerun_of_first = Some("ab".into());
    });
}

#[test]
fn on_the_cpu_device_only_what_it_can_break_is_judged() {
    let mut report = good();
    report.device.kind = DeviceKind::Cpu;
    report.device.requested = "cpu".into();
    let gates = evaluate_rollout(&report, &RolloutThresholds::default());
    let judged: Vec<_> =
        gates.iter().filter(|gate| gate.verdict != Verdict::Skip).map(|gate| gate.name.as_str()).collect();
    assert_eq!(judged, ["backend_identity", "operator_share", "defect", "hash", "finite_output"]);
    assert!(failing(&report).is_empty());
}
