//! Sound GGUF files: values by key and type, tensors by canonical name.

use crate::gguf_writer::{GgufWriter, Value, array, string, tiny_llama};
use crate::support::assert_names;
use resident_models::checkpoint::gguf::{Array, Directory, GgufWriter as GgufFile};
use resident_models::checkpoint::{Checkpoint, TokenIds};
use resident_tensor::DType;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn open(writer: &GgufWriter) -> Checkpoint {
    Checkpoint::from_bytes("test.gguf", writer.finish().leak()).unwrap()
}

#[test]
fn values_come_back_by_type() {
    let bytes = GgufWriter::new()
        .entry("u32", Value::U32(7))
        .entry("u64", Value::U64(1 << 40))
        .entry("i32", Value::I32(-7))
        .entry("f32", Value::F32(0.1))
        .entry("f64", Value::F64(0.1))
        .entry("bool", Value::Bool(true))
        .entry("text", Value::Str("Grüße"))
        .entry("texts", Value::Strs(&["a", "", "ccc"]))
        .entry("floats", Value::F32s(&[1.0, -2.0]))
        .entry("ints", Value::I32s(&[1, -2, 3]))
        .raw_entry(b"u8", 0, &[200])
        .raw_entry(b"i8", 1, &[200])
        .raw_entry(b"u16", 2, &[0, 200])
        .raw_entry(b"i16", 3, &[0, 200])
        .raw_entry(b"i64", 11, &(-(1i64 << 40)).to_le_bytes())
        .raw_entry(b"bools", 9, &array(7, 3, &[1, 0, 1]))
        .finish();
    let directory = Directory::parse("test.gguf", &bytes).unwrap();
    let metadata = directory.metadata(&bytes);
    assert_eq!(metadata.require::<u32>("u32").unwrap(), 7);
    assert_eq!(metadata.require::<u64>("u64").unwrap(), 1 << 40);
    assert_eq!(metadata.require::<i32>("i32").unwrap(), -7);
    assert_eq!(metadata.require::<f32>("f32").unwrap(), 0.1);
    assert_eq!(metadata.require::<f64>("f64").unwrap(), 0.1);
    assert!(metadata.require::<bool>("bool").unwrap());
    assert_eq!(metadata.require::<&str>("text").unwrap(), "Grüße");
    assert_eq!(metadata.require::<Vec<&[u8]>>("texts").unwrap(), [&b"a"[..], b"", b"ccc"]);
    assert_eq!(metadata.require::<Vec<f32>>("floats").unwrap(), [1.0, -2.0]);
    assert_eq!(metadata.require::<Vec<i32>>("ints").unwrap(), [1, -2, 3]);
    assert_eq!(metadata.require::<u32>("u8").unwrap(), 200);
    assert_eq!(metadata.require::<i32>("i8").unwrap(), -56);
    assert_eq!(metadata.require::<u32>("u16").unwrap(), 51200);
    assert_eq!(metadata.require::<i32>("i16").unwrap(), -14336);
    assert_eq!(metadata.require::<i64>("i64").unwrap(), -(1 << 40));
    assert_eq!(metadata.require::<Array>("bools").unwrap().len, 3);
    assert_eq!(metadata.get::<u32>("absent").unwrap(), None);
    assert_eq!(metadata.iter().len(), 16);
}

#[test]
fn wrong_types_are_named() {
    let bytes = GgufWriter::new()
        .entry("count", Value::I32(-3))
        .entry("tokens", Value::F32s(&[1.0]))
        .raw_entry(b"text", 8, &string(&[b'a', 0xff]))
        .finish();
    let directory = Directory::parse("test.gguf", &bytes).unwrap();
    let metadata = directory.metadata(&bytes);
    assert_eq!(
        metadata.get::<u32>("count").unwrap_err().to_string(),
        r#"test.gguf: key "count" is i32 -3, expected an unsigned integer of 32 bits"#
    );
    assert_eq!(
        metadata.get::<Vec<&[u8]>>("tokens").unwrap_err().to_string(),
        r#"test.gguf: key "tokens" is an array of 1 f32, expected an array of strings"#
    );
    assert_names(
        &metadata.get::<&str>("text").unwrap_err().to_string(),
        &["expected a string of valid UTF-8"],
    );
    assert_eq!(metadata.require::<&[u8]>("text").unwrap(), [b'a', 0xff], "the bytes are kept");
    assert_eq!(
        metadata.require::<bool>("absent").unwrap_err().to_string(),
        r#"test.gguf: key "absent" is missing; expected a bool"#
    );
}

#[test]
fn tensors_have_canonical_names_and_row_major_shapes() {
    let checkpoint = open(&tiny_llama());
    assert_eq!(checkpoint.architecture(), "llama");
    assert!(checkpoint.interleaved_rope());
    assert_eq!(checkpoint.tensors().len(), 11);
    let k_proj = checkpoint.tensor_shaped("model.layers.0.self_attn.k_proj.weight", &[16, 32]).unwrap();
    assert_eq!((k_proj.dtype, k_proj.data.len(), k_proj.elements()), (DType::Q8_0, 16 * 34, 512));
    assert_eq!(checkpoint.tensor("model.norm.weight").unwrap().to_f32(), [1.0; 32]);
    assert_eq!(checkpoint.token_ids().unwrap(), TokenIds { bos: Some(1), eos: vec![2], pad: None });
}

#[test]
fn wrong_and_absent_tensors_are_named() {
    let checkpoint = open(&tiny_llama());
    let name = "model.layers.0.self_attn.k_proj.weight";
    assert_eq!(
        checkpoint.tensor_shaped(name, &[32, 16]).unwrap_err().to_string(),
        format!("test.gguf: tensor {name:?} is [16, 32], expected the shape [32, 16]")
    );
    assert_eq!(
        checkpoint.tensor("lm_head.weight").unwrap_err().to_string(),
        r#"test.gguf: tensor "lm_head.weight" is missing; architecture llama needs it"#
    );
}

#[test]
fn tensors_nobody_asked_for_are_refused() {
    let bias = 0f32.to_le_bytes().repeat(32);
    let checkpoint = open(&tiny_llama().tensor("blk.0.attn_q.bias", 0, &[32], &bias));
    let names: Vec<String> = checkpoint.tensors().map(|tensor| tensor.name.to_owned()).collect();
    for name in names.iter().filter(|name| !name.ends_with(".bias")) {
        checkpoint.tensor(name).unwrap();
    }
    assert_eq!(checkpoint.unused_tensors().collect::<Vec<_>>(), ["model.layers.0.self_attn.q_proj.bias"]);
    let message = checkpoint.refuse_unused_tensors().unwrap_err().to_string();
    assert_names(&message, &["test.gguf", r#""model.layers.0.self_attn.q_proj.bias""#, "llama"]);
    checkpoint.ignore_tensor("model.layers.0.self_attn.q_proj.bias");
    checkpoint.refuse_unused_tensors().unwrap();
}

#[test]
fn version_2_and_other_alignments_are_read() {
    let mut writer = GgufWriter::new();
    (writer.version, writer.alignment) = (2, 64);
    let data: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let checkpoint = open(
        &writer
            .entry("general.architecture", Value::Str("llama"))
            .entry("general.alignment", Value::U32(64))
            .tensor("a.weight", 0, &[3], &data)
            .tensor("b.weight", 0, &[3], &data),
    );
    assert_eq!(checkpoint.tensor("b.weight").unwrap().to_f32(), [1.0, 2.0, 3.0]);
}

#[test]
fn bad_weights_are_found() {
    let mut data = 1f32.to_le_bytes().repeat(9);
    data[20..24].copy_from_slice(&f32::NAN.to_le_bytes());
    let writer = GgufWriter::new().entry("general.architecture", Value::Str("llama"));
    let checkpoint = open(&writer.tensor("a.weight", 0, &[3, 3], &data));
    assert_eq!(checkpoint.tensor("a.weight").unwrap().first_non_finite(), Some(5));
}

#[test]
fn large_vocabularies_open_quickly() {
    let tokens: Vec<String> = (0..300_000).map(|id| format!("token {id}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let bytes = GgufWriter::new()
        .entry("tokenizer.ggml.tokens", Value::Strs(&tokens))
        .entry("tokenizer.ggml.merges", Value::Strs(&tokens))
        .finish();
    let start = Instant::now();
    let directory = Directory::parse("test.gguf", &bytes).unwrap();
    let read: Vec<&[u8]> = directory.metadata(&bytes).require("tokenizer.ggml.tokens").unwrap();
    let elapsed = start.elapsed();
    assert_eq!((read.len(), read[299_999]), (300_000, &b"token 299999"[..]));
    eprintln!("600 000 strings in {elapsed:?}");
    assert!(elapsed < Duration::from_millis(500), "{elapsed:?}");
}

/// The small model as three files; `change` alters the keys of the second one.
fn split(folder: &Path, change: impl Fn(&mut GgufFile)) -> PathBuf {
    let bytes = tiny_llama().finish();
    let directory = Directory::parse("test.gguf", &bytes).unwrap();
    let path = |index: usize| folder.join(format!("tiny-0000{}-of-00003.gguf", index + 1));
    for (index, tensors) in directory.tensors.chunks(directory.tensors.len().div_ceil(3)).enumerate() {
        let mut file = GgufFile::default();
        if index == 0 {
            file.copy(directory.metadata(&bytes), |_| true);
        }
        file.set("split.no", index as u32);
        file.set("split.count", 3u32);
        if index == 1 {
            change(&mut file);
        }
        tensors.iter().for_each(|tensor| file.tensor(&tensor.name, tensor.dtype, &tensor.shape).unwrap());
        let data = |name: &str| &bytes[tensors.iter().find(|t| t.name == name).unwrap().range.clone()];
        let mut out = std::fs::File::create(path(index)).unwrap();
        file.write(&mut out, &mut |tensor, out| out.write_all(data(&tensor.name))).unwrap();
    }
    path(0)
}

#[test]
fn a_split_model_is_one_whichever_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let first = split(folder.path(), |_| {});
    let whole = open(&tiny_llama());
    for path in [&first, &folder.path().join("tiny-00003-of-00003.gguf")] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(checkpoint.label(), first.display().to_string());
        assert_eq!(checkpoint.tensors().len(), whole.tensors().len());
        for (found, expected) in checkpoint.tensors().zip(whole.tensors()) {
            assert_eq!((found.name, found.shape, found.data), (expected.name, expected.shape, expected.data));
        }
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut GgufFile), says: &[&str]| {
        let path = split(folder.path(), change);
        assert_names(&Checkpoint::open(&path).unwrap_err().to_string(), says);
    };
    refused(|file| file.set("split.no", 2u32), &["tiny-00002", "split.no", "is 2, expected 1"]);
    refused(|file| file.set("split.count", 4u32), &["tiny-00002", "split.count", "is 4, expected 3"]);
    std::fs::remove_file(folder.path().join("tiny-00003-of-00003.gguf")).unwrap();
    refused_missing(folder.path());
}

fn refused_missing(folder: &Path) {
    let error = Checkpoint::open(&folder.join("tiny-00001-of-00003.gguf")).unwrap_err().to_string();
    assert_names(&error, &["tiny-00001", "tiny-00003-of-00003.gguf", "is missing", "fetch the rest"]);
}
