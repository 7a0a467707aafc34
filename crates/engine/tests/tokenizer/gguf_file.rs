//! Reads the tokenizer's metadata out of a GGUF file: just enough for well-formed files, gzipped or not.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use resident_engine::tokenizer::GgufVocabulary;

enum Value {
    Bool(bool),
    Integer(i64),
    Float(f32),
    Text(String),
    List(Vec<Value>),
}

struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().unwrap()
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        self.at += length;
        String::from_utf8(self.bytes[self.at - length..self.at].to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            0 => Value::Integer(self.take::<1>()[0].into()),
            1 => Value::Integer(i8::from_le_bytes(self.take()).into()),
            2 => Value::Integer(u16::from_le_bytes(self.take()).into()),
            3 => Value::Integer(i16::from_le_bytes(self.take()).into()),
            4 => Value::Integer(self.u32().into()),
            5 => Value::Integer(i32::from_le_bytes(self.take()).into()),
            6 => Value::Float(f32::from_le_bytes(self.take())),
            7 => Value::Bool(self.take::<1>()[0] != 0),
            8 => Value::Text(self.text()),
            9 => {
                let kind = self.u32();
                let count = self.u64();
                Value::List((0..count).map(|_| self.value(kind)).collect())
            }
            10 | 11 => Value::Integer(self.u64() as i64),
            12 => Value::Float(f64::from_le_bytes(self.take()) as f32),
            _ => panic!("GGUF value type {kind}"),
        }
    }
}

fn metadata(path: &Path) -> BTreeMap<String, Value> {
    let mut bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        bytes = unpacked;
    }
    let mut reader = Reader { bytes, at: 0 };
    assert_eq!(&reader.take::<4>(), b"GGUF");
    assert!(reader.u32() >= 2);
    reader.u64();
    let count = reader.u64();
    let entry = |_| {
        let key = reader.text();
        let kind = reader.u32();
        (key, reader.value(kind))
    };
    (0..count).map(entry).collect()
}

/// The vocabulary of a GGUF file.
pub(crate) fn vocabulary(path: &Path) -> GgufVocabulary {
    let metadata = metadata(path);
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let text = |key| match get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let id = |key| match get(key) {
        Some(&Value::Integer(id)) => Some(u32::try_from(id).unwrap()),
        _ => None,
    };
    let flag = |key| match get(key) {
        Some(&Value::Bool(flag)) => Some(flag),
        _ => None,
    };
    let list = |key| match get(key) {
        Some(Value::List(list)) => &list[..],
        _ => &[],
    };
    let texts = |key| {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            _ => panic!("{key} holds other values than strings"),
        };
        list(key).iter().map(text).collect()
    };
    GgufVocabulary {
        model: text("model").unwrap(),
        pre: text("pre"),
        tokens: texts("tokens"),
        scores: list("scores")
            .iter()
            .map(|value| if let Value::Float(score) = value { *score } else { f32::NAN })
            .collect(),
        token_types: list("token_type")
            .iter()
            .map(|value| if let Value::Integer(kind) = value { *kind as i32 } else { -1 })
            .collect(),
        merges: texts("merges"),
        bos: id("bos_token_id"),
        eos: id("eos_token_id"),
        unk: id("unknown_token_id"),
        pad: id("padding_token_id"),
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_space_prefix: flag("add_space_prefix"),
    }
}
