//! Stop strings over streamed text.

use super::error::TokenizerError;

/// Cuts streamed text at the first stop string, and holds back what may be the beginning of one.
///
/// However the text is cut into pieces, what comes out is the text up to the first position at which any of
/// the stop strings begins.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// Text not yet released: from here on a stop string may begin.
    held: String,
    stopped: Option<usize>,
}

/// What a [`StopMatcher`] lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Text that no stop string can reach any more.
    pub text: String,
    /// Index of the stop string that ended the text; everything after it is dropped.
    pub stop: Option<usize>,
}

impl StopMatcher {
    /// A matcher for any number of stop strings, none of them empty.
    pub fn new(stops: Vec<String>) -> Result<Self, TokenizerError> {
        match stops.iter().position(String::is_empty) {
            Some(index) => Err(TokenizerError::EmptyStop { index }),
            None => Ok(Self { stops, held: String::new(), stopped: None }),
        }
    }

    /// Takes the next piece of text and returns what is certain by now. After a stop nothing comes out any
    /// more.
    pub fn push(&mut self, piece: &str) -> Released {
        if self.stopped.is_some() {
            return self.release(0);
        }
        self.held.push_str(piece);
        let undecided = self.first_possible_start();
        match self.first_match() {
            // A stop string that begins earlier may still be completed, and would win.
            Some((start, _)) if undecided < start => self.release(undecided),
            Some(found) => self.stop_at(found),
            None => self.release(undecided),
        }
    }

    /// Ends the text and returns what was held back.
    pub fn finish(&mut self) -> Released {
        match self.first_match() {
            Some(found) => self.stop_at(found),
            None => self.release(self.held.len()),
        }
    }

    /// Position and index of the first stop string in the held text; of several there, the shortest.
    fn first_match(&self) -> Option<(usize, usize)> {
        let starts = self.stops.iter().enumerate();
        starts
            .filter_map(|(index, stop)| Some((self.held.find(stop)?, index)))
            .min_by_key(|&(start, index)| (start, self.stops[index].len()))
    }

    /// The first position from which all of the held text is the beginning of a stop string.
    fn first_possible_start(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let begins_a_stop =
            |rest: &str| self.stops.iter().any(|stop| rest.len() < stop.len() && stop.starts_with(rest));
        let mut positions = self.held.char_indices().map(|(position, _)| position);
        positions
            .find(|&position| self.held.len() - position < longest && begins_a_stop(&self.held[position..]))
            .unwrap_or(self.held.len())
    }

    fn stop_at(&mut self, (start, index): (usize, usize)) -> Released {
        self.stopped = Some(index);
        self.held.truncate(start);
        self.release(start)
    }

    fn release(&mut self, end: usize) -> Released {
        Released { text: self.held.drain(..end).collect(), stop: self.stopped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let stops = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut matcher = StopMatcher::new(stops).unwrap();
        let mut text = String::new();
        for piece in pieces {
            text += &matcher.push(piece).text;
        }
        let last = matcher.finish();
        (text + &last.text, last.stop)
    }

    #[test]
    fn cuts_inside_and_across_pieces() {
        assert_eq!(run(&["END"], &["a E", "ND b"]), ("a ".into(), Some(0)));
        assert_eq!(run(&["END"], &["a END b"]), ("a ".into(), Some(0)));
        assert_eq!(run(&["END"], &["a EN", "d"]), ("a ENd".into(), None));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), None));
    }

    #[test]
    fn releases_as_early_as_it_can() {
        let mut matcher = StopMatcher::new(vec!["\n\nUser:".into()]).unwrap();
        assert_eq!(matcher.push("Hi.\n").text, "Hi.");
        assert_eq!(matcher.push("Bye.\n\n").text, "\nBye.");
        assert_eq!(matcher.push("x").text, "\n\nx");
        assert_eq!(matcher.finish(), Released { text: String::new(), stop: None });
    }

    #[test]
    fn the_earliest_beginning_wins() {
        assert_eq!(run(&["b", "abc"], &["xa", "b", "c"]), ("x".into(), Some(1)));
        assert_eq!(run(&["b", "abc"], &["xa", "b", "d"]), ("xa".into(), Some(0)));
        assert_eq!(run(&["b", "abc"], &["xa", "b"]), ("xa".into(), Some(0)));
        assert_eq!(run(&["aaa"], &["baa", "aaa"]), ("b".into(), Some(0)));
    }

    #[test]
    fn nothing_follows_a_stop() {
        let mut matcher = StopMatcher::new(vec!["#".into()]).unwrap();
        assert_eq!(matcher.push("a#b"), Released { text: "a".into(), stop: Some(0) });
        assert_eq!(matcher.push("c"), Released { text: String::new(), stop: Some(0) });
        assert_eq!(matcher.finish(), Released { text: String::new(), stop: Some(0) });
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        let error = StopMatcher::new(vec!["a".into(), String::new()]).unwrap_err();
        assert!(error.to_string().starts_with("stop[1]:"), "{error}");
    }

    proptest! {
        #[test]
        fn equals_a_search_of_the_whole_text(
            pieces in prop::collection::vec("[abé🙂]{0,4}", 0..12),
            stops in prop::collection::vec("[abé🙂]{1,5}", 0..4),
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let whole = pieces.concat();
            let cut = stops.iter().filter_map(|stop| whole.find(stop)).min();
            let (text, stop) = run(&stops, &pieces);
            prop_assert_eq!(&text, &whole[..cut.unwrap_or(whole.len())]);
            prop_assert_eq!(stop.is_some(), cut.is_some());
            if let (Some(index), Some(start)) = (stop, cut) {
                prop_assert!(whole[start..].starts_with(stops[index]));
            }
        }

        #[test]
        fn holds_back_only_the_beginning_of_a_stop(
            pieces in prop::collection::vec("[ab]{0,3}", 1..12),
            stops in prop::collection::vec("[ab]{1,4}", 1..3),
        ) {
            let mut matcher = StopMatcher::new(stops.clone()).unwrap();
            let (mut whole, mut seen) = (String::new(), String::new());
            for piece in &pieces {
                whole += piece;
                let released = matcher.push(piece);
                seen += &released.text;
                if released.stop.is_some() {
                    return Ok(());
                }
                let held = &whole[seen.len()..];
                prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(held)));
            }
        }
    }
}
