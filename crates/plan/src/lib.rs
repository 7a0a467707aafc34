//! A model step (or a rollout step) as data: typed kernel steps over named buffers.
//!
//! A [`Program`] owns the buffers and the [`Plan`]s that run over them; a plan is built once and then recorded into a
//! Vulkan command buffer, interpreted on host memory, printed or profiled. Knows kernels, no device and no model.

mod arena;
mod display;
mod hazards;
mod interpreter;
mod program;

pub use arena::{ARENA_ALIGNMENT, Arena};
pub use hazards::barriers;
pub use interpreter::{host_bytes, host_memory, run};
pub use program::{BufferDecl, BufferKind, Plan, PlanBuilder, PlanId, Program, Step};
