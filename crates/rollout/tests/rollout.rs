//! Whole rollouts: states beside the float64 oracle, counters beside a hand count, on every device and executor of this machine.

use resident_ledger::{Counters, class};
use resident_rollout::vorticity::{Codec, CodecConfig, CodecMeta, DecodeOptions, initial_field};
use resident_rollout::{
    Executor, Inputs, Observer, Operator, Outcome, RealType, Request, Rollout, RolloutError, Strides, Values,
    hash,
};
use resident_runtime::{
    Choice, DeviceRequest, Kind, SessionOptions, choose, list_devices, validation_available,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A file of the shared data; None, with a printed reason, where it is absent.
fn data(name: &str) -> Option<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/rollout/dev");
    let path = Path::new(folder).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

fn devices() -> Vec<Choice> {
    let listing = list_devices().expect("list devices");
    let requests = [DeviceRequest::Cpu, DeviceRequest::Gpu];
    let found: Vec<Choice> = requests.iter().filter_map(|r| choose(&listing, *r, false).ok()).collect();
    let required = std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_some();
    assert!(found.len() == 2 || !required, "RESIDENT_REQUIRE_VULKAN is set and there is no Vulkan device");
    found
}

fn request(steps: u64) -> Request {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipelines");
    let session = SessionOptions {
        pipeline_cache_dir: Some(cache),
        validation: validation_available(),
        ..SessionOptions::default()
    };
    Request { steps, reads_final_state: true, session, ..Request::default() }
}

fn run(choice: &Choice, inputs: &Inputs, request: Request) -> (Rollout, Outcome) {
    let mut rollout = Rollout::prepare(choice, inputs, request).expect("prepare");
    let outcome = rollout.run(&mut ()).expect("run");
    assert!(rollout.validation_messages().is_empty(), "{:#?}", rollout.validation_messages());
    (rollout, outcome)
}

fn final_state(outcome: &Outcome) -> Vec<f64> {
    outcome.final_state.as_ref().expect("it was asked for").to_f64()
}

fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    resident_rollout::vorticity::relative_error(found, expected)
}

/// The first trajectory of a batch.
fn first(inputs: &Inputs) -> Inputs {
    let dim = inputs.operator.dim as usize;
    let z = match &inputs.z {
        Values::F32(z) => Values::F32(z[..dim].to_vec()),
        Values::F64(z) => Values::F64(z[..dim].to_vec()),
    };
    Inputs { z, rows: 1, is_batch: false, ..inputs.clone() }
}

/// The executors that a device of this machine has for one trajectory of this size.
fn executors(choice: &Choice) -> Vec<Executor> {
    match choice.kind() {
        Kind::SoftwareGpu => vec![Executor::Replay],
        _ => vec![Executor::Replay, Executor::Persistent],
    }
}

/// Compares states at steps with the float64 oracle.
struct Compared<'a> {
    oracle: &'a BTreeMap<u64, Vec<f64>>,
    tolerance: f64,
    who: String,
    seen: usize,
}

impl Observer for Compared<'_> {
    fn state(&mut self, step: u64, z: Values) -> Result<(), RolloutError> {
        if let Some(expected) = self.oracle.get(&step) {
            let found = z.to_f64();
            let error = relative(&found, &expected[..found.len()]);
            assert!(error <= self.tolerance, "{}: {error:.1e} at step {step}", self.who);
            self.seen += 1;
        }
        Ok(())
    }
}

fn oracle(name: &str, tolerance: f64) {
    let Some(path) = data(name) else { return };
    let mut file = resident_rollout::npz::Npz::open(&path).expect("npz");
    let batch = Inputs::read(None, Some(&path), &path, RealType::F32, u64::MAX).expect("inputs");
    let read = |step| (step, file.read::<f64>(&format!("z{step}_f64")).expect("oracle").values);
    let oracle: BTreeMap<u64, Vec<f64>> = [1, 10, 100, 1000].map(read).into();
    let one = first(&batch);
    for choice in devices() {
        let alone = executors(&choice).into_iter().map(|executor| (&one, executor));
        for (inputs, executor) in alone.chain([(&batch, Executor::Replay)]) {
            let who = format!("{name}: {} by {executor} on {}", inputs.rows, choice.kind());
            let mut compared = Compared { oracle: &oracle, tolerance, who, seen: 0 };
            for (steps, snapshot) in [(1, 1), (1000, 10)] {
                let strides = Strides { snapshot, ..Strides::default() };
                let request = Request { executor: Some(executor), strides, ..request(steps) };
                let mut rollout = Rollout::prepare(&choice, inputs, request).expect("prepare");
                assert_eq!(rollout.executor(), executor);
                rollout.run(&mut compared).expect("run");
            }
            assert_eq!(compared.seen, 4, "{}", compared.who);
        }
    }
}

#[test]
fn orthogonal_operators_agree_with_float64() {
    oracle("rollout_orth_256.npz", 3e-5);
    oracle("rollout_orth_512.npz", 3e-5);
}

#[test]
fn fitted_operators_agree_with_float64() {
    oracle("rollout_fitted_256.npz", 1e-4);
    oracle("rollout_fitted_512.npz", 1e-4);
}

/// A · z instead of z · A is far off after one step already.
#[test]
fn the_transposed_product_would_be_noticed() {
    let Some(path) = data("rollout_orth_256.npz") else { return };
    let mut file = resident_rollout::npz::Npz::open(&path).expect("npz");
    let batch = Inputs::read(None, Some(&path), &path, RealType::F32, u64::MAX).expect("inputs");
    let Values::F32(a) = &batch.a else { panic!("read as f32") };
    let dim = batch.operator.dim as usize;
    let transposed = (0..dim * dim).map(|at| a[at % dim * dim + at / dim]).collect();
    let wrong = Inputs { a: Values::F32(transposed), ..batch };
    let expected = file.read::<f64>("z1_f64").expect("oracle").values;
    for choice in devices() {
        let (_, outcome) = run(&choice, &wrong, request(1));
        assert!(relative(&final_state(&outcome), &expected) > 0.1, "{}", choice.kind());
    }
}

#[test]
fn f64_agrees_to_the_last_digits() {
    let Some(path) = data("rollout_orth_256.npz") else { return };
    let mut file = resident_rollout::npz::Npz::open(&path).expect("npz");
    let inputs = Inputs::read(None, Some(&path), &path, RealType::F64, u64::MAX).expect("inputs");
    let expected = file.read::<f64>("z100_f64").expect("oracle").values;
    for choice in devices() {
        for inputs in [&inputs, &first(&inputs)] {
            let (_, outcome) = run(&choice, inputs, request(100));
            let found = final_state(&outcome);
            let error = relative(&found, &expected[..found.len()]);
            assert!(error <= 1e-12, "{}: {error:.1e}", choice.kind());
        }
    }
}

/// A small operator that neither grows nor shrinks much.
fn small(dim: u32, real: RealType) -> Inputs {
    let count = dim as usize;
    let value = |i: usize| (i * 37 % 101) as f64 / 50.0 - 1.0;
    let scale = (1.0 / f64::from(dim)).sqrt() * 1.6;
    let a: Vec<f64> = (0..count * count).map(|i| value(i * 7 + 3) * scale).collect();
    let z: Vec<f64> = (0..count).map(value).collect();
    let (a, z) = match real {
        RealType::F32 => {
            let floats = |values: Vec<f64>| Values::F32(values.into_iter().map(|v| v as f32).collect());
            (floats(a), floats(z))
        }
        RealType::F64 => (Values::F64(a), Values::F64(z)),
    };
    Inputs { operator: Operator { real, dim }, a, rows: 1, z, is_batch: false }
}

/// As many trajectories, each a little larger than the one before it.
fn batch_of(rows: u32, inputs: Inputs) -> Inputs {
    let grown = |row: u32| inputs.z.to_f64().into_iter().map(move |z| z * (1.0 + f64::from(row)));
    let z: Vec<f64> = (0..rows).flat_map(grown).collect();
    let z = match &inputs.z {
        Values::F32(_) => Values::F32(z.iter().map(|z| *z as f32).collect()),
        Values::F64(_) => Values::F64(z),
    };
    Inputs { z, rows, is_batch: rows > 1, ..inputs }
}

/// Small operators have every executor on every device: one workgroup holds A, or one persistent workgroup does.
#[test]
fn every_executor_of_a_small_operator_goes_the_same_way() {
    // The last one is long enough that several ways of an executor are measured.
    let f32 = RealType::F32;
    for (dim, real, rows, steps) in
        [(4, f32, 1, 37), (100, f32, 1, 37), (90, RealType::F64, 1, 37), (4, f32, 5, 37), (4, f32, 3, 1001)]
    {
        let inputs = batch_of(rows, small(dim, real));
        let mut expected: Option<Vec<f64>> = None;
        for choice in devices() {
            for executor in Executor::ALL {
                let request = Request { executor: Some(executor), ..request(steps) };
                let mut rollout = match Rollout::prepare(&choice, &inputs, request) {
                    Ok(rollout) => rollout,
                    Err(RolloutError::Invalid(message)) => {
                        assert!(message.contains(&format!("--executor {executor}: ")), "{message}");
                        // A software driver's workgroups take turns; other reasons are in the words of `Way::of`.
                        assert_ne!(executor, Executor::Replay, "{message}");
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                let found = final_state(&rollout.run(&mut ()).expect("run"));
                let expected = expected.get_or_insert_with(|| found.clone());
                let error = relative(&found, expected);
                assert!(error <= 1e-5, "{rows} x {dim}: {executor} on {}: {error:.1e}", choice.kind());
            }
        }
    }
}

/// Wakes at strides and remembers what it was shown.
#[derive(Default)]
struct Watcher {
    states: Vec<u64>,
    stop_at: Option<u64>,
}

impl Observer for Watcher {
    fn progress(&mut self, step: u64) -> ControlFlow<()> {
        if self.stop_at.is_some_and(|at| step >= at) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn state(&mut self, step: u64, z: Values) -> Result<(), RolloutError> {
        assert_eq!(z.words().len(), 40);
        self.states.push(step);
        Ok(())
    }
}

fn by_name(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
    entries.iter().filter(|(_, n)| *n > 0).map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The counters of a run with every stride, counted by hand, on every device and executor.
#[test]
fn the_counts_are_exact() {
    let inputs = small(40, RealType::F32);
    let strides = Strides { hash: 10, stats: 15, defect: 30, snapshot: 50, decode: 75, progress: 0 };
    let segments_of = |end: u64| {
        let mut steps: Vec<u64> = (1..=end).filter(|s| [10, 15, 50, 75].iter().any(|k| s % k == 0)).collect();
        if steps.last() != Some(&end) {
            steps.push(end);
        }
        steps.len() as u64
    };
    for choice in devices() {
        for executor in Executor::ALL {
            let request = Request { executor: Some(executor), strides, ..request(307) };
            let Ok(mut rollout) = Rollout::prepare(&choice, &inputs, request) else { continue };
            let mut watcher = Watcher::default();
            let outcome = rollout.run(&mut watcher).expect("run");
            assert_eq!(watcher.states, [50, 75, 100, 150, 200, 225, 250, 300]);
            let counts =
                (outcome.hashes.len(), outcome.stats.len(), outcome.defects.len(), outcome.states_read);
            assert_eq!(counts, (30, 20, 10, 8));
            assert_eq!(
                outcome.hashes.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
                (1..=30).map(|i| i * 10).collect::<Vec<_>>()
            );
            let checks = [("state_hash", 30), ("state_stats_f32", 20), ("state_defect_f32", 10)];
            let segments = segments_of(307);
            let counters = rollout.snapshot().after_seal;
            let cpu = choice.kind() == Kind::Cpu;
            let steps: &[(&str, u64)] = match (executor, cpu) {
                (Executor::Replay, _) => &[("vecmat_f32", 307)],
                (Executor::Workgroup, _) | (Executor::Persistent, true) => &[("vecmat_chain_f32", segments)],
                (Executor::Persistent, false) => continue,
            };
            let expected = by_name(&[&checks[..], steps].concat());
            if cpu {
                assert_eq!(counters, Counters { cpu_ops: expected, ..Counters::default() }, "{executor}");
                continue;
            }
            assert_eq!(counters.dispatches, expected, "{executor}");
            let timestamps = counters.readback_bytes.get("timestamps").copied().unwrap_or(0);
            let read = by_name(&[
                ("z", 9 * 160),
                ("hash", 30 * 16),
                ("stats", 20 * 20),
                ("defect", 10 * 12),
                ("timestamps", timestamps),
            ]);
            assert_eq!(counters.readback_bytes, read, "{executor}");
            let table = if executor == Executor::Replay { 0 } else { 4 * segments };
            assert_eq!(counters.upload_bytes, by_name(&[("schedule", table)]), "{executor}");
            let Counters { allocations, pipeline_creations, recordings, descriptor_writes, .. } = counters;
            assert_eq!((allocations, pipeline_creations, recordings, descriptor_writes), (0, 0, 0, 0));
            // A batch behind each state that is read, the reads, and the last batch.
            assert!(counters.submits <= 9 + 9 && counters.host_waits <= 18, "{counters:?}");
            assert!(!counters.upload_bytes.contains_key(class::WEIGHTS));
        }
    }
}

/// Keeps fields by step.
#[derive(Default)]
struct FieldsSeen(Vec<(u64, Vec<f64>)>);

impl Observer for FieldsSeen {
    fn field(&mut self, step: u64, omega: Vec<f64>) -> Result<(), RolloutError> {
        self.0.push((step, omega));
        Ok(())
    }
}

/// A codec of n × n cells, and an operator that shrinks its vectors by a hundredth.
fn decodable(n: usize, config: CodecConfig) -> (Codec, CodecMeta, Inputs) {
    let omega = initial_field(n, 5);
    let codec = Codec::for_first_frame(n, config, &omega).expect("codec");
    let meta = CodecMeta::of(&codec, false, 11, 0.01);
    let z: Vec<f32> = codec.encode(&omega).expect("vector").iter().map(|value| *value as f32).collect();
    let dim = z.len();
    let a = (0..dim * dim).map(|at| if at % (dim + 1) == 0 { 0.99 } else { 0.0 }).collect();
    let operator = Operator { real: RealType::F32, dim: dim as u32 };
    (codec, meta, Inputs { operator, a: Values::F32(a), rows: 1, z: Values::F32(z), is_batch: false })
}

/// A GPU decodes the state where it lies, in either of its places, and only the field comes back.
#[test]
fn fields_come_from_where_the_state_lies() {
    fields_of(32, CodecConfig::default(), &[Executor::Replay]);
}

/// Vectors so short that every executor takes them.
#[test]
fn every_executor_leaves_the_state_where_it_is_decoded() {
    let config = CodecConfig { k_cut: 2.0, mid_cut: 4.0, smooth: 3, top_k: 4, ..CodecConfig::default() };
    fields_of(16, config, &Executor::ALL);
}

fn fields_of(n: u64, config: CodecConfig, executors: &[Executor]) {
    let (codec, meta, inputs) = decodable(n as usize, config);
    let strides = Strides { decode: 5, snapshot: 10, ..Strides::default() };
    for (choice, executor) in devices().iter().flat_map(|c| executors.iter().map(move |e| (c, *e))) {
        let decode = Some(meta.clone());
        let executor = Some(executor);
        let request = Request { strides, decode, executor, reads_final_state: false, ..request(23) };
        let mut rollout = match Rollout::prepare(choice, &inputs, request) {
            Ok(rollout) => rollout,
            Err(RolloutError::Invalid(why)) if executor != Some(Executor::Replay) => {
                eprintln!("skipped on {}: {why}", choice.kind());
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let mut seen = FieldsSeen::default();
        let outcome = rollout.run(&mut seen).expect("run");
        assert_eq!(seen.0.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [5, 10, 15, 20]);
        for (step, field) in &seen.0 {
            let z: Vec<f64> = inputs.z.to_f64().iter().map(|z| z * 0.99f64.powi(*step as i32)).collect();
            let options = DecodeOptions { seed: meta.seed_at(*step), ..DecodeOptions::default() };
            let error = relative(field, &codec.decode(&z, &options).expect("field").omega);
            assert!(error <= 2e-5, "{}: {error:.1e} at step {step}", choice.kind());
        }
        let counters = rollout.snapshot();
        let report = rollout.report(&outcome, &counters);
        let on_gpu = choice.kind() != Kind::Cpu;
        assert_eq!((outcome.fields, outcome.states_read), (4, if on_gpu { 2 } else { 4 }));
        assert_eq!(report.cpu_readbacks["field"], 4);
        if on_gpu {
            let Counters { mut readback_bytes, dispatches, host_waits, .. } = counters.after_seal;
            readback_bytes.remove("timestamps");
            readback_bytes.remove("status");
            let read = [("z", 2 * report.state_bytes), ("fields", 4 * n * n * 4), ("final_stats", 20)];
            assert_eq!(readback_bytes, by_name(&read));
            assert_eq!((dispatches["codec_compose"], report.field_bytes), (4, n * n * 4));
            // A batch to each of 4 fields, its decoding and its read, 2 reads of z, the last batch and the last statistics.
            assert!(host_waits <= 3 * 4 + 2 + 2, "{host_waits} waits");
        }
    }
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    let (_, meta, inputs) = decodable(32, CodecConfig::default());
    let strides = Strides { decode: 1, ..Strides::default() };
    let refused = |choice: &Choice, inputs: &Inputs, meta: &CodecMeta| {
        let request = Request { strides, decode: Some(meta.clone()), ..request(1) };
        Rollout::prepare(choice, inputs, request).err().expect("refused").to_string()
    };
    let mut wide = inputs.clone();
    wide.z = Values::F64(inputs.z.to_f64());
    wide.a = Values::F64(inputs.a.to_f64());
    wide.operator.real = RealType::F64;
    for choice in devices() {
        let batch = Inputs { is_batch: true, ..inputs.clone() };
        assert!(refused(&choice, &batch, &meta).contains("one trajectory, not a batch"));
        let error = refused(&choice, &small(40, RealType::F32), &meta);
        assert!(error.contains("makes vectors of 654, A is of 40 x 40"), "{error}");
        if choice.kind() != Kind::Cpu {
            assert!(refused(&choice, &wide, &meta).contains("decodes in f32"));
        }
    }
}

#[test]
fn hashes_are_those_of_the_bytes_on_every_device() {
    let inputs = small(33, RealType::F32);
    for choice in devices() {
        let strides = Strides { hash: 7, ..Strides::default() };
        let (rollout, outcome) = run(&choice, &inputs, Request { strides, ..request(21) });
        let words = outcome.final_state.as_ref().expect("it was asked for").words();
        assert_eq!(outcome.hashes.last(), Some(&(21, hash(words))), "{}", choice.kind());
        let report = rollout.report(&outcome, &resident_ledger::Snapshot::default());
        let hashes = report.hash.expect("hashes");
        assert_eq!(hashes.rerun_of_first.as_ref(), Some(&hashes.first.1), "{}", choice.kind());
    }
}

#[test]
fn a_kernel_only_run_leaves_z_on_the_device() {
    let inputs = small(64, RealType::F32);
    for choice in devices() {
        let request = Request { reads_final_state: false, ..request(30_000) };
        let (rollout, outcome) = run(&choice, &inputs, request);
        let counters = rollout.snapshot().after_seal;
        assert!(!counters.readback_bytes.contains_key("z"));
        assert!(counters.host_waits <= 100, "{} waits", counters.host_waits);
        assert_eq!((outcome.steps, outcome.final_non_finite), (30_000, 0));
    }
}

#[test]
fn a_run_that_is_broken_off_says_where_and_has_its_state() {
    let inputs = small(40, RealType::F32);
    for choice in devices() {
        let strides = Strides { progress: 10, ..Strides::default() };
        let mut rollout =
            Rollout::prepare(&choice, &inputs, Request { strides, ..request(100_000) }).expect("prepare");
        let outcome = rollout.run(&mut Watcher { stop_at: Some(30), ..Watcher::default() }).expect("run");
        assert!((30..=50).contains(&outcome.steps) && outcome.steps.is_multiple_of(10), "{}", outcome.steps);
        let (_, whole) = run(&choice, &inputs, request(outcome.steps));
        assert!(relative(&final_state(&outcome), &final_state(&whole)) <= 1e-5);
    }
}

#[test]
fn divergence_and_overflow_are_seen() {
    let mut inputs = small(8, RealType::F32);
    inputs.a = Values::F32((0..64).map(|i| if i % 9 == 0 { 2.0 } else { 0.0 }).collect());
    for choice in devices() {
        let strides = Strides { defect: 10, stats: 50, ..Strides::default() };
        let (rollout, outcome) = run(&choice, &inputs, Request { strides, ..request(200) });
        let report = rollout.report(&outcome, &resident_ledger::Snapshot::default());
        let defect = report.defect.expect("defects");
        assert!(defect.non_finite > 0 && defect.count == 20, "{defect:?}");
        assert!(outcome.final_non_finite > 0 && report.stats.expect("stats").non_finite > 0);
    }
}
