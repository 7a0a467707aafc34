//! The ids of the tokens that frame a text.

/// Where a text begins and ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenIds {
    /// Stands before a text, if the tokenizer adds it.
    pub bos: Option<u32>,
    /// Each of these ends a text. The first one is the model's own choice. May be empty.
    pub eos: Vec<u32>,
    /// Fills up rows; never part of a text.
    pub pad: Option<u32>,
}

impl TokenIds {
    /// Adds ids that end a text, each once.
    pub(super) fn add_eos(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            if !self.eos.contains(&id) {
                self.eos.push(id);
            }
        }
    }

    /// The ids that stand in texts, each with what it is: these must lie in the vocabulary. Padding never is read.
    pub(in crate::checkpoint) fn in_texts(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let bos = self.bos.iter().map(|id| ("bos_token_id", *id));
        bos.chain(self.eos.iter().map(|id| ("eos_token_id", *id)))
    }
}
