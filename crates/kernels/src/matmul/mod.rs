//! `matmul_<format>`: Y = X Wᵀ for many token rows, the weights read once for every 64 of them: the kernel of prefill.
//!
//! Tiles of 64 tokens × 64 output features in f32, on any device; weights are decoded while they are staged in shared
//! memory (17 KiB). Tiles beyond the token rows in use exit at once. Where rows choose experts, a tile holds slots of one
//! expert, as `group_experts` has put them together.

#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::linear::{Bindings, Linear};
use crate::{Dispatch, Grid, group_experts, linear};

weight_kernels!("matmul", linear::host, linear::reference);

/// Tokens and output features of a workgroup's tile.
pub(crate) const TILE: u32 = 64;
/// Invocations that share a tile, 4 × 4 values each.
const TILE_INVOCATIONS: u32 = 256;

/// Multiplies up to `token_rows` rows of x.
///
/// # Panics
/// If the layer takes a norm along, or part in a hand-over: prefill normalises once, with `rms_norm`, behind barriers.
pub fn dispatch(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    assert!(layer.norm_eps.is_none(), "matmul takes no norm along");
    assert_eq!(layer.handover, Handover::default(), "matmul neither polls nor publishes");
    let [cols, epilogue, bias, slots, x_slots] = layer.specialization(&bindings);
    let tiles = match bindings.experts {
        None => token_rows.div_ceil(TILE),
        Some(groups) => group_experts::tiles_in(groups, layer.y_rows(token_rows)),
    };
    Dispatch {
        kernel: kernel(layer.layout.dtype),
        specialization: vec![TILE_INVOCATIONS, cols, epilogue, bias, slots, x_slots],
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Groups([layer.features().div_ceil(u64::from(TILE)) as u32, tiles, 1]),
        cost: layer.cost(token_rows),
    }
}
