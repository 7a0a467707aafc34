//! The embedding of a text: one vector of the hidden size.

use crate::{Engine, EngineError};

impl Engine {
    /// Feeds `ids` and returns their vectors behind the final norm, pooled to one of the hidden size.
    ///
    /// # Errors
    /// Ids out of range, device errors.
    ///
    /// # Panics
    /// If the engine was not loaded with [`crate::EngineOptions::pooling`].
    pub fn embed(&mut self, ids: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check_tokens(0, ids)?;
        let embed = self.handles.embed.expect("loaded without EngineOptions::pooling");
        let mut position = 0;
        for chunk in ids.chunks(embed.rows as usize) {
            let ticket = self.submit_rows(embed.plan, chunk, position, false, None)?;
            self.session.wait(ticket)?;
            position += chunk.len() as u32;
        }
        let bytes = self.session.readback(embed.embedding)?;
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(values.take(self.config.hidden_size as usize).collect())
    }
}
