//! Ids that other implementations gave, every one equal.

use std::path::Path;

use resident_engine::tokenizer::Tokenizer;
use serde_json::Value;

use crate::{data, from_folder, from_gguf, from_model_file};

struct Case {
    text: String,
    ids: Vec<u32>,
}

fn cases(value: &Value) -> Vec<Case> {
    let case = |case: &Value| Case {
        text: case["text"].as_str().unwrap().to_owned(),
        ids: case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect(),
    };
    value.as_array().unwrap().iter().map(case).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All the cases that differ, so that a failure shows what they have in common.
fn check(name: &str, encode: impl Fn(&str) -> Vec<u32>, cases: &[Case]) {
    let mut differing = 0;
    for case in cases {
        let ids = encode(&case.text);
        if ids != case.ids {
            differing += 1;
            println!("{name}: {:?}\n  found    {ids:?}\n  expected {:?}", case.text, case.ids);
        }
    }
    assert_eq!(differing, 0, "{name}: of {} cases", cases.len());
    println!("{name}: {} cases equal", cases.len());
}

fn parsed(tokenizer: Tokenizer) -> impl Fn(&str) -> Vec<u32> {
    move |text| tokenizer.encode(text, false).unwrap()
}

/// The SentencePiece library knows no special tokens in a text.
fn plain(tokenizer: Tokenizer) -> impl Fn(&str) -> Vec<u32> {
    move |text| tokenizer.encode_plain(text, false).unwrap()
}

fn with_bos(tokenizer: Tokenizer) -> impl Fn(&str) -> Vec<u32> {
    move |text| tokenizer.encode(text, true).unwrap()
}

#[test]
fn qwen3_cases() {
    let Some(folder) = data("tokenizers") else { return };
    let cases = cases(&json(&folder.join("cases/qwen3.json")));
    check("tokenizer.json", parsed(from_folder(&folder.join("qwen3"))), &cases);
    let gguf = from_gguf(&folder.join("llama.cpp-vocabs/ggml-vocab-qwen2.gguf.gz"));
    check("GGUF", parsed(gguf), &cases);
}

#[test]
fn llama3_cases() {
    let Some(folder) = data("tokenizers") else { return };
    let gguf = from_gguf(&folder.join("llama.cpp-vocabs/ggml-vocab-llama-bpe.gguf.gz"));
    check("GGUF", parsed(gguf), &cases(&json(&folder.join("cases/llama3.json"))));
}

#[test]
fn llama2_cases() {
    let Some(folder) = data("tokenizers") else { return };
    let cases = cases(&json(&folder.join("cases/llama2-spm.json")));
    let model = from_model_file(&folder.join("llama2-sentencepiece"));
    let gguf = from_gguf(&folder.join("llama.cpp-vocabs/ggml-vocab-llama-spm.gguf"));
    check("tokenizer.model", plain(model), &cases);
    check("GGUF", plain(gguf), &cases);
}

/// llama.cpp's own pairs of input and output files.
#[test]
fn llama_cpp_cases() {
    let Some(folder) = data("tokenizers/llama.cpp-vocabs") else { return };
    for name in ["gpt-2.gguf", "llama-bpe.gguf.gz", "llama-spm.gguf", "qwen2.gguf.gz"] {
        let path = folder.join(format!("ggml-vocab-{name}"));
        let pairs = folder.join(format!("ggml-vocab-{}", name.trim_end_matches(".gz")));
        let read =
            |extension: &str| std::fs::read_to_string(format!("{}.{extension}", pairs.display())).unwrap();
        let (texts, ids) = (read("inp"), read("out"));
        let separator = "\n__ggml_vocab_test__\n";
        let texts: Vec<&str> = texts.split_terminator(separator).collect();
        let ids: Vec<&str> = ids.lines().collect();
        assert_eq!(texts.len(), ids.len(), "{name}");
        let case = |(text, ids): (&&str, &&str)| Case {
            text: (*text).to_owned(),
            ids: ids.split_whitespace().map(|id| id.parse().unwrap()).collect(),
        };
        let cases: Vec<Case> = texts.iter().zip(&ids).map(case).collect();
        check(name, parsed(from_gguf(&path)), &cases);
    }
}

#[test]
fn stories_cases() {
    let Some(folder) = data("stories260K") else { return };
    let cases = cases(&json(&folder.join("tokenizer_cases.json"))["cases"]);
    check("tokenizer.json", with_bos(from_folder(&folder.join("hf"))), &cases);
    check("tokenizer.model", with_bos(from_model_file(&folder.join("hf"))), &cases);
    for name in ["F32", "F16", "Q8_0", "Q4_0"] {
        let path = folder.join(format!("gguf/stories260K-{name}.gguf"));
        check(name, with_bos(from_gguf(&path)), &cases);
    }
}

/// Small vocabularies of the kinds that the shared data lacks; fixtures/make.py trained them.
#[test]
fn small_vocabularies() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tokenizer/fixtures"));
    let truths = json(&folder.join("cases.json"));
    for (name, pairs) in truths.as_object().unwrap() {
        let case = |pair: &Value| Case {
            text: pair[0].as_str().unwrap().to_owned(),
            ids: pair[1].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect(),
        };
        let cases: Vec<Case> = pairs.as_array().unwrap().iter().map(case).collect();
        let tokenizer = Tokenizer::from_file(&folder.join(name)).unwrap();
        // The SentencePiece library adds no special tokens by itself.
        let framed = name.ends_with(".json");
        check(name, |text| tokenizer.encode_as_published(text, framed).unwrap(), &cases);
    }
}
