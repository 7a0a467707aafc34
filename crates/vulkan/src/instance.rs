//! The Vulkan instance: the loader, the validation layer and the messages it sends.

use crate::error::Error;
use ash::{ext, khr, vk};
use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, PoisonError};

const VALIDATION_LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";
/// More messages than a reader wants; a broken loop must not fill the memory.
const MAX_MESSAGES: usize = 1000;

/// Shared with the validation layer's callback.
type Messages = Mutex<Vec<String>>;

/// The validation layer's warnings and errors: a handle that outlives the device, since leaks are reported at its end.
#[derive(Clone, Debug, Default)]
pub struct ValidationLog(Arc<Messages>);

impl ValidationLog {
    /// All messages so far. Empty when all is well, and when validation is off.
    pub fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A Vulkan 1.3 instance. Destroyed at the drop, so it must outlive what was made from it.
pub(crate) struct Instance {
    pub(crate) raw: ash::Instance,
    messenger: Option<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    pub(crate) log: ValidationLog,
    // Keeps the loader's library mapped; dropped last.
    pub(crate) entry: ash::Entry,
}

/// Whether the Khronos validation layer is installed.
pub fn validation_available() -> bool {
    load_entry().is_ok_and(|entry| has_validation(&entry))
}

fn load_entry() -> Result<ash::Entry, Error> {
    // SAFETY: the loader's library is the system's own; its initialisers are those of every Vulkan program.
    unsafe { ash::Entry::load() }.map_err(|error| Error::NoVulkan {
        reason: format!(
            "the Vulkan loader could not be loaded ({error}); install libvulkan1 or the GPU's driver"
        ),
    })
}

fn has_validation(entry: &ash::Entry) -> bool {
    // SAFETY: a global function without preconditions.
    let layers = unsafe { entry.enumerate_instance_layer_properties() }.unwrap_or_default();
    layers.iter().any(|layer| layer.layer_name_as_c_str() == Ok(VALIDATION_LAYER))
}

impl Instance {
    /// Loads Vulkan and makes an instance, with validation where asked.
    pub(crate) fn new(validation: bool) -> Result<Self, Error> {
        let entry = load_entry()?;
        if validation && !has_validation(&entry) {
            return Err(Error::NoValidation);
        }
        // SAFETY: a global function without preconditions.
        let version = unsafe { entry.try_enumerate_instance_version() }
            .map_err(|result| Error::vulkan("asking for the instance version", result))?
            .unwrap_or(vk::API_VERSION_1_0);
        if version < vk::API_VERSION_1_3 {
            let (major, minor) = (vk::api_version_major(version), vk::api_version_minor(version));
            return Err(Error::NoVulkan {
                reason: format!("the Vulkan loader is version {major}.{minor}; 1.3 is needed, update it"),
            });
        }

        let log = ValidationLog::default();
        let raw = create(&entry, validation)?;
        let messenger = validation.then(|| create_messenger(&entry, &raw, &log)).transpose();
        match messenger {
            Ok(messenger) => Ok(Self { raw, messenger, log, entry }),
            Err(error) => {
                // SAFETY: made above, and nothing was made from it.
                unsafe { raw.destroy_instance(None) };
                Err(error)
            }
        }
    }

    /// Whether the instance has the validation layer.
    pub(crate) fn validates(&self) -> bool {
        self.messenger.is_some()
    }

    /// All physical devices, in the loader's order.
    pub(crate) fn physical_devices(&self) -> Result<Vec<vk::PhysicalDevice>, Error> {
        // SAFETY: the instance lives.
        unsafe { self.raw.enumerate_physical_devices() }
            .map_err(|result| Error::vulkan("listing the physical devices", result))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: whoever owns an Instance drops it after everything made from it; the messenger is made from it here.
        unsafe {
            if let Some((functions, messenger)) = self.messenger.take() {
                functions.destroy_debug_utils_messenger(messenger, None);
            }
            self.raw.destroy_instance(None);
        }
    }
}

fn create(entry: &ash::Entry, validation: bool) -> Result<ash::Instance, Error> {
    // SAFETY: a global function without preconditions.
    let offered = unsafe { entry.enumerate_instance_extension_properties(None) }
        .map_err(|result| Error::vulkan("listing the instance extensions", result))?;
    let has = |name| offered.iter().any(|extension| extension.extension_name_as_c_str() == Ok(name));

    let mut extensions = Vec::new();
    let mut flags = vk::InstanceCreateFlags::empty();
    // Drivers that translate to another API (MoltenVK) are listed only when asked for.
    if has(khr::portability_enumeration::NAME) {
        extensions.push(khr::portability_enumeration::NAME.as_ptr());
        flags |= vk::InstanceCreateFlags::ENUMERATE_PORTABILITY_KHR;
    }
    let mut layers = Vec::new();
    if validation {
        layers.push(VALIDATION_LAYER.as_ptr());
        extensions.push(ext::debug_utils::NAME.as_ptr());
        extensions.push(ext::validation_features::NAME.as_ptr());
    }
    let application = vk::ApplicationInfo::default()
        .application_name(c"resident")
        .engine_name(c"resident")
        .api_version(vk::API_VERSION_1_3);
    let checks = [vk::ValidationFeatureEnableEXT::SYNCHRONIZATION_VALIDATION];
    let mut extra_checks = vk::ValidationFeaturesEXT::default().enabled_validation_features(if validation {
        &checks
    } else {
        &[]
    });
    let mut info = vk::InstanceCreateInfo::default()
        .application_info(&application)
        .enabled_layer_names(&layers)
        .enabled_extension_names(&extensions)
        .flags(flags);
    if validation {
        info = info.push_next(&mut extra_checks);
    }
    // SAFETY: all pointers of `info` are to locals that outlive the call.
    unsafe { entry.create_instance(&info, None) }.map_err(|result| match result {
        vk::Result::ERROR_INCOMPATIBLE_DRIVER => Error::NoVulkan {
            reason: "the Vulkan loader found no driver; install the GPU's driver, or Mesa's lavapipe"
                .to_owned(),
        },
        result => Error::vulkan("creating the Vulkan instance", result),
    })
}

fn create_messenger(
    entry: &ash::Entry,
    instance: &ash::Instance,
    log: &ValidationLog,
) -> Result<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT), Error> {
    let functions = ext::debug_utils::Instance::new(entry, instance);
    let info = vk::DebugUtilsMessengerCreateInfoEXT::default()
        .message_severity(
            vk::DebugUtilsMessageSeverityFlagsEXT::WARNING | vk::DebugUtilsMessageSeverityFlagsEXT::ERROR,
        )
        .message_type(
            vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION | vk::DebugUtilsMessageTypeFlagsEXT::PERFORMANCE,
        )
        .pfn_user_callback(Some(collect_message))
        .user_data(Arc::as_ptr(&log.0).cast_mut().cast::<c_void>());
    // SAFETY: `user_data` points into the Arc that the Instance keeps until after the messenger is destroyed.
    let messenger = unsafe { functions.create_debug_utils_messenger(&info, None) }
        .map_err(|result| Error::vulkan("creating the debug messenger", result))?;
    Ok((functions, messenger))
}

/// Called by the validation layer, on whatever thread made the faulty call.
unsafe extern "system" fn collect_message(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    user_data: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the layer passes valid data, and `user_data` is the Messages that the Instance keeps alive.
    let (data, messages) = unsafe { (&*data, &*user_data.cast::<Messages>()) };
    let text = match data.p_message.is_null() {
        true => Cow::Borrowed("(a message without text)"),
        // SAFETY: not null, and by the specification a NUL-terminated string.
        false => unsafe { CStr::from_ptr(data.p_message) }.to_string_lossy(),
    };
    if let Ok(mut messages) = messages.lock()
        && messages.len() < MAX_MESSAGES
    {
        messages.push(text.into_owned());
    }
    vk::FALSE
}
