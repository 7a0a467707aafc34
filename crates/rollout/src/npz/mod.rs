//! NumPy's `.npz` files: a ZIP archive with one `.npy` array a member, stored or deflated, as `numpy.savez` and
//! `numpy.savez_compressed` write it and `numpy.load` reads it.
//!
//! The archive is the `zip` crate's affair (deflate by pure Rust). The `.npy` headers are read here: the crates that read
//! them build a syntax tree of any depth from any number of bytes, which a hostile file can use to exhaust stack and memory.
//!
//! | in the file | what becomes of it |
//! |---|---|
//! | bool, integers of 8 to 64 bits, f32, f64, of either byte order | converted to the type asked for, where each value fits |
//! | Fortran order | transposed, so that the values come in C order |
//! | objects (pickles), structures, strings, complex numbers, dates | refused by name |
//! | a shape that its bytes contradict, or more than the limit | refused before memory is taken |

mod element;
mod error;
mod header;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use element::{Dtype, Element};
pub use error::NpzError;
pub use header::Header;
pub use read::{Array, Npz};
pub use write::{Compression, NpzWriter};
