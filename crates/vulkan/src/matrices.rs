//! Cooperative matrices: which shapes a device multiplies, and what of the second NVIDIA extension it has.

use crate::newer::{COMPONENT_TYPE_BFLOAT16, CooperativeMatrix2Features};
use ash::{khr, vk};

/// One matrix shape of `VK_KHR_cooperative_matrix`: `result[m, n] = a[m, k] · b[k, n] + c[m, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Vulkan's
pub struct CooperativeMatrixShape {
    pub m: u32,
    pub n: u32,
    pub k: u32,
    pub a: ComponentType,
    pub b: ComponentType,
    pub c: ComponentType,
    pub result: ComponentType,
    pub saturating_accumulation: bool,
    pub scope: MatrixScope,
}

/// The element type of a cooperative matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Vulkan's
pub enum ComponentType {
    F16,
    F32,
    F64,
    Bf16,
    S8,
    S16,
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    /// One newer than this program, by its number.
    Other(i32),
}

/// Who holds a cooperative matrix together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Vulkan's
pub enum MatrixScope {
    Subgroup,
    Workgroup,
    Other(i32),
}

/// The parts of `VK_NV_cooperative_matrix2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Vulkan's
pub struct CooperativeMatrix2 {
    pub workgroup_scope: bool,
    pub flexible_dimensions: bool,
    pub reductions: bool,
    pub conversions: bool,
    pub per_element_operations: bool,
    pub tensor_addressing: bool,
    pub block_loads: bool,
}

/// The shapes of `VK_KHR_cooperative_matrix`, which the device must list.
pub(crate) fn shapes(
    entry: &ash::Entry,
    instance: &ash::Instance,
    device: vk::PhysicalDevice,
) -> Vec<CooperativeMatrixShape> {
    let functions = khr::cooperative_matrix::Instance::new(entry, instance);
    // SAFETY: the device lists the extension, so the function is there.
    let found = unsafe { functions.get_physical_device_cooperative_matrix_properties(device) };
    found.unwrap_or_default().iter().map(CooperativeMatrixShape::from).collect()
}

impl From<&vk::CooperativeMatrixPropertiesKHR<'_>> for CooperativeMatrixShape {
    fn from(p: &vk::CooperativeMatrixPropertiesKHR<'_>) -> Self {
        Self {
            m: p.m_size,
            n: p.n_size,
            k: p.k_size,
            a: p.a_type.into(),
            b: p.b_type.into(),
            c: p.c_type.into(),
            result: p.result_type.into(),
            saturating_accumulation: p.saturating_accumulation == vk::TRUE,
            scope: match p.scope {
                vk::ScopeKHR::SUBGROUP => MatrixScope::Subgroup,
                vk::ScopeKHR::WORKGROUP => MatrixScope::Workgroup,
                other => MatrixScope::Other(other.as_raw()),
            },
        }
    }
}

impl From<vk::ComponentTypeKHR> for ComponentType {
    fn from(component: vk::ComponentTypeKHR) -> Self {
        match component {
            vk::ComponentTypeKHR::FLOAT16 => Self::F16,
            vk::ComponentTypeKHR::FLOAT32 => Self::F32,
            vk::ComponentTypeKHR::FLOAT64 => Self::F64,
            vk::ComponentTypeKHR::SINT8 => Self::S8,
            vk::ComponentTypeKHR::SINT16 => Self::S16,
            vk::ComponentTypeKHR::SINT32 => Self::S32,
            vk::ComponentTypeKHR::SINT64 => Self::S64,
            vk::ComponentTypeKHR::UINT8 => Self::U8,
            vk::ComponentTypeKHR::UINT16 => Self::U16,
            vk::ComponentTypeKHR::UINT32 => Self::U32,
            vk::ComponentTypeKHR::UINT64 => Self::U64,
            other if other.as_raw() == COMPONENT_TYPE_BFLOAT16 => Self::Bf16,
            other => Self::Other(other.as_raw()),
        }
    }
}

impl From<&CooperativeMatrix2Features> for CooperativeMatrix2 {
    fn from(f: &CooperativeMatrix2Features) -> Self {
        Self {
            workgroup_scope: f.workgroup_scope == vk::TRUE,
            flexible_dimensions: f.flexible_dimensions == vk::TRUE,
            reductions: f.reductions == vk::TRUE,
            conversions: f.conversions == vk::TRUE,
            per_element_operations: f.per_element_operations == vk::TRUE,
            tensor_addressing: f.tensor_addressing == vk::TRUE,
            block_loads: f.block_loads == vk::TRUE,
        }
    }
}

impl From<CooperativeMatrix2> for CooperativeMatrix2Features {
    fn from(parts: CooperativeMatrix2) -> Self {
        Self {
            workgroup_scope: parts.workgroup_scope.into(),
            flexible_dimensions: parts.flexible_dimensions.into(),
            reductions: parts.reductions.into(),
            conversions: parts.conversions.into(),
            per_element_operations: parts.per_element_operations.into(),
            tensor_addressing: parts.tensor_addressing.into(),
            block_loads: parts.block_loads.into(),
            ..Self::default()
        }
    }
}
