//! Reads GGUF 2 and 3, little-endian. The file is walked and checked once; afterwards values are decoded in place.
//!
//! - [`directory`](Directory): header, metadata and tensor list of a file.
//! - [`metadata`](Metadata): typed access to keys.
//! - `cursor`, `value`: the encoding.

mod cursor;
mod directory;
mod metadata;
mod value;

pub use directory::Directory;
pub use metadata::{FromValue, Metadata};
pub use value::{Array, Value, ValueType};
