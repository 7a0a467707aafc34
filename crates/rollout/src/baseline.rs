//! What the CPU device does with the same operator and state, for the speed-up gate.

use crate::{Inputs, Observer, Request, Rollout, RolloutError};
use resident_ledger::BaselineReport;
use resident_runtime::{Choice, DeviceRequest, Target};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Long enough for a rate.
const MEASURED: Duration = Duration::from_millis(500);
/// More than any processor does in that time.
const STEPS: u64 = 1 << 32;

/// Ends a run when it was long enough.
struct Stopwatch(Instant);

impl Observer for Stopwatch {
    fn progress(&mut self, _: u64) -> ControlFlow<()> {
        if self.0.elapsed() >= MEASURED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Rolls the same inputs on the CPU device for about a second; `device` is how the report names it.
///
/// # Errors
/// An operator that the host has no room for.
pub fn measure_baseline(inputs: &Inputs, device: String) -> Result<BaselineReport, RolloutError> {
    let choice =
        Choice { target: Target::Cpu, request: DeviceRequest::Cpu, reason: "the baseline".to_owned() };
    let mut rollout = Rollout::prepare(&choice, inputs, Request { steps: STEPS, ..Request::default() })?;
    let outcome = rollout.run(&mut Stopwatch(Instant::now()))?;
    Ok(BaselineReport {
        device,
        dimension: inputs.operator.dim.into(),
        batch: inputs.rows.into(),
        dtype: inputs.operator.real.to_string(),
        executor: rollout.executor().to_string(),
        steps: outcome.steps,
        steps_per_second: outcome.steps as f64 / outcome.time.as_secs_f64().max(1e-9),
    })
}
