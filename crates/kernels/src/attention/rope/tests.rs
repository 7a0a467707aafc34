use super::*;
use crate::rope_kv::{KV_BLOCK, KvLayout};
use crate::step::Row;
use crate::testing::Case;
use half::f16;

/// A call to check: a row a sequence.
#[derive(Clone, Copy)]
struct Check {
    dtype: KvType,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,
    window: u32,
    soft_cap: Option<f32>,
    normed: bool,
    positions: &'static [u32],
    in_use: u32,
    handover: Handover,
}

const BASE: Check = Check {
    dtype: KvType::F32,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    rotary_dim: 64,
    window: 0,
    soft_cap: None,
    normed: true,
    positions: &[40],
    in_use: 1,
    handover: Handover { polls: false, publishes: false },
};

impl Check {
    fn make(self) -> (Case, Dispatch, Bindings) {
        let Self {
            dtype,
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            window,
            soft_cap,
            normed,
            positions,
            in_use,
            handover,
        } = self;
        let cache = KvLayout { dtype, kv_heads, head_dim };
        let rows = positions.len() as u32;
        let max_blocks = positions.iter().max().expect("positions") / KV_BLOCK + 1;
        let attention =
            Attention { cache, heads, scale: 0.3, window, soft_cap, max_blocks, expected_positions: 1 };
        let several = most_parts(&attention) > 1;
        let mut case = Case::new();
        let blocks = rows * max_blocks;
        let table: Vec<u32> = (0..blocks).rev().collect();
        let step_rows: Vec<Row> = (0..rows)
            .map(|sequence| Row {
                token: 0,
                position: positions[sequence as usize],
                sequence,
                wants_logits: 0,
            })
            .collect();
        let words = cache.cache_bytes(blocks) as usize / 4;
        let mut random_cache = || -> Vec<u32> {
            let half = |byte: u8| u32::from(f16::from_f32((f32::from(byte) - 127.5) / 64.0).to_bits());
            let bytes = case.random_bytes(2 * words);
            let pairs = bytes.chunks(2).map(|pair| match dtype {
                KvType::F32 => ((f32::from(pair[0]) - 127.5) / 64.0).to_bits(),
                KvType::F16 => half(pair[0]) | half(pair[1]) << 16,
            });
            pairs.collect()
        };
        let caches = [random_cache(), random_cache()];
        let qkv_stride = ((heads + 2 * kv_heads) * head_dim).next_multiple_of(4) + 4;
        let angles = ((positions.iter().max().expect("positions") + 1) * rotary_dim / 2).max(1) as usize;
        let y_bytes = (rows * heads * head_dim) as usize * 4;
        let bindings = Bindings {
            qkv: case.floats((rows * qkv_stride) as usize),
            head_norms: normed.then(|| [case.floats(head_dim as usize), case.floats(head_dim as usize)]),
            cos: case.floats(angles),
            sin: case.floats(angles),
            k_cache: case.words(&caches[0]),
            v_cache: case.words(&caches[1]),
            row_count: case.words(&[in_use]),
            step_rows: case.values(&step_rows),
            block_table: case.words(&table),
            partials: several.then(|| case.output(partial_bytes(&attention, rows) as usize)),
            counters: several.then(|| case.words(&vec![0; counter_bytes(&attention, rows) as usize / 4])),
            y: case.output(y_bytes),
        };
        let rope = Rope { rotary_dim, norm_eps: 1e-5, qkv_stride, handover };
        let subgroup_size = crate::testing::subgroup_size().unwrap_or(32);
        let device = DeviceTraits { subgroup_size, ..DeviceTraits::LEAST };
        (case, dispatch(&attention, &rope, rows, device, bindings), bindings)
    }

    /// Compares y and the caches of reference, host and device; counters must be left at zero.
    fn run(self) {
        let (case, call, bindings) = self.make();
        case.compare(&call, |name, who, expected, found| {
            if name == "partials" || name == "counters" {
                return;
            }
            for (index, (e, f)) in expected.iter().zip(found).enumerate().filter(|(_, (e, f))| e != f) {
                let values = |word: u32| match self.dtype {
                    KvType::F16 if name != "y" => {
                        [word as u16, (word >> 16) as u16].map(|half| f16::from_bits(half).to_f32())
                    }
                    _ => [f32::from_bits(word); 2],
                };
                let tolerance = if self.dtype == KvType::F16 { 2e-3 } else { 1e-5 };
                for (e, f) in values(*e).into_iter().zip(values(*f)) {
                    // Not `>`: NaN never passes.
                    assert!((e - f).abs() <= tolerance, "{who}: '{name}'[{index}] is {f}, expected {e}");
                }
            }
        });
        let counters = bindings.counters.and_then(|counters| case.device_words(&call, counters));
        assert!(counters.is_none_or(|words| words.iter().all(|word| *word == 0)));
    }
}

#[test]
fn the_own_position_is_attended_to_wherever_it_lies() {
    Check { positions: &[0, 31, 32], in_use: 3, ..BASE }.run();
    Check { positions: &[127, 128, 515], in_use: 2, normed: false, ..BASE }.run();
}

#[test]
fn parts_longer_than_a_workgroup() {
    let long = Check { positions: &[4300], head_dim: 16, rotary_dim: 16, heads: 2, kv_heads: 1, ..BASE };
    long.run();
    Check { window: 1000, positions: &[4300, 999], in_use: 2, ..long }.run();
}

#[test]
fn heads_that_are_served_together() {
    // Three do not share a workgroup's subgroups evenly; of seven none do; of eight, four.
    for (heads, kv_heads) in [(3, 1), (4, 1), (7, 1), (16, 2)] {
        let positions = &[2047, 2048, 4300];
        Check { positions, in_use: 3, heads, kv_heads, head_dim: 16, rotary_dim: 16, ..BASE }.run();
    }
}

#[test]
fn heads_as_models_have_them() {
    // A minute to compile at the widths that lavapipe runs a second and a third time, where small heads stand for these.
    if matches!(crate::testing::subgroup_size(), Some(4 | 16)) {
        return;
    }
    let qwen = Check { dtype: KvType::F16, head_dim: 128, rotary_dim: 128, positions: &[200], ..BASE };
    qwen.run();
    Check { heads: 3, kv_heads: 1, head_dim: 256, rotary_dim: 256, positions: &[70], ..qwen }.run();
    // Minutes to compile for software.
    if crate::testing::subgroup_size() == Some(32) {
        Check { heads: 16, kv_heads: 2, positions: &[1023, 1100, 5000], in_use: 3, ..qwen }.run();
    }
}

#[test]
fn half_precision() {
    Check { dtype: KvType::F16, positions: &[31, 300], in_use: 2, ..BASE }.run();
}

#[test]
fn sliding_window() {
    Check { window: 50, positions: &[10, 333], in_use: 2, ..BASE }.run();
}

#[test]
fn soft_cap() {
    Check { soft_cap: Some(1.5), positions: &[10, 333], in_use: 2, ..BASE }.run();
}

#[test]
fn odd_head_sizes_and_partial_rotation() {
    for (head_dim, rotary_dim) in [(2, 2), (6, 4), (80, 32), (24, 0)] {
        let odd = Check { heads: 2, head_dim, rotary_dim, positions: &[37], ..BASE };
        odd.run();
        Check { dtype: KvType::F16, normed: false, ..odd }.run();
    }
}

#[test]
fn shares_of_a_kv_head_agree_on_the_cache() {
    Check { heads: 32, kv_heads: 1, head_dim: 16, rotary_dim: 16, positions: &[150], ..BASE }.run();
}

#[test]
fn handed_over() {
    let handover = Handover { polls: true, publishes: true };
    Check { handover, positions: &[40, 3], in_use: 1, ..BASE }.run();
    Check { handover, head_dim: 6, rotary_dim: 6, dtype: KvType::F16, ..BASE }.run();
}
