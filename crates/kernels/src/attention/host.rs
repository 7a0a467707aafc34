//! `attention` on the CPU: parallel over rows and KV heads, a block of the cache at a time with a running maximum.
//! The inner loops run over consecutive floats, so they compile to whatever vectors the machine has.

use super::Params;
use super::reference::{attended, heads, layout, params, queries};
use crate::rope_kv::{KV_BLOCK, KvLayout, KvType};
use crate::step::Row;
use crate::{Dispatch, HostMemory};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use std::ops::Range;

/// Positions of a block.
const BLOCK: usize = KV_BLOCK as usize;

/// Floats that the inner loops take at a time: two quads of f32, one of f16.
const RUN: usize = 8;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { max_blocks, window, scale, cap } = params(dispatch);
    let layout = layout(dispatch);
    let kv_heads = layout.kv_heads;
    let q = queries(dispatch, memory, layout);
    let row_count = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let rows = memory.read::<Row>(dispatch.slice("step_rows"));
    let block_table = memory.read::<u32>(dispatch.slice("block_table"));
    let (k_cache, v_cache) = (dispatch.slice("k_cache"), dispatch.slice("v_cache"));
    let (k_cache, v_cache) = (memory.read::<u32>(k_cache), memory.read::<u32>(v_cache));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    let (rows, block_table, k_cache, v_cache, q) = (&*rows, &*block_table, &*k_cache, &*v_cache, &*q);

    let group = heads(dispatch) as usize / kv_heads as usize * layout.head_dim as usize;
    let jobs = row_count * kv_heads as usize;
    y.par_chunks_mut(group).take(jobs).enumerate().for_each(|(job, y)| {
        let row = &rows[job / kv_heads as usize];
        let kv_head = job % kv_heads as usize;
        let table = &block_table[(row.sequence * max_blocks) as usize..];
        let q = &q[job * group..][..group];
        let positions = attended(row.position, window);
        let state = Group::new(layout, q, scale, cap);
        pulp::Arch::new().dispatch(Job { state, table, kv_head, positions, k_cache, v_cache, y });
    });
}

/// A row and KV head, to be compiled for each set of vector instructions. Not a closure: one that is not inlined is compiled
/// for none of them, which was 15 times slower.
struct Job<'a> {
    state: Group,
    table: &'a [u32],
    kv_head: usize,
    positions: Range<u32>,
    k_cache: &'a [u32],
    v_cache: &'a [u32],
    y: &'a mut [f32],
}

impl pulp::WithSimd for Job<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { mut state, table, kv_head, positions, k_cache, v_cache, y } = self;
        let layout = state.layout;
        let words = BLOCK * layout.words() as usize;
        for block in positions.start / KV_BLOCK..positions.end.div_ceil(KV_BLOCK) {
            let first = block * KV_BLOCK;
            let low = positions.start.saturating_sub(first) as usize;
            let high = (positions.end - first).min(KV_BLOCK) as usize;
            let at = (table[block as usize] as usize * layout.kv_heads as usize + kv_head) * words;
            state.attend(&k_cache[at..][..words], &v_cache[at..][..words], low, high);
        }
        state.store(y);
    }
}

/// The query heads of a KV head, and what they have gathered.
struct Group {
    layout: KvLayout,
    /// Values of a head in the cache, zero-padded.
    padded: usize,
    /// Heads of queries, zero-padded, times the scale.
    queries: Vec<f32>,
    /// Soft cap of the scores; 0 means none.
    cap: f32,
    sums: Vec<f32>,
    maxima: Vec<f32>,
    totals: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Group {
    #[inline(always)]
    fn new(layout: KvLayout, q: &[f32], scale: f32, cap: f32) -> Self {
        let padded = (layout.words() * layout.dtype.values_per_word()) as usize;
        let size = layout.head_dim as usize;
        let heads = q.len() / size;
        let mut queries = vec![0.0; heads * padded];
        for (query, q) in queries.chunks_exact_mut(padded).zip(q.chunks_exact(size)) {
            query.iter_mut().zip(q).for_each(|(query, q)| *query = q * scale);
        }
        Self {
            layout,
            padded,
            queries,
            cap,
            sums: vec![0.0; heads * padded],
            maxima: vec![f32::NEG_INFINITY; heads],
            totals: vec![0.0; heads],
            k: vec![0.0; BLOCK * padded],
            v: vec![0.0; BLOCK * padded],
        }
    }

    /// Attends to the positions [low, high) of a block.
    #[inline(always)]
    fn attend(&mut self, k: &[u32], v: &[u32], low: usize, high: usize) {
        let Self { layout, padded, queries, cap, sums, maxima, totals, k: k_values, v: v_values } = self;
        let dtype = layout.dtype;
        let k = values(dtype, k, k_values);
        let v = values(dtype, v, v_values);
        let heads = queries.chunks_exact(*padded).zip(sums.chunks_exact_mut(*padded));
        for (((query, sums), maximum), total) in heads.zip(maxima).zip(totals) {
            let mut weights = [f32::NEG_INFINITY; BLOCK];
            match dtype {
                KvType::F32 => scores::<4>(query, k, &mut weights),
                KvType::F16 => scores::<8>(query, k, &mut weights),
            }
            let weights = &mut weights[low..high];
            if *cap > 0.0 {
                weights.iter_mut().for_each(|score| *score = *cap * (*score / *cap).tanh());
            }
            let new_maximum = weights.iter().copied().fold(*maximum, f32::max);
            let factor = (*maximum - new_maximum).exp();
            weights.iter_mut().for_each(|weight| *weight = (*weight - new_maximum).exp());
            *total = *total * factor + weights.iter().sum::<f32>();
            *maximum = new_maximum;
            sums.iter_mut().for_each(|sum| *sum *= factor);
            for (weight, v) in weights.iter().zip(v.chunks_exact(*padded).skip(low)) {
                sums.iter_mut().zip(v).for_each(|(sum, v)| *sum += weight * v);
            }
        }
    }

    #[inline(always)]
    fn store(&self, y: &mut [f32]) {
        let heads = y.chunks_exact_mut(self.layout.head_dim as usize);
        for ((y, sums), total) in heads.zip(self.sums.chunks_exact(self.padded)).zip(&self.totals) {
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum / total);
        }
    }
}

/// The values of a block as f32, in `room` where they have to be converted.
#[inline(always)]
fn values<'a>(dtype: KvType, words: &'a [u32], room: &'a mut [f32]) -> &'a [f32] {
    match dtype {
        KvType::F32 => bytemuck::cast_slice(words),
        KvType::F16 => {
            bytemuck::cast_slice::<u32, f16>(words).convert_to_f32_slice(room);
            room
        }
    }
}

/// q · k for every position of a block of K, whose quads hold `QUAD` values.
#[inline(always)]
fn scores<const QUAD: usize>(query: &[f32], k: &[f32], scores: &mut [f32; BLOCK]) {
    // A running sum for every place of every position's quad.
    let mut sums = [0.0f32; BLOCK * RUN];
    let sums = &mut sums[..BLOCK * QUAD];
    for (query, k) in query.chunks_exact(QUAD).zip(k.chunks_exact(BLOCK * QUAD)) {
        let mut run = [0.0; RUN];
        run.iter_mut().zip(query.iter().cycle()).for_each(|(run, q)| *run = *q);
        for (sums, k) in sums.chunks_exact_mut(RUN).zip(k.chunks_exact(RUN)) {
            for i in 0..RUN {
                sums[i] += run[i] * k[i];
            }
        }
    }
    for (score, sums) in scores.iter_mut().zip(sums.chunks_exact(QUAD)) {
        *score = sums.iter().sum();
    }
}
