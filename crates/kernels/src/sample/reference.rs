//! The plain reference of `sample`, in f64.

use super::{Params, uniform};
use crate::argmax::key;
use crate::step::{HostStep, NO_TOKEN, Row, SequenceParams};
use crate::{Dispatch, HostMemory};

/// Probabilities below e⁻³² of the largest count as zero.
const CUTOFF: f64 = 32.0;

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { vocab, stride, pieces, context, ring_size, max_rows } = dispatch.params();
    let logits = memory.read::<f32>(dispatch.slice("logits"));
    let partials = memory.read::<[u32; 2]>(dispatch.slice("partials"));
    let sequences = memory.read::<SequenceParams>(dispatch.slice("sequences"));
    let mut history = memory.write::<u32>(dispatch.slice("history"));
    let mut ring = memory.write::<u32>(dispatch.slice("ring"));
    let mut scratch = memory.write::<u32>(dispatch.slice("scratch"));
    let mut step = memory.write::<u32>(dispatch.slice("step"));
    let step = HostStep::of(&mut step, max_rows);

    let count = step.header.logit_count as usize;
    let mut next_rows = Vec::new();
    let rows = logits.chunks(stride as usize).zip(partials.chunks(pieces as usize)).take(count);
    for (index, (logits, partials)) in rows.enumerate() {
        let row = step.rows[step.logit_rows[index] as usize];
        let params = &sequences[row.sequence as usize];
        let token = pick(&logits[..vocab as usize], partials, params, row.position);
        ring[(step.header.ring_head.wrapping_add(index as u32) % ring_size) as usize] = token;
        if count > 1 {
            scratch[1 + index] = token;
        }
        let position = row.position + 1;
        if position < context && token != NO_TOKEN {
            history[(row.sequence * context + position) as usize] = token;
        }
        if position < params.end_position.min(context) && !params.stops_at(token) {
            next_rows.push(Row { token, position, sequence: row.sequence, wants_logits: 1 });
        }
    }
    step.rows[..next_rows.len()].copy_from_slice(&next_rows);
    step.logit_rows.iter_mut().zip(0..).take(next_rows.len()).for_each(|(row, index)| *row = index);
    step.header.row_count = next_rows.len() as u32;
    step.header.logit_count = next_rows.len() as u32;
    step.header.ring_head = step.header.ring_head.wrapping_add(count as u32);
}

fn pick(logits: &[f32], partials: &[[u32; 2]], params: &SequenceParams, position: u32) -> u32 {
    let first = [0, NO_TOKEN];
    let best = partials.iter().fold(first, |best, other| if other[0] > best[0] { *other } else { best });
    let [best_key, best_token] = best;
    if best_key <= key(f32::NEG_INFINITY) || best_key >= key(f32::INFINITY) {
        return NO_TOKEN;
    }
    if params.temperature.is_nan() || params.temperature <= 0.0 {
        return best_token;
    }
    let kept = distribution(logits, logits[best_token as usize], params);
    let u = f64::from(uniform(params.seed_low, params.seed_high, position));
    let target = u * kept.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut cumulative = 0.0;
    for (token, weight) in &kept {
        cumulative += weight;
        if cumulative > target {
            return *token;
        }
    }
    kept[kept.len() - 1].0
}

/// The tokens that may be drawn with their weights, relative to the largest, in the order of the vocabulary.
pub(super) fn distribution(logits: &[f32], maximum: f32, params: &SequenceParams) -> Vec<(u32, f64)> {
    let temperature = f64::from(params.temperature);
    let below = |logit: f32| (f64::from(maximum) - f64::from(logit)) / temperature;
    // Those that `lowest` and `min_p` keep, from all that have any weight.
    let candidates: Vec<(u32, f32, f64)> = (0..)
        .zip(logits)
        .map(|(token, logit)| (token, *logit, below(*logit)))
        .filter(|(_, _, below)| *below < CUTOFF)
        .map(|(token, logit, below)| (token, logit, (-below).exp()))
        .collect();
    let mut lowest = f32::NEG_INFINITY;
    let top_k = params.top_k as usize;
    if top_k > 0 && top_k < candidates.len() {
        let mut values: Vec<f32> = candidates.iter().map(|(_, logit, _)| *logit).collect();
        lowest = *values.select_nth_unstable_by(top_k - 1, |a, b| b.total_cmp(a)).1;
    }
    if params.top_p < 1.0 {
        let mut values: Vec<(f32, f64)> =
            candidates.iter().filter(|c| c.1 >= lowest).map(|(_, logit, weight)| (*logit, *weight)).collect();
        values.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        lowest = top_p_threshold(&values, f64::from(params.top_p));
    }
    let min_p = f64::from(params.min_p).min(1.0);
    let kept = candidates.into_iter().filter(|(_, logit, weight)| *logit >= lowest && *weight >= min_p);
    kept.map(|(token, _, weight)| (token, weight)).collect()
}

/// The smallest value that has less than `top_p` of the weight above it; of descending values and their weights.
fn top_p_threshold(values: &[(f32, f64)], top_p: f64) -> f32 {
    let target = top_p * values.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut above = 0.0;
    let mut lowest = values[0].0;
    for equal in values.chunk_by(|a, b| a.0 == b.0) {
        if above < target {
            lowest = equal[0].0;
        }
        above += equal.iter().map(|(_, weight)| weight).sum::<f64>();
    }
    lowest
}
