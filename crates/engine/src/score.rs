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
        let mut logits = Vec::with_capacity(ids.len() * self.config.vocab_size as usize);
        self.score_rows(ids, &mut |_, row| logits.extend_from_slice(row))?;
        Ok(logits)
    }

    /// As [`score`](Self::score), row by row: `take` gets each position with the logits after it, f32 `[vocab]`.
    ///
    /// # Errors
    /// Ids out of range, device errors.
    ///
    /// # Panics
    /// If the engine was not loaded with [`crate::EngineOptions::score`].
    pub fn score_rows(
        &mut self,
        ids: &[u32],
        take: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        self.check_tokens(0, ids)?;
        let score = self.handles.score.expect("loaded without EngineOptions::score");
        let vocab = self.config.vocab_size as usize;
        let stride = vocab.next_multiple_of(4);
        let mut logits = vec![0.0f32; vocab];
        for (index, chunk) in ids.chunks(score.rows as usize).enumerate() {
            let position = index as u32 * score.rows;
            let ticket = self.submit_rows(score.plan, chunk, position, false, None)?;
            self.session.wait(ticket)?;
            let bytes = self.session.readback(score.logits)?;
            let rows = bytes.chunks_exact(stride * 4).take(chunk.len());
            for (row_index, row) in rows.enumerate() {
                for (value, bytes) in logits.iter_mut().zip(row.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                take(position as usize + row_index, &logits);
            }
        }
        Ok(())
    }
}
