//! What can go wrong between a plan and a device.

/// A failed choice or session.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A GPU was required and there is none that will do.
    #[error("{0}")]
    NoGpu(String),
    /// `--device` names nothing.
    #[error("--device {0}: expected auto, cpu, gpu or gpu:N with N from 'resident devices'")]
    UnknownDevice(String),
    /// From the Vulkan crate.
    #[error(transparent)]
    Vulkan(#[from] resident_vulkan::Error),
}

impl Error {
    /// Whether the device is gone and with it everything on it.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Vulkan(resident_vulkan::Error::DeviceLost { .. }))
    }
}
