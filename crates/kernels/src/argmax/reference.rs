//! The plain reference of `argmax`.

use super::{Params, key, pieces};
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { vocab, stride } = dispatch.params();
    let piece = dispatch.specialization[1] as usize;
    let count = memory.read::<u32>(dispatch.slice("logit_count"))[0] as usize;
    let logits = memory.read::<f32>(dispatch.slice("logits"));
    let mut partials = memory.write::<[u32; 2]>(dispatch.slice("partials"));
    for (logits, partials) in
        logits.chunks(stride as usize).zip(partials.chunks_mut(pieces(vocab) as usize)).take(count)
    {
        for (index, (logits, partial)) in logits[..vocab as usize].chunks(piece).zip(partials).enumerate() {
            let keys = logits.iter().map(|logit| key(*logit)).zip(0..);
            let (key, token) =
                keys.fold((0, 0), |best, (key, token)| if key > best.0 { (key, token) } else { best });
            *partial = [key, (index * piece) as u32 + token];
        }
    }
}
