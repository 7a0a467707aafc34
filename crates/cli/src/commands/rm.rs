//! `resident rm`: a model out of the cache.

use crate::{exit, hub, output};
use anyhow::Result;
use resident_hub::ModelName;
use resident_runtime::format_bytes;

/// Remove a model from the cache
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident rm Qwen/Qwen3-0.6B
  resident rm bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_M

Without QUANT all that the cache has of the model goes, with what a pull has left unfinished; with it one GGUF file and \
its parts. Other programs that use Hugging Face's cache lose the model too.")]
pub(crate) struct Args {
    /// ORG/NAME, or ORG/NAME:QUANT for one of its GGUF files
    #[arg(value_name = "MODEL")]
    model: ModelName,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let waiting = || output::notice(&format!("{}: waiting for another program that works on it", args.model));
    let removed = hub::cache()?.remove(&args.model, waiting)?;
    output::notice(&format!("{}: removed, {} are free again", args.model, format_bytes(removed.bytes)));
    Ok(exit::DONE)
}
