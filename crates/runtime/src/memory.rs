//! How much memory a target has and a session takes, known before any of it is taken.

use crate::{Target, bandwidth, cpu};
use resident_plan::{Arena, BufferKind, Program, host_bytes};
use resident_vulkan::{DeviceKind, STAGING_BYTES, planned_bytes};

impl Target {
    /// Bytes that this process may take: of a GPU's memory by the driver's budget, of the host's what is available.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Cpu => cpu::available_bytes(),
            Self::Vulkan(info) if info.kind.is_software() => {
                info.available_bytes().min(cpu::available_bytes())
            }
            Self::Vulkan(info) => info.available_bytes(),
        }
    }

    /// Bytes that a session of this program takes at most, of `room_bytes`: its buffers, the blocks that they lie in, and what
    /// is measured while it is loaded.
    pub fn session_bytes(&self, program: &Program, room_bytes: u64) -> u64 {
        let Self::Vulkan(info) = self else {
            return host_bytes(program).saturating_add(bandwidth::HOST_BYTES);
        };
        let kept = program.buffers.iter().filter(|buffer| {
            matches!(buffer.kind, BufferKind::Weight | BufferKind::State | BufferKind::Handover)
        });
        let arena = program.plans.iter().map(|plan| Arena::of(program, plan).bytes).max();
        let sizes = kept.map(|buffer| buffer.bytes).chain(arena).chain(bandwidth::buffer_bytes(info));
        let device = planned_bytes(&info.limits, sizes, room_bytes);
        // What the host sees lies in its own memory, which is another one behind a bus.
        let mapped = match info.kind {
            DeviceKind::Integrated | DeviceKind::Cpu => {
                let kinds = [BufferKind::Mailbox, BufferKind::Ring].map(|kind| program.bytes_of(kind));
                STAGING_BYTES.saturating_add(kinds.into_iter().fold(0, u64::saturating_add))
            }
            _ => 0,
        };
        device.saturating_add(mapped)
    }
}
