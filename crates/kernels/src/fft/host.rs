//! `fft` on the CPU device: the same Stockham passes, lines in parallel.

use super::Call;
use crate::{Dispatch, HostMemory};
use rayon::prelude::*;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let call = Call::of(dispatch);
    let x = memory.read::<f32>(dispatch.slice("x"));
    let twiddles = memory.read::<f32>(dispatch.slice("twiddles"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    let lines = y.len() / 2 / call.n;
    let (x, twiddles): (&[f32], &[f32]) = (&x, &twiddles);
    let transformed = (0..lines).into_par_iter().with_min_len(16).map(|line| {
        let values = (0..call.n).map(|i| call.value(x, call.at(line, i))).collect();
        transform(values, twiddles, call.inverse)
    });
    for (line, values) in transformed.collect::<Vec<_>>().into_iter().enumerate() {
        for (i, value) in values.into_iter().enumerate() {
            let to = 2 * call.at(line, i);
            y[to] = value[0] * call.params.scale;
            y[to + 1] = value[1] * call.params.scale;
        }
    }
}

fn transform(mut line: Vec<[f32; 2]>, twiddles: &[f32], inverse: bool) -> Vec<[f32; 2]> {
    let half = line.len() / 2;
    let mut next = vec![[0.0; 2]; line.len()];
    let mut span = 1;
    while span < line.len() {
        for j in 0..half {
            let k = j & (span - 1);
            let at = 2 * k * (half / span);
            let (re, im) = (twiddles[at], if inverse { -twiddles[at + 1] } else { twiddles[at + 1] });
            let ([a, b], [c, d]) = (line[j], line[j + half]);
            let right = [c * re - d * im, c * im + d * re];
            next[2 * j - k] = [a + right[0], b + right[1]];
            next[2 * j - k + span] = [a - right[0], b - right[1]];
        }
        std::mem::swap(&mut line, &mut next);
        span *= 2;
    }
    line
}
