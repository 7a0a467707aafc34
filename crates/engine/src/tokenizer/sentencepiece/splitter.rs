//! Finds whole tokens in a text: from the left, the longest at each place.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::super::error::{Origin, TokenizerError};
use super::{Piece, PieceKind};

pub(super) enum Fragment<'t> {
    Token(u32),
    Text(&'t str),
}

pub(super) struct Splitter {
    automaton: AhoCorasick,
    /// Ids and texts of the tokens, in the automaton's order. User-defined ones have spaces for `▁`, as raw
    /// text has.
    tokens: Vec<(u32, String)>,
}

impl Splitter {
    pub(super) fn new(
        origin: &Origin,
        key: &str,
        pieces: &[Piece],
        wanted: fn(PieceKind) -> bool,
    ) -> Result<Self, TokenizerError> {
        let tokens: Vec<(u32, String)> = (0u32..)
            .zip(pieces)
            .filter(|(_, piece)| wanted(piece.kind) && !piece.text.is_empty())
            .map(|(id, piece)| match piece.kind {
                PieceKind::UserDefined => (id, piece.text.replace('▁', " ")),
                _ => (id, piece.text.clone()),
            })
            .collect();
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, text)| text))
            .map_err(|error| origin.malformed(key, error, "tokens to search for"))?;
        Ok(Self { automaton, tokens })
    }

    /// The text in order: tokens, and what lies between them.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let mut end = 0;
        for found in self.automaton.find_iter(text) {
            if end < found.start() {
                fragments.push(Fragment::Text(&text[end..found.start()]));
            }
            fragments.push(Fragment::Token(self.tokens[found.pattern().as_usize()].0));
            end = found.end();
        }
        if end < text.len() {
            fragments.push(Fragment::Text(&text[end..]));
        }
        fragments
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.tokens.iter().find(|(_, token)| token == text).map(|&(id, _)| id)
    }
}
