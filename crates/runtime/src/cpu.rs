//! The CPU device: the plan interpreter over host memory. Nothing crosses a bus; its steps count as CPU operations.

use resident_kernels::{HostMemory, Slice};
use resident_ledger::Ledger;
use resident_plan::{Plan, Program};
use std::sync::Arc;

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

    pub(crate) fn run(&self, plan: &Plan) {
        resident_plan::run(plan, &self.memory, |kernel| self.ledger.cpu_op(kernel));
    }
}
