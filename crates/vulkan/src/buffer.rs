//! Buffers: named ranges of device memory that shaders reach by address, and the host's access to the mapped ones.

use crate::arena::Arena;
use crate::blocks::{Block, Memory};
use ash::vk;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A range of device memory. A clone is another handle to the same range; the last one gives it back.
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

/// Where a buffer lies in the arena.
pub(crate) struct Range {
    pub(crate) block: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

struct Inner {
    arena: Arc<Arena>,
    name: Arc<str>,
    memory: Memory,
    bytes: u64,
    address: u64,
    handle: vk::Buffer,
    mapped: Option<NonNull<u8>>,
    range: Range,
}

// SAFETY: the pointer is to memory that stays mapped while the buffer's block lives, on every thread; every access
// through it is volatile, atomic or a raw copy, never by reference.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Buffer {
    /// # Safety
    /// `range` lies in `block`, belongs to this buffer alone until its drop gives it back, and `bytes <= range.size`.
    pub(crate) unsafe fn new(
        arena: Arc<Arena>,
        name: &str,
        memory: Memory,
        bytes: u64,
        range: Range,
        block: &Block,
    ) -> Self {
        // SAFETY: by the contract above the offset lies within the block, all of which is mapped.
        let mapped = block.mapped.map(|base| unsafe { base.add(range.offset as usize) });
        if let Some(mapped) = mapped {
            // SAFETY: the range is mapped and nobody else has it; a ring must begin empty, not with an older one's words.
            unsafe { mapped.write_bytes(0, range.size as usize) };
        }
        let (address, handle) = (block.address + range.offset, block.buffer);
        Self(Arc::new(Inner { arena, name: name.into(), memory, bytes, address, handle, mapped, range }))
    }

    /// Its name, as errors show it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it lives.
    pub fn memory(&self) -> Memory {
        self.0.memory
    }

    /// Its size, as it was asked for.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Its device address, a multiple of 256: what a shader gets in its push constants.
    pub fn address(&self) -> u64 {
        self.0.address
    }

    /// The buffer that it is a range of.
    pub(crate) fn handle(&self) -> vk::Buffer {
        self.0.handle
    }

    /// Where in [`Buffer::handle`] the byte `offset` lies.
    pub(crate) fn handle_offset(&self, offset: u64) -> u64 {
        self.0.range.offset + offset
    }

    /// Whether two handles are to the same buffer.
    pub(crate) fn is(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it was allocated from this arena.
    pub(crate) fn is_of(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.0.arena, arena)
    }

    /// Copies `bytes` into a mapped buffer, counted as an upload of `class`. A device that is already running may see
    /// them in any order: publish with [`Buffer::write_u32`] afterwards.
    ///
    /// # Panics
    /// If the buffer is not mapped, or the range lies outside it.
    #[track_caller]
    pub fn write(&self, offset: u64, bytes: &[u8], class: &str) {
        let to = self.mapped_range(offset, bytes.len() as u64);
        // SAFETY: the range is mapped and inside the buffer; a slice of Rust memory cannot overlap it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        self.0.arena.logical.ledger.upload(class, bytes.len() as u64);
    }

    /// Copies from a mapped buffer, counted as a readback of `class`. What the device is writing at the same time may
    /// arrive in part.
    ///
    /// # Panics
    /// If the buffer is not [`Memory::Mapped`], or the range lies outside it.
    #[track_caller]
    pub fn read(&self, offset: u64, out: &mut [u8], class: &str) {
        self.assert_readable();
        let from = self.mapped_range(offset, out.len() as u64);
        // SAFETY: the range is mapped and inside the buffer.
        unsafe { copy_volatile(from.as_ptr(), out) };
        self.0.arena.logical.ledger.readback(class, out.len() as u64);
    }

    /// Reads one word of a mapped buffer for polling, not counted. What the device made visible before it wrote the
    /// word can be read after this.
    ///
    /// # Panics
    /// If the buffer is not [`Memory::Mapped`], or the word lies outside it.
    #[track_caller]
    pub fn read_u32(&self, index: u64) -> u32 {
        self.assert_readable();
        self.word(index).load(Ordering::Acquire)
    }

    /// Writes one word of a mapped buffer after everything written before it, counted as an upload of `class`.
    ///
    /// # Panics
    /// If the buffer is not mapped, or the word lies outside it.
    #[track_caller]
    pub fn write_u32(&self, index: u64, value: u32, class: &str) {
        self.word(index).store(value, Ordering::Release);
        self.0.arena.logical.ledger.upload(class, 4);
    }

    #[track_caller]
    fn word(&self, index: u64) -> &AtomicU32 {
        let at = self.mapped_range(index.saturating_mul(4), 4);
        // SAFETY: the word is mapped while self lives, and aligned since the buffer begins at a multiple of 256; the
        // device accesses it as an aligned word too.
        unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) }
    }

    #[track_caller]
    fn assert_readable(&self) {
        assert!(
            self.0.memory == Memory::Mapped,
            "buffer {}: the host reads only Memory::Mapped, not {:?}",
            self.0.name,
            self.0.memory
        );
    }

    /// The mapped bytes of a range.
    #[track_caller]
    pub(crate) fn mapped_range(&self, offset: u64, bytes: u64) -> NonNull<u8> {
        self.assert_range(offset, bytes);
        let Some(mapped) = self.0.mapped else {
            panic!("buffer {}: the host cannot see {:?} memory; upload instead", self.0.name, self.0.memory)
        };
        // SAFETY: the range was checked to lie inside the buffer, all of which is mapped.
        unsafe { mapped.add(offset as usize) }
    }

    /// # Panics
    /// If the range lies outside the buffer.
    #[track_caller]
    pub(crate) fn assert_range(&self, offset: u64, bytes: u64) {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= self.0.bytes);
        assert!(
            inside,
            "buffer {}: {bytes} bytes at {offset} lie outside its {} bytes",
            self.0.name, self.0.bytes
        );
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, memory, bytes, .. } = &*self.0;
        write!(f, "Buffer({name}, {bytes} bytes, {memory:?})")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.arena.give_back(&self.range);
    }
}

/// Copies memory that the device may be writing, so that the compiler assumes nothing about it.
///
/// # Safety
/// `from` is valid for reads of `out.len()` bytes.
pub(crate) unsafe fn copy_volatile(from: *const u8, out: &mut [u8]) {
    let head = from.align_offset(8).min(out.len());
    let whole = head + (out.len() - head) / 8 * 8;
    // SAFETY: every address lies in the source range, of which the caller vouches; words are read at aligned ones.
    unsafe {
        for at in (0..head).chain(whole..out.len()) {
            out[at] = from.add(at).read_volatile();
        }
        for at in (head..whole).step_by(8) {
            let word = from.add(at).cast::<u64>().read_volatile();
            out[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volatile_copy_is_a_copy_at_every_alignment() {
        let source: Vec<u8> = (0..64).collect();
        for start in 0..9 {
            for length in 0..40 {
                let mut out = vec![0xff; length];
                // SAFETY: the range lies in `source`.
                unsafe { copy_volatile(source.as_ptr().add(start), &mut out) };
                assert_eq!(out, source[start..start + length]);
            }
        }
    }
}
