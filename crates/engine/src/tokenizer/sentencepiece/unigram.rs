//! SentencePiece's unigram models: of all ways to cut a text into pieces, the one with the highest sum of scores.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::super::error::{Origin, TokenizerError};
use super::{Piece, PieceKind};

/// How much worse than the worst piece an unknown character is, in the SentencePiece library.
const UNKNOWN_PENALTY: f32 = 10.0;
/// A user-defined piece scores its length in the best piece's scores, less this.
const USER_DEFINED_PENALTY: f32 = 0.1;

pub(super) struct Unigram {
    automaton: AhoCorasick,
    /// Id and score of each piece, in the automaton's order.
    pieces: Vec<(u32, f32)>,
    ids: HashMap<Box<str>, u32>,
    unknown_score: f32,
}

/// The best way to the end of a character.
#[derive(Clone, Copy)]
struct Best {
    score: f32,
    start: usize,
    id: Option<u32>,
}

impl Unigram {
    pub(super) fn new(origin: &Origin, key: &str, all: &[Piece]) -> Result<Self, TokenizerError> {
        let place = |id: u32| format!("{key}[{id}]");
        let normal = all.iter().filter(|piece| piece.kind == PieceKind::Normal).map(|piece| piece.score);
        let (lowest, highest) =
            normal.fold((0.0f32, f32::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
        let highest = highest.max(lowest);
        let (mut texts, mut pieces, mut ids) = (Vec::new(), Vec::new(), HashMap::new());
        for (id, piece) in (0u32..).zip(all) {
            if !piece.score.is_finite() {
                return Err(origin.malformed(place(id), format!("score {}", piece.score), "a number"));
            }
            let score = match piece.kind {
                PieceKind::Normal => piece.score,
                PieceKind::UserDefined => piece.text.len() as f32 * highest - USER_DEFINED_PENALTY,
                _ => continue,
            };
            if piece.text.is_empty() {
                continue;
            }
            if let Some(other) = ids.insert(piece.text.as_str().into(), id) {
                let found = format!("{:?}, which is token {other} too", piece.text);
                return Err(origin.malformed(place(id), found, "each piece once"));
            }
            texts.push(piece.text.as_str());
            pieces.push((id, score));
        }
        let automaton =
            AhoCorasick::new(&texts).map_err(|error| origin.malformed(key, error, "pieces to search for"))?;
        Ok(Self { automaton, pieces, ids, unknown_score: lowest - UNKNOWN_PENALTY })
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Calls `emit` with each piece of the text in order; an unknown character has no id.
    pub(super) fn cut<'t>(&self, text: &'t str, mut emit: impl FnMut(&'t str, Option<u32>)) {
        let best = self.best_ways(text);
        let mut cuts = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let way = best[end].expect("every character has a way to its end");
            cuts.push((way.start, end, way.id));
            end = way.start;
        }
        for (start, end, id) in cuts.into_iter().rev() {
            emit(&text[start..end], id);
        }
    }

    /// The best way to each end of a character, by the position of that end.
    fn best_ways(&self, text: &str) -> Vec<Option<Best>> {
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        best[0] = Some(Best { score: 0.0, start: 0, id: None });
        // Matches come in the order of their ends, and those of one end the longest first: of equals the longest wins.
        let mut matches = self.automaton.find_overlapping_iter(text).peekable();
        for (start, character) in text.char_indices() {
            let end = start + character.len_utf8();
            let mut is_piece = false;
            while let Some(found) = matches.next_if(|found| found.end() <= end) {
                let (id, score) = self.pieces[found.pattern().as_usize()];
                is_piece |= found.start() == start;
                consider(&mut best, found.start(), found.end(), score, Some(id));
            }
            if !is_piece {
                consider(&mut best, start, end, self.unknown_score, None);
            }
        }
        best
    }
}

fn consider(best: &mut [Option<Best>], start: usize, end: usize, score: f32, id: Option<u32>) {
    let Some(before) = best[start] else { return };
    let score = before.score + score;
    if best[end].is_none_or(|other| score > other.score) {
        best[end] = Some(Best { score, start, id });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[(&str, f32)], text: &str) -> Vec<(String, Option<u32>)> {
        let pieces: Vec<Piece> = pieces
            .iter()
            .map(|&(text, score)| Piece { text: text.into(), score, kind: PieceKind::Normal })
            .collect();
        let unigram = Unigram::new(&Origin::gguf(), "pieces", &pieces).unwrap();
        let mut cuts = Vec::new();
        unigram.cut(text, |part, id| cuts.push((part.to_owned(), id)));
        cuts
    }

    #[test]
    fn the_highest_sum_wins() {
        let pieces = [("a", -1.0), ("b", -1.0), ("ab", -1.5), ("abc", -9.0), ("c", -1.0)];
        let texts = |text| cut(&pieces, text).into_iter().map(|(part, _)| part).collect::<Vec<_>>();
        assert_eq!(texts("abc"), ["ab", "c"]);
        assert_eq!(texts("ba"), ["b", "a"]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn of_equals_the_longer_wins_and_unknown_characters_have_no_id() {
        let pieces = [("a", -1.0), ("b", -1.0), ("ab", -2.0)];
        assert_eq!(cut(&pieces, "ab"), [("ab".into(), Some(2))]);
        assert_eq!(cut(&pieces, "aéb"), [("a".into(), Some(0)), ("é".into(), None), ("b".into(), Some(1))]);
    }

    #[test]
    fn a_long_text_takes_no_quadratic_time() {
        let pieces = [("a", -1.0), ("aa", -1.5)];
        assert_eq!(cut(&pieces, &"a".repeat(400_000)).len(), 200_000);
    }
}
