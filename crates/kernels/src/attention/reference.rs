//! The plain reference of `attention`: two passes over the positions of a row and head, in f64.

use super::{Params, rope};
use crate::rope_kv::reference::rotate_rows;
use crate::rope_kv::{KV_BLOCK, KvLayout, KvType};
use crate::step::Row;
use crate::{Dispatch, HostMemory};
use half::f16;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { max_blocks, window, scale, cap } = params(dispatch);
    let layout = layout(dispatch);
    let kv_heads = layout.kv_heads;
    let q = queries(dispatch, memory, layout);
    let row_count = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let rows = memory.read::<Row>(dispatch.slice("step_rows"));
    let block_table = memory.read::<u32>(dispatch.slice("block_table"));
    let k_cache = memory.read::<u32>(dispatch.slice("k_cache"));
    let v_cache = memory.read::<u32>(dispatch.slice("v_cache"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));

    let size = layout.head_dim as usize;
    let heads = heads(dispatch);
    for (index, row) in rows.iter().enumerate().take(row_count) {
        let positions = attended(row.position, window);
        let block = |position: u32| block_table[(row.sequence * max_blocks + position / KV_BLOCK) as usize];
        for head in 0..heads {
            let kv_head = head / (heads / kv_heads);
            let at = (index * heads as usize + head as usize) * size;
            let k = |position, dim| {
                value(layout, dim, |word| k_cache[layout.k_index(block(position), kv_head, position, word)])
            };
            let v = |position, dim| {
                value(layout, dim, |word| v_cache[layout.v_index(block(position), kv_head, position, word)])
            };
            let score = |position| -> f64 {
                let products =
                    q[at..at + size].iter().zip(0..).map(|(q, dim)| f64::from(*q) * k(position, dim));
                let score = products.sum::<f64>() * f64::from(scale);
                let cap = f64::from(cap);
                if cap > 0.0 { cap * (score / cap).tanh() } else { score }
            };
            let scores: Vec<f64> = positions.clone().map(score).collect();
            let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - maximum).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (y, dim) in y[at..at + size].iter_mut().zip(0..) {
                let sum: f64 = positions.clone().zip(&weights).map(|(p, weight)| weight * v(p, dim)).sum();
                *y = (sum / total) as f32;
            }
        }
    }
}

/// The positions that a row at `position` attends to.
pub(super) fn attended(position: u32, window: u32) -> std::ops::Range<u32> {
    let end = position + 1;
    if window == 0 { 0..end } else { end.saturating_sub(window)..end }
}

/// The shape of the caches of a call.
pub(super) fn layout(dispatch: &Dispatch) -> KvLayout {
    let dtype = KvType::of_kernel(dispatch.kernel.name);
    KvLayout { dtype, kv_heads: dispatch.specialization[3], head_dim: dispatch.specialization[1] }
}

/// The queries of all rows; where the call takes RoPE along it first puts k and v of its rows into the caches.
pub(super) fn queries(dispatch: &Dispatch, memory: &HostMemory, layout: KvLayout) -> Vec<f32> {
    if !rope::is_taken_along(dispatch) {
        return memory.read::<f32>(dispatch.slice("q")).to_vec();
    }
    let mut q = vec![0.0; dispatch.slice("y").bytes as usize / 4];
    let (params, rotary_dim) = rope::arguments(dispatch);
    rotate_rows(dispatch, memory, layout, params, rotary_dim, &mut q);
    q
}

/// The parameters that both kernels begin with.
pub(super) fn params(dispatch: &Dispatch) -> Params {
    bytemuck::pod_read_unaligned(&dispatch.params[..size_of::<Params>()])
}

/// Heads of q of a call.
pub(super) fn heads(dispatch: &Dispatch) -> u32 {
    let [group, kv_heads, shares] = [2, 3, 4].map(|at| dispatch.specialization[at]);
    kv_heads * shares * group
}

fn value(layout: KvLayout, dim: u32, word: impl Fn(u32) -> u32) -> f64 {
    match layout.dtype {
        KvType::F32 => f64::from(f32::from_bits(word(dim))),
        KvType::F16 => f16::from_bits((word(dim / 2) >> (dim % 2 * 16)) as u16).to_f64(),
    }
}
