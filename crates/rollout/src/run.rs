//! The hot loop: batches of replays, of which the host hears when a batch is done and at the strides that were declared.

use crate::decode::Decode;
use crate::executor::Executor;
use crate::program::{Check, CheckSet, Position, RESULTS, SEGMENTS, checks_at, holds};
use crate::rollout::{Rollout, SCHEDULE};
use crate::strides::names;
use crate::{RolloutError, Values};
use resident_kernels::state_defect::Defect;
use resident_kernels::state_stats::Stats;
use resident_plan::PlanId;
use resident_runtime::{Session, Ticket};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A batch takes at least so long where the run is long enough: waking the host costs tens of microseconds.
const SHORTEST: Duration = Duration::from_millis(20);
/// A batch takes at most so long: Ctrl-C waits for it.
const LONGEST: Duration = Duration::from_millis(1000);
/// Batches of a run that is long enough.
const BATCHES: u64 = 64;
/// Submitted and not yet waited for.
const AHEAD: usize = 2;
/// Results of one check in a batch, so that those under way fit the ring.
const MOST_RESULTS: usize = RESULTS as usize / (2 * AHEAD);
/// Segments in a batch, so that those under way fit their table.
const MOST_SEGMENTS: usize = SEGMENTS as usize / (2 * AHEAD);

/// Who hears of the run while it goes on.
pub trait Observer {
    /// A batch is done. Breaking off ends the run when what is under way is done.
    fn progress(&mut self, step: u64) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }

    /// z after a step that the stride of snapshots names, or that of decodes where the host decodes.
    ///
    /// # Errors
    /// Whatever keeps the observer from doing its work; ends the run.
    fn state(&mut self, step: u64, z: Values) -> Result<(), RolloutError> {
        let _ = (step, z);
        Ok(())
    }

    /// The field of z \[N, N\] after a step that the stride of decodes names.
    ///
    /// # Errors
    /// Whatever keeps the observer from doing its work; ends the run.
    fn field(&mut self, step: u64, omega: Vec<f64>) -> Result<(), RolloutError> {
        let _ = (step, omega);
        Ok(())
    }
}

/// Nobody.
impl Observer for () {}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub steps: u64,
    /// From the first submission to the last result.
    pub time: Duration,
    /// How long the device was busy with it, by its own clock; none on the CPU device.
    pub device_time: Option<Duration>,
    /// How long the host waited for the device.
    pub waited: Duration,
    /// Hashes by step.
    pub hashes: Vec<(u64, [u32; 4])>,
    /// Statistics by step.
    pub stats: Vec<(u64, Stats)>,
    /// Defects by step.
    pub defects: Vec<(u64, Defect)>,
    /// States that the observer got.
    pub states_read: u64,
    /// Fields that the observer got.
    pub fields: u64,
    /// The final state, where it was asked for.
    pub final_state: Option<Values>,
    /// Values of the final state that are not finite.
    pub final_non_finite: u64,
}

/// A submission under way.
struct Batch {
    ticket: Ticket,
    begin: u64,
    /// Where it leaves z.
    end: Position,
    checks: Vec<(u64, CheckSet)>,
}

struct Run<'a> {
    rollout: &'a mut Rollout,
    outcome: Outcome,
    /// Behind all batches so far.
    position: Position,
    under_way: VecDeque<Batch>,
    /// Steps of a batch.
    batch_steps: u64,
    /// Results read so far, of each check.
    read: [u64; 3],
}

impl Rollout {
    /// Runs all steps, or as many as the observer lets it. A rollout runs once.
    ///
    /// # Errors
    /// Device errors, those of the observer, a persistent dispatch that lost a word.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome, RolloutError> {
        self.run_with(observer, |_, _| Ok(()))
    }

    /// As [`run`](Self::run), with `between` called between batches: tests break a run there.
    pub(crate) fn run_with(
        &mut self,
        observer: &mut dyn Observer,
        mut between: impl FnMut(&mut Session, Position) -> Result<(), RolloutError>,
    ) -> Result<Outcome, RolloutError> {
        let batch_steps = self.batch_steps();
        let outcome = Outcome {
            steps: 0,
            time: Duration::ZERO,
            device_time: None,
            waited: Duration::ZERO,
            hashes: Vec::new(),
            stats: Vec::new(),
            defects: Vec::new(),
            states_read: 0,
            fields: 0,
            final_state: None,
            final_non_finite: 0,
        };
        let start = Instant::now();
        let position = Position::default();
        let mut run =
            Run { rollout: self, outcome, position, under_way: VecDeque::new(), batch_steps, read: [0; 3] };
        let mut stopped = false;
        loop {
            while !stopped && run.may_submit() {
                run.submit()?;
            }
            let Some(batch) = run.under_way.pop_front() else { break };
            run.finish(&batch)?;
            between(&mut run.rollout.session, batch.end)?;
            if run.rollout.request.strides.takes_state(batch.end.step) {
                run.hand_out(batch.end, observer)?;
            }
            stopped |= observer.progress(batch.end.step).is_break();
        }
        run.outcome.time = start.elapsed();
        run.look_at_the_end()?;
        Ok(run.outcome)
    }

    /// Steps of a batch: a 64th of the run, but not so few that the host's part counts, nor so many that nobody can interrupt.
    fn batch_steps(&self) -> u64 {
        let within = |time: Duration| (self.expected_rate * time.as_secs_f64()) as u64;
        let wanted = self.request.steps.div_ceil(BATCHES).max(within(SHORTEST)).min(within(LONGEST));
        wanted.clamp(1, u64::from(u32::MAX))
    }
}

impl Run<'_> {
    fn may_submit(&self) -> bool {
        let strides = &self.rollout.request.strides;
        // Decoder and host take z from where the next batch would write.
        let blocked = self.under_way.back().is_some_and(|batch| strides.takes_state(batch.end.step));
        let ahead = if self.rollout.session.is_asynchronous() { AHEAD } else { 1 };
        self.position.step < self.rollout.request.steps && self.under_way.len() < ahead && !blocked
    }

    /// Hands the next batch to the device: stretches of steps, with the checks between them.
    fn submit(&mut self) -> Result<(), RolloutError> {
        let begin = self.position.step;
        let Rollout { parts, request, session, way, .. } = &mut *self.rollout;
        let mut plans: Vec<PlanId> = Vec::new();
        let mut checks: Vec<(u64, CheckSet)> = Vec::new();
        let mut segments = 0;
        let end = request.steps.min(begin.saturating_add(self.batch_steps));
        while self.position.step < end && checks.len() < MOST_RESULTS && segments < MOST_SEGMENTS {
            let next = request.strides.next(self.position.step, end);
            let steps = next - self.position.step;
            let stretch = parts.stretch(*way, &mut self.position, steps);
            if let Some((entry, steps)) = stretch.segment {
                session.write_mailbox(entry, &steps.to_le_bytes(), SCHEDULE);
            }
            segments += 1;
            plans.extend(stretch.plans);
            let set = checks_at(&request.strides, next);
            if set != 0 {
                plans.push(parts.checks(self.position.place, set));
                checks.push((next, set));
            }
            if request.strides.wakes_host(next) {
                break;
            }
        }
        let ticket = session.submit(&plans)?;
        self.under_way.push_back(Batch { ticket, begin, end: self.position, checks });
        Ok(())
    }

    /// Waits for a batch and takes its results.
    fn finish(&mut self, batch: &Batch) -> Result<(), RolloutError> {
        let start = Instant::now();
        self.rollout.session.wait(batch.ticket)?;
        self.outcome.waited += start.elapsed();
        if self.rollout.session.is_asynchronous()
            && let Some(time) = self.rollout.session.submission_time(batch.ticket)?
        {
            self.outcome.device_time = Some(self.outcome.device_time.unwrap_or_default() + time);
        }
        self.refuse_lost_words(batch)?;
        for (step, set) in &batch.checks {
            for check in Check::ALL.into_iter().filter(|check| holds(*set, *check)) {
                self.take_result(*step, check, check.class());
            }
        }
        self.outcome.steps = batch.end.step;
        Ok(())
    }

    /// What a persistent dispatch says about its hand-over.
    fn refuse_lost_words(&self, batch: &Batch) -> Result<(), RolloutError> {
        let rollout = &*self.rollout;
        if rollout.executor != Executor::Persistent || !rollout.session.is_asynchronous() {
            return Ok(());
        }
        let mut status = [0];
        rollout.session.read_ring(rollout.parts.status, 0, &mut status, "status");
        match status {
            [0] => Ok(()),
            _ => Err(RolloutError::HandOver { begin: batch.begin, end: batch.end.step }),
        }
    }

    fn take_result(&mut self, step: u64, check: Check, class: &'static str) {
        let results = self.rollout.parts.results(check);
        let index = self.read[check as usize] % u64::from(RESULTS);
        self.read[check as usize] += 1;
        let mut words = vec![0; results.words as usize];
        self.rollout.session.read_ring(results.ring, index * u64::from(results.words), &mut words, class);
        let real = self.rollout.operator.real;
        match check {
            Check::Hash => self.outcome.hashes.push((step, [words[0], words[1], words[2], words[3]])),
            Check::Stats => self.outcome.stats.push((step, Stats::of(real, &words))),
            Check::Defect => self.outcome.defects.push((step, Defect::of(real, &words))),
        }
    }

    /// Gives the observer the field and z, as far as the step's strides want them.
    fn hand_out(&mut self, at: Position, observer: &mut dyn Observer) -> Result<(), RolloutError> {
        let strides = self.rollout.request.strides;
        let decodes = names(strides.decode, at.step);
        let host_decodes = self.rollout.decode.as_ref().is_none_or(Decode::reads_state);
        if decodes && !host_decodes {
            let start = Instant::now();
            let Rollout { decode, session, .. } = &mut *self.rollout;
            let decode = decode.as_ref().expect("a device decodes");
            let field = decode.field_at(session, at.place, at.step)?;
            self.outcome.waited += start.elapsed();
            self.outcome.fields += 1;
            observer.field(at.step, field)?;
        }
        if names(strides.snapshot, at.step) || (decodes && host_decodes) {
            let z = self.read_state(at)?;
            self.outcome.states_read += 1;
            if let Some(decode) = self.rollout.decode.as_ref().filter(|_| decodes && host_decodes) {
                self.outcome.fields += 1;
                observer.field(at.step, decode.field_of(at.step, &z)?)?;
            }
            observer.state(at.step, z)?;
        }
        Ok(())
    }

    fn read_state(&mut self, at: Position) -> Result<Values, RolloutError> {
        let start = Instant::now();
        let bytes = self.rollout.session.readback(self.rollout.parts.states[at.place])?;
        self.outcome.waited += start.elapsed();
        Ok(Values::from_padded(self.rollout.operator, &bytes))
    }

    /// The final state where it is wanted, and whether it is finite: from the last statistics where they are of the last step, else
    /// from the state itself, else from statistics of its own.
    fn look_at_the_end(&mut self) -> Result<(), RolloutError> {
        let steps = self.outcome.steps;
        if self.rollout.request.reads_final_state {
            let z = self.read_state(self.position)?;
            self.outcome.final_non_finite = z.non_finite();
            self.outcome.final_state = Some(z);
        } else if !names(self.rollout.request.strides.stats, steps) {
            let plan = self.rollout.parts.checks(self.position.place, 1 << Check::Stats as u8);
            let ticket = self.rollout.session.submit(&[plan])?;
            self.rollout.session.wait(ticket)?;
            self.take_result(steps, Check::Stats, "final_stats");
            let of_the_end = self.outcome.stats.pop();
            self.outcome.final_non_finite = of_the_end.map_or(0, |(_, stats)| stats.non_finite.into());
        } else {
            self.outcome.final_non_finite =
                self.outcome.stats.last().map_or(0, |(_, stats)| stats.non_finite.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
