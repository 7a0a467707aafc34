//! Lists the devices that Vulkan offers, with everything a choice among them needs.

use crate::error::Error;
use crate::features::Features;
use crate::instance::Instance;
use crate::limits::Limits;
use ash::vk;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fmt;

/// What sort of device it is. Software counts as CPU in every gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// A GPU with its own memory.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU passed into a virtual machine.
    Virtual,
    /// Something else.
    #[default]
    Other,
    /// A software driver on the CPU, such as lavapipe.
    Cpu,
}

impl DeviceKind {
    /// Whether it is a software driver.
    pub fn is_software(self) -> bool {
        self == DeviceKind::Cpu
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Discrete => "discrete",
            DeviceKind::Integrated => "integrated",
            DeviceKind::Virtual => "virtual",
            DeviceKind::Other => "unknown kind",
            DeviceKind::Cpu => "software",
        })
    }
}

/// One memory heap of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Its size.
    pub bytes: u64,
    /// Whether it is the device's own memory.
    pub device_local: bool,
    /// What this process may use of it in all, where the driver says so.
    pub budget_bytes: Option<u64>,
}

/// A device as listed: identity, memory, abilities, limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceInfo {
    /// Its place in the loader's listing.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
    /// PCI vendor.
    pub vendor_id: u32,
    /// PCI device.
    pub device_id: u32,
    /// The driver's name.
    pub driver_name: String,
    /// The driver's version, in its own words.
    pub driver_info: String,
    /// The driver's version, as a number only the vendor can read.
    pub driver_version: u32,
    /// The Vulkan version, as `(major, minor, patch)`.
    pub api_version: (u32, u32, u32),
    /// Names this very device across instances and processes.
    pub uuid: [u8; 16],
    /// Names the format of its pipeline caches.
    pub pipeline_cache_uuid: [u8; 16],
    /// Its memory heaps.
    pub heaps: Vec<Heap>,
    /// The family of the queue that everything goes to.
    pub queue_family: u32,
    /// What it can do.
    pub features: Features,
    /// How far it can go.
    pub limits: Limits,
    /// Why it cannot be used at all, if so.
    pub unusable: Option<String>,
}

impl DeviceInfo {
    /// Device-local memory, summed over all heaps.
    pub fn device_local_bytes(&self) -> u64 {
        self.heaps.iter().filter(|heap| heap.device_local).map(|heap| heap.bytes).sum()
    }

    /// All memory, summed over all heaps.
    pub fn total_heap_bytes(&self) -> u64 {
        self.heaps.iter().map(|heap| heap.bytes).sum()
    }

    /// What this process may use for buffers: the device-local heaps, on a GPU that shares the host's memory all of them, as
    /// far as the driver's budget goes.
    pub fn available_bytes(&self) -> u64 {
        let heaps = self.heaps.iter().filter(|heap| heap.device_local || self.kind == DeviceKind::Integrated);
        heaps.map(|heap| heap.budget_bytes.unwrap_or(heap.bytes).min(heap.bytes)).fold(0, u64::saturating_add)
    }

    /// What this process may use of the device-local memory, where the driver says so.
    pub fn budget_bytes(&self) -> Option<u64> {
        let local = self.heaps.iter().filter(|heap| heap.device_local);
        local.map(|heap| heap.budget_bytes).sum()
    }
}

/// The devices, and where there are none the reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// In the loader's order.
    pub devices: Vec<DeviceInfo>,
    /// Why there is none: no loader, no driver.
    pub note: Option<String>,
}

/// Lists all devices, usable or not. Without a loader or a driver the list is empty and the note says why.
pub fn list_devices(validation: bool) -> Result<Listing, Error> {
    let instance = match Instance::new(validation) {
        Ok(instance) => instance,
        Err(Error::NoVulkan { reason }) => return Ok(Listing { devices: Vec::new(), note: Some(reason) }),
        Err(error) => return Err(error),
    };
    let physical = match instance.physical_devices() {
        Ok(physical) => physical,
        // What a loader answers that found drivers, but none that could start.
        Err(Error::Vulkan { result: vk::Result::ERROR_INITIALIZATION_FAILED, .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let devices: Vec<_> =
        physical.iter().enumerate().map(|(index, &device)| describe(&instance, index, device)).collect();
    let note = devices.is_empty().then(|| "Vulkan is installed, but its drivers offer no device".to_owned());
    Ok(Listing { devices, note })
}

/// Finds a listed device in another instance: by its place and identity, else by identity alone.
pub(crate) fn find(instance: &Instance, info: &DeviceInfo) -> Result<vk::PhysicalDevice, Error> {
    let devices = instance.physical_devices()?;
    let same = |device: &vk::PhysicalDevice| identity(instance, *device) == (info.uuid, info.name.clone());
    let at_its_place = devices.get(info.index).filter(|device| same(device));
    at_its_place
        .or_else(|| devices.iter().find(|device| same(device)))
        .copied()
        .ok_or_else(|| Error::DeviceGone { index: info.index, name: info.name.clone() })
}

fn identity(instance: &Instance, device: vk::PhysicalDevice) -> ([u8; 16], String) {
    let mut id = vk::PhysicalDeviceIDProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut id);
    // SAFETY: the device belongs to the instance, which is at least 1.1.
    unsafe { instance.raw.get_physical_device_properties2(device, &mut properties) };
    let name = text(properties.properties.device_name_as_c_str());
    (id.device_uuid, name)
}

fn describe(instance: &Instance, index: usize, device: vk::PhysicalDevice) -> DeviceInfo {
    // SAFETY: the device belongs to the instance.
    let core = unsafe { instance.raw.get_physical_device_properties(device) };
    let version = core.api_version;
    let api_version =
        (vk::api_version_major(version), vk::api_version_minor(version), vk::api_version_patch(version));
    let mut info = DeviceInfo {
        index,
        name: text(core.device_name_as_c_str()),
        kind: match core.device_type {
            vk::PhysicalDeviceType::DISCRETE_GPU => DeviceKind::Discrete,
            vk::PhysicalDeviceType::INTEGRATED_GPU => DeviceKind::Integrated,
            vk::PhysicalDeviceType::VIRTUAL_GPU => DeviceKind::Virtual,
            vk::PhysicalDeviceType::CPU => DeviceKind::Cpu,
            _ => DeviceKind::Other,
        },
        vendor_id: core.vendor_id,
        device_id: core.device_id,
        driver_version: core.driver_version,
        api_version,
        pipeline_cache_uuid: core.pipeline_cache_uuid,
        ..DeviceInfo::default()
    };
    if version < vk::API_VERSION_1_3 {
        info.heaps = heaps(instance, device, false);
        info.unusable = Some(format!("Vulkan {}.{}; needs 1.3", api_version.0, api_version.1));
        return info;
    }

    let mut id = vk::PhysicalDeviceIDProperties::default();
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut p11 = vk::PhysicalDeviceVulkan11Properties::default();
    let mut p13 = vk::PhysicalDeviceVulkan13Properties::default();
    // The ID structure is part of the Vulkan 1.1 one, so the two must not stand in one chain.
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut id).push_next(&mut driver);
    // SAFETY: the device is at least Vulkan 1.3 and knows all chained structures.
    unsafe { instance.raw.get_physical_device_properties2(device, &mut properties) };
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut p11).push_next(&mut p13);
    // SAFETY: as above.
    unsafe { instance.raw.get_physical_device_properties2(device, &mut properties) };

    info.uuid = id.device_uuid;
    info.driver_name = text(driver.driver_name_as_c_str());
    info.driver_info = text(driver.driver_info_as_c_str());
    info.features = Features::query(&instance.entry, &instance.raw, device, &extensions(instance, device));
    info.heaps = heaps(instance, device, info.features.memory_budget);
    let family = compute_family(instance, device);
    info.queue_family = family.map_or(0, |(index, _)| index);
    info.limits = Limits::new(&core.limits, &p11, &p13, family.map_or(0, |(_, bits)| bits));
    info.unusable = match family {
        None => Some("no queue for compute".to_owned()),
        Some(_) => info.features.missing(),
    };
    info
}

/// The first family with compute (on most cards the one that also draws) and the valid bits of its timestamps.
fn compute_family(instance: &Instance, device: vk::PhysicalDevice) -> Option<(u32, u32)> {
    // SAFETY: the device belongs to the instance.
    let families = unsafe { instance.raw.get_physical_device_queue_family_properties(device) };
    (0..)
        .zip(&families)
        .find(|(_, family)| family.queue_flags.contains(vk::QueueFlags::COMPUTE))
        .map(|(index, family)| (index, family.timestamp_valid_bits))
}

fn extensions(instance: &Instance, device: vk::PhysicalDevice) -> BTreeSet<CString> {
    // SAFETY: the device belongs to the instance.
    let listed = unsafe { instance.raw.enumerate_device_extension_properties(device) }.unwrap_or_default();
    listed.iter().filter_map(|e| e.extension_name_as_c_str().ok().map(CStr::to_owned)).collect()
}

fn heaps(instance: &Instance, device: vk::PhysicalDevice, has_budget: bool) -> Vec<Heap> {
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut memory = vk::PhysicalDeviceMemoryProperties2::default();
    if has_budget {
        memory = memory.push_next(&mut budget);
    }
    // SAFETY: the device belongs to the instance, and the budget is chained only where its extension is listed.
    unsafe { instance.raw.get_physical_device_memory_properties2(device, &mut memory) };
    let memory = memory.memory_properties;
    memory
        .memory_heaps_as_slice()
        .iter()
        .zip(budget.heap_budget)
        .map(|(heap, budget)| Heap {
            bytes: heap.size,
            device_local: heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL),
            budget_bytes: has_budget.then_some(budget),
        })
        .collect()
}

fn text(name: Result<&CStr, std::ffi::FromBytesUntilNulError>) -> String {
    name.map_or_else(|_| "(unnamed)".to_owned(), |name| name.to_string_lossy().into_owned())
}
