//! A program on a Vulkan device: buffers by kind, plans recorded once with exact barriers, replays.

use crate::marks::Marks;
use crate::session::{CHUNK_BYTES, rows_a_chunk};
use crate::{Error, SessionOptions};
use rayon::prelude::*;
use resident_kernels::handover::NOT_READY;
use resident_kernels::weights::WeightLayout;
use resident_kernels::{Dispatch, Slice};
use resident_ledger::Ledger;
use resident_plan::{Arena, BufferKind, Plan, PlanId, Program, barriers};
use resident_vulkan::{
    Buffer, Device, DeviceInfo, Memory, Options, PipelineSpec, Readback, Recorder, Recording, Ticket,
    TimestampPool,
};
use std::sync::Arc;

pub(crate) struct GpuBuilder {
    device: Device,
    /// One a program buffer; activations have none, they lie in `arena`.
    buffers: Vec<Option<Buffer>>,
    arena: Option<Buffer>,
    /// One a plan, made when it is first submitted, at the latest at the seal.
    recordings: Vec<Option<Recording>>,
    /// Whether every plan is also recorded with timestamps.
    profile: bool,
    /// Whether submissions are timed.
    time_submissions: bool,
}

impl GpuBuilder {
    pub(crate) fn new(
        info: &DeviceInfo,
        program: &Program,
        ledger: &Arc<Ledger>,
        options: SessionOptions,
    ) -> Result<Self, Error> {
        let SessionOptions { pipeline_cache_dir, validation, profile, time_submissions } = options;
        let options = Options { pipeline_cache_dir, validation, ..Options::default() };
        let device = Device::open(info, ledger.clone(), options)?;
        let mut buffers = Vec::with_capacity(program.buffers.len());
        for declared in &program.buffers {
            let memory = match declared.kind {
                BufferKind::Activation => {
                    buffers.push(None);
                    continue;
                }
                BufferKind::Weight | BufferKind::State | BufferKind::Handover => Memory::Device,
                BufferKind::Mailbox => Memory::MappedUpload,
                BufferKind::Ring => Memory::Mapped,
            };
            let buffer = device.allocate(&declared.name, declared.bytes, memory)?;
            match declared.kind {
                BufferKind::State => device.fill(&buffer, 0, declared.bytes, 0)?,
                BufferKind::Handover => device.fill(&buffer, 0, declared.bytes, NOT_READY)?,
                _ => {}
            }
            buffers.push(Some(buffer));
        }
        let arena_bytes = program.plans.iter().map(|plan| Arena::of(program, plan).bytes).max().unwrap_or(0);
        let arena = (arena_bytes > 0)
            .then(|| device.allocate("activations", arena_bytes, Memory::Device))
            .transpose()?;
        let recordings = program.plans.iter().map(|_| None).collect();
        Ok(Self { device, buffers, arena, recordings, profile, time_submissions })
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn load(&self, to: Slice, bytes: &[u8], class: &'static str) -> Result<(), Error> {
        let buffer = self.buffers[to.buffer.0 as usize].as_ref().expect("activations are not loaded");
        Ok(self.device.upload(buffer, to.offset_bytes, bytes, class)?)
    }

    /// See [`SessionBuilder::load_matrix`](crate::SessionBuilder::load_matrix): values are made in staging memory, scales,
    /// a twentieth of the bytes, beside it.
    pub(crate) fn load_matrix<E: From<Error> + Send>(
        &self,
        to: Slice,
        layout: WeightLayout,
        class: &'static str,
        fill: impl Fn(u64, &mut [u8], &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let buffer = self.buffer(to);
        let uploader = self.device.uploader(class).map_err(Error::from)?;
        let rows_a_chunk = rows_a_chunk(layout);
        let (value_bytes, scale_bytes) = (layout.row_bytes(), layout.row_scale_bytes());
        let scales_at = to.offset_bytes + layout.value_bytes();
        (0..layout.rows.div_ceil(rows_a_chunk)).into_par_iter().try_for_each(|chunk| {
            let first = chunk * rows_a_chunk;
            let rows = rows_a_chunk.min(layout.rows - first);
            let values_at = to.offset_bytes + first * value_bytes;
            let mut scales = vec![0; (rows * scale_bytes) as usize];
            let mut filled = Ok(());
            if value_bytes <= CHUNK_BYTES {
                let fill = |at: u64, values: &mut [u8]| {
                    let row = at / value_bytes;
                    let rows = values.len() as u64 / value_bytes;
                    let scales = &mut scales[(row * scale_bytes) as usize..][..(rows * scale_bytes) as usize];
                    // After an error nobody uses what is loaded.
                    if filled.is_ok() {
                        filled = fill(first + row, values, scales);
                    }
                };
                let written = uploader.write_with(buffer, values_at, rows * value_bytes, value_bytes, fill);
                written.map_err(Error::from)?;
                filled?;
            } else {
                // One row, which may be longer than a staging slot.
                let mut values = vec![0; value_bytes as usize];
                fill(first, &mut values, &mut scales)?;
                uploader.write(buffer, values_at, &values).map_err(Error::from)?;
            }
            let scales_at = scales_at + first * scale_bytes;
            Ok(uploader.write(buffer, scales_at, &scales).map_err(Error::from)?)
        })
    }

    pub(crate) fn run(&self, call: &Dispatch) -> Result<(), Error> {
        let address = |slice: Slice| {
            self.buffers[slice.buffer.0 as usize].as_ref().expect("not an activation").address()
                + slice.offset_bytes
        };
        let push = call.push_constants(address);
        let (pipeline, groups) = pipeline(&self.device, call, push.len())?;
        let recording =
            self.device.record(call.kernel.name, |recorder| recorder.dispatch(&pipeline, &push, groups))?;
        Ok(self.device.wait(self.device.submit(&[&recording])?)?)
    }

    fn buffer(&self, slice: Slice) -> &Buffer {
        self.buffers[slice.buffer.0 as usize].as_ref().expect("not an activation")
    }

    pub(crate) fn write_mailbox(&self, to: Slice, bytes: &[u8], class: &str) {
        self.buffer(to).write(to.offset_bytes, bytes, class);
    }

    pub(crate) fn read_ring(&self, from: Slice, out: &mut [u32], class: &str) {
        read_words(self.buffer(from), from, out, class);
    }

    /// Replays plans in order, in one submission, and waits for it.
    pub(crate) fn run_plans(&mut self, program: &Program, plans: &[PlanId]) -> Result<(), Error> {
        for plan in plans {
            self.recording(program, *plan)?;
        }
        let recordings: Vec<&Recording> = plans.iter().flat_map(|plan| &self.recordings[plan.0]).collect();
        Ok(self.device.wait(self.device.submit(&recordings)?)?)
    }

    /// The recording of a plan, made if there is none yet.
    fn recording(&mut self, program: &Program, plan: PlanId) -> Result<Recording, Error> {
        if let Some(recording) = &self.recordings[plan.0] {
            return Ok(recording.clone());
        }
        let recording = self.record(program, program.plan_of(plan), None)?;
        Ok(self.recordings[plan.0].insert(recording).clone())
    }

    pub(crate) fn peek(&self, from: Slice, class: &str) -> Result<Vec<u8>, Error> {
        let buffer = self.buffers[from.buffer.0 as usize].as_ref().expect("activations are not read back");
        let mut bytes = vec![0; from.bytes as usize];
        self.device.readback(buffer, from.offset_bytes, &mut bytes, class)?;
        Ok(bytes)
    }

    pub(crate) fn seal(
        mut self,
        program: &Program,
        readbacks: &[(Slice, &'static str)],
    ) -> Result<GpuExecutor, Error> {
        let plans = (0..program.plans.len()).map(PlanId);
        let recordings = plans.map(|plan| self.recording(program, plan)).collect::<Result<Vec<_>, _>>()?;
        let timed_plans = program.plans.iter().filter(|_| self.profile);
        let timed = timed_plans.map(|plan| {
            let pool = self.device.timestamps(&plan.name, plan.steps.len() as u32 + 1)?;
            Ok((self.record(program, plan, Some(&pool))?, pool))
        });
        let timed = timed.collect::<Result<Vec<_>, Error>>()?;
        let declared = readbacks.iter().map(|(slice, class)| {
            let buffer =
                self.buffers[slice.buffer.0 as usize].as_ref().expect("activations are not read back");
            Ok((*slice, self.device.declare_readback(buffer, slice.offset_bytes, slice.bytes, class)?))
        });
        let readbacks = declared.collect::<Result<Vec<_>, Error>>()?;
        let marks = self.time_submissions.then(|| Marks::new(&self.device)).transpose()?;
        self.device.seal()?;
        Ok(GpuExecutor { device: self.device, buffers: self.buffers, recordings, timed, marks, readbacks })
    }

    fn record(
        &self,
        program: &Program,
        plan: &Plan,
        timestamps: Option<&TimestampPool>,
    ) -> Result<Recording, Error> {
        let arena = Arena::of(program, plan);
        let address = |slice: Slice| match arena.offset(slice.buffer) {
            Some(offset) => {
                self.arena.as_ref().expect("a plan with activations has an arena").address()
                    + offset
                    + slice.offset_bytes
            }
            None => {
                self.buffers[slice.buffer.0 as usize].as_ref().expect("not an activation").address()
                    + slice.offset_bytes
            }
        };
        let mut prepared = Vec::with_capacity(plan.steps.len());
        for (step, barrier) in plan.steps.iter().zip(barriers(plan, &arena)) {
            let push = step.dispatch.push_constants(address);
            let (pipeline, groups) = pipeline(&self.device, &step.dispatch, push.len())?;
            prepared.push((barrier, pipeline, push, groups));
        }
        let writes_ring = plan.steps.iter().flat_map(|s| &s.dispatch.bindings).any(|b| {
            b.access.writes()
                && b.slice.is_some_and(|s| program.declaration(s.buffer).kind == BufferKind::Ring)
        });
        let fill = |recorder: &mut Recorder| {
            // Shaders reach buffers by address alone, so nothing else would keep them from being given back.
            self.buffers.iter().flatten().chain(&self.arena).for_each(|buffer| recorder.keep(buffer));
            if timestamps.is_some() {
                recorder.timestamp(0);
            }
            for (index, (barrier, pipeline, push, groups)) in prepared.iter().enumerate() {
                if *barrier {
                    recorder.barrier();
                }
                recorder.dispatch(pipeline, push, *groups);
                if timestamps.is_some() {
                    recorder.timestamp(index as u32 + 1);
                }
            }
            if writes_ring {
                recorder.host_barrier();
            }
        };
        let recording = match timestamps {
            None => self.device.record(&plan.name, fill)?,
            Some(pool) => self.device.record_timed(&plan.name, pool, fill)?,
        };
        Ok(recording)
    }
}

/// The pipeline of a call and its workgroup counts on this device.
pub(crate) fn pipeline(
    device: &Device,
    dispatch: &Dispatch,
    push_bytes: usize,
) -> Result<(resident_vulkan::Pipeline, [u32; 3]), Error> {
    let features = &device.info().features;
    // Where the size can vary from launch to launch it is pinned, since grids are counted in subgroups.
    let pinned = (features.subgroup_size_control && features.min_subgroup_size < features.max_subgroup_size)
        .then_some(features.subgroup_size);
    let pipeline = device.pipeline(&PipelineSpec {
        name: dispatch.kernel.name,
        spirv: dispatch.kernel.spirv,
        push_bytes: push_bytes as u32,
        specialization: &dispatch.specialization,
        required_subgroup_size: pinned,
        full_subgroups: features.compute_full_subgroups,
    })?;
    Ok((pipeline, dispatch.grid.groups(dispatch.local_size(), features.subgroup_size)))
}

/// Words of a mapped buffer.
fn read_words(buffer: &Buffer, from: Slice, out: &mut [u32], class: &str) {
    let mut bytes = vec![0; out.len() * 4];
    buffer.read(from.offset_bytes, &mut bytes, class);
    for (word, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
}

pub(crate) struct GpuExecutor {
    device: Device,
    buffers: Vec<Option<Buffer>>,
    recordings: Vec<Recording>,
    /// The same with timestamps, where the session may be profiled.
    timed: Vec<(Recording, TimestampPool)>,
    /// Where submissions are timed.
    marks: Option<Marks>,
    readbacks: Vec<(Slice, Readback)>,
}

impl GpuExecutor {
    fn buffer(&self, slice: Slice) -> &Buffer {
        self.buffers[slice.buffer.0 as usize].as_ref().expect("not an activation")
    }

    pub(crate) fn write_mailbox(&self, to: Slice, bytes: &[u8], class: &str) {
        self.buffer(to).write(to.offset_bytes, bytes, class);
    }

    pub(crate) fn submit(&mut self, plans: &[PlanId]) -> Result<Ticket, Error> {
        let recordings: Vec<&Recording> = plans.iter().map(|plan| &self.recordings[plan.0]).collect();
        match &mut self.marks {
            Some(marks) => marks.submit(&self.device, &recordings),
            None => Ok(self.device.submit(&recordings)?),
        }
    }

    /// How long a finished submission took on the device, where submissions are timed and this one is remembered.
    pub(crate) fn submission_nanoseconds(&self, ticket: Ticket) -> Result<Option<u64>, Error> {
        self.marks.as_ref().map_or(Ok(None), |marks| marks.nanoseconds(&self.device, ticket))
    }

    /// Whether a buffer lies in the device's own memory, out of the host's sight where there is such memory.
    pub(crate) fn is_device_local(&self, slice: Slice) -> bool {
        self.buffer(slice).memory() == Memory::Device
    }

    /// Nanoseconds of each step of one replay.
    pub(crate) fn profile(&self, plan: PlanId) -> Result<Vec<u64>, Error> {
        let (recording, pool) = self.timed.get(plan.0).expect("a session that is profiled is made for it");
        self.device.wait(self.device.submit(&[recording])?)?;
        let ends = self.device.read_timestamps(pool)?;
        Ok(ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
    }

    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        Ok(self.device.wait(ticket)?)
    }

    pub(crate) fn wait_idle(&self) -> Result<(), Error> {
        Ok(self.device.wait_idle()?)
    }

    pub(crate) fn read_ring(&self, from: Slice, out: &mut [u32], class: &str) {
        read_words(self.buffer(from), from, out, class);
    }

    pub(crate) fn validation_messages(&self) -> Vec<String> {
        self.device.validation_messages()
    }

    pub(crate) fn readback(&mut self, from: Slice) -> Result<Vec<u8>, Error> {
        let declared = self.readbacks.iter().find(|(slice, _)| *slice == from);
        let (_, readback) = declared.expect("a readback is declared before the seal");
        Ok(readback.run()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resident_kernels::random_fill::{self, RandomType};
    use resident_kernels::stream_read;

    /// What a recording reaches by address must outlive the builder: activations that had a block of device memory to
    /// themselves were once given back at the seal.
    #[test]
    fn everything_a_plan_reaches_stays_allocated() {
        let listing = resident_vulkan::list_devices(false).expect("list devices");
        let Some(best) = resident_vulkan::rank(&listing.devices).first().map(|r| &listing.devices[r.index])
        else {
            assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none(), "there is no Vulkan device");
            return eprintln!("skipped: no Vulkan device");
        };
        let mut program = Program::default();
        let sums = program.buffer("sums", 64 * 4, BufferKind::State);
        let mut plan = program.plan("fill and read", 1);
        let values = plan.activation_bytes("values", 1 << 20);
        plan.dispatch("fill", random_fill::dispatch(RandomType::Bytes, 1, 0.0..1.0, values));
        plan.dispatch("read", stream_read::dispatch(values, sums, 64));
        let plan = plan.finish();
        let builder = GpuBuilder::new(best, &program, &Arc::new(Ledger::new()), SessionOptions::default());
        let mut executor = builder.expect("builder").seal(&program, &[]).expect("seal");
        let ticket = executor.submit(&[plan]).expect("submit");
        executor.wait(ticket).expect("wait");
        let used = executor.device.memory_use(Memory::Device).buffer_bytes;
        assert!(used >= sums.bytes + values.bytes, "{used} bytes are left");
    }
}
