//! `attention_<cache type>`: softmax(scale · q Kᵀ) V of each row over the positions up to its own, through the block
//! table, all heads that share a KV head in one workgroup so that K and V are read once.
//!
//! [`rope`] is the variant for one row, which is shared by many workgroups.

mod host;
mod reference;
pub mod rope;
#[cfg(test)]
mod tests;

use crate::rope_kv::{KvLayout, KvType};
use crate::{Cost, Dispatch, Grid, Kernel};
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

/// Invocations of a workgroup, and positions that it attends to at a time: whole blocks.
const ATTENTION_LOCAL_SIZE: u32 = 128;

/// Query heads that a workgroup holds accumulators for without spilling.
const MOST_HEADS: u32 = 8;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    max_blocks: u32,
    window: u32,
    scale: f32,
    cap: f32,
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
        /// f32 (rows, heads * head_dim).
        y: Write,
    }
}

impl Attention {
    /// Query heads that a workgroup serves, at most `most`: an even share of those of a KV head.
    fn group(&self, most: u32) -> u32 {
        let heads = self.heads / self.cache.kv_heads;
        (1..=most).rev().find(|group| heads.is_multiple_of(*group)).unwrap_or(1)
    }

    /// Specialization constants 1 to 5 of both kernels, and the workgroups that share a KV head, each with its own query heads.
    fn constants(&self, group: u32) -> ([u32; 5], u32) {
        let Self { cache: KvLayout { kv_heads, head_dim, .. }, heads, soft_cap, .. } = *self;
        assert!(heads.is_multiple_of(kv_heads), "{heads} heads do not share {kv_heads} KV heads evenly");
        let shares = heads / kv_heads / group;
        ([head_dim, group, kv_heads, shares, soft_cap.is_some().into()], shares)
    }

    fn params(&self) -> Params {
        let Self { scale, window, soft_cap, max_blocks, .. } = *self;
        Params { max_blocks, window, scale, cap: soft_cap.unwrap_or(0.0) }
    }

    fn cost(&self, rows: u32) -> Cost {
        let Self { cache, heads, expected_positions, .. } = *self;
        let KvLayout { kv_heads, head_dim, .. } = cache;
        let positions = u64::from(rows) * u64::from(expected_positions);
        Cost {
            activation_bytes: positions * u64::from(2 * kv_heads * cache.words()) * 4
                + u64::from(rows) * u64::from(heads * head_dim) * 8,
            operations: positions * u64::from(heads * head_dim) * 4,
            ..Cost::default()
        }
    }
}

/// Attends for up to `rows` rows.
pub fn dispatch(attention: &Attention, rows: u32, bindings: Bindings) -> Dispatch {
    let (constants, shares) = attention.constants(attention.group(MOST_HEADS));
    Dispatch {
        kernel: match attention.cache.dtype {
            KvType::F32 => &KERNEL_F32,
            KvType::F16 => &KERNEL_F16,
        },
        specialization: [&[ATTENTION_LOCAL_SIZE], &constants[..]].concat(),
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&attention.params()).to_vec(),
        grid: Grid::Groups([rows, attention.cache.kv_heads * shares, 1]),
        cost: attention.cost(rows),
    }
}
