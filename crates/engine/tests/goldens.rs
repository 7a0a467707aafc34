//! Models against the logits and greedy texts of an independent implementation, on the CPU device and through Vulkan.

mod common;

use common::{data, devices, load, load_with};
use resident_engine::{EngineOptions, Executor, Golden, OpenModel};
use resident_runtime::Kind;

/// Verifies one model on every device.
fn verify(model: &str, golden: &str) {
    let (Some(model), Some(golden)) = (data(model), data(golden)) else { return };
    let golden = Golden::open(&golden).expect("golden");
    let open = OpenModel::open(&model).expect("model");
    for choice in devices() {
        let context = golden.context().min(open.max_context().expect("context"));
        let mut engine = load(&open, &choice, context, true);
        let result = engine.verify(&golden).expect("verify");
        assert!(engine.validation_messages().is_empty(), "{:#?}", engine.validation_messages());
        assert!(result.passed, "{} on {}: {result:#?}", model.display(), choice.kind());
    }
}

fn folder(name: &str) {
    let folder = format!("goldens-dev/{name}");
    verify(&folder, &format!("{folder}/golden.safetensors"));
}

fn gguf(stem: &str) {
    verify(&format!("{stem}.gguf"), &format!("{stem}.golden.safetensors"));
}

/// Decodes without barriers: the consumers of a value wait for the value.
#[test]
fn handed_over() {
    for stem in [
        "qwen3/gguf/qwen3-F16",
        "llama3/gguf/llama3-Q8_0",
        "gemma3/gguf/gemma3-Q8_0",
        "qwen3moe/gguf/qwen3moe-Q8_0",
    ] {
        let path = |end| data(&format!("goldens-dev/{stem}{end}"));
        let (Some(model), Some(golden)) = (path(".gguf"), path(".golden.safetensors")) else { return };
        let golden = Golden::open(&golden).expect("golden");
        let open = OpenModel::open(&model).expect("model");
        for choice in devices().into_iter().filter(|choice| choice.kind() != Kind::Cpu) {
            let options = EngineOptions::exact(golden.context());
            let options = EngineOptions { executor: Some(Executor::Handover), ..options };
            let mut engine = load_with(&open, &choice, options);
            assert_eq!(engine.executor().executor, Executor::Handover);
            let result = engine.verify(&golden).expect("verify");
            assert!(engine.validation_messages().is_empty(), "{:#?}", engine.validation_messages());
            assert!(result.passed, "{stem} on {}: {result:#?}", choice.kind());
        }
    }
}

#[test]
fn qwen3_f32() {
    folder("qwen3/f32");
}

#[test]
fn qwen3_bf16() {
    folder("qwen3/bf16");
}

#[test]
fn qwen3_gguf() {
    for format in ["Q8_0", "F16", "Q4_0", "Q4_K_M", "Q6_K"] {
        gguf(&format!("goldens-dev/qwen3/gguf/qwen3-{format}"));
    }
}

#[test]
fn llama_f32() {
    folder("llama/f32");
}

#[test]
fn llama_bf16() {
    folder("llama/bf16");
}

#[test]
fn llama_gguf() {
    gguf("goldens-dev/llama/gguf/llama-Q8_0");
}

#[test]
fn llama3_f32() {
    folder("llama3/f32");
}

#[test]
fn llama3_bf16() {
    folder("llama3/bf16");
}

#[test]
fn llama3_gguf() {
    gguf("goldens-dev/llama3/gguf/llama3-Q8_0");
    gguf("goldens-dev/llama3/gguf/llama3-Q4_0");
}

#[test]
fn mistral() {
    folder("mistral/f32");
    folder("mistral/bf16");
}

#[test]
fn qwen2() {
    folder("qwen2/f32");
    folder("qwen2/bf16");
    gguf("goldens-dev/qwen2/gguf/qwen2-Q8_0");
}

#[test]
fn gemma2() {
    folder("gemma2/f32");
    folder("gemma2/bf16");
}

#[test]
fn gemma3() {
    folder("gemma3/f32");
    folder("gemma3/bf16");
    gguf("goldens-dev/gemma3/gguf/gemma3-Q8_0");
    gguf("goldens-dev/gemma3/gguf/gemma3-Q4_0");
}

#[test]
fn gemma3_with_linear_scaling() {
    folder("gemma3-linear/f32");
    folder("gemma3-linear/bf16");
}

#[test]
fn qwen3moe() {
    folder("qwen3moe/f32");
    folder("qwen3moe/bf16");
    gguf("goldens-dev/qwen3moe/gguf/qwen3moe-Q8_0");
}

/// Configurations as transformers 5 writes them mean the same; the CPU device is enough to see that.
#[test]
fn configurations_of_transformers_5() {
    for name in ["gemma2", "gemma3", "gemma3-linear", "mistral", "qwen2", "qwen3moe"] {
        let Some(path) = data(&format!("goldens-dev/{name}/bf16")) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        for file in std::fs::read_dir(&path).expect("the model").map(|entry| entry.expect("a file")) {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
        }
        std::fs::rename(folder.path().join("config.v5.json"), folder.path().join("config.json"))
            .expect("renamed");
        let golden = Golden::open(&path.join("golden.safetensors")).expect("golden");
        let open = OpenModel::open(folder.path()).expect("model");
        for choice in devices().into_iter().filter(|choice| choice.kind() == Kind::Cpu) {
            let result = load(&open, &choice, golden.context(), true).verify(&golden).expect("verify");
            assert!(result.passed, "{name}: {result:#?}");
        }
    }
}

#[test]
fn stories260k() {
    verify("stories260K/hf", "stories260K/golden.safetensors");
    for format in ["F32", "F16", "Q8_0", "Q4_0"] {
        gguf(&format!("stories260K/gguf/stories260K-{format}"));
    }
}

#[test]
fn the_default_model() {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets");
    let golden =
        Golden::open(std::path::Path::new(&format!("{assets}/default.golden.safetensors"))).expect("golden");
    let open = OpenModel::open(std::path::Path::new(&format!("{assets}/default.gguf"))).expect("model");
    for choice in devices() {
        let result = load(&open, &choice, golden.context(), true).verify(&golden).expect("verify");
        assert!(result.passed, "{}: {result:#?}", choice.kind());
    }
}
