//! `attention_<cache type>_rope`: attention that begins where the projection ends, for rows of different sequences (the
//! rows of decode): each workgroup normalises and rotates the heads that it needs, and the one that serves a row's own
//! position puts k and v into the cache. Saves the phase that `rope_kv` is. Rows of one sequence would need each other's
//! keys, so prefill keeps the two apart.

#[cfg(test)]
mod tests;

use super::{Attention, Kernel, ONE_ROW, Params, host, reference};
use crate::handover::Handover;
use crate::rope_kv::{self, KvType};
use crate::{Access, Binding, Dispatch, Slice};

static KERNEL_F32: Kernel = Kernel {
    name: "attention_f32_rope",
    spirv: include_bytes!("attention_f32_rope.spv"),
    host: host::run,
    reference: reference::run,
};

static KERNEL_F16: Kernel = Kernel {
    name: "attention_f16_rope",
    spirv: include_bytes!("attention_f16_rope.spv"),
    host: host::run,
    reference: reference::run,
};

/// What comes before attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// How many values of a head are rotated, the first ones; even.
    pub rotary_dim: u32,
    /// Added to the mean square where heads are normalised.
    pub norm_eps: f32,
    /// Values from one row of `qkv` to the next, a multiple of 4. A row holds q's heads, then k's, then v's.
    pub qkv_stride: u32,
    /// How `qkv` and `y` pass from call to call.
    pub handover: Handover,
}

/// Buffers, in push-constant order.
#[derive(Clone, Copy, Debug)]
pub struct Bindings {
    /// f32 (rows, qkv_stride).
    pub qkv: Slice,
    /// f32 (head_dim): weights of q's and k's RMSNorm, where the model has them.
    pub head_norms: Option<[Slice; 2]>,
    /// f32 (context, rotary_dim / 2).
    pub cos: Slice,
    /// f32 (context, rotary_dim / 2).
    pub sin: Slice,
    /// The layer's K cache.
    pub k_cache: Slice,
    /// The layer's V cache.
    pub v_cache: Slice,
    /// u32: how many rows hold a token.
    pub row_count: Slice,
    /// The rows of the step, each of another sequence.
    pub step_rows: Slice,
    /// u32 (max_sequences, max_blocks).
    pub block_table: Slice,
    /// As in [`super::Bindings`].
    pub partials: Option<Slice>,
    /// As in [`super::Bindings`].
    pub counters: Option<Slice>,
    /// f32 (rows, heads * head_dim).
    pub y: Slice,
}

/// Rotates, stores and attends for up to `rows` rows.
pub fn dispatch(attention: &Attention, rope: &Rope, rows: u32, bindings: Bindings) -> Dispatch {
    let Rope { rotary_dim, norm_eps, qkv_stride, handover } = *rope;
    let head_dim = attention.cache.head_dim;
    assert!(
        head_dim.is_multiple_of(2) && rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim,
        "rotary_dim {rotary_dim} of head_dim {head_dim}"
    );
    assert!(qkv_stride.is_multiple_of(4), "qkv_stride {qkv_stride}");
    attention.check_scratch(rows, bindings.partials, bindings.counters);
    let kernel = match attention.cache.dtype {
        KvType::F32 => &KERNEL_F32,
        KvType::F16 => &KERNEL_F16,
    };
    let Bindings { qkv, head_norms, cos, sin, k_cache, v_cache, row_count, step_rows, .. } = bindings;
    let [q_norm, k_norm] = [0, 1].map(|which| head_norms.map(|norms| norms[which]));
    let bind = |name, access| move |slice: Option<Slice>| Binding { name, slice, access };
    let list = vec![
        bind("qkv", handover.reading())(Some(qkv)),
        bind("q_norm", Access::Read)(q_norm),
        bind("k_norm", Access::Read)(k_norm),
        bind("cos", Access::Read)(Some(cos)),
        bind("sin", Access::Read)(Some(sin)),
        bind("k_cache", Access::ReadWrite)(Some(k_cache)),
        bind("v_cache", Access::ReadWrite)(Some(v_cache)),
        bind("row_count", Access::Read)(Some(row_count)),
        bind("step_rows", Access::Read)(Some(step_rows)),
        bind("block_table", Access::Read)(Some(bindings.block_table)),
        bind("partials", Access::ReadWrite)(bindings.partials),
        bind("counters", Access::ReadWrite)(bindings.counters),
        bind("y", handover.writing())(Some(bindings.y)),
    ];
    let normed = u32::from(head_norms.is_some());
    let [polls, publishes] = handover.specialization();
    attention.call(
        kernel,
        &ONE_ROW,
        rows,
        list,
        &[rotary_dim, normed, normed, polls, publishes],
        (qkv_stride, norm_eps),
    )
}

/// Whether a call is one of this variant.
pub(super) fn is_taken_along(dispatch: &Dispatch) -> bool {
    dispatch.kernel.name.ends_with("_rope")
}

/// The call's share of `rope_kv`: its parameters and rotary_dim.
pub(super) fn arguments(dispatch: &Dispatch) -> (rope_kv::Params, u32) {
    let Params { max_blocks, qkv_stride, norm_eps, .. } = dispatch.params();
    let kv_heads = reference::layout(dispatch).kv_heads;
    let (heads, head_dim) = (reference::heads(dispatch), dispatch.specialization[1]);
    let params = rope_kv::Params {
        qkv_stride,
        q_offset: 0,
        k_offset: heads * head_dim,
        v_offset: (heads + kv_heads) * head_dim,
        heads,
        kv_heads,
        max_blocks,
        norm_eps,
    };
    (params, dispatch.specialization[9])
}
