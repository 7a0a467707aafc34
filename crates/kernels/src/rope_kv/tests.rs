use super::*;
use crate::step::Row;
use crate::testing::Case;
use half::f16;

/// A call to check: positions of the rows, of which the first `in_use` hold a token.
#[derive(Clone, Copy)]
struct Check {
    dtype: KvType,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    q_norm: bool,
    k_norm: bool,
    positions: &'static [u32],
    in_use: u32,
}

const BASE: Check = Check {
    dtype: KvType::F32,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    rotary_dim: 64,
    q_norm: false,
    k_norm: false,
    positions: &[3],
    in_use: 1,
};

const THETA: f64 = 1e6;
const CONTEXT: u32 = 100;

/// cos or sin of every position and pair.
fn table(rotary_dim: u32, function: fn(f64) -> f64) -> Vec<f32> {
    let angle = |p: u32, i: u32| f64::from(p) / THETA.powf(f64::from(2 * i) / f64::from(rotary_dim));
    (0..CONTEXT).flat_map(|p| (0..rotary_dim / 2).map(move |i| function(angle(p, i)) as f32)).collect()
}

impl Check {
    fn make(self, case: &mut Case) -> (RopeKv, Bindings) {
        let Self { dtype, heads, kv_heads, head_dim, rotary_dim, q_norm, k_norm, positions, in_use } = self;
        let rows = positions.len() as u32;
        let cache = KvLayout { dtype, kv_heads, head_dim };
        let max_blocks = CONTEXT.div_ceil(KV_BLOCK);
        // Gaps between q, k and v and behind them.
        let (q_offset, k_offset, v_offset) = (1, heads * head_dim + 3, (heads + kv_heads) * head_dim + 4);
        let qkv_stride = v_offset + kv_heads * head_dim + 5;
        let rope = RopeKv {
            cache,
            heads,
            rotary_dim,
            norm_eps: 1e-6,
            qkv_stride,
            q_offset,
            k_offset,
            v_offset,
            max_blocks,
        };
        let step_rows: Vec<Row> = (0..rows)
            .map(|r| Row { token: 0, position: positions[r as usize], sequence: r % 2, wants_logits: 0 })
            .collect();
        let block_table: Vec<u32> = (0..2 * max_blocks).rev().collect();
        let cache_bytes = cache.cache_bytes(2 * max_blocks) as usize;
        let bindings = Bindings {
            qkv: case.floats((rows * qkv_stride) as usize),
            q_norm: q_norm.then(|| case.floats(head_dim as usize)),
            k_norm: k_norm.then(|| case.floats(head_dim as usize)),
            cos: case.values(&table(rotary_dim, f64::cos)),
            sin: case.values(&table(rotary_dim, f64::sin)),
            row_count: case.words(&[in_use]),
            step_rows: case.values(&step_rows),
            block_table: case.words(&block_table),
            q: case.output((rows * heads * head_dim) as usize * 4),
            k_cache: case.output(cache_bytes),
            v_cache: case.output(cache_bytes),
        };
        (rope, bindings)
    }

    fn run(self) {
        let mut case = Case::new();
        let (rope, bindings) = self.make(&mut case);
        let call = dispatch(&rope, self.positions.len() as u32, bindings);
        if self.dtype == KvType::F32 {
            return case.check(&call, 1e-6);
        }
        for slice in [bindings.q, bindings.k_cache, bindings.v_cache] {
            let expected = case.reference_words(&call, slice);
            let Some(found) = case.device_words(&call, slice) else { continue };
            let values = |words: &[u32]| -> Vec<f32> {
                match slice == bindings.q {
                    true => words.iter().map(|word| f32::from_bits(*word)).collect(),
                    false => bytemuck::cast_slice::<u32, f16>(words).iter().map(|v| v.to_f32()).collect(),
                }
            };
            for (index, (e, f)) in values(&expected).into_iter().zip(values(&found)).enumerate() {
                // Poison is a NaN in one half of its words only; those have to agree in every bit.
                let close = (e - f).abs() <= 1e-3 * e.abs().max(1e-3);
                assert!(close || (e.is_nan() && f.is_nan()), "[{index}] is {f}, expected {e}");
            }
        }
    }
}

#[test]
fn one_row() {
    BASE.run();
}

#[test]
fn normed_heads_of_many_rows() {
    Check { q_norm: true, k_norm: true, positions: &[0, 31, 32, 99, 5], in_use: 4, ..BASE }.run();
    Check { k_norm: true, head_dim: 128, rotary_dim: 128, positions: &[98, 31], in_use: 2, ..BASE }.run();
}

#[test]
fn odd_sizes_and_partial_rotation() {
    for (head_dim, rotary_dim) in [(2, 2), (6, 6), (10, 4), (80, 20), (256, 2), (18, 18)] {
        Check { head_dim, rotary_dim, heads: 3, kv_heads: 3, positions: &[40, 41, 7], in_use: 2, ..BASE }
            .run();
    }
}

#[test]
fn half_precision() {
    Check { dtype: KvType::F16, q_norm: true, positions: &[0, 31, 32, 99], in_use: 3, ..BASE }.run();
    for (head_dim, rotary_dim) in [(2, 2), (6, 6), (10, 4), (18, 18)] {
        Check { dtype: KvType::F16, head_dim, rotary_dim, positions: &[40, 41], in_use: 2, ..BASE }.run();
    }
}

/// Position 1, head_dim 128, θ 1e6: cos .5403, .6925, .7965 … for pairs 0, 1, 2 …
#[test]
fn every_pair_has_its_own_frequency() {
    let check = Check { head_dim: 128, rotary_dim: 128, heads: 1, kv_heads: 1, positions: &[1], ..BASE };
    let mut case = Case::new();
    let (rope, bindings) = check.make(&mut case);
    let qkv: Vec<f32> = (0..rope.qkv_stride).map(|i| if (1..65).contains(&i) { 1.0 } else { 0.0 }).collect();
    let bindings = Bindings { qkv: case.values(&qkv), ..bindings };
    let q = case.reference_words(&dispatch(&rope, 1, bindings), bindings.q);
    let q: &[f32] = bytemuck::cast_slice(&q);
    for (pair, cos) in [0.5403, 0.6925, 0.7965].into_iter().enumerate() {
        assert!((q[pair] - cos).abs() < 5e-5, "pair {pair}: {}", q[pair]);
        assert!((q[64 + pair].hypot(q[pair]) - 1.0).abs() < 1e-6);
    }
}
