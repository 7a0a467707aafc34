//! What can go wrong between the files of a rollout and its end.

use crate::npz::NpzError;
use crate::vorticity::VorticityError;
use resident_ledger::WriteError;

/// A rollout that cannot be begun or carried to its end.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// An npz file.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// The codec of a decode.
    #[error(transparent)]
    Vorticity(#[from] VorticityError),
    /// A result that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The device.
    #[error(transparent)]
    Runtime(#[from] resident_runtime::Error),
    /// Values or sizes that no rollout can be made of, or that this device has no kernel or room for.
    #[error("{0}")]
    Invalid(String),
    /// Flags that contradict each other or the run.
    #[error("{0}")]
    Usage(String),
    /// A persistent dispatch gave up waiting for another workgroup's words.
    #[error(
        "the workgroups of the persistent executor lost each other between steps {begin} and {end}: the driver does not run \
         them at the same time, or other work holds the device; run again with --executor replay"
    )]
    HandOver {
        /// The last step that is known to be good.
        begin: u64,
        /// The end of the batch that failed.
        end: u64,
    },
}
