use super::*;
use crate::real::{Operator, RealType};
use crate::testing::Case;

#[test]
fn the_ring_begins_with_z_and_what_nobody_writes_is_zero() {
    for (dim, subgroup) in [(5, 8), (33, 8), (100, 32), (654, 32)] {
        let shape = Shape::of(Operator { real: RealType::F32, dim }, subgroup, 1024).expect("it fits");
        let mut case = Case::new();
        let z = case.floats(dim as usize);
        let bindings = Bindings {
            segments: case.words(&[7, 11]),
            control: case.words(&[3, 0]),
            z,
            slots: case.output(shape.ring_bytes() as usize),
        };
        let call = dispatch(dim, shape, bindings);
        case.check_bits(&call);
        assert_eq!(case.reference_words(&call, bindings.control), [4, 11]);
        let slots = case.reference_words(&call, bindings.slots);
        let absent = slots.iter().filter(|word| **word == NOT_READY).count();
        assert_eq!(absent, 3 * shape.written as usize);
        assert_eq!(slots[..dim as usize], case.reference_words(&call, z));
    }
}
