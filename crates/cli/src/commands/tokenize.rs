//! `resident tokenize` and `resident detokenize`: text to ids and back with the tokenizer of any file that holds one.

use crate::exit::{self, Usage};
use crate::{embedded, hub, output};
use anyhow::{Context, Result, bail};
use resident_engine::tokenizer::Tokenizer;
use resident_engine::{OpenModel, open_tokenizer};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// More text than any context takes.
const MAX_BYTES: u64 = 1 << 30;

#[derive(clap::Args)]
struct Source {
    /// What holds the tokenizer: a model's folder or its ORG/NAME in the cache, a .gguf file (a vocabulary alone will do),
    /// a tokenizer.json or a tokenizer.model [default: the embedded story model]
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
}

impl Source {
    fn tokenizer(&self) -> Result<Tokenizer> {
        match &self.model {
            Some(path) => Ok(open_tokenizer(&hub::locate(path)?)?),
            None => Ok(OpenModel::embedded(embedded::NAME, embedded::GGUF)?.tokenizer()?),
        }
    }
}

/// Turn text into token ids
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  resident tokenize -m tokenizer.json \"Hello world\" --json
  resident tokenize -m vocabulary.gguf --file book.txt > ids.txt
  resident tokenize -m Qwen3-0.6B/ --file - < prompt.txt

Without TEXT and --file the text comes from stdin. With --json the result is {\"ids\": [...], \"pieces\": [...]}, else \
the ids in one line; a piece is the text that its id adds, so that the pieces joined are what the ids stand for.

Special tokens written out in the text (<|im_end|>, </s>) become tokens where the vocabulary is of the kind that \
Hugging Face's tokenizers read (tokenizer.json, byte-level GGUF), and stay text where it is SentencePiece's \
(tokenizer.model, GGUF of model llama or t5), as in those libraries; --special decides otherwise.",
    allow_negative_numbers = true
)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    source: Source,
    /// The text
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// Read the text from this file; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave out the tokens that the model wants before and after a text
    #[arg(long)]
    no_bos: bool,
    /// Special tokens written out in the text
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    special: Special,
    /// Print {"ids": [...], "pieces": [...]}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Special {
    /// As the library does that the vocabulary's format belongs to
    #[default]
    Auto,
    /// They become their tokens
    Parse,
    /// They are text like any other
    Plain,
}

/// Turn token ids into text
#[derive(clap::Args)]
#[command(
    after_help = "\
Examples:
  resident detokenize -m tokenizer.json 9707 1879
  resident tokenize -m model.gguf \"Hello\" | resident detokenize -m model.gguf --file -

Ids are separated by spaces, commas or line breaks; a file may also hold what 'tokenize --json' prints. Without IDS \
and --file they come from stdin. The tokens that 'tokenize' puts around a text are left out, other special tokens \
are shown; --skip-special leaves out all of them.",
    allow_negative_numbers = true
)]
pub(crate) struct DetokenizeArgs {
    #[command(flatten)]
    source: Source,
    /// Token ids
    #[arg(conflicts_with = "file")]
    ids: Vec<String>,
    /// Read the ids from this file; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave out every special token
    #[arg(long)]
    skip_special: bool,
    /// Print {"text": "..."}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Tokenized {
    ids: Vec<u32>,
    pieces: Vec<String>,
}

/// What `tokenize --json` prints, or a bare list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    List(Vec<u32>),
    Tokenized { ids: Vec<u32> },
}

pub(crate) fn tokenize(args: &TokenizeArgs) -> Result<u8> {
    let tokenizer = args.source.tokenizer()?;
    let text = match &args.text {
        Some(text) => text.clone(),
        None => read(args.file.as_deref())?,
    };
    let frame = !args.no_bos;
    let ids = match args.special {
        Special::Auto => tokenizer.encode_as_published(&text, frame),
        Special::Parse => tokenizer.encode(&text, frame),
        Special::Plain => tokenizer.encode_plain(&text, frame),
    }?;
    if args.json {
        let pieces = pieces(&tokenizer, &ids);
        let json = serde_json::to_string(&Tokenized { ids, pieces }).context("the ids as JSON")?;
        output::write(&(json + "\n"))?;
    } else {
        output::write(&(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ") + "\n"))?;
    }
    Ok(exit::DONE)
}

pub(crate) fn detokenize(args: &DetokenizeArgs) -> Result<u8> {
    let tokenizer = args.source.tokenizer()?;
    let ids = if args.ids.is_empty() {
        parse_ids(&read(args.file.as_deref())?)?
    } else {
        parse_ids(&args.ids.join(" "))?
    };
    let count = tokenizer.vocab_size();
    if let Some(index) = ids.iter().position(|&id| id as usize >= count) {
        bail!("id {index} is {}, expected less than {count}, the size of the vocabulary", ids[index]);
    }
    let mut text = tokenizer.decode(without_frame(&tokenizer, &ids), args.skip_special);
    if args.json {
        let json = serde_json::to_string(&serde_json::json!({ "text": text })).context("the text as JSON")?;
        output::write(&(json + "\n"))?;
    } else {
        // A file or a pipe gets the text and nothing else.
        if std::io::stdout().is_terminal() {
            text.push('\n');
        }
        output::write(&text)?;
    }
    Ok(exit::DONE)
}

/// The text that each id adds. A character that takes several ids stands with the last of them.
fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let (before, _) = tokenizer.frame();
    let opening = if ids.starts_with(before) { before.len() } else { 0 };
    // A text begins behind what stands before it, and what begins a text may lose the encoder's own space.
    let mut pieces: Vec<String> = ids[..opening].iter().map(|&id| tokenizer.decode(&[id], false)).collect();
    let mut detokenizer = tokenizer.detokenizer(false);
    pieces.extend(ids[opening..].iter().map(|&id| detokenizer.push(id)));
    if let Some(last) = pieces.last_mut() {
        last.push_str(&detokenizer.finish());
    }
    pieces
}

/// The ids between those that `tokenize` puts around a text.
fn without_frame<'a>(tokenizer: &Tokenizer, ids: &'a [u32]) -> &'a [u32] {
    let (before, after) = tokenizer.frame();
    let ids = ids.strip_prefix(before).unwrap_or(ids);
    ids.strip_suffix(after).unwrap_or(ids)
}

fn parse_ids(text: &str) -> Result<Vec<u32>> {
    if text.trim_start().starts_with(['{', '[']) {
        let ids: Ids = serde_json::from_str(text)
            .map_err(|_| Usage("expected a JSON list of token ids, or an object with the key ids".into()))?;
        return Ok(match ids {
            Ids::List(ids) | Ids::Tokenized { ids } => ids,
        });
    }
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let ids = words.map(|word| {
        word.parse().map_err(|_| Usage(format!("'{word}' is no token id, expected a whole number from 0 on")))
    });
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The text of a file, or of stdin without one and for `-`.
fn read(file: Option<&Path>) -> Result<String> {
    let (name, reader): (String, Box<dyn Read>) = match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => {
            let name = file.display().to_string();
            let opened = File::open(file).with_context(|| format!("reading {name}"))?;
            (name, Box::new(opened))
        }
        None => ("stdin".into(), Box::new(std::io::stdin())),
    };
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(|| format!("reading {name}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{name}: found more than {MAX_BYTES} bytes, expected less; split the text");
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{name}: found bytes that are no UTF-8 at position {at}, expected text in UTF-8")
    })
}
