//! `matvec_<format>`: y = W x, the weights read once for each token row: the kernel of decode.
//!
//! A workgroup stages x in shared memory, with the norm's weight where an RMSNorm is taken along (the finished products
//! are scaled by its root), so a norm costs no phase of its own. A subgroup owns a few output features and runs along
//! their whole rows, so that nothing else is exchanged but the final subgroup sum.
//!
//! `matvec_q8_0_int16` stages x as two planes of bytes, x = s · (256 · high + low) in groups of 32, and multiplies with
//! packed 8-bit dot products: 16-bit activations (relative error 5e-5) at close to the speed of 8-bit ones.

#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::linear::{Bindings, Epilogue, Linear};
use crate::weights::{WeightFormat, WeightLayout};
use crate::{DeviceTraits, Dispatch, Grid, Kernel, LOCAL_SIZE, linear};

weight_kernels!("matvec", linear::host, linear::reference);

static Q8_0_INT16: Kernel = Kernel {
    name: "matvec_q8_0_int16",
    spirv: include_bytes!("matvec_q8_0_int16.spv"),
    host: linear::host_int16,
    reference: linear::host_int16,
};

/// Shared memory that a workgroup needs beside x.
const OTHER_SHARED_BYTES: u32 = 2048;

/// Multiplies up to `token_rows` rows of x.
pub fn dispatch(layer: &Linear, token_rows: u32, device: DeviceTraits, bindings: Bindings) -> Dispatch {
    let WeightLayout { format, rows, cols } = layer.layout;
    let fits = |bytes: u32| bytes + OTHER_SHARED_BYTES <= device.shared_memory_bytes;
    // Two bytes a value and a scale for 32.
    let int16 = format == WeightFormat::Q8_0 && device.packed_dot_product && fits(cols * 2 + cols / 8);
    let staged = int16 || fits(cols.next_multiple_of(8) * 4);
    let (local_size, subgroup_rows) = workgroup_of(layer, int16);
    let [cols, epilogue] = layer.specialization();
    let norm = layer.norm_eps.is_some().into();
    // A vec4 of x is polled as a whole, once.
    let polls = layer.handover.polls && staged && cols.is_multiple_of(4);
    let layer = &Linear { handover: Handover { polls, ..layer.handover }, ..*layer };
    let [polls, publishes] = layer.handover.specialization();
    Dispatch {
        kernel: if int16 { &Q8_0_INT16 } else { kernel(format) },
        specialization: vec![
            local_size,
            cols,
            epilogue,
            norm,
            subgroup_rows,
            staged.into(),
            polls,
            publishes,
        ],
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Subgroups { jobs: rows.div_ceil(u64::from(subgroup_rows)) as u32, y: token_rows, z: 1 },
        cost: layer.cost(token_rows),
    }
}

/// Invocations of a workgroup and output features of a subgroup. A large workgroup with many rows shares what it costs to
/// stage a long x; a short one is staged so quickly that more workgroups are worth more; and whatever x, a card of a
/// hundred cores wants a workgroup for each. Measured on an H200, see docs/performance.md.
fn workgroup_of(layer: &Linear, int16: bool) -> (u32, u32) {
    let (local_size, most) = match layer.layout.cols {
        4096.. => (2 * LOCAL_SIZE, 4),
        2048.. => (LOCAL_SIZE, 4),
        _ => (LOCAL_SIZE, 2),
    };
    // In subgroups of 32.
    let workgroups = |subgroup_rows: u32| layer.layout.rows / u64::from(local_size / 32 * subgroup_rows);
    let enough = |subgroup_rows: u32| workgroups(subgroup_rows) >= if subgroup_rows == 4 { 256 } else { 128 };
    // Gate and up of one feature must meet in one subgroup; and a single row of wider weights takes so many steps that
    // its loads, one after the other, cost more than the additional workgroups bring.
    let least = if layer.epilogue == Epilogue::SiluGated || !int16 { 2 } else { 1 };
    let subgroup_rows = [4, 2, 1].into_iter().find(|n| *n <= most && enough(*n)).unwrap_or(least).max(least);
    (local_size, subgroup_rows)
}
