//! `resident chat`: a conversation in the terminal, or with lines from a pipe. The model stays resident, and each turn
//! feeds in only what the KV cache does not hold yet.
//!
//! - `session`: messages, settings, answers.
//! - `commands`: what lines with a slash do.
//! - `input`, `screen`, `saved`: the terminal and the files.

mod commands;
mod input;
mod saved;
mod screen;
mod session;

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::output::{self, notice};
use crate::sampling::{self, SamplingArgs};
use anyhow::Result;
use commands::Next;
use input::{Input, Source};
use resident_engine::chat::ChatFormat;
use resident_engine::{Engine, EngineOptions, FinishReason, OpenModel, Sampling};
use resident_ledger::{
    Generation, Report, Thresholds, Timings, Verdict, evaluate, verdict_of, write_json_atomically,
};
use resident_runtime::Choice;
use session::{Session, Thinking, Totals};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Positions to make room for where nobody says how many: some models' own number takes more memory than their weights.
const DEFAULT_CONTEXT: u32 = 8192;

/// Talk with a model
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  resident chat -m Qwen3-0.6B/
  resident chat -m model.gguf --system \"You are brief.\" --thinking hide
  echo \"Why is the sky blue?\" | resident chat -m model.gguf

/help lists the commands. Answers go to stdout, everything else to stderr. From a pipe each line is a message.
A model without a chat template, such as the embedded one, continues the text instead of answering.",
    allow_negative_numbers = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The system prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Go on with a saved conversation
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// The chat template of this name, where the model has several
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// What happens to blocks of thinking
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    thinking: Thinking,
    /// Tokens of an answer at most [default: as many as the context holds]
    #[arg(long, value_name = "T")]
    max_tokens: Option<u32>,
    /// 0 takes the most likely token; higher is more varied
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Only the most likely tokens that together reach this probability; 1 is off
    #[arg(long, default_value_t = 0.95, value_name = "P")]
    top_p: f32,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Positions to make room for [default: the model's, at most 8192]
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Write the run report of all answers to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let start = Instant::now();
    let sampling = args.sampling.with(args.temperature, args.top_p)?;
    if args.max_tokens == Some(0) {
        return Err(Usage("--max-tokens is 0, expected at least 1".into()).into());
    }
    args.report.as_deref().map_or(Ok(()), output::check_folder)?;
    let messages = args.load.as_deref().map_or(Ok(Vec::new()), saved::read)?;

    let open = args.model.open()?;
    let tokenizer = open.tokenizer()?;
    let format = ChatFormat::of(&open, &tokenizer, args.template.as_deref(), false)?;
    let longest = open.max_context()?;
    let context = args.context.unwrap_or(longest.min(DEFAULT_CONTEXT));
    if context > longest || context == 0 {
        let expected = format!("expected 1 to {longest}, what the model was made for");
        return Err(Usage(format!("--context is {context}, {expected}")).into());
    }
    let choice = args.device.choose()?;
    let mut engine = model::load(&open, &choice, args.model.options(EngineOptions::fast(context)))?;
    let load = start.elapsed();

    let mut stop_tokens = open.eos_ids()?;
    let end_of_turn = format.as_ref().and_then(ChatFormat::end_of_turn);
    stop_tokens.extend(end_of_turn.filter(|id| !stop_tokens.contains(id)));
    let mut session = Session {
        engine: &mut engine,
        tokenizer: &tokenizer,
        format: format.as_ref(),
        stop_tokens: &stop_tokens,
        longest,
        sampling: sampling.clone(),
        max_tokens: args.max_tokens.unwrap_or(u32::MAX),
        thinking: args.thinking,
        messages,
        totals: Totals::default(),
        last: None,
        text: String::new(),
    };
    if session.format.is_none() {
        notice(&format!(
            "{} has no chat template: it was not made for conversations. Each message is continued as plain text; \
             for answers give a model that was (-m)",
            open.name()
        ));
    }
    if let Some(system) = &args.system {
        session.set_system(system);
    }
    let all_answered = talk(&mut session)?;

    let (totals, last, text) = (session.totals, session.last.take(), std::mem::take(&mut session.text));
    let finish = last.map(|generated| generated.finish);
    let report =
        args.report(&open, &engine, &choice, &sampling, (load, start.elapsed()), (totals, finish, text));
    if let Some(path) = &args.report {
        write_json_atomically(path, &report)?;
    }
    Ok(match verdict_of(&report.gates) {
        Verdict::Fail if totals.answers > 0 => {
            notice(&report.closing_line());
            exit::GATE
        }
        _ if !all_answered => exit::FAILED,
        _ => exit::DONE,
    })
}

/// Message by message until there are no more; whether each got its answer. On a terminal a failed message is no
/// reason for an exit code: its author was there.
fn talk(session: &mut Session) -> Result<bool> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut source = if is_terminal { Source::terminal()? } else { Source::Lines };
    if is_terminal {
        notice("/help lists the commands, Ctrl-D leaves");
    }
    let (mut all_answered, mut was_interrupted) = (true, false);
    loop {
        let text = match source.next()? {
            Input::End => break,
            Input::Interrupted if was_interrupted => break,
            Input::Interrupted => {
                was_interrupted = true;
                notice("Ctrl-C once more, or Ctrl-D, leaves");
                continue;
            }
            Input::Text(text) => text,
        };
        was_interrupted = false;
        let next = match text.strip_prefix('/') {
            _ if text.trim().is_empty() => Next::Prompt,
            Some(rest) if !rest.starts_with('/') => commands::run(text.trim(), session)?,
            rest => {
                session.say(rest.unwrap_or(&text));
                Next::Answer
            }
        };
        match next {
            Next::Prompt => {}
            Next::Answer => all_answered &= session.answer()?,
            Next::Quit => break,
        }
    }
    Ok(all_answered || is_terminal)
}

impl Args {
    /// The report of all answers together; the text is the last one's.
    fn report(
        &self,
        open: &OpenModel,
        engine: &Engine,
        choice: &Choice,
        sampling: &Sampling,
        (load, wall): (Duration, Duration),
        (totals, finish, text): (Totals, Option<FinishReason>, String),
    ) -> Report {
        let mut timings = Timings {
            load_seconds: load.as_secs_f64(),
            wall_seconds: wall.as_secs_f64(),
            ..Timings::default()
        };
        timings.set_prefill(totals.prefilled, totals.prefill);
        timings.set_decode(totals.produced.saturating_sub(totals.answers), totals.decode);
        let mut report = model::run_report("chat", open, engine, self.device.report(choice), timings);
        report.generation = finish.map(|finish| Generation {
            prompt_tokens: totals.prefilled,
            reused_tokens: Some(totals.reused),
            completion_tokens: totals.completed,
            produced_tokens: totals.produced,
            finish_reason: match finish {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Context => "context",
                FinishReason::Caller => "interrupted",
            }
            .to_owned(),
            prefill_submits: totals.prefill_submits,
            prefill_host_waits: totals.prefill_host_waits,
            text: Some(text),
            ..sampling::report(sampling)
        });
        report.gates = evaluate(&report, &Thresholds::default());
        report
    }
}
