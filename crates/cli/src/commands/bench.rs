//! `resident bench`: prefill and decode speed of a model, beside the limit of the device measured in the same run.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::output;
use anyhow::{Context, Result};
use resident_engine::{EngineOptions, Phase, Series};
use resident_ledger::{DeviceReport, ModelReport, Snapshot};
use resident_runtime::SessionOptions;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::PathBuf;

/// Measure prefill and decode speed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident bench -m model.gguf
  resident bench -m synth:qwen3-0.6b:bf16 --prompt 512,2048 --gen 128 --depth 0,4096
  resident bench -m synth:qwen3-8b:q8_0 --json > new.json
  resident bench -m synth:qwen3-8b:q8_0 --baseline old.json

synth:SHAPE:FORMAT has random weights of a real model's shape: qwen3-0.6b, qwen3-8b, qwen3-30b-a3b, qwen2.5-7b, gemma3-27b,
gemma3-4b, gemma2-9b, mistral-7b, phi3-mini, llama3-8b, llama3-3b, smollm2-135m in
f32, f16, bf16 or any quantised type of GGUF, such as q8_0, q4_0, q4_k, or the mixture q4_k_m. A warm-up before each series is not counted. With --baseline the exit code is 3 when a median is
slower than the earlier one by more than the noise: 3 %, or the spread of either series where that is more.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompt lengths to prefill; none with ''
    #[arg(long, default_value = "512", value_name = "N,...")]
    prompt: String,
    /// Tokens to decode in each repetition
    #[arg(long = "gen", default_value_t = 128, value_name = "N")]
    gen_tokens: u32,
    /// Positions of context before the decoded tokens
    #[arg(long, default_value = "0", value_name = "N,...")]
    depth: String,
    /// Repetitions of each measurement
    #[arg(long, default_value_t = 5, value_name = "N")]
    repeat: u32,
    /// Also time each kind of step in a decode replay of its own, with timestamps
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Compare with the JSON of an earlier run
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    schema: &'static str,
    device: DeviceReport,
    model: ModelReport,
    /// Bytes a second of a streaming read on this device in this run.
    bandwidth_limit: f64,
    /// Operations a second of a matrix product (the kernel of prefill, f16 weights) on this device in this run.
    compute_limit: Option<f64>,
    weight_bytes_per_token: u64,
    /// Of the linear layers; a multiply-add is two.
    operations_per_token: u64,
    series: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decode_phases: Vec<Phase>,
    counters: Snapshot,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slower_than_baseline: Vec<String>,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    series: Series,
    min: f64,
    median: f64,
    max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_bandwidth_limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_compute_limit: Option<f64>,
}

/// What of an earlier output is compared.
#[derive(Deserialize)]
struct Baseline {
    series: Vec<Series>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let prompts = numbers("--prompt", &args.prompt)?;
    let depths = numbers("--depth", &args.depth)?;
    if args.repeat == 0 || args.gen_tokens == 0 {
        return Err(Usage("--repeat and --gen must be at least 1".into()).into());
    }
    let baseline = args.baseline.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str::<Baseline>(&text)
            .with_context(|| format!("{}: expected the output of 'resident bench --json'", path.display()))
    });
    let baseline = baseline.transpose()?;

    let open = args.model.open()?;
    let decoded = depths.iter().map(|depth| depth.saturating_add(args.gen_tokens).saturating_add(2));
    let needed = decoded.chain(prompts.iter().copied()).max().unwrap_or(1);
    let longest = open.max_context()?;
    if needed > longest {
        return Err(Usage(format!(
            "{needed} positions are needed, the model has {longest}; lower --depth or --prompt"
        ))
        .into());
    }
    let choice = args.device.choose()?;
    let session =
        SessionOptions { profile: args.profile, time_submissions: true, ..SessionOptions::default() };
    let options = args.model.options(EngineOptions::fast(needed.max(66).min(longest)));
    let options = EngineOptions { session, measure_compute: true, ..options };
    let mut engine = model::load(&open, &choice, options)?;

    let limit = engine.bandwidth_limit();
    let bytes = engine.weight_bytes_per_token();
    let (compute, operations) = (engine.compute_limit(), engine.operations_per_token());
    let measured = |series: Series, bytes: Option<u64>| {
        let rate = series.median();
        let (min, median, max) = (series.min(), rate, series.max());
        let share =
            |limit: Option<f64>, each: u64| limit.filter(|l| *l > 0.0).map(|l| rate * each as f64 / l);
        Measured {
            series,
            min,
            median,
            max,
            share_of_bandwidth_limit: bytes.and_then(|bytes| share(Some(limit), bytes)),
            share_of_compute_limit: share(compute, operations),
        }
    };
    let mut series = Vec::new();
    for tokens in prompts {
        series.push(measured(engine.bench_prefill(tokens, args.repeat)?, None));
    }
    for depth in &depths {
        series.push(measured(engine.bench_decode(*depth, args.gen_tokens, args.repeat)?, Some(bytes)));
    }
    let decode_phases = match args.profile {
        true => engine.profile_decode(depths.first().copied().unwrap_or(0))?,
        false => Vec::new(),
    };
    let slower = baseline.map(|b| slower_than(&b, &series)).unwrap_or_default();
    let output = Output {
        schema: "resident.bench/1",
        device: args.device.report(&choice),
        model: model::report(&open, &engine),
        bandwidth_limit: limit,
        compute_limit: compute,
        weight_bytes_per_token: bytes,
        operations_per_token: operations,
        series,
        decode_phases,
        counters: engine.ledger().snapshot(),
        slower_than_baseline: slower,
    };
    if args.json {
        output::write_json(&output)?
    } else {
        output::write(&text(&output))?
    }
    for line in &output.slower_than_baseline {
        output::notice(&format!("slower than the baseline: {line}"));
    }
    Ok(if output.slower_than_baseline.is_empty() { exit::DONE } else { exit::GATE })
}

fn numbers(flag: &str, text: &str) -> Result<Vec<u32>> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let parsed = words.map(|word| {
        word.parse().map_err(|_| Usage(format!("{flag}: '{word}' is no number of tokens")).into())
    });
    parsed.collect()
}

/// The series whose median fell by more than the noise.
fn slower_than(baseline: &Baseline, series: &[Measured]) -> Vec<String> {
    let spread = |s: &Series| if s.median() > 0.0 { (s.max() - s.min()) / s.median() } else { 0.0 };
    let mut slower = Vec::new();
    for now in series {
        let Some(before) = baseline.series.iter().find(|b| b.name == now.series.name) else { continue };
        let noise = spread(before).max(spread(&now.series)).max(0.03);
        if now.median < before.median() * (1.0 - noise) {
            slower.push(format!(
                "{}: {:.1} tok/s after {:.1}, more than the noise of {:.0} %",
                now.series.name,
                now.median,
                before.median(),
                noise * 100.0
            ));
        }
    }
    slower
}

fn text(output: &Output) -> String {
    let Output { device, model, .. } = output;
    let mut text = String::new();
    let _ = writeln!(text, "{} {} · {} · {}", device.kind, device.used, model.name, model.weights_format);
    let _ = writeln!(
        text,
        "streaming read {:.0} GB/s · {:.3} GB of weights a token · at most {:.0} tok/s",
        output.bandwidth_limit / 1e9,
        output.weight_bytes_per_token as f64 / 1e9,
        output.bandwidth_limit / output.weight_bytes_per_token as f64
    );
    if let Some(limit) = output.compute_limit {
        let _ = writeln!(
            text,
            "matrix product {:.0} GFLOP/s · {:.3} GFLOP a token",
            limit / 1e9,
            output.operations_per_token as f64 / 1e9
        );
    }
    let ModelReport { executor, executor_reason, activations, kv_cache, .. } = model;
    let _ = writeln!(
        text,
        "activations {activations} · KV cache {kv_cache} · executor {executor}: {executor_reason}"
    );
    let _ = writeln!(text, "a warm-up before each series is not counted");
    let _ = writeln!(text, "{:<18} {:>10} {:>10} {:>10}  tok/s", "", "min", "median", "max");
    for measured in &output.series {
        let Measured { series, min, median, max, .. } = measured;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        // A single row is never bound by arithmetic.
        let compute = measured.share_of_compute_limit.filter(|_| measured.share_of_bandwidth_limit.is_none());
        let shares = [
            measured.share_of_bandwidth_limit.map(|s| format!("{} of the bandwidth limit", percent(s))),
            compute.map(|s| format!("{} of the compute limit", percent(s))),
            series.device_share.map(|s| format!("device busy {} of the time", percent(s))),
        ];
        let shares = shares.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let _ = writeln!(text, "{:<18} {min:>10.1} {median:>10.1} {max:>10.1}  {shares}", series.name);
    }
    if !output.decode_phases.is_empty() {
        let total: u64 = output.decode_phases.iter().map(|p| p.nanoseconds).sum();
        let _ = writeln!(text, "\none decode replay with timestamps: {:.1} µs", total as f64 / 1e3);
        for phase in &output.decode_phases {
            let Phase { label, kernel, steps, nanoseconds } = phase;
            let (time, share) = (*nanoseconds as f64 / 1e3, *nanoseconds as f64 / total as f64 * 100.0);
            let _ = writeln!(
                text,
                "  {label:<14} {kernel:<16} {steps:>4} x {:>8.2} µs {time:>9.1} µs {share:>5.1} %",
                time / f64::from(*steps)
            );
        }
    }
    text
}
