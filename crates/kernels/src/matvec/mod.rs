//! `matvec_<format>`: y = W x, the weights read once for each token row: the kernel of decode.
//!
//! A subgroup owns a few output features and runs along their whole rows, so that nothing is exchanged but the final
//! subgroup sum. An RMSNorm of x costs no phase of its own: x is multiplied by the norm's weight as it is read, its
//! squares are summed along the way, and the finished product is scaled.

#[cfg(test)]
mod tests;

use crate::linear::{Bindings, Epilogue, Linear};
use crate::weights::WeightFormat;
use crate::{Dispatch, Grid, LOCAL_SIZE, linear};

weight_kernels!("matvec", linear::host, linear::reference);

/// Multiplies up to `token_rows` rows of x.
pub fn dispatch(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    // Gate and up of one feature must meet in one subgroup, so a gated one owns an even number of rows.
    let subgroup_rows = 2;
    let unroll = if layer.layout.format == WeightFormat::Q8_0 { 1 } else { 2 };
    let [cols, epilogue] = layer.specialization();
    debug_assert!(layer.epilogue != Epilogue::SiluGated || layer.layout.rows.is_multiple_of(2));
    Dispatch {
        kernel: kernel(layer.layout.format),
        specialization: vec![LOCAL_SIZE, cols, epilogue, layer.norm_eps.is_some().into(), subgroup_rows, unroll],
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Subgroups { jobs: layer.layout.rows.div_ceil(u64::from(subgroup_rows)) as u32, y: token_rows, z: 1 },
        cost: layer.cost(token_rows),
    }
}
