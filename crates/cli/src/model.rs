//! The flag that names the model, and loading it with a progress bar.

use crate::exit::Usage;
use crate::{embedded, settings};
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use resident_engine::{Engine, EngineOptions, OpenModel};
use resident_ledger::ModelReport;
use resident_models::SynthError;
use resident_runtime::{Choice, SessionOptions};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ModelArgs {
    /// A folder (config.json, *.safetensors, tokenizer.json), a .gguf file, or synth:SHAPE:FORMAT (random weights, for
    /// bench) [default: the embedded story model]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

impl ModelArgs {
    /// Opens the model's files.
    pub(crate) fn open(&self) -> Result<OpenModel> {
        let Some(path) = &self.model else { return Ok(OpenModel::embedded(embedded::NAME, embedded::GGUF)?) };
        match path.to_str().filter(|name| name.starts_with("synth:")) {
            Some(name) => {
                Ok(OpenModel::synthetic(name.parse().map_err(|e: SynthError| Usage(e.to_string()))?))
            }
            None => Ok(OpenModel::open(path)?),
        }
    }
}

/// Makes a model resident, with a progress bar on a terminal. The pipeline cache is added to `session`.
pub(crate) fn load(
    model: &OpenModel,
    choice: &Choice,
    context: u32,
    score: bool,
    session: SessionOptions,
) -> Result<Engine> {
    let session = SessionOptions { pipeline_cache_dir: settings::pipeline_cache_dir(), ..session };
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
