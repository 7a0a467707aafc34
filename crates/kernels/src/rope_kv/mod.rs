//! `rope_kv_<cache type>`: from the q, k and v of a projection to what attention reads. Normalises each head of q and k
//! (where the model does), rotates them by their position (RoPE over half-split pairs (i, i + rotary_dim / 2)), writes q
//! and puts k and v into the KV cache. A subgroup takes one head of one row.

mod layout;
pub(crate) mod reference;
#[cfg(test)]
mod tests;

pub use layout::{KV_BLOCK, KvLayout, KvType};

use crate::{Cost, Dispatch, Grid, Kernel, Slice};
use bytemuck::{Pod, Zeroable};

static KERNEL_F32: Kernel = Kernel {
    name: "rope_kv_f32",
    spirv: include_bytes!("rope_kv_f32.spv"),
    host: reference::run,
    reference: reference::run,
};

static KERNEL_F16: Kernel = Kernel {
    name: "rope_kv_f16",
    spirv: include_bytes!("rope_kv_f16.spv"),
    host: reference::run,
    reference: reference::run,
};

/// Invocations in a workgroup: few, so that a single row spreads over the card.
const ROPE_LOCAL_SIZE: u32 = 128;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) qkv_stride: u32,
    pub(crate) q_offset: u32,
    pub(crate) k_offset: u32,
    pub(crate) v_offset: u32,
    pub(crate) heads: u32,
    pub(crate) kv_heads: u32,
    pub(crate) max_blocks: u32,
    pub(crate) norm_eps: f32,
}

/// The heads of a layer and where the projection left them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeKv {
    /// The cache, and with it k's heads and the size of every head.
    pub cache: KvLayout,
    /// Heads of q.
    pub heads: u32,
    /// How many values of a head are rotated, the first ones; even.
    pub rotary_dim: u32,
    /// Added to the mean square where heads are normalised.
    pub norm_eps: f32,
    /// Values from one row of `qkv` to the next.
    pub qkv_stride: u32,
    /// Where q's heads begin in a row.
    pub q_offset: u32,
    /// Where k's heads begin in a row.
    pub k_offset: u32,
    /// Where v's heads begin in a row.
    pub v_offset: u32,
    /// Blocks of a sequence in the block table.
    pub max_blocks: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// f32 (rows, qkv_stride).
        qkv: Read,
        /// f32 (head_dim): weight of q's RMSNorm, where the model has one.
        q_norm: Read 0,
        /// f32 (head_dim): weight of k's RMSNorm, where the model has one.
        k_norm: Read 0,
        /// f32 (context, rotary_dim / 2).
        cos: Read,
        /// f32 (context, rotary_dim / 2).
        sin: Read,
        /// u32: how many rows hold a token.
        row_count: Read,
        /// The rows of the step.
        step_rows: Read,
        /// u32 (max_sequences, max_blocks).
        block_table: Read,
        /// f32 (rows, heads * head_dim).
        q: Write,
        /// The layer's K cache.
        k_cache: Write,
        /// The layer's V cache.
        v_cache: Write,
    }
}

/// Takes up to `rows` rows.
pub fn dispatch(rope: &RopeKv, rows: u32, bindings: Bindings) -> Dispatch {
    let RopeKv { cache, heads, rotary_dim, norm_eps, qkv_stride, q_offset, k_offset, v_offset, max_blocks } =
        *rope;
    let KvLayout { dtype, kv_heads, head_dim } = cache;
    assert!(
        head_dim.is_multiple_of(2) && rotary_dim.is_multiple_of(2),
        "head_dim {head_dim}, rotary_dim {rotary_dim}"
    );
    assert!(rotary_dim <= head_dim, "rotary_dim {rotary_dim} of head_dim {head_dim}");
    assert!(
        bindings.k_cache.bytes.max(bindings.v_cache.bytes) <= KvLayout::MAX_BYTES,
        "a cache of more than 8 GiB in one layer"
    );
    let params = Params { qkv_stride, q_offset, k_offset, v_offset, heads, kv_heads, max_blocks, norm_eps };
    let values = u64::from(rows) * u64::from(heads + 2 * kv_heads) * u64::from(head_dim);
    let normed = |weight: Option<Slice>| u32::from(weight.is_some());
    let cache_bytes = u64::from(rows) * u64::from(2 * kv_heads * cache.words()) * 4;
    Dispatch {
        kernel: match dtype {
            KvType::F32 => &KERNEL_F32,
            KvType::F16 => &KERNEL_F16,
        },
        specialization: vec![
            ROPE_LOCAL_SIZE,
            head_dim,
            rotary_dim,
            normed(bindings.q_norm),
            normed(bindings.k_norm),
        ],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Subgroups { jobs: heads + 2 * kv_heads, y: rows, z: 1 },
        cost: Cost {
            activation_bytes: values * 4 + u64::from(rows * heads * head_dim) * 4 + cache_bytes,
            operations: values * 8,
            ..Cost::default()
        },
    }
}
