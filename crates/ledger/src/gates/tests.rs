//! Every gate passes on a good report and fails on the fault that it is there for.

use super::*;
use crate::fixtures::{cpu_run, gpu_run, software_run};

/// The names of the gates that fail.
fn failing(report: &Report) -> Vec<String> {
    let gates = evaluate(report, &Thresholds::default());
    gates.into_iter().filter(|g| g.verdict == Verdict::Fail).map(|g| g.name).collect()
}

fn gate(report: &Report, name: &str) -> GateResult {
    evaluate(report, &Thresholds::default())
        .into_iter()
        .find(|g| g.name == name)
        .expect("a gate of that name")
}

/// Breaks a good GPU run; exactly the named gate must fail, with a detail that contains `detail`.
fn fails(name: &str, detail: &str, fault: impl FnOnce(&mut Report)) {
    let mut report = gpu_run();
    fault(&mut report);
    assert_eq!(failing(&report), [name]);
    let gate = gate(&report, name);
    assert!(gate.detail.contains(detail), "{}", gate.detail);
    assert_eq!(verdict_of(&evaluate(&report, &Thresholds::default())).exit_code(), 3);
}

#[test]
fn every_gate_passes_on_a_good_gpu_run() {
    for report in [gpu_run(), software_run()] {
        let gates = evaluate(&report, &Thresholds::default());
        assert_eq!(gates.len(), 11);
        assert!(gates.iter().all(|g| g.verdict == Verdict::Pass), "{gates:#?}");
        assert_eq!(verdict_of(&gates).exit_code(), 0);
    }
}

#[test]
fn stored_verdicts_are_not_trusted() {
    let mut report = gpu_run();
    report.counters.after_seal.recordings = 1;
    report.gates = evaluate(&gpu_run(), &Thresholds::default());
    assert_eq!(failing(&report), ["recordings_after_seal"]);
}

#[test]
fn a_cpu_operation_in_a_gpu_run_fails_and_names_the_kernel() {
    fails("no_cpu_ops", "2 CPU operations after the seal, at most 0 allowed: matvec_q8_0 2", |report| {
        report.counters.after_seal.cpu_ops.insert("matvec_q8_0".into(), 2);
    });
}

#[test]
fn an_allocation_after_the_seal_fails() {
    fails("allocations_after_seal", "1 device memory allocation after the seal", |report| {
        report.counters.after_seal.allocations = 1;
    });
}

#[test]
fn a_pipeline_made_after_the_seal_fails() {
    fails("pipeline_creations_after_seal", "1 pipeline creation", |report| {
        report.counters.after_seal.pipeline_creations = 1;
    });
}

#[test]
fn a_recording_a_token_fails() {
    fails("recordings_after_seal", "128 command buffer recordings", |report| {
        report.counters.after_seal.recordings = 128;
    });
}

#[test]
fn a_descriptor_write_fails() {
    fails("descriptor_writes_after_seal", "1 descriptor write", |report| {
        report.counters.after_seal.descriptor_writes = 1;
    });
}

#[test]
fn weights_that_go_up_after_the_seal_fail() {
    fails("weight_uploads_after_seal", "4 096 uploaded weight bytes", |report| {
        report.counters.after_seal.upload_bytes.insert("weights".into(), 4096);
    });
}

#[test]
fn a_readback_of_logits_each_token_fails() {
    fails("token_readback", "77 791 232 bytes of logits, which 'run' has no reason to read back", |report| {
        report.counters.after_seal.readback_bytes.insert("logits".into(), 128 * 607_744);
    });
}

#[test]
fn eight_bytes_a_token_fail_and_so_do_tokens_that_were_not_counted() {
    for bytes in [1024, 508] {
        fails("token_readback", "for 128 produced tokens instead of 512 bytes", |report| {
            report.counters.after_seal.readback_bytes.insert("tokens".into(), bytes);
        });
    }
}

#[test]
fn a_command_that_exists_for_logits_may_read_them_back() {
    let mut report = gpu_run();
    report.command = "logits".into();
    report.counters.after_seal.readback_bytes = BTreeMap::from([("logits".into(), 607_744)]);
    (report.generation, report.timings) = (None, None);
    assert!(failing(&report).is_empty());
    report.counters.after_seal.readback_bytes.insert("hidden_states".into(), 4);
    assert_eq!(failing(&report), ["token_readback"]);
}

#[test]
fn a_submit_a_token_fails() {
    fails(
        "submits_per_token",
        "127 submits in 127 decode steps: 1.000 a token, must be below 0.2",
        |report| {
            report.counters.after_seal.submits = 2 + 127;
        },
    );
}

#[test]
fn a_host_wait_a_token_fails() {
    fails("host_waits_per_token", "127 host waits in 127 decode steps: 1.000 a token", |report| {
        report.counters.after_seal.host_waits = 1 + 127;
    });
}

#[test]
fn submits_of_a_long_prefill_are_not_charged_to_decode() {
    let mut report = gpu_run();
    report.counters.after_seal.submits += 160;
    report.generation.as_mut().unwrap().prefill_submits += 160;
    assert!(failing(&report).is_empty());
}

#[test]
fn a_short_run_is_not_judged_by_its_submits() {
    let mut report = gpu_run();
    report.counters.after_seal.submits = 40;
    report.timings.as_mut().unwrap().decode_tokens = 31;
    let gate = gate(&report, "submits_per_token");
    assert_eq!((gate.verdict, gate.value), (Verdict::Skip, None));
    assert_eq!(gate.detail, "31 decode steps are too few to judge, 64 are enough");
}

#[test]
fn nan_in_the_output_fails_and_not_looking_is_said() {
    fails("finite_output", "3 outputs NaN or infinite", |report| report.non_finite_outputs = Some(3));
    let mut report = gpu_run();
    report.non_finite_outputs = None;
    assert_eq!(gate(&report, "finite_output").verdict, Verdict::Skip);
}

#[test]
fn a_required_gpu_is_neither_a_cpu_nor_a_software_driver() {
    for mut report in [cpu_run(), software_run()] {
        report.device.require_gpu = true;
        assert_eq!(failing(&report), ["backend_identity"]);
        assert!(gate(&report, "backend_identity").detail.contains("with a hardware GPU required allows gpu"));
    }
}

#[test]
fn the_device_used_is_one_that_the_request_allows() {
    let request = |mut report: Report, requested: &str| {
        report.device.requested = requested.into();
        failing(&report).is_empty()
    };
    let requests = ["auto", "cpu", "gpu", "gpu:0", "gpu:1", "gpu:x", "tpu"];
    assert_eq!(requests.map(|r| request(gpu_run(), r)), [true, false, true, true, false, false, false]);
    assert_eq!(requests.map(|r| request(software_run(), r)), [false, false, true, true, false, false, false]);
    assert_eq!(requests.map(|r| request(cpu_run(), r)), [true, true, false, false, false, false, false]);
}

#[test]
fn tokens_without_a_dispatch_are_no_gpu_run() {
    fails("backend_identity", "131 tokens without one dispatch on gpu NVIDIA H200", |report| {
        report.counters.after_seal.dispatches.clear();
    });
}

#[test]
fn a_cpu_run_skips_the_gates_of_a_gpu_and_says_so() {
    let gates = evaluate(&cpu_run(), &Thresholds::default());
    let (skipped, judged): (Vec<_>, Vec<_>) = gates.into_iter().partition(|g| g.verdict == Verdict::Skip);
    assert_eq!(
        judged.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(),
        ["backend_identity", "finite_output"]
    );
    assert_eq!(skipped.len(), 9);
    assert!(skipped.iter().all(|g| g.detail == "no GPU was used, so there is nothing to judge"));
}

#[test]
fn the_worst_verdict_counts() {
    let with = |verdict| GateResult { verdict, ..skip("any", "") };
    assert_eq!(verdict_of(&[]), Verdict::Skip);
    assert_eq!(verdict_of(&[with(Verdict::Pass), with(Verdict::Skip)]), Verdict::Pass);
    assert_eq!(verdict_of(&[with(Verdict::Warn), with(Verdict::Pass)]), Verdict::Warn);
    assert_eq!(verdict_of(&[with(Verdict::Fail), with(Verdict::Warn)]), Verdict::Fail);
    assert_eq!(Verdict::Warn.exit_code(), 0);
}

#[test]
fn a_threshold_from_a_file_counts() {
    let thresholds = Thresholds::parse("mine.toml", "[allocations_after_seal]\nat_most = 2").unwrap();
    let mut report = gpu_run();
    report.counters.after_seal.allocations = 2;
    assert_eq!(verdict_of(&evaluate(&report, &thresholds)), Verdict::Pass);
}
