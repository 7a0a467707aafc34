//! Answers on their way to stdout: dimmed thinking and no stray control characters on a terminal, plain text elsewhere.

use crate::output;
use anyhow::Result;
use resident_engine::chat::Part;
use std::io::IsTerminal;

const DIM: &str = "\x1b[2m";
const NORMAL: &str = "\x1b[0m";

/// One answer.
pub(super) struct Screen {
    is_terminal: bool,
    shows_thinking: bool,
    /// The part that was shown last.
    was_thinking: bool,
    /// Nothing but white space of the answer has been there yet.
    before_answer: bool,
}

impl Screen {
    pub(super) fn new(shows_thinking: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self { is_terminal, shows_thinking, was_thinking: false, before_answer: false }
    }

    pub(super) fn show(&mut self, part: Part<'_>) -> Result<()> {
        match part {
            Part::Thinking(text) => {
                let began = !std::mem::replace(&mut self.was_thinking, true);
                let text = match (self.shows_thinking, began && self.is_terminal) {
                    (true, _) => text,
                    (false, true) => "(thinking …)",
                    (false, false) => return Ok(()),
                };
                self.write(text, true)
            }
            Part::Answer(text) => {
                if std::mem::replace(&mut self.was_thinking, false) {
                    self.before_answer = true;
                    if self.shows_thinking || self.is_terminal {
                        output::write("\n\n")?;
                    }
                }
                // The template's line breaks between thinking and answer are no part of it.
                let text = if self.before_answer { text.trim_start() } else { text };
                self.before_answer &= text.is_empty();
                self.write(text, false)
            }
        }
    }

    pub(super) fn end(&self) -> Result<()> {
        output::write("\n")
    }

    fn write(&self, text: &str, dim: bool) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.is_terminal {
            return output::write(text);
        }
        // A model's text must not move the cursor or change the terminal's settings.
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        output::write(&if dim { format!("{DIM}{text}{NORMAL}") } else { text })
    }

    /// A line for stderr, dimmed where that is a terminal.
    pub(super) fn dimmed_notice(line: &str) -> String {
        match std::io::stderr().is_terminal() {
            true => format!("{DIM}{line}{NORMAL}"),
            false => line.to_owned(),
        }
    }
}
