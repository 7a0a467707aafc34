//! How fast a device multiplies matrices with the kernel that prefill uses: the limit that prefill is compared with, measured
//! in the same run.

use crate::Error;
use crate::gpu::pipeline;
use crate::traits::traits_of;
use resident_kernels::handover::Handover;
use resident_kernels::linear::{Bindings, Epilogue, Linear, halves};
use resident_kernels::weights::{DType, WeightLayout};
use resident_kernels::{BufferId, DeviceTraits, Dispatch, HostMemory, Slice, matmul};
use resident_vulkan::{Buffer, Device, Memory};
use std::time::Instant;

/// Rows, columns and tokens of the first product; each next one is twice as large in all three.
const SMALLEST: u32 = 256;
const LARGEST: u32 = 4096;
/// A product that takes as long as this is not made larger.
const LONG_ENOUGH_SECONDS: f64 = 2e-3;
/// Timed products of a size; the best counts, since anything else is somebody else's work.
const PASSES: u32 = 3;

/// Slices of weight, x, row count and y.
fn product(size: u32, device: DeviceTraits, [weight, x, row_count, y]: [Slice; 4]) -> Dispatch {
    let layer = Linear {
        layout: layout(size),
        x_stride: size,
        y_stride: size,
        norm_eps: None,
        epilogue: Epilogue::Store,
        experts: None,
        handover: Handover::default(),
        x_planes: false,
    };
    let bindings = Bindings {
        weight,
        x,
        norm_weight: None,
        bias: None,
        row_count,
        experts: None,
        residual: None,
        y,
        y_planes: None,
    };
    matmul::dispatch(&layer, size, device, bindings)
}

fn layout(size: u32) -> WeightLayout {
    WeightLayout { dtype: DType::F16, rows: size.into(), cols: size }
}

/// Bytes of the four buffers, whichever way x comes.
fn buffer_bytes(size: u32) -> [u64; 4] {
    let activations = u64::from(size) * u64::from(size) * 4;
    [layout(size).bytes(), activations.max(halves::bytes(size, size)), 4, activations]
}

/// Makes products larger until they take long enough, and returns the best operations a second.
fn limit(mut seconds: impl FnMut(u32) -> Result<f64, Error>) -> Result<f64, Error> {
    let mut best = 0.0f64;
    let mut size = SMALLEST;
    loop {
        let mut least = f64::INFINITY;
        for _ in 0..PASSES {
            least = least.min(seconds(size)?);
        }
        best = best.max(2.0 * f64::from(size).powi(3) / least);
        if least >= LONG_ENOUGH_SECONDS || size == LARGEST {
            return Ok(best);
        }
        size *= 2;
    }
}

/// Operations a second of a matrix product on a Vulkan device; a multiply-add is two.
pub(crate) fn of_device(device: &Device) -> Result<f64, Error> {
    limit(|size| {
        let allocate = |bytes| -> Result<Buffer, Error> {
            let buffer = device.allocate("product", bytes, Memory::Device)?;
            // 0x3c00 is 1 in f16; as f32 it is some small number.
            device.fill(&buffer, 0, bytes, 0x3c00_3c00)?;
            Ok(buffer)
        };
        let buffers = buffer_bytes(size).map(allocate).into_iter().collect::<Result<Vec<_>, _>>()?;
        device.fill(&buffers[2], 0, 4, size)?;
        let slices = std::array::from_fn(|i| Slice {
            buffer: BufferId(i as u32),
            offset_bytes: 0,
            bytes: buffers[i].bytes(),
        });
        let call = product(size, traits_of(device.info()), slices);
        let push = call.push_constants(|s| buffers[s.buffer.0 as usize].address() + s.offset_bytes);
        let (pipeline, groups) = pipeline(device, &call, push.len())?;
        let pool = device.timestamps("product", 2)?;
        let recording = device.record_timed("product", &pool, |recorder| {
            buffers.iter().for_each(|buffer| recorder.keep(buffer));
            recorder.timestamp(0);
            recorder.dispatch(&pipeline, &push, groups);
            recorder.timestamp(1);
        })?;
        device.wait(device.submit(&[&recording])?)?;
        Ok(device.read_timestamps(&pool)?[1].max(1) as f64 * 1e-9)
    })
}

/// The same of the CPU device.
pub(crate) fn of_host() -> Result<f64, Error> {
    limit(|size| {
        let mut memory = HostMemory::new();
        let mut slices = buffer_bytes(size).map(|bytes| memory.add_values(&vec![0x3cu8; bytes as usize]));
        slices[2] = memory.add_values(&[size]);
        let call = product(size, DeviceTraits::LEAST, slices);
        let start = Instant::now();
        (call.kernel.host)(&call, &memory);
        Ok(start.elapsed().as_secs_f64())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_grow_until_they_take_long_enough() {
        let mut sizes = Vec::new();
        let found = limit(|size| {
            sizes.push(size);
            Ok(f64::from(size).powi(3) * 1e-11)
        });
        assert!((found.expect("a limit") / 2e11 - 1.0).abs() < 1e-9);
        assert_eq!(sizes, [256, 256, 256, 512, 512, 512, 1024, 1024, 1024]);
    }
}
