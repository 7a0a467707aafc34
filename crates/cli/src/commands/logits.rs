//! `resident logits`: the logits of every position of a token sequence, as a safetensors file.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::{self, ModelArgs};
use crate::output;
use anyhow::{Context, Result, bail};
use resident_engine::EngineOptions;
use resident_ledger::write_atomically;
use safetensors::tensor::{Dtype, TensorView};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Far more than the longest context takes.
const MAX_IDS_BYTES: u64 = 64 << 20;

/// Write the logits of every position
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  resident logits -m model.gguf --tokens 1,42,7 --out logits.safetensors
  resident logits -m Qwen3-0.6B/ --tokens-file ids.txt --out logits.safetensors --device cpu

The file holds one tensor, 'logits', f32 [T, vocab]: row t is computed from tokens 0 to t.",
    allow_negative_numbers = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids, separated by commas
    #[arg(long, value_name = "IDS", conflicts_with = "tokens_file", required_unless_present = "tokens_file")]
    tokens: Option<String>,
    /// A text file of token ids, separated by commas or white space
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let ids = args.ids()?;
    output::check_folder(&args.out)?;
    let open = args.model.open()?;
    let longest = open.max_context()?;
    if ids.len() > longest as usize {
        bail!("{} tokens are longer than the model's context of {longest}", ids.len());
    }
    let choice = args.device.choose()?;
    let options = args.model.options(EngineOptions::exact(ids.len() as u32));
    let mut engine = model::load(&open, &choice, options)?;
    let logits = engine.score(&ids)?;
    let bytes: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![ids.len(), engine.config().vocab_size as usize];
    let tensor = TensorView::new(Dtype::F32, shape, &bytes).context("the logits as a tensor")?;
    let file = safetensors::serialize([("logits", tensor)], None).context("the logits as safetensors")?;
    write_atomically(&args.out, &file)?;
    let device = args.device.report(&choice);
    let out = args.out.display();
    output::notice(&format!("{} {} · {} positions · {out}", device.kind, device.used, ids.len()));
    Ok(exit::DONE)
}

impl Args {
    fn ids(&self) -> Result<Vec<u32>> {
        let text = match (&self.tokens, &self.tokens_file) {
            (Some(tokens), _) => tokens.clone(),
            (None, Some(file)) => read_ids(file).with_context(|| format!("reading {}", file.display()))?,
            (None, None) => unreachable!("clap requires one of them"),
        };
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let ids = words.map(|word| {
            word.parse().map_err(|_| {
                Usage(format!("'{word}' is no token id, expected a whole number from 0 on")).into()
            })
        });
        let ids: Vec<u32> = ids.collect::<Result<_>>()?;
        if ids.is_empty() {
            return Err(Usage("no token ids, expected at least one".into()).into());
        }
        Ok(ids)
    }
}

/// The text of a file of token ids, which may be a pipe.
fn read_ids(file: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_IDS_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_IDS_BYTES {
        bail!("more than {MAX_IDS_BYTES} bytes are no list of token ids");
    }
    Ok(text)
}
