use super::*;
use crate::testing::Case;

fn check(count: u32, spike: Option<(usize, f32)>) {
    let mut case = Case::new();
    let mut values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    if let Some((at, value)) = spike {
        values[at] = value;
    }
    let x = case.values(&values);
    let largest = case.output(4);
    case.check_bits(&dispatch(count, Bindings { x, largest }));
}

#[test]
fn few_values_and_many() {
    check(3, None);
    check(4099, Some((4098, -7.5)));
    check(4096, Some((0, 9.0)));
}
