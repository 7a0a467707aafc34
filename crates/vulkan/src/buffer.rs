//! Buffers: named ranges of device memory that shaders reach by address, and the host's access to the mapped ones.

use crate::arena::Arena;
use crate::blocks::{Block, Memory};
use ash::vk;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

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
// through it is atomic, but for those of the staging ring, which hands out ranges that do not overlap.
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
        // SAFETY: the range is mapped and inside the buffer, of which nobody is ever given a slice.
        unsafe { write_shared(to.as_ptr(), bytes) };
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
        // SAFETY: the range is mapped and inside the buffer, of which nobody is ever given a slice.
        unsafe { copy_shared(from.as_ptr(), out) };
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
        let at = self.mapped_range(index.saturating_mul(4), 4).cast::<AtomicU32>();
        assert!(at.is_aligned(), "buffer {}: mapped at an odd address", self.0.name);
        // SAFETY: the word is aligned and mapped while self lives; the device accesses it as a whole word too.
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

/// The bytes of a range that an aligned word covers whole, and those before and after it.
fn split_words(at: *const u8, length: usize) -> (usize, usize) {
    let head = at.align_offset(4).min(length);
    (head, head + (length - head) / 4 * 4)
}

/// Copies from memory that others may be writing.
///
/// # Safety
/// `from` is valid for reads of `out.len()` bytes, of which nobody holds a reference.
unsafe fn copy_shared(from: *mut u8, out: &mut [u8]) {
    let (head, tail) = split_words(from, out.len());
    // SAFETY: every access lies in the range that the caller vouches for, is aligned, and is atomic, so that whoever
    // writes at the same time (the device, or another thread through a Buffer) does no worse than give an older byte.
    unsafe {
        for at in (0..head).chain(tail..out.len()) {
            out[at] = AtomicU8::from_ptr(from.add(at)).load(Ordering::Relaxed);
        }
        for at in (head..tail).step_by(4) {
            let word = AtomicU32::from_ptr(from.add(at).cast()).load(Ordering::Relaxed);
            out[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
    }
}

/// Copies into memory that others may be reading.
///
/// # Safety
/// `to` is valid for writes of `bytes.len()` bytes, of which nobody holds a reference.
unsafe fn write_shared(to: *mut u8, bytes: &[u8]) {
    let (head, tail) = split_words(to, bytes.len());
    // SAFETY: as in `copy_shared`.
    unsafe {
        for at in (0..head).chain(tail..bytes.len()) {
            AtomicU8::from_ptr(to.add(at)).store(bytes[at], Ordering::Relaxed);
        }
        for at in (head..tail).step_by(4) {
            let word = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            AtomicU32::from_ptr(to.add(at).cast()).store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_copy_is_a_copy_at_every_alignment() {
        let mut source: Vec<u8> = (0..64).collect();
        for start in 0..9 {
            for length in 0..40 {
                let mut out = vec![0xff; length];
                // SAFETY: the range lies in `source`.
                unsafe { copy_shared(source.as_mut_ptr().add(start), &mut out) };
                assert_eq!(out, source[start..start + length]);

                let mut target = vec![0xff; 64];
                // SAFETY: the range lies in `target`.
                unsafe { write_shared(target.as_mut_ptr().add(start), &out) };
                assert_eq!(target[start..start + length], out);
                assert!(target[..start].iter().chain(&target[start + length..]).all(|&byte| byte == 0xff));
            }
        }
    }
}
