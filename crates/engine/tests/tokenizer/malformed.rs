//! Broken files: every one an error that says where and what, none a panic.

use std::path::Path;

use proptest::prelude::*;
use resident_engine::tokenizer::{GgufVocabulary, Tokenizer};
use serde_json::{Value, json};

/// The 256 characters of GPT-2's byte alphabet.
fn byte_alphabet() -> Vec<String> {
    let visible = |code: &u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let codes = (0..=255).filter(visible).chain(0x100..0x144);
    codes.map(|code| char::from_u32(code).unwrap().to_string()).collect()
}

fn tokenizer_json() -> Value {
    let mut tokens = byte_alphabet();
    tokens.push("he".into());
    let vocab: serde_json::Map<String, Value> =
        tokens.into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{
            "id": 257, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{L}+"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [257], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [["h", "e"]],
        },
    })
}

fn load(files: &[(&str, &[u8])]) -> Result<Tokenizer, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    Tokenizer::from_folder(folder.path()).map_err(|error| error.to_string())
}

fn load_json(json: &Value) -> Result<Tokenizer, String> {
    load(&[("tokenizer.json", json.to_string().as_bytes())])
}

/// The file with one value replaced must be refused, with an error that names the file and contains `words`.
fn refused(pointer: &str, value: Value, words: &[&str]) {
    let mut json = tokenizer_json();
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    let error = load_json(&json).expect_err(pointer);
    for word in [&["tokenizer.json"], words].concat() {
        assert!(error.contains(word), "{pointer}: {error:?} does not say {word:?}");
    }
}

#[test]
fn the_sound_file_loads() {
    let tokenizer = load_json(&tokenizer_json()).unwrap();
    let ids = tokenizer.encode("hé<s>", true).unwrap();
    assert_eq!(ids[..2], [257, 71]);
    assert_eq!(tokenizer.decode(&ids, true), "hé");
    assert_eq!(tokenizer.encode_plain("<s>", false).unwrap().len(), 3);
}

#[test]
fn tokenizer_json_with_a_wrong_value() {
    refused("/model", json!(3), &["model:", "expected a JSON object"]);
    refused("/model/type", json!("WordLevel"), &["model.type", "WordLevel", "BPE"]);
    refused("/model/type", json!("Unigram"), &["model.vocab", "a list of pieces"]);
    refused("/model/type", json!("WordPiece"), &["found unk_token Some(\"[UNK]\")"]);
    refused("/model/vocab", json!([["a", 0.0]]), &["model.vocab"]);
    refused("/model/vocab/he", json!(-1), &["model.vocab"]);
    refused("/model/vocab/he", json!(4_000_000_000u32), &["4000000000", "ids below"]);
    refused("/model/vocab/he", json!(3), &["id 3", "one token for each id"]);
    refused("/model/vocab", json!({"h": 0, "e": 1, "he": 2}), &["model.vocab", "a token for every byte"]);
    refused("/model/merges", json!([["h", "xyz"]]), &["model", "xyz"]);
    refused("/model/merges", json!([["h", "o"]]), &["model", "ho"]);
    refused("/model/merges", json!(["h e e"]), &["model.merges[0]", "h e e"]);
    refused("/model/merges", json!([1]), &["model.merges"]);
    refused("/model/merges", Value::Null, &["model.merges", "nothing"]);
    refused("/model/dropout", json!(0.1), &["model.dropout", "0.1"]);
    refused("/model/continuing_subword_prefix", json!("##"), &["model.continuing_subword_prefix", "##"]);
    refused("/model/end_of_word_suffix", json!("</w>"), &["model.end_of_word_suffix", "</w>"]);
    refused("/model/byte_fallback", json!("yes"), &["model.byte_fallback", "true or false"]);
    refused("/added_tokens", json!({}), &["added_tokens"]);
    refused("/added_tokens/0/id", json!(300), &["<s>", "300", "257"]);
    refused("/added_tokens/0/id", json!(u32::MAX), &["<s>", "ids below"]);
    refused("/added_tokens/0/content", json!(""), &["added token", "with text"]);
    refused("/normalizer", json!({"type": "Precompiled"}), &["normalizer.precompiled_charsmap"]);
    refused(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        &["charsmap", "fewer"],
    );
    refused("/normalizer", json!({"type": "Other"}), &["normalizer", "Other", "NFC"]);
    refused("/pre_tokenizer/pretokenizers/0/type", json!("FixedLength"), &["pre_tokenizer", "FixedLength"]);
    refused("/pre_tokenizer/pretokenizers/0/pattern/Regex", json!("(["), &["pre_tokenizer"]);
    refused("/pre_tokenizer", json!([]), &["pre_tokenizer"]);
    refused("/decoder", Value::Null, &["decoder"]);
    refused("/decoder/type", json!("CTC"), &["decoder", "CTC"]);
    refused("/decoder", json!({"type": "Fuse"}), &["decoder", "▁"]);
    refused("/post_processor/type", json!("BertProcessing"), &["post_processor", "missing field"]);
    refused(
        "/post_processor",
        json!({"type": "RobertaProcessing", "cls": ["a", 1], "sep": ["b", 999]}),
        &["999"],
    );
    refused("/post_processor/type", json!("Other"), &["post_processor", "Other"]);
    refused("/post_processor/special_tokens", json!({}), &["post_processor", "<s>"]);
    refused("/post_processor/special_tokens/<s>/ids", json!([400]), &["post_processor", "400"]);
    refused("/post_processor/single", json!([{"Other": {}}]), &["post_processor"]);
}

#[test]
fn tokenizer_json_without_tokens_for_unknown_characters() {
    let mut json = tokenizer_json();
    json["decoder"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    vocab.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), json!(257 + byte))));
    json["added_tokens"] = json!([]);
    json["post_processor"] = json!(null);
    for (unk_token, byte_fallback, sound) in [
        (json!(null), false, false),
        (json!("<none>"), false, false),
        (json!("h"), false, true),
        (json!(null), true, true),
    ] {
        json["model"]["unk_token"] = unk_token;
        json["model"]["byte_fallback"] = byte_fallback.into();
        assert_eq!(load_json(&json).is_ok(), sound, "{}", json["model"]["unk_token"]);
    }
}

#[test]
fn files_that_are_no_json() {
    let text = tokenizer_json().to_string();
    for (bytes, word) in [
        (&text.as_bytes()[..text.len() / 2], "EOF"),
        (b"", "EOF"),
        (b"[]", "expected a JSON object"),
        (b"\xff\xfe{}", "UTF-8"),
    ] {
        let error = load(&[("tokenizer.json", bytes)]).unwrap_err();
        assert!(error.contains("tokenizer.json") && error.contains(word), "{error}");
    }
}

#[test]
fn folders_without_a_tokenizer() {
    let error = Tokenizer::from_folder(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("/nowhere") && error.contains("tokenizer.json"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tokenizer.json")).unwrap();
    let error = Tokenizer::from_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn tokenizer_config() {
    let json = tokenizer_json().to_string();
    let with = |config: &str| {
        load(&[("tokenizer.json", json.as_bytes()), ("tokenizer_config.json", config.as_bytes())])
    };
    let ids = |config: &str| with(config).unwrap().encode("h", true).unwrap();
    assert_eq!(ids("{}"), [257, 71]);
    assert_eq!(ids(r#"{"add_bos_token": false, "bos_token": "<s>"}"#), [71]);
    assert_eq!(ids(r#"{"add_bos_token": true, "bos_token": {"content": "<s>"}}"#), [257, 71]);
    assert_eq!(ids(r#"{"add_eos_token": true, "eos_token": "<s>"}"#), [257, 71, 257]);
    assert_eq!(with(r#"{"bos_token": null, "eos_token": "<s>"}"#).unwrap().eos_id(), Some(257));
    for (config, word) in [
        (r#"{"add_bos_token": "yes"}"#, "add_bos_token: found invalid type"),
        (r#"{"add_eos_token": true}"#, "add_eos_token: found true"),
        (r#"{"bos_token": 3}"#, "bos_token"),
        (r#"{"#, "EOF"),
    ] {
        let error = with(config).unwrap_err();
        assert!(error.contains("tokenizer_config.json") && error.contains(word), "{error}");
    }
}

fn gguf(model: &str) -> GgufVocabulary {
    let mut vocabulary = GgufVocabulary { model: model.into(), ..Default::default() };
    if model == "gpt2" {
        vocabulary.tokens = byte_alphabet();
        vocabulary.tokens.extend(["he".into(), "<s>".into()]);
        vocabulary.merges = vec!["h e".into()];
        vocabulary.pre = Some("llama-bpe".into());
        vocabulary.token_types = [vec![1; 257], vec![3]].concat();
        vocabulary.bos = Some(257);
    } else {
        vocabulary.tokens = ["<unk>", "<s>", "▁", "h", "e", "he", "▁he"].map(String::from).into();
        vocabulary.tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        vocabulary.scores = (0..263).map(|id| -(id as f32)).collect();
        vocabulary.token_types = [vec![2, 3], vec![1; 5], vec![6; 256]].concat();
        vocabulary.bos = Some(1);
    }
    vocabulary
}

fn refused_gguf(model: &str, change: impl Fn(&mut GgufVocabulary), words: &[&str]) {
    let mut vocabulary = gguf(model);
    change(&mut vocabulary);
    let error = Tokenizer::from_gguf(vocabulary).unwrap_err().to_string();
    for word in [&["GGUF"], words].concat() {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

#[test]
fn gguf_that_is_sound() {
    let byte_level = Tokenizer::from_gguf(gguf("gpt2")).unwrap();
    assert_eq!(byte_level.encode("he<s>", true).unwrap(), [257, 256, 257]);
    let sentencepiece = Tokenizer::from_gguf(gguf("llama")).unwrap();
    assert_eq!(sentencepiece.encode("he<s>x", true).unwrap(), [1, 6, 1, 2, 127]);
    // Without types the named tokens and those that look like bytes are known.
    let bare = GgufVocabulary { token_types: Vec::new(), unk: Some(0), ..gguf("llama") };
    let bare = Tokenizer::from_gguf(bare).unwrap();
    assert_eq!(bare.encode("he<s>x", true).unwrap(), [1, 6, 1, 2, 127]);
}

#[test]
fn gguf_tokens_that_are_no_pieces() {
    let mut vocabulary = GgufVocabulary { add_space_prefix: Some(false), ..gguf("llama") };
    vocabulary.tokens.extend(["<x>", "▁▁▁", "<pad>"].map(String::from));
    vocabulary.scores.extend([0.0; 3]);
    vocabulary.token_types.extend([4, 4, 5]);
    let sentencepiece = Tokenizer::from_gguf(vocabulary).unwrap();
    let ids = sentencepiece.encode_plain("he<x>he   he", false).unwrap();
    assert_eq!(ids, [5, 263, 5, 264, 5]);
    assert_eq!(sentencepiece.decode(&ids, true), "he<x>he   he");
    assert_eq!(sentencepiece.token_bytes(265), Some(&b""[..]));

    let mut vocabulary = gguf("gpt2");
    vocabulary.tokens.extend(["<think>", "[PAD]"].map(String::from));
    vocabulary.token_types.extend([4, 5]);
    let byte_level = Tokenizer::from_gguf(vocabulary).unwrap();
    let ids = byte_level.encode("he<think><s>", false).unwrap();
    assert_eq!(ids, [256, 258, 257]);
    assert_eq!(byte_level.decode(&ids, true), "he<think>");
    assert_eq!(byte_level.encode_plain("he<think>", false).unwrap(), [256, 258]);
    assert_eq!((byte_level.token_bytes(259), byte_level.vocab_size()), (Some(&b""[..]), 260));
    assert_eq!(byte_level.token_id("<think>"), Some(258));
}

/// CVE-2025-49847: an entry longer than anybody has room for.
#[test]
fn gguf_tokens_of_megabytes() {
    for model in ["gpt2", "llama"] {
        let mut vocabulary = gguf(model);
        let long = "h".repeat(4 << 20);
        let id = vocabulary.tokens.len() as u32;
        vocabulary.tokens.push(long.clone());
        if model == "llama" {
            vocabulary.scores.push(0.0);
        }
        vocabulary.token_types.push(1);
        let tokenizer = Tokenizer::from_gguf(vocabulary).unwrap();
        assert_eq!(tokenizer.decode(&[id], false).trim_start(), long);
        let mut detokenizer = tokenizer.detokenizer(false);
        let streamed = detokenizer.push(id) + &detokenizer.finish();
        assert_eq!(streamed.trim_start(), long);
        let ids = tokenizer.encode_plain("he", false).unwrap();
        assert_eq!(tokenizer.decode(&ids, false), "he");
    }
}

#[test]
fn gguf_flags() {
    let ids = |vocabulary| Tokenizer::from_gguf(vocabulary).unwrap().encode("he", true).unwrap();
    assert_eq!(ids(GgufVocabulary { add_bos: Some(false), ..gguf("gpt2") }), [256]);
    assert_eq!(ids(GgufVocabulary { pre: Some("gpt-2".into()), ..gguf("gpt2") }), [256]);
    assert_eq!(ids(GgufVocabulary { eos: Some(257), add_eos: Some(true), ..gguf("gpt2") }), [257, 256, 257]);
    assert_eq!(ids(GgufVocabulary { add_space_prefix: Some(false), ..gguf("llama") }), [1, 5]);
}

#[test]
fn gguf_with_a_wrong_value() {
    for model in ["gpt2", "llama"] {
        refused_gguf(model, |v| v.model = "rwkv".into(), &["tokenizer.ggml.model", "rwkv", "gpt2, llama"]);
        refused_gguf(model, |v| v.tokens.clear(), &["tokenizer.ggml.tokens"]);
        refused_gguf(model, |v| v.token_types.truncate(200), &["tokenizer.ggml.token_type"]);
        refused_gguf(model, |v| v.token_types[3] = 77, &["tokenizer.ggml.token_type[3]", "77"]);
        refused_gguf(model, |v| v.bos = Some(9999), &["tokenizer.ggml.bos_token_id", "9999"]);
        refused_gguf(model, |v| v.pad = Some(u32::MAX), &["tokenizer.ggml.padding_token_id"]);
        refused_gguf(model, |v| v.add_eos = Some(true), &["tokenizer.ggml.add_eos_token"]);
        refused_gguf(model, |v| v.tokens[5] = v.tokens[4].clone(), &["tokens[5]", "token 4 too"]);
    }
    refused_gguf("gpt2", |v| v.pre = None, &["tokenizer.ggml.pre", "nothing", "qwen2"]);
    refused_gguf("gpt2", |v| v.pre = Some("what".into()), &["tokenizer.ggml.pre", "\"what\""]);
    refused_gguf("gpt2", |v| v.merges.clear(), &["tokenizer.ggml.merges"]);
    refused_gguf("gpt2", |v| v.merges.push("he".into()), &["tokenizer.ggml.merges[1]"]);
    refused_gguf("gpt2", |v| v.merges.push("he llo".into()), &["tokenizer.ggml.merges", "llo"]);
    refused_gguf("gpt2", |v| v.tokens[0] = "?!".into(), &["tokenizer.ggml.tokens", "every byte"]);
    refused_gguf("llama", |v| v.scores.truncate(9), &["tokenizer.ggml.scores", "9 entries", "263"]);
    refused_gguf("llama", |v| v.scores[4] = f32::NAN, &["tokens[4]", "NaN"]);
    refused_gguf("llama", |v| v.tokens[9] = "<0xZZ>".into(), &["tokens[9]", "<0xZZ>"]);
    refused_gguf("llama", |v| v.token_types[9] = 1, &["255 byte tokens"]);
    refused_gguf("llama", |v| v.token_types.fill(1), &["unknown"]);
}

/// A minimal `tokenizer.model`, written by hand: pieces, trainer_spec with BPE, normalizer_spec without a
/// table.
fn sentencepiece_model(trainer_spec: &[u8], normalizer_spec: &[u8]) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let piece = |text: &str, score: f32, kind: u8| {
        let text = field(0x0a, text.as_bytes());
        field(0x0a, &[&text, &[0x15][..], &score.to_le_bytes(), &[0x18, kind]].concat())
    };
    [
        piece("<unk>", 0.0, 2),
        piece("<s>", 0.0, 3),
        piece("▁he", -1.0, 1),
        piece("he", -2.0, 1),
        piece("h", -3.0, 1),
        field(0x12, trainer_spec),
        field(0x1a, normalizer_spec),
    ]
    .concat()
}

const BPE: &[u8] = &[0x18, 2];
const KEEP_SPACES: &[u8] = &[0x20, 0];

#[test]
fn tokenizer_model_that_is_sound() {
    let model = sentencepiece_model(BPE, KEEP_SPACES);
    let tokenizer = load(&[("tokenizer.model", &model)]).unwrap();
    assert_eq!(tokenizer.encode("he he", true).unwrap(), [1, 2, 2]);
    assert_eq!(tokenizer.encode("zzh", false).unwrap(), [0, 4]);
    assert_eq!((tokenizer.bos_id(), tokenizer.unk_id(), tokenizer.vocab_size()), (Some(1), Some(0), 5));
    let config = br#"{"add_bos_token": false, "legacy": false, "added_tokens_decoder":
        {"5": {"content": "<x>", "special": true, "lstrip": false, "rstrip": false, "single_word": false, "normalized": false}}}"#;
    let tokenizer = load(&[("tokenizer.model", &model), ("tokenizer_config.json", config)]).unwrap();
    assert_eq!(tokenizer.encode("he<x>he", true).unwrap(), [2, 5, 3]);
}

#[test]
fn tokenizer_model_with_a_wrong_value() {
    for (trainer_spec, normalizer_spec, words) in [
        (&[0x18, 4][..], KEEP_SPACES, ["trainer_spec.model_type", "CHAR"]),
        (&[0x18, 3], KEEP_SPACES, ["trainer_spec.model_type", "WORD"]),
        (&[0x18, 2, 0xc0, 0x01, 1], KEEP_SPACES, ["trainer_spec.treat_whitespace_as_suffix", "true"]),
        (BPE, &[0x12, 1, 7], ["normalizer_spec.precompiled_charsmap", "less than 4 bytes"]),
        (BPE, &[0x28, 0], ["normalizer_spec.escape_whitespaces", "false"]),
        (BPE, &[0x12, 100], ["normalizer_spec", "100 are needed"]),
        (BPE, &[0x07], ["normalizer_spec", "wire type 7"]),
        (BPE, &[0xff; 12], ["normalizer_spec", "more than ten bytes"]),
    ] {
        let model = sentencepiece_model(trainer_spec, normalizer_spec);
        let error = load(&[("tokenizer.model", &model)]).unwrap_err();
        for word in words.into_iter().chain(["tokenizer.model"]) {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }
    let error = load(&[("tokenizer.model", b"")]).unwrap_err();
    assert!(error.contains("pieces: found none"), "{error}");
}

#[test]
fn a_text_beyond_the_regex_engine_is_refused() {
    let tokenizer = Tokenizer::from_gguf(gguf("gpt2")).unwrap();
    for stretch in [" ", "\n", "h", "!", "é"] {
        let text = format!("he{}he he", stretch.repeat(1_100_000));
        let error = tokenizer.encode(&text, false).unwrap_err().to_string();
        assert!(error.contains("without a place to cut"), "{error}");
    }
    assert_eq!(tokenizer.encode(&"he ".repeat(1_000_000), false).unwrap().len(), 2_000_000);
}

/// Loads and, where that works, uses a damaged file.
fn survives(name: &str, bytes: &[u8]) {
    if let Ok(tokenizer) = load(&[(name, bytes)]) {
        let ids = tokenizer.encode("he <s> é 🙂\n", true).unwrap_or_default();
        tokenizer.decode(&ids, false);
    }
}

#[test]
fn every_truncation_of_tokenizer_model() {
    let model = sentencepiece_model(BPE, KEEP_SPACES);
    (0..model.len()).for_each(|length| survives("tokenizer.model", &model[..length]));
}

proptest! {
    #[test]
    fn damaged_tokenizer_model(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut model = sentencepiece_model(BPE, KEEP_SPACES);
        for (index, byte) in changes {
            *index.get_mut(&mut model) = byte;
        }
        survives("tokenizer.model", &model);
    }

    #[test]
    fn damaged_tokenizer_json(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[\"{},:a0\\[\\]]"), 1..3),
    ) {
        let mut text = tokenizer_json().to_string().into_bytes();
        for (index, character) in changes {
            *index.get_mut(&mut text) = character.as_bytes()[0];
        }
        survives("tokenizer.json", &text);
    }

    /// A value anywhere in the file replaced by one of another type.
    #[test]
    fn tokenizer_json_with_exchanged_values(place in any::<prop::sample::Index>(), kind in 0..7usize) {
        let mut json = tokenizer_json();
        let mut pointers = Vec::new();
        collect_pointers(&json, String::new(), &mut pointers);
        let values = [json!(null), json!(-1), json!(1e300), json!(""), json!([]), json!({}), json!("é")];
        *json.pointer_mut(place.get(&pointers[..]).as_str()).unwrap() = values[kind].clone();
        survives("tokenizer.json", json.to_string().as_bytes());
    }
}

/// Pointers to all values but the single tokens of the vocabulary.
fn collect_pointers(value: &Value, path: String, pointers: &mut Vec<String>) {
    if path != "/model/vocab" {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    collect_pointers(value, format!("{path}/{}", key.replace('/', "~1")), pointers);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    collect_pointers(value, format!("{path}/{index}"), pointers);
                }
            }
            _ => {}
        }
    }
    pointers.push(path);
}
