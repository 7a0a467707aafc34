use super::*;
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

fn check(real: RealType, dim: u32, rows: u32) {
    let mut case = Case::new();
    let operator = Operator { real, dim };
    let bindings = Bindings {
        z: padded(&mut case, real, rows, dim, operator.stride()),
        a: padded(&mut case, real, dim, dim, operator.stride()),
        y: case.output(operator.state_bytes(rows) as usize),
    };
    let call = dispatch(operator, rows, bindings);
    match real {
        RealType::F32 => case.check(&call, 1e-6),
        RealType::F64 if case.device_has_f64() => case.check_f64(&call, 1e-14),
        RealType::F64 => case.check_host_f64(&call, 1e-14),
    }
}

#[test]
fn sizes_that_divide_nothing() {
    for dim in [1, 7, 33, 127, 654] {
        check(RealType::F32, dim, 1);
    }
    for dim in [30, 129] {
        check(RealType::F64, dim, 1);
    }
}

#[test]
fn batches_share_the_operator() {
    for (dim, rows) in [(5, 3), (33, 31), (100, 65)] {
        check(RealType::F32, dim, rows);
    }
    check(RealType::F64, 45, 33);
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
    let call = dispatch(operator, 1, Bindings { z, a, y });
    let expected = [0.0f32, 5.0, 0.0, 0.0].map(f32::to_bits);
    assert_eq!(case.reference_words(&call, y), expected);
    case.check_bits(&call);
    let batch = case.values(&[5.0f32, 7.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0]);
    let y = case.output(32);
    let call = dispatch(operator, 2, Bindings { z: batch, a, y });
    assert_eq!(case.reference_words(&call, y)[4..], [0.0f32, 2.0, 0.0, 0.0].map(f32::to_bits));
    case.check_bits(&call);
}
