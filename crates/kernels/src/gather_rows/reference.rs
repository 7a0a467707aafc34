//! The plain reference of `gather_rows`.

use super::Params;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { x_stride, y_stride } = dispatch.params();
    let (cols, x_stride) = (dispatch.specialization[1] as usize, x_stride as usize);
    let count = memory.read::<u32>(dispatch.slice("logit_count"))[0] as usize;
    let logit_rows = memory.read::<u32>(dispatch.slice("logit_rows"));
    let x = memory.read::<f32>(dispatch.slice("x"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    for (y, row) in y.chunks_mut(y_stride as usize).zip(&logit_rows[..count]) {
        y[..cols].copy_from_slice(&x[*row as usize * x_stride..][..cols]);
    }
}
