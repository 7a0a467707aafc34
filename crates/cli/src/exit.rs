//! Exit codes: what a script can tell apart without reading a message.

use resident_engine::EngineError;
use resident_rollout::RolloutError;

/// Done.
pub(crate) const DONE: u8 = 0;
/// Something failed at run time.
pub(crate) const FAILED: u8 = 1;
/// The command line asks for something that does not exist.
pub(crate) const USAGE: u8 = 2;
/// A gate or a verification failed.
pub(crate) const GATE: u8 = 3;
/// A GPU was required and there is none.
const NO_GPU: u8 = 4;
/// The device was lost.
const DEVICE_LOST: u8 = 5;
/// Interrupted, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// A wrong argument that only showed itself after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Somebody pressed Ctrl-C, and what was half done is put away.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// The error and its causes in one line; a cause that the message before it repeats stands there once.
pub(crate) fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |message, cause| match cause.to_string() {
        cause if message.is_empty() => cause,
        cause if message.contains(&cause) => message,
        cause => format!("{message}: {cause}"),
    })
}

/// The exit code of a failed command.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    let runtime = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<resident_runtime::Error>()
            .or(match cause.downcast_ref() {
                Some(EngineError::Runtime(inner)) => Some(inner),
                _ => None,
            })
            .or(match cause.downcast_ref() {
                Some(RolloutError::Runtime(inner)) => Some(inner),
                _ => None,
            })
    });
    match runtime {
        Some(resident_runtime::Error::NoGpu(_)) => NO_GPU,
        Some(resident_runtime::Error::UnknownDevice(_)) => USAGE,
        Some(error) if error.is_device_lost() => DEVICE_LOST,
        _ if error.is::<Interrupted>() => INTERRUPTED,
        _ if error.chain().any(|cause| {
            cause.is::<Usage>() || matches!(cause.downcast_ref(), Some(RolloutError::Usage(_)))
        }) =>
        {
            USAGE
        }
        _ => FAILED,
    }
}
