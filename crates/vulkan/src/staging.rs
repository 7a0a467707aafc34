//! The staging ring: a few mapped slots through which uploads and readbacks pass before the seal. Writes of any size and
//! from any thread are packed into the open slot; a full slot becomes one submission while the next one is written.

use crate::arena::Arena;
use crate::blocks::Memory;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::logical::{Logical, Ticket};
use crate::slot::{Phase, Slot, Source, Transfer};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const SLOTS: usize = 4;
/// One slot of the ring: long enough that a copy takes much longer than its submission.
pub(crate) const SLOT_BYTES: u64 = 8 << 20;
/// What the ring takes of the host's memory.
pub const STAGING_BYTES: u64 = SLOT_BYTES * SLOTS as u64;
/// Pieces begin at a multiple of this in the ring, so that a repacker can write them as vectors.
const PIECE_ALIGNMENT: u64 = 64;
/// The batch of a slot that a readback holds.
const READBACK: u64 = u64::MAX;
/// So many pieces a submission, which bounds the search for overlapping ones.
const MAX_PIECES: usize = 512;

/// The ring of one device.
pub(crate) struct Ring {
    logical: Arc<Logical>,
    buffer: Buffer,
    name: Arc<str>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    slots: Vec<Slot>,
    /// The slot that takes pieces.
    open: Option<usize>,
    next_batch: u64,
    /// A submission failed after its writer had gone; everybody hears of it.
    failed: Option<Error>,
}

/// Room in the ring for a piece of an upload. Its drop says that the piece is written.
pub(crate) struct Piece<'a> {
    ring: &'a Ring,
    slot: usize,
    at: NonNull<u8>,
    pub(crate) bytes: u64,
    /// To be waited for with [`Ring::finish`].
    pub(crate) batch: u64,
}

impl Ring {
    pub(crate) fn new(arena: &Arc<Arena>) -> Result<Self, Error> {
        let logical = arena.logical.clone();
        let buffer = arena.allocate("staging ring", STAGING_BYTES, Memory::Mapped)?;
        let mut ring = Self {
            logical,
            buffer,
            name: "a staging transfer".into(),
            state: Mutex::new(State { slots: Vec::new(), open: None, next_batch: 0, failed: None }),
            changed: Condvar::new(),
        };
        for _ in 0..SLOTS {
            let slot = Slot::new(&ring.logical)?;
            // Not yet shared, so the lock is free; whatever fails, the drop destroys the slots made so far.
            ring.state.get_mut().unwrap_or_else(PoisonError::into_inner).slots.push(slot);
        }
        Ok(ring)
    }

    /// Room for up to `want` bytes that go to `to`: as much as the open slot has, in multiples of `granule`. Blocks only
    /// while the whole ring is in use.
    pub(crate) fn reserve(
        &self,
        to: &Buffer,
        to_offset: u64,
        want: u64,
        granule: u64,
    ) -> Result<Piece<'_>, Error> {
        let mut state = self.lock();
        loop {
            let (slot, opened) = self.open_slot(state)?;
            state = opened;
            let open = &mut state.slots[slot];
            let start = open.used_bytes.next_multiple_of(PIECE_ALIGNMENT);
            let room = SLOT_BYTES.saturating_sub(start) / granule * granule;
            if room > 0 && open.transfers.len() < MAX_PIECES {
                let bytes = want.min(room);
                open.used_bytes = start + bytes;
                open.writers += 1;
                let in_ring = slot as u64 * SLOT_BYTES + start;
                let source = Source::Buffer(self.buffer.clone(), in_ring);
                open.transfers.push(Transfer { source, to: to.clone(), to_offset, bytes });
                let at = self.buffer.mapped_range(in_ring, bytes);
                return Ok(Piece { ring: self, slot, at, bytes, batch: open.batch });
            }
            self.close(&mut state);
        }
    }

    /// Fills a range with a word, in the order of the pieces around it.
    pub(crate) fn fill(&self, to: &Buffer, to_offset: u64, bytes: u64, word: u32) -> Result<(), Error> {
        let (slot, mut state) = self.open_slot(self.lock())?;
        let source = Source::Word(word);
        state.slots[slot].transfers.push(Transfer { source, to: to.clone(), to_offset, bytes });
        let batch = state.slots[slot].batch;
        self.submit_upto(state, batch).map(drop)
    }

    /// Submits everything up to `batch`, without waiting for the GPU; only for other threads to write their pieces.
    pub(crate) fn flush(&self, batch: u64) -> Result<(), Error> {
        self.submit_upto(self.lock(), batch).map(drop)
    }

    /// Waits until everything up to `batch` is on the device.
    pub(crate) fn finish(&self, batch: u64) -> Result<(), Error> {
        let state = self.submit_upto(self.lock(), batch)?;
        let upto = state.slots.iter().filter(|slot| slot.batch <= batch).map(|slot| slot.ticket).max();
        drop(state);
        self.logical.wait(upto.unwrap_or(Ticket(0)))?;
        let mut released = Vec::new();
        for slot in self.lock().slots.iter_mut().filter(|slot| slot.phase == Phase::Free) {
            if self.logical.reached(slot.ticket)? {
                released.append(&mut slot.under_way);
            }
        }
        // Outside the lock: the drop of a buffer may free memory.
        drop(released);
        Ok(())
    }

    /// Waits until everything is on the device.
    pub(crate) fn finish_all(&self) -> Result<(), Error> {
        let batch = self.lock().next_batch;
        self.finish(batch)
    }

    /// Copies a buffer's range to the host, after all that was submitted before. Several slots are under way at once.
    pub(crate) fn read(&self, from: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let batch = self.lock().next_batch;
        self.flush(batch)?;
        let mut chunks = out.chunks_mut(SLOT_BYTES as usize).peekable();
        let mut at = offset;
        let mut under_way: VecDeque<(Held<'_>, &mut [u8])> = VecDeque::new();
        loop {
            if chunks.peek().is_some()
                && let Some(slot) = self.hold(under_way.is_empty())?
                && let Some(chunk) = chunks.next()
            {
                self.submit_read(&slot, from, at, chunk.len() as u64)?;
                at += chunk.len() as u64;
                under_way.push_back((slot, chunk));
                continue;
            }
            let Some((slot, chunk)) = under_way.pop_front() else { return Ok(()) };
            let ticket = self.lock().slots[slot.slot].ticket;
            self.logical.wait(ticket)?;
            let mapped = self.buffer.mapped_range(slot.slot as u64 * SLOT_BYTES, chunk.len() as u64);
            // SAFETY: the range is mapped; the slot is held by this call alone, and the GPU has finished writing it.
            unsafe { chunk.as_mut_ptr().copy_from_nonoverlapping(mapped.as_ptr(), chunk.len()) };
        }
    }

    /// The open slot; opens one if there is none.
    fn open_slot<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<(usize, MutexGuard<'a, State>), Error> {
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if let Some(open) = state.open {
                return Ok((open, state));
            }
            let (free, locked) = self.free_slot(state)?;
            state = locked;
            if let Some(index) = free
                && state.open.is_none()
            {
                state.next_batch += 1;
                let batch = state.next_batch;
                let slot = &mut state.slots[index];
                (slot.phase, slot.used_bytes, slot.batch) = (Phase::Open, 0, batch);
                state.open = Some(index);
            }
        }
    }

    /// The free slot that the GPU finished first, after waiting for it; none if the state changed meanwhile.
    fn free_slot<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
    ) -> Result<(Option<usize>, MutexGuard<'a, State>), Error> {
        let Some((index, ticket)) = state.oldest_free() else {
            return Ok((None, self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)));
        };
        if self.logical.reached(ticket)? {
            return Ok((Some(index), state));
        }
        // Writers must be able to finish meanwhile.
        drop(state);
        self.logical.wait(ticket)?;
        Ok((None, self.lock()))
    }

    /// A slot for a readback. `None` if that would mean to wait and `wait` is false.
    fn hold(&self, wait: bool) -> Result<Option<Held<'_>>, Error> {
        let mut state = self.lock();
        loop {
            if let Some((index, ticket)) = state.oldest_free()
                && self.logical.reached(ticket)?
            {
                let slot = &mut state.slots[index];
                (slot.phase, slot.batch) = (Phase::Closed, READBACK);
                return Ok(Some(Held { ring: self, slot: index }));
            }
            if !wait {
                return Ok(None);
            }
            (_, state) = self.free_slot(state)?;
        }
    }

    fn submit_read(&self, held: &Held<'_>, from: &Buffer, offset: u64, bytes: u64) -> Result<(), Error> {
        let mut state = self.lock();
        let slot = &mut state.slots[held.slot];
        slot.transfers.push(Transfer {
            source: Source::Buffer(from.clone(), offset),
            to: self.buffer.clone(),
            to_offset: held.slot as u64 * SLOT_BYTES,
            bytes,
        });
        slot.submit(&self.logical, &self.name)
    }

    /// Takes no more pieces into the open slot.
    fn close(&self, state: &mut State) {
        let Some(open) = state.open.take() else { return };
        state.slots[open].phase = Phase::Closed;
        self.submit_written(state);
    }

    /// A piece of a slot is written.
    fn written(&self, slot: usize) {
        let mut state = self.lock();
        state.slots[slot].writers -= 1;
        self.submit_written(&mut state);
    }

    /// Submits the closed slots whose pieces are all written, in the order of their batches: a slot waits for one
    /// before it, so that the later of two writes to a place stays the later.
    fn submit_written(&self, state: &mut State) {
        let State { slots, failed, .. } = state;
        while let Some(slot) = first_unsubmitted(slots).filter(|slot| slot.writers == 0) {
            let submitted = slot.submit(&self.logical, &self.name);
            slot.phase = Phase::Free;
            if let Err(error) = submitted {
                *failed = Some(error);
            }
            self.changed.notify_all();
        }
    }

    /// Closes the open slot if it has something up to `batch`, and returns once all of that is submitted.
    fn submit_upto<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        batch: u64,
    ) -> Result<MutexGuard<'a, State>, Error> {
        if let Some(open) = state.open.map(|open| &state.slots[open])
            && open.batch <= batch
            && !open.transfers.is_empty()
        {
            self.close(&mut state);
        }
        while first_unsubmitted(&mut state.slots).is_some_and(|slot| slot.batch <= batch) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes of the state: what writers run, they run outside the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn oldest_free(&self) -> Option<(usize, Ticket)> {
        let free = self.slots.iter().enumerate().filter(|(_, slot)| slot.phase == Phase::Free);
        free.map(|(index, slot)| (index, slot.ticket)).min_by_key(|(_, ticket)| *ticket)
    }
}

/// The closed slot of pieces that is to be submitted first.
fn first_unsubmitted(slots: &mut [Slot]) -> Option<&mut Slot> {
    let of_pieces = |slot: &&mut Slot| slot.phase == Phase::Closed && slot.batch != READBACK;
    slots.iter_mut().filter(of_pieces).min_by_key(|slot| slot.batch)
}

impl Piece<'_> {
    /// The piece, to be written. Holds old bytes.
    pub(crate) fn slice(&mut self) -> &mut [u8] {
        // SAFETY: the ring handed this range out to this piece alone; it is mapped, and the GPU reads it only after the
        // piece is dropped. Any bytes are valid as u8.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes as usize) }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.ring.written(self.slot);
    }
}

/// A slot held by a readback until its drop.
struct Held<'a> {
    ring: &'a Ring,
    slot: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.ring.lock().slots[self.slot].phase = Phase::Free;
        self.ring.changed.notify_all();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for slot in &state.slots {
            // SAFETY: nobody else has the ring, which ends here.
            unsafe { slot.destroy(&self.logical) };
        }
    }
}
