//! Runs one call three ways (plain reference, host implementation, Vulkan device) and compares what they wrote.
//!
//! Outputs are poisoned before each run: a value that the reference leaves alone must be left alone by the others, and
//! one that it writes must be written. The device is the best one that the machine has; without any Vulkan driver that
//! part is skipped with a note, unless RESIDENT_REQUIRE_VULKAN is set.

use crate::{DeviceTraits, Dispatch, HostMemory, Slice};
use bytemuck::Pod;
use resident_ledger::Ledger;
use resident_tensor::DType;
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

    /// The buffers' memory.
    pub(crate) fn memory(&self) -> &HostMemory {
        &self.memory
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

    /// Random numbers in [-1, 1), each exact as f32.
    pub(crate) fn random_reals(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.random.float().into()).collect()
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
        self.check_floats(dispatch, tolerance, self.everywhere(dispatch));
    }

    /// As [`check`](Self::check), for the host implementation alone.
    pub(crate) fn check_host(&self, dispatch: &Dispatch, tolerance: f64) {
        self.check_floats(dispatch, tolerance, vec![self.on_host(dispatch)]);
    }

    /// As [`check`](Self::check), for f64 values. Buffers of an odd number of words hold none, and must agree exactly.
    pub(crate) fn check_f64(&self, dispatch: &Dispatch, tolerance: f64) {
        self.check_doubles(dispatch, tolerance, self.everywhere(dispatch));
    }

    /// As [`check_f64`](Self::check_f64), for the host implementation alone.
    pub(crate) fn check_host_f64(&self, dispatch: &Dispatch, tolerance: f64) {
        self.check_doubles(dispatch, tolerance, vec![self.on_host(dispatch)]);
    }

    /// Whether the device, if there is one, computes in f64.
    pub(crate) fn device_has_f64(&self) -> bool {
        device().is_none_or(|device| device.info().features.shader_float64)
    }

    fn check_doubles(&self, dispatch: &Dispatch, tolerance: f64, others: Vec<(&'static str, HostMemory)>) {
        self.compare_with(dispatch, others, |name, who, expected, found| {
            if expected.len() % 2 == 1 {
                return assert_eq!(expected, found, "{who}: '{name}'");
            }
            let double = |pair: &[u32]| f64::from_bits(u64::from(pair[0]) | u64::from(pair[1]) << 32);
            let pairs = || expected.chunks(2).map(double).zip(found.chunks(2).map(double));
            let error: f64 = pairs().map(|(e, f)| (e - f).powi(2)).sum();
            let norm: f64 = pairs().map(|(e, _)| e.powi(2)).sum();
            let relative = (error / if norm > 0.0 { norm } else { 1.0 }).sqrt();
            // Not `>`: NaN never passes.
            assert!(
                relative <= tolerance,
                "{who}: '{name}' differs by {relative:.2e}, tolerance {tolerance:.0e}"
            );
        });
    }

    fn check_floats(&self, dispatch: &Dispatch, tolerance: f64, others: Vec<(&'static str, HostMemory)>) {
        self.compare_with(dispatch, others, |name, who, expected, found| {
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
        self.reference_of(std::slice::from_ref(dispatch)).read::<u32>(slice).to_vec()
    }

    /// What the device makes of the buffers: the words of `slice`, if there is a device.
    pub(crate) fn device_words(&self, dispatch: &Dispatch, slice: Slice) -> Option<Vec<u32>> {
        Some(self.device_of(std::slice::from_ref(dispatch))?.read::<u32>(slice).to_vec())
    }

    /// What the references of several calls, one after the other, make of the buffers.
    pub(crate) fn reference_of(&self, calls: &[Dispatch]) -> HostMemory {
        let memory = self.copy();
        calls.iter().for_each(|call| (call.kernel.reference)(call, &memory));
        memory
    }

    /// What the device makes of the buffers with several calls, one after the other, if there is a device.
    pub(crate) fn device_of(&self, calls: &[Dispatch]) -> Option<HostMemory> {
        device().map(|device| self.run_on_device(device, calls))
    }

    /// What the host implementation makes of the buffers.
    fn on_host(&self, dispatch: &Dispatch) -> (&'static str, HostMemory) {
        let memory = self.copy();
        (dispatch.kernel.host)(dispatch, &memory);
        ("host", memory)
    }

    /// What host implementation and device make of the buffers.
    fn everywhere(&self, dispatch: &Dispatch) -> Vec<(&'static str, HostMemory)> {
        let device = self.device_of(std::slice::from_ref(dispatch)).map(|memory| ("device", memory));
        if device.is_none() {
            eprintln!("skipped on the device: no Vulkan driver");
        }
        [self.on_host(dispatch)].into_iter().chain(device).collect()
    }

    /// Runs reference, host implementation and device, and has `judge` (name, who, expected words, found words) compare
    /// every binding that is written.
    pub(crate) fn compare(&self, dispatch: &Dispatch, judge: impl Fn(&str, &str, &[u32], &[u32])) {
        self.compare_with(dispatch, self.everywhere(dispatch), judge);
    }

    fn compare_with(
        &self,
        dispatch: &Dispatch,
        others: Vec<(&'static str, HostMemory)>,
        judge: impl Fn(&str, &str, &[u32], &[u32]),
    ) {
        let expected = self.reference_of(std::slice::from_ref(dispatch));
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

    fn run_on_device(&self, device: &Device, calls: &[Dispatch]) -> HostMemory {
        let upload = |index: usize| -> Buffer {
            let values = self.memory.read::<u8>(self.all_of(index));
            let buffer = device.allocate("case", values.len() as u64, Memory::Device).expect("allocation");
            device.upload(&buffer, 0, &values, "case").expect("upload");
            buffer
        };
        let buffers: Vec<Buffer> = (0..self.bytes.len()).map(upload).collect();
        let prepare = |dispatch: &Dispatch| {
            let push = dispatch.push_constants(|s| buffers[s.buffer.0 as usize].address() + s.offset_bytes);
            let spec = PipelineSpec {
                name: dispatch.kernel.name,
                spirv: dispatch.kernel.spirv,
                push_bytes: push.len() as u32,
                specialization: &dispatch.specialization,
                required_subgroup_size: None,
                full_subgroups: false,
            };
            let pipeline = device.pipeline(&spec).expect("pipeline");
            let groups = dispatch.grid.groups(dispatch.local_size(), device.info().features.subgroup_size);
            (pipeline, push, groups)
        };
        let prepared: Vec<_> = calls.iter().map(prepare).collect();
        let recording = device
            .record("case", |r| {
                for (pipeline, push, groups) in &prepared {
                    r.barrier();
                    r.dispatch(pipeline, push, *groups);
                }
            })
            .expect("recording");
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

/// The weight types that a test goes through: all, but at subgroups for which lavapipe runs a second and a third time some
/// that stand for the others, since types differ only in how one invocation unpacks a chunk, and a variant takes seconds
/// to compile there.
pub(crate) fn weight_types() -> impl Iterator<Item = DType> + Clone {
    let some = [DType::F32, DType::F16, DType::Q8_0, DType::Q4K, DType::Q6K];
    let all = !matches!(subgroup_size(), Some(4 | 16));
    let wanted = DType::all().filter(move |dtype| all || some.contains(dtype));
    wanted.collect::<Vec<_>>().into_iter()
}

/// The device's subgroup size, where there is a device.
pub(crate) fn subgroup_size() -> Option<u32> {
    device().map(|device| device.info().features.subgroup_size)
}

/// Whether the device, if there is one, has matrix units that multiply f16.
pub(crate) fn device_has_matrix_units() -> bool {
    device().is_some_and(|device| device.info().features.multiplies_f16_squares())
}

/// The card that figures of docs/performance.md are from.
pub(crate) const H200: DeviceTraits = DeviceTraits {
    shared_memory_bytes: 49152,
    packed_dot_product: true,
    matrix_units: true,
    subgroup_size: 32,
    workgroup_invocations: 1024,
};

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
