//! What the vorticity commands share: flags of device and report, the report itself, a progress bar.

use crate::device::DeviceArgs;
use crate::{exit, output, settings};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use resident_ledger::{
    Ledger, Report, Thresholds, Timings, Verdict, evaluate, verdict_of, write_json_atomically,
};
use resident_rollout::vorticity::{Place, Precision};
use resident_runtime::{Choice, SessionOptions, Target};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F64,
}

/// Where a command computes.
#[derive(Args)]
pub(crate) struct PlaceArgs {
    /// The type to compute and write in [default: f64 on the CPU, f32 elsewhere]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<Dtype>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Where a command reports to.
#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Write the run report to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the run report instead of a summary
    #[arg(long)]
    json: bool,
}

/// A run on a device, from the choice to the report.
pub(crate) struct Run {
    start: Instant,
    choice: Choice,
    pub(crate) place: Place,
}

impl PlaceArgs {
    /// Chooses the device.
    pub(crate) fn begin(&self) -> Result<Run> {
        let start = Instant::now();
        let choice = self.device.choose()?;
        let precision = match (self.dtype, &choice.target) {
            (Some(Dtype::F64), _) | (None, Target::Cpu) => Precision::F64,
            _ => Precision::F32,
        };
        let session = SessionOptions {
            pipeline_cache_dir: settings::pipeline_cache_dir(),
            ..SessionOptions::default()
        };
        let target = choice.target.clone();
        let place = Place { target, precision, ledger: Arc::new(Ledger::new()), session };
        Ok(Run { start, choice, place })
    }

    /// Writes and prints the report of a run with the figures of its command; the exit code.
    pub(crate) fn end<T: Serialize>(
        &self,
        run: &Run,
        to: &ReportArgs,
        command: &str,
        figures: &T,
        summary: &str,
    ) -> Result<u8> {
        let device = self.device.report(&run.choice);
        let snapshot = run.place.ledger.snapshot();
        let mut report = Report::new(command, env!("CARGO_PKG_VERSION"), device, snapshot);
        let wall_seconds = run.start.elapsed().as_secs_f64();
        report.timings = Some(Timings { wall_seconds, ..Timings::default() });
        report.gates = evaluate(&report, &Thresholds::default());
        to.emit(&WithFigures { report: &report, vorticity: figures }, summary)?;
        output::notice(&report.closing_line());
        Ok(if verdict_of(&report.gates) == Verdict::Fail { exit::GATE } else { exit::DONE })
    }
}

/// The report, and what the command has to say.
#[derive(Serialize)]
struct WithFigures<'a, T> {
    #[serde(flatten)]
    report: &'a Report,
    vorticity: &'a T,
}

impl ReportArgs {
    /// Refuses a place for the report that nothing can be written to.
    pub(crate) fn check(&self) -> Result<()> {
        Ok(self.report.as_deref().map_or(Ok(()), output::check_folder)?)
    }

    /// Writes the report where it was asked for, and prints it or the summary.
    pub(crate) fn emit(&self, report: &impl Serialize, summary: &str) -> Result<()> {
        if let Some(path) = &self.report {
            write_json_atomically(path, report)?;
        }
        if self.json { output::write_json(report) } else { output::write(&format!("{summary}\n")) }
    }
}

/// A progress bar on a terminal: done, of how many, how many a second, time left.
pub(crate) fn progress(what: &'static str, unit: &str, total: u64) -> Result<ProgressBar> {
    let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} {unit} {{per_sec}} {{eta}}");
    let style = ProgressStyle::with_template(&template).context("progress template")?;
    Ok(ProgressBar::new(total).with_style(style))
}

/// The picture beside a file: its name with another ending.
pub(crate) fn picture_of(path: &Path) -> PathBuf {
    path.with_extension("png")
}
