use super::*;
use crate::Slice;
use crate::argmax::{key, pieces};
use crate::step::{Header, NO_TOKEN, Row, SequenceParams, StepLayout};
use crate::testing::Case;

const CONTEXT: u32 = 50;
const RING_HEAD: u32 = 0xffff_fffe;

/// What a row of logits samples from, at which position.
struct Sampled {
    logits: Vec<f32>,
    params: SequenceParams,
    position: u32,
}

/// A call, and the buffers that it changes.
struct Made {
    case: Case,
    call: Dispatch,
    bindings: Bindings,
}

/// Each row has its own sequence; between them stand rows whose logits nobody wants. The ring holds `ring_size` tokens.
fn make(rows: &[Sampled], ring_size: u32) -> Made {
    let mut case = Case::new();
    let vocab = rows.first().map_or(1, |row| row.logits.len()) as u32;
    let (count, stride, max_rows) = (rows.len() as u32, vocab + 1, 2 * rows.len() as u32 + 1);
    let mut logits = vec![f32::NAN; (count.max(1) * stride) as usize];
    let mut partials = Vec::new();
    for (to, row) in logits.chunks_mut(stride as usize).zip(rows) {
        to[..vocab as usize].copy_from_slice(&row.logits);
        let tokens: Vec<u32> = (0..vocab).collect();
        // As argmax leaves them, in pieces of the size that it has.
        for tokens in tokens.chunks(vocab.div_ceil(pieces(vocab)) as usize) {
            let first = |best: [u32; 2], token: &u32| {
                let key = key(row.logits[*token as usize]);
                if key > best[0] { [key, *token] } else { best }
            };
            partials.push(tokens.iter().fold([0, NO_TOKEN], first));
        }
    }
    let layout = StepLayout { max_rows };
    let mut step = vec![0xffff_deadu32; layout.step_bytes() as usize / 4];
    let header = Header { row_count: max_rows, logit_count: count, ring_head: RING_HEAD, loads: 5 };
    step[..4].copy_from_slice(bytemuck::cast_slice(&[header]));
    for (index, row) in rows.iter().enumerate() {
        let words = Row { token: 9, position: row.position, sequence: index as u32, wants_logits: 1 };
        step[4 + 4 * (2 * index + 1)..][..4].copy_from_slice(bytemuck::cast_slice(&[words]));
        step[4 + 4 * max_rows as usize + index] = 2 * index as u32 + 1;
    }
    let mut params: Vec<SequenceParams> = rows.iter().map(|row| row.params).collect();
    params.push(SequenceParams::default());
    let mut scratch = vec![0xffff_deadu32; scratch_bytes(count) as usize / 4];
    scratch[0] = 0;
    let bindings = Bindings {
        logits: case.values(&logits),
        partials: case.values(if partials.is_empty() { &[[0; 2]] } else { &partials }),
        step: case.words(&step),
        sequences: case.values(&params),
        history: case.output((count.max(1) * CONTEXT) as usize * 4),
        ring: case.output(ring_size as usize * 4),
        scratch: case.words(&scratch),
    };
    let params = Params { vocab, stride, pieces: pieces(vocab), context: CONTEXT, ring_size, max_rows };
    let call = dispatch(params, count.max(1), bindings);
    Made { case, call, bindings }
}

/// The token of each row, from a ring at [`RING_HEAD`].
fn tokens(ring: &[u32], count: usize) -> Vec<u32> {
    (0..count).map(|j| ring[RING_HEAD.wrapping_add(j as u32) as usize % ring.len()]).collect()
}

fn greedy(logits: &[f32], position: u32) -> Sampled {
    Sampled { logits: logits.to_vec(), params: SequenceParams::default(), position }
}

/// Random logits of this spread.
fn random(count: usize, spread: f32, seed: u32) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (uniform(seed, 77, i) + uniform(seed, 78, i) + uniform(seed, 79, i)) * spread)
        .collect()
}

#[test]
fn one_greedy_row_goes_on() {
    let Made { case, call, bindings } = make(&[greedy(&[0.5, 2.0, -1.0], 7)], 8);
    case.check_bits(&call);
    let step = case.reference_words(&call, bindings.step);
    assert_eq!(step[..8], [1, 1, RING_HEAD.wrapping_add(1), 5, 1, 8, 0, 1]);
    assert_eq!(step[4 + 4 * 3], 0);
    assert_eq!(tokens(&case.reference_words(&call, bindings.ring), 1), [1]);
    assert_eq!(case.reference_words(&call, bindings.history)[8], 1);
}

#[test]
fn a_row_that_stops_leaves_no_rows() {
    for end_position in [8, 3, 0] {
        let params = SequenceParams { end_position, ..SequenceParams::default() };
        let Made { case, call, bindings } = make(&[Sampled { params, ..greedy(&[0.5, 2.0], 7) }], 8);
        case.check_bits(&call);
        assert_eq!(case.reference_words(&call, bindings.step)[..3], [0, 0, RING_HEAD.wrapping_add(1)]);
    }
}

#[test]
fn rows_that_go_on_close_up() {
    let stops_at = |tokens: &[u32]| {
        let mut params = SequenceParams { stop_count: tokens.len() as u32, ..SequenceParams::default() };
        params.stop_tokens[..tokens.len()].copy_from_slice(tokens);
        params
    };
    let row = |params, position| Sampled { params, ..greedy(&[0.0, 3.0, 3.0], position) };
    let all: Vec<u32> = (1..15).collect();
    let rows = [
        row(stops_at(&[5, 1]), 3),                                // stops
        row(stops_at(&[2, 0]), 4),                                // goes on
        greedy(&[0.0, f32::NAN, 1.0], 5),                         // fails
        row(stops_at(&[]), CONTEXT - 1),                          // the context ends
        row(stops_at(&[]), CONTEXT - 2),                          // goes on
        row(stops_at(&all), 6),                                   // stops
        greedy(&[f32::NEG_INFINITY; 3], 7),                       // fails
        greedy(&[0.0, f32::INFINITY, 1.0], 8),                    // fails
        greedy(&[f32::NEG_INFINITY, -9.0, f32::NEG_INFINITY], 9), // goes on
    ];
    let Made { case, call, bindings } = make(&rows, 16);
    case.check_bits(&call);
    let step = case.reference_words(&call, bindings.step);
    assert_eq!(step[..4], [3, 3, RING_HEAD.wrapping_add(9), 5]);
    assert_eq!(step[4..16], [1, 5, 1, 1, 1, CONTEXT - 1, 4, 1, 1, 10, 8, 1]);
    let ring = tokens(&case.reference_words(&call, bindings.ring), 9);
    assert_eq!(ring, [1, 1, NO_TOKEN, 1, 1, 1, NO_TOKEN, NO_TOKEN, 1]);
}

#[test]
fn no_logits_end_the_step() {
    let Made { case, call, bindings } = make(&[], 4);
    case.check_bits(&call);
    assert_eq!(case.reference_words(&call, bindings.step)[..4], [0, 0, RING_HEAD, 5]);
}

#[test]
fn more_rows_than_invocations() {
    let rows: Vec<Sampled> = (0..1030)
        .map(|r| {
            let params = SequenceParams { end_position: 5 + r % 3, ..SequenceParams::default() };
            Sampled { params, ..greedy(&[r as f32, 500.0], 4) }
        })
        .collect();
    make(&rows, 2048).case.check_bits(&make(&rows, 2048).call);
}

fn seeded(params: SequenceParams, seed_low: u32) -> SequenceParams {
    SequenceParams { seed_low, seed_high: 3, ..params }
}

/// Draws of device and reference, which may differ only where the random number falls on a boundary.
fn check_draws(name: &str, logits: &[f32], params: SequenceParams) {
    const DRAWS: u32 = 24;
    let row =
        |r: u32| Sampled { logits: logits.to_vec(), params: seeded(params, r / 2), position: r % 2 * 5 };
    let rows: Vec<Sampled> = (0..DRAWS).map(row).collect();
    let Made { case, call, bindings } = make(&rows, 64);
    let Some(found) = case.device_words(&call, bindings.ring) else { return };
    let expected = tokens(&case.reference_words(&call, bindings.ring), rows.len());
    for ((row, expected), found) in rows.iter().zip(expected).zip(tokens(&found, rows.len())) {
        let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let kept = reference::distribution(logits, maximum, &row.params);
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let u = f64::from(uniform(row.params.seed_low, row.params.seed_high, row.position));
        let mut cumulative = 0.0;
        let near = kept.iter().any(|(_, weight)| {
            cumulative += weight / total;
            (cumulative - u).abs() < 2e-6
        });
        assert!(found == expected || near, "{name}, u = {u}: token {found}, expected {expected}");
    }
}

const SAMPLED: SequenceParams = SequenceParams {
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    penalty_window: 0,
    seed_low: 0,
    seed_high: 0,
    end_position: u32::MAX,
    stop_count: 0,
    stop_tokens: [0; crate::step::MAX_STOP_TOKENS],
};

#[test]
fn draws_by_temperature() {
    for (vocab, temperature) in
        [(1, 1.0), (2, 3.0), (33, 0.05), (5000, 1.0), (5000, 7.0), (700, 1e-30), (70, 1e30)]
    {
        let name = format!("vocabulary {vocab}, temperature {temperature}");
        check_draws(&name, &random(vocab, 9.0, 1), SequenceParams { temperature, ..SAMPLED });
    }
}

#[test]
fn draws_by_top_k() {
    let logits = random(5000, 9.0, 2);
    for top_k in [1, 50, 1000, 4999, 9000] {
        check_draws(
            &format!("top-k {top_k}"),
            &logits,
            SequenceParams { top_k, temperature: 4.0, ..SAMPLED },
        );
    }
}

#[test]
fn draws_by_top_p_and_min_p() {
    let logits = random(5000, 9.0, 3);
    for top_p in [0.0, 0.5, 0.95, 0.999] {
        check_draws(
            &format!("top-p {top_p}"),
            &logits,
            SequenceParams { top_p, temperature: 2.0, ..SAMPLED },
        );
    }
    for min_p in [0.0001, 0.3, 2.0] {
        check_draws(
            &format!("min-p {min_p}"),
            &logits,
            SequenceParams { min_p, temperature: 2.0, ..SAMPLED },
        );
    }
    let all = SequenceParams { top_k: 300, top_p: 0.8, min_p: 0.01, temperature: 1.5, ..SAMPLED };
    check_draws("all", &logits, all);
}

#[test]
fn draws_from_hard_rows() {
    let all = SequenceParams { top_k: 100, top_p: 0.9, ..SAMPLED };
    // Everything in one bin; all values equal; a few values, many times; around zero; nearly all out of reach.
    check_draws("narrow", &random(5000, 1e-4, 4), all);
    check_draws("equal", &[2.5; 700], all);
    check_draws("equal zeros", &[0.0, -0.0].repeat(40), all);
    check_draws("steps", &random(5000, 9.0, 5).iter().map(|v| v.round()).collect::<Vec<_>>(), all);
    check_draws("around zero", &random(5000, 0.02, 6).iter().map(|v| v - 0.03).collect::<Vec<_>>(), all);
    check_draws("large", &random(5000, 1e4, 7).iter().map(|v| v + 1e6).collect::<Vec<_>>(), all);
    let mut far = vec![f32::NEG_INFINITY; 3000];
    far[1234..1240].copy_from_slice(&[1.0, 2.0, -40.0, 2.0, 1.5, -1e30]);
    check_draws("far", &far, all);
    check_draws("far without limits", &far, SAMPLED);
}

/// With values in descending order and a random number next to 1, the token drawn is the last one kept.
#[test]
fn the_last_one_kept_is_the_right_one() {
    let seed_low = (0..).find(|seed| uniform(*seed, 3, 0) > 0.99998).expect("one seed in 50 000");
    // Distances from the maximum up to `reach`: one bin of the first histogram is 1/64 wide.
    for (count, reach) in [(2000, 0.0155), (2000, 0.0457), (500, 2.0)] {
        let logits: Vec<f32> = (0..count).map(|i| 11.0 - reach * i as f32 / count as f32).collect();
        let limits = [(0, 0.5), (0, 0.123), (0, 0.9), (321, 1.0), (321, 0.77), (1, 1.0)];
        for (top_k, top_p) in limits {
            let params = seeded(SequenceParams { top_k, top_p, ..SAMPLED }, seed_low);
            let last = reference::distribution(&logits, 11.0, &params).last().expect("one is kept").0;
            let Made { case, call, bindings } =
                make(&[Sampled { logits: logits.clone(), params, position: 0 }], 8);
            let name = format!("{count} values within {reach}, top-k {top_k}, top-p {top_p}");
            assert_eq!(tokens(&case.reference_words(&call, bindings.ring), 1), [last], "{name}, reference");
            let Some(ring) = case.device_words(&call, bindings.ring) else { continue };
            assert_eq!(tokens(&ring, 1), [last], "{name}");
        }
    }
}

#[test]
fn keeps_what_hugging_face_keeps() {
    let kept = |logits: &[f32], params| -> Vec<u32> {
        let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        reference::distribution(logits, maximum, &params).into_iter().map(|(token, _)| token).collect()
    };
    // Probabilities 0.1, 0.4, 0.2, 0.3.
    let logits = [0.1f32.ln(), 0.4f32.ln(), 0.2f32.ln(), 0.3f32.ln()];
    assert_eq!(kept(&logits, SequenceParams { top_k: 2, ..SAMPLED }), [1, 3]);
    assert_eq!(kept(&logits, SequenceParams { top_p: 0.39, ..SAMPLED }), [1]);
    assert_eq!(kept(&logits, SequenceParams { top_p: 0.41, ..SAMPLED }), [1, 3]);
    assert_eq!(kept(&logits, SequenceParams { top_p: 0.0, ..SAMPLED }), [1]);
    assert_eq!(kept(&logits, SequenceParams { min_p: 0.49, ..SAMPLED }), [1, 2, 3]);
    // top-p counts what top-k has left: 0.4 of 0.7 is more than half.
    assert_eq!(kept(&logits, SequenceParams { top_k: 2, top_p: 0.5, ..SAMPLED }), [1]);
    // A temperature of 1/2 squares probabilities: 0.16 of 0.30 is more than half.
    assert_eq!(kept(&logits, SequenceParams { temperature: 0.5, top_p: 0.5, ..SAMPLED }), [1]);
    // Equals of the last one kept are kept.
    assert_eq!(kept(&[1.0, 0.0, 1.0, 1.0], SequenceParams { top_k: 1, ..SAMPLED }), [0, 2, 3]);
    assert_eq!(kept(&[1.0, 0.0, 1.0, 1.0], SequenceParams { top_p: 0.1, ..SAMPLED }), [0, 2, 3]);
}

/// Pearson's χ² of the reference's tokens over many positions.
#[test]
fn draws_follow_the_distribution() {
    let logits = random(40, 3.0, 9);
    let params = SequenceParams { temperature: 1.3, top_p: 0.9, ..SAMPLED };
    const DRAWS: u32 = 4000;
    let rows: Vec<Sampled> = (0..DRAWS)
        .map(|r| Sampled { logits: logits.clone(), params: seeded(params, r / 40), position: r % 40 })
        .collect();
    let Made { case, call, bindings } = make(&rows, 4096);
    let drawn = tokens(&case.reference_words(&call, bindings.ring), rows.len());
    let maximum = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let kept = reference::distribution(&logits, maximum, &params);
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut chi_squared = 0.0;
    let mut counted = 0;
    for (token, weight) in &kept {
        let expected = f64::from(DRAWS) * weight / total;
        let found = drawn.iter().filter(|drawn| *drawn == token).count();
        counted += found;
        chi_squared += (found as f64 - expected).powi(2) / expected;
    }
    assert_eq!(counted as u32, DRAWS, "a token was drawn that top-p drops");
    // The mean is the degrees of freedom f, the deviation √(2f); four of those on either side.
    let freedom = (kept.len() - 1) as f64;
    assert!((chi_squared - freedom).abs() < 4.0 * (2.0 * freedom).sqrt(), "χ² {chi_squared} of {freedom}");
}

#[test]
fn a_draw_depends_on_seed_and_position_only() {
    let row = |seed_low, position| Sampled {
        logits: random(100, 3.0, 1),
        params: seeded(SAMPLED, seed_low),
        position,
    };
    let alone = make(&[row(5, 9)], 8);
    let among = make(&[row(1, 2), row(5, 9), row(5, 8)], 8);
    let words = |made: &Made, slice: Slice| made.case.reference_words(&made.call, slice);
    assert_eq!(
        tokens(&words(&alone, alone.bindings.ring), 1)[0],
        tokens(&words(&among, among.bindings.ring), 3)[1]
    );
    let on_device = |made: &Made, slice: Slice| made.case.device_words(&made.call, slice);
    if let (Some(alone), Some(among)) =
        (on_device(&alone, alone.bindings.ring), on_device(&among, among.bindings.ring))
    {
        assert_eq!(tokens(&alone, 1)[0], tokens(&among, 3)[1]);
    }
}
