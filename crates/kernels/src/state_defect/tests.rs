use super::*;
use crate::testing::Case;

fn results(real: RealType, dim: u32, rows: u32, spoil: Option<(usize, f64)>) -> Vec<Defect> {
    let mut case = Case::new();
    let operator = Operator { real, dim };
    let count = rows as usize * operator.stride() as usize;
    let mut values = || -> Vec<f64> { case.random_reals(count) };
    let (mut z, before) = (values(), values());
    if let Some((at, value)) = spoil {
        z[at] = value;
    }
    let mut slice = |values: &[f64]| match real {
        RealType::F32 => case.values(&values.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        RealType::F64 => case.values(values),
    };
    let (z, before) = (slice(&z), slice(&before));
    let counter = case.words(&[0]);
    let ring = case.output(4 * result_words(real) as usize);
    let call = dispatch(operator, rows, Bindings { z, before, counter, ring });
    let mut found = vec![Defect::of(real, &case.reference_words(&call, ring))];
    if real == RealType::F32 || case.device_has_f64() {
        found.extend(case.device_words(&call, ring).map(|words| Defect::of(real, &words)));
    }
    found
}

#[test]
fn devices_agree() {
    for (real, dim, rows) in
        [(RealType::F32, 1, 1), (RealType::F32, 654, 1), (RealType::F32, 30, 7), (RealType::F64, 65, 2)]
    {
        let found = results(real, dim, rows, None);
        for defect in &found {
            assert!(defect.max > 0.0 && defect.mean <= defect.max && defect.non_finite == 0);
            assert_eq!(defect.max, found[0].max);
            assert!((defect.mean - found[0].mean).abs() <= 1e-6, "{found:?}");
        }
    }
}

#[test]
fn a_value_that_is_not_finite_is_counted() {
    for real in [RealType::F32, RealType::F64] {
        for value in [f64::NAN, f64::INFINITY] {
            for defect in results(real, 40, 1, Some((17, value))) {
                assert_eq!(defect.non_finite, 1);
                assert!(defect.max.is_finite() && defect.mean.is_finite());
            }
        }
    }
}
