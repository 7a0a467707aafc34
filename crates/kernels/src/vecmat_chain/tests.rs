use super::*;
use crate::real::RealType;
use crate::testing::Case;

fn check(real: RealType, dim: u32, steps: &[u32]) {
    let mut case = Case::new();
    let operator = Operator { real, dim };
    let team = Team::of(operator, 1024).expect("it fits");
    let stride = operator.stride() as usize;
    // Rows of length about one, so that values neither grow nor vanish.
    let scale = (3.0 / f64::from(dim)).sqrt();
    let a: Vec<f64> = case.random_reals(dim as usize * stride).iter().map(|v| v * scale).collect();
    let z = case.random_reals(stride);
    let (a, z, before) = match real {
        RealType::F32 => {
            let floats = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
            (case.values(&floats(&a)), case.values(&floats(&z)), case.values(&vec![0.0f32; stride]))
        }
        RealType::F64 => (case.values(&a), case.values(&z), case.values(&vec![0.0f64; stride])),
    };
    let segments = case.words(steps);
    // The second segment of the table, after a counter that has wrapped around the table.
    let control = case.words(&[steps.len() as u32 + 1]);
    let call = dispatch(operator, team, Bindings { segments, control, a, z, before });
    match real {
        RealType::F32 => case.check(&call, 1e-5),
        RealType::F64 if case.device_has_f64() => case.check_f64(&call, 1e-13),
        RealType::F64 => case.check_host_f64(&call, 1e-13),
    }
    assert_eq!(case.reference_words(&call, control), [steps.len() as u32 + 2]);
}

#[test]
fn segments_of_several_lengths() {
    for steps in [0, 1, 2, 7] {
        check(RealType::F32, 33, &[9, steps, 9, 9]);
    }
}

#[test]
fn sizes_that_divide_nothing() {
    for dim in [1, 3, 31, 100, 160] {
        check(RealType::F32, dim, &[1, 5]);
    }
    for dim in [2, 65, 128] {
        check(RealType::F64, dim, &[1, 5]);
    }
}

#[test]
fn what_does_not_fit_a_workgroup_has_no_team() {
    let team = |real, dim, most| Team::of(Operator { real, dim }, most);
    assert!(team(RealType::F32, 161, 1024).is_none() && team(RealType::F64, 129, 1024).is_none());
    assert!(team(RealType::F32, 100, 128).is_none());
}

/// On the CPU device the team takes every size; enough work for several threads, beside the plain product.
#[test]
fn threads_share_a_large_operator() {
    let (dim, steps) = (400u32, 3);
    let operator = Operator { real: RealType::F32, dim };
    let mut case = Case::new();
    let floats = |case: &mut Case, count| {
        case.random_reals(count).iter().map(|v| (v * 0.08) as f32).collect::<Vec<_>>()
    };
    let a = floats(&mut case, (dim * dim) as usize);
    let z = floats(&mut case, dim as usize);
    let bindings = Bindings {
        segments: case.words(&[steps]),
        control: case.words(&[0]),
        a: case.values(&a),
        z: case.values(&z),
        before: case.values(&vec![0.0f32; dim as usize]),
    };
    case.check_host(&dispatch(operator, Team::THREADS, bindings), 1e-6);
}
