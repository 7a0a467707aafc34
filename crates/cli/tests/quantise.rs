//! `resident quantize`, `synth`, `perplexity` and `--weights`.

mod common;

use common::resident;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The model that is part of the program, as a file.
fn model() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/default.gguf")).to_owned()
}

fn story(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("story.txt");
    fs::write(
        &path,
        "Once upon a time there was a little dog. He liked to play in the park with his friend. ".repeat(4),
    )
    .unwrap();
    path
}

#[test]
fn a_quantised_file_runs_and_its_cost_is_reported() {
    let folder = TempDir::new().unwrap();
    let (out, story) = (folder.path().join("q4.gguf"), story(&folder));
    let quantize = || {
        let run = resident(["quantize", "--to", "q4_0", "--device", "cpu", "-m"]).argument(model());
        run.argument("--out").argument(&out).argument("--text").argument(&story)
    };
    let found: Value = quantize().argument("--json").run().expect(0).json();
    assert_eq!(found["file_bytes"].as_u64(), Some(fs::metadata(&out).unwrap().len()));
    assert!(found["bytes"].as_u64() < found["bytes_before"].as_u64(), "{found}");
    assert!(found["divergence"]["mean_kl"].as_f64().is_some_and(|kl| kl > 0.0 && kl < 0.5), "{found}");
    let classes = found["classes"].as_array().unwrap();
    let down = classes.iter().find(|class| class["name"] == "mlp.down_proj").unwrap();
    assert!(down["relative_error"].as_f64().is_some_and(|error| error > 1e-3 && error < 0.2), "{down}");
    let text = quantize().run().expect(0);
    assert!(
        text.text().contains("KL divergence mean") && text.text().contains("mlp.down_proj"),
        "{}",
        text.text()
    );
    // Nothing but the two files is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    let run = |path: &Path, weights: &[&str]| -> Value {
        let flags = ["run", "Once upon", "--max-tokens", "8", "--device", "cpu", "--json", "-m"];
        resident(flags).argument(path).arguments(weights).run().expect(0).json()
    };
    let (written, loaded) = (run(&out, &[]), run(&model(), &["--weights", "q4"]));
    assert_eq!(written["generation"]["text"], loaded["generation"]["text"]);
    let formats = loaded["model"]["weights_format"].as_str().unwrap();
    assert_eq!(written["model"]["weights_format"].as_str(), Some(formats));
    assert!(formats.contains("q4_0"), "{formats}");
}

#[test]
fn a_synthetic_file_says_what_the_synthetic_model_says() {
    let folder = TempDir::new().unwrap();
    let (spec, out) = ("synth:stories15m:q8_0", folder.path().join("synth.gguf"));
    let made: Value = resident(["synth", spec, "--json", "--out"]).argument(&out).run().expect(0).json();
    assert_eq!(made["file_bytes"].as_u64(), Some(fs::metadata(&out).unwrap().len()));
    assert_eq!((&made["spec"], &made["weights_format"]), (&spec.into(), &"q8_0".into()));
    // Nine a layer, the embedding and the last norm.
    assert_eq!(made["tensors"], 6 * 9 + 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let run = |model: &Path| -> Value {
        let flags = ["run", "Once upon a time", "--max-tokens", "8", "--device", "cpu", "--json", "-m"];
        resident(flags).argument(model).run().expect(0).json()
    };
    let (file, synthetic) = (run(&out), run(Path::new(spec)));
    let text = file["generation"]["text"].as_str().unwrap();
    assert_eq!(synthetic["generation"]["text"], text);
    assert!(text.split_whitespace().count() > 3, "{text:?}");
    assert_eq!(file["model"]["parameters"], synthetic["model"]["parameters"]);
}

#[test]
fn perplexity_is_measured_in_chunks() {
    let folder = TempDir::new().unwrap();
    let flags = ["perplexity", "--device", "cpu", "--context", "32", "--file"];
    let measure = || resident(flags).argument(story(&folder));
    let found: Value = measure().argument("--json").run().expect(0).json();
    assert_eq!(found["context"], 32);
    assert_eq!(found["tokens"].as_u64(), found["chunks"].as_u64().map(|chunks| chunks * 15));
    let perplexity = found["perplexity"].as_f64().unwrap();
    assert!(perplexity > 1.0 && perplexity < 1e5 && found["error"].as_f64().unwrap() > 0.0, "{found}");
    let text = measure().run().expect(0);
    assert!(text.text().starts_with(&format!("{perplexity:.4} ± ")), "{}", text.text());
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty.txt");
    fs::write(&empty, "").unwrap();
    let measure = resident(["perplexity", "--device", "cpu", "--file"]);
    measure.argument(&empty).fails(1, &["expected at least 4"]);
    let quantize = |to: &str| resident(["quantize", "--to", to, "-m"]).argument(model()).argument("--out");
    quantize("q8_0").argument(folder.path().join("no/out.gguf")).fails(1, &["there is no folder"]);
    quantize("q8_0").argument(folder.path()).fails(1, &["this is a directory"]);
    let unknown = quantize("q3_k").argument(folder.path().join("out.gguf")).run().expect(2);
    assert!(unknown.stderr.contains("q4_k_m"), "{}", unknown.stderr);
    let synthetic = ["bench", "-m", "synth:qwen3-0.6b:q8_0", "--weights", "q4", "--device", "cpu"];
    resident(synthetic).fails(2, &["leave --weights out"]);
    let synth = |spec: &str| resident(["synth", spec, "--out"]).argument(folder.path().join("synth.gguf"));
    let unknown = synth("synth:").run().expect(2);
    assert!(unknown.stderr.contains("SHAPE one of qwen3-0.6b"), "{}", unknown.stderr);
    synth("synth:stories15m:q3_k").fails(1, &["288 elements", "256"]);
    synth("synth:qwen3-0.6b:q3_k").fails(1, &["q3_k have 8 bits"]);
    resident(["synth", "synth:stories15m:q8_0", "--out", "/no/such/x.gguf"])
        .fails(1, &["there is no folder"]);
    let blocks = ["bench", "-m", "synth:smollm2-135m:q4_k", "--device", "cpu"];
    resident(blocks).fails(1, &["a row of 576 elements is no multiple of the 256"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no half a file is left");
}
