//! Linear operator rollouts and the vorticity codec: their files, their programs, their checks.
//!
//! - [`npz`]: NumPy's files, read and written.
//! - [`vorticity`]: the flow, its codec, the fit of an operator.
//! - [`Inputs`], [`Rollout`]: z\[t+1\] = z\[t\] · A on a device, for as many steps as asked.

mod baseline;
mod decode;
mod error;
mod executor;
mod inputs;
pub mod npz;
mod outputs;
mod program;
mod report;
mod rollout;
mod run;
mod strides;
pub mod vorticity;

pub use baseline::measure_baseline;
pub use error::RolloutError;
pub use executor::Executor;
pub use inputs::{Inputs, MAX_BATCH, MAX_DIM, Values};
pub use outputs::{Fields, MAX_SNAPSHOT_BYTES, Snapshots, blake2b, codec_of, decoder_of, write_state};
pub use report::hash_text;
pub use resident_kernels::real::{Operator, RealType};
pub use resident_kernels::state_defect::Defect;
pub use resident_kernels::state_hash::hash;
pub use resident_kernels::state_stats::Stats;
pub use rollout::{Candidate, Request, Rerun, Rollout, operator_room};
pub use run::{Observer, Outcome};
pub use strides::Strides;
