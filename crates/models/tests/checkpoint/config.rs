//! Configuration: what is understood, and that everything else is refused by name and value.

use crate::gguf_writer::{GgufWriter, Value as GgufValue, array, tiny_llama};
use crate::support::{assert_names, folder, shared, take_plain_decoder};
use resident_models::checkpoint::{Checkpoint, CheckpointError, DecoderConfig, Rope, RopeScaling, TokenIds};
use serde_json::{Value, json};

/// A safetensors file without tensors.
const NO_TENSORS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

fn llama_json() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000,
        "vocab_size": 512,
        "tie_word_embeddings": false,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
        "attention_dropout": 0.0,
        "pad_token_id": null,
    })
}

fn open_json(config: &Value, generation: Option<&Value>) -> Result<Checkpoint, CheckpointError> {
    let folder = folder(&[("config.json", config.to_string().as_bytes()), ("model.safetensors", NO_TENSORS)]);
    if let Some(generation) = generation {
        std::fs::write(folder.path().join("generation_config.json"), generation.to_string()).unwrap();
    }
    Checkpoint::open(folder.path())
}

fn read_json(config: &Value) -> Result<DecoderConfig, CheckpointError> {
    take_plain_decoder(open_json(config, None)?.config()?)
}

/// The llama configuration with one key changed; null removes it.
fn changed(key: &str, value: Value) -> Value {
    let mut config = llama_json();
    config[key] = value;
    config
}

#[track_caller]
fn assert_json_refused(config: &Value, parts: &[&str]) {
    let message = read_json(config).expect_err("it must be refused").to_string();
    assert_names(&message, &["config.json"]);
    assert_names(&message, parts);
}

#[test]
fn a_plain_configuration_is_read() {
    let expected = DecoderConfig {
        architecture: "llama".to_owned(),
        vocab_size: 512,
        hidden_size: 64,
        intermediate_size: 172,
        num_hidden_layers: 5,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 8,
        rotary_dim: 8,
        max_position_embeddings: 512,
        rms_norm_eps: 1e-5,
        rope: Rope { theta: 500000.0, scaling: RopeScaling::None },
        tie_word_embeddings: false,
    };
    assert_eq!(read_json(&llama_json()).unwrap(), expected);
}

#[test]
fn unknown_keys_are_refused_by_name_and_value() {
    let mut config = changed("foo", json!(3));
    config["quantization_config"] = json!({"quant_method": "gptq"});
    assert_json_refused(
        &config,
        &[
            r#"key "foo" = 3"#,
            r#"key "quantization_config" = {"quant_method":"gptq"}"#,
            "not understood",
            "llama",
        ],
    );
    assert_json_refused(&changed("attn_logit_softcapping", json!(50.0)), &["attn_logit_softcapping", "50"]);
    read_json(&changed("foo", Value::Null)).unwrap();
}

#[test]
fn values_that_are_not_implemented_are_refused() {
    for (key, value, shown) in [
        ("attention_bias", json!(true), "true is not supported; have false"),
        ("mlp_bias", json!(true), "true"),
        ("hidden_act", json!("gelu"), r#""gelu" is not supported; have "silu""#),
        ("is_encoder_decoder", json!(true), "true"),
        ("architectures", json!(["LlamaForSequenceClassification"]), "LlamaForSequenceClassification"),
        ("sliding_window", json!(4096), "4096 is not supported; have full attention"),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "sliding_attention"),
    ] {
        assert_json_refused(&changed(key, value), &[&format!("key {key:?}"), shown]);
    }
    read_json(&changed("attention_bias", json!(false))).unwrap();
}

#[test]
fn a_window_that_is_switched_off_is_no_window() {
    let mut config = changed("sliding_window", json!(4096));
    config["use_sliding_window"] = json!(false);
    config["max_window_layers"] = json!(28);
    read_json(&config).unwrap();
    config["use_sliding_window"] = json!(true);
    assert_json_refused(&config, &["sliding_window", "4096"]);
}

#[test]
fn missing_keys_are_named() {
    for key in ["hidden_size", "num_hidden_layers", "rms_norm_eps", "vocab_size", "max_position_embeddings"] {
        assert_json_refused(&changed(key, Value::Null), &[&format!("key {key:?} is missing"), "llama"]);
    }
    let message = open_json(&changed("model_type", Value::Null), None).unwrap_err().to_string();
    assert_names(&message, &["config.json", "model_type"]);
}

#[test]
fn wrong_values_are_named_with_what_was_expected() {
    for (key, value, expected) in [
        ("hidden_size", json!(0), "a whole number from 1 to 2147483647"),
        ("hidden_size", json!(-64), "is -64"),
        ("hidden_size", json!(64.5), "is 64.5"),
        ("hidden_size", json!("64"), r#"is "64""#),
        ("num_hidden_layers", json!(4_294_967_296u64), "is 4294967296"),
        ("num_hidden_layers", json!(70_000), "at most 65536"),
        ("num_attention_heads", json!(0), "from 1"),
        ("num_key_value_heads", json!(3), "a divisor of num_attention_heads, 8"),
        ("head_dim", json!(7), "an even number"),
        ("head_dim", json!(1 << 30), "less, with 8 heads"),
        ("num_attention_heads", json!(7), "7 heads do not divide hidden_size 64"),
        ("rms_norm_eps", json!(0), "above 0"),
        ("rms_norm_eps", json!(-1e-5), "above 0"),
        ("rope_theta", json!("big"), "above 0"),
        ("tie_word_embeddings", json!(1), "expected a boolean"),
        ("rope_scaling", json!(8), "an object"),
    ] {
        assert_json_refused(&changed(key, value), &[expected]);
    }
}

#[test]
fn defaults_are_those_of_the_format() {
    let mut config = llama_json();
    for key in ["num_key_value_heads", "rope_theta", "tie_word_embeddings"] {
        config[key] = Value::Null;
    }
    let decoder = read_json(&config).unwrap();
    assert_eq!(decoder.num_key_value_heads, 8);
    assert_eq!(decoder.rope.theta, 10000.0);
    assert!(decoder.tie_word_embeddings, "there is no lm_head.weight");
}

#[test]
fn rope_scaling_in_both_spellings() {
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64,
    };
    let fields = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_type": "llama3"});
    assert_eq!(read_json(&changed("rope_scaling", fields.clone())).unwrap().rope.scaling, llama3);
    let mut parameters = fields;
    parameters["rope_theta"] = json!(1e6);
    let mut config = changed("rope_parameters", parameters);
    config["rope_theta"] = Value::Null;
    assert_eq!(read_json(&config).unwrap().rope, Rope { theta: 1e6, scaling: llama3 });
    config["rope_theta"] = json!(2e6);
    assert_json_refused(&config, &["rope_parameters.rope_theta"]);

    let linear = changed("rope_scaling", json!({"type": "linear", "factor": 4}));
    assert_eq!(read_json(&linear).unwrap().rope.scaling, RopeScaling::Linear { factor: 4.0 });
}

#[test]
fn other_rope_scaling_is_refused_by_name() {
    for (scaling, parts) in [
        (json!({"rope_type": "ntk", "factor": 4.0}), ["rope_scaling.rope_type", r#""ntk" is not supported"#]),
        (json!({"rope_type": "yarn"}), ["rope_scaling.factor", "missing"]),
        (json!({"rope_type": "longrope", "short_factor": [1, -1]}), ["rope_scaling.short_factor", "above 0"]),
        (json!({"type": "linear", "rope_type": "yarn"}), ["rope_scaling.type", "the same as rope_type"]),
        (
            json!({"type": "linear", "factor": 4.0, "beta": 1}),
            [r#""rope_scaling.beta" = 1"#, "not understood"],
        ),
        (json!({"type": "linear"}), ["rope_scaling.factor", "missing"]),
        (json!({"type": "linear", "factor": -1}), ["rope_scaling.factor", "above 0"]),
        (json!({"rope_type": "default", "factor": 4.0}), ["rope_scaling.factor", "not understood"]),
        (json!({"rope_type": "default", "partial_rotary_factor": 0.5}), ["partial_rotary_factor", "0.5"]),
        (
            json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
                "original_max_position_embeddings": 64}),
            ["high_freq_factor", "more than low_freq_factor, 4"],
        ),
    ] {
        assert_json_refused(&changed("rope_scaling", scaling), &parts);
    }
    let mut both = changed("rope_scaling", json!({"type": "linear", "factor": 2}));
    both["rope_parameters"] = json!({"rope_type": "default"});
    assert_json_refused(&both, &["rope_scaling", "rope_parameters alone"]);
}

#[test]
fn longrope_ends_where_its_short_factors_do_in_every_architecture() {
    let pairs = read_json(&llama_json()).unwrap().rotary_dim / 2;
    let scaling = |factors: u32| {
        let factors = vec![1.5; factors as usize];
        json!({"rope_type": "longrope", "short_factor": factors, "long_factor": factors,
               "original_max_position_embeddings": 64})
    };
    let config = read_json(&changed("rope_scaling", scaling(pairs))).unwrap();
    assert_eq!(config.max_position_embeddings, 64);
    let expected = format!("{} values, expected {pairs}, one a rotary pair", pairs + 1);
    assert_json_refused(&changed("rope_scaling", scaling(pairs + 1)), &["short_factor", &expected]);
}

#[test]
fn token_ids_of_both_files_are_merged() {
    let config = changed("eos_token_id", json!([2, 7]));
    let generation =
        json!({"eos_token_id": [5, 7], "bos_token_id": 3, "pad_token_id": 0, "temperature": 0.6});
    let ids = open_json(&config, Some(&generation)).unwrap().token_ids().unwrap();
    assert_eq!(ids, TokenIds { bos: Some(3), eos: vec![5, 7, 2], pad: Some(0) });

    let ids = open_json(&changed("pad_token_id", json!(-1)), None).unwrap().token_ids().unwrap();
    assert_eq!(ids, TokenIds { bos: Some(1), eos: vec![2], pad: None });

    for bad in [json!("</s>"), json!(-2), json!(1u64 << 40), json!([1, null]), json!(true), json!(1.5)] {
        let error = open_json(&changed("eos_token_id", bad), None).unwrap().token_ids().unwrap_err();
        assert_names(
            &error.to_string(),
            &["config.json", "eos_token_id", "a token id or a list of token ids"],
        );
    }
}

#[test]
fn broken_json_is_an_error() {
    for (text, part) in [
        (&b""[..], "EOF"),
        (b"[]", "expected an object"),
        (b"{\"model_type\": \"llama\", \"model_type\": \"qwen3\"}", "stands twice"),
        (b"{\"model_type\": \"llama\", \"rope_theta\": 1e999}", "out of range"),
        (b"{\"model_type\": \"llama\", \"rope_theta\": NaN}", "expected value"),
    ] {
        let folder = folder(&[("config.json", text), ("model.safetensors", NO_TENSORS)]);
        let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert_names(&message, &["config.json", part]);
    }
    let nested = [&b"{\"model_type\": \"llama\", \"a\": "[..], &b"[".repeat(100_000)].concat();
    let folder = folder(&[("config.json", &nested), ("model.safetensors", NO_TENSORS)]);
    assert_names(&Checkpoint::open(folder.path()).unwrap_err().to_string(), &["recursion limit"]);
}

fn read_gguf(writer: &GgufWriter) -> Result<DecoderConfig, CheckpointError> {
    take_plain_decoder(Checkpoint::from_bytes("test.gguf", writer.finish().leak())?.config()?)
}

#[test]
fn gguf_metadata_are_read_under_the_same_names() {
    let expected = DecoderConfig {
        architecture: "llama".to_owned(),
        vocab_size: 8,
        hidden_size: 32,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 16,
        rotary_dim: 16,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope: Rope { theta: 10000.0, scaling: RopeScaling::None },
        tie_word_embeddings: true,
    };
    assert_eq!(read_gguf(&tiny_llama()).unwrap(), expected);
    let untied = tiny_llama().tensor("output.weight", 8, &[8, 32], &[0; 8 * 34]);
    assert!(!read_gguf(&untied).unwrap().tie_word_embeddings);
    let linear = tiny_llama()
        .entry("llama.rope.scaling.type", GgufValue::Str("linear"))
        .entry("llama.rope.scaling.factor", GgufValue::F32(2.5));
    assert_eq!(read_gguf(&linear).unwrap().rope.scaling, RopeScaling::Linear { factor: 2.5 });
}

#[test]
fn gguf_keys_that_are_not_understood_are_refused() {
    use GgufValue::{F32, Str, U32};
    for (key, value, parts) in [
        ("llama.expert_count", U32(8), [r#"key "llama.expert_count" = 8"#, "not understood"]),
        (
            "llama.attention.sliding_window",
            U32(64),
            [r#""llama.attention.sliding_window" = 64"#, "full attention"],
        ),
        ("llama.rope.scaling.type", Str("ntk"), [r#""llama.rope.scaling.type" = "ntk""#, "not supported"]),
        ("llama.rope.dimension_count", U32(8), [r#""llama.rope.dimension_count" = 8"#, "have 16"]),
        ("llama.attention.value_length", U32(8), [r#""llama.attention.value_length" = 8"#, "have 16"]),
        ("llama.rope.scaling.factor", F32(0.0), [r#""llama.rope.scaling.factor" is 0.0"#, "above 0"]),
        ("llama.rope.scaling.factor", F32(f32::NAN), ["llama.rope.scaling.factor", "finite"]),
        ("llama.hidden_size", U32(99), [r#""llama.hidden_size" = 99"#, "not understood"]),
    ] {
        let message = read_gguf(&tiny_llama().entry(key, value)).unwrap_err().to_string();
        assert_names(&message, &["test.gguf"]);
        assert_names(&message, &parts);
    }
    let per_layer = tiny_llama().raw_entry(b"llama.per_layer", 9, &array(4, 2, &[0; 8]));
    assert_names(&read_gguf(&per_layer).unwrap_err().to_string(), &[r#""llama.per_layer" = [0,0]"#]);
    let long = tiny_llama().raw_entry(b"llama.long", 9, &array(0, 70_000, &[0; 70_000]));
    assert_names(&read_gguf(&long).unwrap_err().to_string(), &["llama.long", "70000 u8"]);
    read_gguf(&tiny_llama().entry("qwen3.anything", U32(1))).unwrap();
}

#[test]
fn missing_gguf_keys_are_named_as_in_the_file() {
    let writer = GgufWriter::new().entry("general.architecture", GgufValue::Str("llama"));
    let message = read_gguf(&writer).unwrap_err().to_string();
    assert_names(&message, &[r#"tensor "model.embed_tokens.weight" is missing"#, "a vocabulary alone"]);
    let message =
        read_gguf(&writer.tensor("token_embd.weight", 0, &[2, 2], &[0; 16])).unwrap_err().to_string();
    assert_names(&message, &[r#"test.gguf: key "llama.embedding_length" is missing"#, "llama"]);
}

#[test]
fn special_tokens_lie_in_the_vocabulary() {
    let writer = tiny_llama().entry("tokenizer.ggml.eot_token_id", GgufValue::U32(8));
    let checkpoint = Checkpoint::from_bytes("test.gguf", writer.finish().leak()).unwrap();
    assert_names(
        &checkpoint.token_ids().unwrap_err().to_string(),
        &["eos_token_id", "is 8", "a token id below 8"],
    );
}

#[test]
fn a_published_configuration_is_read() {
    let Some(path) = shared("tokenizers/qwen3/config.json") else { return };
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let decoder = read_json(&config).unwrap();
    assert_eq!((decoder.architecture.as_str(), decoder.head_dim, decoder.hidden_size), ("qwen3", 128, 2560));
    assert_eq!((decoder.num_hidden_layers, decoder.rope.theta), (36, 5e6));
}
