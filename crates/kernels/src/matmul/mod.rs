//! `matmul_<type>`: Y = X Wᵀ for many token rows, the weights read once for all rows of a tile: the kernel of prefill.
//!
//! Tiles of 64 tokens × 64 output features in f32, on any device; weights are decoded while they are staged in shared
//! memory (17 KiB). Tiles beyond the token rows in use exit at once. Where rows choose experts, a tile holds slots of one
//! expert, as `group_experts` has put them together.
//!
//! `matmul_<type>_cooperative` does the same on a device's matrix units, with x as [`halves`](crate::linear::halves): what it multiplies
//! and sums is as exact as f32, of weights below 1 023 (no model's come near it; a product beyond is NaN, which ends a run with an
//! error). Its tiles are made of squares of 16 × 16 that subgroups share.

#[cfg(test)]
mod tests;

use crate::handover::Handover;
use crate::linear::{Bindings, Linear};
use crate::weights::DType;
use crate::{DeviceTraits, Dispatch, Grid, Kernel, group_experts, linear};

weight_kernels!("matmul", linear::host, linear::reference);

/// Tokens and output features of a workgroup's tile.
pub(crate) const TILE: u32 = 64;
/// Invocations that share a tile, 4 × 4 values each.
const TILE_INVOCATIONS: u32 = 256;

macro_rules! cooperative_kernels {
    ($($dtype:literal),*) => {
        [$(Kernel {
            name: concat!("matmul_", $dtype, "_cooperative"),
            spirv: include_bytes!(concat!("matmul_", $dtype, "_cooperative.spv")),
            host: linear::host,
            reference: linear::reference,
        }),*]
    };
}

/// One a type, in the order of the enum.
static COOPERATIVE: [Kernel; 14] = cooperative_kernels!(
    "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
    "iq4_nl"
);

/// How a tile is computed on matrix units, in squares of [`SIDE`] × [`SIDE`] products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Squares {
    /// Subgroups along the token rows, and along the output features.
    subgroups: [u32; 2],
    /// Squares of a subgroup along both.
    each: [u32; 2],
    /// Input features of a step.
    depth: u32,
}

/// Token rows and output features of a square.
const SIDE: u32 = 16;
/// 64 × 128, for weights that are exact in f16. Figures are TFLOP/s of an H200 at 24576 × 4096 and 6144 × 1024 for 512 tokens: 106 and 94,
/// where [`LARGE`] makes 109 and 72.
const WIDE: Squares = Squares { subgroups: [2, 4], each: [2, 2], depth: 32 };
/// 128 × 128, for weights that take two f16, so that each is staged half as often: 77 and 55, where [`WIDE`] makes 57 and 54.
const LARGE: Squares = Squares { subgroups: [2, 4], each: [4, 2], depth: 32 };
/// 64 × 64: the tile of experts' slots, and of products that have too few larger tiles to fill a card: 81 at 1024 × 3072, where
/// [`WIDE`] makes 49. With few workgroups beside each other, longer steps hide more of what a step waits for.
const SMALL: Squares = Squares { subgroups: [2, 2], each: [2, 2], depth: 64 };
/// With fewer tiles than this, smaller ones keep more of a card's cores busy: large cards have about as many cores.
const MANY_TILES: u32 = 100;

// `group_experts` puts together tiles of so many slots.
const _: () = assert!(SMALL.subgroups[0] * SMALL.each[0] * SIDE == TILE);

impl Squares {
    fn tiles(self, token_rows: u32, features: u32) -> [u32; 2] {
        let [tokens, outputs] = [0, 1].map(|i| self.subgroups[i] * self.each[i] * SIDE);
        [features.div_ceil(outputs), token_rows.div_ceil(tokens)]
    }

    fn of(layer: &Linear, token_rows: u32, features: u32) -> Self {
        let larger = if matches!(layer.layout.dtype, DType::F16 | DType::BF16) { WIDE } else { LARGE };
        let tiles: u32 = larger.tiles(token_rows, features).iter().product();
        if layer.experts.is_none() && tiles >= MANY_TILES { larger } else { SMALL }
    }
}

/// Shared memory that tiles of squares take at most: of a step of x and of weights in two planes, padded.
pub const COOPERATIVE_SHARED_BYTES: u32 = 42 << 10;
/// Subgroups of a workgroup at most.
pub const COOPERATIVE_SUBGROUPS: u32 = 8;

/// Whether x of a call comes as [`halves`](crate::linear::halves).
pub(crate) fn reads_halves(call: &Dispatch) -> bool {
    call.kernel.name.ends_with("_cooperative")
}

/// Multiplies up to `token_rows` rows of x; on a device with matrix units x comes as [`halves`](crate::linear::halves).
///
/// # Panics
/// If the layer takes a norm along, or part in a hand-over: prefill normalises once, with `rms_norm` or `to_halves`, behind barriers.
pub fn dispatch(layer: &Linear, token_rows: u32, device: DeviceTraits, bindings: Bindings) -> Dispatch {
    assert!(layer.norm_eps.is_none(), "matmul takes no norm along");
    assert_eq!(layer.handover, Handover::default(), "matmul neither polls nor publishes");
    let constants = layer.specialization(&bindings);
    let features = u32::try_from(layer.features()).expect("a matrix has fewer than 2^32 rows");
    let (kernel, specialization, [feature_tiles, token_tiles]) = if device.matrix_units {
        let squares = Squares::of(layer, token_rows, features);
        let Squares { subgroups, each, depth } = squares;
        let local_size = subgroups.iter().product::<u32>() * device.subgroup_size;
        let way = [device.subgroup_size, each[0], each[1], subgroups[1], depth];
        let specialization = [&[local_size][..], &constants, &way].concat();
        (&COOPERATIVE[layer.layout.dtype as usize], specialization, squares.tiles(token_rows, features))
    } else {
        let specialization = [&[TILE_INVOCATIONS][..], &constants].concat();
        (kernel(layer.layout.dtype), specialization, [features.div_ceil(TILE), token_rows.div_ceil(TILE)])
    };
    let token_tiles = match bindings.experts {
        None => token_tiles,
        Some(groups) => group_experts::tiles_in(groups, layer.y_rows(token_rows)),
    };
    Dispatch {
        kernel,
        specialization,
        bindings: layer.bindings(bindings),
        params: layer.params(),
        grid: Grid::Groups([feature_tiles, token_tiles, 1]),
        cost: layer.cost(token_rows),
    }
}
