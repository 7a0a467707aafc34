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
use crate::weights::{WeightLayout, chunk_len};
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

/// Shared memory that a workgroup needs beside x: the sums that meet there.
const OTHER_SHARED_BYTES: u32 = 4096;

/// Multiplies up to `token_rows` rows of x.
pub fn dispatch(layer: &Linear, token_rows: u32, device: DeviceTraits, bindings: Bindings) -> Dispatch {
    let WeightLayout { dtype, cols, .. } = layer.layout;
    // Two bytes a value; for 32 of them a scale, and a sum for each minimum.
    let int16_bytes = cols * 2 + cols / 8 * (1 + layer.layout.mins_a_group());
    let fits = int16_bytes + OTHER_SHARED_BYTES <= device.shared_memory_bytes;
    let int16 = int16_kernel(dtype).filter(|_| device.packed_dot_product && fits);
    let workgroup = Workgroup::of(layer, cols.div_ceil(chunk_len(dtype)), int16.is_some(), device);
    // A vec4 of x is polled as a whole.
    let polls = layer.handover.polls && cols.is_multiple_of(4);
    let layer = &Linear { handover: Handover { polls, ..layer.handover }, ..*layer };
    let constants = [
        &[workgroup.local_size][..],
        &layer.specialization(&bindings),
        &[layer.norm_eps.is_some().into()],
        &workgroup.constants(),
        &layer.handover.specialization(),
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
