//! The choice of a device: which is best, and why, in words a reader can check.

use crate::devices::{DeviceInfo, DeviceKind};
use crate::error::format_bytes;
use std::cmp::Reverse;

/// A device's place in the ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// [`DeviceInfo::index`].
    pub index: usize,
    /// Why it stands here.
    pub reason: String,
}

/// Ranks devices, best first: discrete before integrated before virtual before software, then device-local memory
/// summed over all heaps, then the order listed. Unusable ones come last.
pub fn rank(devices: &[DeviceInfo]) -> Vec<Ranked> {
    let mut order: Vec<&DeviceInfo> = devices.iter().collect();
    order.sort_by_key(|device| {
        (device.unusable.is_some(), kind_rank(device.kind), Reverse(device.device_local_bytes()))
    });
    let usable = order.iter().filter(|device| device.unusable.is_none()).count();
    let mut ranked = Vec::with_capacity(order.len());
    for (place, device) in order.iter().enumerate() {
        let reason = match (&device.unusable, place) {
            (Some(why), _) => format!("unusable: {why}"),
            (None, 0) => first_reason(device, usable),
            (None, place) => later_reason(device, order[place - 1]),
        };
        ranked.push(Ranked { index: device.index, reason });
    }
    ranked
}

fn kind_rank(kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Virtual => 2,
        DeviceKind::Other => 3,
        DeviceKind::Cpu => 4,
    }
}

fn first_reason(device: &DeviceInfo, usable: usize) -> String {
    let memory = format_bytes(device.device_local_bytes());
    let among = match usable {
        1 => "the only usable device".to_owned(),
        n => format!("first of {n} usable devices"),
    };
    format!("{}, {memory} of device-local memory: {among}", device.kind)
}

fn later_reason(device: &DeviceInfo, before: &DeviceInfo) -> String {
    if device.kind != before.kind {
        return format!("{}: after {} {}", device.kind, before.kind, before.name);
    }
    let (own, other) = (device.device_local_bytes(), before.device_local_bytes());
    if own < other {
        let (own, other) = (format_bytes(own), format_bytes(other));
        return format!("{own} of device-local memory: after {} with {other}", before.name);
    }
    format!("listed after {}, otherwise equal", before.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Heap;

    const GIB: u64 = 1 << 30;

    fn device(index: usize, name: &str, kind: DeviceKind, heaps: &[(u64, bool)]) -> DeviceInfo {
        let heaps = heaps
            .iter()
            .map(|&(bytes, device_local)| Heap { bytes, device_local, budget_bytes: None })
            .collect();
        DeviceInfo { index, name: name.to_owned(), kind, heaps, ..DeviceInfo::default() }
    }

    fn order(devices: &[DeviceInfo]) -> Vec<usize> {
        rank(devices).iter().map(|ranked| ranked.index).collect()
    }

    #[test]
    fn discrete_wins_though_integrated_is_listed_first_and_has_more_memory() {
        let devices = [
            device(0, "Iris", DeviceKind::Integrated, &[(64 * GIB, true)]),
            device(1, "NVIDIA H200", DeviceKind::Discrete, &[(16 * GIB, true), (128 * GIB, false)]),
        ];
        let ranked = rank(&devices);
        assert_eq!(order(&devices), [1, 0]);
        assert_eq!(ranked[0].reason, "discrete, 16 GiB of device-local memory: first of 2 usable devices");
        assert_eq!(ranked[1].reason, "integrated: after discrete NVIDIA H200");
    }

    #[test]
    fn memory_is_summed_over_all_heaps() {
        // A card that splits its memory, beside a smaller one with a single heap.
        let devices = [
            device(0, "single", DeviceKind::Discrete, &[(12 * GIB, true)]),
            device(1, "split", DeviceKind::Discrete, &[(8 * GIB, true), (32 * GIB, false), (8 * GIB, true)]),
        ];
        assert_eq!(order(&devices), [1, 0]);
        assert_eq!(rank(&devices)[1].reason, "12 GiB of device-local memory: after split with 16 GiB");
    }

    #[test]
    fn a_small_bar_window_and_host_memory_do_not_decide() {
        let devices = [
            device(
                0,
                "small bar",
                DeviceKind::Discrete,
                &[(8 * GIB, true), (256 << 20, true), (512 * GIB, false)],
            ),
            device(1, "large", DeviceKind::Discrete, &[(24 * GIB, true), (16 * GIB, false)]),
        ];
        assert_eq!(order(&devices), [1, 0]);
    }

    #[test]
    fn the_kinds_stand_in_order() {
        let devices = [
            device(0, "llvmpipe", DeviceKind::Cpu, &[(512 * GIB, true)]),
            device(1, "other", DeviceKind::Other, &[(GIB, true)]),
            device(2, "virtual", DeviceKind::Virtual, &[(GIB, true)]),
            device(3, "integrated", DeviceKind::Integrated, &[(GIB, true)]),
            device(4, "discrete", DeviceKind::Discrete, &[(GIB, true)]),
        ];
        assert_eq!(order(&devices), [4, 3, 2, 1, 0]);
        assert_eq!(rank(&devices)[4].reason, "software: after unknown kind other");
    }

    #[test]
    fn equal_devices_keep_their_order() {
        let twin = |index| device(index, "twin", DeviceKind::Discrete, &[(GIB, true)]);
        assert_eq!(order(&[twin(0), twin(1)]), [0, 1]);
        assert_eq!(rank(&[twin(0), twin(1)])[1].reason, "listed after twin, otherwise equal");
    }

    #[test]
    fn unusable_devices_come_last_with_their_reason() {
        let mut old = device(0, "old", DeviceKind::Discrete, &[(96 * GIB, true)]);
        old.unusable = Some("Vulkan 1.1; needs 1.3".to_owned());
        let devices = [old, device(1, "llvmpipe", DeviceKind::Cpu, &[(GIB, true)])];
        let ranked = rank(&devices);
        assert_eq!(order(&devices), [1, 0]);
        assert_eq!(ranked[0].reason, "software, 1 GiB of device-local memory: the only usable device");
        assert_eq!(ranked[1].reason, "unusable: Vulkan 1.1; needs 1.3");
        assert!(rank(&[]).is_empty());
    }
}
