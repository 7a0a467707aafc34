use super::*;
use crate::testing::Case;

#[test]
fn bytes_are_equal_everywhere() {
    for words in [1, 255, 5000] {
        let mut case = Case::new();
        let values = case.output(words * 4);
        case.check_bits(&dispatch(RandomType::Bytes, 7, 0.0..1.0, values));
    }
}

#[test]
fn floats_lie_in_their_range_and_fill_it() {
    let mut case = Case::new();
    let values = case.output(4096 * 4);
    let call = dispatch(RandomType::F32, 3, -2.0..2.0, values);
    case.check_bits(&call);
    let floats: Vec<f32> = case.reference_words(&call, values).into_iter().map(f32::from_bits).collect();
    assert!(floats.iter().all(|v| (-2.0..2.0).contains(v)));
    let mean = floats.iter().sum::<f32>() / floats.len() as f32;
    let square = floats.iter().map(|v| v * v).sum::<f32>() / floats.len() as f32;
    assert!(mean.abs() < 0.1 && (square - 4.0 / 3.0).abs() < 0.1, "mean {mean}, mean square {square}");
}

#[test]
fn halves_unpack_to_the_range() {
    let mut case = Case::new();
    let values = case.output(64 * 4);
    for (ty, decode) in [
        (RandomType::F16, (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32),
        (RandomType::Bf16, |bits| half::bf16::from_bits(bits).to_f32()),
    ] {
        let call = dispatch(ty, 11, 0.5..1.0, values);
        if ty == RandomType::Bf16 {
            case.check_bits(&call);
        }
        let words = [Some(case.reference_words(&call, values)), case.device_words(&call, values)];
        for word in words.into_iter().flatten().flatten() {
            for half in [word as u16, (word >> 16) as u16] {
                assert!((0.49..=1.0).contains(&decode(half)), "{ty:?} {half:#x}");
            }
        }
    }
}

#[test]
fn a_fill_goes_on_where_another_ends() {
    let mut case = Case::new();
    let (whole, rest) = (case.output(64 * 4), case.output(24 * 4));
    let random = Random::new(RandomType::F16, 5, 0.5..1.0);
    let words = case.reference_words(&random.dispatch(whole), whole);
    assert_eq!(case.reference_words(&random.skip(40).dispatch(rest), rest), words[40..]);
    assert_eq!(random.skip((1 << 32) + 7).word(0), words[7]);
}
