//! Reads GGUF 2 and 3, little-endian, and writes GGUF 3. A file is walked and checked once; afterwards values are decoded
//! in place.
//!
//! - [`directory`](Directory): header, metadata and tensor list of a file.
//! - [`metadata`](Metadata): typed access to keys.
//! - [`writer`](GgufWriter): metadata, tensor list and streamed data to a file.
//! - `cursor`, `value`: the encoding.

mod cursor;
mod directory;
mod metadata;
mod value;
mod writer;

pub use directory::Directory;
pub use metadata::{FromValue, Metadata};
pub use value::{Array, Value, ValueType};
pub use writer::{Encoded, GgufWriter, TensorInfo};
