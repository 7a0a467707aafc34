//! The CPU device: the plan interpreter over host memory. Nothing crosses a bus; its steps count as CPU operations.

use crate::session::rows_a_chunk;
use rayon::prelude::*;
use resident_kernels::weights::WeightLayout;
use resident_kernels::{Dispatch, HostMemory, Slice};
use resident_ledger::Ledger;
use resident_plan::{Plan, Program};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of memory that this process may still take, as far as Linux tells; elsewhere a number beyond any machine.
pub(crate) fn available_bytes() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let meminfo = read("/proc/meminfo");
    let available =
        meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    let available = available.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib << 10);
    // A container's limit; without one the file says 'max'.
    let limit = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
    [available, limit].into_iter().flatten().min().unwrap_or(1 << 60)
}

pub(crate) struct CpuExecutor {
    memory: HostMemory,
    ledger: Arc<Ledger>,
}

impl CpuExecutor {
    pub(crate) fn new(program: &Program, ledger: Arc<Ledger>) -> Self {
        Self { memory: resident_plan::host_memory(program), ledger }
    }

    pub(crate) fn memory(&self) -> &HostMemory {
        &self.memory
    }

    pub(crate) fn load(&self, to: Slice, bytes: &[u8]) {
        self.memory.write::<u8>(to.at(0, bytes.len() as u64)).copy_from_slice(bytes);
    }

    /// See [`SessionBuilder::load_matrix`](crate::SessionBuilder::load_matrix).
    pub(crate) fn load_matrix<E: Send>(
        &self,
        to: Slice,
        layout: WeightLayout,
        fill: impl Fn(u64, &mut [u8], &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let rows = rows_a_chunk(layout);
        let (value_bytes, scale_bytes) = (layout.row_bytes(), layout.row_scale_bytes());
        let mut bytes = self.memory.write::<u8>(to);
        let (values, scales) = bytes.split_at_mut(layout.value_bytes() as usize);
        let values = values.par_chunks_mut((rows * value_bytes) as usize).enumerate();
        let row = |chunk: usize| chunk as u64 * rows;
        if scale_bytes == 0 {
            return values.try_for_each(|(chunk, values)| fill(row(chunk), values, &mut []));
        }
        let scales = &mut scales[..(layout.rows * scale_bytes) as usize];
        let both = values.zip(scales.par_chunks_mut((rows * scale_bytes) as usize));
        both.try_for_each(|((chunk, values), scales)| fill(row(chunk), values, scales))
    }

    pub(crate) fn run_call(&self, call: &Dispatch) {
        (call.kernel.host)(call, &self.memory);
        self.ledger.cpu_op(call.kernel.name);
    }

    /// Runs a plan and returns the nanoseconds of each step.
    pub(crate) fn profile(&self, plan: &Plan) -> Vec<u64> {
        let timed = plan.steps.iter().map(|step| {
            let start = Instant::now();
            self.run_call(&step.dispatch);
            start.elapsed().as_nanos() as u64
        });
        timed.collect()
    }

    pub(crate) fn run(&self, plan: &Plan) {
        resident_plan::run(plan, &self.memory, |kernel| self.ledger.cpu_op(kernel));
    }
}
