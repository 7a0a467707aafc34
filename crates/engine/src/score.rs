//! The logits of every position of a text.

use crate::{Engine, EngineError};

impl Engine {
    /// Feeds `ids` and returns the logits after each of them, f32 `[ids, vocab]`.
    ///
    /// # Errors
    /// Ids out of range, device errors.
    ///
    /// # Panics
    /// If the engine was not loaded with [`crate::EngineOptions::score`].
    pub fn score(&mut self, ids: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check_tokens(0, ids)?;
        let score = self.handles.score.expect("loaded without EngineOptions::score");
        let vocab = self.config.vocab_size as usize;
        let stride = vocab.next_multiple_of(4);
        let mut logits = Vec::with_capacity(ids.len() * vocab);
        for (index, chunk) in ids.chunks(score.rows as usize).enumerate() {
            let position = index as u32 * score.rows;
            let ticket = self.submit_rows(score.plan, chunk, position, false, None)?;
            self.session.wait(ticket)?;
            let bytes = self.session.readback(score.logits)?;
            for row in bytes.chunks_exact(stride * 4).take(chunk.len()) {
                logits.extend(
                    row[..vocab * 4].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                );
            }
        }
        Ok(logits)
    }
}
