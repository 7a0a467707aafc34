//! How a model talks: its template, the special tokens that the template reads, the token that ends a turn.

use super::{ChatTemplate, Conversation, THINK, Value};
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::{EngineError, OpenModel};
use std::collections::BTreeMap;

/// Stands for an answer where the template is asked what follows one.
const SOMETHING: &str = "Something.";

/// Everything needed to turn a conversation into token ids, and to know where the answer ends.
#[derive(Debug)]
pub struct ChatFormat {
    template: ChatTemplate,
    special_tokens: BTreeMap<String, Value>,
    end_of_turn: Option<u32>,
}

/// A conversation as the model reads it.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text that the template made.
    pub text: String,
    /// Its ids. The template writes the special tokens, so none are added.
    pub ids: Vec<u32>,
    /// The text ends within a block of thinking that the answer goes on with.
    pub is_thinking: bool,
}

impl ChatFormat {
    /// The format of a model, by the template of this name; without a name by the one for conversations, with or
    /// without tools. None if the model has no template at all.
    ///
    /// # Errors
    /// Files that cannot be read, no such template, a broken one.
    pub fn of(
        model: &OpenModel,
        tokenizer: &Tokenizer,
        name: Option<&str>,
        with_tools: bool,
    ) -> Result<Option<Self>, EngineError> {
        let templates = model.chat_templates()?;
        if templates.is_empty() && name.is_none() {
            return Ok(None);
        }
        Ok(Some(Self::new(templates.compile(name, with_tools)?, tokenizer)?))
    }

    /// A format from its parts.
    ///
    /// # Errors
    /// Text that the tokenizer cannot take.
    pub fn new(template: ChatTemplate, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let named = [
            ("bos_token", tokenizer.bos_id()),
            ("eos_token", tokenizer.eos_id()),
            ("unk_token", tokenizer.unk_id()),
            ("pad_token", tokenizer.pad_id()),
        ];
        let text = |id| String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap_or_default()).into_owned();
        let special_tokens = named
            .into_iter()
            .filter_map(|(name, id)| Some((name.to_owned(), Value::from(text(id?)))))
            .collect();
        let mut format = Self { template, special_tokens, end_of_turn: None };
        format.end_of_turn = format.find_end_of_turn(tokenizer)?;
        Ok(format)
    }

    /// Renders a conversation and tokenizes it.
    ///
    /// # Errors
    /// The template refuses or fails.
    pub fn prompt(&self, tokenizer: &Tokenizer, conversation: &Conversation) -> Result<Prompt, EngineError> {
        let text = self.render(conversation)?;
        let ids = tokenizer.encode(&text, false)?;
        let is_thinking = conversation.add_generation_prompt && text.trim_end().ends_with(THINK[0]);
        Ok(Prompt { text, ids, is_thinking })
    }

    /// The token that the template puts behind an answer: generation ends there, whatever the model's files call the
    /// end of a text.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    fn render(&self, conversation: &Conversation) -> Result<String, super::ChatError> {
        let mut conversation = conversation.clone();
        for (name, value) in &self.special_tokens {
            conversation.variables.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.template.render(&conversation)
    }

    /// Renders a finished exchange and looks at what follows the answer.
    fn find_end_of_turn(&self, tokenizer: &Tokenizer) -> Result<Option<u32>, TokenizerError> {
        let message = |role: &str, content: &str| Value::from_pairs([("role", role), ("content", content)]);
        let messages = vec![message("user", "Hi"), message("assistant", SOMETHING)];
        let exchange = Conversation { messages, ..Default::default() };
        // A template that takes no such exchange tells nothing; the model's own end of text must do.
        let Ok(text) = self.render(&exchange) else { return Ok(None) };
        let Some((_, after)) = text.rsplit_once(SOMETHING) else { return Ok(None) };
        let first = tokenizer.encode(after.trim_start(), false)?.first().copied();
        Ok(first.filter(|&id| tokenizer.is_special(id)))
    }
}
