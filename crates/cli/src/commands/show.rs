//! `resident show`: what a model is, and whether it fits a device, by the plan that loading it would follow.

use crate::device::DeviceArgs;
use crate::exit::{self, Usage};
use crate::model::ModelArgs;
use crate::output;
use anyhow::Result;
use resident_engine::{EngineOptions, Planned};
use resident_runtime::{Choice, Target, format_bytes};
use serde::Serialize;
use std::fmt::Write;

/// Show what a model is, and whether it fits this device
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident show -m Qwen/Qwen3-0.6B
  resident show -m model.gguf --context 4096 --device gpu:0
  resident show -m synth:gemma3-27b:bf16 --json

The sizes are those of the plan that loading would follow; nothing is allocated. Without --context it is the model's own, \
and a shorter one that fits is named where it does not.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Positions to make room for [default: the model's]
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    model: String,
    architecture: String,
    parameters: u64,
    /// The context that the model was made for.
    max_context: u32,
    stored: Vec<Stored>,
    device: String,
    weights_format: String,
    kv_cache: &'static str,
    context: u32,
    weight_bytes: u64,
    kv_cache_bytes: u64,
    work_bytes: u64,
    total_bytes: u64,
    available_bytes: u64,
    fits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_context: Option<u32>,
    alternatives: Vec<Alternative>,
}

/// Tensors of one type in the files.
#[derive(Serialize)]
struct Stored {
    r#type: &'static str,
    tensors: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Alternative {
    change: String,
    context: u32,
    total_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let open = args.model.open()?;
    let max_context = open.max_context()?;
    let context = args.context.unwrap_or(max_context);
    if context == 0 || context > max_context {
        let problem =
            format!("--context is {context}, expected 1 to {max_context}, what the model was made for");
        return Err(Usage(problem).into());
    }
    let choice = args.device.choose()?;
    let planned = open.plan(&choice, &args.model.options(EngineOptions::fast(context)))?;
    if !args.json {
        let stored = open.stored_types();
        output::write(&text(open.name(), max_context, &stored, &device(&choice), &planned))?;
        return Ok(exit::DONE);
    }
    let Planned { architecture, parameters, fit, longest_context, alternatives } = planned;
    let alternative = |other: resident_engine::Alternative| Alternative {
        change: other.change,
        context: other.context,
        total_bytes: other.total_bytes,
    };
    output::write_json(&Output {
        model: open.name().to_owned(),
        architecture,
        parameters,
        max_context,
        stored: open
            .stored_types()
            .into_iter()
            .map(|(r#type, tensors, bytes)| Stored { r#type, tensors, bytes })
            .collect(),
        device: device(&choice),
        kv_cache: fit.kv_type.name(),
        context: fit.context,
        weight_bytes: fit.weight_bytes,
        kv_cache_bytes: fit.kv_cache_bytes,
        work_bytes: fit.work_bytes,
        total_bytes: fit.total_bytes(),
        available_bytes: fit.available_bytes,
        fits: fit.fits(),
        weights_format: fit.weights_format,
        longest_context,
        alternatives: alternatives.into_iter().map(alternative).collect(),
    })?;
    Ok(exit::DONE)
}

fn device(choice: &Choice) -> String {
    match &choice.target {
        Target::Cpu => "cpu".to_owned(),
        Target::Vulkan(info) => format!("gpu:{} ({})", info.index, info.name),
    }
}

fn text(
    name: &str,
    max_context: u32,
    stored: &[(&str, u64, u64)],
    device: &str,
    planned: &Planned,
) -> String {
    let Planned { architecture, parameters, fit, longest_context, alternatives } = planned;
    let mut text = format!("{name}: {architecture}, {parameters} parameters, context {max_context}\n");
    for (r#type, tensors, bytes) in stored {
        let _ = writeln!(text, "  {:<10}  {:>10}  {tensors} tensors", r#type, format_bytes(*bytes));
    }
    let _ = writeln!(text, "on {device}:\n{fit}");
    let _ = match longest_context {
        Some(context) if *context >= fit.context => writeln!(text, "fits, with a context of up to {context}"),
        Some(context) => writeln!(text, "does not fit, but with a context of up to {context} it does"),
        None => writeln!(text, "does not fit, with any context"),
    };
    if !alternatives.is_empty() {
        let width = alternatives.iter().map(|other| other.change.chars().count()).max().unwrap_or(0);
        let _ = writeln!(text, "what would fit:");
        for other in alternatives {
            let _ = writeln!(text, "  {other:width$}");
        }
    }
    text
}
