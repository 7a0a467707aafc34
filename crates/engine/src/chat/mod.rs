//! Chat templates: a conversation as the text that a model was trained on.
//!
//! - [`ChatTemplate`]: one Jinja template, compiled, with the functions and filters that Hugging Face gives it.
//! - [`ChatTemplates`]: the templates that a model's files carry, by name.
//! - [`ChatFormat`]: a template with the model's special tokens: conversation to ids, and where an answer ends.
//! - [`ThinkingSplitter`]: tells thinking from answer in streamed text.
//! - `tojson`: the filter of that name as Python's `json.dumps` writes.
//!
//! A template comes with the model's files and is not trusted: its size, steps, depth and output are limited, it sees
//! no file, and no environment.

mod format;
mod sources;
mod template;
mod thinking;
mod tojson;

pub use format::{ChatFormat, Prompt};
pub use minijinja::Value;
pub use sources::ChatTemplates;
pub use template::{ChatTemplate, Conversation};
pub use thinking::{Part, THINK, ThinkingSplitter};

/// Why there is no prompt for a conversation.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file with templates cannot be read.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The model's files have no template of this name.
    #[error("no chat template named {name:?} (have {have}); name one of them")]
    NoSuchTemplate {
        /// The name asked for.
        name: String,
        /// The names there are.
        have: String,
    },
    /// The template is broken, or uses what templates here cannot use.
    #[error("chat template: {0}")]
    Template(String),
    /// The template itself refuses the conversation, by `raise_exception`.
    #[error("the chat template refuses the conversation: {0}")]
    Refused(String),
}
