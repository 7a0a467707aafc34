//! What a SentencePiece model does to the spaces of a text before it looks for pieces.

/// Where a space goes before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum SpacePrefix {
    Never,
    /// Before the text and again after every special token.
    EveryFragment,
    /// Before the text alone, unless it begins with one.
    TextStart,
}

/// The rules for spaces.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Spaces {
    pub(in super::super) prefix: SpacePrefix,
    /// One space instead of several, none at the ends.
    pub(in super::super) remove_extra: bool,
}

impl Spaces {
    /// The text between two special tokens with `▁` for every space; `at_start` if nothing comes before it.
    pub(super) fn normalize(&self, text: &str, at_start: bool) -> String {
        let text = if self.remove_extra { collapse(text) } else { text.replace(' ', "▁") };
        let prefix = match self.prefix {
            SpacePrefix::Never => false,
            SpacePrefix::EveryFragment => true,
            SpacePrefix::TextStart => at_start && !text.starts_with('▁'),
        };
        if prefix && !text.is_empty() { format!("▁{text}") } else { text }
    }
}

fn collapse(text: &str) -> String {
    let words = text.split(' ').filter(|word| !word.is_empty());
    let text = words.collect::<Vec<_>>().join("▁");
    // A written-out ▁ counts as a space at the end, as it does in the SentencePiece library.
    text.trim_end_matches('▁').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: SpacePrefix, remove_extra: bool, text: &str, expected: &str) {
        assert_eq!(Spaces { prefix, remove_extra }.normalize(text, true), expected);
    }

    #[test]
    fn spaces_become_visible() {
        check(SpacePrefix::Never, false, " a  b ", "▁a▁▁b▁");
        check(SpacePrefix::EveryFragment, false, " a", "▁▁a");
        check(SpacePrefix::EveryFragment, false, "", "");
        check(SpacePrefix::TextStart, false, "a", "▁a");
        check(SpacePrefix::TextStart, false, " a", "▁a");
    }

    #[test]
    fn extra_spaces_go() {
        check(SpacePrefix::EveryFragment, true, "  a  b\n c  ", "▁a▁b\n▁c");
        check(SpacePrefix::Never, true, "  a", "a");
        check(SpacePrefix::EveryFragment, true, "   ", "");
    }

    #[test]
    fn only_the_start_of_the_text_counts() {
        let spaces = Spaces { prefix: SpacePrefix::TextStart, remove_extra: false };
        assert_eq!(spaces.normalize("a", false), "a");
    }
}
