use super::*;
use crate::real::RealType;
use crate::testing::Case;
use std::collections::HashSet;

fn check(real: RealType, dim: u32, rows: u32) {
    let mut case = Case::new();
    let operator = Operator { real, dim };
    let bytes = case.random_bytes(operator.state_bytes(rows) as usize);
    let bindings = Bindings {
        z: case.values(&bytes),
        counter: case.words(&[5]),
        ring: case.output(4 * RESULT_WORDS as usize * 4),
    };
    let call = dispatch(operator, rows, bindings);
    case.check_bits(&call);
    assert_eq!(case.reference_words(&call, bindings.counter), [6]);
}

#[test]
fn every_device_finds_the_same() {
    for (dim, rows) in [(1, 1), (5, 1), (654, 1), (33, 4)] {
        check(RealType::F32, dim, rows);
    }
    check(RealType::F64, 3, 2);
}

/// Computed by a Python program from the definition in the module's header.
#[test]
fn known_answers() {
    let hex = |words: &[u32]| hash(words.iter().copied()).map(|word| format!("{word:08x}")).join(" ");
    assert_eq!(hex(&[]), "00000000 00000000 00000000 00000000");
    assert_eq!(hex(&[0]), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    assert_eq!(hex(&[1.0f32.to_bits(), (-2.5f32).to_bits(), 0]), KNOWN);
}
const KNOWN: &str = "6eea4013 4f454260 c285aac9 31f79815";

#[test]
fn places_and_equal_pairs_count() {
    let words: Vec<u32> = (0..100).collect();
    let mut seen = HashSet::from([hash(words.iter().copied())]);
    let mut swapped = words.clone();
    swapped.swap(3, 70);
    assert!(seen.insert(hash(swapped)));
    // The same change in two places: sums and exclusive ors of the words alone would not see it.
    for (a, b) in [(0, 1), (10, 74), (98, 99)] {
        let mut changed = words.clone();
        changed[a] ^= 0x8000_0000;
        changed[b] ^= 0x8000_0000;
        assert!(seen.insert(hash(changed)));
    }
    assert!(seen.insert(hash(words.iter().copied().chain([0]))), "a trailing zero is a word");
}
