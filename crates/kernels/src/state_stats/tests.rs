use super::*;
use crate::Slice;
use crate::testing::Case;

fn results(real: RealType, dim: u32, rows: u32, change: impl FnOnce(&mut [f64])) -> Vec<Stats> {
    let mut case = Case::new();
    let operator = Operator { real, dim };
    let mut values = case.random_reals(rows as usize * operator.stride() as usize);
    change(&mut values);
    let z = match real {
        RealType::F32 => case.values(&values.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        RealType::F64 => case.values(&values),
    };
    let counter = case.words(&[1]);
    let ring = case.output(2 * 4 * result_words(real) as usize);
    let call = dispatch(operator, rows, Bindings { z, counter, ring });
    let own = Slice { offset_bytes: ring.bytes / 2, bytes: ring.bytes / 2, ..ring };
    let mut found = vec![Stats::of(real, &case.reference_words(&call, own))];
    if real == RealType::F32 || case.device_has_f64() {
        found.extend(case.device_words(&call, own).map(|words| Stats::of(real, &words)));
    }
    found
}

fn close(real: RealType, a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= if real == RealType::F32 { 1e-5 } else { 1e-13 } * b.abs().max(1.0)
}

#[test]
fn devices_agree_and_padding_does_not_count() {
    for (real, dim, rows) in
        [(RealType::F32, 1, 1), (RealType::F32, 654, 1), (RealType::F32, 33, 5), (RealType::F64, 70, 3)]
    {
        let found = results(real, dim, rows, |values| {
            for row in values.chunks_mut(dim.next_multiple_of(4) as usize) {
                row[dim as usize..].fill(1e9);
            }
        });
        for stats in &found {
            assert!(stats.max < 2.0 && stats.non_finite == 0, "{stats:?}");
            assert_eq!((stats.min, stats.max), (found[0].min, found[0].max));
            assert!(close(real, stats.sum, found[0].sum), "{found:?}");
            assert!(close(real, stats.sum_of_squares, found[0].sum_of_squares), "{found:?}");
        }
    }
}

#[test]
fn values_that_are_not_finite_are_counted_and_nothing_else() {
    for real in [RealType::F32, RealType::F64] {
        for stats in results(real, 4, 2, |values| {
            values.copy_from_slice(&[1.0, f64::NAN, -2.0, f64::INFINITY, f64::NEG_INFINITY, 3.0, 0.0, 0.5]);
        }) {
            let expected = Stats { min: -2.0, max: 3.0, sum: 2.5, sum_of_squares: 14.25, non_finite: 3 };
            assert_eq!(stats, expected);
        }
        for stats in results(real, 4, 1, |values| values.fill(f64::NAN)) {
            assert_eq!((stats.min, stats.max, stats.non_finite), (f64::INFINITY, f64::NEG_INFINITY, 4));
        }
    }
}
