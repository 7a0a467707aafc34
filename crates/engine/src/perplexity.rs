//! How well a model predicts a text, and how far its predictions are from another model's.
//!
//! The text is cut into chunks that are read afresh; the tokens of each chunk's second half count, so that each has at
//! least half a chunk before it. These are the rules of llama.cpp's tool of the same name, so figures compare.

use crate::{Engine, EngineError};

/// Positions of a chunk, unless the text or the model has fewer.
pub const PERPLEXITY_CONTEXT: u32 = 512;
/// The shortest chunk that has a half to predict.
const SHORTEST_CHUNK: usize = 4;

/// How well a model predicts a text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// exp of the mean negative log-likelihood of a token.
    pub perplexity: f64,
    /// Standard error of the perplexity.
    pub error: f64,
    /// Tokens predicted.
    pub tokens: u64,
    /// Chunks of the text.
    pub chunks: u64,
    /// Positions of a chunk.
    pub context: u64,
}

/// How far a model's predictions are from those of a base model, at the same positions of the same text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Divergence {
    /// The base model.
    pub base: Perplexity,
    /// The other one.
    pub perplexity: Perplexity,
    /// Mean of KL(base ‖ other) over the positions, in nats.
    pub mean_kl: f64,
    /// Its standard error.
    pub error: f64,
    /// The largest.
    pub max_kl: f64,
    /// Share of positions at which both think the same token most likely.
    pub same_top: f64,
}

/// Sums of a quantity, for its mean and its error.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Standard error of the mean.
    fn error(&self) -> f64 {
        let variance = (self.squares / self.count as f64 - self.mean().powi(2)).max(0.0);
        (variance / self.count.saturating_sub(1).max(1) as f64).sqrt()
    }

    fn perplexity(&self, chunks: &Chunks) -> Perplexity {
        let perplexity = self.mean().exp();
        Perplexity {
            perplexity,
            error: self.error() * perplexity,
            tokens: self.count,
            chunks: chunks.count() as u64,
            context: chunks.len as u64,
        }
    }
}

/// A text in chunks.
struct Chunks<'a> {
    ids: &'a [u32],
    bos: Option<u32>,
    len: usize,
}

impl<'a> Chunks<'a> {
    fn of(ids: &'a [u32], bos: Option<u32>, context: u32) -> Result<Self, EngineError> {
        let len = ids.len().min(context as usize);
        if len < SHORTEST_CHUNK {
            let problem = format!("{len} tokens are no text to measure; expected at least {SHORTEST_CHUNK}");
            return Err(EngineError::Request(problem));
        }
        Ok(Self { ids, bos, len })
    }

    fn count(&self) -> usize {
        self.ids.len() / self.len
    }

    /// The chunks; where the model begins texts with a token, it stands in the place of each chunk's first.
    fn iter(&self) -> impl Iterator<Item = Vec<u32>> + use<'a, '_> {
        self.ids.chunks_exact(self.len).map(|chunk| {
            let mut chunk = chunk.to_vec();
            chunk[0] = self.bos.unwrap_or(chunk[0]);
            chunk
        })
    }

    /// The token that counts as the prediction after `position`, if one does.
    fn target(&self, chunk: &[u32], position: usize) -> Option<usize> {
        let counts = (self.len / 2..self.len - 1).contains(&position);
        counts.then(|| chunk[position + 1] as usize)
    }
}

/// ln Σ exp(logits).
fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = logits.iter().fold(f32::NEG_INFINITY, |most, value| most.max(*value));
    let sum: f64 = logits.iter().map(|value| f64::from(*value - most).exp()).sum();
    f64::from(most) + sum.ln()
}

fn top(logits: &[f32]) -> usize {
    let best = logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (index, value)| {
        if *value > best.1 { (index, *value) } else { best }
    });
    best.0
}

fn check_finite(loss: f64, position: usize) -> Result<f64, EngineError> {
    if loss.is_finite() { Ok(loss) } else { Err(EngineError::NonFinite { position: position as u32 }) }
}

impl Engine {
    /// Measures the perplexity of a text. `bos` is the token that texts begin with; `progress` hears of chunks done and in
    /// all.
    ///
    /// # Errors
    /// A text that is too short, logits that are not finite, device errors.
    ///
    /// # Panics
    /// If the engine was not loaded with [`crate::EngineOptions::score`].
    pub fn perplexity(
        &mut self,
        ids: &[u32],
        bos: Option<u32>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Perplexity, EngineError> {
        let chunks = Chunks::of(ids, bos, self.context)?;
        let mut losses = Moments::default();
        for (index, chunk) in chunks.iter().enumerate() {
            let mut failed = None;
            self.score_rows(&chunk, &mut |position, logits| {
                if let Some(target) = chunks.target(&chunk, position) {
                    match check_finite(log_sum_exp(logits) - f64::from(logits[target]), position) {
                        Ok(loss) => losses.add(loss),
                        Err(error) => failed = Some(error),
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)?;
            progress(index as u64 + 1, chunks.count() as u64);
        }
        Ok(losses.perplexity(&chunks))
    }

    /// Compares this model's predictions with those of `base`, which has the same vocabulary.
    ///
    /// # Errors
    /// As [`perplexity`](Self::perplexity), and vocabularies of different sizes.
    ///
    /// # Panics
    /// If either engine was not loaded with [`crate::EngineOptions::score`].
    pub fn divergence(
        &mut self,
        base: &mut Engine,
        ids: &[u32],
        bos: Option<u32>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Divergence, EngineError> {
        let vocab = self.config.vocab_size as usize;
        if base.config.vocab_size as usize != vocab {
            let other = base.config.vocab_size;
            let problem = format!("vocabularies of {vocab} and {other} tokens cannot be compared");
            return Err(EngineError::Request(problem));
        }
        let chunks = Chunks::of(ids, bos, self.context.min(base.context))?;
        let [mut base_losses, mut losses, mut kls] = [Moments::default(); 3];
        let (mut max_kl, mut same) = (0.0f64, 0u64);
        for (index, chunk) in chunks.iter().enumerate() {
            let mut expected = Vec::new();
            base.score_rows(&chunk, &mut |position, logits| {
                if chunks.target(&chunk, position).is_some() {
                    expected.extend_from_slice(logits);
                }
            })?;
            let mut rows = expected.chunks_exact(vocab);
            let mut failed = None;
            self.score_rows(&chunk, &mut |position, logits| {
                let Some(target) = chunks.target(&chunk, position) else { return };
                let base_logits = rows.next().expect("one row a target");
                let (base_norm, norm) = (log_sum_exp(base_logits), log_sum_exp(logits));
                let kl: f64 = base_logits
                    .iter()
                    .zip(logits)
                    .map(|(base, other)| {
                        let base = f64::from(*base) - base_norm;
                        base.exp() * (base - (f64::from(*other) - norm))
                    })
                    .sum();
                match check_finite(kl, position) {
                    Ok(kl) => kls.add(kl),
                    Err(error) => failed = Some(error),
                }
                max_kl = max_kl.max(kl);
                base_losses.add(base_norm - f64::from(base_logits[target]));
                losses.add(norm - f64::from(logits[target]));
                same += u64::from(top(base_logits) == top(logits));
            })?;
            failed.map_or(Ok(()), Err)?;
            progress(index as u64 + 1, chunks.count() as u64);
        }
        Ok(Divergence {
            base: base_losses.perplexity(&chunks),
            perplexity: losses.perplexity(&chunks),
            mean_kl: kls.mean(),
            error: kls.error(),
            max_kl,
            same_top: same as f64 / kls.count as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_of_every_chunk_counts() {
        let ids: Vec<u32> = (10..31).collect();
        let chunks = Chunks::of(&ids, Some(1), 8).unwrap();
        let all: Vec<Vec<u32>> = chunks.iter().collect();
        assert_eq!((chunks.count(), all.len(), all[1][0], all[1][1]), (2, 2, 1, 19));
        let targets: Vec<_> = (0..8).filter_map(|position| chunks.target(&all[0], position)).collect();
        assert_eq!(targets, [15, 16, 17]);
        assert!(Chunks::of(&ids[..3], None, 8).is_err());
    }

    #[test]
    fn moments_by_hand() {
        let mut moments = Moments::default();
        [1.0, 2.0, 3.0].into_iter().for_each(|value| moments.add(value));
        assert_eq!(moments.mean(), 2.0);
        assert!((moments.error() - (2.0f64 / 3.0 / 2.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn sums_of_large_logits_do_not_overflow() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f64.ln())).abs() < 1e-9);
        assert_eq!(top(&[0.5, 2.0, 2.0, -1.0]), 1);
    }
}
