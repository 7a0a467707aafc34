//! `resident synth`: a synthetic model as a GGUF file, for other programs to run.

use crate::model_file::{self, mib};
use crate::{exit, output};
use anyhow::Result;
use resident_engine::synthetic_file;
use resident_models::SynthSpec;
use std::path::PathBuf;

/// Write a model of random weights as GGUF
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident synth synth:smollm2-135m:q8_0 --out smollm2.gguf
  resident synth synth:qwen3-8b:q4_k_m --out qwen3-8b.gguf --json

The file has a known model's shape and holds the weights that 'resident bench -m SPEC' and 'resident run -m SPEC' run with, so \
that another program, such as llama.cpp, can be measured with the same model. Its vocabulary takes every text, byte by byte, \
and what it says is the numbers of tokens. 'resident synth synth: --out x' names the shapes and the formats.")]
pub(crate) struct Args {
    /// The model: synth:SHAPE:FORMAT
    #[arg(value_name = "SPEC")]
    spec: SynthSpec,
    /// The GGUF file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Output {
    spec: String,
    out: PathBuf,
    tensors: usize,
    parameters: u64,
    weights_format: String,
    file_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    output::check_folder(&args.out)?;
    let file = synthetic_file(&args.spec)?;
    let message = format!("writing {}", args.spec);
    model_file::write(&args.out, &message, |out, progress| Ok(file.write(out, progress)?))?;
    let output = Output {
        spec: args.spec.to_string(),
        out: args.out.clone(),
        tensors: file.tensors(),
        parameters: file.parameters(),
        weights_format: file.weights_format(),
        file_bytes: file.file_bytes(),
    };
    if args.json {
        output::write_json(&output)?;
    } else {
        let (out, format, size) = (args.out.display(), &output.weights_format, mib(output.file_bytes));
        output::write(&format!("{out} · {} tensors · {format} · {size}\n", output.tensors))?;
    }
    Ok(exit::DONE)
}
