//! Measures which workgroups the matvecs of a decode plan run fastest with, on a device and driver for which that is not
//! known yet, and keeps what it found beside the pipeline cache. Plans are data: the choice is entered into their calls.

use crate::EngineError;
use resident_kernels::matvec::{Workgroup, tunable};
use resident_kernels::random_fill::{self, RandomType};
use resident_kernels::{Access, BufferId, DeviceTraits, Dispatch, Slice};
use resident_ledger::{Ledger, write_atomically};
use resident_plan::{BufferKind, PlanId, Program};
use resident_runtime::{DeviceInfo, SessionBuilder, SessionOptions, Target};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long all measuring may take; what is not reached keeps the choice that is made without measuring.
const BUDGET: Duration = Duration::from_secs(2);
/// Weights of one shape, in copies, so that they stream from memory as a model's do.
const COPIES_BYTES: u64 = 256 << 20;
/// Copies at most: calls of a timed replay.
const MOST_COPIES: u64 = 16;
/// Timed submissions of a candidate, each of so many replays.
const ROUNDS: u32 = 3;
const REPLAYS: usize = 4;
/// A candidate replaces the choice made without measuring only if it is faster by this factor: less is noise.
const WORTH: f64 = 0.98;

/// Bindings of a matvec that hold its matrix.
const WEIGHTS: [&str; 2] = ["weight", "scales"];

/// Workgroups by what [`tunable`] says of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tuning(BTreeMap<String, Workgroup>);

/// The file: the fields of a [`Workgroup`] in order.
type Stored = BTreeMap<String, [u32; 5]>;

impl Tuning {
    /// Knows every matvec of `plans`: from the file, else by measuring on the device. A file that cannot be read or
    /// written costs a measurement the next time, nothing else.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn of(
        info: &DeviceInfo,
        program: &Program,
        plans: &[PlanId],
        ledger: &Arc<Ledger>,
        session: &SessionOptions,
    ) -> Result<Self, EngineError> {
        let path = session.pipeline_cache_dir.as_ref().map(|folder| folder.join(file_name(info)));
        let mut tuning = path.as_deref().map(Self::read).unwrap_or_default();
        let steps = plans.iter().flat_map(|plan| &program.plan_of(*plan).steps);
        let mut unknown: Vec<(String, &Dispatch)> = steps
            .filter_map(|step| Some((tunable(&step.dispatch)?, &step.dispatch)))
            .filter(|(shape, call)| !tuning.0.contains_key(shape) && !polls(call))
            .collect();
        unknown.sort_by(|(a, call), (b, other)| {
            other.cost.weight_bytes.cmp(&call.cost.weight_bytes).then_with(|| a.cmp(b))
        });
        unknown.dedup_by(|(a, _), (b, _)| a == b);
        if unknown.is_empty() {
            return Ok(tuning);
        }
        let end = Instant::now() + BUDGET;
        let device = program.device;
        let mut program = Program::default();
        let trials: Vec<_> = unknown
            .into_iter()
            .map(|(shape, call)| (shape, Trial::new(&mut program, call, device)))
            .collect();
        let target = Target::Vulkan(Box::new(info.clone()));
        let options = SessionOptions { profile: false, ..session.clone() };
        let mut builder = SessionBuilder::new(&target, program, ledger.clone(), options)?;
        for (shape, trial) in trials {
            let Some(best) = trial.best(&mut builder, end)? else { break };
            tuning.0.insert(shape, best);
        }
        if let Some(path) = path {
            // Not worth failing a run for.
            let _ = tuning.write(&path);
        }
        Ok(tuning)
    }

    /// Enters the choices into every plan.
    pub(crate) fn apply(&self, program: &mut Program) {
        for step in program.plans.iter_mut().flat_map(|plan| &mut plan.steps) {
            if let Some(workgroup) = tunable(&step.dispatch).and_then(|shape| self.0.get(&shape)) {
                step.dispatch = workgroup.applied_to(&step.dispatch);
            }
        }
    }

    fn read(path: &Path) -> Self {
        let stored = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let workgroup = |[local_size, lane_rows, k_lanes, k_subgroups, rows]: [u32; 5]| Workgroup {
            local_size,
            lane_rows,
            k_lanes,
            k_subgroups,
            rows,
        };
        let stored = stored.unwrap_or_default().into_iter().map(|(shape, fields)| (shape, workgroup(fields)));
        // A damaged file must not make a workgroup that no shader was written for.
        Self(stored.filter(|(_, workgroup)| workgroup.is_sound()).collect())
    }

    fn write(&self, path: &Path) -> Result<(), EngineError> {
        let fields = |w: &Workgroup| [w.local_size, w.lane_rows, w.k_lanes, w.k_subgroups, w.rows];
        let stored: Stored = self.0.iter().map(|(shape, w)| (shape.clone(), fields(w))).collect();
        let bytes = serde_json::to_vec_pretty(&stored).map_err(|e| EngineError::Request(e.to_string()))?;
        write_atomically(path, &bytes).map_err(|e| EngineError::Request(e.to_string()))
    }
}

/// Whether a call waits for words of a hand-over: alone in a trial it would wait for nothing.
fn polls(call: &Dispatch) -> bool {
    call.bindings.iter().any(|binding| binding.access == Access::Poll)
}

/// The file of a device and its driver.
fn file_name(info: &DeviceInfo) -> String {
    let uuid: String = info.pipeline_cache_uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tuning-{:04x}-{:04x}-{uuid}.json", info.vendor_id, info.device_id)
}

/// One call with every candidate, over copies of its weights.
struct Trial {
    /// The choice made without measuring first.
    candidates: Vec<(Workgroup, PlanId)>,
    /// Weights, to be filled with anything but zeros, which would stream at less power and so with other clocks.
    weights: Vec<Slice>,
    /// The word that says how many rows there are.
    row_count: Option<Slice>,
}

impl Trial {
    /// Declares buffers and plans.
    fn new(program: &mut Program, call: &Dispatch, device: DeviceTraits) -> Self {
        let copies = (COPIES_BYTES / call.cost.weight_bytes.max(1)).clamp(1, MOST_COPIES) as usize;
        // Weights have copies; everything else is the same for all calls, so they wait for each other.
        let mut places: HashMap<BufferId, Vec<Slice>> = HashMap::new();
        for binding in &call.bindings {
            let Some(slice) = binding.slice else { continue };
            let count = if WEIGHTS.contains(&binding.name) { copies } else { 1 };
            let slices = places.entry(slice.buffer).or_default();
            slices
                .resize_with(count.max(slices.len()), || program.buffer(binding.name, 0, BufferKind::State));
            for place in slices {
                place.bytes = place.bytes.max(slice.offset_bytes + slice.bytes);
                program.buffers[place.buffer.0 as usize].bytes = place.bytes;
            }
        }
        let own = Workgroup::of_call(call);
        let others = Workgroup::candidates(call, device).into_iter().filter(|candidate| *candidate != own);
        let candidates = [own].into_iter().chain(others).map(|workgroup| {
            let mut plan = program.plan("trial", 1);
            for copy in 0..copies {
                let mut call = workgroup.applied_to(call);
                for slice in call.bindings.iter_mut().filter_map(|b| b.slice.as_mut()) {
                    let of_buffer = &places[&slice.buffer];
                    slice.buffer = of_buffer[copy % of_buffer.len()].buffer;
                }
                plan.dispatch("trial", call);
            }
            (workgroup, plan.finish())
        });
        let candidates = candidates.collect();
        let bound = |name: &'static str| call.bindings.iter().find(move |b| b.name == name)?.slice;
        let place = |slice: Slice| places[&slice.buffer].clone();
        let weights = bound("weight").map(place).unwrap_or_default();
        let row_count = bound("row_count").map(|slice| place(slice)[0].at(slice.offset_bytes, 4));
        Self { candidates, weights, row_count }
    }

    /// The fastest candidate; `None` when the time is up before all are measured.
    fn best(self, builder: &mut SessionBuilder, end: Instant) -> Result<Option<Workgroup>, EngineError> {
        for (seed, weights) in (0..).zip(self.weights) {
            let words = weights.at(0, weights.bytes / 4 * 4);
            builder.run(&random_fill::dispatch(RandomType::Bytes, seed, 0.0..1.0, words))?;
        }
        if let Some(row_count) = self.row_count {
            builder.load(row_count, &1u32.to_le_bytes(), "tuning")?;
        }
        let mut best: Option<(f64, Workgroup)> = None;
        for (workgroup, plan) in self.candidates {
            builder.rehearse(&[plan])?;
            let mut time = Duration::MAX;
            for _ in 0..ROUNDS {
                let start = Instant::now();
                builder.rehearse(&[plan; REPLAYS])?;
                time = time.min(start.elapsed());
            }
            if Instant::now() > end {
                return Ok(None);
            }
            let seconds = time.as_secs_f64();
            if best.is_none_or(|(least, _)| seconds < least * WORTH) {
                best = Some((seconds, workgroup));
            }
        }
        Ok(best.map(|(_, workgroup)| workgroup))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resident_kernels::handover::Handover;
    use resident_kernels::linear::{Bindings, Epilogue, Linear};
    use resident_kernels::matvec;
    use resident_kernels::weights::WeightLayout;
    use resident_tensor::DType;

    /// A program with one matvec.
    fn program() -> (Program, PlanId) {
        let mut program = Program::default();
        let layout = WeightLayout { dtype: DType::Q8_0, rows: 96, cols: 64 };
        let mut buffer = |name: &str, bytes| program.buffer(name, bytes, BufferKind::State);
        let bindings = Bindings {
            weight: buffer("w", layout.bytes()),
            x: buffer("x", 256),
            norm_weight: None,
            bias: None,
            row_count: buffer("rows", 4),
            experts: None,
            residual: None,
            y: buffer("y", 4 * 96),
            y_planes: None,
        };
        let layer = Linear {
            layout,
            x_stride: 64,
            y_stride: 96,
            norm_eps: None,
            epilogue: Epilogue::Store,
            experts: None,
            handover: Handover::default(),
            x_planes: false,
        };
        let mut plan = program.plan("decode", 1);
        plan.dispatch("matvec", matvec::dispatch(&layer, 1, DeviceTraits::LEAST, bindings));
        let plan = plan.finish();
        (program, plan)
    }

    #[test]
    fn what_was_measured_is_entered_kept_and_found_again() {
        let listing = devices();
        let Some(info) = listing.first() else { return eprintln!("skipped: no Vulkan device") };
        let folder = tempfile::tempdir().expect("a folder");
        let session =
            SessionOptions { pipeline_cache_dir: Some(folder.path().into()), ..SessionOptions::default() };
        let (mut program, plan) = program();
        let ledger = Arc::new(Ledger::new());
        let tuning = Tuning::of(info, &program, &[plan], &ledger, &session).expect("tuning");
        let submits = ledger.snapshot().before_seal.submits;
        if tuning.0.is_empty() {
            return eprintln!("skipped: too slow a device for the budget");
        }
        let again = Tuning::of(info, &program, &[plan], &ledger, &session).expect("tuning");
        assert_eq!((again, ledger.snapshot().before_seal.submits), (tuning.clone(), submits));
        tuning.apply(&mut program);
        let call = &program.plan_of(plan).steps[0].dispatch;
        assert_eq!(tuning.0.get(&tunable(call).expect("a matvec")), Some(&Workgroup::of_call(call)));
    }

    #[test]
    fn a_damaged_file_is_no_tuning() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tuning.json");
        let all =
            [&b"{"[..], br#"{"a": [3, 1, 32, 1, 2], "b": [256, 2, 32, 2, 8]}"#, br#"{"a": 7}"#, b"\xff"];
        let read = all.map(|bytes| {
            std::fs::write(&path, bytes).expect("a file");
            Tuning::read(&path).0.into_keys().collect::<Vec<_>>()
        });
        assert_eq!(read, [vec![], vec!["b".to_owned()], vec![], vec![]]);
    }

    fn devices() -> Vec<DeviceInfo> {
        resident_runtime::list_devices().map(|listing| listing.devices).unwrap_or_default()
    }
}
