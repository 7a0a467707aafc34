//! The plain reference of `choose_experts`: sorts.

use super::Params;
use crate::{Dispatch, HostMemory, argmax};
use std::cmp::Reverse;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { stride } = dispatch.params();
    let [_, count, slots, normalise] = [0, 1, 2, 3].map(|i| dispatch.specialization[i]);
    let (count, slots) = (count as usize, slots as usize);
    let rows = memory.read::<u32>(dispatch.slice("row_count"))[0] as usize;
    let logits = memory.read::<f32>(dispatch.slice("logits"));
    let mut experts = memory.write::<u32>(dispatch.slice("experts"));
    let mut weights = memory.write::<f32>(dispatch.slice("weights"));
    for (row, logits) in logits.chunks(stride as usize).take(rows).enumerate() {
        let logits = &logits[..count];
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|expert| Reverse(argmax::key(logits[*expert])));
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let share = |expert: &usize| f64::from(logits[*expert] - best).exp();
        let counted = if normalise != 0 { &order[..slots] } else { &order };
        let total: f64 = counted.iter().map(share).sum();
        for (slot, expert) in order[..slots].iter().enumerate() {
            experts[row * slots + slot] = *expert as u32;
            weights[row * slots + slot] = (share(expert) / total) as f32;
        }
    }
}
