//! Models written as GGUF and read again: the same text, the same tokens, logits as near as the bits allow.

mod common;

use common::{data, devices, load};
use resident_engine::{Engine, OpenModel};
use resident_models::Quantisation;
use resident_runtime::Choice;
use std::fs::File;
use std::path::{Path, PathBuf};

const TEXT: &str = "Once upon a time, there was a little girl named Lily. She said: \"I'm 3 years old!\"\n\
                    Then   she went\thome; naïve café 東京 🙂 <|im_end|> and slept.";

fn cpu() -> Choice {
    devices().remove(0)
}

fn score_engine(model: &OpenModel, context: u32) -> Engine {
    load(model, &cpu(), context, true)
}

/// Writes a model of the shared data into a folder, and opens the file.
fn written(model: &Path, to: Quantisation, folder: &Path) -> (PathBuf, OpenModel) {
    let name = model.display().to_string().replace('/', "-");
    let path = folder.join(format!("{name}-{to}.gguf"));
    let open = OpenModel::open(model).expect("model");
    let export = open.export(to).expect("plan");
    let mut last = (0, 1);
    let classes = export
        .write(&mut File::create(&path).expect("file"), &mut |done, total| last = (done, total))
        .expect("write");
    assert_eq!(last.0, last.1, "progress ends where it should");
    assert!(classes.iter().all(|class| class.relative_error < 0.15), "{classes:#?}");
    assert_eq!(std::fs::metadata(&path).expect("file").len(), export.file_bytes());
    let written = OpenModel::open(&path).expect("written file");
    (path, written)
}

#[test]
fn folders_keep_tokenizer_and_logits() {
    let folder = tempfile::tempdir().expect("folder");
    let folders = ["llama3", "mistral", "qwen2", "qwen3", "qwen3moe", "gemma3"];
    let folders = folders.map(|name| format!("goldens-dev/{name}/f32"));
    for name in folders.iter().map(String::as_str).chain(["stories260K/hf"]) {
        let Some(model) = data(name) else { return };
        let base = OpenModel::open(&model).expect("model");
        let (_, written) = written(&model, Quantisation::F16, folder.path());
        let tokenizers = [&base, &written].map(|open| open.tokenizer().expect("tokenizer"));
        let [before, after] =
            tokenizers.each_ref().map(|tokenizer| tokenizer.encode(TEXT, true).expect("ids"));
        assert_eq!(before, after, "{name}");
        let [before_text, after_text] =
            tokenizers.each_ref().map(|tokenizer| tokenizer.decode(&before, true));
        assert_eq!(before_text, after_text, "{name}");
        assert_eq!(base.eos_ids().expect("eos"), written.eos_ids().expect("eos"), "{name}");
        assert_eq!(base.max_context().expect("context"), written.max_context().expect("context"));
        let ids = &before[..before.len().min(24)];
        let logits = [&base, &written].map(|open| score_engine(open, 24).score(ids).expect("logits"));
        let difference = resident_tensor::compare(&logits[1], &logits[0]);
        assert!(difference.relative_l2 < 5e-3, "{name}: {difference}");
    }
}

#[test]
fn files_keep_their_metadata_and_mixtures_their_quality() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(model) = data("stories260K/gguf/stories260K-F32.gguf") else { return };
    let base = OpenModel::open(&model).expect("model");
    let ids = base.tokenizer().expect("tokenizer").encode(&TEXT.repeat(3), false).expect("ids");
    for (to, most) in [(Quantisation::Q8_0, 1e-3), (Quantisation::Q4KM, 0.1), (Quantisation::Q4_0, 0.2)] {
        let (_, written) = written(&model, to, folder.path());
        let mut base_engine = score_engine(&base, 64);
        let mut engine = score_engine(&written, 64);
        let bos = Some(1);
        let found = engine.divergence(&mut base_engine, &ids, bos, &mut |_, _| {}).expect("divergence");
        assert!(
            found.mean_kl > 0.0 && found.mean_kl < most && found.max_kl >= found.mean_kl,
            "{to}: {found:?}"
        );
        let alone = base_engine.perplexity(&ids, bos, &mut |_, _| {}).expect("perplexity");
        assert!((alone.perplexity - found.base.perplexity).abs() < 1e-9 * alone.perplexity, "{found:?}");
        // Requantised while loading, a model computes what its file does.
        let loaded = OpenModel::open(&model).expect("model").with_weights(Some(to));
        let logits =
            [&loaded, &written].map(|open| score_engine(open, 24).score(&ids[..24]).expect("logits"));
        assert_eq!(logits[0], logits[1], "{to}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_by_name() {
    let Some(model) = data("goldens-dev/gemma2/f32") else { return };
    let error = OpenModel::open(&model).expect("model").export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("gemma2 has no other scale of the scores"), "{error}");
    let Some(model) = data("goldens-dev/llama/f32") else { return };
    let folder = tempfile::tempdir().expect("folder");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(model.join(file), folder.path().join(file)).expect("a copy");
    }
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["rope_scaling"] = serde_json::json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, "beta_fast": 20.0
    });
    std::fs::remove_file(&path).expect("read-only as its original");
    std::fs::write(&path, config.to_string()).expect("the configuration");
    let error =
        OpenModel::open(folder.path()).expect("model").export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("RoPE scaling") && error.to_string().contains("llama"), "{error}");
    config["rope_scaling"] = serde_json::Value::Null;
    std::fs::write(&path, config.to_string()).expect("the configuration");
    let path = folder.path().join("tokenizer.json");
    let pieces = r#"{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["a",-1.0]]}"#;
    let decoder = r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#;
    std::fs::remove_file(&path).expect("read-only as its original");
    std::fs::write(&path, format!(r#"{{"model":{pieces},"pre_tokenizer":{decoder},"decoder":{decoder}}}"#))
        .expect("a tokenizer");
    let error =
        OpenModel::open(folder.path()).expect("model").export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("Unigram"), "{error}");
    let synthetic = OpenModel::synthetic("synth:qwen3-0.6b:q4_k_m".parse().expect("a name"));
    let error = synthetic.export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("random weights"), "{error}");
}
