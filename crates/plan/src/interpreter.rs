//! The CPU device: runs a plan step by step on host memory.

use crate::{Plan, Program};
use resident_kernels::HostMemory;

/// Zeroed host memory for all buffers of a program.
pub fn host_memory(program: &Program) -> HostMemory {
    let mut memory = HostMemory::new();
    for buffer in &program.buffers {
        memory.add(buffer.bytes);
    }
    memory
}

/// Runs every step of `plan` in order; `count` hears of each kernel that ran.
pub fn run(plan: &Plan, memory: &HostMemory, mut count: impl FnMut(&'static str)) {
    for step in &plan.steps {
        (step.dispatch.kernel.host)(&step.dispatch, memory);
        count(step.dispatch.kernel.name);
    }
}
