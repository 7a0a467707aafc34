//! Structures newer than the headers that `ash` was made from (Vulkan 1.3.281), field by field as in `vulkan_core.h`.

use ash::vk;
use std::ffi::{CStr, c_void};

/// The name of `VK_KHR_shader_bfloat16`.
pub(crate) const KHR_SHADER_BFLOAT16: &CStr = c"VK_KHR_shader_bfloat16";
/// The name of `VK_NV_cooperative_matrix2`.
pub(crate) const NV_COOPERATIVE_MATRIX_2: &CStr = c"VK_NV_cooperative_matrix2";
/// `VK_COMPONENT_TYPE_BFLOAT16_KHR`.
pub(crate) const COMPONENT_TYPE_BFLOAT16: i32 = 1_000_141_000;

/// `VkPhysicalDeviceShaderBfloat16FeaturesKHR`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ShaderBfloat16Features {
    pub(crate) s_type: vk::StructureType,
    pub(crate) p_next: *mut c_void,
    pub(crate) shader_bfloat16_type: vk::Bool32,
    pub(crate) shader_bfloat16_dot_product: vk::Bool32,
    pub(crate) shader_bfloat16_cooperative_matrix: vk::Bool32,
}

/// `VkPhysicalDeviceCooperativeMatrix2FeaturesNV`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CooperativeMatrix2Features {
    pub(crate) s_type: vk::StructureType,
    pub(crate) p_next: *mut c_void,
    pub(crate) workgroup_scope: vk::Bool32,
    pub(crate) flexible_dimensions: vk::Bool32,
    pub(crate) reductions: vk::Bool32,
    pub(crate) conversions: vk::Bool32,
    pub(crate) per_element_operations: vk::Bool32,
    pub(crate) tensor_addressing: vk::Bool32,
    pub(crate) block_loads: vk::Bool32,
}

impl Default for ShaderBfloat16Features {
    fn default() -> Self {
        Self {
            s_type: vk::StructureType::from_raw(1_000_141_000),
            p_next: std::ptr::null_mut(),
            shader_bfloat16_type: 0,
            shader_bfloat16_dot_product: 0,
            shader_bfloat16_cooperative_matrix: 0,
        }
    }
}

impl Default for CooperativeMatrix2Features {
    fn default() -> Self {
        Self {
            s_type: vk::StructureType::from_raw(1_000_593_000),
            p_next: std::ptr::null_mut(),
            workgroup_scope: 0,
            flexible_dimensions: 0,
            reductions: 0,
            conversions: 0,
            per_element_operations: 0,
            tensor_addressing: 0,
            block_loads: 0,
        }
    }
}

// SAFETY: `repr(C)`, begins with sType and pNext, and the specification lets it extend VkPhysicalDeviceFeatures2.
unsafe impl vk::ExtendsPhysicalDeviceFeatures2 for ShaderBfloat16Features {}
// SAFETY: as above; the specification lets it extend VkDeviceCreateInfo.
unsafe impl vk::ExtendsDeviceCreateInfo for ShaderBfloat16Features {}
// SAFETY: `repr(C)`, begins with sType and pNext, and the specification lets it extend VkPhysicalDeviceFeatures2.
unsafe impl vk::ExtendsPhysicalDeviceFeatures2 for CooperativeMatrix2Features {}
// SAFETY: as above; the specification lets it extend VkDeviceCreateInfo.
unsafe impl vk::ExtendsDeviceCreateInfo for CooperativeMatrix2Features {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn laid_out_as_in_the_c_header() {
        assert_eq!(offset_of!(ShaderBfloat16Features, shader_bfloat16_type), 16);
        assert_eq!(size_of::<ShaderBfloat16Features>(), 32);
        assert_eq!(offset_of!(CooperativeMatrix2Features, workgroup_scope), 16);
        assert_eq!(size_of::<CooperativeMatrix2Features>(), 48);
    }
}
