use super::*;
use crate::rope_kv::KV_BLOCK;
use crate::step::Row;
use crate::testing::Case;
use half::f16;

/// An attention call to check.
#[derive(Clone, Copy)]
struct Check {
    dtype: KvType,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    window: u32,
    soft_cap: Option<f32>,
    /// Positions of the rows; the sequence is the row's index modulo 3.
    positions: &'static [u32],
    /// Rows in use; the others stay untouched.
    in_use: u32,
}

const BASE: Check = Check {
    dtype: KvType::F32,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    window: 0,
    soft_cap: None,
    positions: &[40],
    in_use: 1,
};

const SEQUENCES: u32 = 3;

struct Made {
    case: Case,
    rows: u32,
    attention: Attention,
    bindings: Bindings,
}

impl Check {
    /// Random q and caches; positions that no row attends to hold NaN.
    fn make(self) -> Made {
        let Self { dtype, heads, kv_heads, head_dim, window, soft_cap, positions, in_use } = self;
        let cache = KvLayout { dtype, kv_heads, head_dim };
        let rows = positions.len() as u32;
        let max_blocks = positions.iter().max().unwrap() / KV_BLOCK + 1;
        let attention =
            Attention { cache, heads, scale: 0.3, window, soft_cap, max_blocks, expected_positions: 1 };
        let mut case = Case::new();
        // Blocks of the sequences interleave, and run backwards.
        let blocks = SEQUENCES * max_blocks;
        let block_of = |sequence: u32, block: u32| blocks - 1 - (block * SEQUENCES + sequence);
        let table: Vec<u32> =
            (0..SEQUENCES).flat_map(|s| (0..max_blocks).map(move |b| block_of(s, b))).collect();
        let step_rows: Vec<Row> = (0..rows)
            .map(|r| Row {
                token: 0,
                position: positions[r as usize],
                sequence: r % SEQUENCES,
                wants_logits: 0,
            })
            .collect();
        let words = cache.cache_bytes(blocks) as usize / 4;
        let mut caches = [vec![u32::MAX; words], vec![u32::MAX; words]];
        let random = case.random_bytes(words * 2);
        for row in &step_rows[..in_use as usize] {
            for (position, head, word) in reference::attended(row.position, window)
                .flat_map(|p| (0..kv_heads).flat_map(move |h| (0..cache.words()).map(move |w| (p, h, w))))
            {
                let block = table[(row.sequence * max_blocks + position / KV_BLOCK) as usize];
                let at =
                    [cache.k_index(block, head, position, word), cache.v_index(block, head, position, word)];
                for (which, at) in at.into_iter().enumerate() {
                    let value = |half: usize| {
                        let in_head = word * dtype.values_per_word() + half as u32;
                        let byte = random[(2 * at + half + which * 7) % random.len()];
                        if in_head < head_dim { (f32::from(byte) - 127.5) / 64.0 } else { 0.0 }
                    };
                    let half = |index| u32::from(f16::from_f32(value(index)).to_bits());
                    caches[which][at] = match dtype {
                        KvType::F32 => value(0).to_bits(),
                        KvType::F16 => half(0) | half(1) << 16,
                    };
                }
            }
        }
        let [k_cache, v_cache] = caches;
        let values = (rows * heads * head_dim) as usize;
        let bindings = Bindings {
            q: case.floats(values),
            k_cache: case.words(&k_cache),
            v_cache: case.words(&v_cache),
            row_count: case.words(&[in_use]),
            step_rows: case.values(&step_rows),
            block_table: case.words(&table),
            y: case.output(values * 4),
        };
        Made { case, rows, attention, bindings }
    }

    /// Compares reference, host and device.
    fn run(self) {
        let Made { case, rows, attention, bindings } = self.make();
        case.check(&dispatch(&attention, rows, bindings), 3e-6);
    }
}

#[test]
fn first_position() {
    Check { positions: &[0], ..BASE }.run();
}

#[test]
fn positions_around_the_ends_of_blocks() {
    Check { positions: &[31, 32, 33, 63, 64], in_use: 5, ..BASE }.run();
}

#[test]
fn half_precision() {
    Check { dtype: KvType::F16, positions: &[31, 200, 7], in_use: 3, ..BASE }.run();
}

#[test]
fn rows_without_a_token() {
    Check { positions: &[300, 127, 40, 3], in_use: 2, ..BASE }.run();
}

#[test]
fn several_chunks() {
    let several = Check { positions: &[300, 127, 128, 515, 40], in_use: 4, head_dim: 24, ..BASE };
    several.run();
    Check { dtype: KvType::F16, window: 290, ..several }.run();
}

#[test]
fn sliding_window() {
    Check { window: 50, positions: &[10, 49, 50, 333], in_use: 4, ..BASE }.run();
    Check { window: 200, positions: &[333], dtype: KvType::F16, ..BASE }.run();
}

#[test]
fn soft_cap() {
    // Scores reach about ±3, so that both ends of the curve count.
    Check { soft_cap: Some(1.5), positions: &[10, 333], in_use: 2, ..BASE }.run();
    Check { soft_cap: Some(50.0), window: 50, positions: &[333], dtype: KvType::F16, ..BASE }.run();
}

#[test]
fn odd_head_sizes() {
    for head_dim in [2, 6, 80] {
        Check { heads: 2, head_dim, positions: &[37], ..BASE }.run();
        Check { heads: 2, head_dim, positions: &[37], dtype: KvType::F16, ..BASE }.run();
    }
}

#[test]
fn largest_head() {
    Check { heads: 1, kv_heads: 1, head_dim: 256, positions: &[150], ..BASE }.run();
}

#[test]
fn many_heads_share_a_kv_head() {
    for heads in [3, 5, 8, 32] {
        Check { heads, kv_heads: 1, head_dim: 16, positions: &[150], dtype: KvType::F16, ..BASE }.run();
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let first_row = |check: Check| {
        let Made { case, rows, attention, bindings } = check.make();
        let words = case.device_words(&dispatch(&attention, rows, bindings), bindings.y);
        words.map(|words| words[..(check.heads * check.head_dim) as usize].to_vec())
    };
    let alone = first_row(Check { positions: &[300], head_dim: 24, ..BASE });
    assert_eq!(first_row(Check { positions: &[300, 40, 299, 300], head_dim: 24, in_use: 4, ..BASE }), alone);
}

#[test]
fn attends_by_hand() {
    // Two positions of one head: scores 0 and ln 3, so weights 1/4 and 3/4.
    let cache = KvLayout { dtype: KvType::F32, kv_heads: 1, head_dim: 2 };
    let (mut k, mut v) = (vec![0.0f32; 128], vec![0.0f32; 128]);
    k[cache.k_index(0, 0, 1, 1)] = 3.0f32.ln();
    v[cache.v_index(0, 0, 0, 0)] = 8.0;
    v[cache.v_index(0, 0, 1, 1)] = 4.0;
    let mut case = Case::new();
    let attention = Attention {
        cache,
        heads: 1,
        scale: 0.5,
        window: 0,
        soft_cap: None,
        max_blocks: 1,
        expected_positions: 1,
    };
    let bindings = Bindings {
        q: case.values(&[0.0f32, 2.0]),
        k_cache: case.values(&k),
        v_cache: case.values(&v),
        row_count: case.words(&[1]),
        step_rows: case.words(&[0, 1, 0, 0]),
        block_table: case.words(&[0]),
        y: case.output(8),
    };
    let y = case.reference_words(&dispatch(&attention, 1, bindings), bindings.y);
    assert!((f32::from_bits(y[0]) - 2.0).abs() < 1e-6 && (f32::from_bits(y[1]) - 3.0).abs() < 1e-6);
}
