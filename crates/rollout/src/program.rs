//! A rollout as a program: its buffers, and plans for steps and checks that are recorded once and replayed in any order.

use crate::executor::Way;
use crate::strides::{Strides, names};
use resident_kernels::real::Operator;
use resident_kernels::{Slice, persistent_begin, state_defect, state_hash, state_stats};
use resident_kernels::{vecmat, vecmat_chain, vecmat_persistent};
use resident_plan::{BufferKind, PlanId, Program};

/// Steps of the recordings that a replayed run is put together from, largest first. All but the last keep the parity.
const CHUNKS: [u64; 4] = [512, 64, 8, 1];
/// Segments that may be under way at once; a power of two.
pub(crate) const SEGMENTS: u32 = 4096;
/// Results of a check that may be unread at once; a power of two.
pub(crate) const RESULTS: u32 = 1024;

/// What looks at z on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Hash,
    Stats,
    Defect,
}

impl Check {
    pub(crate) const ALL: [Self; 3] = [Self::Hash, Self::Stats, Self::Defect];

    /// The class of its readbacks.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Stats => "stats",
            Self::Defect => "defect",
        }
    }

    pub(crate) fn stride(self, strides: &Strides) -> u64 {
        match self {
            Self::Hash => strides.hash,
            Self::Stats => strides.stats,
            Self::Defect => strides.defect,
        }
    }

    fn result_words(self, operator: Operator) -> u32 {
        match self {
            Self::Hash => state_hash::RESULT_WORDS,
            Self::Stats => state_stats::result_words(operator.real),
            Self::Defect => state_defect::result_words(operator.real),
        }
    }
}

/// The checks that look at the same step, as bits.
pub(crate) type CheckSet = u8;

/// The checks whose stride names a step.
pub(crate) fn checks_at(strides: &Strides, step: u64) -> CheckSet {
    let due = Check::ALL.into_iter().filter(|check| names(check.stride(strides), step));
    due.fold(0, |set, check| set | 1 << check as u8)
}

/// Whether a check is in a set.
pub(crate) fn holds(set: CheckSet, check: Check) -> bool {
    set & (1 << check as u8) != 0
}

/// Where the results of a check go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Results {
    /// Results so far, on the device.
    pub(crate) counter: Slice,
    /// The results, for the host.
    pub(crate) ring: Slice,
    /// Words of one.
    pub(crate) words: u32,
}

/// The plans that run steps in one way.
#[derive(Clone, Debug)]
enum Runner {
    /// Steps of a chunk, and its plans by the state that z lies in before it; the largest first.
    Chunks(Vec<(u64, [PlanId; 2])>),
    /// As many steps as the table says.
    Segment(PlanId),
}

/// The buffers and plans of a rollout.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) a: Slice,
    /// z, and z one step before or after it: replayed steps go from one to the other and back; segments leave z in the first.
    pub(crate) states: [Slice; 2],
    /// How many steps each segment runs, by the number of segments before it.
    pub(crate) segments: Slice,
    /// Segments so far, on the device.
    pub(crate) control: Slice,
    /// Whether a persistent dispatch lost a word.
    pub(crate) status: Slice,
    /// What runs steps, by way.
    runners: Vec<Runner>,
    results: [Results; 3],
    /// By the state that z lies in, and by the set.
    checks: [[Option<PlanId>; 8]; 2],
}

impl Parts {
    /// Declares everything for these ways. `operator_kind` is where A lies: among the weights.
    pub(crate) fn new(
        program: &mut Program,
        operator: Operator,
        rows: u32,
        ways: &[Way],
        sets: &[CheckSet],
        operator_kind: BufferKind,
    ) -> Self {
        let states =
            ["z", "z'"].map(|name| program.buffer(name, operator.state_bytes(rows), BufferKind::State));
        let results = Check::ALL.map(|check| {
            let words = check.result_words(operator);
            let bytes = u64::from(RESULTS) * u64::from(words) * 4;
            let counter = program.buffer(format!("{} counter", check.class()), 4, BufferKind::State);
            let ring = program.buffer(format!("{} ring", check.class()), bytes, BufferKind::Ring);
            Results { counter, ring, words }
        });
        let mut parts = Self {
            a: program.buffer("A", operator.bytes(), operator_kind),
            states,
            segments: program.buffer("segments", u64::from(SEGMENTS) * 4, BufferKind::Mailbox),
            control: program.buffer("control", 8, BufferKind::State),
            status: program.buffer("status", 4, BufferKind::Ring),
            runners: Vec::new(),
            results,
            checks: [[None; 8]; 2],
        };
        for (index, way) in ways.iter().enumerate() {
            let runner = match *way {
                Way::Replay(tiling) => parts.chunks(program, operator, rows, tiling, index),
                Way::Chain(team) => parts.chain(program, operator, team),
                Way::Persistent { shape, patience } => parts.persistent(program, operator, shape, patience),
            };
            parts.runners.push(runner);
        }
        for set in sets {
            parts.add_checks(program, operator, rows, *set);
        }
        parts
    }

    fn chunks(
        &self,
        program: &mut Program,
        operator: Operator,
        rows: u32,
        tiling: vecmat::Tiling,
        way: usize,
    ) -> Runner {
        let chunk = |steps| {
            let plans = [0, 1].map(|first: usize| {
                let mut plan = program.plan(format!("steps {steps} from {first} by way {way}"), rows);
                for step in 0..steps {
                    let from = (first + step as usize) % 2;
                    let bindings =
                        vecmat::Bindings { z: self.states[from], a: self.a, y: self.states[1 - from] };
                    // There and back: the end of A that a step reads last is where the next begins.
                    let call = vecmat::dispatch(operator, rows, tiling, from == 1, bindings);
                    plan.dispatch(format!("step.{step}"), call);
                }
                plan.finish()
            });
            (steps, plans)
        };
        Runner::Chunks(CHUNKS.map(chunk).into())
    }

    fn chain(&self, program: &mut Program, operator: Operator, team: vecmat_chain::Team) -> Runner {
        let Self { segments, control, a, states: [z, before], .. } = *self;
        let mut plan = program.plan("segment of a chain".to_owned(), 1);
        let bindings = vecmat_chain::Bindings { segments, control, a, z, before };
        plan.dispatch("steps", vecmat_chain::dispatch(operator, team, bindings));
        Runner::Segment(plan.finish())
    }

    fn persistent(
        &self,
        program: &mut Program,
        operator: Operator,
        shape: vecmat_persistent::Shape,
        patience: u32,
    ) -> Runner {
        let Self { segments, control, a, states: [z, before], status, .. } = *self;
        let slots = program.buffer(format!("slots {shape}"), shape.ring_bytes(), BufferKind::State);
        let mut plan = program.plan(format!("segment {shape}"), shape.rows);
        let begin = persistent_begin::Bindings { segments, control, z, slots };
        plan.dispatch("begin", persistent_begin::dispatch(operator, shape, begin));
        let bindings = vecmat_persistent::Bindings { control, a, slots, z, before, status };
        plan.dispatch("steps", vecmat_persistent::dispatch(operator, shape, patience, bindings));
        Runner::Segment(plan.finish())
    }

    fn add_checks(&mut self, program: &mut Program, operator: Operator, rows: u32, set: CheckSet) {
        for (at, states) in [self.states, [self.states[1], self.states[0]]].into_iter().enumerate() {
            let [z, before] = states;
            let mut plan = program.plan(format!("checks {set} of {at}"), rows);
            for check in Check::ALL.into_iter().filter(|check| holds(set, *check)) {
                let Results { counter, ring, .. } = self.results[check as usize];
                let dispatch = match check {
                    Check::Hash => {
                        state_hash::dispatch(operator, rows, state_hash::Bindings { z, counter, ring })
                    }
                    Check::Stats => {
                        state_stats::dispatch(operator, rows, state_stats::Bindings { z, counter, ring })
                    }
                    Check::Defect => {
                        let bindings = state_defect::Bindings { z, before, counter, ring };
                        state_defect::dispatch(operator, rows, bindings)
                    }
                };
                plan.dispatch(check.class(), dispatch);
            }
            self.checks[at][usize::from(set)] = Some(plan.finish());
        }
    }

    /// Where the results of a check go.
    pub(crate) fn results(&self, check: Check) -> Results {
        self.results[check as usize]
    }

    /// The plan of a set of checks that was asked for.
    pub(crate) fn checks(&self, place: usize, set: CheckSet) -> PlanId {
        self.checks[place][usize::from(set)].expect("every set that the run meets has its plans")
    }
}

/// How far a run is: what the next replay finds on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Steps done.
    pub(crate) step: u64,
    /// Which of the states z lies in.
    pub(crate) place: usize,
    /// Segments handed out.
    pub(crate) segments: u32,
}

/// What a run of steps needs: replays, and for segments the entry of the table that says how long it is.
pub(crate) struct Stretch {
    pub(crate) plans: Vec<PlanId>,
    pub(crate) segment: Option<(Slice, u32)>,
}

impl Parts {
    /// `steps` more steps from `position` on, in one way.
    pub(crate) fn stretch(&self, way: usize, position: &mut Position, steps: u64) -> Stretch {
        position.step += steps;
        match &self.runners[way] {
            Runner::Chunks(chunks) => {
                Stretch { plans: replays(chunks, &mut position.place, steps), segment: None }
            }
            Runner::Segment(plan) => {
                let entry = self.segments.at(u64::from(position.segments % SEGMENTS) * 4, 4);
                position.segments = position.segments.wrapping_add(1);
                let steps = u32::try_from(steps).expect("a segment has fewer than 2^32 steps");
                Stretch { plans: vec![*plan], segment: Some((entry, steps)) }
            }
        }
    }
}

fn replays(chunks: &[(u64, [PlanId; 2])], place: &mut usize, mut steps: u64) -> Vec<PlanId> {
    let mut plans = Vec::new();
    for (chunk, by_place) in chunks {
        while steps >= *chunk {
            plans.push(by_place[*place]);
            *place = (*place + *chunk as usize) % 2;
            steps -= chunk;
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use resident_kernels::DeviceTraits;
    use resident_kernels::real::RealType;

    fn parts(strides: &Strides) -> (Program, Parts) {
        let mut program = Program::default();
        let operator = Operator { real: RealType::F32, dim: 5 };
        let tiling = vecmat::Tiling::all(operator, 1, DeviceTraits::LEAST)[0];
        let ways = [Way::Replay(tiling), Way::Chain(vecmat_chain::Team::THREADS)];
        let sets: Vec<_> = (1..8).filter(|set| checks_at(strides, 6) & set == *set).collect();
        let parts = Parts::new(&mut program, operator, 1, &ways, &sets, BufferKind::Weight);
        (program, parts)
    }

    #[test]
    fn replays_add_up_to_the_steps_and_keep_track_of_z() {
        let (program, parts) = parts(&Strides::default());
        let mut position = Position::default();
        for (steps, place) in [(1000, 0), (7, 1), (1, 0), (513, 1), (8, 1)] {
            let stretch = parts.stretch(0, &mut position, steps);
            let dispatches: usize = stretch.plans.iter().map(|plan| program.plan_of(*plan).steps.len()).sum();
            assert_eq!((dispatches as u64, position.place), (steps, place));
        }
        assert_eq!(position, Position { step: 1529, place: 1, segments: 0 });
    }

    #[test]
    fn every_step_reads_what_the_one_before_wrote() {
        let (program, parts) = parts(&Strides::default());
        let Runner::Chunks(chunks) = &parts.runners[0] else { panic!("replayed steps come in chunks") };
        for (_, [even, odd]) in chunks {
            for (first, plan) in [(0, even), (1, odd)] {
                for (index, step) in program.plan_of(*plan).steps.iter().enumerate() {
                    let from = (first + index) % 2;
                    let slices = ["z", "y"].map(|name| step.dispatch.slice(name));
                    assert_eq!(slices, [parts.states[from], parts.states[1 - from]]);
                }
            }
        }
    }

    #[test]
    fn segments_go_around_their_table() {
        let (_, parts) = parts(&Strides::default());
        let mut position = Position { segments: SEGMENTS - 1, ..Position::default() };
        let entries = [9, 4].map(|steps| {
            let stretch = parts.stretch(1, &mut position, steps);
            assert_eq!(stretch.plans.len(), 1);
            stretch.segment.expect("a segment")
        });
        assert_eq!(entries.map(|(slice, steps)| (slice.offset_bytes, steps)), [(4 * 4095, 9), (0, 4)]);
        assert_eq!(position.step, 13);
    }

    #[test]
    fn checks_of_one_step_share_a_plan_and_look_at_the_right_state() {
        let (program, parts) = parts(&Strides { hash: 2, stats: 3, defect: 6, ..Strides::default() });
        for place in [0, 1] {
            let plan = program.plan_of(parts.checks(place, 7));
            let kernels: Vec<_> = plan.steps.iter().map(|step| step.dispatch.kernel.name).collect();
            assert_eq!(kernels, ["state_hash", "state_stats_f32", "state_defect_f32"]);
            assert!(plan.steps.iter().all(|step| step.dispatch.slice("z") == parts.states[place]));
            assert_eq!(plan.steps[2].dispatch.slice("before"), parts.states[1 - place]);
        }
    }
}
