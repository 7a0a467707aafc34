//! How fast a device streams memory: the limit that decode is compared with, measured in the same run.

use crate::Error;
use crate::gpu::pipeline;
use rayon::prelude::*;
use resident_kernels::{BufferId, Slice, stream_read};
use resident_vulkan::{Device, DeviceInfo, Memory};
use std::time::Instant;

/// Read at once on a GPU: several times any last-level cache, and at most 1/16 of the device's memory.
const DEVICE_BYTES: u64 = 1 << 30;
/// Read at once on a software driver or the CPU device, whose caches are smaller and whose time is dearer.
pub(crate) const HOST_BYTES: u64 = 128 << 20;
/// Timed passes; the best counts, since anything else is somebody else's work.
const PASSES: u32 = 5;
/// Workgroups: enough to fill any card several times over.
const GROUPS: u32 = 4096;

/// Bytes of the buffers that it takes on a device: what is read, and the checksum.
pub(crate) fn buffer_bytes(info: &DeviceInfo) -> [u64; 2] {
    let wanted = if info.kind.is_software() { HOST_BYTES } else { DEVICE_BYTES };
    [wanted.min(info.device_local_bytes() / 16).max(1 << 20) & !63, u64::from(GROUPS) * 4]
}

/// Bytes a second that `device` reads from its memory.
pub(crate) fn of_device(device: &Device) -> Result<f64, Error> {
    let [bytes, checksum_bytes] = buffer_bytes(device.info());
    let source = device.allocate("bandwidth source", bytes, Memory::Device)?;
    let checksum = device.allocate("bandwidth checksum", checksum_bytes, Memory::Device)?;
    // Not zeros: memory compression would make them look faster than data.
    device.fill(&source, 0, bytes, 0x9e37_79b9)?;
    device.fill(&checksum, 0, checksum.bytes(), 0)?;
    let slice = |id, bytes| Slice { buffer: BufferId(id), offset_bytes: 0, bytes };
    let dispatch = stream_read::dispatch(slice(0, bytes), slice(1, checksum.bytes()), GROUPS);
    let push =
        dispatch.push_constants(|s| if s.buffer.0 == 0 { source.address() } else { checksum.address() });
    let (pipeline, groups) = pipeline(device, &dispatch, push.len())?;
    let pool = device.timestamps("bandwidth", 2 * PASSES)?;
    // The first half warms the clocks up, the second is timed.
    let recording = device.record_timed("bandwidth", &pool, |recorder| {
        for pass in 0..2 * PASSES {
            recorder.barrier();
            if pass >= PASSES {
                recorder.timestamp(2 * (pass - PASSES));
            }
            recorder.dispatch(&pipeline, &push, groups);
            if pass >= PASSES {
                recorder.timestamp(2 * (pass - PASSES) + 1);
            }
        }
    })?;
    device.wait(device.submit(&[&recording])?)?;
    let times = device.read_timestamps(&pool)?;
    let best = times.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|ns| *ns > 0).min();
    Ok(best.map_or(0.0, |ns| bytes as f64 / (ns as f64 * 1e-9)))
}

/// Bytes a second that the host's cores read from memory, all together.
pub fn read_bandwidth() -> f64 {
    let words = vec![0x9e37_79b9_7f4a_7c15u64; (HOST_BYTES / 8) as usize];
    let pass = |_| {
        let start = Instant::now();
        let sum = words
            .par_chunks(1 << 16)
            .map(|part| part.iter().fold(0u64, |s, w| s.wrapping_add(*w)))
            .reduce(|| 0, u64::wrapping_add);
        std::hint::black_box(sum);
        start.elapsed().as_secs_f64()
    };
    let best = (0..PASSES).map(pass).fold(f64::INFINITY, f64::min);
    HOST_BYTES as f64 / best
}
