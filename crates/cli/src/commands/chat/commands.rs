//! What a line that begins with a slash does.

use super::session::{Session, Thinking};
use crate::output::notice;
use anyhow::Result;
use clap::ValueEnum;
use std::path::Path;

const HELP: &str = "\
/system TEXT        set the system prompt (without TEXT: remove it)
/save FILE          write the conversation as JSON (OpenAI messages)
/load FILE          go on with a saved conversation
/regenerate         answer the last message anew
/undo               take back the last exchange
/clear              begin anew, the system prompt stays
/history            print the conversation
/stats              tokens, speed, what the KV cache holds
/temperature T, /top-p P, /top-k K, /min-p P, /repetition-penalty R, /seed S, /max-tokens N
                    how answers are chosen (without a value: show it)
/thinking show|hide|off
/help, /quit
A message of several lines stands between \"\"\" and \"\"\", or its lines end with \\. // begins a message with a slash.
Ctrl-C stops the answer, Ctrl-D leaves.";

/// For completion.
pub(super) const NAMES: &[&str] = &[
    "/system",
    "/save",
    "/load",
    "/regenerate",
    "/undo",
    "/clear",
    "/history",
    "/stats",
    "/temperature",
    "/top-p",
    "/top-k",
    "/min-p",
    "/repetition-penalty",
    "/seed",
    "/max-tokens",
    "/thinking",
    "/help",
    "/quit",
];

/// What follows from a command.
pub(super) enum Next {
    /// The next message.
    Prompt,
    /// An answer to the conversation as it is.
    Answer,
    Quit,
}

/// Does what the line says; its own errors are told and change nothing.
pub(super) fn run(line: &str, session: &mut Session) -> Result<Next> {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    match name {
        "/help" | "/?" => notice(HELP),
        "/quit" | "/exit" | "/bye" => return Ok(Next::Quit),
        "/system" => session.set_system(argument),
        "/save" | "/load" if argument.is_empty() => notice(&format!("{name}: name a file")),
        "/save" => tell(session.save(Path::new(argument)).map(|()| format!("saved to {argument}"))),
        "/load" => tell(session.load(Path::new(argument)).map(|count| format!("loaded {count} messages"))),
        "/regenerate" | "/regen" | "/retry" => {
            if session.drop_answer() {
                return Ok(Next::Answer);
            }
            notice("there is no message to answer");
        }
        "/undo" => notice(if session.undo() {
            "took back the last exchange"
        } else {
            "there is nothing to take back"
        }),
        "/clear" | "/reset" => {
            session.clear();
            notice("the conversation begins anew");
        }
        "/history" => session.print()?,
        "/stats" => notice(&session.stats()),
        "/thinking" if argument.is_empty() => notice(&format!("thinking is {}", session.thinking.name())),
        "/thinking" => match Thinking::from_str(argument, false) {
            Ok(thinking) => session.thinking = thinking,
            Err(_) => notice("/thinking: expected show, hide or off"),
        },
        _ => match session.set(name.trim_start_matches('/'), argument) {
            Some(told) => notice(&told),
            None => notice(&format!("{name} is no command; /help lists them")),
        },
    }
    Ok(Next::Prompt)
}

fn tell(outcome: Result<String>) {
    notice(&outcome.unwrap_or_else(|error| crate::exit::message(&error)));
}
