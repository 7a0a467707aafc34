//! The plain reference of `fft`: every sum of the definition, in f64.

use super::Call;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let call = Call::of(dispatch);
    let x = memory.read::<f32>(dispatch.slice("x"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    let sign = if call.inverse { 1.0 } else { -1.0 };
    for line in 0..y.len() / 2 / call.n {
        for k in 0..call.n {
            let (mut re, mut im) = (0.0, 0.0);
            for i in 0..call.n {
                let angle = sign * std::f64::consts::TAU * (i * k % call.n) as f64 / call.n as f64;
                let [a, b] = call.value(&x, call.at(line, i)).map(f64::from);
                re += a * angle.cos() - b * angle.sin();
                im += a * angle.sin() + b * angle.cos();
            }
            let to = 2 * call.at(line, k);
            y[to] = (re * f64::from(call.params.scale)) as f32;
            y[to + 1] = (im * f64::from(call.params.scale)) as f32;
        }
    }
}
