//! The outcome of a run as the report's section.

use crate::decode::Decode;
use crate::executor::Executor;
use crate::program::Check;
use crate::rollout::OPERATOR;
use crate::{Candidate, Outcome, Rollout};
use resident_ledger::{DefectReport, ExecutorReport, HashReport, RolloutReport, Snapshot, StatsReport};
use std::collections::BTreeMap;

/// The most samples in a report.
const SAMPLES: usize = 1000;

/// A hash as hexadecimal digits, word after word.
pub fn hash_text(hash: [u32; 4]) -> String {
    hash.map(|word| format!("{word:08x}")).concat()
}

impl Rollout {
    /// What the report says of a run, with the counters taken when it was over.
    pub fn report(&self, outcome: &Outcome, counters: &Snapshot) -> RolloutReport {
        let hot = &counters.after_seal;
        let seconds = outcome.time.as_secs_f64();
        let steps = outcome.steps;
        let a_uploaded =
            |phase: &resident_ledger::Counters| phase.upload_bytes.get(OPERATOR).copied().unwrap_or(0);
        let gpu_time = outcome.device_time.map(|time| time.as_secs_f64());
        let kernel_times_ms = self.kernel_times_ms(outcome, counters);
        let per_step = |count: u64| count as f64 / steps.max(1) as f64;
        RolloutReport {
            dimension: self.operator.dim.into(),
            batch: self.rows.into(),
            dtype: self.operator.real.to_string(),
            steps_requested: self.request.steps,
            steps,
            interrupted: steps < self.request.steps,
            strides: self.request.strides.all().map(|(name, stride)| (name.to_owned(), stride)).into(),
            executor: self.executor.to_string(),
            executor_way: self.way_name.clone(),
            executor_forced: self.request.executor.is_some(),
            executors: self.candidates.iter().map(executor_report).collect(),
            seconds,
            steps_per_second: if seconds > 0.0 { steps as f64 / seconds } else { 0.0 },
            gpu_time_seconds: gpu_time,
            cpu_orchestration_seconds: (outcome.time.saturating_sub(outcome.waited)).as_secs_f64(),
            gpu_utilization_estimate: gpu_time.map(|time| (time / seconds.max(1e-9)).min(1.0)),
            operator_share: operator_share(&kernel_times_ms),
            kernel_times_ms,
            a_bytes: self.operator.bytes(),
            a_uploaded_bytes: a_uploaded(&counters.before_seal) + a_uploaded(hot),
            a_uploaded_bytes_per_step: per_step(a_uploaded(hot)),
            cpu_readbacks: self.readbacks(outcome, hot),
            fences_per_step: per_step(hot.host_waits),
            state_bytes: self.state_bytes,
            field_bytes: self.decode.as_ref().and_then(Decode::readback).map_or(0, |(field, _)| field.bytes),
            reads_final_state: outcome.final_state.is_some(),
            memory: self.memory(),
            hash: self.hash_report(outcome),
            stats: stats_report(outcome),
            defect: defect_report(outcome),
            snapshot_blake2b: Vec::new(),
            baseline: None,
            speed_up: None,
        }
    }

    /// Readbacks of the loop; of `z` as the ledger counted its bytes, and on the CPU device, where nothing crosses a bus, as often as
    /// it was handed out.
    fn readbacks(&self, outcome: &Outcome, hot: &resident_ledger::Counters) -> BTreeMap<String, u64> {
        let bytes = hot.readback_bytes.get("z").copied().unwrap_or(0);
        let z = (bytes / self.state_bytes).saturating_sub(outcome.final_state.is_some().into());
        let z = z.max(outcome.states_read);
        let counts = [
            ("z", z),
            ("field", outcome.fields),
            ("hash", outcome.hashes.len() as u64),
            ("stats", outcome.stats.len() as u64),
            ("defect", outcome.defects.len() as u64),
        ];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    /// Calls in the run times the measured time of one; steps by their rate.
    fn kernel_times_ms(&self, outcome: &Outcome, counters: &Snapshot) -> BTreeMap<String, f64> {
        let hot = &counters.after_seal;
        let ran = || hot.dispatches.iter().chain(&hot.cpu_ops);
        let mut times = BTreeMap::new();
        for (kernel, _) in ran().filter(|(kernel, _)| kernel.starts_with("vecmat")) {
            times.insert(kernel.clone(), outcome.steps as f64 * self.step_seconds * 1e3);
        }
        for check in Check::ALL {
            let Some(seconds) = self.check_seconds.get(check.class()) else { continue };
            let name = format!("state_{}", check.class());
            for (kernel, calls) in ran().filter(|(kernel, _)| kernel.starts_with(&name)) {
                times.insert(kernel.clone(), *calls as f64 * seconds * 1e3);
            }
        }
        if let Some(seconds) = self.decode_seconds {
            times.insert("decode_field".to_owned(), outcome.fields as f64 * seconds * 1e3);
        }
        times
    }

    fn memory(&self) -> BTreeMap<String, String> {
        let place = |slice| match () {
            () if !self.session.is_asynchronous() => "host",
            () if self.session.is_device_local(slice) => "device-local",
            () => "host-visible",
        };
        let places = [("operator", place(self.parts.a)), ("state", place(self.parts.states[0]))];
        places.map(|(name, place)| (name.to_owned(), place.to_owned())).into()
    }

    fn hash_report(&self, outcome: &Outcome) -> Option<HashReport> {
        let text = |(step, hash): &(u64, [u32; 4])| (*step, hash_text(*hash));
        let first = outcome.hashes.first()?;
        let rerun = self.rerun.filter(|rerun| rerun.step == first.0);
        Some(HashReport {
            count: outcome.hashes.len() as u64,
            first: text(first),
            last: text(outcome.hashes.last()?),
            rerun_of_first: rerun.map(|rerun| hash_text(rerun.hash)),
        })
    }
}

fn executor_report(candidate: &Candidate) -> ExecutorReport {
    let Candidate { executor, way, outcome } = candidate;
    ExecutorReport {
        name: Executor::to_string(executor),
        way: way.clone(),
        steps_per_second: outcome.as_ref().ok().copied(),
        refused: outcome.as_ref().err().cloned(),
    }
}

fn operator_share(times: &BTreeMap<String, f64>) -> Option<f64> {
    let all: f64 = times.values().sum();
    let own: f64 =
        times.iter().filter(|(kernel, _)| kernel.starts_with("vecmat")).map(|(_, time)| time).sum();
    (all > 0.0).then(|| own / all)
}

fn stats_report(outcome: &Outcome) -> Option<StatsReport> {
    let (step, last) = outcome.stats.last()?;
    let finite = |value: f64| value.is_finite().then_some(value);
    Some(StatsReport {
        count: outcome.stats.len() as u64,
        step: *step,
        min: finite(last.min),
        max: finite(last.max),
        sum: finite(last.sum),
        sum_of_squares: finite(last.sum_of_squares),
        non_finite: outcome.stats.iter().map(|(_, stats)| u64::from(stats.non_finite)).sum(),
    })
}

fn defect_report(outcome: &Outcome) -> Option<DefectReport> {
    let defects = &outcome.defects;
    let (first, last) = (defects.first()?.1, defects.last()?.1);
    let every = defects.len().div_ceil(SAMPLES);
    let thinned = defects.iter().enumerate().filter(|(at, _)| at % every == 0 || at + 1 == defects.len());
    Some(DefectReport {
        count: defects.len() as u64,
        first: first.max,
        last: last.max,
        max: defects.iter().map(|(_, defect)| defect.max).fold(0.0, f64::max),
        last_mean: last.mean,
        increases: defects.windows(2).filter(|pair| pair[1].1.max > pair[0].1.max).count() as u64,
        non_finite: defects.iter().map(|(_, defect)| u64::from(defect.non_finite)).sum(),
        samples: thinned.map(|(_, (step, defect))| (*step, defect.max, defect.mean)).collect(),
    })
}
