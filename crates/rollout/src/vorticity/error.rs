//! What can go wrong beside a broken file.

use crate::npz::NpzError;
use resident_ledger::WriteError;

/// An input that the flow or the codec refuses, or a file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VorticityError {
    /// A parameter, a field or a vector that makes no sense; says what was found and what was expected.
    #[error("{0}")]
    Invalid(String),
    /// An npz file.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// The device.
    #[error("{0}")]
    Runtime(#[from] resident_runtime::Error),
    /// Another file.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Refuses NaN and infinities; `what` names the values.
pub(super) fn check_finite(what: &str, values: &[f64]) -> Result<(), VorticityError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let others = values.iter().filter(|value| !value.is_finite()).count() - 1;
            let others =
                if others > 0 { format!(" and {others} more are not finite") } else { String::new() };
            Err(VorticityError::Invalid(format!(
                "{what}: value {at} is {}{others}, expected finite",
                values[at]
            )))
        }
    }
}
