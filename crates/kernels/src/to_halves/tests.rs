use super::*;
use crate::HostMemory;
use crate::testing::Case;

fn check(rows: u32, active: u32, each: u32, cols: u32, normed: bool) {
    let mut case = Case::new();
    let stride = cols.next_multiple_of(4) + 4;
    let bytes = halves::bytes(rows * each, cols);
    let bindings = Bindings {
        x: case.floats((rows * each * stride) as usize),
        weight: normed.then(|| case.floats(cols.next_multiple_of(4) as usize)),
        row_count: case.words(&[active]),
        y: case.output(bytes as usize),
    };
    let call = dispatch(&ToHalves { cols, stride, each, norm_eps: normed.then_some(1e-6) }, rows, bindings);
    let in_use = (active * each) as usize;
    let written = bytes as usize / (rows * each) as usize * in_use / 4;
    case.compare(&call, |_, who, expected, found| {
        assert_eq!(expected[written..], found[written..], "{who}: rows that are not in use");
        let values = |words: &[u32]| {
            let mut memory = HostMemory::new();
            let slice = memory.add_values(words);
            halves::decode(&memory, slice, in_use, cols as usize)
        };
        let difference = resident_tensor::compare(&values(found), &values(expected));
        assert!(difference.relative_l2 < 5e-7, "{who}: {difference}");
    });
}

#[test]
fn rows_of_odd_lengths_are_padded() {
    check(3, 3, 1, 5, false);
    check(2, 2, 1, 301, true);
}

#[test]
fn rows_without_a_token_stay_untouched() {
    check(4, 3, 1, 96, true);
    check(4, 2, 3, 64, false);
}

#[test]
fn rows_longer_than_the_workgroup() {
    check(2, 2, 1, 5376, true);
}

#[test]
fn large_small_and_zero_values_keep_their_bits() {
    let mut case = Case::new();
    let rows: Vec<f32> = [1e30f32, 3e-20, 0.0, 65504.0]
        .iter()
        .flat_map(|size| (0..32).map(move |i| size * (1.0 - i as f32 / 37.0)))
        .collect();
    let bindings = Bindings {
        x: case.values(&rows),
        weight: None,
        row_count: case.words(&[4]),
        y: case.output(halves::bytes(4, 32) as usize),
    };
    let call = dispatch(&ToHalves { cols: 32, stride: 32, each: 1, norm_eps: None }, 4, bindings);
    case.compare(&call, |_, who, _, found| {
        let mut memory = HostMemory::new();
        let slice = memory.add_values(found);
        for (x, found) in rows.iter().zip(halves::decode(&memory, slice, 4, 32)) {
            assert!((x - found).abs() <= x.abs() * 2e-6, "{who}: {found}, expected {x}");
        }
    });
}
