//! Good reports for the tests of this crate; each test breaks one thing in them.

use crate::{
    Bandwidth, Counters, DeviceKind, DeviceReport, Generation, ModelReport, Report, Snapshot, Timings,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// 128 tokens on a hardware GPU, as they should be: 13 submits for 127 decode steps, 4 bytes read back a token.
pub(crate) fn gpu_run() -> Report {
    let device = DeviceReport {
        kind: DeviceKind::Gpu,
        requested: "auto".into(),
        require_gpu: false,
        used: "NVIDIA H200".into(),
        driver: Some("NVIDIA 580.159".into()),
        index: Some(0),
        reason: "discrete, the only usable device".into(),
    };
    let by_name = |name: &str, value| BTreeMap::from([(name.to_owned(), value)]);
    let before_seal = Counters {
        allocations: 5,
        allocated_bytes: 1 << 30,
        pipeline_creations: 12,
        recordings: 2,
        submits: 4,
        host_waits: 4,
        upload_bytes: by_name("weights", 1_192_000_000),
        ..Counters::default()
    };
    let after_seal = Counters {
        submits: 15,
        host_waits: 14,
        dispatches: BTreeMap::from([("matvec_bf16".into(), 128 * 113), ("rms_norm".into(), 128)]),
        upload_bytes: by_name("inputs", 64),
        readback_bytes: by_name("tokens", 512),
        ..Counters::default()
    };
    let mut timings = Timings { load_seconds: 0.5, wall_seconds: 0.7, ..Timings::default() };
    timings.set_prefill(4, Duration::from_millis(2));
    timings.set_decode(127, Duration::from_secs_f64(127.0 / 1480.0));
    let mut report = Report::new("run", "0.1.0", device, Snapshot { before_seal, after_seal });
    report.model = Some(ModelReport {
        name: "Qwen3-0.6B".into(),
        architecture: "qwen3".into(),
        parameters: 596_049_920,
        weight_bytes: 1_192_000_000,
        weights_format: "bf16".into(),
        activations: "f32".into(),
        kv_cache: "f16".into(),
        executor: "barriers".into(),
        executor_reason: "asked for".into(),
        context: 4096,
    });
    report.timings = Some(timings);
    report.bandwidth = Some(Bandwidth::new(1_192_000_000, 1480.0, Some(4.3e12)));
    report.generation = Some(Generation {
        prompt_tokens: 4,
        reused_tokens: None,
        completion_tokens: 128,
        produced_tokens: 128,
        finish_reason: "length".into(),
        prefill_submits: 2,
        prefill_host_waits: 1,
        seed: Some(1),
        ..Generation::default()
    });
    report.non_finite_outputs = Some(0);
    report
}

/// The same on a software driver.
pub(crate) fn software_run() -> Report {
    let mut report = gpu_run();
    report.device.kind = DeviceKind::SoftwareGpu;
    report.device.requested = "gpu".into();
    report.device.used = "llvmpipe".into();
    report.timings.as_mut().unwrap().set_decode(127, Duration::from_secs_f64(127.0 / 31.0));
    report.bandwidth = None;
    report
}

/// The same on the CPU device: nothing is sealed into a GPU, every step is a CPU operation.
pub(crate) fn cpu_run() -> Report {
    let mut report = gpu_run();
    report.device = DeviceReport {
        kind: DeviceKind::Cpu,
        requested: "auto".into(),
        require_gpu: false,
        used: "AMD EPYC, 2 threads".into(),
        driver: None,
        index: None,
        reason: "no Vulkan driver is installed".into(),
    };
    let cpu_ops = std::mem::take(&mut report.counters.after_seal.dispatches);
    report.counters =
        Snapshot { after_seal: Counters { cpu_ops, ..Counters::default() }, ..Snapshot::default() };
    report.timings.as_mut().unwrap().set_decode(127, Duration::from_secs_f64(127.0 / 812.0));
    report.bandwidth = None;
    report
}
