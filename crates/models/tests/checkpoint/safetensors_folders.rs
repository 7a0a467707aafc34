//! Safetensors folders, single and sharded, sound and broken.

use crate::support::{assert_names, folder, refused};
use proptest::prelude::*;
use resident_models::checkpoint::Checkpoint;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONFIG: &[u8] = br#"{"model_type": "llama"}"#;

/// A safetensors file with this header and this many bytes of data.
fn file(header: &Value, data_bytes: usize) -> Vec<u8> {
    raw_file(header.to_string().as_bytes(), data_bytes)
}

fn raw_file(header: &[u8], data_bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, &vec![0; data_bytes]].concat()
}

/// A file with these f32 vectors of four.
fn vectors(names: &[&str]) -> Vec<u8> {
    let tensor = |at: usize| json!({"dtype": "F32", "shape": [4], "data_offsets": [16 * at, 16 * at + 16]});
    let header = names.iter().enumerate().map(|(at, name)| (name.to_string(), tensor(at))).collect();
    file(&Value::Object(header), 16 * names.len())
}

fn single(bytes: &[u8]) -> TempDir {
    folder(&[("config.json", CONFIG), ("model.safetensors", bytes)])
}

fn sharded(weight_map: Value, shards: &[(&str, &[u8])]) -> TempDir {
    let index = json!({"metadata": {"total_size": 1}, "weight_map": weight_map}).to_string();
    let fixed = [("config.json", CONFIG), ("model.safetensors.index.json", index.as_bytes())];
    folder(&[&fixed[..], shards].concat())
}

#[track_caller]
fn assert_single_refused(bytes: &[u8], parts: &[&str]) {
    assert_names(&refused(single(bytes).path()), parts);
}

#[test]
fn shards_are_one_model() {
    let folder = sharded(
        json!({"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}),
        &[("one.safetensors", &vectors(&["a"])), ("two.safetensors", &vectors(&["b", "c"]))],
    );
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.tensors().map(|tensor| tensor.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(checkpoint.tensor_shaped("c", &[4]).unwrap().to_f32(), [0.0; 4]);
    assert_eq!(checkpoint.folder(), Some(folder.path()));
    assert!(!checkpoint.interleaved_rope());
}

#[test]
fn an_index_that_lies_is_refused() {
    let (one, two) = (vectors(&["a"]), vectors(&["b"]));
    let both = [("one.safetensors", &one[..]), ("two.safetensors", &two[..])];
    for (map, shards, parts) in [
        (json!({"a": "one.safetensors"}), &[][..], ["shard \"one.safetensors\" is missing", "fetch"]),
        (
            json!({"a": "one.safetensors", "b": "one.safetensors"}),
            &both[..1],
            ["tensor \"b\"", "does not hold it"],
        ),
        (json!({"x": "one.safetensors"}), &both[..1], ["tensor \"a\"", "the index does not list it"]),
        (
            json!({"a": "two.safetensors", "b": "two.safetensors", "c": "one.safetensors"}),
            &both[..],
            ["tensor \"a\"", "\"one.safetensors\" holds it too"],
        ),
    ] {
        let message = refused(sharded(map, shards).path());
        assert_names(&message, &["model.safetensors.index.json"]);
        assert_names(&message, &parts);
    }
}

#[test]
fn an_index_does_not_lead_out_of_the_folder() {
    for name in ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "", "a\\b", "x/", "./x"] {
        let message = refused(sharded(json!({ "a": name }), &[]).path());
        assert_names(&message, &["index.json", "weight_map", "the name of a file in the same folder"]);
    }
}

#[test]
fn names_stand_once() {
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert_single_refused(&raw_file(header, 4), &["model.safetensors", "\"a\" stands twice"]);
    let index = br#"{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}"#;
    let folder = folder(&[("config.json", CONFIG), ("model.safetensors.index.json", index)]);
    assert_names(&refused(folder.path()), &["index.json", "\"a\" stands twice"]);
}

#[test]
fn broken_headers_are_refused() {
    let tensor = |dtype: &str, shape: Value, end: u64| {
        file(&json!({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}), 16)
    };
    assert_single_refused(b"", &["0 bytes, fewer than the length"]);
    assert_single_refused(&u64::MAX.to_le_bytes(), &["a header of 18446744073709551615 bytes"]);
    assert_single_refused(&(1u64 << 60).to_le_bytes(), &["at most 100000000"]);
    assert_single_refused(&1000u64.to_le_bytes(), &["1000 bytes is announced and 0 bytes are left"]);
    assert_single_refused(&raw_file(b"not json", 0), &["model.safetensors", "JSON"]);
    assert_single_refused(&raw_file(b"\"a\xff\"", 0), &["JSON"]);
    assert_single_refused(&tensor("F32", json!([4]), 32), &["model.safetensors", "invalid shape"]);
    assert_single_refused(&tensor("F32", json!([8]), 32), &["32 bytes of data and the file has 16"]);
    assert_single_refused(&tensor("F32", json!([2]), 8), &["8 bytes of data and the file has 16"]);
    assert_single_refused(&tensor("F32", json!([1u64 << 40, 1u64 << 40]), 16), &["overflow"]);
    assert_single_refused(&tensor("F32", json!([-1]), 16), &["model.safetensors"]);
    assert_single_refused(&tensor("F32", json!([4]), u64::MAX), &["model.safetensors"]);
}

#[test]
fn sizes_that_add_up_to_more_than_64_bits_are_refused() {
    let eighth = 1u64 << 61;
    let tensor = |at: u64, bytes: u64| json!({"dtype": "U8", "shape": [bytes], "data_offsets": [at * eighth, at * eighth + bytes]});
    let mut header = serde_json::Map::new();
    for at in 0..8 {
        header.insert(format!("t{at}"), tensor(at, if at == 7 { eighth - 1 } else { eighth }));
    }
    assert_single_refused(&file(&Value::Object(header), 16), &["model.safetensors"]);
}

#[test]
fn other_types_are_named_with_their_tensor() {
    for dtype in ["I64", "F64"] {
        let header = json!({"ids": {"dtype": dtype, "shape": [2], "data_offsets": [0, 16]}});
        let parts = [&format!("tensor \"ids\" = {dtype} is not supported")[..], "have F32, F16 and BF16"];
        assert_single_refused(&file(&header, 16), &parts);
    }
    let header = json!({"q": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}});
    assert_single_refused(&file(&header, 16), &["tensor \"q\" = F8_E4M3"]);
}

#[test]
fn incomplete_folders_say_what_is_missing() {
    assert_names(&refused(folder(&[]).path()), &["no config.json", ".gguf"]);
    let message = refused(folder(&[("config.json", CONFIG)]).path());
    assert_names(&message, &["neither model.safetensors nor model.safetensors.index.json"]);
    let folder = single(&vectors(&["a"]));
    assert_names(&refused(&folder.path().join("model.safetensors")), &["give the folder it lies in"]);
}

#[test]
fn a_hundred_thousand_tensors_are_no_problem() {
    let names: Vec<String> = (0..100_000).map(|index| format!("tensor.{index}")).collect();
    let folder = single(&vectors(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let start = Instant::now();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().len(), 100_000);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = vectors(&["a", "b"]);
    let folder = single(&whole);
    Checkpoint::open(folder.path()).unwrap();
    for len in 0..whole.len() {
        std::fs::write(folder.path().join("model.safetensors"), &whole[..len]).unwrap();
        assert!(Checkpoint::open(folder.path()).is_err(), "cut to {len} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_is_survived(flips in prop::collection::vec((0usize..150, any::<u8>()), 1..6)) {
        let mut bytes = vectors(&["a", "b"]);
        for (at, value) in flips {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        let folder = single(&bytes);
        if let Ok(checkpoint) = Checkpoint::open(folder.path()) {
            for tensor in checkpoint.tensors() {
                tensor.first_non_finite();
                let _ = tensor.to_f32();
            }
        }
    }
}
