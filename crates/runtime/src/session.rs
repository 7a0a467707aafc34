//! A program resident on a device: first built (allocate, load, compile, record), then sealed and replayed.

use crate::cpu::CpuExecutor;
use crate::gpu::{GpuBuilder, GpuExecutor};
use crate::{Error, Target};
use resident_kernels::weights::WeightLayout;
use resident_kernels::{Dispatch, Slice};
use resident_ledger::Ledger;
use resident_plan::{BufferKind, PlanId, Program};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Values of a matrix that one thread makes at a time while it is loaded: long beside taking the place for them, and several
/// fit a staging slot, so that as many threads as there are cores are busy.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;

/// The rows of such a chunk.
pub(crate) fn rows_a_chunk(layout: WeightLayout) -> u64 {
    (CHUNK_BYTES / layout.row_bytes()).max(1)
}

/// Work handed to the device; [`Session::wait`] waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub(crate) Option<resident_vulkan::Ticket>);

/// How a session is made.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Where compiled pipelines are kept from run to run.
    pub pipeline_cache_dir: Option<PathBuf>,
    /// Has the Khronos validation layer watch; an error if it is not installed. Slow.
    pub validation: bool,
    /// Also records every plan with a timestamp after each step, for [`Session::profile`].
    pub profile: bool,
    /// Puts a timestamp at both ends of every submission, for [`Session::submission_time`].
    pub time_submissions: bool,
}

/// How long one step of a profiled replay took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime<'a> {
    /// Where in the model it stands.
    pub label: &'a str,
    /// The kernel.
    pub kernel: &'static str,
    /// From the end of the step before to its own end.
    pub nanoseconds: u64,
}

/// A session before the seal.
pub struct SessionBuilder {
    program: Arc<Program>,
    ledger: Arc<Ledger>,
    executor: Builder,
}

enum Builder {
    Gpu(Box<GpuBuilder>),
    Cpu(CpuExecutor),
}

impl SessionBuilder {
    /// Opens the device and allocates every buffer of the program, zeroed.
    ///
    /// # Errors
    /// Out of memory, a device that cannot be opened.
    pub fn new(
        target: &Target,
        program: Program,
        ledger: Arc<Ledger>,
        options: SessionOptions,
    ) -> Result<Self, Error> {
        let program = Arc::new(program);
        let executor = match target {
            Target::Cpu => Builder::Cpu(CpuExecutor::new(&program, ledger.clone())),
            Target::Vulkan(info) => {
                Builder::Gpu(Box::new(GpuBuilder::new(info, &program, &ledger, options)?))
            }
        };
        Ok(Self { program, ledger, executor })
    }

    /// Writes `bytes` to the slice's beginning, counted under `class`. Returns before the device has them.
    ///
    /// # Errors
    /// Device errors.
    ///
    /// # Panics
    /// If `bytes` are more than the slice.
    pub fn load(&mut self, to: Slice, bytes: &[u8], class: &'static str) -> Result<(), Error> {
        assert!(bytes.len() as u64 <= to.bytes, "load of {} bytes into {}", bytes.len(), to.bytes);
        match &mut self.executor {
            Builder::Gpu(gpu) => gpu.load(to, bytes, class),
            Builder::Cpu(cpu) => {
                cpu.load(to, bytes);
                Ok(())
            }
        }
    }

    /// Has `fill` make a matrix where it goes, from several threads: it gets the number of a row, and room for the values
    /// and for the scales of some rows from there on. Counted under `class`; returns before the device has all of it.
    ///
    /// # Errors
    /// Device errors, and those of `fill`.
    ///
    /// # Panics
    /// If the matrix is larger than the slice.
    pub fn load_matrix<E: From<Error> + Send>(
        &mut self,
        to: Slice,
        layout: WeightLayout,
        class: &'static str,
        fill: impl Fn(u64, &mut [u8], &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        assert!(layout.bytes() <= to.bytes, "load of {} bytes into {}", layout.bytes(), to.bytes);
        match &mut self.executor {
            Builder::Gpu(gpu) => gpu.load_matrix(to, layout, class, fill),
            Builder::Cpu(cpu) => cpu.load_matrix(to, layout, fill),
        }
    }

    /// Runs one call on the loaded buffers, before the seal.
    ///
    /// # Errors
    /// Device errors.
    pub fn run(&mut self, call: &Dispatch) -> Result<(), Error> {
        match &mut self.executor {
            Builder::Gpu(gpu) => gpu.run(call),
            Builder::Cpu(cpu) => {
                cpu.run_call(call);
                Ok(())
            }
        }
    }

    /// Replays plans before the seal, in one submission, and waits for it. What it leaves in state buffers stays there.
    ///
    /// # Errors
    /// Device errors.
    pub fn rehearse(&mut self, plans: &[PlanId]) -> Result<(), Error> {
        match &mut self.executor {
            Builder::Gpu(gpu) => gpu.run_plans(&self.program, plans),
            Builder::Cpu(cpu) => {
                plans.iter().for_each(|plan| cpu.run(self.program.plan_of(*plan)));
                Ok(())
            }
        }
    }

    /// As [`Session::write_mailbox`], before the seal.
    pub fn write_mailbox(&self, to: Slice, bytes: &[u8], class: &'static str) {
        assert_eq!(self.program.declaration(to.buffer).kind, BufferKind::Mailbox);
        match &self.executor {
            Builder::Gpu(gpu) => gpu.write_mailbox(to, bytes, class),
            Builder::Cpu(cpu) => cpu.load(to, bytes),
        }
    }

    /// As [`Session::read_ring`], before the seal.
    pub fn read_ring(&self, ring: Slice, out: &mut [u32], class: &'static str) {
        assert_eq!(self.program.declaration(ring.buffer).kind, BufferKind::Ring);
        let slice = ring.at(0, out.len() as u64 * 4);
        match &self.executor {
            Builder::Gpu(gpu) => gpu.read_ring(slice, out, class),
            Builder::Cpu(cpu) => out.copy_from_slice(&cpu.memory().read::<u32>(slice)),
        }
    }

    /// Measures how fast this device multiplies matrices with the kernel of prefill, before the seal: operations a second.
    ///
    /// # Errors
    /// Device errors.
    pub fn measure_matrix_product(&mut self) -> Result<f64, Error> {
        match &mut self.executor {
            Builder::Gpu(gpu) => crate::compute::of_device(gpu.device()),
            Builder::Cpu(_) => crate::compute::of_host(),
        }
    }

    /// Measures how fast this device streams memory, before the seal; see [`crate::read_bandwidth`].
    ///
    /// # Errors
    /// Device errors.
    pub fn measure_read_bandwidth(&mut self) -> Result<f64, Error> {
        match &mut self.executor {
            Builder::Gpu(gpu) => crate::bandwidth::of_device(gpu.device()),
            Builder::Cpu(_) => Ok(crate::read_bandwidth()),
        }
    }

    /// The bytes of a slice before the seal, counted under `class`.
    ///
    /// # Errors
    /// Device errors.
    pub fn peek(&mut self, from: Slice, class: &'static str) -> Result<Vec<u8>, Error> {
        match &mut self.executor {
            Builder::Gpu(gpu) => gpu.peek(from, class),
            Builder::Cpu(cpu) => Ok(cpu.memory().read::<u8>(from).to_vec()),
        }
    }

    /// Compiles and records every plan, prepares the readback of `readbacks` (name the class of each), and seals:
    /// from here on nothing is allocated, compiled or recorded.
    ///
    /// # Errors
    /// Device errors.
    pub fn seal(self, readbacks: &[(Slice, &'static str)]) -> Result<Session, Error> {
        let Self { program, ledger, executor } = self;
        let executor = match executor {
            Builder::Gpu(gpu) => Executor::Gpu(Box::new(gpu.seal(&program, readbacks)?)),
            Builder::Cpu(cpu) => {
                ledger.seal();
                Executor::Cpu(cpu)
            }
        };
        Ok(Session { program, ledger, executor, host_time: Duration::ZERO })
    }
}

/// A sealed program on its device.
pub struct Session {
    program: Arc<Program>,
    ledger: Arc<Ledger>,
    executor: Executor,
    /// What the CPU device's last submission took.
    host_time: Duration,
}

enum Executor {
    Gpu(Box<GpuExecutor>),
    Cpu(CpuExecutor),
}

impl Session {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The account book of the run.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Writes into a mailbox, counted under `class`. The next submission reads it.
    ///
    /// # Panics
    /// If the slice is of another kind of buffer.
    pub fn write_mailbox(&self, to: Slice, bytes: &[u8], class: &'static str) {
        assert_eq!(self.program.declaration(to.buffer).kind, BufferKind::Mailbox);
        match &self.executor {
            Executor::Gpu(gpu) => gpu.write_mailbox(to, bytes, class),
            Executor::Cpu(cpu) => cpu.load(to, bytes),
        }
    }

    /// Replays plans in order, in one submission. The CPU device runs them before it returns.
    ///
    /// # Errors
    /// Device errors.
    pub fn submit(&mut self, plans: &[PlanId]) -> Result<Ticket, Error> {
        match &mut self.executor {
            Executor::Gpu(gpu) => Ok(Ticket(Some(gpu.submit(plans)?))),
            Executor::Cpu(cpu) => {
                let start = Instant::now();
                plans.iter().for_each(|plan| cpu.run(self.program.plan_of(*plan)));
                self.host_time = start.elapsed();
                Ok(Ticket(None))
            }
        }
    }

    /// How long a finished submission kept the device busy; of the CPU device always the last one's. None where submissions are not
    /// timed ([`SessionOptions::time_submissions`]), or for one that is several behind.
    ///
    /// # Errors
    /// Device errors.
    pub fn submission_time(&self, ticket: Ticket) -> Result<Option<Duration>, Error> {
        match (&self.executor, ticket.0) {
            (Executor::Gpu(gpu), Some(ticket)) => {
                Ok(gpu.submission_nanoseconds(ticket)?.map(Duration::from_nanos))
            }
            _ => Ok(Some(self.host_time)),
        }
    }

    /// Whether a buffer lies in a GPU's own memory. False on the CPU device.
    pub fn is_device_local(&self, slice: Slice) -> bool {
        matches!(&self.executor, Executor::Gpu(gpu) if gpu.is_device_local(slice))
    }

    /// Replays a plan once with a timestamp after each step. Slower than a replay without: timestamps drain the queue.
    ///
    /// # Errors
    /// Device errors.
    ///
    /// # Panics
    /// If the session was made without [`SessionOptions::profile`].
    pub fn profile(&mut self, plan: PlanId) -> Result<Vec<StepTime<'_>>, Error> {
        let nanoseconds = match &mut self.executor {
            Executor::Gpu(gpu) => gpu.profile(plan)?,
            Executor::Cpu(cpu) => cpu.profile(self.program.plan_of(plan)),
        };
        let steps = self.program.plan_of(plan).steps.iter().zip(nanoseconds);
        let times = steps.map(|(step, nanoseconds)| StepTime {
            label: &step.label,
            kernel: step.dispatch.kernel.name,
            nanoseconds,
        });
        Ok(times.collect())
    }

    /// Whether the device works on while the host does other things. The CPU device runs within [`submit`](Self::submit).
    pub fn is_asynchronous(&self) -> bool {
        matches!(self.executor, Executor::Gpu(_))
    }

    /// Blocks until the submission is done.
    ///
    /// # Errors
    /// Device lost, or a device that does not finish.
    pub fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        match (&self.executor, ticket.0) {
            (Executor::Gpu(gpu), Some(ticket)) => gpu.wait(ticket),
            _ => Ok(()),
        }
    }

    /// Words `first .. first + out.len()` of a ring, counted under `class`. Wait for the submission that wrote them first.
    ///
    /// # Panics
    /// If the slice is of another kind of buffer.
    pub fn read_ring(&self, ring: Slice, first: u64, out: &mut [u32], class: &'static str) {
        assert_eq!(self.program.declaration(ring.buffer).kind, BufferKind::Ring);
        let slice = ring.at(first * 4, out.len() as u64 * 4);
        match &self.executor {
            Executor::Gpu(gpu) => gpu.read_ring(slice, out, class),
            Executor::Cpu(cpu) => out.copy_from_slice(&cpu.memory().read::<u32>(slice)),
        }
    }

    /// The bytes of a slice that was declared to [`SessionBuilder::seal`], after all submitted work.
    ///
    /// # Errors
    /// Device errors.
    ///
    /// # Panics
    /// If it was not declared.
    pub fn readback(&mut self, from: Slice) -> Result<Vec<u8>, Error> {
        match &mut self.executor {
            Executor::Gpu(gpu) => gpu.readback(from),
            Executor::Cpu(cpu) => Ok(cpu.memory().read::<u8>(from).to_vec()),
        }
    }

    /// What the validation layer had to say, where it watches.
    pub fn validation_messages(&self) -> Vec<String> {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.validation_messages(),
            Executor::Cpu(_) => Vec::new(),
        }
    }

    /// Blocks until the device is idle.
    ///
    /// # Errors
    /// Device lost.
    pub fn wait_idle(&self) -> Result<(), Error> {
        match &self.executor {
            Executor::Gpu(gpu) => gpu.wait_idle(),
            Executor::Cpu(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resident_kernels::weights::DType;

    /// The CPU device, and the best Vulkan device where there is one.
    fn targets() -> Vec<Target> {
        let listing = resident_vulkan::list_devices(false).expect("list devices");
        let best = resident_vulkan::rank(&listing.devices).first().map(|r| r.index);
        if best.is_none() {
            assert!(std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_none(), "there is no Vulkan device");
            eprintln!("skipped on Vulkan: no device");
        }
        let best = best.map(|index| Target::Vulkan(Box::new(listing.devices[index].clone())));
        [Target::Cpu].into_iter().chain(best).collect()
    }

    #[test]
    fn a_matrix_is_loaded_whole_however_long_its_rows_are() {
        // Several chunks and slots with scales, a row that is longer than a chunk, one chunk without scales.
        let matrices = [(DType::Q8_0, 9001, 1024), (DType::F32, 3, 300_000), (DType::F16, 5, 6)];
        let byte = |row: u64, at: usize| (row as usize * 31 + at * 7 + at / 256) as u8;
        for target in targets() {
            let mut program = Program::default();
            let layouts = matrices.map(|(dtype, rows, cols)| WeightLayout { dtype, rows, cols });
            let slices = layouts.map(|layout| program.buffer("matrix", layout.bytes(), BufferKind::Weight));
            let ledger = Arc::new(Ledger::new());
            let options = SessionOptions::default();
            let mut builder = SessionBuilder::new(&target, program, ledger, options).expect("builder");
            for (layout, slice) in layouts.into_iter().zip(slices) {
                let [values, scales] = [layout.row_bytes(), layout.row_scale_bytes()].map(|b| b as usize);
                let fill = |first: u64, row_values: &mut [u8], row_scales: &mut [u8]| {
                    assert_eq!(row_values.len() / values * scales, row_scales.len());
                    for (row, bytes) in (first..).zip(row_values.chunks_mut(values)) {
                        bytes.iter_mut().enumerate().for_each(|(at, to)| *to = byte(row, at));
                    }
                    for (row, bytes) in (first..).zip(row_scales.chunks_mut(scales.max(1))) {
                        bytes.iter_mut().enumerate().for_each(|(at, to)| *to = !byte(row, at));
                    }
                    Ok::<_, Error>(())
                };
                builder.load_matrix(slice, layout, "weights", fill).expect("load");
                let loaded = builder.peek(slice, "weights").expect("peek");
                let (in_values, in_scales) = loaded.split_at(layout.value_bytes() as usize);
                for row in 0..layout.rows {
                    let of = |bytes: &[u8], len: usize| bytes[row as usize * len..][..len].to_vec();
                    let expected: Vec<u8> = (0..values).map(|at| byte(row, at)).collect();
                    assert!(of(in_values, values) == expected, "{layout:?}: values of row {row}");
                    let expected: Vec<u8> = (0..scales).map(|at| !byte(row, at)).collect();
                    assert!(of(in_scales, scales) == expected, "{layout:?}: scales of row {row}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_the_result_of_its_load() {
        for target in targets() {
            let mut program = Program::default();
            let layout = WeightLayout { dtype: DType::Q8_0, rows: 5000, cols: 512 };
            let slice = program.buffer("matrix", layout.bytes(), BufferKind::Weight);
            let (ledger, options) = (Arc::new(Ledger::new()), SessionOptions::default());
            let mut builder = SessionBuilder::new(&target, program, ledger, options).expect("builder");
            let fill = |first: u64, _: &mut [u8], _: &mut [u8]| match first {
                0 => Ok(()),
                _ => Err(Error::NoGpu(format!("row {first}"))),
            };
            let loaded = builder.load_matrix(slice, layout, "weights", fill);
            assert!(loaded.unwrap_err().to_string().starts_with("row "));
        }
    }
}
