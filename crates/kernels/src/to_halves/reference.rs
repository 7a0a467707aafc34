//! The plain reference of `to_halves`.

use super::Params;
use crate::linear::halves;
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride, eps } = dispatch.params();
    let (cols, each) = (dispatch.specialization[1] as usize, dispatch.specialization[3]);
    let rows = (memory.read::<u32>(dispatch.slice("row_count"))[0] * each) as usize;
    let x = memory.read::<f32>(dispatch.slice("x"));
    let weight = dispatch.bound("weight").map(|slice| memory.read::<f32>(slice));
    let mut values = Vec::with_capacity(rows * cols);
    for row in x.chunks(stride as usize).take(rows).map(|row| &row[..cols]) {
        match &weight {
            None => values.extend_from_slice(row),
            Some(weight) => {
                let squares: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
                let scale = 1.0 / (squares / cols as f64 + f64::from(eps)).sqrt();
                values.extend(row.iter().zip(weight.iter()).map(|(v, w)| (f64::from(*v) * scale) as f32 * w));
            }
        }
    }
    halves::encode(memory, dispatch.slice("y"), &values, cols);
}
