use super::*;
use crate::handover::NOT_READY;
use crate::persistent_begin;
use crate::testing::{self, Case};

/// Runs a segment on the device and compares with the reference. `workgroups` says how many the shape must have: one needs no
/// other to run beside it, so any driver can do it.
fn check(dim: u32, steps: u32, workgroups: u32) {
    let Some(subgroup) = testing::subgroup_size() else { return eprintln!("skipped: no Vulkan driver") };
    let operator = Operator { real: RealType::F32, dim };
    let Some(shape) = Shape::of(operator, subgroup, 1024) else {
        return eprintln!("skipped: no variant for subgroups of {subgroup}");
    };
    if shape.workgroups != workgroups {
        return eprintln!("skipped: {} workgroups with subgroups of {subgroup}", shape.workgroups);
    }
    let mut case = Case::new();
    let stride = operator.stride() as usize;
    let scale = (3.0 / f64::from(dim)).sqrt();
    let a: Vec<f32> = case.random_reals(dim as usize * stride).iter().map(|v| (v * scale) as f32).collect();
    let state: Vec<f32> = case.random_reals(stride).iter().map(|v| *v as f32).collect();
    let z = case.values(&state);
    let control = case.words(&[4, 0]);
    let slots = case.output(shape.ring_bytes() as usize);
    let segments = case.words(&[steps]);
    let begin = persistent_begin::Bindings { segments, control, z, slots };
    let a = case.values(&a);
    let before = case.values(&vec![0.0f32; stride]);
    let status = case.words(&[0]);
    let call = dispatch(operator, shape, 1 << 16, Bindings { control, a, slots, z, before, status });
    let calls = [persistent_begin::dispatch(dim, shape, begin), call];
    let expected = case.reference_of(&calls);
    let found = case.device_of(&calls).expect("there is a device");
    assert_eq!(*found.read::<u32>(status), [0], "a word did not come");
    for slice in [z, before] {
        let pairs =
            || expected.read::<f32>(slice).to_vec().into_iter().zip(found.read::<f32>(slice).to_vec());
        let error: f64 = pairs().map(|(e, f)| f64::from(e - f).powi(2)).sum();
        let norm: f64 = pairs().map(|(e, _)| f64::from(e).powi(2)).sum();
        assert!((error / norm).sqrt() <= 1e-5, "dim {dim}, {steps} steps: {error} of {norm}");
    }
}

/// With subgroups of 4 and 8 (lavapipe) one workgroup has 4 columns; with 32, up to 32.
#[test]
fn one_workgroup_hands_over_to_itself() {
    for dim in [1, 3, 4] {
        for steps in [1, 2, 3, 4, 5, 50] {
            check(dim, steps, 1);
        }
    }
}

#[test]
fn the_shapes_measured_on_an_h200() {
    let shape = |dim| Shape::of(Operator { real: RealType::F32, dim }, 32, 1024).expect("it fits");
    let numbers = |s: Shape| (s.workgroups, s.subgroups * s.subgroup, s.padded, s.written);
    assert_eq!(numbers(shape(512)), (16, 512, 512, 512));
    assert_eq!(numbers(shape(654)), (41, 672, 672, 656));
    assert_eq!(numbers(shape(1024)), (64, 512, 1024, 1024));
    assert_eq!(numbers(shape(2048)), (128, 1024, 2048, 2048));
    assert!(Shape::of(Operator { real: RealType::F32, dim: 2049 }, 32, 1024).is_none());
    assert!(Shape::of(Operator { real: RealType::F64, dim: 64 }, 32, 1024).is_none());
}

/// A word that nobody sends is given up, and said to be.
#[test]
fn a_word_that_does_not_come_is_reported() {
    let Some(subgroup) = testing::subgroup_size() else { return eprintln!("skipped: no Vulkan driver") };
    let operator = Operator { real: RealType::F32, dim: 4 };
    let Some(shape) = Shape::of(operator, subgroup, 1024) else { return };
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
