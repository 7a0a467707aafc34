//! What each architecture takes of a configuration, and what it refuses by key and value.

use crate::gguf_writer::{GgufWriter, Value as GgufValue, tiny_llama};
use crate::support::{assert_names, folder};
use resident_models::checkpoint::Checkpoint;
use resident_models::{ModelError, max_context};
use serde_json::{Value, json};

/// A safetensors file without tensors.
const NO_TENSORS: &[u8] = b"\x02\0\0\0\0\0\0\0{}";

/// A configuration that the architecture takes, with these keys beside what all have.
fn config(model_type: &str, class: &str, own: Value) -> Value {
    let mut config = json!({
        "architectures": [class],
        "model_type": model_type,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "vocab_size": 256,
    });
    merge(&mut config, own);
    config
}

fn merge(config: &mut Value, own: Value) {
    let Value::Object(own) = own else { panic!("an object") };
    own.into_iter().for_each(|(key, value)| config[key] = value);
}

fn llama() -> Value {
    config("llama", "LlamaForCausalLM", json!({"hidden_act": "silu"}))
}

fn mistral() -> Value {
    config("mistral", "MistralForCausalLM", json!({"hidden_act": "silu", "sliding_window": 16}))
}

fn qwen2() -> Value {
    let own = json!({"use_sliding_window": false, "sliding_window": 16, "max_window_layers": 2});
    config("qwen2", "Qwen2ForCausalLM", own)
}

fn qwen3_moe() -> Value {
    let own = json!({"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [], "head_dim": 32});
    config("qwen3_moe", "Qwen3MoeForCausalLM", own)
}

fn gemma2() -> Value {
    let own = json!({"hidden_activation": "gelu_pytorch_tanh", "head_dim": 32, "sliding_window": 16,
        "query_pre_attn_scalar": 24, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0});
    config("gemma2", "Gemma2ForCausalLM", own)
}

fn gemma3() -> Value {
    let own = json!({"hidden_activation": "gelu_pytorch_tanh", "head_dim": 32, "sliding_window": 16,
        "query_pre_attn_scalar": 24, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 2});
    config("gemma3_text", "Gemma3ForCausalLM", own)
}

fn phi3() -> Value {
    config(
        "phi3",
        "Phi3ForCausalLM",
        json!({"sliding_window": null, "original_max_position_embeddings": 128}),
    )
}

fn smollm3() -> Value {
    config("smollm3", "SmolLM3ForCausalLM", json!({"no_rope_layers": [1, 1, 1, 0], "pretraining_tp": 2}))
}

/// The context length that the architecture makes of a configuration.
fn read(config: &Value) -> Result<u32, ModelError> {
    let folder = folder(&[("config.json", config.to_string().as_bytes()), ("model.safetensors", NO_TENSORS)]);
    max_context(&Checkpoint::open(folder.path())?)
}

fn changed(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

#[test]
fn every_architecture_takes_its_configuration_and_nothing_else() {
    for config in [llama(), mistral(), qwen2(), qwen3_moe(), gemma2(), gemma3(), phi3(), smollm3()] {
        assert_eq!(read(&config).expect("a plain configuration"), 512);
        let message = read(&changed(config, "attention_sinks", json!(4))).unwrap_err().to_string();
        assert_names(&message, &["config.json", r#"key "attention_sinks" = 4"#, "not understood"]);
    }
}

#[test]
fn what_is_not_implemented_is_refused_by_key_and_value() {
    for (config, key, value, shown) in [
        (llama(), "hidden_act", json!("gelu"), r#""gelu" is not supported; have "silu""#),
        (llama(), "rope_interleaved", json!(true), "true is not supported"),
        (llama(), "partial_rotary_factor", json!(0.5), "0.5 is not supported"),
        (llama(), "sliding_window", json!(16), "16 is not supported; have full attention"),
        (mistral(), "sliding_window", json!(0), "is 0, expected a whole number"),
        (mistral(), "layer_types", json!(["full_attention"]), "is 1 values, expected 4"),
        (qwen2(), "use_mrope", json!(true), "true is not supported"),
        (qwen2(), "layer_types", json!(["a", "b", "c", "d"]), r#""a" is not supported"#),
        (qwen3_moe(), "num_experts", json!(4096), "is 4096, expected at most 1024"),
        (qwen3_moe(), "num_experts_per_tok", json!(9), "is 9, expected at most num_experts, 8"),
        (qwen3_moe(), "num_local_experts", json!(4), ""),
        (gemma2(), "hidden_activation", json!("gelu"), r#""gelu" is not supported"#),
        (gemma2(), "sliding_window_size", json!(17), "is 17, expected the same as sliding_window"),
        (gemma2(), "query_pre_attn_scalar", json!(null), "is missing"),
        (gemma3(), "attn_logit_softcapping", json!(50.0), "50.0 is not supported; have null"),
        (gemma3(), "use_bidirectional_attention", json!(true), "true is not supported"),
        (phi3(), "attention_bias", json!(true), "true is not supported"),
        (phi3(), "partial_rotary_factor", json!(1.5), "is 1.5, expected at most 1"),
        (phi3(), "partial_rotary_factor", json!(0.2), "is 3 of 16 elements, expected an even number"),
        (smollm3(), "no_rope_layers", json!([1, 0]), "is 2 values, expected 4"),
    ] {
        let message = read(&changed(config, key, value)).unwrap_err().to_string();
        let key = if key == "num_local_experts" { "num_experts" } else { key };
        assert_names(&message, &["config.json", &format!("key {key:?}"), shown]);
    }
}

#[test]
fn a_window_without_a_size_is_refused() {
    let types = json!(["full_attention", "sliding_attention", "full_attention", "full_attention"]);
    let config = changed(changed(mistral(), "sliding_window", Value::Null), "layer_types", types);
    assert_names(
        &read(&config).unwrap_err().to_string(),
        &["layer_types", "sliding_attention", "sliding_window"],
    );
}

#[test]
fn gemma3_has_two_rotary_bases_in_both_spellings() {
    let mut new = gemma3();
    for key in ["rope_theta", "rope_local_base_freq"] {
        new[key] = Value::Null;
    }
    new["rope_parameters"] = json!({
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    });
    read(&new).unwrap();
    new["rope_parameters"]["chunked_attention"] = json!({"rope_theta": 1e4});
    assert_names(
        &read(&new).unwrap_err().to_string(),
        &["rope_parameters.chunked_attention", "not understood"],
    );
    let old = changed(gemma3(), "rope_scaling", json!({"rope_type": "yarn"}));
    assert_names(&read(&old).unwrap_err().to_string(), &["rope_scaling.factor", "missing"]);
}

#[test]
fn a_language_model_inside_one_that_sees_fills_up_with_the_defaults_of_its_class() {
    // As the published 4B model has it.
    let mut config = json!({
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": 255_999,
        "eoi_token_index": 256_000,
        "image_token_index": 262_144,
        "mm_tokens_per_image": 256,
        "eos_token_id": [1, 106],
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152},
    });
    assert_eq!(read(&config).unwrap(), 131_072);
    config["text_config"]["model_type"] = json!("gemma4_text");
    assert_names(&read(&config).unwrap_err().to_string(), &["text_config.model_type", "gemma4_text"]);
    config["text_config"] = json!({"num_hidden_layers": 34, "window_sinks": 1});
    assert_names(&read(&config).unwrap_err().to_string(), &[r#"key "window_sinks" = 1"#]);
    config["text_config"] = Value::Null;
    assert_names(&read(&config).unwrap_err().to_string(), &["text_config", "an object"]);
}

#[test]
fn longrope_ends_at_the_original_context() {
    let scaling = |factors: usize| json!({"type": "longrope", "short_factor": vec![1.5; factors], "long_factor": [2.0]});
    let config = changed(phi3(), "rope_scaling", scaling(8));
    assert_eq!(read(&config).unwrap(), 128);
    let message = read(&changed(phi3(), "rope_scaling", scaling(7))).unwrap_err().to_string();
    assert_names(&message, &["short_factor", "is 7 values, expected 8"]);
    let mut other = scaling(8);
    other["factor"] = json!(3.0);
    let message = read(&changed(phi3(), "rope_scaling", other)).unwrap_err().to_string();
    assert_names(&message, &["rope_scaling.factor", "is 3, expected max_position_embeddings / original"]);
}

#[test]
fn yarn_needs_a_context_to_begin_with_or_takes_the_models() {
    for scaling in [
        json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}),
        json!({"type": "yarn", "factor": 4.0, "beta_fast": 16, "mscale": 0.7, "mscale_all_dim": 1.0, "truncate": false}),
        json!({"rope_type": "dynamic", "factor": 2.0}),
    ] {
        read(&changed(llama(), "rope_scaling", scaling)).unwrap();
    }
    let message =
        read(&changed(llama(), "rope_scaling", json!({"rope_type": "yarn", "factor": 4.0, "gamma": 2})));
    assert_names(&message.unwrap_err().to_string(), &[r#""rope_scaling.gamma" = 2"#, "not understood"]);
}

fn read_gguf(writer: &GgufWriter) -> Result<u32, ModelError> {
    max_context(&Checkpoint::from_bytes("test.gguf", writer.finish().leak())?)
}

#[test]
fn gguf_keys_about_windows_and_scaling_are_taken_or_refused() {
    use GgufValue::{F32, Str, U32};
    read_gguf(&tiny_llama().entry("llama.attention.sliding_window", U32(16))).unwrap();
    read_gguf(&tiny_llama().entry("llama.attention.sliding_window", U32(0))).unwrap();
    let yarn = || {
        tiny_llama()
            .entry("llama.rope.scaling.type", Str("yarn"))
            .entry("llama.rope.scaling.factor", F32(4.0))
            .entry("llama.rope.scaling.original_context_length", U32(16))
    };
    read_gguf(&yarn()).unwrap();
    let message = read_gguf(&yarn().entry("llama.rope.scaling.yarn_ext_factor", F32(0.5))).unwrap_err();
    assert_names(&message.to_string(), &[r#""llama.rope.scaling.yarn_ext_factor" = 0.5"#, "have 1"]);
    let message = read_gguf(&yarn().entry("llama.rope.scaling.yarn_log_multiplier", F32(0.1))).unwrap_err();
    assert_names(&message.to_string(), &["llama.rope.scaling.yarn_log_multiplier", "not understood"]);
    let message = read_gguf(&tiny_llama().entry("llama.expert_count", U32(8))).unwrap_err();
    assert_names(&message.to_string(), &[r#"key "llama.expert_count" = 8"#, "not understood"]);
}
