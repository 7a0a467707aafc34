//! Chooses how decode's steps wait for each other: rehearses the decode plans of a loaded model before the seal. A hand-over
//! works where a device starts workgroups in the order of their calls and lets them see each other's stores, which Vulkan
//! does not promise; so it is used only after it has made the same tokens as the barriers, and only if it made them faster.

use crate::engine::{slot_bytes, slot_of};
use crate::{EngineError, Sampling};
use resident_kernels::step::SlotHeader;
use resident_ledger::class;
use resident_models::{Executor, Handles, StepBuffers};
use resident_plan::PlanId;
use resident_runtime::{Kind, SessionBuilder};
use std::time::{Duration, Instant};

/// Decode steps of a rehearsal at most.
const STEPS: u32 = 16;
/// Timed rehearsals of each executor.
const ROUNDS: u32 = 3;

/// How decode's steps wait for each other, and why so.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenExecutor {
    /// The choice.
    pub executor: Executor,
    /// For people: `faster than barriers, 480 against 767 µs a step`.
    pub reason: String,
}

/// The executors to build plans for. Software drivers and the CPU device have nothing to gain from a hand-over.
pub(crate) fn candidates(wanted: Option<Executor>, kind: Kind) -> Vec<Executor> {
    match (wanted, kind) {
        (Some(Executor::Barriers), _) | (None, Kind::Cpu | Kind::SoftwareGpu) => vec![Executor::Barriers],
        (Some(Executor::Handover), _) | (None, Kind::Gpu) => vec![Executor::Barriers, Executor::Handover],
    }
}

/// Chooses among the decode plans that the model was built with.
///
/// # Errors
/// Device errors; a forced hand-over that does not pass the self-test.
pub(crate) fn choose(
    builder: &mut SessionBuilder,
    handles: &Handles,
    wanted: Option<Executor>,
    context: u32,
) -> Result<(ChosenExecutor, PlanId), EngineError> {
    let plan_of = |wanted: Executor| handles.decode.iter().find(|(executor, _)| *executor == wanted);
    let (_, barriers) = *plan_of(Executor::Barriers).expect("every model has this plan");
    let chosen = |executor, plan, reason| Ok((ChosenExecutor { executor, reason }, plan));
    let Some((_, handover)) = plan_of(Executor::Handover).copied() else {
        let reason = if wanted.is_some() { "asked for" } else { "a hand-over is for hardware GPUs" };
        return chosen(Executor::Barriers, barriers, reason.into());
    };
    let mut rehearse = |plan| Rehearsal { builder, handles, plan, steps: STEPS.min(context - 1) }.run();
    let (expected, with_barriers) = rehearse(barriers)?;
    let (found, with_handover) = rehearse(handover)?;
    let passed = expected == found;
    if wanted == Some(Executor::Handover) {
        return match passed {
            true => chosen(Executor::Handover, handover, "asked for; passed the self-test".into()),
            false => Err(EngineError::Request(format!(
                "executor handover: the self-test decoded {found:?} where barriers decode {expected:?}; this driver does not run it, use --executor barriers"
            ))),
        };
    }
    let micros = |time: Duration| (time.as_secs_f64() * 1e6).round();
    let times = format!("{} against {} µs a step", micros(with_handover), micros(with_barriers));
    match passed {
        false => chosen(Executor::Barriers, barriers, "the hand-over did not pass the self-test".into()),
        true if with_handover < with_barriers => {
            chosen(Executor::Handover, handover, format!("faster than barriers, {times}"))
        }
        true => chosen(Executor::Barriers, barriers, format!("a hand-over is not faster, {times}")),
    }
}

/// A greedy text from one token on, with one of the decode plans.
struct Rehearsal<'a> {
    builder: &'a mut SessionBuilder,
    handles: &'a Handles,
    plan: PlanId,
    steps: u32,
}

impl Rehearsal<'_> {
    /// The tokens, and the time of a step.
    fn run(mut self) -> Result<(Vec<u32>, Duration), EngineError> {
        let mut tokens = Vec::new();
        let mut best = Duration::MAX;
        // The first round compiles, and raises the clocks.
        for round in 0..=ROUNDS {
            let time = self.round()?;
            if round > 0 {
                best = best.min(time / self.steps.max(1));
            }
            tokens.resize(self.steps as usize + 1, 0);
            self.builder.read_ring(self.handles.step.ring, &mut tokens, class::TOKENS);
        }
        // As if nothing had happened; caches and history are written before they are read.
        let step = self.handles.step.step;
        self.builder.load(step, &vec![0; step.bytes as usize], "rehearsal")?;
        Ok((tokens, best))
    }

    /// How long the decode steps took.
    fn round(&mut self) -> Result<Duration, EngineError> {
        let StepBuffers { step, .. } = self.handles.step;
        self.builder.load(step, &vec![0; step.bytes as usize], "rehearsal")?;
        let header = SlotHeader { row_count: 1, params_sequence: 0, sets_ring_head: 1, ring_head: 0 };
        let params = Sampling::default().params(u32::MAX, &[]);
        let bytes = slot_bytes(header, params, &[0], 0, true);
        self.builder.write_mailbox(slot_of(&self.handles.step, 0, &bytes), &bytes, "rehearsal");
        let (_, prefill) = *self.handles.prefill.first().expect("a program has prefill plans");
        self.builder.rehearse(&[prefill])?;
        let start = Instant::now();
        self.builder.rehearse(&vec![self.plan; self.steps as usize])?;
        Ok(start.elapsed())
    }
}
