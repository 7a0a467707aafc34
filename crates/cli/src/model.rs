//! The flag that names the model, and loading it with a progress bar.

use crate::exit::Usage;
use crate::{embedded, hub, output, settings};
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use resident_engine::{Activations, Engine, EngineOptions, Executor, KvType, OpenModel};
use resident_ledger::{Bandwidth, DeviceReport, MemoryReport, ModelReport, Report, Timings};
use resident_models::{Quantisation, SynthError, UnknownQuantisation};
use resident_runtime::Choice;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct ModelArgs {
    /// A folder (config.json, *.safetensors, tokenizer.json), a .gguf file, ORG/NAME or ORG/NAME:QUANT as 'resident pull' fetched
    /// it, or synth:SHAPE:FORMAT (random weights, which say numbers) [default: the embedded story model]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Round the matrices to this while loading: q8 (q8_0), q4 (q4_0), bf16, f16 or q4_k_m. What has no more bits in the
    /// file stays as it is
    #[arg(long, value_name = "TYPE", value_parser = weights_named)]
    weights: Option<Quantisation>,
    /// How activations meet quantised weights: f32, int16 (two packed dot products, relative error 5e-5), or auto: int16
    /// where the device is fast at it
    #[arg(long, value_name = "MODE")]
    activations: Option<ActivationMode>,
    /// Element type of the KV cache [default: f16; f32 in verify and logits]
    #[arg(long, value_name = "TYPE")]
    kv_cache: Option<CacheType>,
    /// How decode's steps wait for each other: barriers, or handover (readiness carried in the data; needs a device that
    /// passes the self-test) [default: the faster one that works here]
    #[arg(long, value_name = "HOW")]
    executor: Option<ExecutorName>,
    /// Do not measure (at most 2 s, once for a device, driver and shape) which workgroups decode is fastest with
    #[arg(long)]
    no_autotune: bool,
}

/// A quantisation by its name, or by a short one.
fn weights_named(name: &str) -> Result<Quantisation, UnknownQuantisation> {
    match name {
        "q8" => Ok(Quantisation::Q8_0),
        "q4" => Ok(Quantisation::Q4_0),
        other => other.parse(),
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum CacheType {
    F16,
    F32,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ExecutorName {
    Barriers,
    Handover,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ActivationMode {
    Auto,
    F32,
    Int16,
}

impl ModelArgs {
    /// Opens the model's files.
    pub(crate) fn open(&self) -> Result<OpenModel> {
        let named = self.model.as_deref().and_then(|path| path.to_str()).unwrap_or("");
        if named.starts_with("synth:") && self.weights.is_some() {
            return Err(
                Usage(format!("{named} has the types that its name says; leave --weights out")).into()
            );
        }
        let open = open(self.model.as_deref())?;
        Ok(open.with_weights(self.weights))
    }

    /// The options, with what was asked for in place of what stands there.
    pub(crate) fn options(&self, mut options: EngineOptions) -> EngineOptions {
        if let Some(mode) = self.activations {
            options.activations = match mode {
                ActivationMode::Auto => Activations::Auto,
                ActivationMode::F32 => Activations::F32,
                ActivationMode::Int16 => Activations::Int16,
            };
        }
        if let Some(kv_cache) = self.kv_cache {
            options.kv_type = match kv_cache {
                CacheType::F16 => KvType::F16,
                CacheType::F32 => KvType::F32,
            };
        }
        options.autotune = !self.no_autotune;
        options.executor = self.executor.map(|executor| match executor {
            ExecutorName::Barriers => Executor::Barriers,
            ExecutorName::Handover => Executor::Handover,
        });
        options
    }
}

/// Opens the model that `-m` names, or the embedded one.
pub(crate) fn open(named: Option<&Path>) -> Result<OpenModel> {
    let Some(path) = named else { return Ok(OpenModel::embedded(embedded::NAME, embedded::GGUF)?) };
    match path.to_str() {
        Some(name) if name.starts_with("synth:") => {
            Ok(OpenModel::synthetic(name.parse().map_err(|e: SynthError| Usage(e.to_string()))?))
        }
        name => {
            let open = OpenModel::open(&hub::locate(path)?)?;
            Ok(match name.filter(|_| !path.exists()) {
                // In the cache a folder is called by its commit.
                Some(name) => open.named(name),
                None => open,
            })
        }
    }
}

/// Makes a model resident, with a progress bar on a terminal. The pipeline cache is added to the options.
pub(crate) fn load(model: &OpenModel, choice: &Choice, mut options: EngineOptions) -> Result<Engine> {
    options.session.pipeline_cache_dir = settings::pipeline_cache_dir();
    model.notices().iter().for_each(|line| output::notice(line));
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("loading {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}")
            .context("progress template")?,
    );
    bar.set_message(model.name().to_owned());
    let engine = Engine::load(model, choice, options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(engine?)
}

/// The report of a command that generated; what was generated is the command's.
pub(crate) fn run_report(
    command: &str,
    model: &OpenModel,
    engine: &Engine,
    device: DeviceReport,
    timings: Timings,
) -> Report {
    let mut report = Report::new(command, env!("CARGO_PKG_VERSION"), device, engine.ledger().snapshot());
    report.model = Some(self::report(model, engine));
    let (read, limit) = (engine.weight_bytes_per_token(), Some(engine.bandwidth_limit()));
    report.bandwidth = timings.decode_tokens_per_second.map(|rate| Bandwidth::new(read, rate, limit));
    report.timings = Some(timings);
    report.memory = Some(MemoryReport { device_bytes: engine.memory() });
    // A NaN among the logits ends the run with an error before there is a report.
    report.non_finite_outputs = Some(0);
    report
}

/// The model for the report.
pub(crate) fn report(model: &OpenModel, engine: &Engine) -> ModelReport {
    ModelReport {
        name: model.name().to_owned(),
        architecture: engine.config().architecture.clone(),
        parameters: engine.parameters(),
        weight_bytes: engine.weight_bytes(),
        weights_format: engine.weights_format().to_owned(),
        activations: engine.activations().to_owned(),
        kv_cache: engine.kv_type().name().to_owned(),
        executor: engine.executor().executor.name().to_owned(),
        executor_reason: engine.executor().reason.clone(),
        context: engine.context().into(),
    }
}
