//! The flag that names the model, and loading it with a progress bar.

use crate::{embedded, settings};
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use resident_engine::{Engine, EngineError, EngineOptions, OpenModel};
use resident_ledger::ModelReport;
use resident_runtime::{Choice, SessionOptions};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ModelArgs {
    /// A folder (config.json, *.safetensors, tokenizer.json) or a .gguf file [default: the embedded story model]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

impl ModelArgs {
    /// Opens the model's files.
    pub(crate) fn open(&self) -> Result<OpenModel, EngineError> {
        match &self.model {
            Some(path) => OpenModel::open(path),
            None => OpenModel::embedded(embedded::NAME, embedded::GGUF),
        }
    }
}

/// Makes a model resident, with a progress bar on a terminal.
pub(crate) fn load(model: &OpenModel, choice: &Choice, context: u32, score: bool) -> Result<Engine> {
    let session = SessionOptions { pipeline_cache_dir: settings::pipeline_cache_dir(), ..SessionOptions::default() };
    let options = EngineOptions { context, score, session };
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

/// The model for the report.
pub(crate) fn report(model: &OpenModel, engine: &Engine) -> ModelReport {
    ModelReport {
        name: model.name().to_owned(),
        architecture: engine.config().architecture.clone(),
        parameters: engine.parameters(),
        weight_bytes: engine.weight_bytes(),
        weights_format: engine.weights_format().to_owned(),
        context: engine.context().into(),
    }
}
