//! Plan + device = a resident session: buffers allocated, weights uploaded, plans recorded, then replayed.
//!
//! [`choose`] picks the one device of the run and says why; [`Session`] runs a [`resident_plan::Program`] on it. Knows
//! plans and devices, no model.

mod bandwidth;
mod choice;
mod compute;
mod cpu;
mod error;
mod gpu;
mod marks;
mod memory;
mod session;
mod traits;

pub use bandwidth::read_bandwidth;
pub use choice::{Choice, DeviceRequest, Kind, Target, choose};
pub use error::Error;
pub use resident_vulkan::{DeviceInfo, Listing, format_bytes, rank, validation_available};
pub use session::{Session, SessionBuilder, SessionOptions, StepTime, Ticket};
pub use traits::traits_of;

/// Every Vulkan device of this machine, and where there is none the reason.
///
/// # Errors
/// A loader or driver that fails.
pub fn list_devices() -> Result<Listing, Error> {
    Ok(resident_vulkan::list_devices(false)?)
}
