use super::*;
use crate::DeviceTraits;
use crate::real::{Operator, RealType};
use crate::testing::Case;

#[test]
fn the_ring_begins_with_z_and_what_nobody_writes_is_zero() {
    for (dim, rows, subgroup) in [(5, 1, 8), (33, 1, 8), (100, 3, 32), (654, 1, 32), (654, 7, 32)] {
        let operator = Operator { real: RealType::F32, dim };
        let device =
            DeviceTraits { subgroup_size: subgroup, workgroup_invocations: 1024, ..DeviceTraits::LEAST };
        let shape = Shape::all(operator, rows, device)[0];
        let mut case = Case::new();
        let stride = operator.stride() as usize;
        let z = case.floats(rows as usize * stride);
        let bindings = Bindings {
            segments: case.words(&[7, 11]),
            control: case.words(&[3, 0]),
            z,
            slots: case.output(shape.ring_bytes() as usize),
        };
        let call = dispatch(operator, shape, bindings);
        case.check_bits(&call);
        assert_eq!(case.reference_words(&call, bindings.control), [4, 11]);
        let slots = case.reference_words(&call, bindings.slots);
        let absent = slots.iter().filter(|word| **word == NOT_READY).count();
        assert_eq!(absent, 3 * (rows * shape.written) as usize);
        let states = case.reference_words(&call, z);
        for (slot, state) in slots.chunks(shape.padded as usize).zip(states.chunks(stride)) {
            assert_eq!(slot[..dim as usize], state[..dim as usize]);
        }
    }
}
