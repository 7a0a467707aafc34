//! Writing a model's file: whole or not at all, also on Ctrl-C, with a progress bar.

use crate::exit::Interrupted;
use crate::interrupt;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use resident_ledger::{AtomicFile, WriteError};
use resident_models::ExportError;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Lets `write` fill a file under another name, which becomes the right one when it is whole. `write` tells its second
/// argument how much is done and of how much.
pub(crate) fn write<T>(
    path: &Path,
    message: &str,
    write: impl FnOnce(&mut dyn Write, &mut dyn FnMut(u64, u64)) -> Result<T, ExportError>,
) -> Result<T> {
    let bar = bar(message)?;
    let mut file = BufWriter::with_capacity(1 << 20, Watched(AtomicFile::create(path)?));
    interrupt::watch();
    let written = write(&mut file, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    if interrupt::rest() {
        return Err(Interrupted.into());
    }
    let result = written.map_err(|error| match error {
        ExportError::Io(error) => WriteError::of(path, error).into(),
        ExportError::Model(error) => anyhow::Error::from(error),
    })?;
    let file = file.into_inner().map_err(|error| WriteError::of(path, error.into_error()))?;
    file.0.commit()?;
    Ok(result)
}

/// A file that takes nothing more after Ctrl-C, so that it is given up soon, and removed.
struct Watched(AtomicFile);

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if interrupt::is_set() { Err(io::Error::other(Interrupted)) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

pub(crate) fn bar(message: &str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %").context("progress template")?;
    Ok(ProgressBar::new(0).with_style(style).with_message(message.to_owned()))
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
