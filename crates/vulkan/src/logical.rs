//! The logical device, its one queue and its one timeline: every submit and every wait of this crate happens here.

use crate::devices::{self, DeviceInfo};
use crate::error::Error;
use crate::instance::Instance;
use ash::{ext, khr, vk};
use resident_ledger::{Ledger, RecordingId};
use std::collections::VecDeque;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A wait looks at the interrupt flag and the timeout this often.
const WAIT_SLICE: Duration = Duration::from_millis(100);
/// A drop waits no longer than this once a wait has ended early: the GPU hangs, or the user wants to leave.
pub(crate) const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// So many submissions are remembered by name, for the errors.
const REMEMBERED_SUBMITS: usize = 64;

/// A submission: the value that the device's timeline reaches when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// The value of the device's timeline semaphore.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// How waits end without the GPU being done.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    pub(crate) timeout: Duration,
    pub(crate) interrupt: Option<Arc<AtomicBool>>,
    /// How long a drop waits after such an end.
    pub(crate) last: Duration,
}

struct Queue {
    raw: vk::Queue,
    last: u64,
    names: VecDeque<(u64, Arc<str>, usize)>,
}

/// The opened device. Everything made from it holds an `Arc` of it, so it is destroyed last.
pub(crate) struct Logical {
    pub(crate) raw: ash::Device,
    pub(crate) physical: vk::PhysicalDevice,
    pub(crate) info: DeviceInfo,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) executables: Option<khr::pipeline_executable_properties::Device>,
    debug: Option<ext::debug_utils::Device>,
    queue: Mutex<Queue>,
    timeline: vk::Semaphore,
    /// The highest value the timeline was seen at: saves a call for what is long done.
    seen: AtomicU64,
    lost: AtomicBool,
    /// A wait ended without the GPU being done.
    ended_early: AtomicBool,
    /// The GPU may run for ever: nothing is destroyed any more, the process's end does it.
    abandoned: AtomicBool,
    patience: Patience,
    // Dropped after everything above, unless abandoned.
    pub(crate) instance: ManuallyDrop<Instance>,
}

impl Logical {
    pub(crate) fn open(
        info: &DeviceInfo,
        ledger: Arc<Ledger>,
        validation: bool,
        statistics: bool,
        patience: Patience,
    ) -> Result<Self, Error> {
        if let Some(reason) = &info.unusable {
            return Err(Error::Unusable { name: info.name.clone(), reason: reason.clone() });
        }
        let instance = Instance::new(validation)?;
        let physical = devices::find(&instance, info)?;
        let raw = create_device(&instance, physical, info, statistics)?;

        let mut kind = vk::SemaphoreTypeCreateInfo::default()
            .semaphore_type(vk::SemaphoreType::TIMELINE)
            .initial_value(0);
        let semaphore_info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: the device was made above with timeline semaphores switched on.
        let timeline = match unsafe { raw.create_semaphore(&semaphore_info, None) } {
            Ok(timeline) => timeline,
            Err(result) => {
                // SAFETY: nothing was made from the device.
                unsafe { raw.destroy_device(None) };
                return Err(Error::vulkan(format!("opening device {}", info.name), result));
            }
        };
        // SAFETY: one queue of this family was asked for at the creation.
        let queue = unsafe { raw.get_device_queue(info.queue_family, 0) };
        let executables = (statistics && info.features.pipeline_executable_properties)
            .then(|| khr::pipeline_executable_properties::Device::new(&instance.raw, &raw));
        let debug = instance.validates().then(|| ext::debug_utils::Device::new(&instance.raw, &raw));
        let logical = Self {
            executables,
            debug,
            queue: Mutex::new(Queue { raw: queue, last: 0, names: VecDeque::new() }),
            timeline,
            seen: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            ended_early: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            patience,
            physical,
            info: info.clone(),
            ledger,
            raw,
            instance: ManuallyDrop::new(instance),
        };
        logical.name(timeline, "timeline");
        Ok(logical)
    }

    /// Names a Vulkan object for the validation layer.
    pub(crate) fn name(&self, object: impl vk::Handle, name: &str) {
        let Some(debug) = &self.debug else { return };
        let name = CString::new(name.replace('\0', " ")).unwrap_or_default();
        let info = vk::DebugUtilsObjectNameInfoEXT::default().object_handle(object).object_name(&name);
        // SAFETY: the object was made from this device and nobody else has it yet. A failure only loses the name.
        let _ = unsafe { debug.set_debug_utils_object_name(&info) };
    }

    /// The error for a failed call; remembers a lost device.
    pub(crate) fn fail(&self, during: impl Into<String>, result: vk::Result) -> Error {
        if result == vk::Result::ERROR_DEVICE_LOST {
            self.lost.store(true, Ordering::Release);
        }
        Error::vulkan(during, result)
    }

    /// An error if what belongs before the seal comes after it.
    pub(crate) fn refuse_if_sealed(&self, what: &'static str, name: &str) -> Result<(), Error> {
        match self.ledger.is_sealed() {
            true => Err(Error::Sealed { what, name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Submits command buffers in order and counts them. `name` appears in errors.
    ///
    /// # Safety
    /// The command buffers are recorded from this device, and they and what they use live until the ticket is reached.
    pub(crate) unsafe fn submit(
        &self,
        name: &Arc<str>,
        commands: &[vk::CommandBufferSubmitInfo<'_>],
        counted: impl IntoIterator<Item = RecordingId>,
    ) -> Result<Ticket, Error> {
        let mut queue = self.lock_queue();
        let value = queue.last + 1;
        let signal = [vk::SemaphoreSubmitInfo::default()
            .semaphore(self.timeline)
            .value(value)
            .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)];
        let submit =
            [vk::SubmitInfo2::default().command_buffer_infos(commands).signal_semaphore_infos(&signal)];
        // SAFETY: the caller vouches for the command buffers; the lock serialises the queue and the rising value.
        unsafe { self.raw.queue_submit2(queue.raw, &submit, vk::Fence::null()) }
            .map_err(|result| self.fail(format!("submitting {name}"), result))?;
        queue.last = value;
        if queue.names.len() == REMEMBERED_SUBMITS {
            queue.names.pop_front();
        }
        queue.names.push_back((value, name.clone(), commands.len()));
        self.ledger.submit(counted);
        Ok(Ticket(value))
    }

    /// The last submission so far.
    pub(crate) fn last(&self) -> Ticket {
        Ticket(self.lock_queue().last)
    }

    /// Whether the GPU has finished a submission.
    pub(crate) fn reached(&self, ticket: Ticket) -> Result<bool, Error> {
        if self.seen.load(Ordering::Acquire) >= ticket.0 {
            return Ok(true);
        }
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::DeviceLost { during: self.describe(ticket) });
        }
        // SAFETY: the semaphore is a timeline and lives as long as self.
        let value = unsafe { self.raw.get_semaphore_counter_value(self.timeline) }
            .map_err(|result| self.fail(self.describe(ticket), result))?;
        self.seen.fetch_max(value, Ordering::AcqRel);
        Ok(value >= ticket.0)
    }

    /// Blocks until the GPU has finished a submission; counts a wait only if it has to block.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        if self.reached(ticket)? {
            return Ok(());
        }
        self.ledger.host_wait();
        let start = Instant::now();
        while !self.wait_slice(ticket)? {
            if self.patience.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                self.ended_early.store(true, Ordering::Release);
                return Err(Error::Interrupted { during: self.describe(ticket) });
            }
            if start.elapsed() >= self.patience.timeout {
                self.ended_early.store(true, Ordering::Release);
                let seconds = self.patience.timeout.as_secs();
                return Err(Error::Timeout { during: self.describe(ticket), seconds });
            }
        }
        Ok(())
    }

    /// Waits before something is destroyed; the interrupt flag does not cut it short, since the GPU would go on using
    /// what is destroyed. False if the GPU does not finish: then the thing must be leaked, and so must all others.
    /// A lost device uses nothing any more.
    #[must_use]
    pub(crate) fn quiesce(&self, ticket: Ticket) -> bool {
        if self.is_abandoned() {
            return false;
        }
        if self.reached(ticket).unwrap_or(true) {
            return true;
        }
        self.ledger.host_wait();
        let start = Instant::now();
        while let Ok(false) = self.wait_slice(ticket) {
            let ended_early = self.ended_early.load(Ordering::Acquire);
            let patience = if ended_early { self.patience.last } else { self.patience.timeout };
            if start.elapsed() >= patience {
                self.ended_early.store(true, Ordering::Release);
                self.abandoned.store(true, Ordering::Release);
                return false;
            }
        }
        true
    }

    /// Whether the GPU did not finish in time, so that nothing may be destroyed any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    fn wait_slice(&self, ticket: Ticket) -> Result<bool, Error> {
        let (semaphores, values) = ([self.timeline], [ticket.0]);
        let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        let slice = WAIT_SLICE.min(self.patience.timeout).as_nanos() as u64;
        // SAFETY: the semaphore is a timeline and lives as long as self.
        match unsafe { self.raw.wait_semaphores(&info, slice) } {
            Ok(()) => {
                self.seen.fetch_max(ticket.0, Ordering::AcqRel);
                Ok(true)
            }
            Err(vk::Result::TIMEOUT) => Ok(false),
            Err(result) => Err(self.fail(self.describe(ticket), result)),
        }
    }

    /// What a ticket stands for, for an error.
    fn describe(&self, ticket: Ticket) -> String {
        let queue = self.lock_queue();
        match queue.names.iter().find(|(value, ..)| *value == ticket.0) {
            Some((value, name, 0 | 1)) => format!("{name} (submission {value})"),
            Some((value, name, many)) => format!("{name} and {} more (submission {value})", many - 1),
            None => format!("submission {}", ticket.0),
        }
    }

    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        // The queue's state is changed only after a call succeeded, so a panic elsewhere leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Logical {
    fn drop(&mut self) {
        if !self.quiesce(self.last()) {
            return;
        }
        // SAFETY: everything made from the device holds an Arc of self, so it is gone, and the GPU has finished (a lost
        // device may be destroyed as it is). The instance is dropped once, here, after its device.
        unsafe {
            let _ = self.raw.device_wait_idle();
            self.raw.destroy_semaphore(self.timeline, None);
            self.raw.destroy_device(None);
            ManuallyDrop::drop(&mut self.instance);
        }
    }
}

fn create_device(
    instance: &Instance,
    physical: vk::PhysicalDevice,
    info: &DeviceInfo,
    statistics: bool,
) -> Result<ash::Device, Error> {
    let features = &info.features;
    let mut chain = features.chain(statistics);
    let core = chain.core;
    let mut enabled = vk::PhysicalDeviceFeatures2::default().features(core);
    let extensions: Vec<_> = features.extensions(statistics).iter().map(|name| name.as_ptr()).collect();
    let priorities = [1.0];
    let queues = [vk::DeviceQueueCreateInfo::default()
        .queue_family_index(info.queue_family)
        .queue_priorities(&priorities)];
    let mut create = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&extensions)
        .push_next(&mut chain.vulkan_11)
        .push_next(&mut chain.vulkan_12)
        .push_next(&mut chain.vulkan_13);
    if features.cooperative_matrix {
        create = create.push_next(&mut chain.cooperative_matrix);
    }
    if features.cooperative_matrix2.is_some() {
        create = create.push_next(&mut chain.cooperative_matrix2);
    }
    if features.bfloat16 {
        create = create.push_next(&mut chain.bfloat16);
    }
    if statistics && features.pipeline_executable_properties {
        create = create.push_next(&mut chain.pipeline_executable);
    }
    let create = create.push_next(&mut enabled);
    // SAFETY: all pointers are to locals that outlive the call; features and extensions are those the device listed.
    unsafe { instance.raw.create_device(physical, &create, None) }
        .map_err(|result| Error::vulkan(format!("opening device {}", info.name), result))
}
