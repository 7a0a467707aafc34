//! Damaged, foreign and unfit models and requests: each ends soon, with exit code 1 or 2 and one message that names file and
//! fault; never with a panic, never after taking the memory that a damaged size asks for.

mod common;

use common::gguf_writer::GgufWriter;
use common::{data, resident, tiny_llama, with_u32};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Runs a model that has to be refused: exit code 1, a message that names the model's path and says all of `says`.
#[track_caller]
fn refused(model: &Path, says: &[&str]) {
    let run =
        resident(["run", "--device", "cpu", "--max-tokens", "1", "Once", "-m"]).argument(model).limited();
    let outcome = run.fails(1, says);
    let name = model.file_name().expect("a file name").to_string_lossy();
    assert!(outcome.stderr.contains(&*name), "{name} is not named: {}", outcome.stderr);
    assert_eq!(outcome.text(), "", "text before the error");
}

/// Writes a GGUF file that has to be refused.
#[track_caller]
fn refused_bytes(bytes: &[u8], says: &[&str]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    refused(&path, says);
}

/// A copy of the shared stories260K folder, to be damaged; None without shared data.
fn stories() -> Option<TempDir> {
    let original = data("stories260K/hf")?;
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(original).unwrap() {
        let entry = entry.unwrap();
        // Not fs::copy: the originals may be read-only.
        fs::write(copy.path().join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    Some(copy)
}

#[test]
fn paths_that_hold_no_model() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    refused(&path("missing.gguf"), &["No such file or directory"]);
    refused(&path("missing/model"), &["No such file or directory"]);
    fs::write(path("a.safetensors"), b"").unwrap();
    refused(&path("a.safetensors"), &["no configuration", "give the folder"]);
    fs::create_dir(path("empty")).unwrap();
    refused(&path("empty"), &["the folder has no config.json", "Hugging Face", ".gguf"]);
    fs::create_dir(path("weightless")).unwrap();
    fs::write(path("weightless/config.json"), br#"{"model_type": "llama"}"#).unwrap();
    refused(&path("weightless"), &["neither model.safetensors nor model.safetensors.index.json"]);
    for (bytes, says) in [
        (&b""[..], "does not begin with GGUF"),
        (b"GGU", "does not begin with GGUF"),
        (b"GGML\x03\0\0\0", "does not begin with GGUF"),
        (b"PK\x03\x04 an archive", "does not begin with GGUF"),
        (b"GGUF\x01\0\0\0", "GGUF version 1 is not supported (have 2 and 3)"),
        (b"GGUF\0\0\0\x03", "big-endian"),
    ] {
        refused_bytes(bytes, &[says]);
    }
}

#[test]
#[cfg(unix)]
fn what_is_no_file_does_not_hang() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&pipe, &["is no file", "give"]);
    refused(Path::new("/dev/zero"), &["is no file"]);
    resident(["verify", "--device", "cpu", "--golden"])
        .argument(&pipe)
        .limited()
        .fails(1, &["pipe", "no file"]);
    resident(["verify", "--device", "cpu", "--golden", "/dev/zero"])
        .limited()
        .fails(1, &["/dev/zero", "no file"]);
    let endless = ["logits", "--device", "cpu", "--out", "/dev/null", "--tokens-file", "/dev/zero"];
    resident(endless).limited().fails(1, &["/dev/zero", "more than"]);
}

#[test]
fn gguf_cut_off_anywhere() {
    let tiny = tiny_llama().finish();
    let tensors = tiny.windows(17).position(|w| w == b"token_embd.weight").unwrap();
    for cut in [4, 7, 8, 15, 16, 24, 30, 31, 60, 200, tensors, tensors + 20, tensors + 400, tiny.len() - 1] {
        refused_bytes(&tiny[..cut], &["damaged or incomplete", "fetch it again"]);
    }
    for format in ["F32", "Q8_0"] {
        let Some(path) = data(&format!("stories260K/gguf/stories260K-{format}.gguf")) else { return };
        let bytes = fs::read(path).unwrap();
        for thousandth in [1, 10, 30, 100, 500, 999] {
            refused_bytes(&bytes[..bytes.len() * thousandth / 1000], &["damaged or incomplete"]);
        }
    }
}

#[test]
fn gguf_that_announces_the_absurd() {
    let announcing = |tensors: u64, entries: u64| {
        let mut writer = GgufWriter::new();
        (writer.tensor_count, writer.entry_count) = (Some(tensors), Some(entries));
        let mut bytes = writer.finish();
        bytes.resize(43, 0);
        bytes
    };
    refused_bytes(&announcing(u64::MAX, 0), &["header", "18446744073709551615"]);
    refused_bytes(&announcing(1 << 60, 1 << 60), &["header"]);
    refused_bytes(&announcing(0, u64::MAX / 8), &["header"]);
    let vast = u64::MAX.to_le_bytes();
    refused_bytes(&GgufWriter::new().raw_entry(b"a", 8, &vast).finish(), &["key \"a\""]);
    let array = [&4u32.to_le_bytes()[..], &vast].concat();
    refused_bytes(&GgufWriter::new().raw_entry(b"a", 9, &array).finish(), &["key \"a\""]);
    refused_bytes(&tiny_llama().raw_tensor(b"t", &[1 << 40, 1 << 40], 0, 0).finish(), &["tensor \"t\""]);
    for (key, value) in [
        ("llama.block_count", u32::MAX),
        ("llama.embedding_length", 1 << 30),
        ("llama.attention.head_count", 1 << 24),
        ("llama.feed_forward_length", 0x7fff_ffff),
        ("llama.block_count", 60_000),
    ] {
        refused_bytes(&with_u32(tiny_llama().finish(), key, value), &[]);
    }
}

#[test]
fn contexts_beyond_the_memory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, with_u32(tiny_llama().finish(), "llama.context_length", i32::MAX as u32)).unwrap();
    let long = ["run", "a", "--max-tokens", "2000000000", "--device", "cpu", "-m"];
    let says =
        ["a context of 2000000003 tokens takes ", "GiB for the keys of one layer", "ask for fewer tokens"];
    resident(long).argument(&path).limited().fails(1, &says);
    // What is asked for counts, not what the model could do.
    resident(["run", "a", "--max-tokens", "2", "--device", "cpu", "-m"])
        .argument(&path)
        .limited()
        .run()
        .expect(0);
}

#[test]
fn tensors_that_overlap_or_leave_the_file() {
    let q8_0 = 8;
    let at = |offset| tiny_llama().raw_tensor(b"extra", &[32, 8], q8_0, offset).finish();
    refused_bytes(&at(0), &["overlap", "damaged"]);
    refused_bytes(&at(1 << 40), &["tensor \"extra\"", "pass the end of the file"]);
    refused_bytes(&at(u64::MAX - 31), &["tensor \"extra\"", "pass the end of the file"]);
    refused_bytes(&at(7), &["tensor \"extra\"", "no multiple of the alignment"]);
}

#[test]
fn tensors_that_the_architecture_does_not_have_or_has_otherwise() {
    let extra = |name, shape: &[u64], floats: usize| {
        refused_bytes(
            &tiny_llama().tensor(name, 0, shape, &vec![0; 4 * floats]).finish(),
            &["no place in architecture llama"],
        );
    };
    extra("blk.0.attn_sinks.weight", &[32], 32);
    extra("blk.1.attn_q.weight", &[32, 32], 1024);
    let tiny = || tiny_llama().finish();
    refused_bytes(
        &with_u32(tiny(), "llama.block_count", 2),
        &["model.layers.1.", "is missing", "llama needs it"],
    );
    refused_bytes(
        &with_u32(tiny(), "llama.feed_forward_length", 64),
        &["mlp.", "[32, 32]", "expected the shape [64, 32]"],
    );
    refused_bytes(&with_u32(tiny(), "llama.attention.head_count_kv", 2), &["k_proj", "[16, 32]", "[32, 32]"]);
    refused_bytes(&with_u32(tiny(), "llama.attention.head_count_kv", 3), &["head_count_kv", "divisor"]);
    let renamed = |from: &str, to: &str| {
        let mut bytes = tiny();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refused_bytes(&renamed("output_norm.weight", "output_form.weight"), &["model.norm.weight", "is missing"]);
    refused_bytes(
        &renamed("llama.context_length", "llama.context_lenght"),
        &["context_length", "is missing"],
    );
}

#[test]
fn weight_types_that_are_not_read() {
    let iq2_xs = 17;
    refused_bytes(
        &tiny_llama().raw_tensor(b"extra", &[256, 8], iq2_xs, 0).finish(),
        &["tensor \"extra\" = iq2_xs is not supported", "have f32", "requantise the model"],
    );
    let Some(folder) = stories() else { return };
    let weights = folder.path().join("model.safetensors");
    let text = String::from_utf8_lossy(&fs::read(&weights).unwrap()).into_owned();
    assert!(text.contains("\"F32\""));
    let doubles =
        b"\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}            ";
    fs::write(&weights, [&doubles[..72], &[0; 8]].concat()).unwrap();
    refused(
        folder.path(),
        &["model.safetensors", "tensor \"a\" = F64 is not supported", "have F32, F16 and BF16"],
    );
}

#[test]
fn configurations_that_are_not_understood() {
    let Some(folder) = stories() else { return };
    let path = folder.path().join("config.json");
    let sound: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value, says) in [
        ("hidden_size", Value::Null, "key \"hidden_size\" is missing"),
        ("num_hidden_layers", Value::Null, "key \"num_hidden_layers\" is missing"),
        ("rms_norm_eps", Value::Null, "key \"rms_norm_eps\" is missing"),
        ("max_position_embeddings", Value::Null, "key \"max_position_embeddings\" is missing"),
        ("logit_scale", json!(2), "\"logit_scale\" = 2"),
        ("residual_multiplier", json!(0.22), "\"residual_multiplier\" = 0.22"),
        ("attention_bias", json!(true), "self_attn.q_proj.bias\" is missing"),
        ("mlp_bias", json!(true), "mlp.gate_proj.bias\" is missing"),
        ("hidden_act", json!("gelu"), "\"hidden_act\" = \"gelu\" is not supported"),
        ("sliding_window", json!(128), "\"sliding_window\" = 128 is not supported"),
        ("rope_scaling", json!({"rope_type": "spiral", "factor": 4}), "\"spiral\" is not supported"),
        ("rope_scaling", json!({"rope_type": "linear"}), "\"rope_scaling.factor\" is missing"),
        ("hidden_size", json!(-64), "\"hidden_size\" is -64"),
        ("hidden_size", json!("64"), "\"hidden_size\" is \"64\""),
        ("hidden_size", json!(1e30), "\"hidden_size\" is 1e+30"),
        ("head_dim", json!(7), "\"head_dim\" is 7"),
        ("vocab_size", json!(2_000_000_000), "[512, 64], expected the shape [2000000000, 64]"),
        ("num_hidden_layers", json!(4_000_000), "expected at most 65536"),
        ("num_hidden_layers", json!(60_000), "model.layers.5."),
        ("rms_norm_eps", json!(0), "\"rms_norm_eps\" is 0"),
        ("eos_token_id", json!(512), "eos_token_id\" is 512, expected a token id below 512"),
        ("model_type", Value::Null, "\"model_type\""),
        ("architectures", json!(["LlamaForSequenceClassification"]), "have causal language models"),
    ] {
        let mut config = sound.clone();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        refused(folder.path(), &[says]);
    }
    for broken in ["", "{", "[]", "{\"model_type\": \"llama\", \"model_type\": \"qwen3\"}", "\0\u{1}\u{2}"] {
        fs::write(&path, broken).unwrap();
        refused(folder.path(), &["config.json", "not the JSON that is expected"]);
    }
}

#[test]
fn tokenizers_that_are_missing_or_broken() {
    let Some(folder) = stories() else { return };
    let (json, model) = (folder.path().join("tokenizer.json"), folder.path().join("tokenizer.model"));
    let sound = fs::read_to_string(&json).unwrap();
    for broken in ["", "{}", "[1]", &sound[..sound.len() / 2], &sound.replace("\"BPE\"", "\"Unheard\"")] {
        fs::write(&json, broken).unwrap();
        refused(folder.path(), &["tokenizer.json"]);
    }
    fs::remove_file(&json).unwrap();
    for broken in [&b""[..], b"\xff\xff\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f"] {
        fs::write(&model, broken).unwrap();
        refused(folder.path(), &["tokenizer.model"]);
    }
    fs::remove_file(&model).unwrap();
    refused(folder.path(), &["neither tokenizer.json nor tokenizer.model"]);
}

#[test]
fn weights_that_are_no_numbers() {
    let not_finite = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let Some(folder) = stories() else { return };
    let weights = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    for value in not_finite {
        bytes[end - 4..].copy_from_slice(&value.to_le_bytes());
        fs::write(&weights, &bytes).unwrap();
        refused(folder.path(), &[".weight: weight ", "is NaN or infinite", "damaged"]);
    }
    let Some(gguf) = data("stories260K/gguf/stories260K-F32.gguf") else { return };
    let mut bytes = fs::read(gguf).unwrap();
    let end = bytes.len();
    for value in not_finite {
        bytes[end - 64..end - 60].copy_from_slice(&value.to_le_bytes());
        refused_bytes(&bytes, &[".weight: weight ", "is NaN or infinite"]);
    }
    // The scale of the last q8_0 block: an infinity in f16.
    let mut tiny = tiny_llama().finish();
    let end = tiny.len();
    tiny[end - 34..end - 32].copy_from_slice(&[0x00, 0x7c]);
    refused_bytes(&tiny, &["down_proj.weight", "is NaN or infinite"]);
}

#[test]
fn safetensors_that_are_damaged() {
    let Some(folder) = stories() else { return };
    let weights = folder.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    for cut in [0, 7, 8, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&weights, &bytes[..cut]).unwrap();
        refused(folder.path(), &["model.safetensors", "damaged or incomplete"]);
    }
    for length in [u64::MAX, 1 << 40, 99_000_000] {
        fs::write(&weights, [&length.to_le_bytes()[..], &bytes[8..]].concat()).unwrap();
        refused(folder.path(), &["model.safetensors", "header"]);
    }
    fs::remove_file(&weights).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    for (shard, says) in [
        ("absent.safetensors", "shard \"absent.safetensors\" is missing"),
        ("../x.safetensors", "same folder"),
    ] {
        fs::write(&index, json!({"weight_map": {"model.norm.weight": shard}}).to_string()).unwrap();
        refused(folder.path(), &["model.safetensors.index.json", says]);
    }
}

#[test]
fn architectures_that_are_not_supported() {
    let mut bytes = tiny_llama().finish();
    let find = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|w| w == text).expect("text");
    let key = find(&bytes, b"general.architecture");
    let at = key + find(&bytes[key..], b"llama");
    bytes[at..at + 5].copy_from_slice(b"mamba");
    let says = "architecture \"mamba\" is not supported (have ";
    refused_bytes(&bytes, &[says, "qwen3"]);
    let Some(folder) = stories() else { return };
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["model_type"] = json!("mamba");
    config["architectures"] = json!(["MambaForCausalLM"]);
    fs::write(&path, config.to_string()).unwrap();
    refused(folder.path(), &[says]);
}
