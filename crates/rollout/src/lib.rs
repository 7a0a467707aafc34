//! Linear operator rollouts and the vorticity codec: their files, their programs, their checks.
//!
//! - [`npz`]: NumPy's files, read and written.
//! - [`vorticity`]: the flow, its codec, the fit of an operator.

pub mod npz;
pub mod vorticity;
