//! `resident run`: the text on stdout, the one line on stderr, the report, and how a text ends.

mod common;

use common::{Outcome, Resident, devices, resident, tiny_llama, with_u32};
use resident_ledger::{Counters, Report, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const PROMPT: &str = "Once upon a time";

/// A run of the embedded model.
fn embedded(device: &str, flags: &[&str]) -> Resident {
    resident(["run", PROMPT, "--device", device]).arguments(flags)
}

/// The generated text of a run that streams it.
fn text(outcome: &Outcome) -> &str {
    outcome.text().strip_suffix('\n').expect("the text ends with a line break")
}

/// The report of a run with `--json`.
fn report(run: Resident) -> Report {
    run.argument("--json").run().expect(0).json()
}

/// A file that holds a model of one layer that writes a letter at random, and one time in eight ends the text.
fn tiny() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tiny.gguf");
    fs::write(&path, tiny_llama().finish()).unwrap();
    (folder, path)
}

#[test]
fn the_embedded_model_writes_the_same_text_on_every_device() {
    let sampled = ["--temperature", "0.9", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.02"];
    let mut texts = Vec::new();
    for (device, kind) in devices() {
        let greedy = embedded(device, &["--max-tokens", "40", "--ignore-eos"]).run().expect(0);
        assert!(text(&greedy).chars().filter(char::is_ascii_lowercase).count() > 40, "{}", greedy.text());
        let line = greedy.line();
        assert!(line.starts_with(&format!("{kind} ")) && line.contains(" · 40 tokens · "), "{line}");
        assert!(line.contains(" tok/s · "), "{line}");
        let left = match kind {
            "cpu" => "no GPU was used: asked for",
            "gpu" => "nothing left the GPU but 160 bytes of tokens",
            _ => "(a CPU driver) · 40 tokens",
        };
        assert!(line.contains(left), "{line}");

        let seed = |seed| {
            embedded(device, &sampled).arguments(["--seed", seed, "--max-tokens", "40"]).run().expect(0)
        };
        let drawn = seed("7");
        assert_eq!(drawn.text(), seed("7").text(), "the same seed on {kind}");
        assert_ne!(drawn.text(), seed("8").text(), "another seed on {kind}");
        assert_ne!(drawn.text(), greedy.text(), "temperature on {kind}");
        texts.push((text(&greedy).to_owned(), text(&drawn).to_owned()));
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:#?}");
}

#[test]
fn the_report_says_where_the_work_ran_and_what_it_moved() {
    for (device, kind) in devices() {
        let flags = ["--max-tokens", "100", "--ignore-eos", "--seed", "5"];
        let streamed = embedded(device, &flags).run().expect(0);
        let json = embedded(device, &flags).argument("--json").run().expect(0);
        assert!(json.line().starts_with(&format!("{kind} ")));
        let plain: Value = json.json();
        assert_eq!(plain["schema"], "resident.report/1");
        assert_eq!(plain["device"]["kind"], kind);

        let report: Report = json.json();
        assert_eq!(
            (report.command.as_str(), report.resident_version.as_str()),
            ("run", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!((report.device.requested.as_str(), report.device.require_gpu), (device, false));
        let generation = report.generation.as_ref().expect("generation");
        assert_eq!(generation.text.as_deref(), Some(text(&streamed)));
        assert_eq!((generation.completion_tokens, generation.produced_tokens), (100, 100));
        assert_eq!((generation.finish_reason.as_str(), generation.seed), ("length", Some(5)));
        let model = report.model.as_ref().expect("model");
        assert!(model.parameters > 100_000 && model.weight_bytes > 100_000, "{model:?}");
        assert_eq!(model.context, generation.prompt_tokens + 100);
        let timings = report.timings.as_ref().expect("timings");
        assert_eq!((timings.prefill_tokens, timings.decode_tokens), (generation.prompt_tokens, 99));
        assert!(
            timings.load_seconds > 0.0
                && timings.wall_seconds >= timings.load_seconds + timings.decode_seconds
        );
        let bandwidth = report.bandwidth.as_ref().expect("bandwidth");
        assert!(bandwidth.weight_bytes_per_token > 100_000 && bandwidth.achieved_bytes_per_second > 0.0);
        check_hot_loop(kind, &report);
        for gate in &report.gates {
            assert!(matches!(gate.verdict, Verdict::Pass | Verdict::Skip), "{gate:?}");
        }
        let passed = report.gates.iter().filter(|gate| gate.verdict == Verdict::Pass).count();
        assert_eq!(passed, if kind == "cpu" { 2 } else { report.gates.len() }, "{:#?}", report.gates);
    }
}

/// What a run of 100 tokens may have done after the seal.
fn check_hot_loop(kind: &str, report: &Report) {
    let Counters {
        allocations,
        pipeline_creations,
        recordings,
        descriptor_writes,
        submits,
        dispatches,
        upload_bytes,
        readback_bytes,
        cpu_ops,
        ..
    } = &report.counters.after_seal;
    assert_eq!([*allocations, *pipeline_creations, *recordings, *descriptor_writes], [0; 4]);
    assert!(!upload_bytes.contains_key("weights"));
    if kind == "cpu" {
        assert!(!cpu_ops.is_empty() && dispatches.is_empty() && readback_bytes.is_empty());
        return;
    }
    assert!(cpu_ops.is_empty() && !dispatches.is_empty());
    assert_eq!(*readback_bytes, BTreeMap::from([("tokens".to_owned(), 400)]));
    assert!((1..=20).contains(submits), "{submits} submits for 100 tokens");
    let loading = &report.counters.before_seal;
    assert_eq!(loading.upload_bytes["weights"], report.model.as_ref().expect("model").weight_bytes);
}

#[test]
fn the_report_goes_into_a_file_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    fs::write(&path, "an older report").unwrap();
    let run = embedded("cpu", &["--max-tokens", "8", "--report"]).argument(&path).run().expect(0);
    let report: Report = serde_json::from_slice(&fs::read(&path).unwrap()).expect("a report");
    assert_eq!(report.generation.expect("generation").text.as_deref(), Some(text(&run)));
    run.line();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left in the folder");
}

#[test]
fn auto_says_what_it_took_and_why() {
    let hidden =
        resident(["run", PROMPT, "--max-tokens", "2"]).env("VK_DRIVER_FILES", "/nonexistent").run().expect(0);
    assert!(hidden.line().starts_with("cpu "), "{}", hidden.line());
    assert!(hidden.line().contains("no GPU was used: no hardware GPU: "), "{}", hidden.line());
    let auto = report(embedded("auto", &["--max-tokens", "2"]));
    let kinds: Vec<&str> = devices().into_iter().map(|(_, kind)| kind).collect();
    let expected = if kinds.contains(&"gpu") { "gpu" } else { "cpu" };
    assert_eq!(auto.device.kind.to_string(), expected, "{:?}", auto.device);
    assert_eq!(auto.device.requested, "auto");
    if kinds.contains(&"software-gpu") {
        assert!(auto.device.reason.contains("found gpu:0 "), "{:?}", auto.device);
    }
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let flags = ["--max-tokens", "60", "--ignore-eos"];
    let whole = embedded("cpu", &flags).run().expect(0);
    let whole = text(&whole);
    // From the middle, so that it stands across tokens and is not the first thing that comes.
    let middle: String = whole.chars().skip(whole.chars().count() / 2).take(7).collect();
    let before = &whole[..whole.find(&middle).expect("it is a part")];
    let other: String = whole.chars().skip(whole.chars().count() * 3 / 4).take(5).collect();
    let earliest = before.len().min(whole.find(&other).expect("it is a part"));
    for (device, _) in devices() {
        let stopped = embedded(device, &flags).arguments(["--stop", &middle]).run().expect(0);
        assert_eq!(text(&stopped), before);
        let two = report(embedded(device, &flags).arguments(["--stop", &other, "--stop", &middle]));
        let generation = two.generation.expect("generation");
        assert_eq!(generation.text.as_deref(), Some(&whole[..earliest]));
        assert_eq!(generation.finish_reason, "stop");
        assert!(generation.produced_tokens < 60);
        let never = embedded(device, &flags).arguments(["--stop", "\u{1F980}"]).run().expect(0);
        assert_eq!(text(&never), whole);
    }
}

#[test]
fn the_length_and_the_context_end_the_text() {
    for (device, _) in devices() {
        let one = embedded(device, &["--max-tokens", "1"]).run().expect(0);
        assert!(one.line().contains(" · 1 token · "), "{}", one.line());
        let full = report(embedded(device, &["--context", "20", "--ignore-eos"]));
        let generation = full.generation.expect("generation");
        assert_eq!(generation.finish_reason, "context");
        assert_eq!(full.model.expect("model").context, 20);
        // The last token needs no position: nothing comes after it.
        assert_eq!(generation.prompt_tokens + generation.completion_tokens, 21);
    }
}

#[test]
fn the_end_of_text_token_ends_the_text_unless_it_is_ignored() {
    let (_folder, path) = tiny();
    for (device, _) in devices() {
        let run = |flags: &[&str]| {
            let run = resident([
                "run",
                "abc",
                "--temperature",
                "1",
                "--max-tokens",
                "60",
                "--device",
                device,
                "-m",
            ]);
            report(run.argument(&path).arguments(flags)).generation.expect("generation")
        };
        let ended = run(&["--seed", "3"]);
        assert_eq!(ended.finish_reason, "stop");
        assert!(ended.produced_tokens < 60);
        assert_eq!(
            ended.completion_tokens,
            ended.produced_tokens - 1,
            "the stop token is no part of the answer"
        );
        let whole = run(&["--seed", "3", "--ignore-eos"]);
        assert_eq!((whole.finish_reason.as_str(), whole.completion_tokens), ("length", 60));
        let (ended, whole) = (ended.text.expect("text"), whole.text.expect("text"));
        assert!(whole.starts_with(&ended) && whole.len() > ended.len(), "{ended:?}, {whole:?}");
    }
}

#[test]
fn the_repetition_penalty_changes_the_text() {
    for (device, _) in devices() {
        let run = |penalty| {
            let flags = ["--max-tokens", "60", "--ignore-eos", "--repetition-penalty", penalty];
            report(embedded(device, &flags)).generation.expect("generation")
        };
        let (plain, varied) = (run("1"), run("1.5"));
        assert_eq!((plain.repetition_penalty, varied.repetition_penalty), (Some(1.0), Some(1.5)));
        assert_ne!(plain.text, varied.text, "{device}");
    }
}

#[test]
fn the_cpu_device_is_timed_while_it_works() {
    // It runs a step within its submission, so a step that is not waited for would seem to take no time.
    let timings = report(embedded("cpu", &["--max-tokens", "9", "--ignore-eos"])).timings.expect("timings");
    assert_eq!((timings.prefill_tokens > 0, timings.decode_tokens), (true, 8));
    assert!(timings.decode_seconds > timings.prefill_seconds / 4.0, "{timings:?}");
}

#[test]
fn eos_of_a_file_is_obeyed_wherever_it_stands() {
    // Greedily this model writes token 0 for ever.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tiny.gguf");
    fs::write(&path, with_u32(tiny_llama().finish(), "tokenizer.ggml.eos_token_id", 0)).unwrap();
    let generation =
        report(resident(["run", "a", "-m"]).argument(&path).arguments(["--device", "cpu"])).generation;
    let generation = generation.expect("generation");
    assert_eq!((generation.produced_tokens, generation.completion_tokens), (1, 0));
    assert_eq!((generation.finish_reason.as_str(), generation.text.as_deref()), ("stop", Some("")));
}
