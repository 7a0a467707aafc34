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
    /// The text with `▁` for every space, and `▁` before it if the model wants one there.
    pub(super) fn normalize(&self, text: &str, edges: Edges) -> String {
        let mut text = if self.remove_extra { collapse(text, edges) } else { text.replace(' ', "▁") };
        if edges.begins && !text.is_empty() && self.puts_prefix(&text, edges.begins_text) {
            text.insert(0, '▁');
        }
        text
    }

    fn puts_prefix(&self, text: &str, begins_text: bool) -> bool {
        match self.prefix {
            SpacePrefix::Never => false,
            SpacePrefix::EveryFragment => true,
            SpacePrefix::TextStart => begins_text && !text.starts_with('▁'),
        }
    }
}

/// Where a stretch of text lies between special and user-defined tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    /// Nothing comes before it at all.
    pub(super) begins_text: bool,
    /// A text begins here, as far as spaces are concerned.
    pub(super) begins: bool,
    /// A text ends here, as far as spaces are concerned.
    pub(super) ends: bool,
}

/// One space instead of several, none at the beginning and the end.
fn collapse(text: &str, edges: Edges) -> String {
    let mut collapsed = String::with_capacity(text.len());
    let mut after_space = edges.begins;
    for character in text.chars() {
        let is_space = character == ' ';
        if !(is_space && after_space) {
            collapsed.push(if is_space { '▁' } else { character });
        }
        after_space = is_space;
    }
    if edges.ends {
        // A written-out ▁ counts as a space at the end, as it does in the SentencePiece library.
        collapsed.truncate(collapsed.trim_end_matches('▁').len());
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: SpacePrefix, remove_extra: bool, text: &str, expected: &str) {
        let edges = Edges { begins_text: true, begins: true, ends: true };
        assert_eq!(Spaces { prefix, remove_extra }.normalize(text, edges), expected);
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
        let edges = Edges { begins_text: false, begins: true, ends: true };
        assert_eq!(spaces.normalize("a", edges), "a");
    }

    #[test]
    fn spaces_between_tokens_stay() {
        let spaces = Spaces { prefix: SpacePrefix::EveryFragment, remove_extra: true };
        let edges = Edges { begins_text: false, begins: false, ends: false };
        assert_eq!(spaces.normalize("  a  ", edges), "▁a▁");
    }
}
