//! Broken GGUF files: each is refused with a message that says what is wrong, quickly and without a panic.

use crate::gguf_writer::{GgufWriter, Value, array, string, tiny_llama};
use crate::support::{assert_names, folder, refused as refused_path, take_plain_decoder};
use proptest::prelude::*;
use proptest::sample::Index;
use resident_models::checkpoint::Checkpoint;
use resident_models::checkpoint::gguf::{Directory, Value as Found};
use std::time::{Duration, Instant};

fn refused(bytes: &[u8]) -> String {
    let start = Instant::now();
    let message = Directory::parse("test.gguf", bytes).expect_err("it must not parse").to_string();
    assert!(start.elapsed() < Duration::from_millis(100), "took {:?}", start.elapsed());
    message
}

#[track_caller]
fn assert_refused(writer: &GgufWriter, parts: &[&str]) {
    assert_names(&refused(&writer.finish()), parts);
}

/// A writer whose only tensor has these dimensions, in the file's order, and 4096 bytes of data behind it.
fn one_tensor(dims: &[u64], ggml_type: u32, offset: u64) -> GgufWriter {
    GgufWriter::new().raw_tensor(b"w", dims, ggml_type, offset).tensor("other", 0, &[1024], &[0; 4096])
}

#[test]
fn other_files_are_refused_by_name() {
    assert_names(
        &refused(b"PK\x03\x04 something"),
        &["test.gguf", "does not begin with GGUF", "give a .gguf"],
    );
    assert_names(&refused(b""), &["does not begin with GGUF"]);
    let mut writer = tiny_llama();
    writer.version = 1;
    assert_refused(&writer, &["GGUF version 1 is not supported", "convert"]);
    writer.version = 4;
    assert_refused(&writer, &["GGUF version 4 is not supported (have 2 and 3)"]);
    writer.version = 3u32.swap_bytes();
    assert_refused(&writer, &["big-endian GGUF 3 is not supported"]);
}

#[test]
fn empty_and_absent_files_are_errors() {
    let folder = folder(&[("empty.gguf", b"")]);
    assert_names(
        &refused_path(&folder.path().join("empty.gguf")),
        &["empty.gguf", "does not begin with GGUF"],
    );
    assert_names(&refused_path(&folder.path().join("absent.gguf")), &["absent.gguf", "No such file"]);
}

#[test]
fn huge_counts_fail_at_once() {
    let mut writer = GgufWriter::new();
    writer.tensor_count = Some(1 << 60);
    assert_refused(&writer, &["header", "tensors: 1152921504606846976 items", "0 bytes are left"]);
    writer.tensor_count = Some(u64::MAX);
    assert_refused(&writer, &["tensors: 18446744073709551615 items"]);
    writer.tensor_count = None;
    writer.entry_count = Some(1 << 60);
    assert_refused(&writer, &["metadata: 1152921504606846976 items"]);

    // 43 bytes that announce 2^60 elements.
    for element_type in [0, 4, 7, 8, 10] {
        let writer = GgufWriter::new().raw_entry(b"key", 9, &array(element_type, 1 << 60, &[]));
        let bytes = [writer.finish(), vec![0; 4]].concat();
        assert!(bytes.len() < 64);
        assert_names(&refused(&bytes), &[r#"key "key""#, "1152921504606846976 items"]);
    }
}

#[test]
fn string_lengths_are_checked() {
    let long_value = GgufWriter::new().raw_entry(b"key", 8, &u64::MAX.to_le_bytes());
    assert_refused(&long_value, &[r#"key "key""#, "18446744073709551615 bytes are needed"]);
    let long_element = array(8, 2, &[string(b"a"), (1u64 << 40).to_le_bytes().to_vec()].concat());
    assert_refused(
        &GgufWriter::new().raw_entry(b"key", 9, &long_element),
        &["1099511627776 bytes are needed"],
    );
    let mut long_key = GgufWriter::new().finish();
    long_key[16] = 1;
    long_key.extend([&(u64::MAX - 3).to_le_bytes()[..], &[0; 20]].concat());
    assert_names(&refused(&long_key), &["name of key 0", "18446744073709551612 bytes are needed"]);
}

#[test]
fn names_are_text_of_some_length() {
    assert_refused(&GgufWriter::new().raw_entry(b"", 4, &[0; 4]), &["name of key 0", "expected 1 to 65535"]);
    assert_refused(
        &GgufWriter::new().raw_entry(b"a\xff\x1b[2J", 7, &[1]),
        &["not valid UTF-8", r"\u{1b}[2J"],
    );
    let writer = GgufWriter::new().raw_entry(&[b'k'; 70_000], 7, &[1]);
    assert_refused(&writer, &["it has 70000 bytes"]);
    assert!(refused(&GgufWriter::new().raw_entry(&[b'k'; 60_000], 99, &[1]).finish()).len() < 400);
    assert_refused(
        &GgufWriter::new().raw_tensor(b"", &[1, 1, 1], 0, 0),
        &["name of tensor 0", "expected 1 to 65535"],
    );
}

#[test]
fn value_types_are_checked() {
    assert_refused(&GgufWriter::new().raw_entry(b"key", 13, &[0; 8]), &["value type 13 does not exist"]);
    assert_refused(&GgufWriter::new().raw_entry(b"key", 9, &array(77, 1, &[0; 8])), &["value type 77"]);
    let nested = array(9, 1, &array(9, 1, &array(0, 1, &[0])));
    assert_refused(&GgufWriter::new().raw_entry(b"key", 9, &nested), &[r#"key "key""#, "array of arrays"]);
    assert_refused(&GgufWriter::new().raw_entry(b"key", 7, &[2]), &["a bool is 2"]);
    assert_refused(&GgufWriter::new().raw_entry(b"key", 9, &array(7, 3, &[1, 0, 9])), &["a bool is 9"]);
}

#[test]
fn nothing_may_stand_twice() {
    let writer = GgufWriter::new().entry("key", Value::U32(1)).entry("key", Value::U32(1));
    assert_refused(&writer, &[r#"key "key""#, "stands twice"]);
    let writer = GgufWriter::new().tensor("w", 0, &[1], &[0; 4]).tensor("w", 0, &[1], &[0; 4]);
    assert_refused(&writer, &[r#"tensor "w""#, "stands twice"]);
    // Two names in the file that mean one tensor.
    let writer = GgufWriter::new()
        .entry("general.architecture", Value::Str("llama"))
        .tensor("output_norm.weight", 0, &[1], &[0; 4])
        .tensor("model.norm.weight", 0, &[1], &[0; 4]);
    let folder = folder(&[("twice.gguf", &writer.finish())]);
    let message = refused_path(&folder.path().join("twice.gguf"));
    assert_names(&message, &[r#""model.norm.weight""#, r#"as "output_norm.weight""#]);
}

#[test]
fn alignment_is_a_power_of_two() {
    for alignment in [0, 3, 48] {
        let writer = GgufWriter::new().entry("general.alignment", Value::U32(alignment));
        assert_refused(&writer, &["general.alignment", &format!("is {alignment}"), "a power of two"]);
    }
    let writer = GgufWriter::new().entry("general.alignment", Value::Str("32"));
    assert_refused(&writer, &["general.alignment", r#"string "32""#]);
    let huge = GgufWriter::new().entry("general.alignment", Value::U32(1 << 31)).raw_tensor(b"w", &[1], 0, 0);
    assert_refused(&huge, &["pass the end of the file"]);
}

#[test]
fn shapes_are_checked() {
    assert_refused(&one_tensor(&[], 0, 0), &[r#"tensor "w""#, "0 dimensions, expected 1 to 4"]);
    assert_refused(&one_tensor(&[1; 5], 0, 0), &["5 dimensions"]);
    assert_refused(&one_tensor(&[4, 0], 0, 0), &["[0, 4] has no elements"]);
    assert_refused(&one_tensor(&[1 << 32, 1 << 32], 0, 0), &["overflows 64 bits"]);
    assert_refused(&one_tensor(&[1 << 62], 0, 0), &["overflows 64 bits"]);
    assert_refused(&one_tensor(&[u64::MAX; 4], 8, 0), &["overflows 64 bits"]);
    assert_refused(&one_tensor(&[172, 2], 8, 0), &["a row of 172 elements", "q8_0 block"]);
    assert_refused(&one_tensor(&[32, 2], 12, 0), &["a row of 32 elements", "256 elements of a q4_k block"]);
}

#[test]
fn data_stay_in_the_file_and_apart() {
    assert_refused(&one_tensor(&[8], 0, 5), &["offset 5 is no multiple of the alignment 32"]);
    assert_refused(&one_tensor(&[8], 0, 4096), &[r#"tensor "w""#, "pass the end of the file"]);
    assert_refused(&one_tensor(&[8], 0, u64::MAX - 31), &["pass the end of the file"]);
    assert_refused(&one_tensor(&[1 << 61], 0, 0), &["9223372036854775808 bytes", "pass the end"]);
    assert_refused(&one_tensor(&[1 << 40], 0, 0), &["4398046511104 bytes", "pass the end"]);
    assert_refused(&one_tensor(&[8], 0, 64), &["overlap"]);
    assert_refused(&one_tensor(&[8], 0, 0), &["overlap"]);
}

#[test]
fn other_weight_types_are_named() {
    assert_refused(&one_tensor(&[256], 17, 0), &[r#"tensor "w" = iq2_xs is not supported"#, "have f32, f16"]);
    assert_refused(&one_tensor(&[256], 26, 0), &["i32"]);
    assert_refused(&one_tensor(&[256], 4, 0), &["ggml type 4"]);
}

#[test]
fn parts_of_models_are_refused() {
    for (key, value, parts) in [
        ("split.count", Value::U32(3), ["split.count", "= 3", "llama-gguf-split"]),
        ("general.type", Value::Str("adapter"), ["general.type", "adapter", "model"]),
        (
            "general.quantization_version",
            Value::U32(1),
            ["general.quantization_version", "= 1", "requantise"],
        ),
    ] {
        let writer = GgufWriter::new().entry("general.architecture", Value::Str("llama")).entry(key, value);
        let error = Checkpoint::from_bytes("test.gguf", writer.finish().leak()).unwrap_err();
        assert_names(&error.to_string(), &parts);
    }
    let error = Checkpoint::from_bytes("test.gguf", GgufWriter::new().finish().leak()).unwrap_err();
    assert_names(&error.to_string(), &["general.architecture", "missing"]);
}

#[test]
fn many_entries_are_no_problem() {
    let mut writer = GgufWriter::new();
    for index in 0..100_000 {
        writer = writer.raw_entry(format!("k{index}").as_bytes(), 7, &[1]);
        writer = writer.raw_tensor(format!("t{index}").as_bytes(), &[1], 0, 32 * index);
    }
    let bytes = [writer.finish(), vec![0; 32 * 100_001]].concat();
    let start = Instant::now();
    assert_eq!(Directory::parse("test.gguf", &bytes).unwrap().tensors.len(), 100_000);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Everything a program does with a file that may be damaged. None of it may panic.
fn use_all(bytes: Vec<u8>) {
    let Ok(checkpoint) = Checkpoint::from_bytes("test.gguf", bytes.leak()) else { return };
    for (_, value) in checkpoint.gguf_metadata().unwrap().iter() {
        match value {
            Found::Array(array) => assert_eq!(array.iter().count(), array.len),
            scalar => assert!(!scalar.to_string().is_empty()),
        }
    }
    for tensor in checkpoint.tensors() {
        let elements = tensor.dtype.block_len() * tensor.data.len() / tensor.dtype.block_bytes();
        assert_eq!(tensor.elements(), elements as u64);
        tensor.first_non_finite();
        let _ = tensor.to_f32();
    }
    let _ = checkpoint.token_ids();
    let _ = checkpoint.config().and_then(take_plain_decoder);
    let _ = checkpoint.refuse_unused_tensors();
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = tiny_llama().finish();
    Directory::parse("test.gguf", &whole).unwrap();
    for len in 0..whole.len() {
        assert!(Directory::parse("test.gguf", &whole[..len]).is_err(), "cut to {len} bytes");
    }
}

/// Bytes before the first tensor's data.
fn directory_len(bytes: &[u8]) -> usize {
    let directory = Directory::parse("test.gguf", bytes).unwrap();
    directory.tensors.iter().map(|tensor| tensor.range.start).min().unwrap()
}

#[test]
fn any_changed_byte_of_the_directory_is_survived() {
    let whole = tiny_llama().finish();
    for at in 0..directory_len(&whole) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            use_all(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_is_survived(
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut bytes = tiny_llama().finish();
        let directory_len = directory_len(&bytes);
        for (at, value) in flips {
            bytes[at.index(directory_len)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        use_all(bytes);
    }

    #[test]
    fn random_bytes_behind_the_magic_are_survived(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        use_all([b"GGUF\x03\0\0\0".to_vec(), tail].concat());
    }

    #[test]
    fn random_words_in_the_directory_are_survived(
        words in prop::collection::vec((any::<Index>(), prop_oneof![
            Just(0u64), Just(u64::MAX), Just(1 << 63), Just(1 << 60), Just(u64::MAX - 31), 0u64..100,
        ]), 1..4),
    ) {
        let mut bytes = tiny_llama().finish();
        let directory_len = directory_len(&bytes);
        for (at, word) in words {
            let at = at.index(directory_len - 8);
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        use_all(bytes);
    }
}
