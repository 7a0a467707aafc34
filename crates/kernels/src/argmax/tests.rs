use super::*;
use crate::testing::Case;

fn check(rows: u32, in_use: u32, vocab: u32, stride: u32, logits: &[f32]) {
    let mut case = Case::new();
    let bindings = Bindings {
        logits: if logits.is_empty() { case.floats((rows * stride) as usize) } else { case.values(logits) },
        logit_count: case.words(&[in_use]),
        partials: case.output(partial_bytes(vocab, rows) as usize),
    };
    case.check_bits(&dispatch(Params { vocab, stride }, rows, bindings));
}

#[test]
fn random_rows() {
    check(1, 1, 5, 5, &[]);
    check(3, 2, 4097, 4099, &[]);
    check(1, 1, 20_000, 20_000, &[]);
}

#[test]
fn equal_values_go_to_the_lower_token() {
    let mut logits = vec![1.5; 9000];
    logits[..3].copy_from_slice(&[1.0, -2.0, 1.25]);
    check(1, 1, 9000, 9000, &logits);
    check(1, 1, 700, 700, &[-0.0, 0.0].repeat(350));
    check(1, 1, 4500, 4500, &vec![f32::NEG_INFINITY; 4500]);
}

#[test]
fn a_nan_is_never_overlooked() {
    for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
        let mut logits = vec![f32::INFINITY; 5000];
        logits[4321] = nan;
        check(1, 1, 5000, 5000, &logits);
    }
}

#[test]
fn keys_have_the_order_of_the_values() {
    let values = [
        f32::NEG_INFINITY,
        f32::MIN,
        -1.0,
        -f32::MIN_POSITIVE,
        -1e-45,
        0.0,
        1e-45,
        1.0,
        f32::MAX,
        f32::INFINITY,
    ];
    assert!(values.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
    assert_eq!(key(0.0), key(-0.0));
    assert!(key(f32::INFINITY) < NAN_KEY && key(f32::NAN) == NAN_KEY && key(-f32::NAN) == NAN_KEY);
}
