use super::*;
use crate::handover::NOT_READY;
use crate::persistent_begin;
use crate::testing::{self, Case, H200};

/// The traits of the device, of whose shared memory only what is sure is used.
fn device() -> Option<DeviceTraits> {
    let subgroup_size = testing::subgroup_size().or_else(|| {
        eprintln!("skipped: no Vulkan driver");
        None
    })?;
    Some(DeviceTraits { subgroup_size, workgroup_invocations: 1024, ..DeviceTraits::LEAST })
}

/// Runs a segment on the device and compares with the reference. Where it has more than one step, workgroups of a team wait for each
/// other; only a team of one can do that on any driver.
fn check(dim: u32, rows: u32, steps: u32) {
    let Some(device) = device() else { return };
    let operator = Operator { real: RealType::F32, dim };
    let shapes = Shape::all(operator, rows, device);
    for shape in shapes.into_iter().filter(|shape| shape.workgroups == 1 || steps == 1) {
        check_shape(operator, shape, steps);
    }
}

fn check_shape(operator: Operator, shape: Shape, steps: u32) {
    let (dim, rows) = (operator.dim, shape.rows);
    let mut case = Case::new();
    let stride = operator.stride() as usize;
    let scale = (3.0 / f64::from(dim)).sqrt();
    let a: Vec<f32> = case.random_reals(dim as usize * stride).iter().map(|v| (v * scale) as f32).collect();
    let states: Vec<f32> = case.random_reals(rows as usize * stride).iter().map(|v| *v as f32).collect();
    let z = case.values(&states);
    let control = case.words(&[4, 0]);
    let slots = case.output(shape.ring_bytes() as usize);
    let segments = case.words(&[steps]);
    let begin = persistent_begin::Bindings { segments, control, z, slots };
    let a = case.values(&a);
    let before = case.values(&vec![0.0f32; rows as usize * stride]);
    let status = case.words(&[0]);
    let call = dispatch(operator, shape, 1 << 16, Bindings { control, a, slots, z, before, status });
    let calls = [persistent_begin::dispatch(operator, shape, begin), call];
    let expected = case.reference_of(&calls);
    let found = case.device_of(&calls).expect("there is a device");
    assert_eq!(*found.read::<u32>(status), [0], "a word did not come");
    for slice in [z, before] {
        let pairs =
            || expected.read::<f32>(slice).to_vec().into_iter().zip(found.read::<f32>(slice).to_vec());
        let error: f64 = pairs().map(|(e, f)| f64::from(e - f).powi(2)).sum();
        let norm: f64 = pairs().map(|(e, _)| f64::from(e).powi(2)).sum();
        assert!(
            (error / norm).sqrt() <= 1e-5,
            "dim {dim}, {rows} rows, {steps} steps, {shape}: {error} of {norm}"
        );
    }
}

/// With subgroups of 4 and 8 (lavapipe) one workgroup has 4 or 8 columns; with 32, up to 32.
#[test]
fn one_workgroup_hands_over_to_itself() {
    for dim in [1, 3, 4] {
        for steps in [1, 2, 3, 4, 5, 50] {
            check(dim, 1, steps);
        }
    }
}

/// Teams of one workgroup with turns of one, of several and of fewer trajectories at the end.
#[test]
fn trajectories_go_through_in_turns() {
    for (rows, steps) in [(2, 1), (2, 7), (129, 2), (300, 5), (700, 6)] {
        check(4, rows, steps);
    }
}

/// One step needs no other workgroup's words, so every shape can be tried.
#[test]
fn one_step_of_any_size() {
    for (dim, rows) in [(33, 1), (100, 1), (100, 3), (130, 70), (250, 5)] {
        check(dim, rows, 1);
    }
}

#[test]
fn the_shapes_measured_on_an_h200() {
    let shapes = |dim| Shape::all(Operator { real: RealType::F32, dim }, 1, H200);
    let numbers = |dim| match shapes(dim)[..] {
        [s] => (s.workgroups, s.subgroups * s.subgroup, s.padded, s.written),
        _ => panic!("one shape for {dim}"),
    };
    assert_eq!(numbers(512), (16, 512, 512, 512));
    assert_eq!(numbers(654), (41, 672, 672, 656));
    assert_eq!(numbers(1024), (64, 512, 1024, 1024));
    assert_eq!(numbers(2048), (128, 1024, 2048, 2048));
    assert!(shapes(2049).is_empty());
    assert!(Shape::all(Operator { real: RealType::F64, dim: 64 }, 1, H200).is_empty());
}

#[test]
fn batches_fill_the_card_with_teams() {
    for (dim, rows, expected) in
        [(512, 64, (16, 8)), (1024, 64, (32, 4)), (2048, 64, (128, 1)), (512, 3, (16, 3))]
    {
        let shapes = Shape::all(Operator { real: RealType::F32, dim }, rows, H200);
        assert!(!shapes.is_empty());
        for shape in shapes {
            assert_eq!((shape.workgroups, shape.teams), expected, "{shape}");
            assert!(shape.team_rows * shape.teams >= rows && shape.batch <= shape.subgroups);
        }
    }
}

/// A word that nobody sends is given up, and said to be.
#[test]
fn a_word_that_does_not_come_is_reported() {
    let Some(device) = device() else { return };
    let operator = Operator { real: RealType::F32, dim: 4 };
    let [shape] = Shape::all(operator, 1, device)[..] else { return };
    let mut case = Case::new();
    let bindings = Bindings {
        control: case.words(&[1, 3]),
        a: case.values(&[0.0f32; 16]),
        slots: case.words(&vec![NOT_READY; shape.ring_bytes() as usize / 4]),
        z: case.values(&[1.0f32; 4]),
        before: case.values(&[0.0f32; 4]),
        status: case.words(&[0]),
    };
    let memory = case.device_of(&[dispatch(operator, shape, 100, bindings)]).expect("there is a device");
    assert_eq!(*memory.read::<u32>(bindings.status), [1]);
}
