//! The only crate that talks to Vulkan, and it counts.
