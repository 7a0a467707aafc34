//! `resident quantize`: writes a model as one GGUF file with fewer bits a weight.

use crate::device::DeviceArgs;
use crate::exit;
use crate::model_file::{self, bar, mib};
use crate::{model, output, text};
use anyhow::{Context, Result};
use resident_engine::{Divergence, EngineOptions, OpenModel, PERPLEXITY_CONTEXT};
use resident_models::{Quantisation, TensorClass};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Write a model as GGUF with fewer bits a weight
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident quantize -m Qwen3-0.6B/ --to q4_k_m --out qwen3-0.6b-q4_k_m.gguf
  resident quantize -m model-f16.gguf --to q8_0 --out model-q8_0.gguf --text sample.txt --json

The mixtures are llama.cpp's: norms stay f32, the head of q4_0 and q4_k_m is q6_k, and rows that fill no blocks get a type \
with smaller ones. With --text both models predict the text, and the divergence of the new one's logits is reported.")]
pub(crate) struct Args {
    /// A folder (config.json, *.safetensors, tokenizer.json), a .gguf file, or ORG/NAME or ORG/NAME:QUANT in the cache
    #[arg(short, long, value_name = "MODEL")]
    model: PathBuf,
    /// q8_0, q4_0, q4_k_m, bf16 or f16
    #[arg(long, value_name = "TYPE")]
    to: Quantisation,
    /// The GGUF file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A text on which to compare the logits of both models
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Output {
    to: &'static str,
    bytes_before: u64,
    bytes: u64,
    file_bytes: u64,
    classes: Vec<TensorClass>,
    divergence: Option<Divergence>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    output::check_folder(&args.out)?;
    let text = args.text.as_deref().map(text::read).transpose()?;
    let open = model::open(Some(&args.model))?;
    let (classes, file_bytes) = args.write(&open)?;
    let divergence = text.map(|text| args.compare(&open, &text)).transpose()?;
    let sum = |bytes: fn(&TensorClass) -> u64| classes.iter().map(bytes).sum();
    let (bytes_before, bytes) = (sum(|class| class.bytes_before), sum(|class| class.bytes));
    let output = Output { to: args.to.name(), bytes_before, bytes, file_bytes, classes, divergence };
    if args.json {
        output::write_json(&output)?;
    } else {
        output::write(&output.table())?;
        output::notice(&format!("{} · {}", args.out.display(), mib(file_bytes)));
    }
    Ok(exit::DONE)
}

impl Args {
    fn write(&self, open: &OpenModel) -> Result<(Vec<TensorClass>, u64)> {
        let export = open.export(self.to)?;
        let message = format!("quantising to {}", self.to);
        let classes = model_file::write(&self.out, &message, |file, progress| export.write(file, progress))?;
        Ok((classes, export.file_bytes()))
    }

    fn compare(&self, base: &OpenModel, text: &str) -> Result<Divergence> {
        let written = OpenModel::open(&self.out)?;
        let tokenizer = base.tokenizer()?;
        let ids = tokenizer.encode(text, false)?;
        let context = PERPLEXITY_CONTEXT.min(base.max_context()?).min(ids.len().max(1) as u32);
        let choice = self.device.choose()?;
        let mut base_engine = model::load(base, &choice, EngineOptions::exact(context))?;
        let mut engine = model::load(&written, &choice, EngineOptions::exact(context))?;
        let bar = bar("comparing")?;
        let bos = tokenizer.begins_with_bos().then(|| tokenizer.bos_id()).flatten();
        let divergence = engine.divergence(&mut base_engine, &ids, bos, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        divergence.with_context(|| display(&self.out))
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

impl Output {
    fn table(&self) -> String {
        let mut text = String::from(
            "tensors                     number  types            before       after        relative error\n",
        );
        for class in &self.classes {
            let _ = writeln!(
                text,
                "{:<26} {:>7}  {:<15} {:>12} {:>12}  {:.2e}",
                class.name,
                class.tensors,
                class.types.join(", "),
                mib(class.bytes_before),
                mib(class.bytes),
                class.relative_error
            );
        }
        let ratio = self.bytes as f64 / self.bytes_before.max(1) as f64;
        let _ = writeln!(
            text,
            "together {} → {} ({:.0} %)",
            mib(self.bytes_before),
            mib(self.bytes),
            100.0 * ratio
        );
        if let Some(found) = &self.divergence {
            let _ = writeln!(
                text,
                "perplexity {:.4} ± {:.4} → {:.4} ± {:.4} over {} tokens",
                found.base.perplexity,
                found.base.error,
                found.perplexity.perplexity,
                found.perplexity.error,
                found.perplexity.tokens
            );
            let _ = writeln!(
                text,
                "KL divergence mean {:.2e} ± {:.1e}, largest {:.2e}; same most likely token {:.2} %",
                found.mean_kl,
                found.error,
                found.max_kl,
                100.0 * found.same_top
            );
        }
        text
    }
}
