//! Runs one call three ways (plain reference, host implementation, Vulkan device) and compares what they wrote.
//!
//! Outputs are poisoned before each run: a value that the reference leaves alone must be left alone by the others, and
//! one that it writes must be written. The device is the best one that the machine has; without any Vulkan driver that
//! part is skipped with a note, unless RESIDENT_REQUIRE_VULKAN is set.

use crate::{Dispatch, HostFn, HostMemory, Slice};
use bytemuck::Pod;
use resident_ledger::Ledger;
use resident_vulkan::{Buffer, Device, Memory, Options, PipelineSpec};
use std::sync::{Arc, OnceLock};

/// A NaN that no arithmetic makes.
const POISON: u32 = 0xffff_dead;

/// Small deterministic generator; tests are repeatable without a seed file.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1).
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// The buffers of one call.
pub(crate) struct Case {
    memory: HostMemory,
    random: Random,
    bytes: Vec<u64>,
}

impl Case {
    pub(crate) fn new() -> Self {
        Self { memory: HostMemory::new(), random: Random(1), bytes: Vec::new() }
    }

    /// A buffer that holds `values`.
    pub(crate) fn values<T: Pod>(&mut self, values: &[T]) -> Slice {
        self.bytes.push(size_of_val(values) as u64);
        self.memory.add_values(values)
    }

    /// A buffer of words.
    pub(crate) fn words(&mut self, words: &[u32]) -> Slice {
        self.values(words)
    }

    /// A buffer of random floats in [-1, 1).
    pub(crate) fn floats(&mut self, count: usize) -> Slice {
        let values: Vec<f32> = (0..count).map(|_| self.random.float()).collect();
        self.values(&values)
    }

    /// A buffer of random bytes.
    pub(crate) fn random_bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.random.next() as u8).collect()
    }

    /// A poisoned buffer.
    pub(crate) fn output(&mut self, bytes: usize) -> Slice {
        self.values(&vec![POISON; bytes / 4])
    }

    /// Checks that host implementation and device write f32 values within `tolerance` (relative l2) of the reference's.
    pub(crate) fn check(&self, dispatch: &Dispatch, tolerance: f64) {
        self.compare(dispatch, |name, who, expected, found| {
            let (mut error, mut norm) = (0.0f64, 0.0f64);
            for (index, (e, f)) in expected.iter().zip(found).enumerate() {
                assert_eq!(
                    *e == POISON,
                    *f == POISON,
                    "{who}: '{name}'[{index}] written by one, not the other"
                );
                if *e != POISON {
                    let (e, f) = (f64::from(f32::from_bits(*e)), f64::from(f32::from_bits(*f)));
                    error += (e - f).powi(2);
                    norm += e.powi(2);
                }
            }
            let relative = if norm > 0.0 { (error / norm).sqrt() } else { error.sqrt() };
            // Not `>`: NaN never passes.
            assert!(
                relative <= tolerance,
                "{who}: '{name}' differs by {relative:.2e}, tolerance {tolerance:.0e}"
            );
        });
    }

    /// Checks that host implementation and device write exactly the reference's words.
    pub(crate) fn check_bits(&self, dispatch: &Dispatch) {
        self.compare(dispatch, |name, who, expected, found| {
            if let Some(index) = expected.iter().zip(found).position(|(e, f)| e != f) {
                panic!("{who}: '{name}'[{index}] is {:#x}, expected {:#x}", found[index], expected[index]);
            }
        });
    }

    /// What the reference makes of the buffers: the words of `slice` after it ran.
    pub(crate) fn reference_words(&self, dispatch: &Dispatch, slice: Slice) -> Vec<u32> {
        let memory = self.copy();
        (dispatch.kernel.reference)(dispatch, &memory);
        memory.read::<u32>(slice).to_vec()
    }

    /// What the device makes of the buffers: the words of `slice`, if there is a device.
    pub(crate) fn device_words(&self, dispatch: &Dispatch, slice: Slice) -> Option<Vec<u32>> {
        device().map(|device| self.run_on_device(device, dispatch).read::<u32>(slice).to_vec())
    }

    /// Runs reference, host implementation and device, and has `judge` (name, who, expected words, found words) compare
    /// every binding that is written.
    pub(crate) fn compare(&self, dispatch: &Dispatch, judge: impl Fn(&str, &str, &[u32], &[u32])) {
        let run = |function: HostFn| {
            let memory = self.copy();
            function(dispatch, &memory);
            memory
        };
        let expected = run(dispatch.kernel.reference);
        let mut others = vec![("host", run(dispatch.kernel.host))];
        match device() {
            Some(device) => others.push(("device", self.run_on_device(device, dispatch))),
            None => eprintln!("skipped on the device: no Vulkan driver"),
        }
        for (who, memory) in &others {
            for binding in dispatch.bindings.iter().filter(|b| b.access.writes()) {
                let Some(slice) = binding.slice else { continue };
                judge(binding.name, who, &expected.read::<u32>(slice), &memory.read::<u32>(slice));
            }
        }
    }

    fn all_of(&self, index: usize) -> Slice {
        Slice { buffer: crate::BufferId(index as u32), offset_bytes: 0, bytes: self.bytes[index] }
    }

    /// The buffers as they are before a run.
    pub(crate) fn copy(&self) -> HostMemory {
        let mut copy = HostMemory::new();
        for index in 0..self.bytes.len() {
            copy.add_values(&self.memory.read::<u8>(self.all_of(index)));
        }
        copy
    }

    fn run_on_device(&self, device: &Device, dispatch: &Dispatch) -> HostMemory {
        let upload = |index: usize| -> Buffer {
            let values = self.memory.read::<u8>(self.all_of(index));
            let buffer = device.allocate("case", values.len() as u64, Memory::Device).expect("allocation");
            device.upload(&buffer, 0, &values, "case").expect("upload");
            buffer
        };
        let buffers: Vec<Buffer> = (0..self.bytes.len()).map(upload).collect();
        let push = dispatch.push_constants(|s| buffers[s.buffer.0 as usize].address() + s.offset_bytes);
        let pipeline = device
            .pipeline(&PipelineSpec {
                name: dispatch.kernel.name,
                spirv: dispatch.kernel.spirv,
                push_bytes: push.len() as u32,
                specialization: &dispatch.specialization,
                required_subgroup_size: None,
                full_subgroups: false,
            })
            .expect("pipeline");
        let groups = dispatch.grid.groups(dispatch.local_size(), device.info().features.subgroup_size);
        let recording = device.record("case", |r| r.dispatch(&pipeline, &push, groups)).expect("recording");
        device.wait(device.submit(&[&recording]).expect("submit")).expect("wait");
        let memory = self.copy();
        for (index, buffer) in buffers.iter().enumerate() {
            device
                .readback(buffer, 0, &mut memory.write::<u8>(self.all_of(index)), "case")
                .expect("readback");
        }
        let messages = device.validation_messages();
        assert!(messages.is_empty(), "validation: {messages:#?}");
        memory
    }
}

/// The device's subgroup size, where there is a device.
pub(crate) fn subgroup_size() -> Option<u32> {
    device().map(|device| device.info().features.subgroup_size)
}

/// The device that tests share.
fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let validation = resident_vulkan::validation_available();
            let listing = resident_vulkan::list_devices(validation).expect("list devices");
            let best = resident_vulkan::rank(&listing.devices).first().map(|r| &listing.devices[r.index]);
            let options = Options { validation, ..Options::default() };
            let device =
                best.map(|info| Device::open(info, Arc::new(Ledger::new()), options).expect("open device"));
            let required = std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_some();
            assert!(device.is_some() || !required, "RESIDENT_REQUIRE_VULKAN is set and no device was found");
            device
        })
        .as_ref()
}
