//! The model that is part of the program: `assets/README.md` says what it is and how it was made.

/// Its name in reports.
pub(crate) const NAME: &str = "resident-stories (embedded)";

/// A GGUF file.
pub(crate) static GGUF: &[u8] = include_bytes!("../../../assets/default.gguf");
