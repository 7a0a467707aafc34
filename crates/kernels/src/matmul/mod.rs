//! `matmul_<format>`: Y = X Wᵀ for many token rows, the weights read once for every 64 of them: the kernel of prefill.
//!
//! Tiles of 64 tokens × 64 output features in f32, on any device; weights are decoded while they are staged in shared
//! memory (17 KiB). Tiles beyond the token rows in use exit at once.

#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::linear::{Bindings, Linear};
use crate::{Dispatch, Grid, linear};

weight_kernels!("matmul", linear::host, linear::reference);

/// Tokens and output features of a workgroup's tile.
const TILE: u32 = 64;
/// Invocations that share a tile, 4 × 4 values each.
const TILE_INVOCATIONS: u32 = 256;

/// Multiplies up to `token_rows` rows of x.
///
/// # Panics
/// If the layer takes a norm along, or part in a hand-over: prefill normalises once, with `rms_norm`, behind barriers.
pub fn dispatch(layer: &Linear, token_rows: u32, bindings: Bindings) -> Dispatch {
    assert!(layer.norm_eps.is_none(), "matmul takes no norm along");
    assert_eq!(layer.handover, Handover::default(), "matmul neither polls nor publishes");
    let [cols, epilogue] = layer.specialization();
    Dispatch {
        kernel: kernel(layer.layout.format),
        specialization: vec![TILE_INVOCATIONS, cols, epilogue],
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Groups([
            layer.layout.rows.div_ceil(u64::from(TILE)) as u32,
            token_rows.div_ceil(TILE),
            1,
        ]),
        cost: layer.cost(token_rows),
    }
}
