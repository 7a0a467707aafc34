//! `resident chat` with lines from a pipe.

mod common;

use common::{Outcome, Resident, data, resident};
use resident_ledger::Report;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A chat on the CPU device with these lines as its input.
fn chat(model: Option<&Path>, flags: &[&str], lines: &str) -> Outcome {
    let folder = TempDir::new().unwrap();
    command(&folder, model, flags, lines).run()
}

fn command(folder: &TempDir, model: Option<&Path>, flags: &[&str], lines: &str) -> Resident {
    let input = folder.path().join("lines");
    fs::write(&input, lines).unwrap();
    let mut command = resident(["chat", "--device", "cpu"]).arguments(flags);
    if let Some(model) = model {
        command = command.argument("-m").argument(model);
    }
    command.env("CHAT_INPUT", &input).through_shell("exec \"$0\" \"$@\" < \"$CHAT_INPUT\"")
}

#[test]
fn turns_reuse_the_cache_and_are_saved() {
    let Some(model) = data("goldens-dev/qwen3/f32") else { return };
    let folder = TempDir::new().unwrap();
    let (saved, report) = (folder.path().join("chat.json"), folder.path().join("report.json"));
    let lines = format!("Hello!\n\"\"\"two\nlines\"\"\"\n/stats\n/save {}\n", saved.display());
    let flags = [
        "--max-tokens",
        "8",
        "--system",
        "Be brief.",
        "--temperature",
        "0",
        "--report",
        report.to_str().unwrap(),
    ];
    let outcome = chat(Some(&model), &flags, &lines).expect(0);
    assert!(outcome.stderr.contains(" cached"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("answers      2"), "{}", outcome.stderr);

    let report: Report = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let generation = report.generation.unwrap();
    assert_eq!(report.command, "chat");
    assert!(generation.reused_tokens.unwrap() > 10, "{generation:?}");
    assert_eq!(generation.produced_tokens, 16);

    let chat_file: Value = serde_json::from_slice(&fs::read(&saved).unwrap()).unwrap();
    let messages = chat_file["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    assert_eq!(messages[3]["content"], "two\nlines");

    // The saved chat goes on, and the same prompt gives the same answer without the cache's help.
    let path = saved.to_str().unwrap();
    let again =
        chat(Some(&model), &["--max-tokens", "8", "--temperature", "0", "--load", path], "/regenerate\n");
    let last = messages[4]["content"].as_str().unwrap();
    assert_eq!(again.expect(0).text().trim_end(), last.trim_end());
}

#[test]
fn a_model_without_a_template_continues_the_text() {
    let outcome = chat(None, &["--max-tokens", "6"], "Once upon a time\n").expect(0);
    assert!(outcome.stderr.contains("has no chat template"), "{}", outcome.stderr);
    assert!(outcome.text().trim().len() > 5, "{}", outcome.text());
}

#[test]
fn what_cannot_be_answered_is_told_and_the_chat_goes_on() {
    let Some(model) = data("goldens-dev/llama/f32") else { return };
    let lines = "/system Be brief.\nHello\n/system\nHello\n";
    let outcome = chat(Some(&model), &["--max-tokens", "4"], lines).expect(1);
    assert!(outcome.stderr.contains("the chat template refuses the conversation"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("[4 tokens"), "{}", outcome.stderr);

    let long = "word ".repeat(100);
    let outcome =
        chat(Some(&model), &["--context", "40", "--max-tokens", "4"], &format!("{long}\nHi\n")).expect(1);
    assert!(outcome.stderr.contains("do not fit into the context of 40"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("[4 tokens"), "{}", outcome.stderr);
    let outcome = chat(Some(&model), &["--context", "40"], "Hi\n").expect(0);
    assert!(outcome.stderr.contains("the context of 40 tokens is full"), "{}", outcome.stderr);
}

#[test]
fn commands_answer_for_themselves() {
    let lines = "/help\n/temperature\n/temperature 9999\n/top-k many\n/top-k 5\n/seed 7\n/thinking hide\n/thinking loud\n/undo\n\
                 /regenerate\n/history\n/clear\n/save\n/load /nowhere\n/nothing\n/quit\nnever read\n";
    let outcome = chat(None, &[], lines).expect(0);
    for says in [
        "/regenerate ",
        "0.7",
        "temperature is 9999, expected",
        "/top-k: 'many' is no such number",
        "top-k is 5",
        "seed is 7",
        "/thinking: expected show, hide or off",
        "there is nothing to take back",
        "there is no message to answer",
        "the conversation begins anew",
        "/save: name a file",
        "loading /nowhere",
        "/nothing is no command",
    ] {
        assert!(outcome.stderr.contains(says), "{says:?} in {}", outcome.stderr);
    }
    assert_eq!(outcome.text(), "");
}

#[test]
fn wrong_flags_are_usage() {
    for (flags, code, says) in [
        (&["--max-tokens", "0"][..], 2, "--max-tokens is 0"),
        (&["--temperature", "-1"], 2, "temperature is -1"),
        (&["--context", "0"], 2, "--context is 0"),
        (&["--load", "/nowhere"], 1, "No such file"),
        (&["--template", "rag"], 1, "no chat template named \"rag\" (have none)"),
    ] {
        let outcome = chat(None, flags, "").expect(code);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_stops_the_answer_and_not_the_program() {
    use std::io::Read;
    use std::time::Duration;
    let folder = TempDir::new().unwrap();
    let lines = "Once upon a time\n/stats\n";
    let mut running = command(&folder, None, &["--temperature", "0"], lines).start();
    let mut stdout = vec![0; 10];
    running.stdout.as_mut().unwrap().read_exact(&mut stdout).expect("the answer begins");
    running.interrupt();
    running.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let outcome = running.end(Duration::from_secs(10), stdout).expect(0);
    assert!(outcome.stderr.contains(" · stopped]"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("answers      1"), "{}", outcome.stderr);
}
