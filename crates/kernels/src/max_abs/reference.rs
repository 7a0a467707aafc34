//! The plain reference of `max_abs`.

use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let count: u32 = dispatch.params();
    let x = memory.read::<f32>(dispatch.slice("x"));
    let largest = x[..count as usize].iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    memory.write::<f32>(dispatch.slice("largest"))[0] = largest;
}
