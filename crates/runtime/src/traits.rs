//! What a kernel call needs to know of the device that it is for.

use resident_kernels::{DeviceTraits, matmul};
use resident_vulkan::DeviceInfo;

/// What of a device decides between variants of a kernel.
pub fn traits_of(info: &DeviceInfo) -> DeviceTraits {
    let features = &info.features;
    DeviceTraits {
        shared_memory_bytes: info.limits.max_compute_shared_memory_bytes,
        packed_dot_product: features.integer_dot_product_4x8_packed_signed_accelerated
            && features.subgroup_operations.clustered
            && features.subgroup_size >= 8,
        matrix_units: features.multiplies_f16_squares()
            && info.limits.max_compute_shared_memory_bytes >= matmul::COOPERATIVE_SHARED_BYTES
            && info.limits.max_compute_workgroup_invocations
                >= matmul::COOPERATIVE_SUBGROUPS * features.subgroup_size,
        subgroup_size: features.subgroup_size,
        workgroup_invocations: info.limits.max_compute_workgroup_invocations,
    }
}
