//! The Hugging Face cache on disk and the hub behind it: models by name, fetched whole or not at all.
//!
//! - [`ModelName`], `ORG/NAME[:QUANT]`.
//! - [`Cache`], the layout that Hugging Face's own library keeps, `models--ORG--NAME/{blobs,refs,snapshots}`, shared with it.
//! - `selection`, which files of a repository are the model.
//! - [`Client`] and [`pull`], files over HTTP, resumed, verified by hash, then linked into a snapshot.
//!
//! Knows nothing of devices, nor what stands in a model's files. Whatever a server says is checked before it becomes a
//! path or an amount of memory.

mod cache;
mod client;
mod download;
mod error;
mod hash;
mod lock;
mod name;
mod pull;
mod remove;
mod selection;
mod tls;

pub use cache::{Cache, CachedModel};
pub use client::{Client, DEFAULT_ENDPOINT};
pub use error::HubError;
pub use name::{ModelName, NameError};
pub use pull::{Event, Pulled, PulledFile, pull};
pub use remove::Removed;
