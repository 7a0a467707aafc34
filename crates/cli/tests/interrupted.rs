//! Runs that are not left to finish: Ctrl-C, a reader that goes away, a disk that is full.
#![cfg(unix)]

mod common;

use common::{Outcome, Resident, Running, devices, resident, tiny_llama, with_u32};
use resident_ledger::Report;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// From the signal, or the reader's end, to the program's end; the machine may have other work.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A model that could write for minutes.
struct Endless {
    folder: TempDir,
    model: PathBuf,
}

impl Endless {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let model = folder.path().join("tiny.gguf");
        fs::write(&model, with_u32(tiny_llama().finish(), "llama.context_length", 1 << 18)).unwrap();
        Self { folder, model }
    }

    fn run(&self, device: &str) -> Resident {
        let flags = [
            "run",
            "abc",
            "--temperature",
            "1",
            "--ignore-eos",
            "--max-tokens",
            "250000",
            "--device",
            device,
        ];
        resident(flags).argument("-m").argument(&self.model)
    }
}

/// Reads the first bytes of the text, so that the run is known to be in the middle of it.
fn first_bytes(running: &mut Running, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    running.stdout.as_mut().expect("stdout is a pipe").read_exact(&mut bytes).expect("the text begins");
    bytes
}

/// Interrupts a run once its text has begun: everything that it wrote.
fn interrupt(run: Resident) -> Outcome {
    let mut running = run.start();
    let mut stdout = first_bytes(&mut running, 10);
    running.interrupt();
    let signalled = Instant::now();
    running.stdout.take().expect("stdout is a pipe").read_to_end(&mut stdout).expect("reading stdout");
    let outcome = running.end(AT_ONCE, stdout).expect(130);
    assert!(signalled.elapsed() < AT_ONCE, "it took {:?}", signalled.elapsed());
    outcome
}

#[test]
fn ctrl_c_ends_the_text_and_the_report_is_still_written() {
    let endless = Endless::new();
    for (device, kind) in devices() {
        let path = endless.folder.path().join("report.json");
        let outcome = interrupt(endless.run(device).argument("--report").argument(&path));
        assert!(outcome.line().starts_with(&format!("{kind} ")), "{}", outcome.stderr);
        let report: Report = serde_json::from_slice(&fs::read(&path).unwrap()).expect("a report");
        let generation = report.generation.expect("generation");
        assert_eq!(generation.finish_reason, "interrupted");
        assert!(generation.completion_tokens > 10 && generation.completion_tokens < 250_000);
        let text = outcome.text().strip_suffix('\n').expect("the text ends with a line break");
        assert_eq!(generation.text.as_deref(), Some(text));
    }
}

#[test]
fn ctrl_c_before_the_text_ends_every_command() {
    let endless = Endless::new();
    let tokens = vec!["3"; 1 << 18].join(",");
    let file = endless.folder.path().join("ids");
    fs::write(&file, tokens).unwrap();
    let out = endless.folder.path().join("out");
    let logits = resident(["logits", "--device", "cpu", "--tokens-file"])
        .argument(&file)
        .argument("--out")
        .argument(&out);
    let running = logits.argument("-m").argument(&endless.model).start();
    std::thread::sleep(Duration::from_secs(1));
    running.interrupt();
    running.end(AT_ONCE, Vec::new()).expect(130);
    assert!(!out.exists(), "half-written output");
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let endless = Endless::new();
    for (device, _) in devices() {
        let mut running = endless.run(device).start();
        first_bytes(&mut running, 10);
        drop(running.stdout.take());
        let outcome = running.end(AT_ONCE, Vec::new()).expect(1);
        assert!(outcome.line().contains("writing to stdout: Broken pipe"), "{}", outcome.stderr);
    }
}

#[cfg(target_os = "linux")]
mod a_full_disk {
    use super::*;

    fn full() -> File {
        File::create("/dev/full").expect("/dev/full")
    }

    #[test]
    fn under_stdout_is_an_error() {
        for arguments in [
            &["run", "Once", "--device", "cpu", "--max-tokens", "8"][..],
            &["run", "Once", "--device", "cpu", "--max-tokens", "8", "--json"],
            &["devices"],
            &["devices", "--json"],
            &["--help"],
            &["run", "--help"],
            &["--version"],
        ] {
            let outcome = resident(arguments).stdout_to(full()).run().expect(1);
            assert!(outcome.line().contains("writing to stdout: No space left"), "{}", outcome.stderr);
        }
    }

    #[test]
    fn under_stderr_changes_nothing() {
        let run = ["run", "Once", "--device", "cpu", "--max-tokens", "8"];
        let whole = resident(run).run().expect(0);
        let script = "exec \"$0\" \"$@\" 2>/dev/full";
        let silent = resident(run).through_shell(script).run().expect(0);
        assert_eq!(silent.text(), whole.text());
        resident(["run", "-m", "missing.gguf"]).through_shell(script).run().expect(1);
    }

    #[test]
    fn under_a_report_or_a_result_is_an_error_that_names_it() {
        let says = ["'/dev/full'", "no space is left there"];
        let report = ["run", "Once", "--device", "cpu", "--max-tokens", "8", "--report", "/dev/full"];
        let outcome = resident(report).fails(1, &says);
        assert!(outcome.text().ends_with('\n'), "the text was there before: {}", outcome.text());
        resident(["logits", "--tokens", "1", "--device", "cpu", "--out", "/dev/full"]).fails(1, &says);
    }
}

/// A model's file takes minutes and gigabytes: nothing of it stays behind.
#[test]
fn ctrl_c_while_a_model_is_written_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("model.gguf");
    let running = resident(["synth", "synth:gemma3-27b:q8_0", "--out"]).argument(&out).start();
    let bytes =
        || fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum::<u64>();
    let started = Instant::now();
    while bytes() == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.interrupt();
    let outcome = running.end(Duration::from_secs(20), Vec::new()).expect(130);
    assert!(outcome.stderr.contains("interrupted"), "{}", outcome.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
