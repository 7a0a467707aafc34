//! The optional abilities of a device: queried, never assumed, and exactly those are enabled.

use crate::matrices::{ComponentType, CooperativeMatrix2, CooperativeMatrixShape, MatrixScope, shapes};
use crate::newer::{
    CooperativeMatrix2Features, KHR_SHADER_BFLOAT16, NV_COOPERATIVE_MATRIX_2, ShaderBfloat16Features,
};
use ash::{ext, khr, vk};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};

/// What a device can do beyond what Vulkan 1.3 demands, and what of it everything here requires.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// `bufferDeviceAddress`. Required.
    pub buffer_device_address: bool,
    /// `timelineSemaphore`. Required.
    pub timeline_semaphore: bool,
    /// `synchronization2`. Required.
    pub synchronization2: bool,
    /// `maintenance4`: workgroup sizes by specialization constant. Required.
    pub maintenance4: bool,
    /// `vulkanMemoryModel`.
    pub vulkan_memory_model: bool,
    /// `vulkanMemoryModelDeviceScope`.
    pub vulkan_memory_model_device_scope: bool,
    /// `scalarBlockLayout`.
    pub scalar_block_layout: bool,
    /// `subgroupSizeControl`, and compute shaders may require a size.
    pub subgroup_size_control: bool,
    /// `computeFullSubgroups`.
    pub compute_full_subgroups: bool,
    /// Invocations of a subgroup when nothing is required.
    pub subgroup_size: u32,
    /// The smallest subgroup size that can be required.
    pub min_subgroup_size: u32,
    /// The largest subgroup size that can be required.
    pub max_subgroup_size: u32,
    /// The subgroup operations of compute shaders.
    pub subgroup_operations: SubgroupOperations,
    /// `shaderSubgroupExtendedTypes`: subgroup operations on 8-, 16- and 64-bit types.
    pub subgroup_extended_types: bool,
    /// `storageBuffer8BitAccess`.
    pub storage_buffer_8bit: bool,
    /// `storageBuffer16BitAccess`.
    pub storage_buffer_16bit: bool,
    /// `shaderFloat16`.
    pub shader_float16: bool,
    /// `shaderInt8`.
    pub shader_int8: bool,
    /// `shaderInt16`.
    pub shader_int16: bool,
    /// `shaderInt64`.
    pub shader_int64: bool,
    /// `shaderFloat64`.
    pub shader_float64: bool,
    /// `shaderIntegerDotProduct`.
    pub integer_dot_product: bool,
    /// `integerDotProduct4x8BitPackedSignedAccelerated`: the packed signed product has its own instruction.
    pub integer_dot_product_4x8_packed_signed_accelerated: bool,
    /// `hostQueryReset`.
    pub host_query_reset: bool,
    /// `VK_KHR_cooperative_matrix` is listed and its feature is on.
    pub cooperative_matrix: bool,
    /// The shapes of `VK_KHR_cooperative_matrix`; empty without it.
    pub cooperative_matrix_shapes: Vec<CooperativeMatrixShape>,
    /// `VK_NV_cooperative_matrix2`, where it is listed.
    pub cooperative_matrix2: Option<CooperativeMatrix2>,
    /// `VK_KHR_shader_bfloat16` is listed and the type can be used.
    pub bfloat16: bool,
    /// bfloat16 dot products.
    pub bfloat16_dot_product: bool,
    /// bfloat16 in cooperative matrices.
    pub bfloat16_cooperative_matrix: bool,
    /// `VK_EXT_memory_budget`.
    pub memory_budget: bool,
    /// `VK_KHR_pipeline_executable_properties`: registers and spills of a pipeline can be read.
    pub pipeline_executable_properties: bool,
    /// `VK_KHR_portability_subset` is listed: the driver translates to another API.
    pub portability_subset: bool,
}

/// The subgroup operations a compute shader may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Vulkan's
pub struct SubgroupOperations {
    pub basic: bool,
    pub vote: bool,
    pub arithmetic: bool,
    pub ballot: bool,
    pub shuffle: bool,
    pub shuffle_relative: bool,
    pub clustered: bool,
    pub quad: bool,
}

impl Features {
    /// What the device lacks of what everything here requires.
    pub(crate) fn missing(&self) -> Option<String> {
        let required = [
            (self.buffer_device_address, "bufferDeviceAddress"),
            (self.timeline_semaphore, "timelineSemaphore"),
            (self.synchronization2, "synchronization2"),
            (self.maintenance4, "maintenance4"),
        ];
        let missing: Vec<_> = required.iter().filter(|(has, _)| !has).map(|(_, name)| *name).collect();
        (!missing.is_empty()).then(|| format!("no {}", missing.join(", no ")))
    }

    /// Asks the driver. Structures of an extension are passed only where the extension is listed.
    pub(crate) fn query(
        entry: &ash::Entry,
        instance: &ash::Instance,
        device: vk::PhysicalDevice,
        extensions: &BTreeSet<CString>,
    ) -> Self {
        let has = |name: &CStr| extensions.contains(name);
        let mut f = Chain::default();
        let mut info = vk::PhysicalDeviceFeatures2::default()
            .push_next(&mut f.vulkan_11)
            .push_next(&mut f.vulkan_12)
            .push_next(&mut f.vulkan_13);
        if has(khr::cooperative_matrix::NAME) {
            info = info.push_next(&mut f.cooperative_matrix);
        }
        if has(NV_COOPERATIVE_MATRIX_2) {
            info = info.push_next(&mut f.cooperative_matrix2);
        }
        if has(KHR_SHADER_BFLOAT16) {
            info = info.push_next(&mut f.bfloat16);
        }
        if has(khr::pipeline_executable_properties::NAME) {
            info = info.push_next(&mut f.pipeline_executable);
        }
        // SAFETY: the device is at least Vulkan 1.3, and every chained structure is one it knows.
        unsafe { instance.get_physical_device_features2(device, &mut info) };
        let core = info.features;

        let mut p11 = vk::PhysicalDeviceVulkan11Properties::default();
        let mut p13 = vk::PhysicalDeviceVulkan13Properties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut p11).push_next(&mut p13);
        // SAFETY: as above.
        unsafe { instance.get_physical_device_properties2(device, &mut properties) };

        let cooperative_matrix =
            has(khr::cooperative_matrix::NAME) && f.cooperative_matrix.cooperative_matrix == vk::TRUE;
        Self {
            buffer_device_address: f.vulkan_12.buffer_device_address == vk::TRUE,
            timeline_semaphore: f.vulkan_12.timeline_semaphore == vk::TRUE,
            synchronization2: f.vulkan_13.synchronization2 == vk::TRUE,
            maintenance4: f.vulkan_13.maintenance4 == vk::TRUE,
            vulkan_memory_model: f.vulkan_12.vulkan_memory_model == vk::TRUE,
            vulkan_memory_model_device_scope: f.vulkan_12.vulkan_memory_model_device_scope == vk::TRUE,
            scalar_block_layout: f.vulkan_12.scalar_block_layout == vk::TRUE,
            subgroup_size_control: f.vulkan_13.subgroup_size_control == vk::TRUE
                && p13.required_subgroup_size_stages.contains(vk::ShaderStageFlags::COMPUTE),
            compute_full_subgroups: f.vulkan_13.compute_full_subgroups == vk::TRUE,
            subgroup_size: p11.subgroup_size,
            min_subgroup_size: p13.min_subgroup_size,
            max_subgroup_size: p13.max_subgroup_size,
            subgroup_operations: SubgroupOperations::new(&p11),
            subgroup_extended_types: f.vulkan_12.shader_subgroup_extended_types == vk::TRUE,
            storage_buffer_8bit: f.vulkan_12.storage_buffer8_bit_access == vk::TRUE,
            storage_buffer_16bit: f.vulkan_11.storage_buffer16_bit_access == vk::TRUE,
            shader_float16: f.vulkan_12.shader_float16 == vk::TRUE,
            shader_int8: f.vulkan_12.shader_int8 == vk::TRUE,
            shader_int16: core.shader_int16 == vk::TRUE,
            shader_int64: core.shader_int64 == vk::TRUE,
            shader_float64: core.shader_float64 == vk::TRUE,
            integer_dot_product: f.vulkan_13.shader_integer_dot_product == vk::TRUE,
            integer_dot_product_4x8_packed_signed_accelerated: p13
                .integer_dot_product4x8_bit_packed_signed_accelerated
                == vk::TRUE,
            host_query_reset: f.vulkan_12.host_query_reset == vk::TRUE,
            cooperative_matrix,
            cooperative_matrix_shapes: match cooperative_matrix {
                true => shapes(entry, instance, device),
                false => Vec::new(),
            },
            cooperative_matrix2: (cooperative_matrix && has(NV_COOPERATIVE_MATRIX_2))
                .then(|| (&f.cooperative_matrix2).into()),
            bfloat16: f.bfloat16.shader_bfloat16_type == vk::TRUE,
            bfloat16_dot_product: f.bfloat16.shader_bfloat16_dot_product == vk::TRUE,
            bfloat16_cooperative_matrix: f.bfloat16.shader_bfloat16_cooperative_matrix == vk::TRUE,
            memory_budget: has(ext::memory_budget::NAME),
            pipeline_executable_properties: f.pipeline_executable.pipeline_executable_info == vk::TRUE,
            portability_subset: has(khr::portability_subset::NAME),
        }
    }

    /// Whether subgroups multiply f16 matrices of 16 × 16, and sum in f32.
    pub fn multiplies_f16_squares(&self) -> bool {
        let [half, single] = [ComponentType::F16, ComponentType::F32];
        self.vulkan_memory_model
            && self.shader_float16
            && self.cooperative_matrix_shapes.iter().any(|shape| {
                [shape.m, shape.n, shape.k] == [16; 3]
                    && [shape.a, shape.b, shape.c, shape.result] == [half, half, single, single]
                    && shape.scope == MatrixScope::Subgroup
            })
    }

    /// The structures that switch on exactly what the device has and this program uses.
    pub(crate) fn chain(&self, statistics: bool) -> Chain<'static> {
        let core = vk::PhysicalDeviceFeatures::default()
            .shader_int16(self.shader_int16)
            .shader_int64(self.shader_int64)
            .shader_float64(self.shader_float64);
        let mut chain = Chain {
            core,
            vulkan_11: vk::PhysicalDeviceVulkan11Features::default()
                .storage_buffer16_bit_access(self.storage_buffer_16bit),
            vulkan_12: vk::PhysicalDeviceVulkan12Features::default()
                .buffer_device_address(true)
                .timeline_semaphore(true)
                .vulkan_memory_model(self.vulkan_memory_model)
                .vulkan_memory_model_device_scope(self.vulkan_memory_model_device_scope)
                .scalar_block_layout(self.scalar_block_layout)
                .shader_subgroup_extended_types(self.subgroup_extended_types)
                .storage_buffer8_bit_access(self.storage_buffer_8bit)
                .shader_float16(self.shader_float16)
                .shader_int8(self.shader_int8)
                .host_query_reset(self.host_query_reset),
            vulkan_13: vk::PhysicalDeviceVulkan13Features::default()
                .synchronization2(true)
                .maintenance4(self.maintenance4)
                .subgroup_size_control(self.subgroup_size_control)
                .compute_full_subgroups(self.compute_full_subgroups)
                .shader_integer_dot_product(self.integer_dot_product),
            ..Chain::default()
        };
        chain.cooperative_matrix.cooperative_matrix = self.cooperative_matrix.into();
        if let Some(parts) = self.cooperative_matrix2 {
            chain.cooperative_matrix2 = parts.into();
        }
        chain.bfloat16.shader_bfloat16_type = self.bfloat16.into();
        chain.bfloat16.shader_bfloat16_dot_product = self.bfloat16_dot_product.into();
        chain.bfloat16.shader_bfloat16_cooperative_matrix = self.bfloat16_cooperative_matrix.into();
        chain.pipeline_executable.pipeline_executable_info =
            (statistics && self.pipeline_executable_properties).into();
        chain
    }

    /// The device extensions that [`Features::chain`] needs switched on.
    pub(crate) fn extensions(&self, statistics: bool) -> Vec<&'static CStr> {
        [
            (self.cooperative_matrix, khr::cooperative_matrix::NAME),
            (self.cooperative_matrix2.is_some(), NV_COOPERATIVE_MATRIX_2),
            (self.bfloat16, KHR_SHADER_BFLOAT16),
            (self.memory_budget, ext::memory_budget::NAME),
            (statistics && self.pipeline_executable_properties, khr::pipeline_executable_properties::NAME),
            (self.portability_subset, khr::portability_subset::NAME),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
    }
}

/// The feature structures, for the query and for the device's creation.
#[derive(Default)]
pub(crate) struct Chain<'a> {
    pub(crate) core: vk::PhysicalDeviceFeatures,
    pub(crate) vulkan_11: vk::PhysicalDeviceVulkan11Features<'a>,
    pub(crate) vulkan_12: vk::PhysicalDeviceVulkan12Features<'a>,
    pub(crate) vulkan_13: vk::PhysicalDeviceVulkan13Features<'a>,
    pub(crate) cooperative_matrix: vk::PhysicalDeviceCooperativeMatrixFeaturesKHR<'a>,
    pub(crate) cooperative_matrix2: CooperativeMatrix2Features,
    pub(crate) bfloat16: ShaderBfloat16Features,
    pub(crate) pipeline_executable: vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR<'a>,
}

impl SubgroupOperations {
    fn new(properties: &vk::PhysicalDeviceVulkan11Properties<'_>) -> Self {
        let in_compute = properties.subgroup_supported_stages.contains(vk::ShaderStageFlags::COMPUTE);
        let has = |flag| in_compute && properties.subgroup_supported_operations.contains(flag);
        Self {
            basic: has(vk::SubgroupFeatureFlags::BASIC),
            vote: has(vk::SubgroupFeatureFlags::VOTE),
            arithmetic: has(vk::SubgroupFeatureFlags::ARITHMETIC),
            ballot: has(vk::SubgroupFeatureFlags::BALLOT),
            shuffle: has(vk::SubgroupFeatureFlags::SHUFFLE),
            shuffle_relative: has(vk::SubgroupFeatureFlags::SHUFFLE_RELATIVE),
            clustered: has(vk::SubgroupFeatureFlags::CLUSTERED),
            quad: has(vk::SubgroupFeatureFlags::QUAD),
        }
    }
}
