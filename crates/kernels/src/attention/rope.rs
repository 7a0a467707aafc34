//! `attention_<cache type>_rope`: attention that begins where the projection ends, for rows of different sequences (the
//! rows of decode): each workgroup normalises and rotates the heads that it needs, and the one that serves a row's own
//! position puts k and v into the cache. Saves the phase that `rope_kv` is. Rows of one sequence would need each other's
//! keys, so prefill keeps the two apart.
//!
//! A workgroup serves one query head while a row is short, since the latency of one is what counts then, and several of a KV head from
//! 2 048 positions on, so that K and V come from the cache of its core for all but the first of them. The positions of a row are cut into parts, a
//! workgroup each, as its position alone demands: whole turns of a workgroup's subgroups while it is short, whole blocks when it is long, and no
//! more than make 128 in all. Several parts go to `partials`, and the workgroup that arrives last adds them up, in order.

#[cfg(test)]
mod tests;

use super::{Attention, Kernel, host, reference};
use crate::handover::Handover;
use crate::rope_kv::{self, KV_BLOCK, KvType};
use crate::{Access, Binding, DeviceTraits, Dispatch, Grid, Slice};
use bytemuck::{Pod, Zeroable};

/// Workgroups that share a row at most, or as many as it has heads: a large card holds one a core. More would come in a
/// second wave, which begins when the first ends: twice as many took 270 instead of 320 tokens/s on an H200 (8B, position 4 096).
const WORKGROUPS: u32 = 128;
/// Subgroups of a workgroup.
const SUBGROUPS: u32 = 8;
/// Positions of a part that is worth a workgroup: a turn of its subgroups, if they have 32 invocations.
const PART: u32 = SUBGROUPS * 32;
/// Positions from which on a row is long.
const LONG: u32 = 2048;
/// Query heads of a KV head that a workgroup serves in long rows at most; so many subgroups read the same K and V at about the same time.
const MOST_TOGETHER: u32 = 4;

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    attention: super::Params,
    qkv_stride: u32,
    norm_eps: f32,
}

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
    /// Scratch of [`partial_bytes`]; unbound where there is one part.
    pub partials: Option<Slice>,
    /// u32 words of [`counter_bytes`], zero before the first step and after every one; unbound where there is one part.
    pub counters: Option<Slice>,
    /// f32 (rows, heads * head_dim).
    pub y: Slice,
}

/// Positions that a row can attend to, by the window and the blocks of the table.
fn most_positions(attention: &Attention) -> u32 {
    let context = attention.max_blocks * KV_BLOCK;
    // A window that does not begin with a block reaches into one more.
    if attention.window == 0 { context } else { context.min(attention.window + KV_BLOCK - 1) }
}

/// How the positions of a row are shared by workgroups.
struct Sharing {
    /// Heads that a workgroup serves in long rows; 1 where no row is long.
    together: u32,
    /// Parts of a row at most, while it is short and when it is long.
    parts: [u32; 2],
    /// Workgroups of a row.
    workgroups: u32,
}

impl Sharing {
    fn of(attention: &Attention) -> Self {
        let (heads, positions) = (attention.heads, most_positions(attention));
        let together = if positions > LONG { attention.group(MOST_TOGETHER) } else { 1 };
        let groups = heads / together;
        let of = |count: u32| (WORKGROUPS / count).min(positions.div_ceil(PART)).max(1);
        let parts = [of(heads), of(groups)];
        Self { together, parts, workgroups: (heads * parts[0]).max(groups * parts[1]) }
    }
}

/// Parts that the positions of a row can have.
pub fn most_parts(attention: &Attention) -> u32 {
    let Sharing { parts, .. } = Sharing::of(attention);
    parts[0].max(parts[1])
}

/// Bytes of `partials` for up to `rows` rows; 0 where there is one part.
pub fn partial_bytes(attention: &Attention, rows: u32) -> u64 {
    let Attention { cache, heads, .. } = *attention;
    // The zero-padded sums of a head, then a quad with its maximum and total.
    let padded = cache.words() * cache.dtype.values_per_word() + 4;
    let values = u64::from(heads) * u64::from(padded);
    let parts = u64::from(most_parts(attention));
    if parts == 1 { 0 } else { u64::from(rows) * parts * values * 4 }
}

/// Bytes of `counters` for up to `rows` rows; 0 where there is one part.
pub fn counter_bytes(attention: &Attention, rows: u32) -> u64 {
    if most_parts(attention) == 1 { 0 } else { u64::from(rows) * u64::from(attention.heads) * 4 }
}

/// Rotates, stores and attends for up to `rows` rows.
pub fn dispatch(
    attention: &Attention,
    rope: &Rope,
    rows: u32,
    device: DeviceTraits,
    bindings: Bindings,
) -> Dispatch {
    let Rope { rotary_dim, norm_eps, qkv_stride, handover } = *rope;
    let head_dim = attention.cache.head_dim;
    assert!(
        head_dim.is_multiple_of(2) && rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim,
        "rotary_dim {rotary_dim} of head_dim {head_dim}"
    );
    assert!(qkv_stride.is_multiple_of(4), "qkv_stride {qkv_stride}");
    let bytes = |slice: Option<Slice>| slice.map_or(0, |s| s.bytes);
    assert!(bytes(bindings.partials) >= partial_bytes(attention, rows), "partials are too small");
    assert!(bytes(bindings.counters) >= counter_bytes(attention, rows), "counters are too small");
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
    let (constants, _) = attention.constants(1);
    let subgroup = device.subgroup_size;
    let Sharing { together, parts, workgroups } = Sharing::of(attention);
    let own = [subgroup, rotary_dim, normed, polls, publishes, together, LONG, parts[0], parts[1]];
    Dispatch {
        kernel,
        specialization: [&[SUBGROUPS * subgroup], &constants[..], &own].concat(),
        bindings: list,
        params: bytemuck::bytes_of(&Params { attention: attention.params(), qkv_stride, norm_eps }).to_vec(),
        grid: Grid::Groups([workgroups, rows, 1]),
        cost: attention.cost(rows),
    }
}

/// Whether a call is one of this variant.
pub(super) fn is_taken_along(dispatch: &Dispatch) -> bool {
    dispatch.kernel.name.ends_with("_rope")
}

/// The call's share of `rope_kv`: its parameters and rotary_dim.
pub(super) fn arguments(dispatch: &Dispatch) -> (rope_kv::Params, u32) {
    let Params { attention: super::Params { max_blocks, .. }, qkv_stride, norm_eps } = dispatch.params();
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
    (params, dispatch.specialization[7])
}
