//! The limits of a device that allocation, pipelines and dispatches meet.

use ash::vk;

/// A device's limits, in Vulkan's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// `maxMemoryAllocationSize`: the largest single device memory allocation.
    pub max_memory_allocation_bytes: u64,
    /// `maxBufferSize`.
    pub max_buffer_bytes: u64,
    /// `maxStorageBufferRange` (no limit for buffers by device address).
    pub max_storage_buffer_range_bytes: u64,
    /// `maxMemoryAllocationCount`.
    pub max_memory_allocation_count: u32,
    /// `maxPushConstantsSize`.
    pub max_push_constants_bytes: u32,
    /// `maxComputeSharedMemorySize`: shared memory of one workgroup.
    pub max_compute_shared_memory_bytes: u32,
    /// `maxComputeWorkGroupInvocations`.
    pub max_compute_workgroup_invocations: u32,
    /// `maxComputeWorkGroupSize`.
    pub max_compute_workgroup_size: [u32; 3],
    /// `maxComputeWorkGroupCount`.
    pub max_compute_workgroup_count: [u32; 3],
    /// `maxComputeWorkgroupSubgroups`.
    pub max_compute_workgroup_subgroups: u32,
    /// Nanoseconds a timestamp tick.
    pub timestamp_period_ns: f32,
    /// Valid bits of a timestamp on the compute queue; 0 means that it has none.
    pub timestamp_valid_bits: u32,
    /// `nonCoherentAtomSize`.
    pub non_coherent_atom_bytes: u64,
}

impl Limits {
    pub(crate) fn new(
        limits: &vk::PhysicalDeviceLimits,
        vulkan_11: &vk::PhysicalDeviceVulkan11Properties<'_>,
        vulkan_13: &vk::PhysicalDeviceVulkan13Properties<'_>,
        timestamp_valid_bits: u32,
    ) -> Self {
        Self {
            max_memory_allocation_bytes: vulkan_11.max_memory_allocation_size,
            max_buffer_bytes: vulkan_13.max_buffer_size,
            max_storage_buffer_range_bytes: limits.max_storage_buffer_range.into(),
            max_memory_allocation_count: limits.max_memory_allocation_count,
            max_push_constants_bytes: limits.max_push_constants_size,
            max_compute_shared_memory_bytes: limits.max_compute_shared_memory_size,
            max_compute_workgroup_invocations: limits.max_compute_work_group_invocations,
            max_compute_workgroup_size: limits.max_compute_work_group_size,
            max_compute_workgroup_count: limits.max_compute_work_group_count,
            max_compute_workgroup_subgroups: vulkan_13.max_compute_workgroup_subgroups,
            timestamp_period_ns: limits.timestamp_period,
            timestamp_valid_bits,
            non_coherent_atom_bytes: limits.non_coherent_atom_size,
        }
    }
}
