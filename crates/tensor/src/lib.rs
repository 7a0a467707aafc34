//! Data types of weights, codecs between them and f32, and the measure by which two results are compared.
//!
//! - [`dtype`]: names, block sizes and byte counts of every weight type Resident knows.
//! - [`codec`]: weights to f32 and back; finding values that are not finite.
//! - [`mod@compare`]: how far a result is from its reference. NaN never passes.

pub mod codec;
pub mod compare;
pub mod dtype;

pub use compare::{Difference, compare};
pub use dtype::{DType, SizeError};
