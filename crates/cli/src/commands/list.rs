//! `resident list`: the models in the cache.

use crate::{exit, hub, output};
use anyhow::Result;
use resident_hub::CachedModel;
use resident_runtime::format_bytes;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// List the models in the cache
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident list
  resident list --json

The cache is shared with Hugging Face's own library; what 'resident pull --help' says of its place holds here too.")]
pub(crate) struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    cache: PathBuf,
    models: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// What -m can open: safetensors, or quantisations of GGUF files.
    holds: Vec<String>,
    bytes: u64,
    unfinished_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    path: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let cache = hub::cache()?;
    let row = |model: CachedModel| Row {
        name: model.name,
        holds: model.holds,
        bytes: model.bytes,
        unfinished_bytes: model.unfinished_bytes,
        commit: model.commit,
        path: model.path,
    };
    let models = cache.list()?.into_iter().map(row).collect();
    let output = Output { cache: cache.root().to_owned(), models };
    if args.json {
        output::write_json(&output)?;
    } else {
        output::write(&text(&output))?;
        if output.models.is_empty() {
            let folder = output.cache.display();
            output::notice(&format!("no models in {folder}; 'resident pull ORG/NAME' fetches one"));
        }
    }
    Ok(exit::DONE)
}

fn text(output: &Output) -> String {
    let width = output.models.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &output.models {
        let holds = match row.holds.is_empty() {
            true => "nothing that can be opened".to_owned(),
            false => row.holds.join(", "),
        };
        let unfinished = match row.unfinished_bytes {
            0 => String::new(),
            bytes => format!(" ({} of it unfinished)", format_bytes(bytes)),
        };
        let size = format_bytes(row.bytes);
        let _ = writeln!(text, "{:width$}  {size:>9}  {holds}{unfinished}", row.name);
    }
    text
}
