//! `resident verify`: compares a model on a device with a golden made by an independent implementation.

use crate::device::DeviceArgs;
use crate::exit;
use crate::model::{self, ModelArgs};
use crate::output;
use anyhow::{Context, Result, bail};
use resident_engine::{EngineOptions, Golden, Verification};
use resident_ledger::{DeviceReport, Snapshot};
use std::fmt::Write;
use std::path::PathBuf;

/// Compare logits and greedy tokens with a golden file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident verify -m models/qwen3/f32 --golden models/qwen3/f32/golden.safetensors
  resident verify -m model.gguf --golden model.golden.safetensors --device gpu --json

A golden is a safetensors file that holds for each prompt P: P.ids i32 [N], P.logits f32 [N, vocab] (or P.logits_lastK \
for the last K positions) and P.greedy i32 [G], the argmax continuation with end-of-text ignored.
Exit code 0 when every logit is within the tolerance and every greedy token is equal, 3 when not.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The golden
    #[arg(long, value_name = "FILE")]
    golden: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Output {
    device: DeviceReport,
    verification: Verification,
    counters: Snapshot,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let golden = Golden::open(&args.golden)?;
    let open = args.model.open()?;
    let (needed, longest) = (golden.context(), open.max_context()?);
    if needed > longest {
        bail!(
            "{}: it needs {needed} positions, {} was made for {longest}",
            args.golden.display(),
            open.name()
        );
    }
    let choice = args.device.choose()?;
    let mut engine = model::load(&open, &choice, args.model.options(EngineOptions::exact(needed)))?;
    let verification = engine.verify(&golden).with_context(|| args.golden.display().to_string())?;
    let passed = verification.passed;
    let device = args.device.report(&choice);
    if args.json {
        output::write_json(&Output { device, verification, counters: engine.ledger().snapshot() })?;
    } else {
        output::write(&table(&verification))?;
        let verdict = if passed { "passed" } else { "FAILED" };
        output::notice(&format!("{verdict} on {} {}", device.kind, device.used));
    }
    Ok(if passed { exit::DONE } else { exit::GATE })
}

fn table(verification: &Verification) -> String {
    let mut text =
        String::from("prompt        tokens   max |Δlogit|   allowed        rms            greedy\n");
    for p in &verification.prompts {
        let allowed = verification.tolerance * p.range;
        let mark = if p.passed { "" } else { "  FAILED" };
        let _ = writeln!(
            text,
            "{:<12} {:>7}   {:<12.3e}   {allowed:<12.3e}   {:<12.3e}   {}/{}{mark}",
            p.name, p.tokens, p.max_abs, p.rms, p.greedy_equal, p.greedy_expected
        );
    }
    text
}
