//! Runs the built program as a person or a script would: arguments in; text, messages and exit code out, within a time limit.
#![allow(dead_code, reason = "each test file uses its part")]

// The writer of the checkpoint tests makes the small and the broken models here too.
#[path = "../../../models/tests/checkpoint/gguf_writer.rs"]
pub(crate) mod gguf_writer;

#[allow(unused_imports, reason = "each test file uses its part")]
pub(crate) use gguf_writer::tiny_llama;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Long enough for a software driver to compile every pipeline on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a run that fails may take: nothing of it waits for anything.
const SHORT: Duration = Duration::from_secs(30);

/// A path in the shared data, or None with a printed reason.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if !path.exists() {
        eprintln!("skipped: no {}", path.display());
    }
    path.exists().then_some(path)
}

/// One run of the program, to be started.
pub(crate) struct Resident {
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    stdout: Stdio,
    script: Option<&'static str>,
}

/// The program with these arguments.
pub(crate) fn resident<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Resident {
    Resident {
        arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
        environment: vec![("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR").into())],
        stdout: Stdio::piped(),
        script: None,
    }
}

impl Resident {
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn arguments<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    pub(crate) fn stdout_to(mut self, file: File) -> Self {
        self.stdout = file.into();
        self
    }

    /// With less memory than a mistaken size would take, where the system can limit it.
    pub(crate) fn limited(self) -> Self {
        // Each thread reserves address space of its own.
        let run = self.env("RAYON_NUM_THREADS", "2");
        if cfg!(target_os = "linux") {
            run.through_shell("ulimit -v 2097152 && exec \"$0\" \"$@\"")
        } else {
            run
        }
    }

    /// Started by a script that finds program and arguments in `$0` and `$@`.
    pub(crate) fn through_shell(self, script: &'static str) -> Self {
        Self { script: Some(script), ..self }
    }

    pub(crate) fn start(self) -> Running {
        let binary = env!("CARGO_BIN_EXE_resident");
        let mut command = Command::new(if self.script.is_some() { "sh" } else { binary });
        if let Some(script) = self.script {
            command.args(["-c", script, binary]);
        }
        let shown = format!("resident {:?}", self.arguments);
        command.args(self.arguments).envs(self.environment).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(self.stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        // Read all along, so that the program never waits for a full pipe.
        let stderr = gather(child.stderr.take().expect("stderr is a pipe"));
        let stdout = child.stdout.take();
        Running { shown, child, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Outcome {
        let mut running = self.start();
        let stdout = running.stdout.take().map(gather);
        let mut outcome = running.end(PATIENCE, Vec::new());
        outcome.stdout = stdout.map_or_else(Vec::new, |reader| reader.join().expect("reading stdout"));
        outcome
    }

    /// Runs it and expects this exit code and, as its only message, an error that says all of these.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> Outcome {
        let started = Instant::now();
        let outcome = self.run().expect(code);
        let Outcome { shown, stderr, .. } = &outcome;
        assert!(started.elapsed() < SHORT, "{shown}: it took {:?}", started.elapsed());
        let lines = stderr.lines().count();
        assert!((1..=2).contains(&lines), "{shown}: {lines} lines of message: {stderr}");
        assert!(stderr.starts_with("resident: "), "{shown}: {stderr}");
        for part in says {
            assert!(stderr.contains(part), "{shown}: {part:?} is missing in: {stderr}");
        }
        outcome
    }
}

/// Reads a stream to its end on a thread of its own.
fn gather(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("reading a pipe");
        bytes
    })
}

/// A run under way.
pub(crate) struct Running {
    shown: String,
    child: Child,
    pub(crate) stdout: Option<ChildStdout>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    /// Sends Ctrl-C's signal.
    pub(crate) fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(status.success(), "{kill}");
    }

    /// Waits for the end, which has to come within `limit`. `stdout` is what was read of it.
    #[track_caller]
    pub(crate) fn end(mut self, limit: Duration, stdout: Vec<u8>) -> Outcome {
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("waiting for the program") {
                Some(status) => break status,
                None if started.elapsed() > limit => {
                    let _ = self.child.kill();
                    panic!("{}: still running after {limit:?}", self.shown);
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let stderr = self.stderr.join().expect("reading stderr");
        let stderr = String::from_utf8(stderr).expect("messages are UTF-8");
        Outcome { shown: self.shown, status, stdout, stderr }
    }
}

/// What a run left behind.
pub(crate) struct Outcome {
    pub(crate) shown: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Expects this exit code and no panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let Self { shown, status, stderr, .. } = &self;
        assert!(!stderr.contains("panicked"), "{shown}: {stderr}");
        assert_eq!(status.code(), Some(code), "{shown}: {status}: {stderr}");
        self
    }

    /// What stands on stdout.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("stdout is UTF-8")
    }

    /// The only line on stderr.
    #[track_caller]
    pub(crate) fn line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').expect("stderr ends with a line");
        assert!(!line.contains('\n'), "{}: one line is expected on stderr: {line}", self.shown);
        line
    }

    #[track_caller]
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("{}: {e}: {}", self.shown, self.text()))
    }
}

/// The kind that reports give the best Vulkan device of this machine: `gpu` or `software-gpu`. None, with a printed
/// reason, where there is no device; a failure where RESIDENT_REQUIRE_VULKAN says that there must be one.
pub(crate) fn vulkan() -> Option<&'static str> {
    static KIND: OnceLock<Option<String>> = OnceLock::new();
    let kind = KIND.get_or_init(|| {
        let listed: serde_json::Value = resident(["devices", "--json"]).run().expect(0).json();
        let devices = listed["devices"].as_array().expect("a list of devices").clone();
        let usable = devices.iter().find(|device| device["kind"] != "cpu" && device["usable"] == true);
        usable.map(|device| device["kind"].as_str().expect("a kind").to_owned())
    });
    if kind.is_none() {
        assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none(), "there is no Vulkan device");
        eprintln!("skipped: no Vulkan device");
    }
    kind.as_deref()
}

/// What `--device` can be on this machine, with the kind that reports name.
pub(crate) fn devices() -> Vec<(&'static str, &'static str)> {
    [Some(("cpu", "cpu")), vulkan().map(|kind| ("gpu", kind))].into_iter().flatten().collect()
}

/// A GGUF file's bytes with the u32 under `key` replaced.
pub(crate) fn with_u32(mut bytes: Vec<u8>, key: &str, value: u32) -> Vec<u8> {
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("the key is there");
    // Between key and value stands the type.
    let at = at + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}
