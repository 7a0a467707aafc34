//! Listing and opening devices.

use crate::fixture::{best_device, with_device};
use resident_ledger::Ledger;
use resident_vulkan::{Device, Error, Options, list_devices, rank, validation_available};
use std::sync::Arc;

#[test]
fn a_listed_device_says_what_it_is() {
    let Some(info) = best_device() else { return };
    assert!(!info.name.is_empty() && !info.driver_name.is_empty() && !info.driver_info.is_empty());
    assert!(info.api_version >= (1, 3, 0));
    assert!(info.uuid != [0; 16]);
    assert!(info.device_local_bytes() > 0 && info.device_local_bytes() <= info.total_heap_bytes());
    assert_eq!(info.budget_bytes().is_some(), info.features.memory_budget);
    let (features, limits) = (&info.features, &info.limits);
    assert!(features.buffer_device_address && features.timeline_semaphore && features.synchronization2);
    assert!(features.min_subgroup_size <= features.subgroup_size);
    assert!(features.subgroup_size <= features.max_subgroup_size);
    assert!(features.subgroup_operations.basic);
    assert!(limits.max_push_constants_bytes >= 128);
    assert!(limits.max_compute_workgroup_invocations >= 128);
    assert!(limits.max_memory_allocation_bytes >= 1 << 30);
    assert!(limits.timestamp_period_ns > 0.0);
}

#[test]
fn cooperative_matrix_is_believed_only_where_the_extension_is_listed() {
    let Some(info) = best_device() else { return };
    // Lavapipe takes such pipelines without listing the extension, and computes NaN.
    if info.driver_name == "llvmpipe" {
        assert!(!info.features.cooperative_matrix && info.features.cooperative_matrix_shapes.is_empty());
        assert!(info.features.cooperative_matrix2.is_none() && !info.features.bfloat16);
        assert!(info.kind.is_software());
    }
    assert_eq!(info.features.cooperative_matrix, !info.features.cooperative_matrix_shapes.is_empty());
}

#[test]
fn listing_twice_gives_the_same_devices() {
    let (Ok(first), Ok(second)) = (list_devices(false), list_devices(false)) else {
        panic!("listing failed")
    };
    let names = |listing: &resident_vulkan::Listing| {
        listing.devices.iter().map(|device| (device.name.clone(), device.uuid)).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), names(&second));
    assert_eq!(first.devices.is_empty(), first.note.is_some());
    assert_eq!(rank(&first.devices).len(), first.devices.len());
}

#[test]
fn an_unusable_or_vanished_device_is_an_error_that_names_it() {
    let Some(info) = best_device() else { return };
    let open = |info| Device::open(&info, Arc::new(Ledger::new()), Options::default()).map(|_| ());

    let mut unusable = info.clone();
    unusable.unusable = Some("no bufferDeviceAddress".to_owned());
    let error = open(unusable).expect_err("an unusable device opened");
    assert!(matches!(&error, Error::Unusable { .. }), "{error}");
    assert!(error.to_string().contains(&info.name) && error.to_string().contains("no bufferDeviceAddress"));

    let mut gone = info.clone();
    gone.uuid = [0xee; 16];
    let error = open(gone).expect_err("a device that is not there opened");
    assert!(matches!(error, Error::DeviceGone { .. }), "{error}");
}

#[test]
fn a_device_is_found_again_at_another_place() {
    let Some(mut info) = best_device() else { return };
    info.index += 17;
    Device::open(&info, Arc::new(Ledger::new()), Options::default()).expect("found by its uuid");
}

#[test]
fn validation_is_an_error_where_it_is_not_installed() {
    let Some(info) = best_device() else { return };
    let options = Options { validation: true, ..Options::default() };
    let opened = Device::open(&info, Arc::new(Ledger::new()), options);
    assert_eq!(opened.is_ok(), validation_available());
    if let Err(error) = opened {
        assert!(matches!(error, Error::NoValidation), "{error}");
    }
}

#[test]
fn two_devices_live_side_by_side() {
    with_device(|one| {
        with_device(|other| {
            let (a, b) = (one.words("a", &[1, 2, 3]), other.words("b", &[4, 5, 6]));
            assert_eq!((one.read_words(&a), other.read_words(&b)), (vec![1, 2, 3], vec![4, 5, 6]));
        });
    });
}
