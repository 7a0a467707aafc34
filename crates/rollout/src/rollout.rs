//! A rollout made resident: A uploaded once, every plan recorded, the executor chosen by measurement, then sealed.

use crate::decode::Decode;
use crate::executor::{Executor, Way};
use crate::program::{Check, CheckSet, Parts, Position, checks_at, holds};
use crate::vorticity::CodecMeta;
use crate::{Inputs, RolloutError, Strides, Values};
use resident_kernels::real::RealType;
use resident_kernels::state_hash;
use resident_ledger::{Ledger, Snapshot};
use resident_plan::{BufferKind, PlanId, Program};
use resident_runtime::{Choice, Session, SessionBuilder, SessionOptions, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The class of A's upload.
pub(crate) const OPERATOR: &str = "operator";
/// The class of the states' upload.
const STATE: &str = "state";
/// The class of tables and counters.
pub(crate) const SCHEDULE: &str = "schedule";
/// Bytes of A that are prepared and uploaded at a time.
const UPLOAD_BYTES: usize = 8 << 20;
/// An executor is measured with as many steps as take about this long.
const MEASURED: Duration = Duration::from_millis(20);
/// The most steps of a measurement.
const MOST_MEASURED_STEPS: u64 = 1 << 14;
/// Steps of the self-test.
const TESTED_STEPS: u64 = 64;
/// The relative difference that the self-test allows.
const TESTED_TOLERANCE: f64 = 1e-4;
/// A rerun for the hash gate takes at most this long.
const RERUN: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// How many steps.
    pub steps: u64,
    /// What happens beside them.
    pub strides: Strides,
    /// By which executor; none lets measurements decide.
    pub executor: Option<Executor>,
    /// What decodes z at the stride of decodes; without it the observer gets z.
    pub decode: Option<CodecMeta>,
    /// Whether the final state is wanted.
    pub reads_final_state: bool,
    /// How the session is made.
    pub session: SessionOptions,
}

/// What became of an executor before the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub executor: Executor,
    /// How it shares the work out, where it can run.
    pub way: Option<String>,
    /// Its measured speed, or why it was not taken into account.
    pub outcome: Result<f64, String>,
}

/// A hash taken twice from the same beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// The step after which it was taken.
    pub step: u64,
    /// What the run before the seal found.
    pub hash: [u32; 4],
}

/// A sealed rollout, ready to run.
pub struct Rollout {
    pub(crate) session: Session,
    pub(crate) parts: Parts,
    pub(crate) decode: Option<Decode>,
    pub(crate) request: Request,
    pub(crate) executor: Executor,
    /// Which of the ways in `parts` it goes.
    pub(crate) way: usize,
    pub(crate) way_name: String,
    pub(crate) candidates: Vec<Candidate>,
    /// Steps a second of the chosen executor, as measured.
    pub(crate) expected_rate: f64,
    pub(crate) rerun: Option<Rerun>,
    /// Seconds of one step, and of one result of each check.
    pub(crate) step_seconds: f64,
    pub(crate) check_seconds: BTreeMap<&'static str, f64>,
    /// Seconds of one field, where a device decodes.
    pub(crate) decode_seconds: Option<f64>,
    pub(crate) state_bytes: u64,
    pub(crate) operator: resident_kernels::real::Operator,
    pub(crate) rows: u32,
}

/// Bytes of A that the target has room for.
pub fn operator_room(target: &Target) -> u64 {
    match target {
        Target::Vulkan(info) => info.limits.max_memory_allocation_bytes.min(target.memory_bytes()),
        Target::Cpu => target.memory_bytes(),
    }
}

impl Rollout {
    /// Uploads, records, measures and seals.
    ///
    /// # Errors
    /// A type or executor that the device has not, device errors.
    pub fn prepare(choice: &Choice, inputs: &Inputs, request: Request) -> Result<Self, RolloutError> {
        Self::prepare_with(choice, inputs, request, BufferKind::Weight)
    }

    /// As [`prepare`](Self::prepare), with A in a buffer of another kind: for the test of a build that sends A with every step.
    pub(crate) fn prepare_with(
        choice: &Choice,
        inputs: &Inputs,
        request: Request,
        operator_kind: BufferKind,
    ) -> Result<Self, RolloutError> {
        request.strides.check(request.steps)?;
        refuse_type(choice, inputs)?;
        let mut candidates = Vec::new();
        let ways = ways(choice, inputs, &request, &mut candidates)?;
        let mut program = Program::default();
        let sets = check_sets(&request);
        let plain: Vec<Way> = ways.iter().map(|(_, way)| *way).collect();
        let parts = Parts::new(&mut program, inputs.operator, inputs.rows, &plain, &sets, operator_kind);
        let decode = |meta| Decode::declare(&mut program, parts.states, inputs, &choice.target, meta);
        let decode = request.decode.as_ref().map(decode).transpose()?;
        let mut session = request.session.clone();
        session.time_submissions = match &choice.target {
            Target::Vulkan(info) => info.limits.timestamp_valid_bits > 0,
            Target::Cpu => false,
        };
        let builder = SessionBuilder::new(&choice.target, program, Arc::new(Ledger::new()), session)?;
        let mut preparation = Preparation { builder, parts, inputs, position: Position::default() };
        preparation.load_operator()?;
        if let Some(decode) = &decode {
            decode.load(&mut preparation.builder)?;
        }
        preparation.reset()?;
        let (way, expected_rate) =
            preparation.choose(&ways, &mut candidates, request.executor, &choice.target)?;
        let mut check_seconds = BTreeMap::new();
        for check in Check::ALL.into_iter().filter(|check| check.stride(&request.strides) > 0) {
            debug_assert!(sets.contains(&(1 << check as u8)));
            let plan = preparation.parts.checks(0, 1 << check as u8);
            check_seconds.insert(check.class(), preparation.time(plan)?);
        }
        let decode_plan = decode.as_ref().and_then(|decode| decode.plan(0));
        let decode_seconds = decode_plan.map(|plan| preparation.time(plan)).transpose()?;
        let rerun = preparation.first_hash(way, &request.strides, expected_rate)?;
        preparation.reset()?;
        let Preparation { builder, parts, .. } = preparation;
        let fields = decode.as_ref().and_then(Decode::readback);
        let readbacks: Vec<_> = parts.states.map(|z| (z, "z")).into_iter().chain(fields).collect();
        let session = builder.seal(&readbacks)?;
        Ok(Self {
            session,
            request,
            executor: ways[way].0,
            way,
            way_name: ways[way].1.name(&choice.target),
            candidates,
            expected_rate,
            rerun,
            step_seconds: 1.0 / expected_rate,
            check_seconds,
            decode_seconds,
            decode,
            state_bytes: parts.states[0].bytes,
            operator: inputs.operator,
            rows: inputs.rows,
            parts,
        })
    }

    /// The executor that runs.
    pub fn executor(&self) -> Executor {
        self.executor
    }

    /// The counters so far.
    pub fn snapshot(&self) -> Snapshot {
        self.session.ledger().snapshot()
    }

    /// What the validation layer had to say, where it watches.
    pub fn validation_messages(&self) -> Vec<String> {
        self.session.validation_messages()
    }
}

/// Refuses f64 on a device that has none.
fn refuse_type(choice: &Choice, inputs: &Inputs) -> Result<(), RolloutError> {
    match &choice.target {
        Target::Vulkan(info) if inputs.operator.real == RealType::F64 && !info.features.shader_float64 => {
            let message = format!("{} does not compute in f64; use --dtype f32 or --device cpu", info.name);
            Err(RolloutError::Invalid(message))
        }
        _ => Ok(()),
    }
}

/// A run of fewer steps is not worth measuring several ways of one executor.
const WORTH_MEASURING: u64 = 1000;

/// The executors to build, with the ways of each; why others are not goes to `candidates`.
fn ways(
    choice: &Choice,
    inputs: &Inputs,
    request: &Request,
    candidates: &mut Vec<Candidate>,
) -> Result<Vec<(Executor, Way)>, RolloutError> {
    let ways = |executor| {
        let mut ways = Way::all(executor, inputs.operator, inputs.rows, choice)?;
        ways.truncate(if request.steps < WORTH_MEASURING { 1 } else { ways.len() });
        Ok(ways)
    };
    let named = |executor, ways: Vec<Way>| ways.into_iter().map(move |way| (executor, way));
    if let Some(executor) = request.executor {
        let refuse = |why: String| RolloutError::Invalid(format!("--executor {executor}: {why}"));
        let wanted = ways(executor).map_err(refuse)?;
        // The self-test compares with replayed dispatches.
        let tested = wanted.iter().any(|way| matches!(way, Way::Persistent { .. }));
        let replay = if tested { ways(Executor::Replay).map_err(refuse)? } else { Vec::new() };
        return Ok(named(Executor::Replay, replay).take(1).chain(named(executor, wanted)).collect());
    }
    let mut found = Vec::new();
    for executor in Executor::ALL {
        let ways = ways(executor).and_then(|ways| match ways.iter().find_map(|way| way.unlikely(choice)) {
            Some(why) => Err(why.to_owned()),
            None => Ok(ways),
        });
        match ways {
            Ok(ways) => found.extend(named(executor, ways)),
            Err(why) => candidates.push(Candidate { executor, way: None, outcome: Err(why) }),
        }
    }
    Ok(found)
}

/// The sets of checks that steps of this run meet, and each check alone for its measurement.
fn check_sets(request: &Request) -> Vec<CheckSet> {
    let Request { steps, strides, .. } = request;
    let alone =
        Check::ALL.into_iter().filter(|check| check.stride(strides) > 0).map(|check| 1 << check as u8);
    let mut sets: BTreeSet<CheckSet> = alone.collect();
    // Two strides meet at their least common multiple.
    for set in 1..8 {
        let mut met =
            Check::ALL.into_iter().filter(|check| holds(set, *check)).map(|check| check.stride(strides));
        let common = met.try_fold(1u64, |all, stride| match stride {
            0 => None,
            _ => (all / gcd(all, stride)).checked_mul(stride),
        });
        if common.is_some_and(|step| step <= *steps) {
            sets.insert(set);
        }
    }
    // Whether the final state is finite is looked at even if nothing else was asked for.
    sets.insert(1 << Check::Stats as u8);
    debug_assert!(
        (1..=100.min(*steps))
            .all(|s| matches!(checks_at(strides, s), 0) || sets.contains(&checks_at(strides, s)))
    );
    sets.into_iter().collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How much faster than the way chosen so far another must be. The ways of `replay` give the same bits, so that any of them will do; those of
/// `persistent` do not, and noise should not choose between them.
fn margin(one: (Executor, Way), other: (Executor, Way)) -> f64 {
    match (one, other) {
        ((_, Way::Persistent { .. }), (_, Way::Persistent { .. })) => 1.1,
        _ => 1.0,
    }
}

/// A rollout before the seal.
struct Preparation<'a> {
    builder: SessionBuilder,
    parts: Parts,
    inputs: &'a Inputs,
    position: Position,
}

impl Preparation<'_> {
    fn load_operator(&mut self) -> Result<(), RolloutError> {
        let operator = self.inputs.operator;
        let row_bytes = operator.row_bytes();
        let rows_at_a_time = (UPLOAD_BYTES / row_bytes as usize).max(1);
        let dim = operator.dim as usize;
        for first in (0..dim).step_by(rows_at_a_time) {
            let count = rows_at_a_time.min(dim - first);
            let bytes = self.inputs.a.padded_rows(operator, first, count);
            let to = self.parts.a.at(first as u64 * row_bytes, bytes.len() as u64);
            self.builder.load(to, &bytes, OPERATOR)?;
        }
        Ok(())
    }

    /// Puts everything back to the beginning of the run.
    fn reset(&mut self) -> Result<(), RolloutError> {
        let bytes = self.inputs.z.padded_rows(self.inputs.operator, 0, self.inputs.rows as usize);
        self.load_state(&bytes)?;
        for check in Check::ALL {
            self.builder.load(self.parts.results(check).counter, &[0; 4], SCHEDULE)?;
        }
        Ok(())
    }

    /// Begins anew from this state.
    fn load_state(&mut self, bytes: &[u8]) -> Result<(), RolloutError> {
        self.builder.load(self.parts.states[0], bytes, STATE)?;
        self.builder.load(self.parts.control, &[0; 8], SCHEDULE)?;
        self.builder.load(self.parts.status, &[0; 4], SCHEDULE)?;
        self.position = Position::default();
        Ok(())
    }

    /// Runs steps, and returns how long that took.
    fn run(&mut self, way: usize, steps: u64) -> Result<Duration, RolloutError> {
        let stretch = self.parts.stretch(way, &mut self.position, steps);
        if let Some((entry, steps)) = stretch.segment {
            self.builder.write_mailbox(entry, &steps.to_le_bytes(), SCHEDULE);
        }
        let start = Instant::now();
        self.builder.rehearse(&stretch.plans)?;
        Ok(start.elapsed())
    }

    /// Measures every way of the wanted executor, or of all, and takes the fastest: its index and its steps a second.
    fn choose(
        &mut self,
        ways: &[(Executor, Way)],
        candidates: &mut Vec<Candidate>,
        wanted: Option<Executor>,
        target: &Target,
    ) -> Result<(usize, f64), RolloutError> {
        let mut outcomes: Vec<Option<Result<f64, String>>> = vec![None; ways.len()];
        let measured = |executor| wanted.is_none_or(|wanted| wanted == executor);
        let several = ways.iter().filter(|(executor, _)| measured(*executor)).count() > 1;
        // Where there is a choice all take turns twice: the first would pay for a device that was idle, any for other work on it.
        for round in 0..if several { 2 } else { 1 } {
            for (index, (executor, way)) in ways.iter().enumerate() {
                if !measured(*executor) {
                    continue;
                }
                let tested = match way {
                    Way::Persistent { .. } if round == 0 => self.self_test(index)?,
                    _ => Ok(()),
                };
                outcomes[index] = Some(match (tested, outcomes[index].take()) {
                    (_, Some(Err(why))) => Err(why),
                    (Err(why), _) => Err(format!("self-test: {why}")),
                    (Ok(()), before) => {
                        Ok(self.rate(index)?.max(before.map_or(0.0, |rate| rate.unwrap_or(0.0))))
                    }
                });
            }
        }
        let mut best: Option<(usize, f64)> = None;
        for ((index, (executor, way)), outcome) in ways.iter().enumerate().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            if let Ok(rate) = outcome
                && best.is_none_or(|(other, most)| rate > most * margin(ways[other], (*executor, *way)))
            {
                best = Some((index, rate));
            }
            candidates.push(Candidate { executor: *executor, way: Some(way.name(target)), outcome });
        }
        candidates.sort_by_key(|candidate| candidate.executor);
        // Replayed dispatches always run, so it was one that was named.
        best.ok_or_else(|| {
            let why = candidates.iter().find_map(|candidate| candidate.outcome.as_ref().err());
            let why = why.map_or("", String::as_str);
            RolloutError::Invalid(format!("--executor {}: {why}", wanted.unwrap_or(Executor::Replay)))
        })
    }

    /// Steps a second.
    fn rate(&mut self, way: usize) -> Result<f64, RolloutError> {
        self.reset()?;
        // The first run compiles; it must not be longer than anybody wants to wait.
        self.run(way, 1)?;
        let mut steps = 1;
        loop {
            let time = self.run(way, steps)?;
            if time * 4 >= MEASURED || steps >= MOST_MEASURED_STEPS {
                let again = if time < 4 * MEASURED { self.run(way, steps)? } else { time };
                return Ok(steps as f64 / time.min(again).as_secs_f64().max(1e-9));
            }
            steps *= 4;
        }
    }

    /// Compares with replayed dispatches on a state of its own; the reason where that fails.
    fn self_test(&mut self, way: usize) -> Result<Result<(), String>, RolloutError> {
        let (operator, rows) = (self.inputs.operator, self.inputs.rows);
        // Any state will do, also where the run begins with zeros.
        let state = (0..operator.dim * rows).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let bytes = Values::F32(state).padded_rows(operator, 0, rows as usize);
        self.load_state(&bytes)?;
        // Where there is something to test, replayed dispatches are the first way.
        self.run(0, TESTED_STEPS)?;
        let expected =
            Values::from_padded(operator, &self.builder.peek(self.parts.states[self.position.place], STATE)?);
        for _ in 0..3 {
            self.load_state(&bytes)?;
            self.run(way, TESTED_STEPS)?;
            let mut status = [0];
            self.builder.read_ring(self.parts.status, &mut status, "status");
            if status != [0] {
                return Ok(Err("its workgroups do not run at the same time on this device".to_owned()));
            }
            let found = Values::from_padded(operator, &self.builder.peek(self.parts.states[0], STATE)?);
            let error = crate::vorticity::relative_error(&found.to_f64(), &expected.to_f64());
            // An operator that overflows within the test says nothing about the executor.
            let agrees = error <= TESTED_TOLERANCE;
            if expected.non_finite() == 0 && !agrees {
                return Ok(Err(format!("it differs from replayed dispatches by {error:.1e}")));
            }
        }
        Ok(Ok(()))
    }

    /// Seconds of a plan that stands beside the steps: a check, a decode.
    fn time(&mut self, plan: PlanId) -> Result<f64, RolloutError> {
        const TIMES: u32 = 20;
        self.builder.rehearse(&[plan])?;
        let start = Instant::now();
        self.builder.rehearse(&[plan; TIMES as usize])?;
        Ok(start.elapsed().as_secs_f64() / f64::from(TIMES))
    }

    /// The hash that the run's first one must equal.
    fn first_hash(
        &mut self,
        way: usize,
        strides: &Strides,
        rate: f64,
    ) -> Result<Option<Rerun>, RolloutError> {
        let step = strides.hash;
        if step == 0 || step as f64 / rate > RERUN.as_secs_f64() {
            return Ok(None);
        }
        self.reset()?;
        // In the same stretches as the run, since segments of another length round no differently but dispatches might.
        self.run(way, step)?;
        let set = 1 << Check::Hash as u8;
        let place = self.position.place;
        let plan = self.parts.checks(place, set);
        self.builder.rehearse(&[plan])?;
        let mut hash = [0; state_hash::RESULT_WORDS as usize];
        self.builder.read_ring(self.parts.results(Check::Hash).ring, &mut hash, "hash");
        Ok(Some(Rerun { step, hash }))
    }
}
