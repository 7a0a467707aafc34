//! What the host does while a rollout runs: the progress bar, snapshots, decoded fields, Ctrl-C.

use crate::{interrupt, output};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use resident_rollout::{Fields, Observer, RolloutError, Snapshots, Strides, Values};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Instant;

pub(super) struct Watch {
    steps: u64,
    strides: Strides,
    start: Instant,
    bar: ProgressBar,
    /// Lines in place of a bar that nobody would see.
    lines: bool,
    pub(super) snapshots: Option<Snapshots>,
    fields: Option<Fields>,
}

impl Watch {
    pub(super) fn new(
        steps: u64,
        strides: Strides,
        snapshots: Option<Snapshots>,
        fields: Option<Fields>,
    ) -> Result<Self> {
        let style =
            ProgressStyle::with_template("rollout {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
                .context("progress template")?;
        let bar = ProgressBar::new(steps).with_style(style);
        let lines = strides.progress > 0 && !std::io::stderr().is_terminal();
        Ok(Self { steps, strides, start: Instant::now(), bar, lines, snapshots, fields })
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Watch {
    fn progress(&mut self, step: u64) -> ControlFlow<()> {
        self.bar.set_position(step);
        if self.lines && step.is_multiple_of(self.strides.progress) {
            let rate = step as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
            output::notice(&format!("step {step} of {} · {rate:.0} steps/s", self.steps));
        }
        if interrupt::is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn state(&mut self, step: u64, z: Values) -> Result<(), RolloutError> {
        if let Some(snapshots) =
            self.snapshots.as_mut().filter(|_| step.is_multiple_of(self.strides.snapshot))
        {
            snapshots.add(step, z);
        }
        Ok(())
    }

    fn field(&mut self, step: u64, omega: Vec<f64>) -> Result<(), RolloutError> {
        self.fields.as_ref().map_or(Ok(()), |fields| fields.write(step, &omega))
    }
}
