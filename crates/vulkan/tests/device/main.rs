//! The crate on a real driver; lavapipe is enough. Without any driver each test prints why it was skipped, and fails
//! instead where RESIDENT_REQUIRE_VULKAN=1 says that there must be one.

mod fixture;
mod listing;
mod memory;
mod pipelines;
mod recordings;
mod sealing;
mod threads;
mod transfers;
