//! Blocks: the device memory allocations, each with one buffer over all of it, and the choice of their memory type.

use crate::devices::DeviceKind;
use crate::error::Error;
use crate::logical::Logical;
use ash::vk;
use std::ptr::NonNull;

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The device's own memory, out of the host's sight where possible. Everything large.
    Device,
    /// System memory that both sides see, cached on the host: for small rings that the device writes and the host
    /// reads or polls.
    Mapped,
    /// Memory that both sides see and the device reads fast (the card's own where it can be mapped): for small
    /// mailboxes that the host writes. The host never reads it, which may be a thousand times slower than writing.
    MappedUpload,
}

impl Memory {
    fn wanted(self) -> &'static str {
        match self {
            Memory::Device => "device-local",
            Memory::Mapped | Memory::MappedUpload => "host-visible and coherent",
        }
    }

    /// Whether a type of these properties serves at all, and how much it is liked (higher is better).
    /// `unified` says that the device and the host share one memory, so that what is not marked as the device's own is as good,
    /// only later.
    fn liking(self, flags: vk::MemoryPropertyFlags, unified: bool) -> Option<u32> {
        use vk::MemoryPropertyFlags as F;
        // Types with special rules (protected, lazily allocated, AMD's uncached ones) are for other uses.
        let plain = F::DEVICE_LOCAL | F::HOST_VISIBLE | F::HOST_COHERENT | F::HOST_CACHED;
        if !plain.contains(flags) {
            return None;
        }
        let has = |flag| u32::from(flags.contains(flag));
        let lacks = |flag| 1 - has(flag);
        match self {
            Memory::Device => (unified || flags.contains(F::DEVICE_LOCAL))
                .then(|| 2 * has(F::DEVICE_LOCAL) + lacks(F::HOST_VISIBLE)),
            Memory::Mapped => flags
                .contains(F::HOST_VISIBLE | F::HOST_COHERENT)
                .then(|| 2 * has(F::HOST_CACHED) + lacks(F::DEVICE_LOCAL)),
            Memory::MappedUpload => flags
                .contains(F::HOST_VISIBLE | F::HOST_COHERENT)
                .then(|| 2 * has(F::DEVICE_LOCAL) + lacks(F::HOST_CACHED)),
        }
    }
}

/// The indices of the memory types that serve, best first; among equals the larger heap, then the order listed.
pub(crate) fn candidates(
    properties: &vk::PhysicalDeviceMemoryProperties,
    allowed_bits: u32,
    memory: Memory,
    unified: bool,
) -> Vec<u32> {
    let heaps = properties.memory_heaps_as_slice();
    let mut found: Vec<_> = (0u32..)
        .zip(properties.memory_types_as_slice())
        .filter(|(index, _)| allowed_bits & (1 << index) != 0)
        .filter_map(|(index, t)| {
            let liking = memory.liking(t.property_flags, unified)?;
            let heap_bytes = heaps.get(t.heap_index as usize).map_or(0, |heap| heap.size);
            Some((std::cmp::Reverse((liking, heap_bytes)), index))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, index)| index).collect()
}

/// What every buffer can be used for.
fn buffer_info(bytes: u64) -> vk::BufferCreateInfo<'static> {
    vk::BufferCreateInfo::default().size(bytes).sharing_mode(vk::SharingMode::EXCLUSIVE).usage(
        vk::BufferUsageFlags::STORAGE_BUFFER
            | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS
            | vk::BufferUsageFlags::TRANSFER_SRC
            | vk::BufferUsageFlags::TRANSFER_DST,
    )
}

/// One device memory allocation with one buffer over all of it, mapped for good where the host sees it.
pub(crate) struct Block {
    pub(crate) memory: Memory,
    pub(crate) bytes: u64,
    pub(crate) buffer: vk::Buffer,
    pub(crate) address: u64,
    pub(crate) mapped: Option<NonNull<u8>>,
    allocation: vk::DeviceMemory,
}

// SAFETY: the pointer is to memory mapped for the life of the block, valid on every thread; accesses through it are
// the Buffer's business.
unsafe impl Send for Block {}

/// Why a block could not be made.
pub(crate) enum BlockError {
    /// The heap has no room, though a smaller block may fit.
    Full { budget_bytes: Option<u64> },
    /// Anything else.
    Other(Error),
}

impl Block {
    /// Allocates, binds, maps and counts a block.
    pub(crate) fn new(logical: &Logical, memory: Memory, bytes: u64, name: &str) -> Result<Self, BlockError> {
        let raw = &logical.raw;
        let during = || format!("allocating a block for buffer {name}");
        // SAFETY: the device lives; the info is complete.
        let buffer = unsafe { raw.create_buffer(&buffer_info(bytes), None) }
            .map_err(|result| BlockError::Other(logical.fail(during(), result)))?;
        // SAFETY: the buffer was made above.
        let needs = unsafe { raw.get_buffer_memory_requirements(buffer) };
        let made = allocate(logical, memory, &needs, name).and_then(|allocation| {
            bind(logical, buffer, allocation, memory).map(|(address, mapped)| {
                logical.ledger.allocation(needs.size);
                logical.name(buffer, &format!("{memory:?} block"));
                (address, mapped, allocation)
            })
        });
        match made {
            Ok((address, mapped, allocation)) => {
                Ok(Self { memory, bytes, buffer, address, mapped, allocation })
            }
            Err(error) => {
                // SAFETY: made above, used by nothing; a failed bind has freed the memory.
                unsafe { raw.destroy_buffer(buffer, None) };
                Err(error)
            }
        }
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// The block is of this device, and the GPU and the host are done with it.
    pub(crate) unsafe fn destroy(self, logical: &Logical) {
        // SAFETY: the caller vouches for it; freeing mapped memory unmaps it.
        unsafe {
            logical.raw.destroy_buffer(self.buffer, None);
            logical.raw.free_memory(self.allocation, None);
        }
    }
}

/// Allocates from the best type that has room.
fn allocate(
    logical: &Logical,
    memory: Memory,
    needs: &vk::MemoryRequirements,
    name: &str,
) -> Result<vk::DeviceMemory, BlockError> {
    let (properties, left) = memory_now(logical);
    let unified = logical.info.kind == DeviceKind::Integrated;
    let types = candidates(&properties, needs.memory_type_bits, memory, unified);
    if types.is_empty() {
        let error = Error::NoMemoryType { name: name.to_owned(), wanted: memory.wanted() };
        return Err(BlockError::Other(error));
    }
    let mut budget_bytes = None;
    for index in types {
        let heap = properties.memory_types[index as usize].heap_index as usize;
        let left = left.as_ref().map(|left| left[heap]);
        budget_bytes = budget_bytes.max(left);
        // Some drivers do not refuse what exceeds the budget, but move it to slow memory without a word.
        if left.is_some_and(|left| needs.size > left) {
            continue;
        }
        let mut flags = vk::MemoryAllocateFlagsInfo::default().flags(vk::MemoryAllocateFlags::DEVICE_ADDRESS);
        let info = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(index)
            .push_next(&mut flags);
        // SAFETY: the device lives, the type exists, and buffer addresses are switched on.
        match unsafe { logical.raw.allocate_memory(&info, None) } {
            Ok(allocation) => return Ok(allocation),
            Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY) => {}
            Err(result) => {
                let error = logical.fail(format!("allocating a block for buffer {name}"), result);
                return Err(BlockError::Other(error));
            }
        }
    }
    Err(BlockError::Full { budget_bytes })
}

/// The memory types and, where the driver tells, the bytes each heap has left for this process.
fn memory_now(logical: &Logical) -> (vk::PhysicalDeviceMemoryProperties, Option<Vec<u64>>) {
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
    let has_budget = logical.info.features.memory_budget;
    if has_budget {
        properties = properties.push_next(&mut budget);
    }
    // SAFETY: the device lives; the budget is chained only where its extension is listed.
    unsafe { logical.instance.raw.get_physical_device_memory_properties2(logical.physical, &mut properties) };
    let properties = properties.memory_properties;
    let left = budget.heap_budget.iter().zip(budget.heap_usage).map(|(all, used)| all.saturating_sub(used));
    (properties, has_budget.then(|| left.collect()))
}

/// Binds the memory, maps it where the host sees it, and asks for the address. Frees the memory if that fails.
fn bind(
    logical: &Logical,
    buffer: vk::Buffer,
    allocation: vk::DeviceMemory,
    memory: Memory,
) -> Result<(u64, Option<NonNull<u8>>), BlockError> {
    let raw = &logical.raw;
    let map = || -> Result<Option<NonNull<u8>>, vk::Result> {
        // SAFETY: the buffer and the memory were made for each other and are bound once.
        unsafe { raw.bind_buffer_memory(buffer, allocation, 0) }?;
        if memory == Memory::Device {
            return Ok(None);
        }
        // SAFETY: the memory is host-visible and not yet mapped.
        let pointer = unsafe { raw.map_memory(allocation, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty()) }?;
        NonNull::new(pointer.cast()).map(Some).ok_or(vk::Result::ERROR_MEMORY_MAP_FAILED)
    };
    match map() {
        Ok(mapped) => {
            let info = vk::BufferDeviceAddressInfo::default().buffer(buffer);
            // SAFETY: the buffer is bound, to memory allocated with addresses.
            let address = unsafe { raw.get_buffer_device_address(&info) };
            Ok((address, mapped))
        }
        Err(result) => {
            // SAFETY: allocated for this buffer, which is destroyed next without having been used.
            unsafe { raw.free_memory(allocation, None) };
            Err(BlockError::Other(logical.fail("binding a block of memory", result)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vk::MemoryPropertyFlags as F;

    fn properties(heaps: &[u64], types: &[(F, u32)]) -> vk::PhysicalDeviceMemoryProperties {
        let mut p = vk::PhysicalDeviceMemoryProperties {
            memory_heap_count: heaps.len() as u32,
            memory_type_count: types.len() as u32,
            ..Default::default()
        };
        for (heap, &size) in p.memory_heaps.iter_mut().zip(heaps) {
            heap.size = size;
        }
        for (t, &(property_flags, heap_index)) in p.memory_types.iter_mut().zip(types) {
            *t = vk::MemoryType { property_flags, heap_index };
        }
        p
    }

    fn discrete() -> vk::PhysicalDeviceMemoryProperties {
        let host = F::HOST_VISIBLE | F::HOST_COHERENT;
        properties(
            &[140 << 30, 64 << 30, 256 << 20],
            &[
                (F::empty(), 1),
                (F::DEVICE_LOCAL, 0),
                (host, 1),
                (host | F::HOST_CACHED, 1),
                (host | F::DEVICE_LOCAL, 2),
                (F::DEVICE_LOCAL | F::PROTECTED, 0),
            ],
        )
    }

    #[test]
    fn device_memory_is_out_of_the_hosts_sight_where_possible() {
        assert_eq!(candidates(&discrete(), !0, Memory::Device, false), [1, 4]);
    }

    #[test]
    fn mapped_memory_is_cached_system_memory() {
        assert_eq!(candidates(&discrete(), !0, Memory::Mapped, false)[0], 3);
        assert_eq!(candidates(&discrete(), !(1 << 3), Memory::Mapped, false)[0], 2);
    }

    #[test]
    fn a_mailbox_lies_on_the_card_where_it_can_be_mapped() {
        assert_eq!(candidates(&discrete(), !0, Memory::MappedUpload, false), [4, 2, 3]);
    }

    #[test]
    fn one_type_for_everything_serves_everything() {
        let all = F::DEVICE_LOCAL | F::HOST_VISIBLE | F::HOST_COHERENT | F::HOST_CACHED;
        let unified = properties(&[8 << 30], &[(all, 0)]);
        for memory in [Memory::Device, Memory::Mapped, Memory::MappedUpload] {
            assert_eq!(candidates(&unified, !0, memory, false), [0]);
        }
    }

    #[test]
    fn a_gpu_that_shares_the_hosts_memory_takes_of_it_when_its_own_is_full() {
        let host = F::HOST_VISIBLE | F::HOST_COHERENT;
        let types = [(F::DEVICE_LOCAL, 0), (host, 1), (F::DEVICE_LOCAL | host, 0)];
        let carved_out = properties(&[512 << 20, 16 << 30], &types);
        assert_eq!(candidates(&carved_out, !0, Memory::Device, false), [0, 2]);
        assert_eq!(candidates(&carved_out, !0, Memory::Device, true), [0, 2, 1]);
    }
}
