//! What a run did to the bus and the queue, as plain numbers: counters, the run report, and the gates that judge it.
//! Pure data; knows nothing of Vulkan or of models.

mod counters;

pub use counters::{Counters, Ledger, RecordingId, Snapshot};
