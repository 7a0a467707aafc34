//! The plain reference of `pool_rows`, summing in f64.

use super::Params;
use crate::step::Row;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride } = dispatch.params();
    let [_, cols, mean] = [0, 1, 2].map(|i| dispatch.specialization[i] as usize);
    let rows = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let step_rows = memory.read::<Row>(dispatch.slice("step_rows"));
    let x = memory.read::<f32>(dispatch.slice("x"));
    let mut y = memory.write::<f32>(dispatch.slice("y"));
    let value = |row: usize, col: usize| x[row * stride as usize + col];
    for (col, y) in y[..cols].iter_mut().enumerate().filter(|_| rows > 0) {
        let before = f64::from(step_rows[0].position);
        // Nothing has come before the first row, whatever stands there.
        let sum = if before > 0.0 { f64::from(*y) * before } else { 0.0 };
        let sum = sum + (0..rows).map(|row| f64::from(value(row, col))).sum::<f64>();
        *y = if mean != 0 { (sum / (before + rows as f64)) as f32 } else { value(rows - 1, col) };
    }
}
