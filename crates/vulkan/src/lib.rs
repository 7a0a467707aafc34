//! The only crate that talks to Vulkan, and it counts: every byte up or down, submit, wait, dispatch, recording and
//! allocation enters the ledger at the only place where it can happen. Knows nothing of kernels, plans or models.
//!
//! The life of a run: [`list_devices`] and [`rank`] choose a device, [`Device::open`] opens it, [`Device::allocate`],
//! [`Device::upload`], [`Device::pipeline`] and [`Device::record`] prepare everything, [`Device::seal`] closes the
//! preparations, and afterwards only [`Device::submit`], [`Device::wait`] and declared readbacks happen.
//!
//! Shaders reach buffers by device address ([`Buffer::address`] in push constants), never by descriptors. What a
//! shader does with an address is the caller's promise: a wrong one loses the device, as in any Vulkan program.

// The home of `unsafe`: every block names the fact that makes it sound.
#![allow(unsafe_code)]

mod arena;
mod blocks;
mod buffer;
mod cache;
mod device;
mod devices;
mod error;
mod features;
mod instance;
mod limits;
mod logical;
mod matrices;
mod newer;
mod pipeline;
mod rank;
mod readback;
mod recording;
mod slot;
mod staging;
mod timestamps;
mod uploader;

pub use arena::{ArenaUse, planned_bytes};
pub use blocks::Memory;
pub use buffer::Buffer;
pub use cache::CacheState;
pub use device::{Device, Options};
pub use devices::{DeviceInfo, DeviceKind, Heap, Listing, list_devices};
pub use error::{Error, format_bytes};
pub use features::{Features, SubgroupOperations};
pub use instance::{ValidationLog, validation_available};
pub use limits::Limits;
pub use logical::Ticket;
pub use matrices::{ComponentType, CooperativeMatrix2, CooperativeMatrixShape, MatrixScope};
pub use pipeline::{Pipeline, PipelineSpec, Statistic};
pub use rank::{Ranked, rank};
pub use readback::Readback;
pub use recording::{Recorder, Recording};
pub use staging::STAGING_BYTES;
pub use timestamps::TimestampPool;
pub use uploader::Uploader;
