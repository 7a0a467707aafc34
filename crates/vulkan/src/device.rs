//! The device as the rest of the program sees it: prepare, seal, run.

use crate::arena::{Arena, ArenaUse};
use crate::blocks::Memory;
use crate::buffer::Buffer;
use crate::cache::{Cache, CacheState};
use crate::devices::DeviceInfo;
use crate::error::Error;
use crate::instance::ValidationLog;
use crate::logical::{LAST_PATIENCE, Logical, Patience, Ticket};
use crate::pipeline::{Pipeline, PipelineSpec, Pipelines};
use crate::readback::Readback;
use crate::recording::{Recorder, Recording};
use crate::staging::Ring;
use crate::timestamps::TimestampPool;
use crate::uploader::Uploader;
use resident_ledger::Ledger;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How to open a device.
#[derive(Clone, Debug)]
pub struct Options {
    /// Switches the Khronos validation layer on; an error if it is not installed. Slow.
    pub validation: bool,
    /// The folder of the pipeline cache; none keeps no cache.
    pub pipeline_cache_dir: Option<PathBuf>,
    /// At most so many bytes of device memory, instead of all there is: for a card that others use as well.
    pub device_memory_limit_bytes: Option<u64>,
    /// Pipelines keep what [`Pipeline::statistics`] shows, where the driver can.
    pub statistics: bool,
    /// A wait longer than this is an error. Software drivers are slow.
    pub timeout: Duration,
    /// Ends a wait early when somebody sets it.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validation: false,
            pipeline_cache_dir: None,
            device_memory_limit_bytes: None,
            statistics: false,
            timeout: Duration::from_secs(120),
            interrupt: None,
        }
    }
}

/// An open device with its one queue. A clone is another handle to the same device; everything made from it keeps it
/// alive. All methods may be called from any thread.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    ring: Mutex<Option<Arc<Ring>>>,
    pipelines: Pipelines,
    arena: Arc<Arena>,
    logical: Arc<Logical>,
}

impl Device {
    /// Opens a listed device. Everything that happens on it from here on enters `ledger`; devices that share a ledger
    /// are sealed together.
    pub fn open(info: &DeviceInfo, ledger: Arc<Ledger>, options: Options) -> Result<Self, Error> {
        Self::open_patiently(info, ledger, options, LAST_PATIENCE)
    }

    fn open_patiently(
        info: &DeviceInfo,
        ledger: Arc<Ledger>,
        options: Options,
        last: Duration,
    ) -> Result<Self, Error> {
        let patience = Patience { timeout: options.timeout, interrupt: options.interrupt, last };
        let logical = Logical::open(info, ledger, options.validation, options.statistics, patience)?;
        let logical = Arc::new(logical);
        let cache = Cache::open(logical.clone(), options.pipeline_cache_dir.as_deref())?;
        Ok(Self(Arc::new(Inner {
            ring: Mutex::new(None),
            pipelines: Pipelines::new(logical.clone(), cache),
            arena: Arena::new(logical.clone(), options.device_memory_limit_bytes),
            logical,
        })))
    }

    /// What was opened.
    pub fn info(&self) -> &DeviceInfo {
        &self.0.logical.info
    }

    /// The account book of everything that happens here.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.0.logical.ledger
    }

    /// A buffer, at an address that is a multiple of 256. Device memory holds whatever was there before; mapped memory
    /// holds zeros.
    ///
    /// # Panics
    /// If `bytes` is zero.
    #[track_caller]
    pub fn allocate(&self, name: &str, bytes: u64, memory: Memory) -> Result<Buffer, Error> {
        self.0.logical.refuse_if_sealed("allocation", name)?;
        self.0.arena.allocate(name, bytes, memory)
    }

    /// What the device holds of one kind of memory.
    pub fn memory_use(&self, memory: Memory) -> ArenaUse {
        self.0.arena.usage(memory)
    }

    /// Copies `bytes` to `offset` of a buffer, counted as `class`. Returns when they are on their way: whatever is
    /// submitted later sees them. For many tensors see [`Device::uploader`].
    ///
    /// # Panics
    /// If the range lies outside the buffer.
    #[track_caller]
    pub fn upload(&self, to: &Buffer, offset: u64, bytes: &[u8], class: &str) -> Result<(), Error> {
        self.0.logical.refuse_if_sealed("upload", to.name())?;
        // Its drop submits.
        self.uploader(class)?.write(to, offset, bytes)
    }

    /// The streaming form of [`Device::upload`].
    pub fn uploader(&self, class: &str) -> Result<Uploader, Error> {
        self.0.logical.refuse_if_sealed("upload", class)?;
        Ok(Uploader::new(self.0.arena.clone(), self.ring()?, class))
    }

    /// Fills a range with one word, on the device. The last word may be cut short only by the buffer's end.
    ///
    /// # Panics
    /// If the range lies outside the buffer, or is not one of whole words.
    #[track_caller]
    pub fn fill(&self, buffer: &Buffer, offset: u64, bytes: u64, word: u32) -> Result<(), Error> {
        self.0.logical.refuse_if_sealed("fill", buffer.name())?;
        self.assert_ours(buffer, offset, bytes);
        let whole = offset.is_multiple_of(4) && (bytes.is_multiple_of(4) || offset + bytes == buffer.bytes());
        assert!(whole, "{buffer:?}: fill of {bytes} bytes at {offset}, which are not whole words");
        match bytes {
            0 => Ok(()),
            // Buffers are padded to their alignment, so the last word is the buffer's own.
            _ => self.ring()?.fill(buffer, offset, bytes.next_multiple_of(4), word),
        }
    }

    /// Copies a buffer's range to the host, after everything submitted before; counted as `class`. Before the seal
    /// only: see [`Device::declare_readback`].
    ///
    /// # Panics
    /// If the range lies outside the buffer.
    #[track_caller]
    pub fn readback(&self, from: &Buffer, offset: u64, out: &mut [u8], class: &str) -> Result<(), Error> {
        self.0.logical.refuse_if_sealed("readback", from.name())?;
        self.assert_ours(from, offset, out.len() as u64);
        self.ring()?.read(from, offset, out)?;
        self.ledger().readback(class, out.len() as u64);
        Ok(())
    }

    /// A readback that may run after the seal.
    ///
    /// # Panics
    /// If the range lies outside the buffer, or is empty.
    #[track_caller]
    pub fn declare_readback(
        &self,
        from: &Buffer,
        offset: u64,
        bytes: u64,
        class: &str,
    ) -> Result<Readback, Error> {
        self.0.logical.refuse_if_sealed("declaration of a readback", from.name())?;
        self.assert_ours(from, offset, bytes);
        Readback::new(&self.0.arena, from, offset, bytes, class)
    }

    /// The pipeline of a spec; the same one as long as somebody holds it.
    ///
    /// # Panics
    /// If the push constants are not whole words.
    #[track_caller]
    pub fn pipeline(&self, spec: &PipelineSpec<'_>) -> Result<Pipeline, Error> {
        self.0.logical.refuse_if_sealed("pipeline creation", spec.name)?;
        self.0.pipelines.get(spec)
    }

    /// Writes the pipeline cache to its file, where one was asked for. Happens at the seal and at the end anyway.
    pub fn save_pipeline_cache(&self) -> Result<(), Error> {
        self.0.pipelines.cache.save()
    }

    /// What became of the pipeline cache's file.
    pub fn pipeline_cache(&self) -> CacheState {
        self.0.pipelines.cache.state()
    }

    /// Records a command buffer that may be submitted any number of times.
    pub fn record(&self, name: &str, fill: impl FnOnce(&mut Recorder<'_>)) -> Result<Recording, Error> {
        self.0.logical.refuse_if_sealed("recording", name)?;
        Recording::new(&self.0.arena, name, None, fill)
    }

    /// Like [`Device::record`], with timestamps. The pool belongs to this recording.
    pub fn record_timed(
        &self,
        name: &str,
        timestamps: &TimestampPool,
        fill: impl FnOnce(&mut Recorder<'_>),
    ) -> Result<Recording, Error> {
        self.0.logical.refuse_if_sealed("recording", name)?;
        Recording::new(&self.0.arena, name, Some(timestamps), fill)
    }

    /// Slots for timestamps.
    ///
    /// # Panics
    /// If `count` is zero.
    #[track_caller]
    pub fn timestamps(&self, name: &str, count: u32) -> Result<TimestampPool, Error> {
        self.0.logical.refuse_if_sealed("allocation of timestamps", name)?;
        TimestampPool::new(self.0.logical.clone(), name, count)
    }

    /// Nanoseconds from slot 0 to each slot, of the last submission, which must be done; slot 0 must be written first.
    pub fn read_timestamps(&self, pool: &TimestampPool) -> Result<Vec<u64>, Error> {
        pool.read()
    }

    /// Nanoseconds from slot 0 of one pool to slot 0 of another, each written by a finished submission.
    pub fn nanoseconds_between(&self, first: &TimestampPool, last: &TimestampPool) -> Result<u64, Error> {
        first.until(last)
    }

    /// Submits recordings in order, as one submission. The same one may appear many times.
    ///
    /// # Panics
    /// If a recording is of another device.
    #[track_caller]
    pub fn submit(&self, recordings: &[&Recording]) -> Result<Ticket, Error> {
        Recording::submit(&self.0.logical, recordings)
    }

    /// Blocks until a submission is done. Counted as a host wait if it does block.
    pub fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        self.0.logical.wait(ticket)
    }

    /// Whether a submission is done.
    pub fn reached(&self, ticket: Ticket) -> Result<bool, Error> {
        self.0.logical.reached(ticket)
    }

    /// Blocks until everything submitted is done.
    pub fn wait_idle(&self) -> Result<(), Error> {
        self.0.logical.wait(self.0.logical.last())
    }

    /// Ends the preparations: waits for the uploads under way, frees the staging memory, saves the pipeline cache (a
    /// failure to write it is in [`Device::pipeline_cache`]) and seals the ledger. Afterwards allocating, compiling,
    /// recording, uploading and undeclared readbacks are errors.
    pub fn seal(&self) -> Result<(), Error> {
        let ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ring) = ring {
            ring.finish_all()?;
        }
        let _ = self.save_pipeline_cache();
        self.ledger().seal();
        Ok(())
    }

    /// Warnings and errors of the validation layer so far.
    pub fn validation_messages(&self) -> Vec<String> {
        self.validation_log().messages()
    }

    /// A handle to them that outlives the device.
    pub fn validation_log(&self) -> ValidationLog {
        self.0.logical.instance.log.clone()
    }

    /// The staging ring, made when first needed.
    fn ring(&self) -> Result<Arc<Ring>, Error> {
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = &*ring {
            return Ok(ring.clone());
        }
        let made = Arc::new(Ring::new(&self.0.arena)?);
        *ring = Some(made.clone());
        Ok(made)
    }

    #[track_caller]
    fn assert_ours(&self, buffer: &Buffer, offset: u64, bytes: u64) {
        assert!(buffer.is_of(&self.0.arena), "{buffer:?} is of another device");
        buffer.assert_range(offset, bytes);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::list_devices;
    use crate::instance::validation_available;
    use crate::rank::rank;
    use ash::vk;
    use std::time::Instant;

    fn best_device() -> Option<DeviceInfo> {
        let listing = list_devices(false).expect("listing the devices");
        let best = rank(&listing.devices).first().map(|best| best.index);
        let found = listing.devices.into_iter().find(|d| Some(d.index) == best && d.unusable.is_none());
        if found.is_none() {
            assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none_or(|value| value != "1"));
            eprintln!("skipped: no Vulkan device");
        }
        found
    }

    #[test]
    fn validation_hears_of_a_leak() {
        let Some(info) = best_device() else { return };
        if !validation_available() {
            eprintln!("skipped: the validation layer is not installed");
            return;
        }
        let options = Options { validation: true, ..Options::default() };
        let device = Device::open(&info, Arc::default(), options).expect("opening the device");
        let log = device.validation_log();
        // SAFETY: the device lives; the semaphore is left behind on purpose.
        unsafe { device.0.logical.raw.create_semaphore(&vk::SemaphoreCreateInfo::default(), None) }
            .expect("a semaphore");
        assert_eq!(device.validation_messages(), Vec::<String>::new());
        drop(device);
        assert!(!log.messages().is_empty(), "the other tests' silence would mean nothing");
    }

    #[test]
    fn a_device_that_does_not_finish_is_abandoned_not_waited_for() {
        let Some(info) = best_device() else { return };
        let options = Options { timeout: Duration::from_millis(1), ..Options::default() };
        let last = Duration::from_millis(1);
        let device =
            Device::open_patiently(&info, Arc::default(), options, last).expect("opening the device");
        let word = device.allocate("word", 4, Memory::Mapped).expect("a buffer");
        let spirv = include_bytes!("../tests/shaders/spin.spv");
        let spec = PipelineSpec { name: "spin", spirv, push_bytes: 12, ..PipelineSpec::default() };
        let spin = device.pipeline(&spec).expect("a pipeline");
        let push = [&word.address().to_le_bytes()[..], &(1u32 << 24).to_le_bytes()].concat();
        let step = device
            .record("step", |r| {
                r.keep(&word);
                r.dispatch(&spin, &push, [1, 1, 1]);
            })
            .expect("a recording");
        let ticket = device.submit(&[&step; 40]).expect("a submit");
        let error = device.wait(ticket).expect_err("finished in a millisecond");
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let start = Instant::now();
        let logical = Arc::downgrade(&device.0.logical);
        drop((step, spin, word, device));
        assert!(logical.upgrade().is_none(), "all handles are gone");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
