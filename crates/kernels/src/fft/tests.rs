use super::*;
use crate::testing::Case;

fn check(n: u32, fields: u32, lines: Lines, inverse: bool, real_input: bool) {
    let mut case = Case::new();
    let values = (fields * n * n) as usize;
    let x = case.floats(if real_input { values } else { 2 * values });
    let twiddles = case.values(&super::twiddles(n));
    let y = case.output(values * 8);
    let fft = Fft { n, fields, lines, inverse, real_input, scale: if inverse { 0.25 } else { 1.0 } };
    case.check(&dispatch(&fft, Bindings { x, twiddles, y }), 5e-7);
}

#[test]
fn fewer_butterflies_than_invocations() {
    check(16, 3, Lines::Rows, false, false);
    check(32, 2, Lines::Columns, true, false);
}

#[test]
fn real_rows() {
    check(64, 1, Lines::Rows, false, true);
}

#[test]
fn two_butterflies_an_invocation() {
    // One column of 1024 would do; the field around it makes the definition's sums long, so only a few lines are real.
    check(128, 1, Lines::Columns, false, false);
    long_line();
}

/// A line of 1024 values: an impulse at 1 has the spectrum exp(−2πi k/1024), in every line.
fn long_line() {
    let n = 1024;
    let mut case = Case::new();
    let x: Vec<f32> = (0..n * n).map(|at| if at % n == 1 { 1.0 } else { 0.0 }).collect();
    let x = case.values(&x);
    let twiddles = case.values(&super::twiddles(n));
    let y = case.output((n * n * 8) as usize);
    let fft = Fft { n, fields: 1, lines: Lines::Rows, inverse: false, real_input: true, scale: 1.0 };
    let call = dispatch(&fft, Bindings { x, twiddles, y });
    let memory = case.copy();
    (call.kernel.host)(&call, &memory);
    let host = memory.read::<f32>(y).to_vec();
    let device = case.device_words(&call, y).map(|words| words.into_iter().map(f32::from_bits).collect());
    for found in [Some(host), device].into_iter().flatten() {
        for k in (0..n).step_by(37) {
            let angle = -std::f64::consts::TAU * f64::from(k) / f64::from(n);
            for line in [0, 511, 1023] {
                let at = 2 * (line * n + k) as usize;
                assert!((f64::from(found[at]) - angle.cos()).abs() < 1e-6, "line {line}, k {k}");
                assert!((f64::from(found[at + 1]) - angle.sin()).abs() < 1e-6, "line {line}, k {k}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "fft of lines of 48 values")]
fn other_sizes_are_a_mistake() {
    check(48, 1, Lines::Rows, false, false);
}
