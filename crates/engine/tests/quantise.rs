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
    for name in [
        "stories260K/hf",
        "goldens-dev/llama3/f32",
        "goldens-dev/qwen2/f32",
        "goldens-dev/qwen3/f32",
        "goldens-dev/mistral/f32",
    ] {
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
    let Some(model) = data("goldens-dev/gemma3/f32") else { return };
    let error = OpenModel::open(&model).expect("model").export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("gemma3_text") && error.to_string().contains("GGUF"), "{error}");
    let synthetic = OpenModel::synthetic("synth:qwen3-0.6b:q4_k_m".parse().expect("a name"));
    let error = synthetic.export(Quantisation::Q8_0).err().expect("refused");
    assert!(error.to_string().contains("random weights"), "{error}");
}
