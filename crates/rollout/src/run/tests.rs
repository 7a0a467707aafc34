//! Tests that break a run on purpose: each fault that the gates are there for is injected into a real run, and caught.

use crate::program::Position;
use crate::{Executor, Inputs, Operator, RealType, Request, Rollout, RolloutError, Strides, Values};
use resident_ledger::{DeviceKind, DeviceReport, Report, RolloutThresholds, Verdict, evaluate_rollout};
use resident_plan::BufferKind;
use resident_runtime::{Choice, DeviceRequest, Session, choose, list_devices};

fn vulkan() -> Option<Choice> {
    let choice = choose(&list_devices().expect("list devices"), DeviceRequest::Gpu, false).ok();
    if choice.is_none() {
        assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none(), "there is no Vulkan device");
        eprintln!("skipped: no Vulkan device");
    }
    choice
}

/// A rotation of pairs of values, so that nothing grows.
fn inputs() -> Inputs {
    let dim = 32;
    let mut a = vec![0.0f32; dim * dim];
    for pair in (0..dim).step_by(2) {
        (a[pair * dim + pair], a[pair * dim + pair + 1]) = (0.8, 0.6);
        (a[(pair + 1) * dim + pair], a[(pair + 1) * dim + pair + 1]) = (-0.6, 0.8);
    }
    let z = Values::F32((0..dim).map(|i| i as f32 / 10.0).collect());
    let operator = Operator { real: RealType::F32, dim: dim as u32 };
    Inputs { operator, a: Values::F32(a), rows: 1, z, is_batch: false }
}

/// Runs 200 steps, waking the host after each, with `fault` between them; the gates that fail.
fn failing(
    operator_kind: BufferKind,
    fault: impl FnMut(&mut Session, Position) -> Result<(), RolloutError>,
) -> Option<Vec<String>> {
    let choice = vulkan()?;
    let request = Request {
        steps: 200,
        strides: Strides { progress: 1, ..Strides::default() },
        executor: Some(Executor::Replay),
        ..Request::default()
    };
    let mut rollout = Rollout::prepare_with(&choice, &inputs(), request, operator_kind).expect("prepare");
    let outcome = rollout.run_with(&mut (), fault).expect("run");
    let device = DeviceReport {
        kind: DeviceKind::SoftwareGpu,
        requested: "gpu".into(),
        require_gpu: false,
        used: "a device".into(),
        driver: None,
        index: None,
        reason: "a test".into(),
    };
    let counters = rollout.snapshot();
    let mut report = Report::new("rollout", "0", device, counters.clone());
    report.rollout = Some(rollout.report(&outcome, &counters));
    report.non_finite_outputs = Some(outcome.final_non_finite);
    let gates = evaluate_rollout(&report, &RolloutThresholds::default());
    Some(gates.into_iter().filter(|g| g.verdict == Verdict::Fail).map(|g| g.name).collect())
}

#[test]
fn a_sound_run_passes() {
    let Some(failing) = failing(BufferKind::Weight, |_, _| Ok(())) else { return };
    assert!(failing.is_empty(), "{failing:?}");
}

#[test]
fn reading_z_after_every_step_is_caught() {
    let parts = std::cell::OnceCell::new();
    let found = failing(BufferKind::Weight, |session, position| {
        let states = parts.get_or_init(|| {
            let declared = session.program().buffers.iter().position(|b| b.name == "z").expect("z");
            let bytes = session.program().buffers[declared].bytes;
            [0, 1].map(|next| resident_kernels::Slice {
                buffer: resident_kernels::BufferId((declared + next) as u32),
                offset_bytes: 0,
                bytes,
            })
        });
        session.readback(states[position.place])?;
        Ok(())
    });
    if let Some(failing) = found {
        assert!(failing.contains(&"state_readback".to_owned()), "{failing:?}");
    }
}

#[test]
fn sending_a_with_every_step_is_caught() {
    let inputs = inputs();
    let bytes = inputs.a.padded_rows(inputs.operator, 0, inputs.operator.dim as usize);
    let found = failing(BufferKind::Mailbox, |session, _| {
        let declared = session.program().buffers.iter().position(|b| b.name == "A").expect("A");
        let buffer = resident_kernels::BufferId(declared as u32);
        let a = resident_kernels::Slice { buffer, offset_bytes: 0, bytes: bytes.len() as u64 };
        session.write_mailbox(a, &bytes, "operator");
        Ok(())
    });
    if let Some(failing) = found {
        assert_eq!(failing, ["operator_upload"]);
    }
}

#[test]
fn a_step_on_the_cpu_is_caught() {
    let found = failing(BufferKind::Weight, |session, _| {
        // What the plan interpreter does with a step.
        let step = session.program().plans[0].steps[0].dispatch.clone();
        let memory = resident_plan::host_memory(session.program());
        (step.kernel.host)(&step, &memory);
        session.ledger().cpu_op(step.kernel.name);
        Ok(())
    });
    if let Some(failing) = found {
        assert_eq!(failing, ["backend_identity"]);
    }
}
