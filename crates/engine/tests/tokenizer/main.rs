//! The tokenizer against ids from Hugging Face's tokenizers, SentencePiece and llama.cpp, and against broken
//! files.

mod agreement;
mod malformed;
mod streaming;
mod truths;

use std::io::Read;
use std::path::{Path, PathBuf};

use resident_engine::tokenizer::{GgufVocabulary, Tokenizer};
use resident_models::checkpoint::gguf::Directory;

/// A path of the shared test data. `None`, with the reason printed, where the data is absent.
fn data(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

/// The vocabulary of a GGUF file, gzipped or not.
fn from_gguf(path: &Path) -> Tokenizer {
    let mut bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        bytes = unpacked;
    }
    let directory = Directory::parse(&path.display().to_string(), &bytes).unwrap();
    Tokenizer::from_gguf(GgufVocabulary::from_metadata(directory.metadata(&bytes)).unwrap()).unwrap()
}

fn from_folder(path: &Path) -> Tokenizer {
    Tokenizer::from_folder(path).unwrap()
}

/// A folder with only `tokenizer.model` and its config, so that `tokenizer.json` is not taken instead.
fn from_model_file(path: &Path) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.model", "tokenizer_config.json"] {
        if path.join(name).exists() {
            std::fs::copy(path.join(name), folder.path().join(name)).unwrap();
        }
    }
    Tokenizer::from_folder(folder.path()).unwrap()
}

/// Texts with everything that tokenizers trip over.
const TEXTS: &[&str] = &[
    "",
    " ",
    "   ",
    "Hello, world!",
    " leading and trailing ",
    "two  spaces   three    four",
    "tabs\tand\nnewlines\r\n\r\n\n",
    "I'm sure they'll say WE'RE 'LL we'd",
    "12345 3.14159 1,000,000 ½ ² ①",
    "naïve café e\u{301} Å ﬁ",
    "日本語 中文 한국어 العربية हिन्दी ไทย",
    "🙂 👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "zero\0width\u{200b}joiner\u{feff}",
    "▁ written ▁▁ out",
    "<0x41> <0xE4>",
    "<s> </s> <unk> [INST] hi [/INST]",
    "<|endoftext|><|im_start|>user\nhi<|im_end|>\n<think></think>",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>",
    "fn main() {\n    println!(\"{}\", 1 + 1);\n}\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Once upon a time, there was a little girl named Lily.",
];
