//! Compute pipelines: SPIR-V plus specialization, one push-constant range, no descriptors. Equal specs share one.

use crate::cache::Cache;
use crate::error::Error;
use crate::logical::Logical;
use ash::vk;
use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

const SPIRV_MAGIC: u32 = 0x0723_0203;

/// What a pipeline is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct PipelineSpec<'a> {
    /// The kernel's name: in the ledger, in errors and in profiles.
    pub name: &'a str,
    /// The shader, with the entry point `main`. Need not be aligned.
    pub spirv: &'a [u8],
    /// Bytes of push constants, a multiple of 4.
    pub push_bytes: u32,
    /// Specialization constants; the place in the slice is the `constant_id`.
    pub specialization: &'a [u32],
    /// The subgroup size that the shader is written for.
    pub required_subgroup_size: Option<u32>,
    /// Every subgroup is full: the workgroup's width is a multiple of the subgroup size.
    pub full_subgroups: bool,
}

/// A compute pipeline. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

/// One figure that the driver gives about a pipeline, such as its registers or its spills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic {
    /// The part of the pipeline.
    pub executable: String,
    /// What it says.
    pub name: String,
    /// The value as text.
    pub value: String,
}

struct Inner {
    logical: Arc<Logical>,
    name: Arc<str>,
    push_bytes: u32,
    layout: vk::PipelineLayout,
    raw: vk::Pipeline,
}

impl Pipeline {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Bytes of push constants that each dispatch takes.
    pub fn push_bytes(&self) -> u32 {
        self.0.push_bytes
    }

    /// Whether two handles are to the same pipeline.
    pub fn is(&self, other: &Pipeline) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn raw(&self) -> vk::Pipeline {
        self.0.raw
    }

    pub(crate) fn layout(&self) -> vk::PipelineLayout {
        self.0.layout
    }

    pub(crate) fn is_of(&self, logical: &Logical) -> bool {
        std::ptr::eq(&*self.0.logical, logical)
    }

    /// What the driver says about the compiled pipeline. Empty unless the device was opened with
    /// [`crate::Options::statistics`] and has `VK_KHR_pipeline_executable_properties`.
    pub fn statistics(&self) -> Result<Vec<Statistic>, Error> {
        let Some(functions) = &self.0.logical.executables else { return Ok(Vec::new()) };
        let fail =
            |result| self.0.logical.fail(format!("pipeline {}: reading its statistics", self.name()), result);
        let info = vk::PipelineInfoKHR::default().pipeline(self.0.raw);
        // SAFETY: the pipeline lives, and the feature was switched on with the functions.
        let executables = unsafe { functions.get_pipeline_executable_properties(&info) }.map_err(fail)?;
        let mut statistics = Vec::new();
        for (index, executable) in (0..).zip(&executables) {
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(self.0.raw).executable_index(index);
            // SAFETY: as above; the pipeline was made with CAPTURE_STATISTICS and has this executable.
            let found = unsafe { functions.get_pipeline_executable_statistics(&info) }.map_err(fail)?;
            statistics.extend(found.iter().map(|statistic| Statistic {
                executable: text(executable.name_as_c_str()),
                name: text(statistic.name_as_c_str()),
                value: value_text(statistic),
            }));
        }
        Ok(statistics)
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({})", self.0.name)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.logical.is_abandoned() {
            return;
        }
        // SAFETY: recordings hold handles of the pipelines in them until the GPU is done, so this one is unused.
        unsafe {
            self.logical.raw.destroy_pipeline(self.raw, None);
            self.logical.raw.destroy_pipeline_layout(self.layout, None);
        }
    }
}

/// A spec by value. Pipelines that differ only by name are two: the ledger tells them apart.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    name: String,
    spirv: Vec<u8>,
    push_bytes: u32,
    specialization: Vec<u32>,
    required_subgroup_size: Option<u32>,
    full_subgroups: bool,
}

/// A spec's pipeline while somebody holds it. The lock makes a second asker wait for the first one's compilation.
type Entry = Arc<Mutex<Weak<Inner>>>;

/// All pipelines of a device.
pub(crate) struct Pipelines {
    logical: Arc<Logical>,
    pub(crate) cache: Cache,
    made: Mutex<HashMap<Key, Entry>>,
}

impl Pipelines {
    pub(crate) fn new(logical: Arc<Logical>, cache: Cache) -> Self {
        Self { logical, cache, made: Mutex::default() }
    }

    /// The pipeline of a spec: the one that exists, or a new one. Different specs compile in parallel.
    pub(crate) fn get(&self, spec: &PipelineSpec<'_>) -> Result<Pipeline, Error> {
        let words = self.check(spec)?;
        let key = Key {
            name: spec.name.to_owned(),
            spirv: spec.spirv.to_owned(),
            push_bytes: spec.push_bytes,
            specialization: spec.specialization.to_owned(),
            required_subgroup_size: spec.required_subgroup_size,
            full_subgroups: spec.full_subgroups,
        };
        let entry = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry(key).or_default().clone()
        };
        let mut slot = entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = slot.upgrade() {
            return Ok(Pipeline(inner));
        }
        let inner = Arc::new(self.create(spec, &words)?);
        *slot = Arc::downgrade(&inner);
        Ok(Pipeline(inner))
    }

    /// Checks a spec against the device and returns its SPIR-V as words.
    fn check(&self, spec: &PipelineSpec<'_>) -> Result<Vec<u32>, Error> {
        let (features, limits) = (&self.logical.info.features, &self.logical.info.limits);
        assert!(
            spec.push_bytes.is_multiple_of(4),
            "pipeline {}: {} bytes of push constants, which is not a multiple of 4",
            spec.name,
            spec.push_bytes
        );
        let refuse = |reason| Err(Error::Shader { name: spec.name.to_owned(), reason });
        if spec.push_bytes > limits.max_push_constants_bytes {
            return refuse(format!(
                "{} bytes of push constants, but maxPushConstantsSize of this device is {}; move parameters to a buffer",
                spec.push_bytes, limits.max_push_constants_bytes
            ));
        }
        if let Some(size) = spec.required_subgroup_size {
            let (min, max) = (features.min_subgroup_size, features.max_subgroup_size);
            if !features.subgroup_size_control || !size.is_power_of_two() || size < min || size > max {
                return refuse(format!(
                    "needs subgroups of {size}, but this device offers {min} to {max}{}; choose another variant",
                    if features.subgroup_size_control { "" } else { " and lets nobody choose" }
                ));
            }
        }
        if spec.full_subgroups && !features.compute_full_subgroups {
            return refuse("needs full subgroups, which this device lacks (computeFullSubgroups)".to_owned());
        }
        let words: Vec<u32> = spec
            .spirv
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        if !spec.spirv.len().is_multiple_of(4) || words.len() < 5 || words[0] != SPIRV_MAGIC {
            return refuse(format!(
                "{} bytes that are not a little-endian SPIR-V module; compile the shader again",
                spec.spirv.len()
            ));
        }
        Ok(words)
    }

    fn create(&self, spec: &PipelineSpec<'_>, words: &[u32]) -> Result<Inner, Error> {
        let raw = &self.logical.raw;
        let fail = |what: &str, result| self.logical.fail(format!("pipeline {}: {what}", spec.name), result);
        let ranges = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .size(spec.push_bytes)];
        let ranges = if spec.push_bytes == 0 { &[][..] } else { &ranges };
        let layout_info = vk::PipelineLayoutCreateInfo::default().push_constant_ranges(ranges);
        let module_info = vk::ShaderModuleCreateInfo::default().code(words);
        // SAFETY: the device lives; the push constants are within its limit.
        let layout = unsafe { raw.create_pipeline_layout(&layout_info, None) }
            .map_err(|result| fail("creating its layout", result))?;
        // SAFETY: the words are a SPIR-V module by its magic; that it is valid is the kernel author's promise.
        let module = unsafe { raw.create_shader_module(&module_info, None) };
        let made = module.and_then(|module| {
            // SAFETY: the module and the layout were made above.
            let made = unsafe { self.compile(spec, module, layout) };
            // SAFETY: a pipeline does not need its module once it is made.
            unsafe { raw.destroy_shader_module(module, None) };
            made
        });
        match made {
            Ok(pipeline) => {
                self.logical.ledger.pipeline_creation();
                self.logical.name(pipeline, spec.name);
                Ok(Inner {
                    logical: self.logical.clone(),
                    name: spec.name.into(),
                    push_bytes: spec.push_bytes,
                    layout,
                    raw: pipeline,
                })
            }
            Err(result) => {
                // SAFETY: made above, used by nothing.
                unsafe { raw.destroy_pipeline_layout(layout, None) };
                Err(fail("the driver did not compile it", result))
            }
        }
    }

    /// # Safety
    /// The module and the layout are of this device.
    unsafe fn compile(
        &self,
        spec: &PipelineSpec<'_>,
        module: vk::ShaderModule,
        layout: vk::PipelineLayout,
    ) -> Result<vk::Pipeline, vk::Result> {
        let entries: Vec<_> = (0u32..)
            .zip(spec.specialization)
            .map(|(id, _)| vk::SpecializationMapEntry { constant_id: id, offset: 4 * id, size: 4 })
            .collect();
        let data: Vec<u8> = spec.specialization.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let specialization = vk::SpecializationInfo::default().map_entries(&entries).data(&data);
        let mut size = vk::PipelineShaderStageRequiredSubgroupSizeCreateInfo::default()
            .required_subgroup_size(spec.required_subgroup_size.unwrap_or(0));
        const MAIN: &CStr = c"main";
        let mut stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(MAIN)
            .specialization_info(&specialization);
        if spec.full_subgroups {
            stage = stage.flags(vk::PipelineShaderStageCreateFlags::REQUIRE_FULL_SUBGROUPS);
        }
        if spec.required_subgroup_size.is_some() {
            stage = stage.push_next(&mut size);
        }
        let flags = match self.logical.executables {
            Some(_) => vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR,
            None => vk::PipelineCreateFlags::empty(),
        };
        let infos = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags)];
        // SAFETY: all pointers are to locals that outlive the call; the caller vouches for module and layout; the
        // subgroup demands were checked against the device.
        let made = unsafe { self.logical.raw.create_compute_pipelines(self.cache.raw, &infos, None) };
        match made {
            Ok(pipelines) => pipelines.first().copied().ok_or(vk::Result::ERROR_UNKNOWN),
            Err((_, result)) => Err(result),
        }
    }
}

fn text(name: Result<&CStr, std::ffi::FromBytesUntilNulError>) -> String {
    name.map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

fn value_text(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> String {
    // SAFETY: the format says which member of the union the driver wrote.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => (statistic.value.b32 == vk::TRUE).to_string(),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => statistic.value.i64.to_string(),
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => statistic.value.u64.to_string(),
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => statistic.value.f64.to_string(),
            _ => String::new(),
        }
    }
}
