//! `resident check`: the gates of a report, computed anew from its counters and figures.

use crate::{exit, output};
use anyhow::{Context, Result, bail};
use resident_ledger::{
    Figure, GateResult, Report, RolloutThresholds, Thresholds, Verdict, evaluate, evaluate_rollout,
    verdict_of,
};
use serde::Serialize;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Far more than any report takes.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// Judge a run report by its gates
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident rollout --z0 z0.npz --a A.npz --steps 300000 --report r.json; resident check r.json
  resident check run.json --gates mine.toml --json

Verdicts are computed from the report's counters and figures; those stored in it are not looked at. The file of --gates has the
form of gates/rollout.toml for a rollout and of gates/models.toml for a model run, and overrides single keys. The exit code is 3
when a gate fails.")]
pub(crate) struct Args {
    /// The report of 'resident rollout' or 'resident run'
    #[arg(value_name = "REPORT.json")]
    report: PathBuf,
    /// Thresholds that take the place of the shipped ones
    #[arg(long, value_name = "FILE.toml")]
    gates: Option<PathBuf>,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Judgement {
    command: String,
    verdict: Verdict,
    gates: Vec<GateResult>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let report = read(&args.report).with_context(|| args.report.display().to_string())?;
    let gates = match report.rollout {
        Some(_) => evaluate_rollout(
            &report,
            &args
                .gates
                .as_deref()
                .map_or_else(|| Ok(RolloutThresholds::default()), RolloutThresholds::read)?,
        ),
        None => evaluate(
            &report,
            &args.gates.as_deref().map_or_else(|| Ok(Thresholds::default()), Thresholds::read)?,
        ),
    };
    let verdict = verdict_of(&gates);
    if args.json {
        output::write_json(&Judgement { command: report.command, verdict, gates })?;
    } else {
        output::write(&table(&gates))?;
    }
    Ok(if verdict == Verdict::Fail { exit::GATE } else { exit::DONE })
}

fn read(path: &Path) -> Result<Report> {
    let mut text = String::new();
    if !path.metadata()?.is_file() {
        bail!("it is no file; give a report that --report wrote");
    }
    File::open(path)?.take(MAX_REPORT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_REPORT_BYTES {
        bail!("more than {MAX_REPORT_BYTES} bytes are no run report");
    }
    serde_json::from_str(&text).context("no run report; give one that --report wrote")
}

/// One line a gate, in columns.
fn table(gates: &[GateResult]) -> String {
    let figure = |figure: &Option<Figure>| match figure {
        None => "-".to_owned(),
        Some(Figure::Count(count)) => count.to_string(),
        Some(Figure::Ratio(ratio)) => format!("{ratio:.4}"),
        Some(Figure::Name(name)) => name.clone(),
    };
    let verdict = |verdict: Verdict| match verdict {
        Verdict::Skip => "skip",
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let heads = ["gate", "verdict", "value", "threshold"].map(str::to_owned);
    let rows = gates.iter().map(|gate| {
        let cells = [
            gate.name.clone(),
            verdict(gate.verdict).to_owned(),
            figure(&gate.value),
            figure(&gate.threshold),
        ];
        (cells, gate.detail.as_str())
    });
    let rows: Vec<_> = [(heads, "detail")].into_iter().chain(rows).collect();
    let width =
        |column: usize| rows.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for (cells, detail) in &rows {
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a String does not fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.push_str(detail);
        text.push('\n');
    }
    text
}
