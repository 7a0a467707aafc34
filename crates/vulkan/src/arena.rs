//! The arena: buffers are ranges of a few large blocks, so a model of thousands of tensors is a handful of allocations.

use crate::blocks::{Block, BlockError, Memory};
use crate::buffer::{Buffer, Range};
use crate::error::Error;
use crate::limits::Limits;
use crate::logical::Logical;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every buffer begins at a device address that is a multiple of this.
pub(crate) const ALIGNMENT: u64 = 256;
/// Larger allocations fail or are slow on some drivers, whatever their limits say.
const MAX_BLOCK_BYTES: u64 = (4 << 30) - (2 << 20);
/// The first block of device memory; later ones grow with what is in use, up to the largest one.
const FIRST_BLOCK_BYTES: u64 = 64 << 20;
const LARGEST_SHARED_BLOCK_BYTES: u64 = 1 << 30;
/// Mapped buffers are small rings and mailboxes.
const MAPPED_BLOCK_BYTES: u64 = 1 << 20;

/// What an arena holds of one kind of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaUse {
    /// Device memory allocations alive.
    pub blocks: usize,
    /// Bytes of those.
    pub block_bytes: u64,
    /// Bytes of them that buffers occupy, rounded up to the alignment.
    pub buffer_bytes: u64,
}

/// The blocks of one device.
pub(crate) struct Arena {
    pub(crate) logical: Arc<Logical>,
    /// At most so much of [`Memory::Device`].
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: BTreeMap<u64, (Block, FreeRanges)>,
    next_block: u64,
}

impl Arena {
    pub(crate) fn new(logical: Arc<Logical>, limit_bytes: Option<u64>) -> Arc<Self> {
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX);
        Arc::new(Self { logical, limit_bytes, state: Mutex::default() })
    }

    /// A buffer of `bytes`, in a block that has room or in a new one.
    pub(crate) fn allocate(
        self: &Arc<Self>,
        name: &str,
        bytes: u64,
        memory: Memory,
    ) -> Result<Buffer, Error> {
        assert!(bytes > 0, "buffer {name}: zero bytes asked for");
        let (limit_bytes, limit_name) = block_limit(&self.logical.info.limits);
        // Compared before rounding, which could overflow.
        if bytes > limit_bytes / ALIGNMENT * ALIGNMENT {
            return Err(Error::AllocationTooLarge { name: name.to_owned(), bytes, limit_bytes, limit_name });
        }
        let size = bytes.next_multiple_of(ALIGNMENT);
        let mut state = self.lock();
        let fit = state.blocks.iter_mut().filter(|(_, (block, _))| block.memory == memory);
        let mut place = fit.into_iter().find_map(|(&key, (_, free))| Some((key, free.take(size)?)));
        if place.is_none() {
            let key = self.grow(&mut state, name, size, memory, limit_bytes)?;
            let (_, free) = state.blocks.get_mut(&key).expect("the block made above");
            place = free.take(size).map(|offset| (key, offset));
        }
        let Some((key, offset)) = place else {
            // Only where the request is as large as a block may be, and the driver gave it an odd address.
            return Err(Error::AllocationTooLarge { name: name.to_owned(), bytes, limit_bytes, limit_name });
        };
        let (block, _) = &state.blocks[&key];
        let range = Range { block: key, offset, size };
        // SAFETY: the range was taken from the block's free ranges and lies within it; it is given back by the
        // buffer's drop alone, and the block lives until its last range is back.
        Ok(unsafe { Buffer::new(self.clone(), name, memory, bytes, range, block) })
    }

    /// Adds a block that holds `size` bytes: a shared one, or where there is no room for that one of just the size.
    fn grow(
        &self,
        state: &mut State,
        name: &str,
        size: u64,
        memory: Memory,
        limit_bytes: u64,
    ) -> Result<u64, Error> {
        let used = state.usage(memory);
        // Room to begin at an aligned address, should the driver give the block another one.
        let exact = (size + ALIGNMENT).min(limit_bytes);
        let shared = shared_block_bytes(memory, used.block_bytes).min(limit_bytes);
        let wishes = if exact < shared { vec![shared, exact] } else { vec![exact] };
        let mut budget_bytes = None;
        for bytes in wishes {
            let left = self.limit_bytes - used.block_bytes.min(self.limit_bytes);
            if memory == Memory::Device && bytes > left {
                budget_bytes = Some(left);
                continue;
            }
            match Block::new(&self.logical, memory, bytes, name) {
                Ok(block) => {
                    let skip = block.address.next_multiple_of(ALIGNMENT) - block.address;
                    let free = FreeRanges::new(skip, (bytes - skip) / ALIGNMENT * ALIGNMENT);
                    let key = state.next_block;
                    state.next_block += 1;
                    state.blocks.insert(key, (block, free));
                    return Ok(key);
                }
                Err(BlockError::Full { budget_bytes: budget }) => budget_bytes = budget,
                Err(BlockError::Other(error)) => return Err(error),
            }
        }
        Err(Error::OutOfMemory {
            name: name.to_owned(),
            requested_bytes: size,
            in_use_bytes: used.block_bytes,
            budget_bytes,
        })
    }

    /// Takes a buffer's range back; the last one of a block frees the block.
    pub(crate) fn give_back(&self, range: &Range) {
        let mut state = self.lock();
        let Some((_, free)) = state.blocks.get_mut(&range.block) else { return };
        free.put(range.offset, range.size);
        if !free.is_whole() {
            return;
        }
        let removed = state.blocks.remove(&range.block);
        drop(state);
        if let Some((block, _)) = removed {
            // A recording keeps only the buffers it was told of, so wait for all that was submitted.
            if self.logical.quiesce(self.logical.last()) {
                // SAFETY: all ranges are back, so no Buffer refers to the block, and the GPU has finished (or is lost).
                unsafe { block.destroy(&self.logical) };
            }
        }
    }

    /// What is in use of one kind of memory.
    pub(crate) fn usage(&self, memory: Memory) -> ArenaUse {
        self.lock().usage(memory)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step between two changes of the state can panic, so a poisoned lock holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if self.logical.is_abandoned() {
            return;
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (block, _) in std::mem::take(&mut state.blocks).into_values() {
            // SAFETY: every Buffer holds an Arc of the arena, so what is left is a block that no buffer ever used.
            unsafe { block.destroy(&self.logical) };
        }
    }
}

impl State {
    fn usage(&self, memory: Memory) -> ArenaUse {
        let mut usage = ArenaUse::default();
        for (block, free) in self.blocks.values().filter(|(block, _)| block.memory == memory) {
            usage.blocks += 1;
            usage.block_bytes += block.bytes;
            usage.buffer_bytes += free.taken();
        }
        usage
    }
}

/// The largest block, and which limit says so.
fn block_limit(limits: &Limits) -> (u64, &'static str) {
    let named = [
        (limits.max_memory_allocation_bytes, "maxMemoryAllocationSize"),
        (limits.max_buffer_bytes, "maxBufferSize"),
        (MAX_BLOCK_BYTES, "the largest block"),
    ];
    named.into_iter().min_by_key(|(bytes, _)| *bytes).expect("three limits")
}

/// Device memory that buffers of these sizes take when they are allocated in this order: blocks, some of which stay partly
/// empty. A block to share is counted only where `room_bytes` has room for it, as in allocating.
pub fn planned_bytes(limits: &Limits, sizes: impl IntoIterator<Item = u64>, room_bytes: u64) -> u64 {
    let (limit_bytes, _) = block_limit(limits);
    let mut blocks: Vec<FreeRanges> = Vec::new();
    let mut in_use: u64 = 0;
    for bytes in sizes.into_iter().filter(|bytes| *bytes > 0) {
        if bytes > limit_bytes / ALIGNMENT * ALIGNMENT {
            // It will be refused by its name; it counts so that the sum is too large, too.
            in_use = in_use.saturating_add(bytes);
            continue;
        }
        let size = bytes.next_multiple_of(ALIGNMENT);
        if blocks.iter_mut().any(|free| free.take(size).is_some()) {
            continue;
        }
        let exact = (size + ALIGNMENT).min(limit_bytes);
        let shared = shared_block_bytes(Memory::Device, in_use).min(limit_bytes);
        let has_room = in_use.checked_add(shared).is_some_and(|bytes| bytes <= room_bytes);
        let block = if exact < shared && has_room { shared } else { exact };
        let mut free = FreeRanges::new(0, block / ALIGNMENT * ALIGNMENT);
        free.take(size);
        blocks.push(free);
        in_use = in_use.saturating_add(block);
    }
    in_use
}

/// How large the next shared block is: at most a quarter of what there is already may lie idle in it.
fn shared_block_bytes(memory: Memory, in_use_bytes: u64) -> u64 {
    match memory {
        Memory::Device => {
            (in_use_bytes / 4).next_power_of_two().clamp(FIRST_BLOCK_BYTES, LARGEST_SHARED_BLOCK_BYTES)
        }
        Memory::Mapped | Memory::MappedUpload => MAPPED_BLOCK_BYTES,
    }
}

/// The free ranges of one block: start → length, never adjacent, never overlapping.
struct FreeRanges {
    ranges: BTreeMap<u64, u64>,
    start: u64,
    size: u64,
}

impl FreeRanges {
    fn new(start: u64, size: u64) -> Self {
        Self { ranges: BTreeMap::from([(start, size)]), start, size }
    }

    /// Takes `size` bytes from the smallest range that holds them; the lowest among equals.
    fn take(&mut self, size: u64) -> Option<u64> {
        let best =
            self.ranges.iter().filter(|(_, length)| **length >= size).min_by_key(|(_, length)| **length);
        let (&offset, &length) = best?;
        self.ranges.remove(&offset);
        if length > size {
            self.ranges.insert(offset + size, length - size);
        }
        Some(offset)
    }

    /// Puts a range back, joined with its neighbours.
    fn put(&mut self, offset: u64, size: u64) {
        let (mut start, mut end) = (offset, offset + size);
        if let Some((&before, &length)) = self.ranges.range(..offset).next_back()
            && before + length == start
        {
            self.ranges.remove(&before);
            start = before;
        }
        if let Some(length) = self.ranges.remove(&end) {
            end += length;
        }
        self.ranges.insert(start, end - start);
    }

    fn is_whole(&self) -> bool {
        self.ranges.get(&self.start) == Some(&self.size)
    }

    fn taken(&self) -> u64 {
        self.size - self.ranges.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_given_back_in_any_order_join() {
        for order in [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1]] {
            let mut free = FreeRanges::new(256, 1024);
            let taken = [256, 512, 256].map(|size| (free.take(size).expect("room"), size));
            assert_eq!(free.take(256), None);
            assert_eq!(free.taken(), 1024);
            for place in order {
                assert!(!free.is_whole());
                free.put(taken[place].0, taken[place].1);
            }
            assert!(free.is_whole());
            assert_eq!(free.ranges.len(), 1);
        }
    }

    #[test]
    fn the_smallest_range_that_fits_is_taken() {
        let mut free = FreeRanges::new(0, 4096);
        let offsets: Vec<_> =
            [1024, 256, 512, 256].iter().map(|&size| free.take(size).expect("room")).collect();
        free.put(offsets[0], 1024);
        free.put(offsets[2], 512);
        assert_eq!(free.take(512), Some(offsets[2]));
        assert_eq!(free.take(2049), None);
    }

    #[test]
    fn random_takes_and_puts_never_overlap() {
        let mut free = FreeRanges::new(0, 1 << 16);
        let mut held: Vec<(u64, u64)> = Vec::new();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..10_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let size = (random % 16 + 1) * 256;
            if random & (1 << 40) == 0
                && let Some(offset) = free.take(size)
            {
                assert!(offset + size <= 1 << 16);
                assert!(held.iter().all(|&(o, s)| offset + size <= o || o + s <= offset));
                held.push((offset, size));
            } else if !held.is_empty() {
                let (offset, size) = held.swap_remove(random as usize % held.len());
                free.put(offset, size);
            }
            assert_eq!(free.taken(), held.iter().map(|(_, size)| size).sum::<u64>());
        }
    }

    #[test]
    fn blocks_grow_with_what_is_in_use() {
        assert_eq!(shared_block_bytes(Memory::Device, 0), 64 << 20);
        assert_eq!(shared_block_bytes(Memory::Device, 1 << 30), 256 << 20);
        assert_eq!(shared_block_bytes(Memory::Device, 64 << 30), 1 << 30);
        assert_eq!(shared_block_bytes(Memory::Mapped, 64 << 30), 1 << 20);
    }
}
