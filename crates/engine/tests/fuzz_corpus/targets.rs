//! What fuzzing and the tests of its corpus do with bytes that nobody vouches for: load, and use what loads. Nothing here
//! says what must come of it; it must come to an end, without a panic and within bounded memory.

use resident_engine::OpenModel;
use resident_engine::chat::{ChatTemplate, ChatTemplates, Conversation, Value};
use resident_engine::tokenizer::{GgufVocabulary, Tokenizer};
use resident_kernels::rope_kv::KvType;
use resident_kernels::weights::WeightLayout;
use resident_kernels::{DeviceTraits, Dispatch, Slice};
use resident_models::checkpoint::Checkpoint;
use resident_models::checkpoint::gguf::{Directory, Value as GgufValue};
use resident_models::{Executor, Model, Quantisation, RowFiller, Shape, SinkError, WeightSink, max_context};
use std::fs;
use std::path::Path;

/// Stands between the files of a target that takes several.
const SEPARATOR: &[u8] = b"\n=====\n";
/// As many files as a target takes at most.
const MAX_FILES: usize = 5;
/// The one tensor beside a configuration that is read alone: its header and four values.
const EMBEDDING: &str =
    r#"{"model.embed_tokens.weight":{"dtype":"F32","shape":[4,1],"data_offsets":[0,16]}}"#;

/// Texts that tokenizers trip over.
const TEXTS: &[&str] = &["", " he  llo\n", "é e\u{301} 🙂 \u{fb01}", "<s>▁<0x41></s>", "日本語 12345 don't"];

fn tokenize(tokenizer: &Tokenizer) {
    for text in TEXTS {
        for ids in [tokenizer.encode(text, true), tokenizer.encode_plain(text, false)] {
            let ids = ids.unwrap_or_default();
            let mut detokenizer = tokenizer.detokenizer(false);
            let streamed: String = ids.iter().map(|&id| detokenizer.push(id)).collect();
            assert_eq!(streamed + &detokenizer.finish(), tokenizer.decode(&ids, false));
        }
    }
    tokenizer.decode(&[0, 1, u32::MAX], true);
}

/// A `tokenizer.json` or a `tokenizer.model`.
pub(crate) fn tokenizer_file(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_bytes("fuzz", bytes) {
        tokenize(&tokenizer);
    }
}

/// A GGUF file, read for its vocabulary.
pub(crate) fn gguf_vocabulary(bytes: &[u8]) {
    if let Ok(directory) = Directory::parse("fuzz", bytes)
        && let Ok(vocabulary) = GgufVocabulary::from_metadata(directory.metadata(bytes))
        && let Ok(tokenizer) = Tokenizer::from_gguf(vocabulary)
    {
        tokenize(&tokenizer);
    }
}

/// A GGUF model, all of it; parts of a split one stand between separators.
pub(crate) fn gguf_model(bytes: &[u8]) {
    let files = files(bytes);
    let name = |index: usize| match files.len() {
        1 => "m.gguf".to_owned(),
        count => format!("m-{:05}-of-{count:05}.gguf", index + 1),
    };
    let named: Vec<_> = files.iter().enumerate().map(|(index, bytes)| (name(index), *bytes)).collect();
    let folder = folder(&named);
    use_model(&folder.path().join(&named[0].0));
}

/// The folder of a Hugging Face model: its configuration, the index, then the shards; no index for a single file.
pub(crate) fn safetensors_folder(bytes: &[u8]) {
    let mut files = files(bytes);
    files.resize(files.len().max(3), b"");
    let shards = files.len() - 2;
    let mut named = vec![("config.json".to_owned(), files[0])];
    if files[1].is_empty() {
        named.push(("model.safetensors".to_owned(), files[2]));
    } else {
        named.push(("model.safetensors.index.json".to_owned(), files[1]));
        let shard = |index| format!("model-{:05}-of-{shards:05}.safetensors", index + 1);
        named.extend(files[2..].iter().enumerate().map(|(index, bytes)| (shard(index), *bytes)));
    }
    use_model(folder(&named).path());
}

/// A `config.json`, and behind a separator a `generation_config.json`.
pub(crate) fn config(bytes: &[u8]) {
    let files = files(bytes);
    let weights = [&(EMBEDDING.len() as u64).to_le_bytes()[..], EMBEDDING.as_bytes(), &[0; 16]].concat();
    let mut named =
        vec![("config.json".to_owned(), files[0]), ("model.safetensors".to_owned(), &weights[..])];
    named.extend(files.get(1).map(|bytes| ("generation_config.json".to_owned(), *bytes)));
    use_model(folder(&named).path());
}

/// What of a folder makes text: `tokenizer.json` or `tokenizer.model`, `tokenizer_config.json`, `chat_template.json`.
pub(crate) fn tokenizer_folder(bytes: &[u8]) {
    let files = files(bytes);
    let is_json = files[0].trim_ascii_start().starts_with(b"{");
    let tokenizer = if is_json { "tokenizer.json" } else { "tokenizer.model" };
    let names = [tokenizer, "tokenizer_config.json", "chat_template.json"];
    let named: Vec<_> = names.iter().zip(files).map(|(name, bytes)| ((*name).to_owned(), bytes)).collect();
    let folder = folder(&named);
    if let Ok(tokenizer) = Tokenizer::from_folder(folder.path()) {
        tokenize(&tokenizer);
    }
    if let Ok(templates) = ChatTemplates::of_folder(folder.path()) {
        let _ = templates.compile(None, true);
    }
}

fn files(bytes: &[u8]) -> Vec<&[u8]> {
    let mut files = Vec::new();
    let mut rest = bytes;
    while files.len() + 1 < MAX_FILES
        && let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)
    {
        files.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    files.push(rest);
    files
}

fn folder(files: &[(String, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a place for files");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("room for files");
    }
    folder
}

/// Where loaded weights go.
struct Nowhere;

impl WeightSink for Nowhere {
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
        assert!(bytes.len() as u64 <= slice.bytes);
        Ok(())
    }

    fn fill(&mut self, _: Slice, layout: WeightLayout, fill: RowFiller<'_>) -> Result<(), SinkError> {
        let mut values = vec![0; layout.row_bytes() as usize];
        let mut scales = vec![0; layout.row_scale_bytes() as usize];
        (0..layout.rows).try_for_each(|row| fill(row, &mut values, &mut scales))
    }

    fn write_table(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), SinkError> {
        self.write(slice, bytes)
    }

    fn run(&mut self, _: &Dispatch) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Everything that the program does with a model's files short of running it.
fn use_model(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    for (_, value) in checkpoint.gguf_metadata().iter().flat_map(|metadata| metadata.iter()) {
        match value {
            GgufValue::Array(array) => assert_eq!(array.iter().count(), array.len),
            scalar => assert!(!scalar.to_string().is_empty()),
        }
    }
    for tensor in checkpoint.tensors() {
        assert_eq!(tensor.dtype.tensor_bytes(tensor.shape), Ok(tensor.data.len() as u64));
    }
    let shape = |longest: u32| Shape {
        context: longest.min(40),
        max_sequences: 1,
        prefill_rows: vec![8],
        score_rows: Some(8),
        pooling: None,
        kv_type: KvType::F16,
        executors: vec![Executor::Barriers, Executor::Handover],
        max_buffer_bytes: 1 << 32,
        device: DeviceTraits::LEAST,
    };
    for weights in [None, Some(Quantisation::Q8_0)] {
        let model =
            max_context(&checkpoint).and_then(|longest| Model::build(&checkpoint, weights, shape(longest)));
        if let Ok(model) = model {
            let _ = model.load(&mut Nowhere, &mut |_| {});
        }
    }
    let Ok(model) = OpenModel::open(path) else { return };
    let _ = (model.eos_ids(), model.pooling(), model.stored_types(), model.notices());
    if let Ok(tokenizer) = model.tokenizer() {
        tokenize(&tokenizer);
    }
    if let Ok(templates) = model.chat_templates() {
        let _ = templates.compile(None, true);
    }
    if let Ok(export) = model.export(Quantisation::Q4KM) {
        let _ = export.write(&mut std::io::sink(), &mut |_, _| {});
    }
}

/// A chat template.
pub(crate) fn chat_template(bytes: &[u8]) {
    let message = |role: &str, content: &str| Value::from_pairs([("role", role), ("content", content)]);
    let messages =
        vec![message("system", "Be brief."), message("user", "é"), message("assistant", "<think>x</think>y")];
    let conversation = Conversation {
        messages,
        tools: Some(Value::from(vec![Value::from_pairs([("type", "function"), ("name", "f")])])),
        add_generation_prompt: true,
        ..Default::default()
    };
    if let Ok(source) = std::str::from_utf8(bytes)
        && let Ok(template) = ChatTemplate::new(source)
    {
        let _ = template.render(&conversation);
    }
}
