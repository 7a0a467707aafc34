//! `resident tokenize` and `resident detokenize` from outside.

mod common;

use common::{data, resident};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

const TEXT: &str = "Once upon a time 🙂, naïve café!\n  two  spaces";

fn json(arguments: &[&str]) -> Value {
    resident(arguments).run().expect(0).json()
}

fn joined(pieces: &Value) -> String {
    pieces.as_array().unwrap().iter().map(|piece| piece.as_str().unwrap()).collect()
}

#[test]
fn pieces_join_to_the_text_and_ids_go_back() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("text");
    fs::write(&file, TEXT).unwrap();
    let file = file.to_str().unwrap();
    let models = [
        "stories260K/hf",
        "stories260K/hf/tokenizer.json",
        "stories260K/hf/tokenizer.model",
        "stories260K/gguf/stories260K-Q8_0.gguf",
        "tokenizers/llama.cpp-vocabs/ggml-vocab-gpt-2.gguf",
        "tokenizers/qwen3/tokenizer.json",
    ];
    for model in models {
        let Some(path) = data(model) else { return };
        let model = path.to_str().unwrap();
        let tokens = json(&["tokenize", "-m", model, TEXT, "--no-bos", "--json", "--special", "plain"]);
        assert_eq!(joined(&tokens["pieces"]), TEXT, "{model}");
        assert_eq!(tokens["ids"].as_array().unwrap().len(), tokens["pieces"].as_array().unwrap().len());
        let line = resident(["tokenize", "-m", model, "--file", file]).run().expect(0).text().to_owned();
        let ids = folder.path().join("ids");
        fs::write(&ids, &line).unwrap();
        let back = resident(["detokenize", "-m", model, "--file"]).argument(&ids).run().expect(0);
        assert_eq!(back.text(), TEXT, "{model}");
        fs::write(&ids, tokens.to_string()).unwrap();
        let back = resident(["detokenize", "-m", model, "--json", "--file"]).argument(&ids).run().expect(0);
        assert_eq!(back.json::<Value>()["text"], TEXT, "{model}");
    }
}

#[test]
fn special_tokens_are_read_as_the_formats_own_library_does() {
    let Some(json_file) = data("stories260K/hf/tokenizer.json") else { return };
    let Some(model_file) = data("stories260K/hf/tokenizer.model") else { return };
    let ids = |path: &std::path::Path, special: &str| {
        let tokens = json(&[
            "tokenize",
            "-m",
            path.to_str().unwrap(),
            "<s>",
            "--no-bos",
            "--json",
            "--special",
            special,
        ]);
        tokens["ids"].as_array().unwrap().len()
    };
    for special in ["parse", "plain"] {
        assert_eq!(ids(&json_file, special) == 1, special == "parse");
        assert_eq!(ids(&model_file, special) == 1, special == "parse");
    }
    assert_eq!((ids(&json_file, "auto") == 1, ids(&model_file, "auto") == 1), (true, false));
}

#[test]
fn without_a_model_it_is_the_embedded_ones() {
    let ids = resident(["tokenize", "Once upon a time"]).run().expect(0).text().to_owned();
    let arguments = [&["detokenize"], &ids.split_whitespace().collect::<Vec<_>>()[..]].concat();
    assert_eq!(resident(arguments).run().expect(0).text(), "Once upon a time");
}

#[test]
fn bad_input_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    let path = file.to_str().unwrap();
    for (bytes, arguments, code, says) in [
        (&b"\xff\xfe"[..], &["tokenize", "--file", path][..], 1, "no UTF-8 at position 0"),
        (b"1 x", &["detokenize", "--file", path], 2, "'x' is no token id"),
        (b"{\"ids\": [1, -2]}", &["detokenize", "--file", path], 2, "expected a JSON list"),
        (b"not json", &["tokenize", "-m", path, "x"], 1, "expected a SentencePiece model"),
        (b"{\"model\": 3}", &["tokenize", "-m", path, "x"], 1, "model: "),
        (b"GGUF", &["tokenize", "-m", path, "x"], 1, "damaged"),
        (b"", &["tokenize", "-m", path, "x"], 1, "pieces: found none"),
    ] {
        fs::write(&file, bytes).unwrap();
        resident(arguments).fails(code, &[says]);
    }
    resident(["detokenize", "4294967295"]).fails(1, &["id 0 is 4294967295, expected less than"]);
    resident(["detokenize", "-1"]).fails(2, &["'-1' is no token id"]);
    resident(["tokenize", "-m", "/nowhere", "x"]).fails(1, &["/nowhere", "No such file"]);
    resident(["tokenize", "x", "--file", path]).run().expect(2);
}
