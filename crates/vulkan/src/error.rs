//! What can go wrong at the border, each naming where, what was found, what was expected and the remedy.

use ash::vk;

/// A fault of the outside world, or a call that came after the seal.
///
/// A caller's own mistake (a range outside a buffer, push constants of the wrong size) panics instead.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Vulkan loader is not installed, or no driver answers it.
    #[error("no Vulkan: {reason}")]
    NoVulkan {
        /// What was missing and how to get it.
        reason: String,
    },
    /// Validation was asked for, but its layer is not installed.
    #[error(
        "validation was asked for, but the layer VK_LAYER_KHRONOS_validation is not installed; install the \
         Vulkan validation layers or run without validation"
    )]
    NoValidation,
    /// The device was listed earlier and is no longer there.
    #[error("device {index} ({name}): listed before, but no longer there; list the devices again")]
    DeviceGone {
        /// Its place in the earlier listing.
        index: usize,
        /// Its name.
        name: String,
    },
    /// The device lacks something that everything here needs.
    #[error("device {name}: {reason}; choose another device or update its driver")]
    Unusable {
        /// Its name.
        name: String,
        /// What it lacks.
        reason: String,
    },
    /// The device's memory does not hold the buffer.
    #[error(
        "buffer {name}: out of device memory: {} requested, {} in use by this process's arena{}; \
         use a smaller model, fewer sequences or a device with more memory",
        format_bytes(*requested_bytes), format_bytes(*in_use_bytes), budget_text(*budget_bytes)
    )]
    OutOfMemory {
        /// The buffer's name.
        name: String,
        /// Bytes asked for.
        requested_bytes: u64,
        /// Bytes the arena holds already in memory of this kind.
        in_use_bytes: u64,
        /// What the driver says this process may still take, where it says so.
        budget_bytes: Option<u64>,
    },
    /// No single allocation of this device may be so large.
    #[error(
        "buffer {name}: {} ({bytes} bytes) requested, but {limit_name} of this device is {} ({limit_bytes} bytes); \
         split the buffer", format_bytes(*bytes), format_bytes(*limit_bytes)
    )]
    AllocationTooLarge {
        /// The buffer's name.
        name: String,
        /// Bytes asked for.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// The limit's name in Vulkan.
        limit_name: &'static str,
    },
    /// The device has no memory type of the kind asked for.
    #[error("buffer {name}: this device has no memory type that is {wanted}; choose another device")]
    NoMemoryType {
        /// The buffer's name.
        name: String,
        /// The properties wanted.
        wanted: &'static str,
    },
    /// Something that belongs before the seal came after it.
    #[error("{what} of {name} after the seal; do it before seal()")]
    Sealed {
        /// What was tried: `allocation`, `upload`, `pipeline creation` …
        what: &'static str,
        /// On what.
        name: String,
    },
    /// A shader that the device cannot take.
    #[error("pipeline {name}: {reason}")]
    Shader {
        /// The pipeline's name.
        name: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A dispatch larger than the device allows.
    #[error(
        "recording {recording}: dispatch of {kernel} with {found:?} workgroups; this device takes 1 to {limit:?}; \
         loop inside the kernel or split the dispatch"
    )]
    GroupCount {
        /// The recording's name.
        recording: String,
        /// The pipeline's name.
        kernel: String,
        /// Workgroups asked for.
        found: [u32; 3],
        /// The device's `maxComputeWorkGroupCount`.
        limit: [u32; 3],
    },
    /// The GPU stopped answering: a fault in a kernel, a driver reset, a card that fell off the bus.
    #[error(
        "{during}: the device was lost (a kernel read or wrote a wrong address, ran too long, or the driver was \
         reset); everything on it is gone, start again, with validation to find the kernel"
    )]
    DeviceLost {
        /// What was being done.
        during: String,
    },
    /// The GPU did not finish in time.
    #[error(
        "{during}: not finished after {seconds} s; a kernel hangs or the device is much slower than expected; raise \
         the timeout if it is slow"
    )]
    Timeout {
        /// The submission waited for.
        during: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The interrupt flag of [`crate::Options`] was raised while waiting.
    #[error("{during}: interrupted while waiting")]
    Interrupted {
        /// The submission waited for.
        during: String,
    },
    /// Timestamps were read before the GPU wrote them, or the queue has none.
    #[error("timestamps {name}: {reason}")]
    Timestamps {
        /// The pool's name.
        name: String,
        /// What was found and what to do.
        reason: String,
    },
    /// The pipeline cache could not be written.
    #[error("pipeline cache {path}: {reason}; name another folder or run without a cache")]
    Cache {
        /// The file.
        path: String,
        /// What the file system said.
        reason: String,
    },
    /// Any other error code of a Vulkan call.
    #[error("{during}: Vulkan answered {result}")]
    Vulkan {
        /// What was being done.
        during: String,
        /// The code.
        result: vk::Result,
    },
}

impl Error {
    /// The error for `result` of a call made while `during`.
    pub(crate) fn vulkan(during: impl Into<String>, result: vk::Result) -> Self {
        let during = during.into();
        match result {
            vk::Result::ERROR_DEVICE_LOST => Error::DeviceLost { during },
            result => Error::Vulkan { during, result },
        }
    }
}

/// `bytes` in the unit a reader would choose: `1.5 GiB`, `64 MiB`, `200 B`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if bytes >= size {
            let tenths = (bytes as f64 / size as f64 * 10.0).round() / 10.0;
            return format!("{tenths} {unit}");
        }
    }
    format!("{bytes} B")
}

fn budget_text(budget_bytes: Option<u64>) -> String {
    match budget_bytes {
        Some(bytes) => format!(", {} left by the driver's budget", format_bytes(bytes)),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        let read: Vec<_> =
            [0, 1023, 1024, 3 << 19, (4 << 30) - (2 << 20)].iter().map(|&b| format_bytes(b)).collect();
        assert_eq!(read, ["0 B", "1023 B", "1 KiB", "1.5 MiB", "4 GiB"]);
    }

    #[test]
    fn sealed_names_the_remedy() {
        let error = Error::Sealed { what: "upload", name: "w".to_owned() };
        assert_eq!(error.to_string(), "upload of w after the seal; do it before seal()");
    }
}
