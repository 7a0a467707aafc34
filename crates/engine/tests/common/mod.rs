//! Devices and data for the tests of this folder.
#![allow(dead_code, reason = "each test file uses its part")]

use resident_engine::{Engine, EngineOptions, OpenModel};
use resident_runtime::{Choice, DeviceRequest, SessionOptions, choose, list_devices, validation_available};
use std::path::{Path, PathBuf};

/// A path under the shared test data; None, with a printed reason, where the data is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

/// The CPU device, and the best Vulkan device where there is one.
pub(crate) fn devices() -> Vec<Choice> {
    let listing = list_devices().expect("list devices");
    let requests = [DeviceRequest::Cpu, DeviceRequest::Gpu];
    let found: Vec<Choice> =
        requests.iter().filter_map(|request| choose(&listing, *request, false).ok()).collect();
    let required = std::env::var_os("RESIDENT_REQUIRE_VULKAN").is_some();
    assert!(found.len() == 2 || !required, "RESIDENT_REQUIRE_VULKAN is set and there is no Vulkan device");
    found
}

/// A model made resident, under validation where the layer is installed; pipelines are kept for the other tests.
pub(crate) fn load(model: &OpenModel, choice: &Choice, context: u32, score: bool) -> Engine {
    load_with(model, choice, EngineOptions { score, ..EngineOptions::exact(context) })
}

/// The same with other options.
pub(crate) fn load_with(model: &OpenModel, choice: &Choice, options: EngineOptions) -> Engine {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipelines");
    let session = SessionOptions {
        pipeline_cache_dir: Some(cache),
        validation: validation_available(),
        ..SessionOptions::default()
    };
    let options = EngineOptions { session, ..options };
    Engine::load(model, choice, options, &mut |_, _| {}).unwrap_or_else(|e| panic!("{}: {e}", model.name()))
}
