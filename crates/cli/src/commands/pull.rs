//! `resident pull`: a model from the hub into the cache, whole and verified, or not at all.

use crate::{exit, hub, output, settings};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use resident_hub::{Event, ModelName};
use resident_runtime::format_bytes;
use serde::Serialize;
use std::path::PathBuf;

/// Fetch a model from the hub into the cache
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident pull Qwen/Qwen3-0.6B
  resident pull bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_M
  HF_ENDPOINT=https://hub.example.org resident pull Qwen/Qwen3-0.6B

Only what Resident reads is fetched: config, tokenizer, chat template and safetensors, or one GGUF file with its parts; \
QUANT is the end of that file's name. What is broken off is resumed, every file is verified by its hash, and a model \
counts as there only when all of it is. Afterwards -m ORG/NAME works in every command.

The cache is the one of Hugging Face's library: HF_HUB_CACHE, else hub in HF_HOME, else ~/.cache/huggingface/hub. The \
token is HF_TOKEN, else the file that the hub's own tools keep; HF_ENDPOINT names a mirror, HTTPS_PROXY a proxy.")]
pub(crate) struct Args {
    /// ORG/NAME, or ORG/NAME:QUANT for one of its GGUF files
    #[arg(value_name = "MODEL")]
    model: ModelName,
    /// Ask nobody: succeed only if the model is in the cache (also by HF_HUB_OFFLINE=1)
    #[arg(long)]
    offline: bool,
    /// Print what was fetched as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    model: String,
    /// What -m MODEL opens.
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    fetched_bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    bytes: u64,
    hash: String,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let cache = hub::cache()?;
    let model = args.model.to_string();
    let output = if args.offline || settings::is_offline() {
        let path = cache.locate(&args.model).context("offline")?;
        Output { model, path, commit: None, fetched_bytes: 0, files: Vec::new() }
    } else {
        let client = hub::client()?;
        let style = ProgressStyle::with_template(
            "pulling {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        );
        let bar = ProgressBar::new(0).with_style(style.context("progress template")?);
        bar.set_message(model.clone());
        let pulled =
            resident_hub::pull(&cache, &client, &args.model, &mut |event| report(&bar, &model, event));
        bar.finish_and_clear();
        let pulled = pulled?;
        let files = pulled.files.into_iter();
        let files = files.map(|file| File { name: file.name, bytes: file.bytes, hash: file.hash }).collect();
        let (path, fetched_bytes) = (pulled.path, pulled.fetched_bytes);
        Output { model, path, commit: Some(pulled.commit), fetched_bytes, files }
    };
    if args.json {
        output::write_json(&output)?;
    } else {
        output::write(&format!("{}\n", output.path.display()))?;
    }
    Ok(exit::DONE)
}

fn report(bar: &ProgressBar, model: &str, event: Event<'_>) {
    let say = |line: String| bar.suspend(|| output::notice(&line));
    match event {
        Event::Waiting => say(format!("{model}: waiting for another program that works on it")),
        Event::Planned { files, bytes, missing_bytes } => {
            bar.set_length(bytes);
            bar.set_position(bytes - missing_bytes);
            bar.reset_eta();
            let missing = match missing_bytes {
                0 => "all there".to_owned(),
                missing => format!("{} to fetch", format_bytes(missing)),
            };
            say(format!("{model}: {files} files, {}, {missing}", format_bytes(bytes)));
        }
        Event::Progress(bytes) => bar.set_position(bytes),
        Event::Retry(error) => say(format!("{error}; trying again")),
    }
}
