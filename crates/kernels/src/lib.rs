//! The kernels. One folder each: GLSL source with its committed SPIR-V, typed parameters and bindings, cost, plain
//! reference, tests. This file and those beside it hold what they share; nothing here knows Vulkan or models.
//!
//! A kernel module exports a `dispatch` function that turns typed parameters and bindings into a [`Dispatch`]: plain data
//! that the plan stores, the recorder turns into a Vulkan dispatch, and the CPU device runs through [`Kernel::host`].

mod call;
mod checks;
mod host;
pub mod linear;
#[cfg(test)]
mod testing;
#[macro_use]
pub mod real;
#[macro_use]
pub mod weights;

pub mod argmax;
pub mod attention;
pub mod box_smooth;
pub mod choose_experts;
pub mod codec;
pub mod codec_compose;
pub mod codec_gain;
pub mod codec_pack;
pub mod codec_spectra;
pub mod combine_experts;
pub mod embed;
pub mod fft;
pub mod fill;
pub mod flow_spectra;
pub mod gather_rows;
pub mod group_experts;
pub mod handover;
pub mod heun;
pub mod load_rows;
pub mod matmul;
pub mod matvec;
pub mod max_abs;
pub mod penalties;
pub mod persistent_begin;
pub mod pool_rows;
pub mod random_fill;
pub mod rms_norm;
pub mod rope_kv;
pub mod sample;
pub mod state_defect;
pub mod state_hash;
pub mod state_stats;
pub mod step;
pub mod stream_read;
pub mod ternary;
pub mod to_halves;
pub mod vecmat;
pub mod vecmat_chain;
pub mod vecmat_persistent;

pub use call::{
    Access, Binding, BufferId, Cost, DeviceTraits, Dispatch, Grid, HostFn, Kernel, LOCAL_SIZE, Slice,
};
pub use host::{HostMemory, ReadGuard, WriteGuard};
