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

    /// Every id, for checks.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.bos.iter().chain(&self.eos).chain(&self.pad).copied()
    }
}
