//! `resident embed`: texts to vectors.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::output;
use anyhow::{Context, Result, bail};
use resident_engine::{EngineOptions, Pooling};
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More text than any context takes.
const MAX_BYTES: u64 = 1 << 30;

/// Turn texts into embeddings
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident embed -m Qwen3-Embedding-0.6B/ \"What is a fjord?\"
  resident embed -m model.gguf --pooling mean --file sentences.txt

A text's vector is the mean of its tokens' vectors behind the final norm, or the last of them, as the model's files say \
(sentence-transformers' modules.json, GGUF's pooling_type) or --pooling does, at length 1. The result is \
{\"pooling\": ..., \"dimensions\": N, \"embeddings\": [{\"tokens\": T, \"embedding\": [...]}, ...]}, in the order of the texts.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The texts
    #[arg(conflicts_with = "file", required_unless_present = "file")]
    texts: Vec<String>,
    /// Read the texts from this file, one a line; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How a text's tokens become one vector [default: what the model's files say]
    #[arg(long, value_name = "HOW")]
    pooling: Option<PoolingName>,
    /// Leave the vectors as long as they are
    #[arg(long)]
    no_normalize: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PoolingName {
    Mean,
    Last,
}

#[derive(Serialize)]
struct Output {
    pooling: &'static str,
    dimensions: usize,
    embeddings: Vec<Embedding>,
}

#[derive(Serialize)]
struct Embedding {
    tokens: usize,
    embedding: Vec<f32>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let open = args.model.open()?;
    let pooling = match (args.pooling, open.pooling()?) {
        (Some(PoolingName::Mean), _) | (None, Some(Pooling::Mean)) => Pooling::Mean,
        (Some(PoolingName::Last), _) | (None, Some(Pooling::Last)) => Pooling::Last,
        (None, None) => {
            let name = open.name();
            return Err(Usage(format!(
                "{name} does not say how it pools; name it with --pooling mean or last"
            ))
            .into());
        }
    };
    let tokenizer = open.tokenizer()?;
    let encode = |text: &String| tokenizer.encode_as_published(text, true);
    let texts: Vec<Vec<u32>> = args.texts()?.iter().map(encode).collect::<Result<_, _>>()?;
    if let Some(index) = texts.iter().position(Vec::is_empty) {
        let (text, name) = (index + 1, open.name());
        bail!("text {text} is empty and {name} has no token that begins a text; leave it out");
    }
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    let limit = open.max_context()?;
    if longest > limit as usize {
        bail!("a text of {longest} tokens is longer than the model's context of {limit}");
    }
    let choice = args.device.choose()?;
    // A position more than the longest text: plans that are not run here have one.
    let context = (longest as u32 + 1).min(limit);
    let options = EngineOptions { pooling: Some(pooling), ..EngineOptions::fast(context) };
    let mut engine = model::load(&open, &choice, args.model.options(options))?;
    let mut embeddings = Vec::new();
    for ids in texts {
        let mut embedding = engine.embed(&ids)?;
        if !args.no_normalize {
            normalize(&mut embedding);
        }
        embeddings.push(Embedding { tokens: ids.len(), embedding });
    }
    let dimensions = engine.config().hidden_size as usize;
    let pooling = if pooling == Pooling::Mean { "mean" } else { "last" };
    output::write_json(&Output { pooling, dimensions, embeddings })?;
    Ok(exit::DONE)
}

impl Args {
    fn texts(&self) -> Result<Vec<String>> {
        let Some(file) = &self.file else { return Ok(self.texts.clone()) };
        let text = read(file).with_context(|| format!("reading {}", file.display()))?;
        let texts: Vec<String> = text.lines().map(str::to_owned).collect();
        if texts.is_empty() {
            return Err(Usage(format!("{}: no texts, expected one a line", file.display())).into());
        }
        Ok(texts)
    }
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let mut take = |reader: &mut dyn Read| reader.take(MAX_BYTES + 1).read_to_string(&mut text);
    match file == Path::new("-") {
        true => take(&mut std::io::stdin().lock())?,
        false => take(&mut std::fs::File::open(file)?)?,
    };
    if text.len() as u64 > MAX_BYTES {
        bail!("more than {MAX_BYTES} bytes");
    }
    Ok(text)
}

/// To length 1; a vector of zeros stays what it is.
fn normalize(values: &mut [f32]) {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}
