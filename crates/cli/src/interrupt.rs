//! Ctrl-C, for every command: exit code 130, and an idle device.

use crate::exit;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody looks at [`is_set`] often enough to end by it.
static WATCHED: AtomicBool = AtomicBool::new(false);
static SET: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C ends the program with its own exit code.
pub(crate) fn install() -> Result<()> {
    let interrupted = || {
        // A second Ctrl-C is an order.
        if !WATCHED.load(Ordering::Acquire) || SET.swap(true, Ordering::AcqRel) {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    };
    ctrlc::set_handler(interrupted).context("installing the Ctrl-C handler")
}

/// From here on the first Ctrl-C only sets the flag, and the command ends when it has put things in order.
pub(crate) fn watch() {
    WATCHED.store(true, Ordering::Release);
}

/// Ends what [`watch`] began: from here on Ctrl-C ends the program again. Whether there was one meanwhile.
pub(crate) fn rest() -> bool {
    WATCHED.store(false, Ordering::Release);
    SET.swap(false, Ordering::AcqRel)
}

/// Whether there was a Ctrl-C.
pub(crate) fn is_set() -> bool {
    SET.load(Ordering::Acquire)
}
