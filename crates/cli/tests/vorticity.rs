//! `resident vorticity`: the whole way from a flow to a decoded field, files that are not what they should be, interruption.

mod common;

use common::{Resident, devices, resident, vulkan};
use resident_rollout::npz::{Compression, Npz, NpzWriter};
use resident_rollout::vorticity::relative_error;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rollout/tests/fixtures");

/// A folder and the files of a run in it.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `resident vorticity` with words of which those that end like a file stand for one of this folder.
    fn vorticity(&self, words: &str) -> Resident {
        let argument = |word: &str| match word.ends_with(".npz") || word.ends_with(".json") {
            true => self.path(word).into_os_string(),
            false => word.into(),
        };
        resident(["vorticity"]).arguments(words.split_whitespace().map(argument))
    }

    /// A run and its report.
    fn report(&self, words: &str) -> Value {
        self.vorticity(words).argument("--json").run().expect(0).json()
    }

    /// A flow of 32 × 32 with its vectors.
    fn encoded() -> Self {
        let files = Self::new();
        files.vorticity("simulate --n 32 --steps 20 --seed 3 --out traj.npz --device cpu").run().expect(0);
        let encode = "encode --traj traj.npz --z0-out run_z0.npz --z-out run_Z.npz --seed 7 --device cpu";
        files.vorticity(encode).run().expect(0);
        files
    }
}

#[test]
fn from_a_flow_to_a_field_and_its_error() {
    let files = Files::new();
    let simulated = files.report("simulate --n 64 --steps 100 --seed 0 --out traj.npz --device cpu");
    assert_eq!(simulated["device"]["kind"], "cpu");
    assert_eq!(
        (&simulated["vorticity"]["frames"], &simulated["vorticity"]["dtype"]),
        (&101.into(), &"f64".into())
    );
    let enstrophy = &simulated["vorticity"]["enstrophy"];
    assert!((enstrophy[0].as_f64().unwrap() - 0.5).abs() < 1e-9 && enstrophy[1].as_f64().unwrap() < 0.49);

    let encoded = files.report("encode --traj traj.npz --z0-out run_z0.npz --z-out run_Z.npz --device cpu");
    let of = |name: &str| encoded["vorticity"][name].as_u64().unwrap();
    assert_eq!(["dimension", "low_modes", "mid_modes", "anchors"].map(of), [654, 197, 244, 128]);

    let fitted = files.report("fit --z run_Z.npz --out run_A.npz");
    assert!(fitted["vorticity"]["one_step_error"].as_f64().unwrap() < 1e-4);

    let decoded =
        files.report("decode --z run_Z.npz --z0 run_z0.npz --step 100 --out field.npz --device cpu");
    assert_eq!(decoded["vorticity"]["kept_anchors"], 128);

    // The figures of the specification: low modes alone .43, with the anchors .37; encoded as it is, and rolled by A.
    for source in ["", " --z0 run_z0.npz --a run_A.npz", " --z0 run_z0.npz --z run_Z.npz"] {
        let compared = files.report(&format!("compare --traj traj.npz --step 100{source}"));
        let row = &compared["vorticity"]["rows"][0];
        let near = |name: &str, wanted: f64| {
            let found = row[name].as_f64().unwrap();
            assert!((found - wanted).abs() < 0.006, "{name} is {found}, expected about {wanted}");
        };
        near("legacy_without_residual", 0.433);
        near("corrected_without_residual", 0.375);
        near("legacy", 0.580);
        near("corrected", 0.539);
    }
    let names = files.names();
    assert_eq!(
        names,
        ["field.npz", "field.png", "run_A.npz", "run_Z.npz", "run_z0.npz", "traj.npz", "traj.png"]
    );
}

/// A rollout decodes on its own device; on a GPU nothing of z comes back for it.
#[test]
fn a_rollout_decodes_where_it_runs() {
    let files = Files::encoded();
    files.vorticity("fit --z run_Z.npz --out run_A.npz").run().expect(0);
    let rollout_to = |folder: &str, device: &str, more: &[&str]| {
        let run = resident(["rollout", "--steps", "20", "--decode-every", "10", "--no-gates", "--json"]);
        let run = run.arguments(["--device", device]).arguments(more);
        let run = run.argument("--z0").argument(files.path("run_z0.npz"));
        let run = run.argument("--a").argument(files.path("run_A.npz"));
        run.argument("--decode-out").argument(files.path(folder))
    };
    let rollout = |device: &str, more: &[&str]| rollout_to(device, device, more);
    let field = |device: &str, step: u64| {
        let path = files.path(device).join(format!("omega_{step:09}.npz"));
        Npz::open(&path).unwrap().read::<f64>("omega").unwrap().values
    };
    for (device, kind) in devices() {
        let report: Value = rollout(device, &[]).run().expect(0).json();
        assert_eq!(report["rollout"]["cpu_readbacks"]["field"], 2, "{device}");
        assert_eq!(fs::read_dir(files.path(device)).unwrap().count(), 4, "two fields and their pictures");
        if kind == "cpu" {
            continue;
        }
        let gates = report["gates"].as_array().unwrap();
        let gate = gates.iter().find(|gate| gate["name"] == "state_readback").unwrap();
        assert_eq!(gate["verdict"], "pass", "{gate}");
        let read = &report["counters"]["after_seal"]["readback_bytes"];
        assert_eq!((&read["fields"], &read["z"]), (&(2 * 32 * 32 * 4).into(), &Value::Null));
        for step in [10, 20] {
            let error = relative_error(&field(device, step), &field("cpu", step));
            assert!(error < 1e-3, "{device}: {error} at step {step}");
        }
        fs::remove_dir_all(files.path(device)).unwrap();
        rollout(device, &["--dtype", "f64"]).fails(1, &["decodes in f32", "--device cpu"]);
        assert!(!files.path(device).exists(), "an empty folder is left");
    }
    // An operator that overflows: the error comes before any file.
    let mut npz = NpzWriter::create(&files.path("run_A.npz"), Compression::Deflated).unwrap();
    let grown: Vec<f32> = (0..654 * 654).map(|at| if at % 655 == 0 { 1e20 } else { 0.0 }).collect();
    npz.array("A", &[654, 654], &grown).unwrap();
    npz.finish().unwrap();
    for (device, _) in devices() {
        let out = files.path("z.npz");
        let overflowing = rollout_to("overflown", device, &[]).argument("--out").argument(&out);
        overflowing.fails(1, &["expected finite"]);
        assert!(!out.exists() && !files.path("overflown").exists(), "{device}");
    }
    fs::write(files.path("taken"), "").unwrap();
    rollout_to("taken", "cpu", &[]).fails(1, &["taken", "no folder"]);
}

#[test]
fn every_device_does_the_whole_way_in_f32() {
    let exact = Files::encoded();
    let decode = "decode --z run_Z.npz --z0 run_z0.npz --step 20 --out field.npz";
    exact.vorticity(&format!("{decode} --device cpu")).run().expect(0);
    for (device, kind) in devices() {
        let files = Files::new();
        let on = |words: &str| files.report(&format!("{words} --device {device} --dtype f32"));
        let mut reports = vec![on("simulate --n 32 --steps 20 --seed 3 --out traj.npz")];
        reports.push(on("encode --traj traj.npz --z0-out run_z0.npz --z-out run_Z.npz --seed 7"));
        reports.push(on(decode));
        for report in reports {
            assert_eq!(
                (&report["device"]["kind"], &report["vorticity"]["dtype"]),
                (&kind.into(), &"f32".into())
            );
            let failed = report["gates"].as_array().unwrap().iter().find(|gate| gate["verdict"] == "fail");
            assert!(failed.is_none(), "{failed:?}");
            assert_eq!(
                report["counters"]["after_seal"]["cpu_ops"].as_object().unwrap().is_empty(),
                kind != "cpu"
            );
        }
        for (file, key, tolerance) in [("traj.npz", "traj", 2e-6), ("field.npz", "omega", 1e-4)] {
            let read = |files: &Files| Npz::open(&files.path(file)).unwrap().read::<f64>(key).unwrap();
            let (found, expected) = (read(&files), read(&exact));
            assert_eq!(found.shape, expected.shape);
            let error = relative_error(&found.values, &expected.values);
            assert!(error < tolerance, "{device} {file}: {error:.1e}");
        }
    }
}

#[test]
fn devices_and_types_without_kernels_are_refused() {
    let files = Files::new();
    files
        .vorticity("simulate --n 48 --out a.npz --device cpu --dtype f32")
        .fails(1, &["powers of two from 16 to 1024"]);
    if vulkan().is_some() {
        files
            .vorticity("simulate --out a.npz --device gpu --dtype f64")
            .fails(1, &["f64 needs --device cpu"]);
    }
    if vulkan() != Some("gpu") {
        files.vorticity("simulate --out a.npz --require-gpu").fails(4, &["a hardware GPU is required"]);
    }
    assert!(files.names().is_empty(), "{:?}", files.names());
}

#[test]
fn the_same_command_writes_the_same_bytes() {
    let (first, second) = (Files::encoded(), Files::encoded());
    for name in ["traj.npz", "traj.png", "run_z0.npz", "run_Z.npz"] {
        assert!(fs::read(first.path(name)).unwrap() == fs::read(second.path(name)).unwrap(), "{name}");
    }
}

#[test]
fn legacy_leaves_the_anchors_out_and_the_seed_moves_the_phases() {
    let files = Files::encoded();
    let decode = |flags: &str| {
        let words = format!(
            "decode --z run_Z.npz --z0 run_z0.npz --step 20 --out field.npz --no-png --device cpu {flags}"
        );
        files.vorticity(&words).run().expect(0);
        fs::read(files.path("field.npz")).unwrap()
    };
    let corrected = decode("");
    assert!(decode("--seed 7") == corrected, "7 is the seed in the state's file");
    assert!(decode("--legacy") != corrected);
    assert!(decode("--seed 8") != corrected);
    let table = files.vorticity("compare --traj traj.npz --legacy").run().expect(0);
    assert!(table.text().contains("legacy") && !table.text().contains("corrected"), "{}", table.text());
}

#[test]
fn pictures_stand_beside_the_file() {
    let files = Files::new();
    files.vorticity("simulate --n 16 --steps 4 --png-every 2 --out a.npz --device cpu").run().expect(0);
    assert_eq!(files.names(), ["a.npz", "a_000000.png", "a_000002.png", "a_000004.png"]);
    files.vorticity("simulate --n 16 --steps 4 --every 2 --no-png --out b.npz --device cpu").run().expect(0);
    assert_eq!(files.names().len(), 5);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let files = Files::new();
    for (words, says) in [
        ("simulate --n 4 --out a.npz", "N is 4 cells a side, expected 8 to 4096"),
        ("simulate --n 5000 --out a.npz", "N is 5000"),
        ("simulate --dt 0 --out a.npz", "dt is 0, expected above 0"),
        ("simulate --nu0 nan --out a.npz", "nu0 is NaN"),
        ("simulate --steps 10 --every 3 --out a.npz", "--every is 3, expected a divisor of 10"),
        ("encode --traj t.npz --z0-out a.npz --k-cut 9 --mid-cut 8", "0 ≤ k_cut ≤ mid_cut"),
        ("encode --traj t.npz --z0-out a.npz --tau 0", "tau is 0, expected above 0"),
        ("fit --z t.npz --ridge 0 --out a.npz", "--ridge is 0"),
        ("compare --traj t.npz --every 0", "--every is 0"),
    ] {
        files.vorticity(words).limited().fails(2, &[says]);
    }
    for (words, says) in [
        ("simulate --out no/a.npz", "there is no folder"),
        ("encode --traj none.npz --z0-out a.npz", "none.npz: No such file"),
        ("simulate --n 16 --steps 5 --dt 1e200 --out a.npz", "take a smaller dt"),
    ] {
        files.vorticity(words).limited().fails(1, &[says]);
    }
    assert!(files.names().is_empty(), "{:?}", files.names());
    for words in [
        "encode --traj t.npz",
        "simulate",
        "simulate --seed -1 --out a.npz",
        "simulate --every 0 --out a.npz",
    ] {
        files.vorticity(words).run().expect(2);
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_by_key() {
    let files = Files::encoded();
    fs::copy(Path::new(FIXTURES).join("refused.npz"), files.path("refused.npz")).unwrap();
    let whole = fs::read(files.path("traj.npz")).unwrap();
    fs::write(files.path("cut.npz"), &whole[..whole.len() / 2]).unwrap();
    fs::write(files.path("pickle.npz"), b"\x80\x04\x95 anything").unwrap();
    files.vorticity("simulate --n 16 --steps 1 --out small.npz --device cpu").run().expect(0);
    let before = files.names();
    for (words, says) in [
        ("encode --traj run_z0.npz --z0-out x.npz", "no array 'traj'; the file has z, mask_low"),
        ("encode --traj refused.npz --z0-out x.npz", "no array 'traj'; the file has object"),
        ("encode --traj cut.npz --z0-out x.npz", "cut.npz: this is no whole ZIP archive"),
        ("encode --traj pickle.npz --z0-out x.npz", "this is a Python pickle"),
        ("fit --z traj.npz --out x.npz", "no array 'Z'"),
        ("decode --z run_Z.npz --out x.npz", "decoding needs mask_low, anchor_idx, N, k_cut"),
        ("decode --z traj.npz --z0 run_z0.npz --out x.npz", "no array 'z'"),
        (
            "decode --z run_Z.npz --z0 run_z0.npz --step 21 --out x.npz",
            "is of 21 rows, expected more than the row 21",
        ),
        ("decode --z run_z0.npz --atoms run_z0.npz --out x.npz", "no array 'atoms'"),
        ("compare --traj small.npz --z0 run_z0.npz --z run_Z.npz", "N is 16, the codec's is 32"),
        ("compare --traj traj.npz --z0 run_z0.npz --a run_Z.npz", "no array 'A'"),
        ("compare --traj traj.npz --step 21", "--step is 21, the last frame is 20"),
    ] {
        files.vorticity(words).limited().fails(1, &[says]);
    }
    assert_eq!(files.names(), before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_half_file() {
    let files = Files::new();
    let words = "simulate --n 256 --steps 100000 --out traj.npz --device cpu";
    let running = files.vorticity(words).start();
    // The file in the making shows that the handler is in place.
    while files.names().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    running.interrupt();
    let outcome = running.end(Duration::from_secs(30), Vec::new()).expect(130);
    assert!(outcome.line().contains("interrupted; "), "{}", outcome.stderr);
    assert!(files.names().is_empty(), "{:?}", files.names());
}

/// The Python of a virtual environment with NumPy, or None with a printed reason: `scripts/install-test-packages` makes one.
fn numpy() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv-tests/bin/python");
    let there = python.exists();
    if !there {
        eprintln!("skipped: no {}; scripts/install-test-packages makes it", python.display());
    }
    there.then_some(python)
}

#[test]
fn numpy_reads_what_is_written_and_agrees() {
    let Some(python) = numpy() else { return };
    let files = Files::encoded();
    for (flags, name) in [("", "corrected.npz"), ("--legacy", "legacy.npz")] {
        let words = format!(
            "decode --z run_Z.npz --z0 run_z0.npz --step 20 --out {name} --no-png --device cpu {flags}"
        );
        files.vorticity(&words).run().expect(0);
    }
    files.vorticity("fit --z run_Z.npz --out run_A.npz").run().expect(0);
    let script = Path::new(FIXTURES).join("check_with_numpy.py");
    let output = Command::new(python).arg(script).arg(files.0.path()).output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
}
