//! `resident pull`, `list` and `rm` against a hub on this machine, its faults, and full disks. Hashes in here are those of
//! `sha256sum` and `git hash-object`.

#[path = "../common/mod.rs"]
mod common;
mod hub;

use common::{Resident, resident, tiny_llama};
use hub::{COMMIT, Hub};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A hub with one model, and an empty cache.
struct Place {
    hub: Hub,
    cache: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { hub: Hub::new(), cache: TempDir::new().unwrap() }
    }

    /// With one GGUF file, which is its bytes.
    fn with_gguf() -> (Self, Vec<u8>) {
        let place = Self::new();
        let bytes = tiny_llama().finish();
        place.hub.large("tiny-Q8_0.gguf", &bytes, &hash_of(&bytes, &["sha256sum"]));
        place.hub.small("README.md", b"words", "00");
        (place, bytes)
    }

    fn resident(&self, arguments: &[&str]) -> Resident {
        resident(arguments)
            .env("HF_HUB_CACHE", self.cache.path())
            .env("HF_ENDPOINT", &self.hub.endpoint)
            .env("HF_TOKEN", "hf_secret")
            .env("HF_HUB_OFFLINE", "")
            .env("NO_PROXY", "*")
    }

    fn pull(&self) -> Resident {
        self.resident(&["pull", "org/tiny"])
    }

    fn model(&self) -> PathBuf {
        self.cache.path().join("models--org--tiny")
    }

    /// Nothing counts as there, and no file has the name of a whole one.
    #[track_caller]
    fn holds_nothing(&self) {
        assert!(!self.model().join("refs").exists() && !self.model().join("snapshots").exists());
        self.resident(&["run", "-m", "org/tiny", "a", "--device", "cpu"])
            .fails(1, &["not in the cache", "resident pull org/tiny"]);
        assert!(self.blobs().iter().all(|name| name.ends_with(".incomplete")), "{:?}", self.blobs());
    }

    fn blobs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.model().join("blobs")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[track_caller]
    fn fetched(&self, bytes: &[u8]) {
        let file = self.model().join("snapshots").join(COMMIT).join("tiny-Q8_0.gguf");
        assert!(fs::read(file).unwrap() == bytes);
        assert_eq!(fs::read_to_string(self.model().join("refs/main")).unwrap(), COMMIT);
        assert_eq!(self.blobs().len(), 1);
    }
}

/// What a program outside of this project says of the bytes.
fn hash_of(bytes: &[u8], program: &[&str]) -> String {
    let mut command = Command::new(program[0]);
    let child = command.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program:?}: {error}"));
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_gguf_is_pulled_run_listed_and_removed() {
    let (place, bytes) = Place::with_gguf();
    place.hub.large("tiny-Q4_0.gguf", b"other", &"a".repeat(64));
    place.hub.large("pytorch_model.bin", b"pickle", &"b".repeat(64));
    place.pull().fails(1, &["org/tiny: several GGUF files are there", "Q4_0, Q8_0"]);
    place.holds_nothing();
    let pulled = place.resident(&["pull", "org/tiny:q8_0", "--json"]).run().expect(0);
    let told: serde_json::Value = pulled.json();
    assert_eq!(told["commit"], COMMIT);
    assert_eq!(told["fetched_bytes"], bytes.len());
    assert_eq!(told["files"][0]["name"], "tiny-Q8_0.gguf");
    assert!(told["path"].as_str().unwrap().ends_with("tiny-Q8_0.gguf"));
    place.fetched(&bytes);

    // The token stays with the host that it is for, and what nobody reads is not asked for.
    let requests = std::mem::take(&mut place.hub.state().requests);
    let (elsewhere, home): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.elsewhere);
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].authorization.is_none(), "{elsewhere:?}");
    assert!(
        home.iter().all(|request| request.authorization.as_deref() == Some("Bearer hf_secret")),
        "{home:?}"
    );
    assert!(home.iter().all(|request| !request.path.contains("pickle") && !request.path.contains("README")));

    let run = |name: &str| {
        place.resident(&["run", "-m", name, "a", "--device", "cpu", "--max-tokens", "2", "--json"])
    };
    let report: serde_json::Value = run("org/tiny:Q8_0").run().expect(0).json();
    assert_eq!(report["model"]["name"], "org/tiny:Q8_0");
    run("org/tiny").run().expect(0);
    place.resident(&["tokenize", "-m", "org/tiny", "a"]).run().expect(0);

    let again = place.resident(&["pull", "org/tiny:q8_0"]).run().expect(0);
    assert!(again.stderr.contains("all there"), "{}", again.stderr);
    assert!(!place.hub.state().requests.iter().any(|request| request.elsewhere), "nothing is fetched twice");

    let listed = place.resident(&["list"]).run().expect(0);
    assert!(
        listed.text().starts_with("org/tiny  ") && listed.text().contains("  Q8_0\n"),
        "{}",
        listed.text()
    );
    let listed: serde_json::Value = place.resident(&["list", "--json"]).run().expect(0).json();
    assert_eq!(listed["models"][0]["bytes"], bytes.len());
    place.resident(&["rm", "org/tiny:q4_0"]).fails(1, &["no GGUF file is called q4_0"]);
    place.resident(&["rm", "org/tiny"]).run().expect(0);
    assert!(!place.model().exists());
    place.resident(&["rm", "org/tiny"]).fails(1, &["not in the cache"]);
    assert_eq!(place.resident(&["list"]).run().expect(0).text(), "");
}

#[test]
fn a_folder_is_pulled_by_its_index() {
    let place = Place::new();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    for shard in shards {
        let sha256 = hash_of(shard.as_bytes(), &["sha256sum"]);
        place.hub.large(shard, shard.as_bytes(), &sha256);
    }
    place.hub.large("consolidated.safetensors", b"the same again", &"a".repeat(64));
    let index = format!("{{\"weight_map\": {{\"a\": \"{}\", \"b\": \"{}\"}}}}", shards[0], shards[1]);
    for (name, text) in
        [("model.safetensors.index.json", index.as_str()), ("config.json", "{}"), ("tokenizer.json", "[1]")]
    {
        place.hub.small(name, text.as_bytes(), &hash_of(text.as_bytes(), &["git", "hash-object", "--stdin"]));
    }
    let pulled = place.pull().run().expect(0);
    let snapshot = place.model().join("snapshots").join(COMMIT);
    assert_eq!(pulled.text().trim_end(), snapshot.to_str().unwrap());
    let mut names: Vec<_> =
        fs::read_dir(&snapshot).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["config.json", shards[0], shards[1], "model.safetensors.index.json", "tokenizer.json"]
    );
    assert_eq!(fs::read(snapshot.join(shards[1])).unwrap(), shards[1].as_bytes());
    let offline =
        place.pull().env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", "http://127.0.0.1:1").run().expect(0);
    assert_eq!(offline.text(), pulled.text());
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    let (place, bytes) = Place::with_gguf();
    place.hub.change("tiny-Q8_0.gguf", |file| file.breaks = vec![1000, 0, 500]);
    let outcome = place.pull().run().expect(0);
    assert!(outcome.stderr.contains("trying again"), "{}", outcome.stderr);
    place.fetched(&bytes);
    let ranges = place
        .hub
        .state()
        .requests
        .iter()
        .filter(|request| request.elsewhere)
        .map(|request| request.range.clone())
        .collect::<Vec<_>>();
    let from = |bytes: u32| Some(format!("bytes={bytes}-"));
    assert_eq!(ranges, [None, from(1000), from(1000), from(1500)]);
}

#[test]
fn an_earlier_pull_is_resumed_and_a_server_without_ranges_begins_anew() {
    for ignores_ranges in [false, true] {
        let (place, bytes) = Place::with_gguf();
        place.hub.change("tiny-Q8_0.gguf", |file| file.breaks = vec![2000, 0, 0, 0, 0]);
        place.pull().run().expect(1);
        place.holds_nothing();
        let partial = place.model().join("blobs").join(&place.blobs()[0]);
        assert_eq!(fs::metadata(partial).unwrap().len(), 2000);
        place.hub.change("tiny-Q8_0.gguf", |file| file.ignores_ranges = ignores_ranges);
        let pulled: serde_json::Value =
            place.resident(&["pull", "org/tiny", "--json"]).run().expect(0).json();
        let expected = if ignores_ranges { bytes.len() } else { bytes.len() - 2000 };
        assert_eq!(pulled["fetched_bytes"], expected);
        place.fetched(&bytes);
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let (place, bytes) = Place::with_gguf();
    place.hub.state().busy = 2;
    place.pull().run().expect(0);
    place.fetched(&bytes);
    place.hub.state().busy = 100;
    let outcome = place.pull().run().expect(1);
    assert!(outcome.stderr.contains("503"), "{}", outcome.stderr);
    assert!(place.hub.state().busy > 90, "it is not asked for ever");
}

#[test]
fn wrong_bytes_are_deleted_and_said_so() {
    let (place, bytes) = Place::with_gguf();
    place.hub.change("tiny-Q8_0.gguf", |file| file.bytes[100] ^= 1);
    let outcome = place.pull().run().expect(1);
    assert!(
        outcome.stderr.contains("SHA-256") && outcome.stderr.contains("is deleted"),
        "{}",
        outcome.stderr
    );
    place.holds_nothing();
    assert!(place.blobs().is_empty());
    place.hub.change("tiny-Q8_0.gguf", |file| file.bytes[100] ^= 1);
    // What lies there from before is hashed, too.
    let blobs = place.model().join("blobs");
    let etag = place.hub.state().files["tiny-Q8_0.gguf"].etag.trim_matches('"').to_owned();
    fs::write(blobs.join(format!("{etag}.incomplete")), [0; 700]).unwrap();
    assert!(place.pull().run().expect(1).stderr.contains("is deleted"));
    place.holds_nothing();
    place.pull().run().expect(0);
    place.fetched(&bytes);
}

#[test]
fn refusals_say_what_to_do() {
    let (place, _) = Place::with_gguf();
    for (status, token, says) in [
        (401, "", "put a token into HF_TOKEN"),
        (401, "hf_secret", "the token is not valid"),
        (403, "hf_secret", "accept the model's conditions at"),
        (404, "hf_secret", "there is no such model; check the name"),
        (418, "hf_secret", "the server answers 418"),
    ] {
        place.hub.state().status = Some(status);
        let home = place.cache.path();
        place.pull().env("HF_TOKEN", token).env("HF_HOME", home).fails(1, &["org/tiny: ", says]);
        place.holds_nothing();
    }
    let outcome = place.pull().env("HF_TOKEN", "hf_s\u{e9}cret").fails(1, &["the token", "characters"]);
    assert!(!outcome.stderr.contains("cret"), "{}", outcome.stderr);
    place.pull().env("HF_ENDPOINT", "ftp://x").fails(1, &["HF_ENDPOINT is 'ftp://x'"]);
    place.pull().argument("--offline").fails(1, &["offline", "not in the cache"]);
    let outcome = resident(["pull", "tiny"]).run().expect(2);
    assert!(outcome.stderr.contains("expected ORG/NAME or ORG/NAME:QUANT"), "{}", outcome.stderr);
}

#[test]
fn the_token_file_of_the_hubs_tools_is_read() {
    let (place, _) = Place::with_gguf();
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("token"), "hf_from_file\n").unwrap();
    place.pull().env("HF_TOKEN", "").env("HF_HOME", home.path()).run().expect(0);
    assert_eq!(place.hub.state().requests[0].authorization.as_deref(), Some("Bearer hf_from_file"));
}

#[test]
fn answers_that_are_not_safe_to_follow_are_refused() {
    let (place, _) = Place::with_gguf();
    let listing = |sha: &str, file: &str| {
        serde_json::json!({ "sha": sha, "siblings": [{ "rfilename": file }] }).to_string()
    };
    for (answer, says) in [
        (listing(COMMIT, "../../evil.gguf"), "no safe name"),
        (listing(COMMIT, "/etc/evil.gguf"), "no safe name"),
        (listing(COMMIT, "a\\evil.gguf"), "no safe name"),
        (listing("../..", "a.gguf"), "expected a hash"),
        (listing(COMMIT, "absent.gguf"), "the hub has no file absent.gguf"),
        ("<html>".to_owned(), "expected a repository's list of files"),
    ] {
        place.hub.state().listing = Some(answer);
        place.pull().fails(1, &[says]);
        place.holds_nothing();
    }
    place.hub.state().listing = None;
    for (etag, says) in [("\"../../evil\"", "expected the file's hash"), ("", "expected the file's hash")] {
        place.hub.change("tiny-Q8_0.gguf", |file| file.etag = etag.to_owned());
        place.pull().fails(1, &[says]);
        place.holds_nothing();
    }
}

#[test]
fn a_full_disk_is_said_before_and_while_it_fills() {
    let (place, bytes) = Place::with_gguf();
    place.hub.change("tiny-Q8_0.gguf", |file| file.size = 1 << 60);
    place.pull().fails(1, &["no room for org/tiny", "are missing", "are free", "HF_HUB_CACHE"]);
    place.holds_nothing();
    place.hub.change("tiny-Q8_0.gguf", |file| file.size = file.bytes.len() as u64);
    // No file may have more than 2 KiB, as if the disk were full there.
    let full =
        place.pull().through_shell("trap '' XFSZ && ulimit -f 4 && exec \"$0\" \"$@\"").run().expect(1);
    assert!(
        full.stderr.contains("no room for") && full.stderr.contains("of tiny-Q8_0.gguf"),
        "{}",
        full.stderr
    );
    place.holds_nothing();
    place.pull().run().expect(0);
    place.fetched(&bytes);
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let (place, bytes) = Place::with_gguf();
    let running: Vec<_> = (0..2).map(|_| place.pull().start()).collect();
    for pull in running {
        pull.end(std::time::Duration::from_secs(30), Vec::new()).expect(0);
    }
    place.fetched(&bytes);
    let fetched = place.hub.state().requests.iter().filter(|request| request.elsewhere).count();
    assert_eq!(fetched, 1);
}
