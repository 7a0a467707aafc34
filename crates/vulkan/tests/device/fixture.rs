//! A device with its ledger, three small kernels, and the check that validation had nothing to say.

use resident_ledger::{Counters, Ledger};
use resident_vulkan::{
    Buffer, Device, DeviceInfo, Memory, Options, Pipeline, PipelineSpec, ValidationLog, list_devices, rank,
    validation_available,
};
use std::sync::Arc;

pub(crate) const AFFINE: &[u8] = include_bytes!("../shaders/affine.spv");
pub(crate) const ADD: &[u8] = include_bytes!("../shaders/add.spv");
pub(crate) const SPIN: &[u8] = include_bytes!("../shaders/spin.spv");

/// The best device, or `None` after printing why the test is skipped.
pub(crate) fn best_device() -> Option<DeviceInfo> {
    let listing = list_devices(false).expect("listing the devices");
    let best = rank(&listing.devices).into_iter().next();
    let found = best.and_then(|best| listing.devices.into_iter().find(|device| device.index == best.index));
    let usable = found.filter(|device| device.unusable.is_none());
    if usable.is_none() {
        let why = listing.note.unwrap_or_else(|| "no device is usable".to_owned());
        assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    usable
}

/// Runs a test body on the best device and then asserts that nothing leaked and validation is silent.
pub(crate) fn with_device(body: impl FnOnce(&Fixture)) {
    with_options(Options::default(), body);
}

/// Like [`with_device`], with options; validation is added where it is installed.
pub(crate) fn with_options(options: Options, body: impl FnOnce(&Fixture)) {
    let Some(info) = best_device() else { return };
    let validation = validation_available();
    if !validation {
        eprintln!("note: the validation layer is not installed");
    }
    let ledger = Arc::new(Ledger::new());
    let options = Options { validation, ..options };
    let device = Device::open(&info, ledger.clone(), options).expect("opening the device");
    let fixture = Fixture { log: device.validation_log(), device, ledger };
    body(&fixture);
    let Fixture { device, log, .. } = fixture;
    // Leaks are reported when the device is destroyed.
    drop(device);
    assert_eq!(log.messages(), Vec::<String>::new());
}

pub(crate) struct Fixture {
    pub(crate) device: Device,
    pub(crate) ledger: Arc<Ledger>,
    log: ValidationLog,
}

impl Fixture {
    pub(crate) fn before_seal(&self) -> Counters {
        self.ledger.snapshot().before_seal
    }

    pub(crate) fn after_seal(&self) -> Counters {
        self.ledger.snapshot().after_seal
    }

    /// `words[i] += amount`.
    pub(crate) fn add(&self, amount: u32) -> Pipeline {
        let spec = PipelineSpec {
            name: "add",
            spirv: ADD,
            push_bytes: 12,
            specialization: &[64, amount],
            ..PipelineSpec::default()
        };
        self.device.pipeline(&spec).expect("the pipeline add")
    }

    /// `y[i] = x[i] * k + i`.
    pub(crate) fn affine(&self) -> Pipeline {
        let spec = PipelineSpec { name: "affine", spirv: AFFINE, push_bytes: 24, ..PipelineSpec::default() };
        self.device.pipeline(&spec).expect("the pipeline affine")
    }

    /// Keeps the device busy.
    pub(crate) fn spin(&self) -> Pipeline {
        let spec = PipelineSpec { name: "spin", spirv: SPIN, push_bytes: 12, ..PipelineSpec::default() };
        self.device.pipeline(&spec).expect("the pipeline spin")
    }

    /// A device buffer with these words.
    pub(crate) fn words(&self, name: &str, words: &[u32]) -> Buffer {
        let bytes = to_bytes(words);
        let buffer = self.device.allocate(name, bytes.len() as u64, Memory::Device).expect("a buffer");
        self.device.upload(&buffer, 0, &bytes, "inputs").expect("an upload");
        buffer
    }

    pub(crate) fn read_words(&self, buffer: &Buffer) -> Vec<u32> {
        let mut bytes = vec![0; buffer.bytes() as usize];
        self.device.readback(buffer, 0, &mut bytes, "words").expect("a readback");
        to_words(&bytes)
    }
}

/// Push constants of `add` and of `spin`.
pub(crate) fn push_one(buffer: &Buffer, value: u32) -> Vec<u8> {
    [&buffer.address().to_le_bytes()[..], &value.to_le_bytes()].concat()
}

/// Push constants of `affine`.
pub(crate) fn push_affine(x: &Buffer, y: &Buffer, n: u32, k: f32) -> Vec<u8> {
    let (x, y) = (x.address().to_le_bytes(), y.address().to_le_bytes());
    [&x[..], &y[..], &n.to_le_bytes(), &k.to_le_bytes()].concat()
}

/// Workgroups of 64 for `n` words.
pub(crate) fn groups(n: u32) -> [u32; 3] {
    [n.div_ceil(64), 1, 1]
}

pub(crate) fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn to_words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

/// Bytes that look random and are the same each time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
