//! `attention_<cache type>`: softmax(scale · q Kᵀ) V of each row over the positions up to its own, through the block
//! table, all heads that share a KV head in one workgroup so that K and V are read once.
//!
//! The positions of a row are cut into parts, as its position alone demands: whole chunks of positions, at most
//! [`MAX_PARTS`] of them. A part is attended to with a running maximum; parts are then folded together in
//! ascending order. How many workgroups (`splits`) share the parts does not change a bit of the result, nor does
//! anything else in the batch. With one split a workgroup folds its parts as it goes; with more, parts go to `partials`
//! and the workgroup that arrives last folds them.

mod host;
mod reference;
pub mod rope;
#[cfg(test)]
mod tests;

use crate::rope_kv::{KV_BLOCK, KvLayout, KvType};
use crate::{Binding, Cost, Dispatch, Grid, Kernel, Slice};
use bytemuck::{Pod, Zeroable};

static KERNEL_F32: Kernel = Kernel {
    name: "attention_f32",
    spirv: include_bytes!("attention_f32.spv"),
    host: host::run,
    reference: reference::run,
};

static KERNEL_F16: Kernel = Kernel {
    name: "attention_f16",
    spirv: include_bytes!("attention_f16.spv"),
    host: host::run,
    reference: reference::run,
};

/// Into how many parts the positions of a row are cut at most; more splits than this are of no use.
pub const MAX_PARTS: u32 = 32;

/// How a variant divides its work.
struct Division {
    /// Invocations of a workgroup, a multiple of `chunk`.
    local_size: u32,
    /// Positions that a workgroup attends to at a time, a multiple of [`KV_BLOCK`]; parts are whole chunks.
    chunk: u32,
    /// Query heads of a workgroup, where they divide evenly. Each has accumulators, and reads K and V for itself.
    heads_at_a_time: u32,
}

/// Many rows fill the card: as few passes over K and V as accumulators allow.
const MANY_ROWS: Division = Division { local_size: 128, chunk: 128, heads_at_a_time: 8 };

/// One row is all latency: a workgroup has 64 KiB of K and V on the way at once.
const ONE_ROW: Division = Division { local_size: 256, chunk: 128, heads_at_a_time: 4 };

/// Query heads that a workgroup holds accumulators for without spilling.
const MOST_HEADS: u32 = 8;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    max_blocks: u32,
    window: u32,
    scale: f32,
    cap: f32,
    /// This and the next only where RoPE is taken along.
    qkv_stride: u32,
    norm_eps: f32,
}

/// An attention layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The caches.
    pub cache: KvLayout,
    /// Heads of q, a multiple of the cache's.
    pub heads: u32,
    /// Factor on the scores, usually 1 / √head_dim.
    pub scale: f32,
    /// A row attends to its own and the `window − 1` positions before it; 0 means all.
    pub window: u32,
    /// Scores become cap · tanh(score / cap), where there is a cap.
    pub soft_cap: Option<f32>,
    /// Blocks of a sequence in the block table.
    pub max_blocks: u32,
    /// Workgroups that share the positions of a row and KV head; at most [`MAX_PARTS`].
    pub splits: u32,
    /// How many positions the cost assumes that a row attends to.
    pub expected_positions: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, heads * head_dim).
        q: Read,
        /// The layer's K cache.
        k_cache: Read,
        /// The layer's V cache.
        v_cache: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// The rows of the step.
        step_rows: Read,
        /// u32 (max_sequences, max_blocks).
        block_table: Read,
        /// Scratch of [`Attention::partial_bytes`]; unbound with one split.
        partials: ReadWrite 0,
        /// u32 words of [`Attention::counter_bytes`], zero before the first step and after every one; unbound with one split.
        counters: ReadWrite 0,
        /// f32 (rows, heads * head_dim).
        y: Write,
    }
}

impl Attention {
    /// Bytes of `partials` for up to `rows` rows; 0 with one split.
    pub fn partial_bytes(&self, rows: u32) -> u64 {
        // The zero-padded sums of a head, then a quad with its maximum and total.
        let padded = self.cache.words() * self.cache.dtype.values_per_word() + 4;
        let values = u64::from(self.heads) * u64::from(padded);
        if self.splits == 1 { 0 } else { u64::from(rows) * u64::from(MAX_PARTS) * values * 4 }
    }

    /// Bytes of `counters` for up to `rows` rows; 0 with one split.
    pub fn counter_bytes(&self, rows: u32) -> u64 {
        if self.splits == 1 { 0 } else { u64::from(rows) * u64::from(self.heads) * 4 }
    }
}

impl Division {
    /// Query heads that a workgroup serves, of the `heads` of a KV head: an even share.
    fn group(&self, heads: u32) -> u32 {
        let share = |most: u32| (1..=most).rev().find(|group| heads.is_multiple_of(*group)).unwrap_or(1);
        match share(self.heads_at_a_time) {
            1 => share(MOST_HEADS),
            group => group,
        }
    }
}

/// Splits that keep all workgroups busy which a row of up to `positions` attended positions has parts for.
pub fn most_splits(positions: u32) -> u32 {
    // A window that does not begin with a block reaches into one more.
    (positions + KV_BLOCK - 1).div_ceil(ONE_ROW.chunk).clamp(1, MAX_PARTS)
}

/// Attends for up to `rows` rows.
pub fn dispatch(attention: &Attention, rows: u32, bindings: Bindings) -> Dispatch {
    let kernel = match attention.cache.dtype {
        KvType::F32 => &KERNEL_F32,
        KvType::F16 => &KERNEL_F16,
    };
    attention.check_scratch(rows, bindings.partials, bindings.counters);
    attention.call(kernel, &MANY_ROWS, rows, bindings.list(), &[], (0, 0.0))
}

impl Attention {
    fn check_scratch(&self, rows: u32, partials: Option<Slice>, counters: Option<Slice>) {
        let bytes = |slice: Option<Slice>| slice.map_or(0, |s| s.bytes);
        assert!(bytes(partials) >= self.partial_bytes(rows), "partials are too small");
        assert!(bytes(counters) >= self.counter_bytes(rows), "counters are too small");
    }

    /// A call with what either variant adds: specialization constants, and stride and eps of what comes before RoPE.
    fn call(
        &self,
        kernel: &'static Kernel,
        division: &Division,
        rows: u32,
        bindings: Vec<Binding>,
        constants: &[u32],
        (qkv_stride, norm_eps): (u32, f32),
    ) -> Dispatch {
        let Self { cache, heads, scale, window, soft_cap, max_blocks, splits, expected_positions } = *self;
        let KvLayout { kv_heads, head_dim, .. } = cache;
        assert!(heads.is_multiple_of(kv_heads), "{heads} heads do not share {kv_heads} KV heads evenly");
        assert!((1..=MAX_PARTS).contains(&splits), "{splits} splits");
        let group = division.group(heads / kv_heads);
        // Workgroups that share a KV head, each with its own query heads.
        let shares = heads / kv_heads / group;
        let positions = u64::from(rows) * u64::from(expected_positions);
        let cap = soft_cap.unwrap_or(0.0);
        let params = Params { max_blocks, window, scale, cap, qkv_stride, norm_eps };
        let capped = soft_cap.is_some().into();
        Dispatch {
            kernel,
            specialization: [
                &[
                    division.local_size,
                    head_dim,
                    group,
                    splits,
                    capped,
                    kv_heads,
                    shares,
                    division.chunk,
                    MAX_PARTS,
                ],
                constants,
            ]
            .concat(),
            bindings,
            params: bytemuck::bytes_of(&params).to_vec(),
            grid: Grid::Groups([rows, kv_heads * shares, splits]),
            cost: Cost {
                activation_bytes: positions * u64::from(2 * kv_heads * cache.words()) * 4
                    + u64::from(rows) * u64::from(heads * head_dim) * 8,
                operations: positions * u64::from(heads * head_dim) * 4,
                ..Cost::default()
            },
        }
    }
}
