//! The counters. Each is raised at the only place where its event can happen (the Vulkan crate, the plan interpreter),
//! split into the time before and after the seal.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The classes of bytes that the gates judge by name; others are free.
pub mod class {
    /// Uploads of model weights.
    pub const WEIGHTS: &str = "weights";
    /// Readbacks of sampled token ids.
    pub const TOKENS: &str = "tokens";
}

/// Totals of one phase of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Device memory allocations.
    pub allocations: u64,
    /// Bytes of those allocations.
    pub allocated_bytes: u64,
    /// Compute pipelines made (a cache hit on disk still counts).
    pub pipeline_creations: u64,
    /// Command buffers recorded.
    pub recordings: u64,
    /// Descriptor set writes (none where buffers go by address).
    pub descriptor_writes: u64,
    /// Queue submissions.
    pub submits: u64,
    /// Times the host blocked until the device had caught up.
    pub host_waits: u64,
    /// Dispatches that ran on the device, by kernel.
    pub dispatches: BTreeMap<String, u64>,
    /// Bytes host → device, by class (`weights`, `inputs` …).
    pub upload_bytes: BTreeMap<String, u64>,
    /// Bytes device → host, by class (`tokens`, `logits` …).
    pub readback_bytes: BTreeMap<String, u64>,
    /// Plan steps that ran on the host CPU, by kernel. Empty in a GPU run.
    pub cpu_ops: BTreeMap<String, u64>,
}

/// Both halves of a run's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Loading, compiling, recording.
    pub before_seal: Counters,
    /// The hot loop.
    pub after_seal: Counters,
}

/// Names a command buffer in [`Ledger::submit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingId(usize);

struct Recorded {
    dispatches: BTreeMap<String, u64>,
    replays: [u64; 2],
}

/// The run's one account book, shared by everything that can move a byte or wait.
#[derive(Default)]
pub struct Ledger {
    sealed: AtomicBool,
    submits: [AtomicU64; 2],
    host_waits: [AtomicU64; 2],
    rare: Mutex<Rare>,
}

/// Events that are no part of the per-token path, or need a map.
#[derive(Default)]
struct Rare {
    phases: [Counters; 2],
    recorded: Vec<Recorded>,
}

impl Ledger {
    /// An empty ledger, not yet sealed.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on every event counts as `after_seal`.
    pub fn seal(&self) {
        self.sealed.store(true, Relaxed);
    }

    /// Whether [`Ledger::seal`] was called.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Relaxed)
    }

    fn phase(&self) -> usize {
        usize::from(self.is_sealed())
    }

    fn with_phase(&self, change: impl FnOnce(&mut Counters)) {
        let phase = self.phase();
        change(&mut self.rare.lock().expect("ledger lock").phases[phase]);
    }

    /// A device memory allocation of `bytes`.
    pub fn allocation(&self, bytes: u64) {
        self.with_phase(|c| {
            c.allocations += 1;
            c.allocated_bytes += bytes;
        });
    }

    /// A compute pipeline was created.
    pub fn pipeline_creation(&self) {
        self.with_phase(|c| c.pipeline_creations += 1);
    }

    /// A descriptor set was written.
    pub fn descriptor_write(&self) {
        self.with_phase(|c| c.descriptor_writes += 1);
    }

    /// A command buffer was recorded that holds these dispatches, by kernel. They count when it is replayed.
    pub fn recording(&self, dispatches: BTreeMap<String, u64>) -> RecordingId {
        let phase = self.phase();
        let mut rare = self.rare.lock().expect("ledger lock");
        rare.phases[phase].recordings += 1;
        rare.recorded.push(Recorded { dispatches, replays: [0; 2] });
        RecordingId(rare.recorded.len() - 1)
    }

    /// One queue submission that runs each of `recordings` once, in order (a recording may stand in it many times).
    pub fn submit(&self, recordings: impl IntoIterator<Item = RecordingId>) {
        let phase = self.phase();
        self.submits[phase].fetch_add(1, Relaxed);
        let mut rare = self.rare.lock().expect("ledger lock");
        for id in recordings {
            rare.recorded[id.0].replays[phase] += 1;
        }
    }

    /// The host blocked on the device once.
    pub fn host_wait(&self) {
        self.host_waits[self.phase()].fetch_add(1, Relaxed);
    }

    /// `bytes` of `class` went to the device.
    pub fn upload(&self, class: &str, bytes: u64) {
        self.with_phase(|c| add(&mut c.upload_bytes, class, bytes));
    }

    /// `bytes` of `class` came back from the device.
    pub fn readback(&self, class: &str, bytes: u64) {
        self.with_phase(|c| add(&mut c.readback_bytes, class, bytes));
    }

    /// A plan step ran on the host CPU.
    pub fn cpu_op(&self, kernel: &str) {
        self.with_phase(|c| add(&mut c.cpu_ops, kernel, 1));
    }

    /// The totals so far.
    pub fn snapshot(&self) -> Snapshot {
        let rare = self.rare.lock().expect("ledger lock");
        let [before_seal, after_seal] = [0, 1].map(|phase| {
            let mut totals = rare.phases[phase].clone();
            totals.submits = self.submits[phase].load(Relaxed);
            totals.host_waits = self.host_waits[phase].load(Relaxed);
            for recorded in rare.recorded.iter().filter(|r| r.replays[phase] > 0) {
                for (kernel, count) in &recorded.dispatches {
                    add(&mut totals.dispatches, kernel, count * recorded.replays[phase]);
                }
            }
            totals
        });
        Snapshot { before_seal, after_seal }
    }
}

fn add(map: &mut BTreeMap<String, u64>, key: &str, amount: u64) {
    match map.get_mut(key) {
        Some(total) => *total += amount,
        None => {
            map.insert(key.to_owned(), amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_multiply_the_recorded_dispatches_and_fall_into_their_phase() {
        let ledger = Ledger::new();
        let step = ledger.recording(BTreeMap::from([("matvec".to_owned(), 3), ("rms_norm".to_owned(), 1)]));
        ledger.submit([step]);
        ledger.seal();
        ledger.submit([step, step]);
        ledger.readback("tokens", 4);
        ledger.readback("tokens", 4);

        let Snapshot { before_seal, after_seal } = ledger.snapshot();
        assert_eq!((before_seal.recordings, after_seal.recordings), (1, 0));
        assert_eq!((before_seal.dispatches["matvec"], after_seal.dispatches["matvec"]), (3, 6));
        assert_eq!((before_seal.submits, after_seal.submits), (1, 1));
        assert_eq!(after_seal.readback_bytes["tokens"], 8);
    }
}
