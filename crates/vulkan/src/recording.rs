//! Recordings: command buffers made once and replayed. Knows nothing of what the kernels compute.

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::logical::{Logical, Ticket};
use crate::pipeline::Pipeline;
use crate::timestamps::TimestampPool;
use ash::vk;
use resident_ledger::RecordingId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A recorded command buffer. It may be submitted any number of times, also many times in one submission: each replay
/// begins when the one before is done. A clone is another handle to the same one; dropping the last waits for the GPU.
#[derive(Clone)]
pub struct Recording(Arc<Inner>);

struct Inner {
    logical: Arc<Logical>,
    name: Arc<str>,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    id: RecordingId,
    /// The last submission it stands in; 0 is none.
    last: AtomicU64,
    timestamps: Option<TimestampPool>,
    // Kept alive for the GPU.
    _pipelines: Vec<Pipeline>,
    _buffers: Vec<Buffer>,
}

impl Recording {
    /// Its name, as errors show it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Records what `fill` says.
    pub(crate) fn new(
        arena: &Arc<Arena>,
        name: &str,
        timestamps: Option<&TimestampPool>,
        fill: impl FnOnce(&mut Recorder<'_>),
    ) -> Result<Self, Error> {
        let logical = &arena.logical;
        let pool = CommandPool::new(logical, name, vk::CommandPoolCreateFlags::empty())?;
        let begin =
            vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE);
        let fail = |result| logical.fail(format!("recording {name}"), result);
        // SAFETY: the command buffer is new, and its pool is used by this thread alone.
        unsafe { logical.raw.begin_command_buffer(pool.commands, &begin) }.map_err(fail)?;
        let mut recorder = Recorder {
            arena,
            commands: pool.commands,
            name,
            bound: None,
            dispatches: BTreeMap::new(),
            pipelines: Vec::new(),
            buffers: Vec::new(),
            timestamps,
            error: None,
        };
        if let Some(timestamps) = timestamps {
            assert!(Arc::ptr_eq(&timestamps.0.logical, logical), "timestamps of another device");
            // SAFETY: recording is under way, outside any render pass; the slots exist.
            unsafe {
                logical.raw.cmd_reset_query_pool(pool.commands, timestamps.0.raw, 0, timestamps.count());
            }
        }
        // Replays follow each other, and follow whatever was submitted before.
        recorder.barrier();
        fill(&mut recorder);
        let Recorder { dispatches, pipelines, buffers, error, .. } = recorder;
        // SAFETY: recording is under way.
        let ended = unsafe { logical.raw.end_command_buffer(pool.commands) }.map_err(fail);
        if let Some(error) = error {
            return Err(error);
        }
        ended?;
        let (pool, commands) = pool.into_parts();
        Ok(Self(Arc::new(Inner {
            logical: logical.clone(),
            name: name.into(),
            pool,
            commands,
            id: logical.ledger.recording(dispatches),
            last: AtomicU64::new(0),
            timestamps: timestamps.cloned(),
            _pipelines: pipelines,
            _buffers: buffers,
        })))
    }

    /// One submission of `recordings`, in order.
    pub(crate) fn submit(logical: &Arc<Logical>, recordings: &[&Recording]) -> Result<Ticket, Error> {
        let mut infos = Vec::with_capacity(recordings.len());
        for recording in recordings {
            let Inner { logical: own, name, commands, .. } = &*recording.0;
            assert!(Arc::ptr_eq(own, logical), "recording {name} is of another device");
            infos.push(vk::CommandBufferSubmitInfo::default().command_buffer(*commands));
        }
        static NOTHING: &str = "an empty submission";
        let name = recordings.first().map_or_else(|| NOTHING.into(), |first| first.0.name.clone());
        let ids = recordings.iter().map(|recording| recording.0.id);
        // SAFETY: the recordings are of this device and complete; each notes the ticket below and waits for it in its
        // drop, which cannot come before this call returns, since the caller holds them.
        let ticket = unsafe { logical.submit(&name, &infos, ids) }?;
        for recording in recordings {
            recording.0.last.fetch_max(ticket.0, Ordering::AcqRel);
            if let Some(timestamps) = &recording.0.timestamps {
                timestamps.0.last.fetch_max(ticket.0, Ordering::AcqRel);
            }
        }
        Ok(ticket)
    }

    pub(crate) fn logical(&self) -> &Arc<Logical> {
        &self.0.logical
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({})", self.0.name)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.logical.quiesce(Ticket(self.last.load(Ordering::Acquire))) {
            return;
        }
        // SAFETY: the GPU has finished the last submission (or is lost), and no handle is left to submit it again.
        unsafe { self.logical.raw.destroy_command_pool(self.pool, None) };
    }
}

/// A command pool with its one command buffer, destroyed unless its parts are taken.
pub(crate) struct CommandPool<'a> {
    logical: &'a Logical,
    raw: vk::CommandPool,
    pub(crate) commands: vk::CommandBuffer,
}

impl<'a> CommandPool<'a> {
    pub(crate) fn new(
        logical: &'a Logical,
        name: &str,
        flags: vk::CommandPoolCreateFlags,
    ) -> Result<Self, Error> {
        let fail = |result| logical.fail(format!("creating the command buffer of {name}"), result);
        let info =
            vk::CommandPoolCreateInfo::default().queue_family_index(logical.info.queue_family).flags(flags);
        // SAFETY: the device lives and has the family.
        let raw = unsafe { logical.raw.create_command_pool(&info, None) }.map_err(fail)?;
        let mut pool = Self { logical, raw, commands: vk::CommandBuffer::null() };
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(raw)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        // SAFETY: the pool was made above.
        let made = unsafe { logical.raw.allocate_command_buffers(&info) }.map_err(fail)?;
        pool.commands = made.first().copied().unwrap_or_default();
        logical.name(pool.commands, name);
        Ok(pool)
    }

    pub(crate) fn into_parts(self) -> (vk::CommandPool, vk::CommandBuffer) {
        let parts = (self.raw, self.commands);
        std::mem::forget(self);
        parts
    }
}

impl Drop for CommandPool<'_> {
    fn drop(&mut self) {
        // SAFETY: the parts were not taken, so its command buffer was never submitted.
        unsafe { self.logical.raw.destroy_command_pool(self.raw, None) };
    }
}

/// Takes the commands of one recording. The first fault is kept and returned by [`crate::Device::record`].
pub struct Recorder<'a> {
    arena: &'a Arc<Arena>,
    commands: vk::CommandBuffer,
    name: &'a str,
    bound: Option<vk::Pipeline>,
    dispatches: BTreeMap<String, u64>,
    pipelines: Vec<Pipeline>,
    buffers: Vec<Buffer>,
    timestamps: Option<&'a TimestampPool>,
    error: Option<Error>,
}

impl Recorder<'_> {
    /// Dispatches `groups` workgroups of a kernel. Without a [`Recorder::barrier`] in between it may overlap the
    /// dispatches before it.
    ///
    /// # Panics
    /// If `push` is not as long as the pipeline's push constants, or the pipeline is of another device.
    #[track_caller]
    pub fn dispatch(&mut self, pipeline: &Pipeline, push: &[u8], groups: [u32; 3]) {
        let logical = &self.arena.logical;
        assert!(pipeline.is_of(logical), "{}: pipeline {} is of another device", self.name, pipeline.name());
        assert!(
            push.len() == pipeline.push_bytes() as usize,
            "{}: dispatch of {} with {} bytes of push constants, expected {}",
            self.name,
            pipeline.name(),
            push.len(),
            pipeline.push_bytes()
        );
        let limit = logical.info.limits.max_compute_workgroup_count;
        if (0..3).any(|axis| groups[axis] == 0 || groups[axis] > limit[axis]) {
            let (recording, kernel) = (self.name.to_owned(), pipeline.name().to_owned());
            self.fail(Error::GroupCount { recording, kernel, found: groups, limit });
            return;
        }
        let raw = &logical.raw;
        // SAFETY: recording is under way on this thread alone; pipeline, push constants and counts were checked, and
        // the recording keeps the pipeline alive.
        unsafe {
            if self.bound != Some(pipeline.raw()) {
                raw.cmd_bind_pipeline(self.commands, vk::PipelineBindPoint::COMPUTE, pipeline.raw());
            }
            if !push.is_empty() {
                let stage = vk::ShaderStageFlags::COMPUTE;
                raw.cmd_push_constants(self.commands, pipeline.layout(), stage, 0, push);
            }
            raw.cmd_dispatch(self.commands, groups[0], groups[1], groups[2]);
        }
        self.bound = Some(pipeline.raw());
        if !self.pipelines.iter().any(|kept| kept.is(pipeline)) {
            self.pipelines.push(pipeline.clone());
        }
        match self.dispatches.get_mut(pipeline.name()) {
            Some(count) => *count += 1,
            None => {
                self.dispatches.insert(pipeline.name().to_owned(), 1);
            }
        }
    }

    /// Keeps a buffer alive as long as the recording: shaders reach it by an address that nobody else sees.
    pub fn keep(&mut self, buffer: &Buffer) {
        if !self.buffers.iter().any(|kept| kept.is(buffer)) {
            self.buffers.push(buffer.clone());
        }
    }

    /// What follows sees what the dispatches before have written, and does not overwrite what they still read.
    pub fn barrier(&mut self) {
        self.memory_barrier(&[COMPUTE_TO_COMPUTE]);
    }

    /// The host sees what the dispatches before have written into mapped buffers. Belongs after the last of them.
    pub fn host_barrier(&mut self) {
        self.memory_barrier(&[COMPUTE_TO_HOST]);
    }

    /// Copies between buffers, after all dispatches before and before all that follow. Slow for large ones inside
    /// the device: there a kernel copies several times faster.
    ///
    /// # Panics
    /// If a range lies outside its buffer, the two overlap, or a buffer is of another device.
    #[track_caller]
    pub fn copy(&mut self, from: &Buffer, from_offset: u64, to: &Buffer, to_offset: u64, bytes: u64) {
        self.copy_between(from, from_offset, to, to_offset, bytes, &[COPY_TO_COMPUTE]);
    }

    /// Like [`Recorder::copy`], into a mapped buffer that the host reads next.
    #[track_caller]
    pub(crate) fn copy_to_host(&mut self, from: &Buffer, from_offset: u64, to: &Buffer, bytes: u64) {
        self.copy_between(from, from_offset, to, 0, bytes, &[COPY_TO_HOST, COPY_TO_COMPUTE]);
    }

    #[track_caller]
    fn copy_between(
        &mut self,
        from: &Buffer,
        from_offset: u64,
        to: &Buffer,
        to_offset: u64,
        bytes: u64,
        after: &[vk::MemoryBarrier2<'static>],
    ) {
        from.assert_range(from_offset, bytes);
        to.assert_range(to_offset, bytes);
        for buffer in [from, to] {
            assert!(buffer.is_of(self.arena), "{}: {buffer:?} is of another device", self.name);
            self.keep(buffer);
        }
        let apart = !from.is(to) || from_offset + bytes <= to_offset || to_offset + bytes <= from_offset;
        assert!(apart, "{}: the copied ranges of {from:?} overlap", self.name);
        if bytes == 0 {
            return;
        }
        self.memory_barrier(&[ALL_TO_COPY]);
        let regions = [vk::BufferCopy {
            src_offset: from.handle_offset(from_offset),
            dst_offset: to.handle_offset(to_offset),
            size: bytes,
        }];
        // SAFETY: recording is under way; the ranges lie inside the buffers, which the recording keeps alive.
        unsafe {
            self.arena.logical.raw.cmd_copy_buffer(self.commands, from.handle(), to.handle(), &regions);
        }
        self.memory_barrier(after);
    }

    /// Writes a timestamp when all dispatches before are done.
    ///
    /// # Panics
    /// If the recording has no timestamps, or not so many slots.
    #[track_caller]
    pub fn timestamp(&mut self, slot: u32) {
        let Some(pool) = self.timestamps else {
            panic!("{}: recorded without timestamps; use record_timed", self.name)
        };
        assert!(slot < pool.count(), "{}: timestamp {slot} of {}", self.name, pool.count());
        let stage = vk::PipelineStageFlags2::COMPUTE_SHADER;
        // SAFETY: recording is under way; the slot exists and was reset at the recording's begin.
        unsafe { self.arena.logical.raw.cmd_write_timestamp2(self.commands, stage, pool.0.raw, slot) };
    }

    fn memory_barrier(&mut self, barriers: &[vk::MemoryBarrier2<'static>]) {
        // SAFETY: recording is under way, and synchronization2 is switched on.
        unsafe { memory_barrier(&self.arena.logical, self.commands, barriers) };
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// # Safety
/// `commands` is being recorded, by this thread alone.
pub(crate) unsafe fn memory_barrier(
    logical: &Logical,
    commands: vk::CommandBuffer,
    barriers: &[vk::MemoryBarrier2<'static>],
) {
    let info = vk::DependencyInfo::default().memory_barriers(barriers);
    // SAFETY: the caller vouches for the command buffer; the masks are constants that fit together.
    unsafe { logical.raw.cmd_pipeline_barrier2(commands, &info) };
}

/// A global memory barrier. Masks are exact: ALL_COMMANDS costs more than twice as much.
const fn between(
    from: (vk::PipelineStageFlags2, vk::AccessFlags2),
    to: (vk::PipelineStageFlags2, vk::AccessFlags2),
) -> vk::MemoryBarrier2<'static> {
    vk::MemoryBarrier2 {
        s_type: vk::StructureType::MEMORY_BARRIER_2,
        p_next: std::ptr::null(),
        src_stage_mask: from.0,
        src_access_mask: from.1,
        dst_stage_mask: to.0,
        dst_access_mask: to.1,
        _marker: std::marker::PhantomData,
    }
}

const COMPUTE: vk::PipelineStageFlags2 = vk::PipelineStageFlags2::COMPUTE_SHADER;
const TRANSFER: vk::PipelineStageFlags2 = vk::PipelineStageFlags2::ALL_TRANSFER;
const HOST: vk::PipelineStageFlags2 = vk::PipelineStageFlags2::HOST;
const SHADER_WRITE: vk::AccessFlags2 = vk::AccessFlags2::SHADER_STORAGE_WRITE;
const SHADER_ACCESS: vk::AccessFlags2 = vk::AccessFlags2::from_raw(
    vk::AccessFlags2::SHADER_STORAGE_WRITE.as_raw() | vk::AccessFlags2::SHADER_STORAGE_READ.as_raw(),
);
const TRANSFER_WRITE: vk::AccessFlags2 = vk::AccessFlags2::TRANSFER_WRITE;
const TRANSFER_ACCESS: vk::AccessFlags2 = vk::AccessFlags2::from_raw(
    vk::AccessFlags2::TRANSFER_WRITE.as_raw() | vk::AccessFlags2::TRANSFER_READ.as_raw(),
);

const COMPUTE_TO_COMPUTE: vk::MemoryBarrier2<'_> = between((COMPUTE, SHADER_WRITE), (COMPUTE, SHADER_ACCESS));
const COMPUTE_TO_HOST: vk::MemoryBarrier2<'_> =
    between((COMPUTE, SHADER_WRITE), (HOST, vk::AccessFlags2::HOST_READ));
pub(crate) const COPY_TO_COMPUTE: vk::MemoryBarrier2<'_> =
    between((TRANSFER, TRANSFER_WRITE), (COMPUTE, SHADER_ACCESS));
pub(crate) const COPY_TO_COPY: vk::MemoryBarrier2<'_> =
    between((TRANSFER, TRANSFER_WRITE), (TRANSFER, TRANSFER_ACCESS));
pub(crate) const COPY_TO_HOST: vk::MemoryBarrier2<'_> =
    between((TRANSFER, TRANSFER_WRITE), (HOST, vk::AccessFlags2::HOST_READ));
/// Before copies: what dispatches and copies before have written.
pub(crate) const ALL_TO_COPY: vk::MemoryBarrier2<'_> = vk::MemoryBarrier2 {
    src_stage_mask: vk::PipelineStageFlags2::from_raw(COMPUTE.as_raw() | TRANSFER.as_raw()),
    src_access_mask: vk::AccessFlags2::from_raw(SHADER_WRITE.as_raw() | TRANSFER_WRITE.as_raw()),
    ..COPY_TO_COPY
};
