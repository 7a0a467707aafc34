//! Tells a model's thinking from its answer in streamed text: `<think>` … `</think>`.

use crate::tokenizer::{Released, StopMatcher};

/// What opens and closes a block of thinking.
pub const THINK: [&str; 2] = ["<think>", "</think>"];

/// Text and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// What the model thinks before it answers.
    Thinking(&'t str),
    /// The answer.
    Answer(&'t str),
}

/// Cuts streamed text at the marks, which it leaves out. However the text is cut into pieces, the same parts come out.
#[derive(Debug)]
pub struct ThinkingSplitter {
    /// Looks for the mark that ends the part under way.
    mark: StopMatcher,
    is_thinking: bool,
}

fn matcher(is_thinking: bool) -> StopMatcher {
    let mark = THINK[usize::from(is_thinking)];
    StopMatcher::new(vec![mark.into()]).expect("the marks are not empty")
}

impl ThinkingSplitter {
    /// `is_thinking` if the prompt has opened a block already.
    pub fn new(is_thinking: bool) -> Self {
        Self { mark: matcher(is_thinking), is_thinking }
    }

    /// Whether the text is within a block of thinking.
    pub fn is_thinking(&self) -> bool {
        self.is_thinking
    }

    /// Takes the next piece of text; `emit` gets what is certain by now.
    pub fn push(&mut self, piece: &str, emit: &mut dyn FnMut(Part<'_>)) {
        let mut piece = piece.to_owned();
        loop {
            // The matcher drops what follows a mark, so it gets no more than up to there.
            let (first, rest) = self.up_to_mark(&piece);
            let Released { text, stop } = self.mark.push(first);
            self.emit(&text, emit);
            if stop.is_none() {
                return;
            }
            piece = rest.to_owned();
            self.is_thinking = !self.is_thinking;
            self.mark = matcher(self.is_thinking);
        }
    }

    /// Ends the text; `emit` gets what was held back.
    pub fn finish(&mut self, emit: &mut dyn FnMut(Part<'_>)) {
        let text = self.mark.finish().text;
        self.emit(&text, emit);
    }

    /// The shortest beginning of the piece that completes the mark, and the rest; all of it if none does.
    fn up_to_mark<'t>(&self, piece: &'t str) -> (&'t str, &'t str) {
        let ends = piece.char_indices().map(|(at, character)| at + character.len_utf8());
        let completes = |&end: &usize| {
            piece[..end].ends_with('>') && self.mark.clone().push(&piece[..end]).stop.is_some()
        };
        piece.split_at(ends.into_iter().find(completes).unwrap_or(piece.len()))
    }

    fn emit(&self, text: &str, emit: &mut dyn FnMut(Part<'_>)) {
        match text {
            "" => {}
            text if self.is_thinking => emit(Part::Thinking(text)),
            text => emit(Part::Answer(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Thinking and answer, each joined.
    fn split(is_thinking: bool, pieces: &[&str]) -> (String, String) {
        let (mut thinking, mut answer) = (String::new(), String::new());
        let mut splitter = ThinkingSplitter::new(is_thinking);
        let mut emit = |part: Part<'_>| match part {
            Part::Thinking(text) => thinking += text,
            Part::Answer(text) => answer += text,
        };
        pieces.iter().for_each(|piece| splitter.push(piece, &mut emit));
        splitter.finish(&mut emit);
        (thinking, answer)
    }

    #[test]
    fn thinking_and_answer_are_told_apart() {
        let text = ["<think>\nEasy", ": 4\n</thi", "nk>\n\n4 <", "b>"];
        assert_eq!(split(false, &text), ("\nEasy: 4\n".into(), "\n\n4 <b>".into()));
        assert_eq!(split(true, &["Hm</think>Hi"]), ("Hm".into(), "Hi".into()));
        assert_eq!(split(true, &["Hm</thin"]), ("Hm</thin".into(), String::new()));
        assert_eq!(split(false, &["a<think>b</think>c<think>d"]), ("bd".into(), "ac".into()));
        assert_eq!(split(false, &["a > b </think> c"]), (String::new(), "a > b </think> c".into()));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same(
            text in "(<think>|</think>|<thi|nk>|[a<>é]){0,12}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.retain(|&at| text.is_char_boundary(at));
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(false, &pieces), split(false, &[&text]));
        }
    }
}
