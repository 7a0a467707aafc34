//! The plain reference of `combine_experts`, summing in f64.

use super::Params;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { x_stride, y_stride } = dispatch.params();
    let [_, cols, slots] = [0, 1, 2].map(|i| dispatch.specialization[i] as usize);
    let rows = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let x = memory.read::<f32>(dispatch.slice("x"));
    let weights = memory.read::<f32>(dispatch.slice("weights"));
    // It may be y, so it is copied.
    let residual = memory.read::<f32>(dispatch.slice("residual")).to_vec();
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    for (row, y) in y.chunks_mut(y_stride as usize).take(rows).enumerate() {
        for (col, y) in y[..cols].iter_mut().enumerate() {
            let part = |slot: usize| f64::from(weights[slot]) * f64::from(x[slot * x_stride as usize + col]);
            let before = f64::from(residual[row * y_stride as usize + col]);
            *y = (before + (row * slots..(row + 1) * slots).map(part).sum::<f64>()) as f32;
        }
    }
}
