//! `resident rollout` and `resident check` from outside: files in, files, reports and exit codes out.

mod common;

use common::{Resident, data, devices, resident};
use resident_ledger::{DeviceKind, Report, Verdict};
use resident_rollout::npz::{Compression, Npz, NpzWriter};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A folder with a small operator, a state and a batch.
struct Files {
    folder: TempDir,
}

const DIM: usize = 40;

impl Files {
    fn new() -> Self {
        let files = Self { folder: TempDir::new().unwrap() };
        let value = |i: usize| ((i * 37 % 101) as f64 / 50.0 - 1.0) as f32;
        files.write("z0.npz", "z", &[DIM], &(0..DIM).map(value).collect::<Vec<_>>());
        // Rotations of pairs of values, so that nothing grows.
        let mut a = vec![0.0f32; DIM * DIM];
        for pair in (0..DIM).step_by(2) {
            (a[pair * DIM + pair], a[pair * DIM + pair + 1]) = (0.8, 0.6);
            (a[(pair + 1) * DIM + pair], a[(pair + 1) * DIM + pair + 1]) = (-0.6, 0.8);
        }
        files.write("a.npz", "A", &[DIM, DIM], &a);
        files.write("batch.npz", "Z", &[3, DIM], &(0..3 * DIM).map(value).collect::<Vec<_>>());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, file: &str, name: &str, shape: &[usize], values: &[f32]) {
        let mut npz = NpzWriter::create(&self.path(file), Compression::Deflated).unwrap();
        npz.array(name, shape, values).unwrap();
        npz.finish().unwrap();
    }

    /// `resident rollout` with these files and further arguments; `out:NAME` becomes a path in the folder.
    fn rollout(&self, arguments: &[&str]) -> Resident {
        let arguments = arguments.iter().map(|argument| match argument.strip_prefix("out:") {
            Some(name) => self.path(name).into_os_string(),
            None => (*argument).into(),
        });
        resident(["rollout", "--a"]).argument(self.path("a.npz")).arguments(arguments)
    }

    fn one(&self, arguments: &[&str]) -> Resident {
        self.rollout(&[&["--z0", "out:z0.npz"], arguments].concat())
    }

    fn report(&self, name: &str) -> Report {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).expect("a report")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn state(path: &Path) -> Vec<f64> {
    Npz::open(path).unwrap().read::<f64>("z").unwrap().values
}

#[test]
fn a_run_with_every_stride_leaves_exactly_what_was_asked_for() {
    let files = Files::new();
    for (device, kind) in devices() {
        let strides =
            ["--hash-every", "10", "--stats-every", "20", "--defect-every", "25", "--snapshot-every", "30"];
        let outputs = ["--snapshot-out", "out:s.npz", "--out", "out:z.npz", "--report", "out:r.json"];
        let run = files.one(&["--steps", "100", "--device", device]).arguments(strides);
        let outputs = outputs
            .map(|o| o.strip_prefix("out:").map_or(o.into(), |name| files.path(name).into_os_string()));
        let outcome = run.arguments(outputs).run().expect(0);
        assert!(outcome.line().contains("100 steps"), "{}", outcome.stderr);
        let report = files.report("r.json");
        let rollout = report.rollout.clone().expect("a rollout");
        assert_eq!((report.command.as_str(), rollout.steps, rollout.dimension), ("rollout", 100, DIM as u64));
        let counts = ["z", "hash", "stats", "defect"].map(|name| rollout.cpu_readbacks[name]);
        assert_eq!(counts, [3, 10, 5, 4], "{device}");
        assert_eq!(rollout.a_uploaded_bytes_per_step, 0.0);
        if kind != "cpu" {
            assert_eq!(rollout.a_uploaded_bytes, rollout.a_bytes);
            assert_eq!(report.counters.after_seal.readback_bytes["z"], 4 * 160);
        }
        let mut snapshots = Npz::open(&files.path("s.npz")).unwrap();
        assert_eq!(snapshots.read::<i64>("steps").unwrap().values, [30, 60, 90]);
        assert_eq!(snapshots.header("z").unwrap().shape, [3, DIM]);
        assert_eq!(rollout.snapshot_blake2b.len(), 3);
        // Rolled on from there, the state is the same.
        let again = ["--z0", "out:z.npz", "--steps", "20", "--device", device, "--out", "out:on.npz"];
        files.rollout(&again).run().expect(0);
        files.one(&["--steps", "120", "--device", device, "--out", "out:whole.npz"]).run().expect(0);
        let (on, whole) = (state(&files.path("on.npz")), state(&files.path("whole.npz")));
        let error = resident_rollout::vorticity::relative_error(&on, &whole);
        assert!(error < 1e-4, "{device}: {error}");
        assert_eq!(Npz::open(&files.path("z.npz")).unwrap().read_scalar::<i64>("step").unwrap(), 100);
    }
}

#[test]
fn batches_and_f64_on_every_device() {
    let files = Files::new();
    for (device, _) in devices() {
        let run = ["--batch-from", "out:batch.npz", "--steps", "7", "--dtype", "f64", "--device", device];
        files.rollout(&[&run[..], &["--out", "out:b.npz"]].concat()).run().expect(0);
        let mut out = Npz::open(&files.path("b.npz")).unwrap();
        let header = out.header("z").unwrap();
        assert_eq!((header.shape, header.dtype.to_string()), (vec![3, DIM], "float64".to_owned()));
    }
}

#[test]
fn the_shared_operators_roll_as_float64_does() {
    let Some(path) = data("rollout/dev/rollout_orth_256.npz") else { return };
    let expected = Npz::open(&path).unwrap().read::<f64>("z100_f64").unwrap().values;
    let files = Files::new();
    for (device, _) in devices() {
        let run = resident(["rollout", "--steps", "100", "--device", device, "--batch-from"]).argument(&path);
        run.argument("--a").argument(&path).argument("--out").argument(files.path("z.npz")).run().expect(0);
        let error = resident_rollout::vorticity::relative_error(&state(&files.path("z.npz")), &expected);
        assert!(error <= 3e-5, "{device}: {error}");
    }
}

#[test]
fn check_judges_anew_and_takes_other_thresholds() {
    let files = Files::new();
    let (device, _) = devices()[devices().len() - 1];
    files.one(&["--steps", "500", "--device", device, "--report", "out:r.json"]).run().expect(0);
    let check = |flags: &[&str]| resident(["check"]).argument(files.path("r.json")).arguments(flags).run();
    let table = check(&[]).expect(0);
    assert!(table.text().starts_with("gate "), "{}", table.text());
    let judged: Value = check(&["--json"]).expect(0).json();
    assert_eq!(judged["verdict"], "pass");
    // A report that claims to have passed.
    let mut report: Value = serde_json::from_slice(&fs::read(files.path("r.json")).unwrap()).unwrap();
    report["non_finite_outputs"] = 2.into();
    report["counters"]["after_seal"]["cpu_ops"]["vecmat_f32"] = 500.into();
    fs::write(files.path("r.json"), report.to_string()).unwrap();
    let table = check(&[]).expect(3);
    assert!(
        table.text().lines().any(|l| l.starts_with("finite_output") && l.contains("FAIL")),
        "{}",
        table.text()
    );
    // The CPU device is judged by fewer gates; this one is everywhere.
    fs::write(files.path("mine.toml"), "[finite_output]\nat_most = 2\n[operator_upload]\nat_most = 1\n")
        .unwrap();
    let mine = files.path("mine.toml");
    let judged: Value = check(&["--json", "--gates", mine.to_str().unwrap()]).json();
    let gates = judged["gates"].as_array().expect("gates");
    assert!(gates.iter().any(|g| g["name"] == "finite_output" && g["verdict"] == "pass"), "{judged}");
}

#[test]
fn check_takes_model_runs_and_refuses_what_is_no_report() {
    let files = Files::new();
    let report = files.path("run.json");
    resident(["run", "Once", "--max-tokens", "4", "--device", "cpu", "--report"])
        .argument(&report)
        .run()
        .expect(0);
    resident(["check"]).argument(&report).run().expect(0);
    let mut broken: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    broken["device"]["require_gpu"] = true.into();
    fs::write(&report, broken.to_string()).unwrap();
    resident(["check"]).argument(&report).run().expect(3);
    fs::write(&report, "{\"schema\": \"resident.report/9\"}").unwrap();
    resident(["check"]).argument(&report).fails(1, &["run.json", "resident.report/9"]);
    resident(["check"]).argument(files.path("no.json")).fails(1, &["no.json", "No such file"]);
    resident(["check"]).argument(files.folder.path()).fails(1, &["no file"]);
    fs::write(files.path("g.toml"), "[speedup]\nat_most = 1").unwrap();
    files.one(&["--steps", "5", "--device", "cpu", "--report", "out:r.json"]).run().expect(0);
    let check = resident(["check"]).argument(files.path("r.json"));
    check.argument("--gates").argument(files.path("g.toml")).fails(1, &["speedup", "gates/rollout.toml"]);
}

#[test]
fn a_failed_gate_is_the_exit_code_unless_it_is_silenced() {
    let files = Files::new();
    let mut grown = vec![0.0f32; DIM * DIM];
    (0..DIM).for_each(|i| grown[i * DIM + i] = 1.5);
    files.write("a.npz", "A", &[DIM, DIM], &grown);
    let run = ["--steps", "60", "--defect-every", "10", "--device", "cpu"];
    let outcome = files.one(&run).run().expect(3);
    assert!(outcome.line().contains("FAILED defect"), "{}", outcome.stderr);
    let silenced = files.one(&[&run[..], &["--no-gates", "--report", "out:r.json"]].concat()).run().expect(0);
    assert!(silenced.line().contains("FAILED defect"), "{}", silenced.stderr);
    assert!(files.report("r.json").gates.iter().any(|gate| gate.verdict == Verdict::Fail));
}

#[test]
fn a_baseline_is_measured_beside_the_run() {
    let files = Files::new();
    let run = ["--steps", "2000", "--device", "cpu", "--baseline-cpu", "--report", "out:r.json"];
    files.one(&run).run().expect(0);
    let report = files.report("r.json");
    assert_eq!(report.device.kind, DeviceKind::Cpu);
    let rollout = report.rollout.expect("a rollout");
    let baseline = rollout.baseline.expect("a baseline");
    assert!(baseline.steps > 0 && baseline.steps_per_second > 0.0 && rollout.speed_up.is_some());
}

#[test]
fn executors_can_be_forced_and_are_refused_by_name() {
    let files = Files::new();
    for (device, kind) in devices() {
        for executor in ["replay", "persistent", "workgroup"] {
            let run = ["--steps", "50", "--device", device, "--executor", executor, "--report", "out:r.json"];
            let outcome = files.one(&run).run();
            match (executor, kind) {
                ("workgroup", "cpu") => {
                    outcome.expect(1);
                }
                ("persistent", "software-gpu") => {
                    let code = outcome.status.code();
                    assert!(code == Some(0) || code == Some(1), "{}", outcome.stderr);
                }
                _ => {
                    outcome.expect(0);
                    assert_eq!(files.report("r.json").rollout.expect("a rollout").executor, executor);
                }
            }
        }
    }
    files.one(&["--steps", "5", "--device", "cpu", "--executor", "fast"]).run().expect(2);
    files
        .one(&["--steps", "5", "--device", "cpu", "--executor", "workgroup"])
        .fails(1, &["--executor workgroup", "no workgroups"]);
}

#[test]
fn wrong_requests_are_refused_before_anything_is_written() {
    let files = Files::new();
    let before = files.names();
    let refused = |arguments: &[&str], code: i32, says: &[&str]| {
        let outputs = ["--out", "out:o.npz", "--report", "out:o.json", "--device", "cpu"];
        files.rollout(&[arguments, &outputs[..]].concat()).fails(code, says);
        assert_eq!(files.names(), before, "{arguments:?} left something behind");
    };
    let z0 = ["--z0", "out:z0.npz"];
    let one = |more: &[&'static str]| [&z0[..], more].concat();
    refused(&one(&["--steps", "0"]), 2, &["--steps is 0"]);
    for name in ["hash", "stats", "defect", "snapshot", "decode", "progress"] {
        let flag = format!("--{name}-every");
        let stride = [&z0[..], &["--steps", "10", &flag, "11"]].concat();
        let out = format!("--{name}-out");
        let needs = ["snapshot", "decode"].contains(&name);
        let stride = if needs { [&stride[..], &[&out, "out:made"]].concat() } else { stride };
        refused(&stride, 2, &[&format!("{flag} is 11"), "10 steps"]);
    }
    let most = u64::MAX.to_string();
    let snapshots =
        [&z0[..], &["--steps", &most, "--snapshot-every", "1", "--snapshot-out", "out:s.npz"]].concat();
    refused(&snapshots, 2, &["--snapshot-every 1 keeps", "use a larger stride"]);
    refused(
        &one(&["--steps", "10", "--decode-every", "5", "--decode-out", "out:d"]),
        1,
        &["mask_low", "z0.npz"],
    );
    refused(&["--z0", "out:a.npz", "--steps", "1"], 1, &["there is no array 'z'", "a.npz"]);
    refused(&["--z0", "out:no.npz", "--steps", "1"], 1, &["no.npz"]);
    refused(&["--z0", "out:batch.npz", "--steps", "1"], 1, &["no array 'z'"]);
    refused(&["--batch-from", "out:z0.npz", "--steps", "1"], 1, &["expected [B, 40]"]);
    resident(["rollout", "--steps", "1", "--a"]).argument(files.path("a.npz")).run().expect(2);
    let missing = files.one(&["--steps", "1", "--device", "cpu", "--out", "out:no/z.npz"]);
    missing.fails(1, &["there is no folder"]);
    files.one(&["--steps", "1", "--require-gpu", "--device", "cpu"]).fails(4, &["contradicts"]);
}

#[test]
fn wrong_files_are_refused_by_name_and_place() {
    let files = Files::new();
    let refused = |says: &[&str]| {
        files.one(&["--steps", "5", "--device", "cpu", "--out", "out:o.npz"]).limited().fails(1, says);
        assert!(!files.path("o.npz").exists());
    };
    files.write("a.npz", "A", &[DIM, 2], &[0.0; 2 * DIM]);
    refused(&["a.npz", "'A'", "square"]);
    files.write("a.npz", "B", &[DIM, DIM], &[0.0; DIM * DIM]);
    refused(&["there is no array 'A'"]);
    files.write("a.npz", "A", &[3, 3], &[0.0; 9]);
    refused(&["'z'", "[40]", "expected [3]"]);
    let mut a = [0.5f32; DIM * DIM];
    a[3 * DIM + 7] = f32::NAN;
    files.write("a.npz", "A", &[DIM, DIM], &a);
    refused(&["A[3, 7] is NaN or infinite"]);
    a[3 * DIM + 7] = 0.0;
    files.write("a.npz", "A", &[DIM, DIM], &a);
    let mut z = [0.5f32; DIM];
    z[11] = f32::INFINITY;
    files.write("z0.npz", "z", &[DIM], &z);
    refused(&["z[11] is NaN or infinite"]);
    fs::write(files.path("a.npz"), b"PK\x03\x04 cut short").unwrap();
    refused(&["a.npz"]);
    // 20 000 columns in a header without its values: the size is refused before any value is asked for.
    let header =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (20000, 20000), }";
    fs::write(files.path("a.npz"), header).unwrap();
    refused(&["a.npz"]);
}

/// Pickles could run anything, and a few bytes can claim to be gigabytes: neither is opened up, and little memory will do.
#[test]
fn hostile_files_are_refused_unread() {
    let files = Files::new();
    let before = files.names();
    let refused = |file: &str, bytes: &[u8], says: &[&str]| {
        let kept = fs::read(files.path(file)).unwrap();
        fs::write(files.path(file), bytes).unwrap();
        files.one(&["--steps", "5", "--device", "cpu", "--out", "out:o.npz"]).limited().fails(1, says);
        fs::write(files.path(file), kept).unwrap();
        assert_eq!(files.names(), before);
    };
    // One stored value, and another header over its own: the same bytes, of which spaces pad the end.
    let claiming = |name: &str, header: &str| {
        let path = files.folder.path().with_extension("npz");
        let mut npz = NpzWriter::create(&path, Compression::Stored).unwrap();
        npz.array(name, &[1], &[1.0f64]).unwrap();
        npz.finish().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let at = bytes.windows(8).position(|w| w == b"{'descr'").unwrap();
        let end = at + bytes[at..].iter().position(|byte| *byte == b'\n').unwrap();
        bytes[at..end].copy_from_slice(format!("{header:<width$}", width = end - at).as_bytes());
        bytes
    };
    for (file, name) in [("a.npz", "A"), ("z0.npz", "z")] {
        let object = claiming(name, "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
        refused(file, &object, &[file, "pickles, which could run anything"]);
        refused(file, b"\x80\x04\x95abc", &[file, "this is a Python pickle"]);
        refused(file, b"", &[file, "empty"]);
    }
    let mut bomb = claiming("A", "{'descr': '<f8', 'fortran_order': False, 'shape': (16384, 16384), }");
    refused("a.npz", &bomb, &["a.npz", "does not fit the 8 bytes"]);
    // Now the directory says the same.
    let directory = bomb.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let claimed = (128u32 + (1 << 31)).to_le_bytes();
    bomb[directory + 24..directory + 28].copy_from_slice(&claimed);
    refused("a.npz", &bomb, &["a.npz", "cannot unpack to"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_batch_and_leaves_its_state() {
    let files = Files::new();
    for (device, _) in devices() {
        let run = ["--steps", "2000000000", "--device", device, "--progress-every", "1000000000"];
        let outputs = ["--out", "out:z.npz", "--report", "out:r.json"];
        let running = files.one(&[&run[..], &outputs[..]].concat()).start();
        std::thread::sleep(Duration::from_secs(6));
        running.interrupt();
        let outcome = running.end(Duration::from_secs(20), Vec::new()).expect(130);
        let report = files.report("r.json");
        let rollout = report.rollout.expect("a rollout");
        assert!(rollout.interrupted && rollout.steps > 0 && rollout.steps < 2_000_000_000);
        let said = format!("interrupted at step {} of 2000000000", rollout.steps);
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
        let step = Npz::open(&files.path("z.npz")).unwrap().read_scalar::<i64>("step").unwrap();
        assert_eq!(step as u64, rollout.steps);
        assert_eq!(state(&files.path("z.npz")).len(), DIM);
    }
}
