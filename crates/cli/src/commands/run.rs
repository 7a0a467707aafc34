//! `resident run`: text from a prompt, streamed as it comes, and one closing line that says where and how fast.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::sampling::{self, SamplingArgs};
use crate::{interrupt, output};
use anyhow::{Result, bail};
use resident_engine::tokenizer::{Detokenizer, StopMatcher};
use resident_engine::{Engine, EngineOptions, FinishReason, Generated, OpenModel, Request, Sampling};
use resident_ledger::{
    DeviceReport, Generation, Report, Thresholds, Timings, Verdict, evaluate, verdict_of,
    write_json_atomically,
};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// Generate text from a prompt
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  resident run \"Once upon a time\"
  resident run -m Qwen3-0.6B/ \"The capital of France is\" --max-tokens 20
  resident run -m model.gguf \"A poem:\" --temperature 0.8 --top-p 0.95 --seed 7 --stop $'\\n\\n'
  resident run -m model.gguf \"Hello\" --require-gpu --report run.json

Without --temperature the most likely token is taken each time. The last line on stderr names the device, the speed, \
the share of the device's bandwidth limit and what left the device.",
    allow_negative_numbers = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text to continue
    #[arg(default_value = "", hide_default_value = true)]
    prompt: String,
    /// Tokens to generate at most
    #[arg(long, default_value_t = 128, value_name = "T")]
    max_tokens: u32,
    /// 0 takes the most likely token; higher is more varied
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Only the most likely tokens that together reach this probability; 1 is off
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f32,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// End before this text; may be given several times
    #[arg(long, value_name = "STR")]
    stop: Vec<String>,
    /// Go on after the model's end-of-text token
    #[arg(long)]
    ignore_eos: bool,
    /// Positions to make room for [default: what prompt and --max-tokens need, at most the model's]
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Write the run report to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the run report, text included, instead of streaming the text
    #[arg(long)]
    json: bool,
}

/// A generation as the host saw it.
struct Outcome {
    text: String,
    generated: Generated,
    interrupted: bool,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let start = Instant::now();
    let sampling = args.sampling.with(args.temperature, args.top_p)?;
    let stops = StopMatcher::new(args.stop.clone()).map_err(|e| Usage(e.to_string()))?;
    if args.max_tokens == 0 {
        return Err(Usage("--max-tokens is 0, expected at least 1".into()).into());
    }
    args.report.as_deref().map_or(Ok(()), output::check_folder)?;

    let open = args.model.open()?;
    let tokenizer = open.tokenizer()?;
    let prompt = tokenizer.encode(&args.prompt, true)?;
    if prompt.is_empty() {
        bail!("the prompt is empty and {} has no token that begins a text; give a prompt", open.name());
    }
    let context = args.context(&open, prompt.len())?;
    let choice = args.device.choose()?;
    let mut engine = model::load(&open, &choice, args.model.options(EngineOptions::fast(context)))?;
    let load = start.elapsed();

    let stop_tokens = if args.ignore_eos { Vec::new() } else { open.eos_ids()? };
    let request = Request {
        prompt: &prompt,
        max_tokens: args.max_tokens,
        sampling: &sampling,
        stop_tokens: &stop_tokens,
    };
    let mut detokenizer = tokenizer.detokenizer(true);
    detokenizer.skip(&prompt);
    interrupt::watch();
    let outcome = generate(&mut engine, &request, detokenizer, stops, !args.json)?;

    let mut report = args.report(&open, &engine, args.device.report(&choice), &sampling, &outcome);
    if let Some(timings) = &mut report.timings {
        timings.load_seconds = load.as_secs_f64();
        timings.wall_seconds = start.elapsed().as_secs_f64();
    }
    report.gates = evaluate(&report, &Thresholds::default());
    if let Some(path) = &args.report {
        write_json_atomically(path, &report)?;
    }
    if args.json {
        output::write_json(&report)?;
    }
    output::notice(&report.closing_line());
    Ok(match verdict_of(&report.gates) {
        _ if outcome.interrupted => exit::INTERRUPTED,
        Verdict::Fail => exit::GATE,
        _ => exit::DONE,
    })
}

/// Generates, streaming the text to stdout if asked to.
fn generate(
    engine: &mut Engine,
    request: &Request,
    mut detokenizer: Detokenizer,
    mut stops: StopMatcher,
    stream: bool,
) -> Result<Outcome> {
    let mut text = String::new();
    let mut failed = None;
    let mut emit = |piece: &str| {
        text.push_str(piece);
        if stream && !piece.is_empty() {
            output::write(piece)?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let mut stopped = false;
    let generated = engine.generate(request, &mut |token| {
        let released = stops.push(&detokenizer.push(token));
        stopped = released.stop.is_some();
        failed = emit(&released.text).err();
        if stopped || failed.is_some() || interrupt::is_set() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if let Some(error) = failed {
        return Err(error.context(format!("after {} tokens", generated.tokens.len())));
    }
    if !stopped {
        let released = stops.push(&detokenizer.finish());
        emit(&released.text)?;
        emit(&stops.finish().text)?;
    }
    if stream {
        output::write("\n")?;
    }
    Ok(Outcome { text, interrupted: interrupt::is_set(), generated })
}

impl Args {
    /// Room for prompt and answer, as far as the model goes.
    fn context(&self, model: &OpenModel, prompt: usize) -> Result<u32> {
        let longest = model.max_context()?;
        let limit = self.context.unwrap_or(longest);
        if limit > longest || limit == 0 {
            return Err(Usage(format!(
                "--context is {limit}, expected 1 to {longest}, what the model was made for"
            ))
            .into());
        }
        if prompt > limit as usize {
            bail!("the prompt has {prompt} tokens, the context holds {limit}; shorten the prompt");
        }
        let needed = (prompt as u64 + u64::from(self.max_tokens)).max(1);
        Ok(self.context.unwrap_or(longest.min(u32::try_from(needed).unwrap_or(longest))))
    }

    fn report(
        &self,
        open: &OpenModel,
        engine: &Engine,
        device: DeviceReport,
        sampling: &Sampling,
        outcome: &Outcome,
    ) -> Report {
        let Outcome { text, generated, .. } = outcome;
        let mut timings = Timings::default();
        let produced = generated.tokens.len() as u64;
        let decoded = produced.saturating_sub(1);
        timings.set_prefill(generated.prompt_tokens, generated.prefill);
        timings.set_decode(decoded, generated.decode);
        timings.time_to_first_token_seconds = Some(generated.prefill.as_secs_f64());
        let mut report = model::run_report("run", open, engine, device, timings);
        report.generation = Some(Generation {
            prompt_tokens: generated.prompt_tokens,
            reused_tokens: None,
            // The stop token is no part of the answer.
            completion_tokens: produced - u64::from(generated.finish == FinishReason::Stop),
            produced_tokens: produced,
            finish_reason: match generated.finish {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Context => "context",
                FinishReason::Caller if outcome.interrupted => "interrupted",
                FinishReason::Caller => "stop",
            }
            .to_owned(),
            prefill_submits: generated.prefill_submits,
            prefill_host_waits: generated.prefill_host_waits,
            text: Some(text.clone()),
            ..sampling::report(sampling)
        });
        report
    }
}
