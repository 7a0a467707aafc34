//! One slot of the staging ring: its command buffer, recorded anew for each submission, and the transfers that go in it.

use crate::buffer::Buffer;
use crate::error::Error;
use crate::logical::{Logical, Ticket};
use crate::recording::{
    ALL_TO_COPY, COPY_TO_COMPUTE, COPY_TO_COPY, COPY_TO_HOST, CommandPool, memory_barrier,
};
use ash::vk;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose a slot is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody's, though the GPU may still be busy with its ticket.
    Free,
    /// Takes pieces of uploads.
    Open,
    /// Takes no more; submitted when the last writer is done, or held by a readback.
    Closed,
}

/// A slot and its submission.
pub(crate) struct Slot {
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    pub(crate) phase: Phase,
    /// Pieces handed out and not yet written.
    pub(crate) writers: usize,
    pub(crate) used_bytes: u64,
    pub(crate) transfers: Vec<Transfer>,
    /// The order in which slots were opened; a readback's is the highest, since nobody waits for it.
    pub(crate) batch: u64,
    /// Its last submission.
    pub(crate) ticket: Ticket,
    /// What that submission uses, kept alive until it is done.
    pub(crate) under_way: Vec<Transfer>,
}

/// One copy or fill.
pub(crate) struct Transfer {
    pub(crate) source: Source,
    pub(crate) to: Buffer,
    pub(crate) to_offset: u64,
    pub(crate) bytes: u64,
}

/// What a transfer writes.
pub(crate) enum Source {
    /// The bytes at an offset of a buffer.
    Buffer(Buffer, u64),
    /// The same word everywhere.
    Word(u32),
}

impl Slot {
    pub(crate) fn new(logical: &Logical) -> Result<Self, Error> {
        let pool = CommandPool::new(logical, "staging", vk::CommandPoolCreateFlags::TRANSIENT)?;
        let (pool, commands) = pool.into_parts();
        Ok(Self {
            pool,
            commands,
            phase: Phase::Free,
            writers: 0,
            used_bytes: 0,
            transfers: Vec::new(),
            batch: 0,
            ticket: Ticket(0),
            under_way: Vec::new(),
        })
    }

    /// Submits the slot's transfers, in order; counted as a recording and a submit. The earlier submission must be
    /// done, which [`Logical::reached`] has said of the ticket.
    pub(crate) fn submit(&mut self, logical: &Logical, name: &Arc<str>) -> Result<(), Error> {
        let transfers = std::mem::take(&mut self.transfers);
        assert!(logical.reached(self.ticket)?, "a staging slot used again while the GPU is");
        self.record(logical, &transfers)
            .map_err(|result| logical.fail(format!("recording {name}"), result))?;
        let id = logical.ledger.recording(BTreeMap::new());
        let infos = [vk::CommandBufferSubmitInfo::default().command_buffer(self.commands)];
        self.under_way = transfers;
        // SAFETY: recorded above; until the ticket is reached `under_way` holds the buffers, the assertion above keeps
        // the command buffer as it is, and `destroy` waits.
        self.ticket = unsafe { logical.submit(name, &infos, [id]) }?;
        Ok(())
    }

    fn record(&mut self, logical: &Logical, transfers: &[Transfer]) -> Result<(), vk::Result> {
        let raw = &logical.raw;
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the earlier submission is done, and `&mut self` keeps other threads off the pool; the ranges of
        // transfers are checked where they are made.
        unsafe {
            raw.reset_command_pool(self.pool, vk::CommandPoolResetFlags::empty())?;
            raw.begin_command_buffer(self.commands, &begin)?;
            memory_barrier(logical, self.commands, &[ALL_TO_COPY]);
            for (place, transfer) in transfers.iter().enumerate() {
                if transfers[..place].iter().any(|earlier| earlier.overlaps(transfer)) {
                    memory_barrier(logical, self.commands, &[COPY_TO_COPY]);
                }
                transfer.record(raw, self.commands);
            }
            memory_barrier(logical, self.commands, &[COPY_TO_COMPUTE, COPY_TO_COPY, COPY_TO_HOST]);
            raw.end_command_buffer(self.commands)
        }
    }

    /// Waits for the slot's submission and destroys it.
    ///
    /// # Safety
    /// The slot is of this device and not used afterwards.
    pub(crate) unsafe fn destroy(&self, logical: &Logical) {
        if logical.quiesce(self.ticket) {
            // SAFETY: the GPU has finished (or is lost), and the caller vouches for the rest.
            unsafe { logical.raw.destroy_command_pool(self.pool, None) };
        }
    }
}

impl Transfer {
    /// Whether both write some byte.
    fn overlaps(&self, other: &Transfer) -> bool {
        self.to.is(&other.to)
            && self.to_offset < other.to_offset + other.bytes
            && other.to_offset < self.to_offset + self.bytes
    }

    /// # Safety
    /// `commands` is being recorded, the ranges lie inside their buffers, and those outlive the submission.
    unsafe fn record(&self, raw: &ash::Device, commands: vk::CommandBuffer) {
        let dst_offset = self.to.handle_offset(self.to_offset);
        match &self.source {
            // SAFETY: the caller vouches for it; a fill's range is one of whole words.
            Source::Word(word) => unsafe {
                raw.cmd_fill_buffer(commands, self.to.handle(), dst_offset, self.bytes, *word);
            },
            Source::Buffer(from, offset) => {
                let src_offset = from.handle_offset(*offset);
                let region = vk::BufferCopy { src_offset, dst_offset, size: self.bytes };
                // SAFETY: the caller vouches for it.
                unsafe { raw.cmd_copy_buffer(commands, from.handle(), self.to.handle(), &[region]) };
            }
        }
    }
}
