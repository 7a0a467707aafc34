//! A conversation with a resident model: messages, settings, and answers streamed as they come.

use super::saved;
use super::screen::Screen;
use crate::{interrupt, output};
use anyhow::{Context, Result};
use resident_engine::chat::{ChatFormat, Conversation, Part, THINK, ThinkingSplitter, Value};
use resident_engine::tokenizer::Tokenizer;
use resident_engine::{Engine, FinishReason, Generated, Request, Sampling};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// What happens to blocks of thinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Thinking {
    /// Shown, dimmed on a terminal
    #[default]
    Show,
    /// The model thinks, and only the answer is shown
    Hide,
    /// The template is told that the model shall not think (enable_thinking = false)
    Off,
}

impl Thinking {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Show => "shown",
            Self::Hide => "hidden",
            Self::Off => "off",
        }
    }
}

/// All answers of a session together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) answers: u64,
    pub(super) prefilled: u64,
    pub(super) reused: u64,
    pub(super) produced: u64,
    pub(super) completed: u64,
    pub(super) prefill: Duration,
    pub(super) decode: Duration,
    pub(super) prefill_submits: u64,
    pub(super) prefill_host_waits: u64,
    pub(super) interrupted: bool,
}

pub(super) struct Session<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) tokenizer: &'a Tokenizer,
    /// None: the model has no chat template, and messages are continued as plain text.
    pub(super) format: Option<&'a ChatFormat>,
    pub(super) stop_tokens: &'a [u32],
    /// The longest context that the model was made for.
    pub(super) longest: u32,
    pub(super) sampling: Sampling,
    pub(super) max_tokens: u32,
    pub(super) thinking: Thinking,
    pub(super) messages: Vec<Value>,
    pub(super) totals: Totals,
    pub(super) last: Option<Generated>,
    pub(super) text: String,
}

fn message(role: &str, content: &str) -> Value {
    Value::from_pairs([("role", role), ("content", content)])
}

fn role(message: &Value) -> String {
    message.get_attr("role").map(|role| role.to_string()).unwrap_or_default()
}

/// The text of a message; that of its parts where the content is a list.
fn content(message: &Value) -> String {
    let Ok(content) = message.get_attr("content") else { return String::new() };
    match content.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let parts =
                content.try_iter().into_iter().flatten().filter_map(|part| part.get_attr("text").ok());
            parts.map(|text| text.to_string()).collect()
        }
    }
}

impl Session<'_> {
    /// Adds a message of the user.
    pub(super) fn say(&mut self, text: &str) {
        self.messages.push(message("user", text));
    }

    /// Generates the answer to the messages, streams it, and keeps it. What stands against it is told, and the last
    /// message is taken back; the errors returned are those of the device and of the output.
    pub(super) fn answer(&mut self) -> Result<bool> {
        let prompt = match self.prompt() {
            Ok(prompt) => prompt,
            Err(error) => {
                output::notice(&crate::exit::message(&error));
                self.messages.pop();
                return Ok(false);
            }
        };
        let (ids, is_thinking) = prompt;
        let context = self.engine.context();
        if ids.is_empty() || ids.len() > context as usize {
            output::notice(&match ids.len() {
                0 => "the message is empty".to_owned(),
                count => {
                    format!("{count} tokens do not fit into the context of {context}: {}", self.remedy())
                }
            });
            self.messages.pop();
            return Ok(false);
        }
        let (thought, said, generated, stopped) = self.generate(&ids, is_thinking)?;
        self.keep(&thought, &said);
        self.text = said;
        self.count(&generated, stopped);
        self.tell_end(&generated, stopped);
        self.last = Some(generated);
        Ok(true)
    }

    /// The ids to continue, and whether they end within a block of thinking.
    fn prompt(&self) -> Result<(Vec<u32>, bool)> {
        let Some(format) = self.format else {
            let mut text = String::new();
            for message in &self.messages {
                if role(message) == "user" && text.ends_with(|last: char| !last.is_whitespace()) {
                    text.push(' ');
                }
                text += &content(message);
            }
            return Ok((self.tokenizer.encode(&text, true)?, false));
        };
        let mut conversation = Conversation {
            messages: self.messages.clone(),
            add_generation_prompt: true,
            ..Default::default()
        };
        if self.thinking == Thinking::Off {
            conversation.variables.insert("enable_thinking".into(), false.into());
        }
        let prompt = format.prompt(self.tokenizer, &conversation)?;
        Ok((prompt.ids, prompt.is_thinking))
    }

    /// Thinking, answer, counts, and whether Ctrl-C ended it.
    fn generate(&mut self, ids: &[u32], is_thinking: bool) -> Result<(String, String, Generated, bool)> {
        let request = Request {
            prompt: ids,
            max_tokens: self.max_tokens,
            sampling: &self.sampling,
            stop_tokens: self.stop_tokens,
        };
        let mut detokenizer = self.tokenizer.detokenizer(true);
        detokenizer.skip(ids);
        // Some models have the marks as special tokens, which are otherwise not shown.
        let marks =
            THINK.map(|mark| self.tokenizer.token_id(mark).filter(|&id| self.tokenizer.is_special(id)));
        let mut splitter = ThinkingSplitter::new(is_thinking);
        let mut screen = Screen::new(self.thinking == Thinking::Show);
        let (mut thought, mut said, mut failed) = (String::new(), String::new(), None);
        let mut show = |part: Part<'_>| {
            match part {
                Part::Thinking(text) => thought += text,
                Part::Answer(text) => said += text,
            }
            if failed.is_none() {
                failed = screen.show(part).err();
            }
            failed.is_some()
        };
        interrupt::watch();
        let outcome = self.engine.generate_next(&request, &mut |token| {
            let mark = marks.iter().position(|mark| *mark == Some(token));
            let piece = mark.map_or_else(|| detokenizer.push(token), |mark| THINK[mark].to_owned());
            let mut broken = false;
            splitter.push(&piece, &mut |part| broken |= show(part));
            if broken || interrupt::is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let stopped = interrupt::rest();
        let generated = outcome?;
        splitter.push(&detokenizer.finish(), &mut |part| {
            show(part);
        });
        splitter.finish(&mut |part| {
            show(part);
        });
        if let Some(error) = failed {
            return Err(error);
        }
        screen.end()?;
        Ok((thought, said, generated, stopped))
    }

    /// Keeps the answer as the next prompt wants it.
    fn keep(&mut self, thought: &str, said: &str) {
        let thought = thought.trim();
        self.messages.push(match thought {
            "" => message("assistant", said),
            _ => Value::from_pairs([
                ("role", "assistant"),
                ("content", said.trim_start()),
                ("reasoning_content", thought),
            ]),
        });
    }

    fn count(&mut self, generated: &Generated, stopped: bool) {
        let produced = generated.tokens.len() as u64;
        let totals = &mut self.totals;
        totals.answers += 1;
        totals.prefilled += generated.prompt_tokens;
        totals.reused += generated.reused_tokens;
        totals.produced += produced;
        totals.completed += produced - u64::from(generated.finish == FinishReason::Stop);
        totals.prefill += generated.prefill;
        totals.decode += generated.decode;
        totals.prefill_submits += generated.prefill_submits;
        totals.prefill_host_waits += generated.prefill_host_waits;
        totals.interrupted |= stopped;
    }

    /// One line after the answer: how much and how fast, and why it ended if that is not plain.
    fn tell_end(&self, generated: &Generated, stopped: bool) {
        let count = generated.tokens.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut line = format!("{count} token{plural}");
        if let Some(rate) = rate(count.saturating_sub(1) as u64, generated.decode) {
            line += &format!(" · {rate:.1} tokens/s");
        }
        line += &format!(" · prompt {} new", generated.prompt_tokens);
        if generated.reused_tokens > 0 {
            line += &format!(" + {} cached", generated.reused_tokens);
        }
        match generated.finish {
            _ if stopped => line += " · stopped",
            FinishReason::Length => line += " · cut off at --max-tokens",
            FinishReason::Context => {
                let context = self.engine.context();
                line += &format!(" · cut off: the context of {context} tokens is full: {}", self.remedy());
            }
            FinishReason::Stop | FinishReason::Caller => {}
        }
        output::notice(&Screen::dimmed_notice(&format!("[{line}]")));
    }

    /// What helps when the context is full.
    fn remedy(&self) -> String {
        let more = match self.engine.context() < self.longest {
            true => format!(", --context makes more room (this model: up to {})", self.longest),
            false => String::new(),
        };
        format!("/clear begins anew, /undo takes back the last exchange{more}")
    }

    pub(super) fn set_system(&mut self, text: &str) {
        if self.format.is_none() {
            output::notice("without a chat template there is no system prompt");
            return;
        }
        if self.messages.first().is_some_and(|first| role(first) == "system") {
            self.messages.remove(0);
        }
        if text.is_empty() {
            output::notice("no system prompt");
        } else {
            self.messages.insert(0, message("system", text));
            output::notice("the system prompt is set");
        }
    }

    pub(super) fn clear(&mut self) {
        self.messages.retain(|message| role(message) == "system");
    }

    /// Takes back the last message of the user and everything after it.
    pub(super) fn undo(&mut self) -> bool {
        let last = self.messages.iter().rposition(|message| role(message) == "user");
        last.inspect(|&last| self.messages.truncate(last)).is_some()
    }

    /// Takes back the last answer, so that the message before it can be answered anew with another seed.
    pub(super) fn drop_answer(&mut self) -> bool {
        let Some(last) = self.messages.iter().rposition(|message| role(message) == "user") else {
            return false;
        };
        self.messages.truncate(last + 1);
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        true
    }

    pub(super) fn save(&self, path: &Path) -> Result<()> {
        saved::write(path, &self.messages)
    }

    /// Takes the messages of a file in place of the present ones; their number.
    pub(super) fn load(&mut self, path: &Path) -> Result<usize> {
        self.messages = saved::read(path).with_context(|| format!("loading {}", path.display()))?;
        Ok(self.messages.len())
    }

    pub(super) fn print(&self) -> Result<()> {
        for message in &self.messages {
            output::write(&format!("{}: {}\n", role(message), content(message).trim()))?;
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> String {
        let totals = &self.totals;
        let mut lines = vec![
            format!("answers      {}", totals.answers),
            format!(
                "prompts      {} tokens prefilled, {} taken from the KV cache",
                totals.prefilled, totals.reused
            ),
            format!("generated    {} tokens", totals.produced),
        ];
        let decoded = totals.produced.saturating_sub(totals.answers);
        for (name, tokens, time) in
            [("prefill", totals.prefilled, totals.prefill), ("decode", decoded, totals.decode)]
        {
            if let Some(rate) = rate(tokens, time) {
                lines.push(format!("{name:<12} {rate:.1} tokens/s"));
            }
        }
        let used = self
            .last
            .as_ref()
            .map_or(0, |last| last.reused_tokens + last.prompt_tokens + last.tokens.len() as u64);
        lines.push(format!("context      {used} of {} tokens", self.engine.context()));
        lines.join("\n")
    }

    /// Changes or tells a setting; None if there is none of this name.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<String> {
        let mut sampling = self.sampling.clone();
        let mut max_tokens = self.max_tokens;
        let changed = match name {
            "temperature" => parse(value, &mut sampling.temperature),
            "top-p" => parse(value, &mut sampling.top_p),
            "top-k" => parse(value, &mut sampling.top_k),
            "min-p" => parse(value, &mut sampling.min_p),
            "repetition-penalty" => parse(value, &mut sampling.repetition_penalty),
            "seed" => parse(value, &mut sampling.seed),
            "max-tokens" => parse(value, &mut max_tokens),
            _ => return None,
        };
        Some(match changed {
            Err(told) => told.unwrap_or_else(|| format!("/{name}: '{value}' is no such number")),
            Ok(_) if max_tokens == 0 => "/max-tokens: expected at least 1".into(),
            Ok(now) => match sampling.check() {
                Err(error) => error.to_string(),
                Ok(()) => {
                    (self.sampling, self.max_tokens) = (sampling, max_tokens);
                    format!("{name} is {now}")
                }
            },
        })
    }
}

/// Sets the number and says it. An empty value changes nothing and tells the present one, as an error.
fn parse<T: std::str::FromStr + std::fmt::Display>(
    value: &str,
    number: &mut T,
) -> Result<String, Option<String>> {
    if value.is_empty() {
        return Err(Some(number.to_string()));
    }
    *number = value.parse().map_err(|_| None)?;
    Ok(number.to_string())
}

fn rate(tokens: u64, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}
