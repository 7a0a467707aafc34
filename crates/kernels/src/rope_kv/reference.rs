//! The plain reference of `rope_kv`, in f64 up to the stores. Attention that takes RoPE along begins with it too.

use super::{KvLayout, KvType, Params};
use crate::step::Row;
use crate::{Dispatch, HostMemory};
use half::f16;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let params: Params = dispatch.params();
    let [_, head_dim, rotary_dim] = [0, 1, 2].map(|i| dispatch.specialization[i]);
    let dtype = KvType::of_kernel(dispatch.kernel.name);
    let layout = KvLayout { dtype, kv_heads: params.kv_heads, head_dim };
    let mut q = memory.write::<f32>(dispatch.slice("q"));
    rotate_rows(dispatch, memory, layout, params, rotary_dim, &mut q);
}

/// Takes the rows in use of the call's `qkv`: queries into `q`, k and v into the call's caches.
pub(crate) fn rotate_rows(
    dispatch: &Dispatch,
    memory: &HostMemory,
    layout: KvLayout,
    params: Params,
    rotary_dim: u32,
    q: &mut [f32],
) {
    let row_count = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let rows = memory.read::<Row>(dispatch.slice("step_rows"));
    let qkv = memory.read::<f32>(dispatch.slice("qkv"));
    let q_norm = dispatch.bound("q_norm").map(|slice| memory.read::<f32>(slice));
    let k_norm = dispatch.bound("k_norm").map(|slice| memory.read::<f32>(slice));
    let cos = memory.read::<f32>(dispatch.slice("cos"));
    let sin = memory.read::<f32>(dispatch.slice("sin"));
    let block_table = memory.read::<u32>(dispatch.slice("block_table"));
    let mut k_cache = memory.write::<u32>(dispatch.slice("k_cache"));
    let mut v_cache = memory.write::<u32>(dispatch.slice("v_cache"));

    let (size, half) = (layout.head_dim as usize, rotary_dim as usize / 2);
    for ((row, qkv), q) in rows
        .iter()
        .zip(qkv.chunks(params.qkv_stride as usize))
        .zip(q.chunks_mut(params.heads as usize * size))
        .take(row_count)
    {
        let angles = row.position as usize * half..(row.position as usize + 1) * half;
        let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
        let head = |offset: u32, head: usize| &qkv[offset as usize + head * size..][..size];
        for (index, q) in q.chunks_mut(size).enumerate() {
            let values = rotated(head(params.q_offset, index), q_norm.as_deref(), params.norm_eps, cos, sin);
            q.copy_from_slice(&values);
        }
        let block = block_table[(row.sequence * params.max_blocks + row.position / super::KV_BLOCK) as usize];
        for index in 0..params.kv_heads {
            let k =
                rotated(head(params.k_offset, index as usize), k_norm.as_deref(), params.norm_eps, cos, sin);
            let v = head(params.v_offset, index as usize);
            for word in 0..layout.words() {
                k_cache[layout.k_index(block, index, row.position, word)] =
                    pack(layout.dtype, &k, word as usize);
                v_cache[layout.v_index(block, index, row.position, word)] =
                    pack(layout.dtype, v, word as usize);
            }
        }
    }
}

/// A head, normalised where `norm` is given, with its first values rotated.
fn rotated(x: &[f32], norm: Option<&[f32]>, eps: f32, cos: &[f32], sin: &[f32]) -> Vec<f32> {
    let mut x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    if let Some(weight) = norm {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + f64::from(eps)).sqrt();
        x.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * f64::from(*weight));
    }
    let half = cos.len();
    for (i, (cos, sin)) in cos.iter().zip(sin).enumerate() {
        let (a, b) = (x[i], x[i + half]);
        let (cos, sin) = (f64::from(*cos), f64::from(*sin));
        (x[i], x[i + half]) = (a * cos - b * sin, b * cos + a * sin);
    }
    x.iter().map(|v| *v as f32).collect()
}

/// A word of a head; values past its end are zero.
fn pack(dtype: KvType, values: &[f32], word: usize) -> u32 {
    let value = |index: usize| values.get(index).copied().unwrap_or(0.0);
    match dtype {
        KvType::F32 => value(word).to_bits(),
        KvType::F16 => {
            let half = |index| u32::from(f16::from_f32(value(index)).to_bits());
            half(2 * word) | half(2 * word + 1) << 16
        }
    }
}
