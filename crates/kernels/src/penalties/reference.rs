//! The plain reference of `penalties`.

use super::Params;
use crate::step::{Row, SequenceParams};
use crate::{Dispatch, HostMemory};
use std::collections::HashSet;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { vocab, stride, context } = dispatch.params();
    let count = memory.read::<u32>(dispatch.slice("logit_count"))[0] as usize;
    let logit_rows = memory.read::<u32>(dispatch.slice("logit_rows"));
    let rows = memory.read::<Row>(dispatch.slice("step_rows"));
    let sequences = memory.read::<SequenceParams>(dispatch.slice("sequences"));
    let history = memory.read::<u32>(dispatch.slice("history"));
    let mut logits = memory.write::<f32>(dispatch.slice("logits"));
    for (logits, row) in logits.chunks_mut(stride as usize).zip(&logit_rows[..count]) {
        let Row { position, sequence, .. } = rows[*row as usize];
        let SequenceParams { repetition_penalty, penalty_window, .. } = sequences[sequence as usize];
        let length = (position + 1).min(context) as usize;
        let first = if penalty_window == 0 { 0 } else { length.saturating_sub(penalty_window as usize) };
        let window = &history[sequence as usize * context as usize..][first..length];
        let tokens: HashSet<u32> = window.iter().copied().filter(|token| *token < vocab).collect();
        for token in tokens {
            let logit = &mut logits[token as usize];
            *logit = if *logit < 0.0 { *logit * repetition_penalty } else { *logit / repetition_penalty };
        }
    }
}
