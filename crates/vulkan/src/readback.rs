//! Declared readbacks: made before the seal, run after it. The only way from the device's memory to the host then.

use crate::arena::Arena;
use crate::blocks::Memory;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::recording::Recording;
use std::sync::{Arc, Mutex, PoisonError};

/// A copy of one range of a device buffer to the host, recorded once.
pub struct Readback {
    host: Buffer,
    recording: Recording,
    class: String,
    /// One copy at a time: they share the host's side.
    running: Mutex<()>,
}

impl Readback {
    pub(crate) fn new(
        arena: &Arc<Arena>,
        from: &Buffer,
        offset: u64,
        bytes: u64,
        class: &str,
    ) -> Result<Self, Error> {
        let name = format!("readback of {}", from.name());
        let host = arena.allocate(&name, bytes, Memory::Mapped)?;
        let recording = Recording::new(arena, &name, None, |recorder| {
            recorder.copy_to_host(from, offset, &host, bytes);
        })?;
        Ok(Self { host, recording, class: class.to_owned(), running: Mutex::new(()) })
    }

    /// The bytes that each run returns.
    pub fn bytes(&self) -> u64 {
        self.host.bytes()
    }

    /// Submits the copy, waits for it and returns the bytes.
    pub fn run(&self) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.bytes() as usize];
        self.run_into(&mut out)?;
        Ok(out)
    }

    /// Like [`Readback::run`], into memory that is already there.
    ///
    /// # Panics
    /// If `out` is not [`Readback::bytes`] long.
    #[track_caller]
    pub fn run_into(&self, out: &mut [u8]) -> Result<(), Error> {
        // The lock guards no state of its own, so a panic elsewhere does no harm.
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let logical = self.recording.logical();
        let ticket = Recording::submit(logical, &[&self.recording])?;
        logical.wait(ticket)?;
        self.collect(out);
        Ok(())
    }

    /// The copy, to stand last in a submission of the caller's own; [`Readback::collect`] follows when its ticket is
    /// reached.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The bytes of the last finished copy, counted as a readback.
    ///
    /// # Panics
    /// If `out` is not [`Readback::bytes`] long.
    #[track_caller]
    pub fn collect(&self, out: &mut [u8]) {
        assert!(
            out.len() as u64 == self.bytes(),
            "{}: {} bytes for its {}",
            self.recording.name(),
            out.len(),
            self.bytes()
        );
        self.host.read(0, out, &self.class);
    }
}
