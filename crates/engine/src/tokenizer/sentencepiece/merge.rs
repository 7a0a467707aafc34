//! The merge loop of SentencePiece: of all neighbours whose joined text is a piece, those with the best score
//! join first; of equals, the leftmost.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::super::error::{Origin, TokenizerError};
use super::{Piece, PieceKind};

/// The pieces that merging can produce.
pub(super) struct Merger {
    pieces: HashMap<Box<str>, Candidate>,
    longest_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    score: f32,
    /// May stand in the middle of merging, but not in the result.
    unused: bool,
}

/// A stretch of the text; empty once it has joined its left neighbour.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Symbol {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// Two neighbours that may join.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when they were proposed; they have changed since if it is another number.
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Merger {
    pub(super) fn new(origin: &Origin, key: &str, pieces: &[Piece]) -> Result<Self, TokenizerError> {
        let mut merger = Self { pieces: HashMap::with_capacity(pieces.len()), longest_bytes: 0 };
        for (id, piece) in (0u32..).zip(pieces) {
            let place = || format!("{key}[{id}]");
            if !piece.score.is_finite() {
                return Err(origin.malformed(place(), format!("score {}", piece.score), "a number"));
            }
            let mergeable =
                matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused);
            if !mergeable || piece.text.is_empty() {
                continue;
            }
            merger.longest_bytes = merger.longest_bytes.max(piece.text.len());
            // Adding zero turns -0.0 into 0.0, so that the two are equals.
            let score = piece.score + 0.0;
            let candidate = Candidate { id, score, unused: piece.kind == PieceKind::Unused };
            if let Some(other) = merger.pieces.insert(piece.text.as_str().into(), candidate) {
                let found = format!("{:?}, which is token {} too", piece.text, other.id);
                return Err(origin.malformed(place(), found, "each piece once"));
            }
        }
        Ok(merger)
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.pieces.get(text).map(|piece| piece.id)
    }

    /// Calls `emit` with each piece of the text in order; a character that is no piece has no id.
    pub(super) fn merge<'t>(&self, text: &'t str, mut emit: impl FnMut(&'t str, Option<u32>)) {
        let mut merging = Merging {
            merger: self,
            text,
            symbols: characters(text),
            queue: BinaryHeap::new(),
            unused: HashMap::new(),
        };
        for right in 1..merging.symbols.len() {
            merging.propose(Some(right - 1), Some(right));
        }
        while let Some(pair) = merging.queue.pop() {
            merging.join(&pair);
        }
        merging.emit_all(&mut emit);
    }
}

/// One symbol for each character.
fn characters(text: &str) -> Vec<Symbol> {
    let count = text.chars().count();
    let symbols = text.char_indices().enumerate().map(|(index, (start, character))| Symbol {
        start,
        end: start + character.len_utf8(),
        previous: index.checked_sub(1),
        next: Some(index + 1).filter(|&next| next < count),
    });
    symbols.collect()
}

/// One text on its way from characters to pieces.
struct Merging<'m, 't> {
    merger: &'m Merger,
    text: &'t str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
    /// Unused pieces that were proposed, with the length of their left part: in the end they fall apart
    /// again.
    unused: HashMap<&'t str, usize>,
}

impl<'t> Merging<'_, 't> {
    fn propose(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        let (start, end) = (self.symbols[left].start, self.symbols[right].end);
        if end - start > self.merger.longest_bytes {
            return;
        }
        let text = &self.text[start..end];
        let Some(piece) = self.merger.pieces.get(text) else {
            return;
        };
        if piece.unused {
            self.unused.insert(text, self.symbols[left].len());
        }
        self.queue.push(Pair { score: piece.score, left, right, len: end - start });
    }

    fn join(&mut self, pair: &Pair) {
        let (left, right) = (self.symbols[pair.left], self.symbols[pair.right]);
        let gone = left.len() == 0 || right.len() == 0;
        if gone || left.len() + right.len() != pair.len {
            return;
        }
        let joined = &mut self.symbols[pair.left];
        joined.end = right.end;
        joined.next = right.next;
        self.symbols[pair.right].end = right.start;
        if let Some(next) = right.next {
            self.symbols[next].previous = Some(pair.left);
        }
        self.propose(left.previous, Some(pair.left));
        self.propose(Some(pair.left), right.next);
    }

    fn emit_all(&self, emit: &mut impl FnMut(&'t str, Option<u32>)) {
        let mut parts = Vec::new();
        for symbol in self.symbols.iter().filter(|symbol| symbol.len() > 0) {
            parts.push(&self.text[symbol.start..symbol.end]);
            while let Some(part) = parts.pop() {
                let piece = self.merger.pieces.get(part);
                let split = piece.filter(|piece| piece.unused).and_then(|_| self.unused.get(part));
                match split {
                    Some(&left_bytes) => {
                        let (left, right) = part.split_at(left_bytes);
                        parts.extend([right, left]);
                    }
                    None => emit(part, piece.map(|piece| piece.id)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(pieces: &[(&str, f32, PieceKind)], text: &str) -> Vec<String> {
        let pieces: Vec<Piece> =
            pieces.iter().map(|&(text, score, kind)| Piece { text: text.into(), score, kind }).collect();
        let merger = Merger::new(&Origin::gguf(), "tokens", &pieces).unwrap();
        let mut parts = Vec::new();
        merger.merge(text, |part, _| parts.push(part.to_owned()));
        parts
    }

    const N: PieceKind = PieceKind::Normal;

    #[test]
    fn the_best_score_joins_first() {
        let pieces = [("ab", -2.0, N), ("bc", -1.0, N), ("abc", -3.0, N)];
        assert_eq!(merge(&pieces, "abc"), ["abc"]);
        assert_eq!(merge(&pieces[..2], "abc"), ["a", "bc"]);
        assert_eq!(merge(&pieces, "xabd"), ["x", "ab", "d"]);
        assert!(merge(&pieces, "").is_empty());
    }

    #[test]
    fn of_equals_the_leftmost_joins_first() {
        let pieces = [("aa", -1.0, N), ("aaa", -2.0, N)];
        assert_eq!(merge(&pieces, "aaaaa"), ["aa", "aaa"]);
        assert_eq!(merge(&[("aa", -0.0, N), ("ab", 0.0, N)], "aab"), ["aa", "b"]);
    }

    #[test]
    fn unused_pieces_fall_apart() {
        let pieces = [("ab", -1.0, PieceKind::Unused), ("cd", -2.0, N), ("abcd", -3.0, PieceKind::Unused)];
        assert_eq!(merge(&pieces, "abcd"), ["a", "b", "cd"]);
    }

    #[test]
    fn a_long_run_takes_no_quadratic_time() {
        let pieces = [("aa", -1.0, N), ("aaaa", -2.0, N)];
        assert_eq!(merge(&pieces, &"a".repeat(400_000)).len(), 100_000);
    }
}
