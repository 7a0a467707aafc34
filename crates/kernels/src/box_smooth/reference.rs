//! The plain reference of `box_smooth`.

use super::Params;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { element_stride, x_step, original_step } = dispatch.params();
    let (stride, x_step) = (element_stride as usize, x_step as usize);
    let (n, width) = (dispatch.specialization[1] as usize, dispatch.specialization[2] as usize);
    let x = memory.read::<f32>(dispatch.slice("x"));
    let original = dispatch.bound("original").map(|slice| memory.read::<f32>(slice));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    for at in 0..n * n {
        let i = if stride == 1 { at % n } else { at / n };
        let line = at - i * stride;
        let window = (0..n).filter(|j| (j + width / 2).checked_sub(i).is_some_and(|place| place < width));
        let sum: f64 = window.map(|j| f64::from(x[(line + j * stride) * x_step])).sum();
        let filtered = sum / width as f64;
        y[at] = match &original {
            Some(original) => (f64::from(original[at * original_step as usize]) - filtered) as f32,
            None => filtered as f32,
        };
    }
}
