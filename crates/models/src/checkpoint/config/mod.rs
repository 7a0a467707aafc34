//! The configuration of a model, read so that nothing is overlooked: an architecture takes the keys it understands,
//! and [`ConfigReader::finish`] refuses the rest by name and value.
//!
//! - [`reader`](ConfigReader): takes keys, whether they come from `config.json` or from GGUF metadata.
//! - `gguf_keys`, `hugging_face`: the two sources under one set of names, those of Hugging Face.
//! - [`decoder`](DecoderConfig): the facts that every decoder-only transformer has.
//! - [`rope`](RopeScaling): how positions are scaled.
//! - [`token_ids`](TokenIds): where a text begins and ends.

mod decoder;
mod gguf_keys;
mod hugging_face;
mod reader;
mod rope;
mod token_ids;

pub use decoder::DecoderConfig;
pub use reader::ConfigReader;
pub(crate) use rope::yarn_mscale;
pub use rope::{Rope, RopeScaling};
pub use token_ids::TokenIds;

pub(super) use gguf_keys::{reader as gguf_reader, token_ids as gguf_token_ids};
pub(super) use hugging_face::HuggingFaceConfig;
