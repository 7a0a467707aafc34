//! The plain reference of `rms_norm`, summing in f64.

use super::Params;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, eps } = dispatch.params();
    let (cols, stride) = (dispatch.specialization[1] as usize, stride as usize);
    let rows = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let x = memory.read::<f32>(dispatch.slice("x"));
    let weight = memory.read::<f32>(dispatch.slice("weight"));
    // It may be y, so it is copied.
    let residual = dispatch.bound("residual").map(|slice| memory.read::<f32>(slice).to_vec());
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    for (row, (x, y)) in x.chunks(stride).zip(y.chunks_mut(stride)).take(rows).enumerate() {
        let squares: f64 = x[..cols].iter().map(|v| f64::from(*v).powi(2)).sum();
        let scale = 1.0 / (squares / cols as f64 + f64::from(eps)).sqrt();
        for (col, (y, x)) in y.iter_mut().zip(&x[..cols]).enumerate() {
            let before = residual.as_ref().map_or(0.0, |residual| residual[row * stride + col]);
            *y = before + (f64::from(*x) * scale) as f32 * weight[col];
        }
    }
}
