//! Writes GGUF files, sound ones and, by its raw parts, broken ones.

/// A metadata value.
pub(crate) enum Value<'a> {
    U32(u32),
    U64(u64),
    I32(i32),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(&'a str),
    Strs(&'a [&'a str]),
    F32s(&'a [f32]),
    I32s(&'a [i32]),
}

/// A GGUF file in the making.
#[derive(Clone)]
pub(crate) struct GgufWriter {
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    /// The counts to announce, where they shall differ from the truth.
    pub(crate) tensor_count: Option<u64>,
    pub(crate) entry_count: Option<u64>,
    entries: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

impl GgufWriter {
    pub(crate) fn new() -> GgufWriter {
        GgufWriter {
            version: 3,
            alignment: 32,
            tensor_count: None,
            entry_count: None,
            entries: Vec::new(),
            tensors: Vec::new(),
            data: Vec::new(),
        }
    }

    pub(crate) fn entry(self, key: &str, value: Value<'_>) -> GgufWriter {
        let (value_type, payload) = encode(value);
        self.raw_entry(key.as_bytes(), value_type, &payload)
    }

    pub(crate) fn raw_entry(mut self, key: &[u8], value_type: u32, payload: &[u8]) -> GgufWriter {
        self.entries.push([string(key), value_type.to_le_bytes().to_vec(), payload.to_vec()].concat());
        self
    }

    /// A tensor of this row-major shape, its data behind those before it.
    pub(crate) fn tensor(mut self, name: &str, ggml_type: u32, shape: &[u64], data: &[u8]) -> GgufWriter {
        let offset = self.data.len().next_multiple_of(self.alignment);
        self.data.resize(offset, 0);
        self.data.extend(data);
        let dims: Vec<u64> = shape.iter().rev().copied().collect();
        self.raw_tensor(name.as_bytes(), &dims, ggml_type, offset as u64)
    }

    /// An entry of the tensor list alone, dimensions in the file's order.
    pub(crate) fn raw_tensor(mut self, name: &[u8], dims: &[u64], ggml_type: u32, offset: u64) -> GgufWriter {
        let mut info = string(name);
        info.extend((dims.len() as u32).to_le_bytes());
        info.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        info.extend(ggml_type.to_le_bytes());
        info.extend(offset.to_le_bytes());
        self.tensors.push(info);
        self
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.entry_count.unwrap_or(self.entries.len() as u64).to_le_bytes());
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&self.data);
        }
        bytes
    }
}

/// A small sound model: one layer, hidden 32, two heads of 16, 8 tokens, q8_0 and f32.
pub(crate) fn tiny_llama() -> GgufWriter {
    use Value::{Bool, F32, F32s, I32s, Str, Strs, U32};
    let tokens = ["<unk>", "<s>", "</s>", "a", "b", "c", "d", "e"];
    let q8_0 = |rows: usize| vec![0x11; rows * 34];
    let norm: Vec<u8> = 1f32.to_le_bytes().repeat(32);
    GgufWriter::new()
        .entry("general.architecture", Str("llama"))
        .entry("general.quantization_version", U32(2))
        .entry("llama.context_length", U32(64))
        .entry("llama.embedding_length", U32(32))
        .entry("llama.block_count", U32(1))
        .entry("llama.feed_forward_length", U32(32))
        .entry("llama.attention.head_count", U32(2))
        .entry("llama.attention.head_count_kv", U32(1))
        .entry("llama.attention.layer_norm_rms_epsilon", F32(1e-5))
        .entry("llama.rope.freq_base", F32(10000.0))
        .entry("tokenizer.ggml.model", Str("llama"))
        .entry("tokenizer.ggml.tokens", Strs(&tokens))
        .entry("tokenizer.ggml.scores", F32s(&[0.5; 8]))
        // Unknown, two of control, five normal ones.
        .entry("tokenizer.ggml.token_type", I32s(&[2, 3, 3, 1, 1, 1, 1, 1]))
        .entry("tokenizer.ggml.add_bos_token", Bool(true))
        .entry("tokenizer.ggml.bos_token_id", U32(1))
        .entry("tokenizer.ggml.eos_token_id", U32(2))
        .tensor("token_embd.weight", 8, &[8, 32], &q8_0(8))
        .tensor("output_norm.weight", 0, &[32], &norm)
        .tensor("blk.0.attn_norm.weight", 0, &[32], &norm)
        .tensor("blk.0.attn_q.weight", 8, &[32, 32], &q8_0(32))
        .tensor("blk.0.attn_k.weight", 8, &[16, 32], &q8_0(16))
        .tensor("blk.0.attn_v.weight", 8, &[16, 32], &q8_0(16))
        .tensor("blk.0.attn_output.weight", 8, &[32, 32], &q8_0(32))
        .tensor("blk.0.ffn_norm.weight", 0, &[32], &norm)
        .tensor("blk.0.ffn_gate.weight", 8, &[32, 32], &q8_0(32))
        .tensor("blk.0.ffn_up.weight", 8, &[32, 32], &q8_0(32))
        .tensor("blk.0.ffn_down.weight", 8, &[32, 32], &q8_0(32))
}

/// A length and the bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// Element type, length and elements of an array.
pub(crate) fn array(element_type: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [&element_type.to_le_bytes()[..], &len.to_le_bytes(), elements].concat()
}

fn encode(value: Value<'_>) -> (u32, Vec<u8>) {
    match value {
        Value::U32(value) => (4, value.to_le_bytes().to_vec()),
        Value::I32(value) => (5, value.to_le_bytes().to_vec()),
        Value::F32(value) => (6, value.to_le_bytes().to_vec()),
        Value::Bool(value) => (7, vec![value.into()]),
        Value::Str(text) => (8, string(text.as_bytes())),
        Value::Strs(texts) => {
            let elements: Vec<u8> = texts.iter().flat_map(|text| string(text.as_bytes())).collect();
            (9, array(8, texts.len() as u64, &elements))
        }
        Value::F32s(values) => {
            let elements: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (9, array(6, values.len() as u64, &elements))
        }
        Value::I32s(values) => {
            let elements: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (9, array(5, values.len() as u64, &elements))
        }
        Value::U64(value) => (10, value.to_le_bytes().to_vec()),
        Value::F64(value) => (12, value.to_le_bytes().to_vec()),
    }
}
