use super::*;
use crate::DeviceTraits;
use crate::real::RealType;
use crate::testing::Case;

/// Random A and z, with zeros in the padding.
fn padded(case: &mut Case, real: RealType, rows: u32, cols: u32, stride: u32) -> crate::Slice {
    let mut values = case.random_reals(rows as usize * stride as usize);
    for row in values.chunks_mut(stride as usize) {
        row[cols as usize..].fill(0.0);
    }
    match real {
        RealType::F32 => case.values(&values.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        RealType::F64 => case.values(&values),
    }
}

/// One step with one tiling of those that the device can run.
fn check_tiling(operator: Operator, rows: u32, tiling: Tiling, backwards: bool) {
    let Operator { real, dim } = operator;
    let mut case = Case::new();
    let bindings = Bindings {
        z: padded(&mut case, real, rows, dim, operator.stride()),
        a: padded(&mut case, real, dim, dim, operator.stride()),
        y: case.output(operator.state_bytes(rows) as usize),
    };
    let call = dispatch(operator, rows, tiling, backwards, bindings);
    match real {
        RealType::F32 => case.check(&call, 1e-6),
        RealType::F64 if case.device_has_f64() => case.check_f64(&call, 1e-14),
        RealType::F64 => case.check_host_f64(&call, 1e-14),
    }
}

/// The smallest traits that lavapipe has more than.
const DEVICE: DeviceTraits = DeviceTraits { workgroup_invocations: 1024, ..DeviceTraits::LEAST };

/// The first tiling, and every `step`-th of the others.
fn check(real: RealType, dim: u32, rows: u32, step: usize) {
    let operator = Operator { real, dim };
    for (at, tiling) in Tiling::all(operator, rows, DEVICE).into_iter().enumerate().step_by(step) {
        check_tiling(operator, rows, tiling, at / step % 2 == 1);
    }
}

#[test]
fn sizes_that_divide_nothing() {
    for dim in [1, 2, 3, 5, 7, 33, 127, 654] {
        check(RealType::F32, dim, 1, 9);
    }
    for dim in [30, 129] {
        check(RealType::F64, dim, 1, 9);
    }
}

#[test]
fn batches_share_the_operator() {
    for (dim, rows, step) in [(1, 2, 5), (5, 3, 7), (33, 31, 29), (100, 65, 29), (130, 8, 29)] {
        check(RealType::F32, dim, rows, step);
    }
    check(RealType::F64, 45, 33, 31);
}

/// What is chosen by measuring must not be seen in the result.
#[test]
fn tilings_agree_bit_for_bit() {
    let operator = Operator { real: RealType::F32, dim: 77 };
    let rows = 6;
    let mut case = Case::new();
    let bindings = Bindings {
        z: padded(&mut case, operator.real, rows, operator.dim, operator.stride()),
        a: padded(&mut case, operator.real, operator.dim, operator.dim, operator.stride()),
        y: case.output(operator.state_bytes(rows) as usize),
    };
    let mut first: Option<Vec<u32>> = None;
    for tiling in Tiling::all(operator, rows, DEVICE).into_iter().step_by(11) {
        let call = dispatch(operator, rows, tiling, false, bindings);
        let Some(words) = case.device_words(&call, bindings.y) else { return };
        assert_eq!(*first.get_or_insert_with(|| words.clone()), words, "{tiling}");
    }
}

/// The row vector stands on the left: A = [[0, 1], [0, 0]] moves the first value to the second place. A · z would move the
/// second to the first.
#[test]
fn the_row_vector_stands_on_the_left() {
    let operator = Operator { real: RealType::F32, dim: 2 };
    let mut case = Case::new();
    let z = case.values(&[5.0f32, 7.0, 0.0, 0.0]);
    let a = case.values(&[0.0f32, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let y = case.output(16);
    let tiling = |rows| Tiling::all(operator, rows, DEVICE)[0];
    let call = dispatch(operator, 1, tiling(1), false, Bindings { z, a, y });
    let expected = [0.0f32, 5.0, 0.0, 0.0].map(f32::to_bits);
    assert_eq!(case.reference_words(&call, y), expected);
    case.check_bits(&call);
    let batch = case.values(&[5.0f32, 7.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0]);
    let y = case.output(32);
    let call = dispatch(operator, 2, tiling(2), false, Bindings { z: batch, a, y });
    assert_eq!(case.reference_words(&call, y)[4..], [0.0f32, 2.0, 0.0, 0.0].map(f32::to_bits));
    case.check_bits(&call);
}
