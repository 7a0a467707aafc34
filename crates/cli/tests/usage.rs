//! Arguments and requests that cannot be met: wrong values, texts and ids that the model cannot take, places that nothing can be
//! written to.

mod common;

use common::{data, resident, tiny_llama};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

#[test]
fn wrong_values_are_named_with_what_is_expected() {
    let run = |flags: &[&'static str]| [&["run", "Once", "--device", "cpu"], flags].concat();
    for (arguments, says) in [
        (run(&["--temperature", "-1"]), "temperature is -1, expected 0 (greedy) to 100"),
        (run(&["--temperature", "nan"]), "temperature is NaN, expected"),
        (run(&["--top-p", "0"]), "top_p is 0, expected more than 0"),
        (run(&["--top-p", "1.5"]), "top_p is 1.5, expected"),
        (run(&["--min-p", "-0.1"]), "min_p is -0.1, expected"),
        (run(&["--repetition-penalty", "0"]), "repetition_penalty is 0, expected"),
        (run(&["--repetition-penalty", "inf"]), "repetition_penalty is inf, expected"),
        (run(&["--max-tokens", "0"]), "--max-tokens is 0, expected at least 1"),
        (run(&["--context", "0"]), "--context is 0, expected 1 to "),
        (run(&["--context", "4000000000"]), "--context is 4000000000, expected 1 to "),
        (run(&["--stop", ""]), "stop[0]: found an empty string"),
        (vec!["run", "Once", "--device", "banana"], "--device banana: expected auto, cpu, gpu or gpu:N"),
        (vec!["run", "Once", "--device", "gpu:x"], "--device gpu:x: expected"),
        (vec!["run", "Once", "--device", ""], "--device : expected"),
        (vec!["run", "Once", "-m", "synth:unheard:f32"], "unheard"),
        (vec!["bench", "--repeat", "0"], "--repeat"),
        (vec!["bench", "--prompt", "x"], "--prompt: 'x' is no number"),
        (vec!["bench", "--depth", "4294967295", "--device", "cpu"], "positions are needed"),
    ] {
        resident(arguments).limited().fails(2, &[says]);
    }
}

#[test]
fn wrong_arguments_show_the_usage() {
    for (arguments, says) in [
        (&["run", "--no-such-flag"][..], "unexpected argument '--no-such-flag'"),
        (&["run", "one", "two"], "unexpected argument 'two'"),
        (&["walk"], "unrecognized subcommand 'walk'"),
        (&["run", "--max-tokens", "many"], "invalid value 'many' for '--max-tokens"),
        (&["run", "--max-tokens", "-5"], "invalid value '-5' for '--max-tokens"),
        (&["run", "--max-tokens", "99999999999"], "invalid value '99999999999'"),
        (&["run", "--seed", "1.5"], "invalid value '1.5' for '--seed"),
        (&["run", "--top-k", "-1"], "invalid value '-1' for '--top-k"),
        (&["logits", "--tokens", "1"], "--out <FILE>"),
        (&["logits", "--out", "x"], "--tokens <IDS>"),
        (&["logits", "--tokens", "1", "--tokens-file", "x", "--out", "x"], "cannot be used with"),
        (&["verify"], "--golden <FILE>"),
        (&["devices", "--device", "cpu"], "unexpected argument"),
    ] {
        let outcome = resident(arguments).run().expect(2);
        assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.contains(says), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("--help"), "{}", outcome.stderr);
        assert_eq!(outcome.text(), "");
    }
}

#[test]
#[cfg(unix)]
fn arguments_that_are_not_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let broken = OsStr::from_bytes(b"once \xff\xfe");
    for flags in
        [&["run", "--device", "cpu"][..], &["run", "Once", "--stop"], &["logits", "--out", "x", "--tokens"]]
    {
        let outcome = resident(flags).argument(broken).run().expect(2);
        assert!(outcome.stderr.contains("invalid UTF-8"), "{}", outcome.stderr);
    }
    // A path may be anything.
    resident(["run", "Once", "-m"]).argument(broken).fails(1, &["once ", "No such file or directory"]);
    let folder = TempDir::new().unwrap();
    let model = folder.path().join(broken);
    fs::write(&model, tiny_llama().finish()).unwrap();
    resident(["run", "a", "--device", "cpu", "-m"]).argument(&model).run().expect(0);
}

#[test]
fn prompts_that_the_model_cannot_take() {
    if let Some(model) = data("goldens-dev/qwen3/f32") {
        // No token stands before a text here.
        resident(["run", "--device", "cpu", "-m"])
            .argument(&model)
            .limited()
            .fails(1, &["the prompt is empty", "give a prompt"]);
        resident(["run", "", "--device", "cpu", "-m"])
            .argument(&model)
            .limited()
            .fails(1, &["the prompt is empty"]);
    }
    let Some(model) = data("stories260K/gguf/stories260K-Q8_0.gguf") else { return };
    let run = || resident(["run", "--device", "cpu", "-m"]).argument(&model);
    let begun = run().arguments(["", "--max-tokens", "12"]).run().expect(0);
    assert!(begun.text().trim().len() > 5, "a text from nothing: {}", begun.text());
    let long = "Once upon a time ".repeat(400);
    run()
        .argument(&long)
        .limited()
        .fails(1, &["the prompt has ", " tokens, the context holds 512", "shorten the prompt"]);
    run().arguments(["Once upon a time", "--context", "3"]).limited().fails(1, &["the context holds 3"]);
    // As many as there is room for.
    let fitting = run().arguments(["", "--context", "1", "--max-tokens", "9"]).run().expect(0);
    assert!(fitting.line().contains(" · 1 token · "), "{}", fitting.line());
}

#[test]
fn the_embedded_model_needs_a_prompt() {
    resident(["run", "--device", "cpu"]).limited().fails(1, &["the prompt is empty", "give a prompt"]);
}

#[test]
fn token_ids_that_are_none() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("tiny.gguf");
    fs::write(&model, tiny_llama().finish()).unwrap();
    let out = folder.path().join("out");
    let logits = || {
        resident(["logits", "--device", "cpu", "-m"])
            .argument(&model)
            .argument("--out")
            .argument(&out)
            .limited()
    };
    for (ids, code, says) in [
        ("1,8", 1, "token 1 is 8, expected less than 8, the size of the vocabulary"),
        ("4294967295", 1, "token 0 is 4294967295"),
        ("4294967296", 2, "'4294967296' is no token id"),
        ("1,-2", 2, "'-2' is no token id, expected a whole number from 0 on"),
        ("-2", 2, "'-2' is no token id"),
        ("1,x", 2, "'x' is no token id"),
        ("1.5", 2, "'1.5' is no token id"),
        ("", 2, "no token ids, expected at least one"),
        (",", 2, "no token ids, expected at least one"),
    ] {
        logits().arguments(["--tokens", ids]).fails(code, &[says]);
    }
    let many = vec!["1"; 65].join(",");
    logits()
        .arguments(["--tokens", &many])
        .fails(1, &["65 tokens are longer than the model's context of 64"]);
    let file = folder.path().join("ids");
    for (text, code, says) in [("1 2\n\n,3 four", 2, "'four' is no token id"), (" \n", 2, "no token ids")] {
        fs::write(&file, text).unwrap();
        logits().argument("--tokens-file").argument(&file).fails(code, &[says]);
    }
    fs::write(&file, b"\xff\xff").unwrap();
    logits().argument("--tokens-file").argument(&file).fails(1, &["ids", "UTF-8"]);
    logits()
        .argument("--tokens-file")
        .argument(folder.path().join("none"))
        .fails(1, &["none", "No such file or directory"]);
    assert!(!out.exists());
}

#[test]
fn places_that_nothing_can_be_written_to() {
    let folder = TempDir::new().unwrap();
    let absent: PathBuf = folder.path().join("absent/file");
    let says = ["absent/file", "there is no folder ", "create it first"];
    let run = || resident(["run", "Once", "--device", "cpu", "--max-tokens", "4", "--report"]);
    let logits = || resident(["logits", "--tokens", "1", "--device", "cpu", "--out"]);
    let outcome = run().argument(&absent).limited().fails(1, &says);
    assert_eq!(outcome.text(), "", "it is said before the work");
    logits().argument(&absent).limited().fails(1, &says);
    for run in [run(), logits()] {
        run.argument(folder.path()).fails(1, &["cannot write", "Is a directory"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing half-written is left");
}
