//! `resident perplexity`: how well a model predicts a text.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::model_file::bar;
use crate::output;
use crate::text;
use anyhow::Result;
use resident_engine::{EngineOptions, PERPLEXITY_CONTEXT, Perplexity};
use resident_ledger::{DeviceReport, ModelReport};
use std::path::PathBuf;

/// Measure how well a model predicts a text
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident perplexity -m model.gguf --file wiki.test.raw
  resident perplexity -m Qwen3-0.6B/ --weights q4 --file sample.txt --context 1024 --json

The text is cut into chunks of --context tokens. In each, the tokens of the second half count: every one has at least half a \
chunk before it. The error is the standard error of the mean over the tokens.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Positions of a chunk [default: 512, at most the model's]
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Output {
    device: DeviceReport,
    model: ModelReport,
    #[serde(flatten)]
    perplexity: Perplexity,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let text = text::read(&args.file)?;
    let open = args.model.open()?;
    let tokenizer = open.tokenizer()?;
    let ids = tokenizer.encode(&text, false)?;
    let longest = open.max_context()?;
    let wanted = args.context.unwrap_or(PERPLEXITY_CONTEXT.min(longest));
    if wanted == 0 || wanted > longest {
        let problem = format!("--context is {wanted}, expected 1 to {longest}, what the model was made for");
        return Err(Usage(problem).into());
    }
    let context = wanted.min(ids.len().max(1) as u32);
    let choice = args.device.choose()?;
    let mut engine = model::load(&open, &choice, args.model.options(EngineOptions::exact(context)))?;
    let bar = bar("reading")?;
    let bos = tokenizer.begins_with_bos().then(|| tokenizer.bos_id()).flatten();
    let perplexity = engine.perplexity(&ids, bos, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let perplexity = perplexity?;
    let device = args.device.report(&choice);
    if args.json {
        output::write_json(&Output { device, model: model::report(&open, &engine), perplexity })?;
    } else {
        let Perplexity { perplexity, error, tokens, chunks, context } = perplexity;
        output::write(&format!("{perplexity:.4} ± {error:.4}\n"))?;
        output::notice(&format!(
            "{tokens} tokens of {chunks} chunks of {context} · {} {}",
            device.kind, device.used
        ));
    }
    Ok(exit::DONE)
}
