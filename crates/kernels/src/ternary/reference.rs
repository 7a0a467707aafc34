//! The plain references of `ternary_threshold` and `ternary_vote`.

use super::Params;
use crate::{Dispatch, HostMemory};

pub(super) fn threshold(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { count, tau } = dispatch.params();
    let x = memory.read::<f32>(dispatch.slice("x"));
    let largest = memory.read::<f32>(dispatch.slice("largest"))[0];
    let mut signs = memory.write::<i32>(dispatch.slice("signs"));
    for at in 0..count as usize {
        let scaled = (x[at] / (largest + 1e-12)).clamp(-1.0, 1.0);
        signs[at] = i32::from(scaled >= tau) - i32::from(scaled <= -tau);
    }
}

pub(super) fn vote(dispatch: &Dispatch, memory: &HostMemory) {
    let n = dispatch.specialization[1] as usize;
    let signs = memory.read::<i32>(dispatch.slice("signs"));
    let mut voted = memory.write::<i32>(dispatch.slice("voted"));
    let around = |i: usize| [(i + n - 1) % n, i, (i + 1) % n];
    for at in 0..n * n {
        let cells = around(at / n).into_iter().flat_map(|y| around(at % n).map(|x| signs[y * n + x]));
        voted[at] = cells.sum::<i32>().signum();
    }
}
