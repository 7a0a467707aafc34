//! The staging ring: a few mapped slots through which uploads and readbacks pass before the seal. Writes of any size and
//! from any thread are packed into the open slot; a full slot becomes one submission while the next one is written.

use crate::arena::Arena;
use crate::blocks::Memory;
use crate::buffer::{Buffer, copy_volatile};
use crate::error::Error;
use crate::logical::{Logical, Ticket};
use crate::recording::{
    ALL_TO_COPY, COPY_TO_COMPUTE, COPY_TO_COPY, COPY_TO_HOST, CommandPool, memory_barrier,
};
use ash::vk;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const SLOTS: usize = 4;
/// One slot of the ring: long enough that a copy takes much longer than its submission.
pub(crate) const SLOT_BYTES: u64 = 8 << 20;
/// Pieces begin at a multiple of this in the ring, so that a repacker can write them as vectors.
const PIECE_ALIGNMENT: u64 = 64;
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody's, though the GPU may still be busy with `ticket`.
    Free,
    /// Takes pieces.
    Open,
    /// Takes no more; submitted when the last writer is done, or held by a readback.
    Closed,
}

struct Slot {
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    phase: Phase,
    /// Pieces handed out and not yet written.
    writers: usize,
    used_bytes: u64,
    ops: Vec<Op>,
    /// The order in which slots were opened; a readback's is the highest, since nobody waits for it.
    batch: u64,
    ticket: Ticket,
    /// Buffers of the submission under way.
    held: Vec<Buffer>,
}

/// One copy or fill of a submission.
struct Op {
    to: Buffer,
    to_offset: u64,
    bytes: u64,
    source: Source,
}

enum Source {
    /// An offset in the ring.
    Ring(u64),
    /// The same word everywhere.
    Word(u32),
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
        let buffer = arena.allocate("staging ring", SLOT_BYTES * SLOTS as u64, Memory::Mapped)?;
        let mut ring = Self {
            logical,
            buffer,
            name: "a staging transfer".into(),
            state: Mutex::new(State { slots: Vec::new(), open: None, next_batch: 0, failed: None }),
            changed: Condvar::new(),
        };
        for _ in 0..SLOTS {
            let pool = CommandPool::new(&ring.logical, "staging", vk::CommandPoolCreateFlags::TRANSIENT)?;
            let (pool, commands) = pool.into_parts();
            // Not yet shared, so the lock is free; whatever fails, the drop destroys the pools made so far.
            let state = ring.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            state.slots.push(Slot {
                pool,
                commands,
                phase: Phase::Free,
                writers: 0,
                used_bytes: 0,
                ops: Vec::new(),
                batch: 0,
                ticket: Ticket(0),
                held: Vec::new(),
            });
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
            if room > 0 && open.ops.len() < MAX_PIECES {
                let bytes = want.min(room);
                open.used_bytes = start + bytes;
                open.writers += 1;
                let in_ring = slot as u64 * SLOT_BYTES + start;
                open.ops.push(Op { to: to.clone(), to_offset, bytes, source: Source::Ring(in_ring) });
                let at = self.buffer.mapped_range(in_ring, bytes);
                return Ok(Piece { ring: self, slot, at, bytes, batch: open.batch });
            }
            self.close(&mut state);
        }
    }

    /// Fills a range with a word, in the order of the pieces around it.
    pub(crate) fn fill(&self, to: &Buffer, to_offset: u64, bytes: u64, word: u32) -> Result<(), Error> {
        let (slot, mut state) = self.open_slot(self.lock())?;
        state.slots[slot].ops.push(Op { to: to.clone(), to_offset, bytes, source: Source::Word(word) });
        self.close(&mut state);
        Ok(())
    }

    /// Submits what is in the open slot, without waiting for the GPU.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        if state.open.is_some_and(|open| !state.slots[open].ops.is_empty()) {
            self.close(&mut state);
        }
    }

    /// Waits until everything up to `batch` is on the device.
    pub(crate) fn finish(&self, batch: u64) -> Result<(), Error> {
        self.flush();
        let mut state = self.lock();
        while state.slots.iter().any(|slot| slot.phase == Phase::Closed && slot.batch <= batch) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let upto = state.slots.iter().filter(|slot| slot.batch <= batch).map(|slot| slot.ticket).max();
        drop(state);
        self.logical.wait(upto.unwrap_or(Ticket(0)))?;
        let mut released = Vec::new();
        for slot in self.lock().slots.iter_mut().filter(|slot| slot.phase == Phase::Free) {
            if self.logical.reached(slot.ticket)? {
                released.append(&mut slot.held);
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
        self.flush();
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
            // SAFETY: the slot is held by this call, and the GPU has finished writing it.
            unsafe { copy_volatile(mapped.as_ptr(), chunk) };
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
                slot.held.clear();
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
                (slot.phase, slot.batch) = (Phase::Closed, u64::MAX);
                slot.held.clear();
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
        slot.held.push(from.clone());
        let to_offset = self.buffer.handle_offset(held.slot as u64 * SLOT_BYTES);
        self.submit(slot, |raw, commands| {
            let region =
                vk::BufferCopy { src_offset: from.handle_offset(offset), dst_offset: to_offset, size: bytes };
            // SAFETY: recording is under way; both ranges were checked, and the slot holds the buffer.
            unsafe {
                raw.cmd_copy_buffer(commands, from.handle(), self.buffer.handle(), &[region]);
                memory_barrier(&self.logical, commands, &[COPY_TO_HOST]);
            }
        })
    }

    /// Takes no more pieces into the open slot, and submits it if all of them are written.
    fn close(&self, state: &mut State) {
        let Some(open) = state.open.take() else { return };
        state.slots[open].phase = Phase::Closed;
        if state.slots[open].writers == 0 {
            self.submit_pieces(state, open);
        }
    }

    /// A piece of a slot is written; the last one of a closed slot submits it.
    fn written(&self, slot: usize) {
        let mut state = self.lock();
        state.slots[slot].writers -= 1;
        if state.slots[slot].writers == 0 && state.slots[slot].phase == Phase::Closed {
            self.submit_pieces(&mut state, slot);
        }
    }

    fn submit_pieces(&self, state: &mut State, index: usize) {
        let slot = &mut state.slots[index];
        let ops = std::mem::take(&mut slot.ops);
        let submitted = self.submit(slot, |raw, commands| {
            for (place, op) in ops.iter().enumerate() {
                // SAFETY: recording is under way; the ranges were checked, and the slot holds the buffers.
                unsafe {
                    if ops[..place].iter().any(|earlier| earlier.overlaps(op)) {
                        memory_barrier(&self.logical, commands, &[COPY_TO_COPY]);
                    }
                    self.record(raw, commands, op);
                }
            }
        });
        slot.held.extend(ops.into_iter().map(|op| op.to));
        slot.phase = Phase::Free;
        if let Err(error) = submitted {
            state.failed = Some(error);
        }
        self.changed.notify_all();
    }

    /// # Safety
    /// `commands` is being recorded, and the op's ranges lie inside their buffers.
    unsafe fn record(&self, raw: &ash::Device, commands: vk::CommandBuffer, op: &Op) {
        let to_offset = op.to.handle_offset(op.to_offset);
        match op.source {
            // SAFETY: the caller vouches for it.
            Source::Word(word) => unsafe {
                raw.cmd_fill_buffer(commands, op.to.handle(), to_offset, op.bytes, word);
            },
            Source::Ring(in_ring) => {
                let region = vk::BufferCopy {
                    src_offset: self.buffer.handle_offset(in_ring),
                    dst_offset: to_offset,
                    size: op.bytes,
                };
                // SAFETY: the caller vouches for it.
                unsafe { raw.cmd_copy_buffer(commands, self.buffer.handle(), op.to.handle(), &[region]) };
            }
        }
    }

    /// Records the slot's command buffer anew and submits it; counted as a recording and a submit.
    fn submit(
        &self,
        slot: &mut Slot,
        fill: impl FnOnce(&ash::Device, vk::CommandBuffer),
    ) -> Result<(), Error> {
        let raw = &self.logical.raw;
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        let fail = |result| self.logical.fail("recording a staging transfer", result);
        // SAFETY: the slot's earlier submission is done, since a slot is used again only then; the ring's lock keeps
        // other threads off its pool.
        unsafe {
            raw.reset_command_pool(slot.pool, vk::CommandPoolResetFlags::empty()).map_err(fail)?;
            raw.begin_command_buffer(slot.commands, &begin).map_err(fail)?;
            memory_barrier(&self.logical, slot.commands, &[ALL_TO_COPY]);
        }
        fill(raw, slot.commands);
        // SAFETY: as above.
        unsafe {
            memory_barrier(&self.logical, slot.commands, &[COPY_TO_COMPUTE, COPY_TO_COPY]);
            raw.end_command_buffer(slot.commands).map_err(fail)?;
        }
        let id = self.logical.ledger.recording(BTreeMap::new());
        let infos = [vk::CommandBufferSubmitInfo::default().command_buffer(slot.commands)];
        // SAFETY: complete; the slot notes the ticket, is not used again before it is reached, and the ring's drop
        // waits for it.
        slot.ticket = unsafe { self.logical.submit(&self.name, &infos, [id]) }?;
        Ok(())
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

impl Op {
    fn overlaps(&self, other: &Op) -> bool {
        self.to.is(&other.to)
            && self.to_offset < other.to_offset + other.bytes
            && other.to_offset < self.to_offset + self.bytes
    }
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
            self.logical.quiesce(slot.ticket);
            // SAFETY: the GPU has finished the slot's last submission (or is lost), and nobody else has the ring.
            unsafe { self.logical.raw.destroy_command_pool(slot.pool, None) };
        }
    }
}
