//! `resident show`, and models that are too large for the machine.

mod common;

use common::{resident, tiny_llama};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn a_small_model_is_shown_and_fits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tiny.gguf");
    fs::write(&path, tiny_llama().finish()).unwrap();
    let show = || resident(["show", "--device", "cpu", "-m"]).argument(&path);
    let shown: Value = show().argument("--json").run().expect(0).json();
    assert_eq!((&shown["architecture"], &shown["max_context"]), (&"llama".into(), &64.into()));
    assert_eq!((&shown["fits"], &shown["longest_context"]), (&true.into(), &64.into()));
    // Of the file: matrices in q8_0, three norms in f32.
    let stored = shown["stored"].as_array().unwrap();
    let types: Vec<_> =
        stored.iter().map(|row| (row["type"].as_str().unwrap(), row["tensors"].as_u64().unwrap())).collect();
    assert!(types.contains(&("f32", 3)) && types[0].0 == "q8_0", "{types:?}");
    // One layer's keys and values: 64 positions of one head of 16 in f16.
    assert_eq!(shown["kv_cache_bytes"], 2 * 64 * 16 * 2);
    let text = show().arguments(["--context", "32", "--kv-cache", "f32"]).run().expect(0);
    for says in ["llama, ", "KV cache (f32, 32 positions)", "fits, with a context of up to 64", "3 tensors"] {
        assert!(text.text().contains(says), "{says}: {}", text.text());
    }
    show().arguments(["--context", "65"]).fails(2, &["--context is 65, expected 1 to 64"]);
}

#[test]
fn a_model_beyond_the_machine_is_refused_at_once() {
    let model = ["-m", "synth:gemma3-27b:bf16", "--device", "cpu"];
    let shown: Value =
        resident(["show", "--context", "1024", "--json"]).arguments(model).run().expect(0).json();
    if shown["fits"] == true {
        return eprintln!("skipped: this machine has memory for {}", model[1]);
    }
    assert_eq!(shown["parameters"], 27_009_346_304_u64);
    let started = Instant::now();
    let outcome = resident(["bench"]).arguments(model).limited().run().expect(1);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for says in
        ["does not fit", "weights (bf16)", "50.3 GiB", "KV cache", "work space", "in all", "available"]
    {
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
    assert_eq!(outcome.text(), "");
}
