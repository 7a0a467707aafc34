//! Linear operator rollouts and the vorticity codec: their files, their programs, their checks.
//!
//! - [`npz`]: NumPy's files, read and written.

pub mod npz;
