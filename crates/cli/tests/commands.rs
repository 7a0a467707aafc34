//! `resident verify`, `logits`, `bench`, `devices`, help, and the exit codes of requests that cannot be met.

mod common;

use common::{Outcome, data, devices, resident, tiny_llama, vulkan};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const STORIES: &str = "stories260K/gguf/stories260K-Q8_0.gguf";
const GOLDEN: &str = "stories260K/gguf/stories260K-Q8_0.golden.safetensors";
/// The commands that choose a device, each complete.
const ON_A_DEVICE: [&[&str]; 4] = [
    &["run", "Once", "--max-tokens", "1"],
    &["logits", "--tokens", "1", "--out", "/dev/null"],
    &["verify", "--golden"],
    &["bench", "--prompt", "4", "--gen", "2", "--repeat", "1"],
];

/// A golden's tensors, to be changed.
struct Golden(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Golden {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let owned = |view: &TensorView| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        Self(tensors.iter().map(|(name, view)| (name.to_owned(), owned(&view))).collect())
    }

    fn set_f32(mut self, tensor: &str, index: usize, change: impl Fn(f32) -> f32) -> Self {
        let bytes = &mut self.0.get_mut(tensor).expect("the tensor is there").2[4 * index..][..4];
        let value = change(f32::from_le_bytes(bytes.try_into().unwrap()));
        bytes.copy_from_slice(&value.to_le_bytes());
        self
    }

    fn set_i32(mut self, tensor: &str, index: usize, value: i32) -> Self {
        let bytes = &mut self.0.get_mut(tensor).expect("the tensor is there").2;
        bytes[4 * index..][..4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn without(mut self, tensor: &str) -> Self {
        self.0.remove(tensor).expect("the tensor is there");
        self
    }

    fn write(&self, folder: &TempDir) -> PathBuf {
        let views = self.0.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).expect("a tensor"))
        });
        let path = folder.path().join("changed.safetensors");
        fs::write(&path, safetensors::serialize(views, None).expect("safetensors")).unwrap();
        path
    }
}

/// `resident verify` of the stories model on the CPU device.
fn verify(golden: &Path) -> common::Resident {
    resident(["verify", "--device", "cpu", "-m"])
        .argument(data(STORIES).unwrap())
        .argument("--golden")
        .argument(golden)
}

#[test]
fn verify_passes_a_sound_model_on_every_device() {
    let (Some(model), Some(golden)) = (data(STORIES), data(GOLDEN)) else { return };
    for (device, kind) in devices() {
        let run = || {
            resident(["verify", "--device", device, "-m"])
                .argument(&model)
                .argument("--golden")
                .argument(&golden)
        };
        let table = run().run().expect(0);
        assert!(table.line().starts_with(&format!("passed on {kind} ")), "{}", table.line());
        for prompt in ["bos ", "lily ", "once "] {
            let row =
                table.text().lines().find(|line| line.starts_with(prompt)).expect("a row for the prompt");
            assert!(row.ends_with("64/64"), "{row}");
        }
        let json: Value = run().argument("--json").run().expect(0).json();
        assert_eq!(json["device"]["kind"], kind);
        assert_eq!(json["verification"]["passed"], true);
        let prompts = json["verification"]["prompts"].as_array().expect("prompts");
        assert_eq!(prompts.len(), 3);
        for prompt in prompts {
            assert_eq!(
                (&prompt["greedy_equal"], &prompt["greedy_expected"]),
                (&Value::from(64), &Value::from(64))
            );
            assert!(prompt["max_abs"].as_f64().expect("a number") < 2e-3, "{prompt}");
        }
        assert_eq!(json["counters"]["after_seal"]["allocations"], 0);
    }
}

#[test]
fn verify_fails_when_one_value_differs() {
    let Some(golden) = data(GOLDEN) else { return };
    let folder = TempDir::new().unwrap();
    let sound = || Golden::read(&golden);
    for (changed, prompt) in [
        (sound().set_f32("lily.logits", 18 * 512 + 300, |logit| logit + 0.01), "lily"),
        (sound().set_i32("once.greedy", 63, 3), "once"),
        (sound().set_i32("once.ids", 2, 9), "once"),
    ] {
        let path = changed.write(&folder);
        let table = verify(&path).run().expect(3);
        assert!(table.line().starts_with("FAILED on cpu "), "{}", table.line());
        let failed: Vec<&str> = table.text().lines().filter(|line| line.ends_with("FAILED")).collect();
        assert!(failed.len() == 1 && failed[0].starts_with(prompt), "{}", table.text());
        let json: Value = verify(&path).argument("--json").run().expect(3).json();
        assert_eq!(json["verification"]["passed"], false);
    }
}

#[test]
fn verify_refuses_goldens_that_do_not_fit() {
    let (Some(golden), Some(other)) = (data(GOLDEN), data("goldens-dev/llama/f32")) else { return };
    let folder = TempDir::new().unwrap();
    let sound = || Golden::read(&golden);
    for (changed, says) in [
        (sound().without("once.logits"), "once.logits is missing"),
        (sound().without("once.greedy"), "once.greedy is missing"),
        (sound().set_i32("once.ids", 0, -1), "once.ids: token -1"),
        (sound().set_f32("bos.logits", 3, |_| f32::NAN), "bos.logits: value 3 is NaN"),
        (sound().set_f32("once.logits", 7, |_| f32::INFINITY), "once.logits: value 7 is inf"),
        (sound().set_i32("once.ids", 0, 512), "token 0 is 512, expected less than 512"),
    ] {
        verify(&changed.write(&folder)).limited().fails(1, &["changed.safetensors", says]);
    }
    let vocabulary = "are no rows of the model's vocabulary, 512";
    verify(&other.join("golden.safetensors")).limited().fails(1, &["golden.safetensors", vocabulary]);
    verify(&other.join("model.safetensors"))
        .limited()
        .fails(1, &["model.safetensors", "no tensor named '<prompt>.ids'"]);
    verify(&other.join("config.json")).limited().fails(1, &["config.json", "no safetensors file"]);
    verify(&other.join("missing")).limited().fails(1, &["missing", "No such file or directory"]);
    verify(&other).limited().fails(1, &["f32", "no file"]);
    let cut = folder.path().join("cut.safetensors");
    let bytes = fs::read(&golden).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    verify(&cut).limited().fails(1, &["cut.safetensors", "no safetensors file"]);
}

#[test]
fn logits_are_those_of_the_golden() {
    let (Some(model), Some(golden)) = (data(STORIES), data(GOLDEN)) else { return };
    let golden = Golden::read(&golden);
    let (_, _, ids) = &golden.0["lily.ids"];
    let ids: Vec<String> =
        ids.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).to_string()).collect();
    let (_, shape, expected) = &golden.0["lily.logits"];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ids.txt");
    fs::write(&file, ids.join("\n")).unwrap();
    for (device, kind) in devices() {
        let out = folder.path().join("logits.safetensors");
        let run = || {
            resident(["logits", "--device", device, "-m"]).argument(&model).argument("--out").argument(&out)
        };
        let listed = run().arguments(["--tokens", &ids.join(",")]).run().expect(0);
        assert!(
            listed.line().starts_with(&format!("{kind} ")) && listed.line().contains(" · 19 positions · ")
        );
        assert_eq!(listed.text(), "");
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(tensors.names(), ["logits"]);
        let logits = tensors.tensor("logits").unwrap();
        assert_eq!((logits.dtype(), logits.shape()), (Dtype::F32, &shape[..]));
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let pairs = floats(logits.data()).into_iter().zip(floats(expected));
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-3, "{kind}: {worst}");

        run().argument("--tokens-file").argument(&file).run().expect(0);
        assert_eq!(fs::read(&out).unwrap(), bytes, "the same ids from a file");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left in the folder");
}

#[test]
fn embed_gives_each_text_a_vector_of_length_1() {
    let embed = |arguments: &[&str]| resident(["embed", "--device", "cpu"]).arguments(arguments);
    embed(&["Once"]).fails(2, &["does not say how it pools", "--pooling"]);
    let texts = ["Once upon a time", "a dog", "Once upon a time"];
    let json: serde_json::Value =
        serde_json::from_str(embed(&["--pooling", "mean"]).arguments(texts).run().expect(0).text()).unwrap();
    let found = json["embeddings"].as_array().unwrap();
    assert_eq!((json["pooling"].as_str(), found.len()), (Some("mean"), 3));
    let vector = |index: usize| -> Vec<f64> {
        found[index]["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    for index in 0..3 {
        assert_eq!(vector(index).len() as u64, json["dimensions"].as_u64().unwrap());
        let length = vector(index).iter().map(|value| value * value).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert!(vector(0) == vector(2) && vector(0) != vector(1));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("texts.txt");
    fs::write(&file, texts.join("\n")).unwrap();
    let from_file = embed(&["--pooling", "mean", "--file"]).argument(&file).run().expect(0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(from_file.text()).unwrap(), json);
    let Some(model) = data("goldens-dev/qwen3/f32") else { return };
    let flags = ["--pooling", "mean", "one", ""];
    resident(["embed", "--device", "cpu", "-m"])
        .argument(&model)
        .arguments(flags)
        .fails(1, &["text 2 is empty"]);
}

/// Every command that chooses a device, with these flags.
fn on_a_device(flags: &[&str]) -> Vec<Outcome> {
    let golden = data(GOLDEN);
    let complete = ON_A_DEVICE.iter().filter_map(|command| {
        let run = resident(*command);
        let run = if command[0] == "verify" { run.argument(golden.as_ref()?) } else { run };
        Some(run.arguments(flags).env("VK_LOADER_DRIVERS_SELECT", "*lvp*"))
    });
    complete.map(common::Resident::run).collect()
}

#[test]
fn a_required_gpu_that_is_not_there_has_an_exit_code_of_its_own() {
    let listed: Value =
        resident(["devices", "--json"]).env("VK_LOADER_DRIVERS_SELECT", "*lvp*").run().expect(0).json();
    let software = listed["devices"].as_array().expect("devices").iter().any(|d| d["kind"] == "software-gpu");
    let found = if software { "found gpu:0 llvmpipe" } else { "no driver" };
    let mut cases = vec![(&["--require-gpu"][..], "a hardware GPU is required")];
    cases.push((&["--require-gpu", "--device", "cpu"], "--device cpu contradicts --require-gpu"));
    cases.push((&["--device", "gpu:7"], "no device gpu:7"));
    if software {
        cases.push((&["--require-gpu", "--device", "gpu"], "a hardware GPU is required"));
        cases.push((&["--require-gpu", "--device", "gpu:0"], "a hardware GPU is required"));
    }
    for (flags, says) in cases {
        for outcome in on_a_device(flags) {
            let outcome = outcome.expect(4);
            assert!(
                outcome.line().starts_with("resident: ") && outcome.line().contains(says),
                "{}",
                outcome.line()
            );
            let names_what_was_found = outcome.line().contains(found) || flags.contains(&"cpu");
            assert!(names_what_was_found, "{}", outcome.line());
            assert_eq!(outcome.text(), "");
        }
    }
}

#[test]
fn without_any_driver_no_gpu_is_found() {
    for flags in [&["--require-gpu"][..], &["--device", "gpu"], &["--device", "gpu:0"]] {
        let run = resident(["run", "Once"]).arguments(flags).env("VK_DRIVER_FILES", "/nonexistent");
        run.fails(4, &["the Vulkan loader ", "install "]);
    }
    let listed = resident(["devices"]).env("VK_DRIVER_FILES", "/nonexistent").run().expect(0);
    assert!(
        listed.text().starts_with("cpu ") && listed.text().contains("no Vulkan device: "),
        "{}",
        listed.text()
    );
}

#[test]
fn devices_lists_each_with_rank_and_reason() {
    let json: Value = resident(["devices", "--json"]).run().expect(0).json();
    let listed = json["devices"].as_array().expect("a list");
    let (cpu, gpus) = listed.split_last().expect("at least the CPU device");
    assert_eq!((&cpu["device"], &cpu["kind"]), (&Value::from("cpu"), &Value::from("cpu")));
    assert_eq!(gpus.iter().any(|gpu| gpu["usable"] == true), vulkan().is_some());
    let text = resident(["devices"]).run().expect(0);
    for (index, device) in listed.iter().enumerate() {
        assert_eq!(device["rank"], index + 1);
        for key in ["device", "name", "kind", "type", "reason"] {
            assert!(device[key].as_str().is_some_and(|value| !value.is_empty()), "{key}: {device}");
        }
        for key in ["name", "type", "reason"] {
            let value = device[key].as_str().expect("text");
            assert!(text.text().contains(value), "{value} is missing in: {}", text.text());
        }
    }
    for gpu in gpus {
        assert!(gpu["device_local_bytes"].as_u64() > Some(0), "{gpu}");
        assert!(!gpu["features"].as_array().expect("features").is_empty());
        assert!(gpu["driver"].is_string() && gpu["vulkan"].is_string(), "{gpu}");
    }
}

#[test]
fn bench_measures_beside_the_limit_and_compares_with_an_earlier_run() {
    let folder = TempDir::new().unwrap();
    let (model, earlier) = (folder.path().join("tiny.gguf"), folder.path().join("earlier.json"));
    fs::write(&model, tiny_llama().finish()).unwrap();
    let bench = || {
        let flags = [
            "bench", "--prompt", "8", "--gen", "8", "--depth", "0,20", "--repeat", "2", "--device", "cpu",
            "-m",
        ];
        resident(flags).argument(&model)
    };
    let json = bench().argument("--json").run().expect(0);
    let measured: Value = json.json();
    let names: Vec<_> =
        measured["series"].as_array().expect("series").iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["prefill 8", "decode at 0", "decode at 20"]);
    let text = bench().run().expect(0);
    assert!(text.text().contains("decode at 20") && text.text().contains("tok/s"), "{}", text.text());

    let mut slow = measured.clone();
    let mut fast = measured;
    for (index, rate) in [1e-3, 1e15].into_iter().enumerate() {
        let series = [&mut slow, &mut fast][index]["series"].as_array_mut().expect("series");
        series.iter_mut().for_each(|s| s["tokens_per_second"] = serde_json::json!([rate, rate]));
    }
    fs::write(&earlier, slow.to_string()).unwrap();
    bench().argument("--baseline").argument(&earlier).run().expect(0);
    fs::write(&earlier, fast.to_string()).unwrap();
    let slower = bench().argument("--baseline").argument(&earlier).run().expect(3);
    assert!(slower.stderr.contains("slower than the baseline: "), "{}", slower.stderr);
    fs::write(&earlier, "{}").unwrap();
    bench().argument("--baseline").argument(&earlier).fails(1, &["earlier.json", "resident bench --json"]);
}

#[test]
fn help_and_version_are_complete() {
    let version = resident(["--version"]).run().expect(0);
    assert_eq!(version.text(), format!("resident {}\n", env!("CARGO_PKG_VERSION")));
    let commands = ["run", "logits", "embed", "verify", "bench", "quantize", "perplexity", "devices"];
    let top = resident(["--help"]).run().expect(0);
    for command in commands {
        assert!(
            top.text().lines().any(|line| line.trim_start().starts_with(command)),
            "{command} is not listed"
        );
        let help = resident([command, "--help"]).run().expect(0);
        let (_, examples) = help.text().split_once("\nExamples:\n").expect("examples");
        assert!(examples.starts_with(&format!("  resident {command}")), "{examples}");
        assert!(help.text().lines().all(|line| line.chars().count() <= 110), "{}", help.text());
        assert_eq!(help.stderr, "");
    }
    assert!(top.text().contains("\nExamples:\n") && top.text().contains("Exit codes: "));
    let nothing = resident::<&str>([]).run().expect(2);
    assert!(nothing.stderr.contains("Usage: resident <COMMAND>"), "{}", nothing.stderr);
}
