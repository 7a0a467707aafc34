//! Where messages come from: a line editor on a terminal, plain lines from a pipe or a file.

use anyhow::{Context as _, Result};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use std::io::BufRead;

/// Opens and closes a message of several lines.
const BLOCK: &str = "\"\"\"";
/// More than any context takes; a pipe that sends one line without end is cut here.
const MAX_MESSAGE_BYTES: u64 = 64 << 20;

/// What came in.
pub(super) enum Input {
    /// A message or a command; may have several lines.
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// The source of messages.
pub(super) enum Source {
    Terminal(Box<Editor<Lines, MemHistory>>),
    Lines,
}

impl Source {
    pub(super) fn terminal() -> Result<Self> {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).context("opening the terminal")?;
        editor.set_helper(Some(Lines));
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// Waits for the next message.
    pub(super) fn next(&mut self) -> Result<Input> {
        match self {
            Self::Terminal(editor) => match editor.readline("> ") {
                Ok(text) => Ok(Input::Text(joined(&text))),
                Err(ReadlineError::Eof) => Ok(Input::End),
                Err(ReadlineError::Interrupted) => Ok(Input::Interrupted),
                Err(error) => Err(error).context("reading the terminal"),
            },
            Self::Lines => read_message(&mut std::io::stdin().lock()),
        }
    }
}

/// A message of a stream: a line, or several if they belong together.
fn read_message(stream: &mut impl BufRead) -> Result<Input> {
    let mut bytes = Vec::new();
    loop {
        let room = MAX_MESSAGE_BYTES.saturating_sub(bytes.len() as u64);
        let read =
            std::io::Read::take(&mut *stream, room).read_until(b'\n', &mut bytes).context("reading stdin")?;
        let text = String::from_utf8_lossy(&bytes);
        if read == 0 && bytes.is_empty() {
            return Ok(Input::End);
        }
        if read == 0 || !is_open(text.trim_end_matches(['\n', '\r'])) {
            return Ok(Input::Text(joined(text.trim_end_matches(['\n', '\r']))));
        }
    }
}

/// Whether more lines belong to this message: it opened a block, or ends with a backslash.
fn is_open(text: &str) -> bool {
    match text.trim_start().strip_prefix(BLOCK) {
        Some(rest) => !rest.trim_end().ends_with(BLOCK),
        None => text.ends_with('\\'),
    }
}

/// The message without the marks that hold its lines together.
fn joined(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    match text.trim_start().strip_prefix(BLOCK) {
        Some(rest) => {
            let rest = rest.trim_end();
            rest.strip_suffix(BLOCK).unwrap_or(rest).trim_matches('\n').to_owned()
        }
        None => text.replace("\\\n", "\n"),
    }
}

/// Tells the line editor when a message is complete, and the names of the commands.
pub(super) struct Lines;

impl Helper for Lines {}
impl Highlighter for Lines {}

impl Hinter for Lines {
    type Hint = String;
}

impl Validator for Lines {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let is_open = is_open(context.input());
        Ok(if is_open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Lines {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let start = line.get(..at).unwrap_or_default();
        let names =
            super::commands::NAMES.iter().filter(|name| start.starts_with('/') && name.starts_with(start));
        Ok((0, names.map(|name| format!("{name} ")).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let mut stream = text.as_bytes();
        std::iter::from_fn(|| match read_message(&mut stream).unwrap() {
            Input::Text(text) => Some(text),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn a_line_is_a_message() {
        assert_eq!(messages("one\ntwo\r\n\nlast"), ["one", "two", "", "last"]);
        assert!(messages("").is_empty());
    }

    #[test]
    fn lines_are_held_together() {
        assert_eq!(messages("\"\"\"one\ntwo\"\"\"\nthree\n"), ["one\ntwo", "three"]);
        assert_eq!(messages("\"\"\"\none\n\ntwo\n\"\"\"\n"), ["one\n\ntwo"]);
        assert_eq!(messages("one\\\ntwo\\\nthree\nfour"), ["one\ntwo\nthree", "four"]);
        assert_eq!(messages("\"\"\"never closed\n"), ["never closed"]);
    }
}
