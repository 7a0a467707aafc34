//! The streaming form of an upload: writes return while the GPU copies, and many small ones share a submission.

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::staging::{Ring, SLOT_BYTES};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Streams bytes into device buffers. Several threads may write through one, which is faster: one thread copies into
/// staging memory at a quarter of what the bus takes.
///
/// What was written is sure to be on the device, and seen by later submissions, after [`Uploader::finish`].
pub struct Uploader {
    arena: Arc<Arena>,
    ring: Arc<Ring>,
    class: String,
    /// The last batch of the ring that holds something of this uploader.
    batch: AtomicU64,
}

impl Uploader {
    pub(crate) fn new(arena: Arc<Arena>, ring: Arc<Ring>, class: &str) -> Self {
        Self { arena, ring, class: class.to_owned(), batch: AtomicU64::new(0) }
    }

    /// Copies `bytes` to `offset` of a buffer. Blocks only while the staging ring is full.
    ///
    /// # Panics
    /// If the range lies outside the buffer.
    #[track_caller]
    pub fn write(&self, to: &Buffer, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.write_with(to, offset, bytes.len() as u64, 1, |at, piece| {
            let at = at as usize;
            piece.copy_from_slice(&bytes[at..at + piece.len()]);
        })
    }

    /// Lets `fill` make the bytes directly in staging memory, piece by piece: it gets the place of the piece in the
    /// whole, and the piece, whose length is a multiple of `granule`. It must write all of it, since it holds old
    /// bytes, and must not use the device.
    ///
    /// # Panics
    /// If the range lies outside the buffer, or `bytes` is not a multiple of `granule`, or that is zero or larger than
    /// a staging slot (8 MiB).
    #[track_caller]
    pub fn write_with(
        &self,
        to: &Buffer,
        offset: u64,
        bytes: u64,
        granule: u64,
        mut fill: impl FnMut(u64, &mut [u8]),
    ) -> Result<(), Error> {
        to.assert_range(offset, bytes);
        assert!(to.is_of(&self.arena), "{to:?} is of another device");
        let fits = granule > 0 && granule <= SLOT_BYTES && bytes.is_multiple_of(granule);
        assert!(fits, "{to:?}: {bytes} bytes cannot be written in multiples of {granule}");
        self.arena.logical.refuse_if_sealed("upload", to.name())?;
        let mut at = 0;
        while at < bytes {
            let mut piece = self.ring.reserve(to, offset + at, bytes - at, granule)?;
            fill(at, piece.slice());
            at += piece.bytes;
            self.batch.fetch_max(piece.batch, Ordering::AcqRel);
        }
        self.arena.logical.ledger.upload(&self.class, bytes);
        Ok(())
    }

    /// Waits until everything written through this uploader is on the device.
    pub fn finish(self) -> Result<(), Error> {
        self.ring.finish(self.batch.load(Ordering::Acquire))
    }
}

impl Drop for Uploader {
    /// Submits what was written, without waiting for the GPU. A failure reaches whoever next uses the ring.
    fn drop(&mut self) {
        let _ = self.ring.flush(self.batch.load(Ordering::Acquire));
    }
}
