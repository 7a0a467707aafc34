//! How the next token is chosen, checked before it goes to the device.

use crate::EngineError;
use resident_kernels::step::{MAX_STOP_TOKENS, SequenceParams};

/// Sampling parameters. The default is greedy.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 is greedy.
    pub temperature: f32,
    /// Only the k most likely tokens; 0 is off.
    pub top_k: u32,
    /// Only the most likely tokens that together reach this probability; 1 is off.
    pub top_p: f32,
    /// Only tokens with at least this share of the most likely one's probability; 0 is off.
    pub min_p: f32,
    /// Divides the positive logits of tokens already in the text, multiplies the negative ones; 1 is off.
    pub repetition_penalty: f32,
    /// The same seed gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Refuses values outside their range.
    ///
    /// # Errors
    /// Names the parameter, its value and the range.
    pub fn check(&self) -> Result<(), EngineError> {
        let within = |name: &str, value: f32, inside: bool, range: &str| match inside {
            true => Ok(()),
            false => Err(EngineError::Request(format!("{name} is {value}, expected {range}"))),
        };
        let Self { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        within("temperature", temperature, (0.0..=100.0).contains(&temperature), "0 (greedy) to 100")?;
        within("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "more than 0, at most 1 (off)")?;
        within("min_p", min_p, (0.0..=1.0).contains(&min_p), "0 (off) to 1")?;
        let positive = repetition_penalty.is_finite() && repetition_penalty > 0.0;
        within("repetition_penalty", repetition_penalty, positive, "a finite number above 0; 1 is off")
    }

    /// What the device gets for a sequence that ends before `end_position` or after a stop token. The device knows only
    /// the first [`MAX_STOP_TOKENS`] of them; the host sees the others when it reads them.
    pub(crate) fn params(&self, end_position: u32, stop: &[u32]) -> SequenceParams {
        let mut stop_tokens = [0; MAX_STOP_TOKENS];
        let stop_count = stop.len().min(MAX_STOP_TOKENS);
        stop_tokens[..stop_count].copy_from_slice(&stop[..stop_count]);
        SequenceParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            penalty_window: 0,
            seed_low: self.seed as u32,
            seed_high: (self.seed >> 32) as u32,
            end_position,
            stop_count: stop_count as u32,
            stop_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_named() {
        let message = |sampling: Sampling| sampling.check().unwrap_err().to_string();
        let greedy = Sampling::default();
        assert!(greedy.check().is_ok());
        assert!(message(Sampling { temperature: -1.0, ..greedy.clone() }).starts_with("temperature is -1"));
        assert!(message(Sampling { temperature: f32::NAN, ..greedy.clone() }).contains("NaN"));
        assert!(message(Sampling { top_p: 0.0, ..greedy.clone() }).contains("more than 0"));
        assert!(message(Sampling { min_p: 1.5, ..greedy.clone() }).contains("0 (off) to 1"));
        assert!(message(Sampling { repetition_penalty: f32::INFINITY, ..greedy }).contains("finite"));
    }
}
