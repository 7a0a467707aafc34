//! `matvec_<format>`: y = W x, the weights read once for each token row: the kernel of decode.
//!
//! An invocation owns a few chunks of the columns and holds x for them in registers, with the norm's weight where an RMSNorm is
//! taken along (the finished products are scaled by its root), so a norm costs no phase of its own. Then it streams rows.
//! How a row is shared out ([`Workgroup`]) depends on the shape, and on the device.
//!
//! `matvec_<quantised type>_int16` holds x as two planes of bytes, x = s · (256 · high + low) in groups of 32, and multiplies with
//! packed 8-bit dot products: 16-bit activations (relative error 5e-5) at close to the speed of 8-bit ones.

#[cfg(test)]
mod tests;
mod workgroup;

pub use workgroup::{Workgroup, tunable};

use crate::handover::Handover;
use crate::linear::{Bindings, Linear};
use crate::weights::{WeightLayout, dtype_of};
use crate::{DeviceTraits, Dispatch, Grid, Kernel, linear};
use resident_tensor::DType;

weight_kernels!("matvec", linear::host, linear::reference);

macro_rules! int16_kernels {
    ($($dtype:literal),*) => {
        [$(Kernel {
            name: concat!("matvec_", $dtype, "_int16"),
            spirv: include_bytes!(concat!("matvec_", $dtype, "_int16.spv")),
            host: linear::host_int16,
            reference: linear::host_int16,
        }),*]
    };
}

/// One a quantised type, in the order of the enum.
static INT16: [Kernel; 11] =
    int16_kernels!("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl");

/// The kernel that multiplies 16-bit activations, for a quantised type.
fn int16_kernel(dtype: DType) -> Option<&'static Kernel> {
    INT16.get((dtype as usize).checked_sub(DType::Q8_0 as usize)?)
}

const COLS_AT: usize = 1;
const STAGES_AT: usize = 13;
const X_PLANES_AT: usize = 14;

/// Whether x of a call comes as [`planes`](crate::linear::planes).
pub(crate) fn reads_planes(call: &Dispatch) -> bool {
    call.kernel.name.ends_with("_int16") && call.specialization[X_PLANES_AT] != 0
}

/// Shared memory that x takes in a call.
fn staged_bytes_of(call: &Dispatch) -> u32 {
    let [cols, stages, x_planes] = [COLS_AT, STAGES_AT, X_PLANES_AT].map(|at| call.specialization[at]);
    match call.kernel.name.ends_with("_int16") {
        true if x_planes == 0 => {
            int16_bytes(WeightLayout { dtype: dtype_of(call.kernel.name), rows: 1, cols })
        }
        false if stages != 0 => f32_bytes(cols),
        _ => 0,
    }
}

/// Whether a matrix meets x as planes, where it is there as such.
pub fn takes_planes(layout: WeightLayout, device: DeviceTraits) -> bool {
    device.packed_dot_product && int16_kernel(layout.dtype).is_some()
}

/// Whether a matrix meets x in 16 bits where it comes as f32; then it can make planes, too.
pub fn quantises(layout: WeightLayout, device: DeviceTraits) -> bool {
    takes_planes(layout, device) && fits(int16_bytes(layout), device)
}

/// Whether a workgroup has shared memory for x and what it needs beside it.
fn fits(x_bytes: u32, device: DeviceTraits) -> bool {
    x_bytes + OTHER_SHARED_BYTES <= device.shared_memory_bytes
}

/// Shared memory that a workgroup needs beside x at least: the sums that meet there.
const OTHER_SHARED_BYTES: u32 = 2048 + workgroup::SQUARES_BYTES;

/// Shared memory that x takes in 16 bits: two bytes a value; for 32 of them a scale, and a sum for each minimum.
fn int16_bytes(layout: WeightLayout) -> u32 {
    layout.cols * 2 + layout.cols / 8 * (1 + layout.mins_a_group())
}

/// Shared memory that x takes as f32, in whole chunks.
fn f32_bytes(cols: u32) -> u32 {
    cols.next_multiple_of(32) * 4
}

/// Multiplies up to `token_rows` rows of x.
pub fn dispatch(layer: &Linear, token_rows: u32, device: DeviceTraits, bindings: Bindings) -> Dispatch {
    let WeightLayout { dtype, cols, .. } = layer.layout;
    let takes_int16 = if layer.x_planes { takes_planes } else { quantises };
    let int16 = int16_kernel(dtype).filter(|_| takes_int16(layer.layout, device));
    // A vec4 of x is polled as a whole.
    let polls = layer.handover.polls && cols.is_multiple_of(4);
    let layer = &Linear { handover: Handover { polls, ..layer.handover }, ..*layer };
    // Whoever polls all of x at once reads it once a workgroup.
    let stages = int16.is_none() && polls && fits(f32_bytes(cols), device);
    let makes_planes = bindings.y_planes.is_some();
    assert!(int16.is_some() || !(layer.x_planes || makes_planes), "planes are for 16-bit activations");
    let traits = workgroup::Traits {
        int16: int16.is_some(),
        polls,
        makes_planes,
        reads_planes: layer.x_planes,
        staged_bytes: match int16 {
            Some(_) if !layer.x_planes => int16_bytes(layer.layout),
            None if stages => f32_bytes(cols),
            _ => 0,
        },
    };
    let workgroup = Workgroup::of(layer, traits, device);
    let constants = [
        &[workgroup.local_size][..],
        &layer.specialization(&bindings),
        &[layer.norm_eps.is_some().into()],
        &workgroup.constants(),
        &layer.handover.specialization(),
        &[stages.into(), layer.x_planes.into(), makes_planes.into()],
    ];
    Dispatch {
        kernel: int16.unwrap_or(kernel(dtype)),
        specialization: constants.concat(),
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Groups([workgroup.groups(layer.features()), layer.y_rows(token_rows), 1]),
        cost: layer.cost(token_rows),
    }
}
