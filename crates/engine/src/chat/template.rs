//! One chat template: compiled once, rendered for each conversation.

use super::ChatError;
use super::tojson::tojson;
use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;

/// The largest template in use has about 30 000 bytes.
const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Instructions of one rendering; a conversation of a thousand messages takes about 200 000.
const FUEL: u64 = 20_000_000;
/// Text of one rendering: more than fits into any context.
const MAX_OUTPUT_BYTES: usize = 64 << 20;
/// Nested calls and blocks of one rendering.
const RECURSION_LIMIT: usize = 200;
/// Digits of a width in formats.
const MAX_WIDTH_DIGITS: usize = 3;
/// Spaces of the filter `indent`.
const MAX_INDENT: usize = 1000;
const NAME: &str = "chat template";

/// A compiled template. Immutable, and shared between threads by reference.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// What a template turns into a prompt. Every value is JSON and keeps the order of its keys.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// Messages as the OpenAI API has them: `role`, `content`, and what belongs to the role.
    pub messages: Vec<Value>,
    /// Descriptions of the functions that the model may call.
    pub tools: Option<Value>,
    /// Texts for the model to draw on, where the template knows them.
    pub documents: Option<Value>,
    /// Whether the prompt ends where the model's answer begins.
    pub add_generation_prompt: bool,
    /// Everything else that the template reads: `bos_token`, `eos_token`, `enable_thinking`, `date_string` …
    pub variables: BTreeMap<String, Value>,
    /// What `strftime_now` tells; the local time of the machine if None.
    pub now: Option<DateTime>,
}

/// A refusal by `raise_exception`, told apart from the template's mistakes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

/// Jinja2's filter, with a bound: minijinja's takes any width.
fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    args: Kwargs,
) -> Result<String, Error> {
    let width = match width {
        Some(width) => Some(width),
        None => args.get::<Option<Value>>("width")?,
    };
    let first = first.or(args.get("first")?).unwrap_or(false);
    let blank = blank.or(args.get("blank")?).unwrap_or(false);
    args.assert_all_used()?;
    let indentation = match width {
        None => "    ".to_owned(),
        Some(width) => match (width.as_str(), usize::try_from(width.clone())) {
            (Some(text), _) => text.to_owned(),
            (None, Ok(spaces)) if spaces <= MAX_INDENT => " ".repeat(spaces),
            _ => {
                let problem =
                    format!("indent: found {width}, expected a string or a number up to {MAX_INDENT}");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        },
    };
    let mut indented = String::with_capacity(text.len());
    for (index, line) in text.lines().enumerate() {
        let indents = if index == 0 { first } else { blank || !line.is_empty() };
        indented.push_str(if index == 0 { "" } else { "\n" });
        indented.push_str(if indents { &indentation } else { "" });
        indented.push_str(line);
    }
    // Python's splitlines, unlike this lines(), sees an empty line behind a final line break.
    if text.ends_with('\n') {
        indented.push('\n');
        indented.push_str(if blank { &indentation } else { "" });
    }
    Ok(indented)
}

/// Python's methods of texts, lists and mappings.
fn python_method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let (Some(format), "format") = (value.as_str(), name) {
        check_format(format)?;
    }
    unknown_method_callback(state, value, name, arguments)
}

/// Python's `%`, as Jinja2's filter has it.
fn format(state: &mut State, text: &Value, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let format = text.as_str().unwrap_or_default();
    let digits = format.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    if format.contains('*') || digits.unwrap_or_default() > MAX_WIDTH_DIGITS {
        return Err(too_wide(format));
    }
    minijinja::filters::format(state, text, arguments)
}

fn too_wide(format: &str) -> Error {
    let problem = format!("{format:?} has a width of more than 999, or one of its arguments");
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// Refuses widths that make a small template write gigabytes: `'{:>999999999}'.format(x)`.
fn check_format(format: &str) -> Result<(), Error> {
    let (mut is_field, mut digits) = (false, 0);
    // Doubled braces stand for themselves.
    for character in format.replace("{{", "").chars() {
        let nests = is_field && character == '{';
        is_field = character == '{' || is_field && character != '}';
        digits = if character.is_ascii_digit() { digits + 1 } else { 0 };
        if nests || is_field && digits > MAX_WIDTH_DIGITS {
            return Err(too_wide(format));
        }
    }
    Ok(())
}

/// As in Python, where None is not iterable and the undefined is: minijinja has it the other way round.
fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// As in Jinja2: whatever has a length and takes an index, texts and mappings included.
fn is_sequence(value: &Value) -> bool {
    use ValueKind::{Map, Seq, String, Undefined};
    matches!(value.kind(), Map | Seq | String | Undefined)
}

/// minijinja's own divides by zero.
fn is_divisible(value: i64, by: i64) -> Result<bool, Error> {
    value.checked_rem(by).map(|rest| rest == 0).ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, format!("{value} is divisibleby {by}: no such remainder"))
    })
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// The template is too large, or no Jinja; the message names the line.
    pub fn new(source: &str) -> Result<Self, ChatError> {
        if source.len() > MAX_SOURCE_BYTES {
            let found = source.len();
            return Err(ChatError::Template(format!(
                "found {found} bytes, expected at most {MAX_SOURCE_BYTES}"
            )));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain(&error))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(python_method);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.add_filter("tojson", tojson);
        environment.add_filter("indent", indent);
        environment.add_filter("format", format);
        environment.add_test("iterable", is_iterable);
        environment.add_test("sequence", is_sequence);
        environment.add_test("divisibleby", is_divisible);
        environment.add_function("raise_exception", raise_exception);
        let source = without_generation_marks(source);
        environment.add_template_owned(NAME, source).map_err(|error| explain(&error))?;
        Ok(Self { environment })
    }

    /// The prompt of a conversation.
    ///
    /// # Errors
    /// The template refuses the conversation, fails, or goes beyond its limits.
    pub fn render(&self, conversation: &Conversation) -> Result<String, ChatError> {
        let template = self.environment.get_template(NAME).map_err(|error| explain(&error))?;
        let now = conversation.now;
        let or_none = |value: &Option<Value>| value.clone().unwrap_or_else(|| Value::from(()));
        let mut variables: BTreeMap<&str, Value> = BTreeMap::from([
            ("strftime_now", Value::from_function(move |format: &str| strftime(now, format))),
            ("documents", or_none(&conversation.documents)),
        ]);
        let given = conversation.variables.iter().map(|(name, value)| (name.as_str(), value.clone()));
        variables.extend(given);
        variables.insert("messages", Value::from(conversation.messages.clone()));
        variables.insert("tools", or_none(&conversation.tools));
        variables.insert("add_generation_prompt", conversation.add_generation_prompt.into());
        let mut output = Bounded(Vec::new());
        template
            .render_captured_to(Value::from_pairs(variables), &mut output)
            .map_err(|error| explain(&error))?;
        String::from_utf8(output.0).map_err(|error| ChatError::Template(error.to_string()))
    }
}

/// A buffer that does not grow without end.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!("the text is longer than {MAX_OUTPUT_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats the time as C's `strftime` does.
fn strftime(now: Option<DateTime>, format: &str) -> Result<String, Error> {
    let now = now.unwrap_or_else(|| jiff::Zoned::now().datetime());
    jiff::fmt::strtime::format(format, now).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {error}"))
    })
}

/// The message with the line it belongs to and with its causes.
fn explain(error: &Error) -> ChatError {
    let mut causes = vec![];
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return ChatError::Refused(message.clone());
        }
        causes.push(cause.to_string());
        next = cause.source();
    }
    let message = causes.iter().fold(error.to_string(), |message, cause| match message.contains(cause) {
        true => message,
        false => format!("{message}: {cause}"),
    });
    ChatError::Template(message)
}

/// `{% generation %}` marks the assistant's own words for training. It renders as the block that it is, with a scope of
/// its own: `{% with %}`.
fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let Some(end) = tag[2..].find("%}") else {
            rest = tag;
            break;
        };
        let (inner, after) = (&tag[2..2 + end], &tag[2 + end + 2..]);
        let name = inner.trim_matches(['-', '+']).trim();
        let block = match name {
            "generation" => "with",
            "endgeneration" => "endwith",
            _ => {
                // A tag may hold `%}` within a string, so go on right behind its beginning.
                text.push_str("{%");
                rest = &tag[2..];
                continue;
            }
        };
        text.push_str(&format!("{{%{}%}}", inner.replacen(name, block, 1)));
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, ChatError> {
        let messages = serde_json::from_str(r#"[{"role": "user", "content": "Hi"}]"#).unwrap();
        let now = Some(jiff::civil::date(2024, 7, 6).at(13, 5, 9, 0));
        ChatTemplate::new(source)?.render(&Conversation { messages, now, ..Default::default() })
    }

    fn error(source: &str) -> String {
        render(source).unwrap_err().to_string()
    }

    #[test]
    fn generation_marks_are_blocks() {
        let source =
            "{% for m in messages %}{%- generation -%} {{ m.content }} {%- endgeneration %}\n!{% endfor %}";
        assert_eq!(render(source).unwrap(), "Hi!");
        assert_eq!(
            render("{% set x = 1 %}{% generation %}{% set x = 2 %}{% endgeneration %}{{ x }}").unwrap(),
            "1"
        );
        assert_eq!(without_generation_marks("a {% if '%}generation' %} {%"), "a {% if '%}generation' %} {%");
    }

    #[test]
    fn whitespace_is_as_hugging_face_sets_it() {
        let source = "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n";
        assert_eq!(render(source).unwrap(), "user\n");
    }

    #[test]
    fn the_time_is_told_in_any_format() {
        let source = "{{ strftime_now('%d %b %Y, %A %H:%M:%S %j %-d') }}";
        assert_eq!(render(source).unwrap(), "06 Jul 2024, Saturday 13:05:09 188 6");
        assert!(error("{{ strftime_now('%') }}").contains("strftime_now"));
    }

    #[test]
    fn methods_and_loop_controls_of_python() {
        let source = "{% for c in 'a,b,c'.split(',') %}{% if c == 'b' %}{% continue %}{% endif %}{{ c.upper() }}{% endfor %}";
        assert_eq!(render(source).unwrap(), "AC");
        assert_eq!(render("{{ messages[0].get('name', 'x') }}{{ none }}{{ true }}").unwrap(), "xNoneTrue");
        let tests = "{{ none is iterable }}{{ '' is sequence }}{{ {} is sequence }}{{ x is iterable }}{{ 6 is divisibleby 3 }}";
        assert_eq!(render(tests).unwrap(), "FalseTrueTrueTrueTrue");
        assert!(error("{{ 6 is divisibleby 0 }}").contains("divisibleby"));
        assert_eq!(render("{{ tools is none }}{{ documents is none }}").unwrap(), "TrueTrue");
    }

    /// The expected texts are Jinja2's.
    #[test]
    fn indentation_is_jinjas() {
        for (arguments, text) in [
            ("", "a\n    b\n\n    c\n"),
            ("(2, true)", "  a\n  b\n\n  c\n"),
            ("(2, blank=true)", "a\n  b\n  \n  c\n  "),
            ("(width='> ', first=true)", "> a\n> b\n\n> c\n"),
        ] {
            assert_eq!(
                render(&format!("{{{{ 'a\\nb\\n\\nc\\n'|indent{arguments} }}}}")).unwrap(),
                text,
                "{arguments}"
            );
        }
        assert!(error("{{ 'a'|indent(1001) }}").contains("up to 1000"));
    }

    #[test]
    fn formats_are_bounded() {
        assert_eq!(render("{{ '{:>5}{{ {}'.format('a', 2024) }}").unwrap(), "    a{ 2024");
        assert_eq!(render("{{ '%03d %s'|format(7, 'a') }}").unwrap(), "007 a");
        for source in [
            "'{:>99999}'.format('a')",
            "'{:{}}'.format('a', 10)",
            "'%99999d'|format(1)",
            "'%*d'|format(9, 1)",
        ] {
            error(&format!("{{{{ {source} }}}}"));
        }
    }

    #[test]
    fn refusals_and_mistakes_are_told_apart() {
        let raised = render("{{ raise_exception('No system role!') }}").unwrap_err();
        assert!(matches!(&raised, ChatError::Refused(message) if message == "No system role!"), "{raised}");
        let nested = "{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}";
        assert!(matches!(render(nested).unwrap_err(), ChatError::Refused(message) if message == "deep"));
        let broken = error("line one\n{% if %}");
        assert!(broken.contains("syntax error") && broken.contains(":2"), "{broken}");
        assert!(error("{{ messages.0.a.b }}").contains("undefined"));
        assert!(error("{% include 'x' %}").contains("not"));
    }

    #[test]
    fn what_would_never_end_is_ended() {
        let cases = [
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% set x = 'y' * 100000000 %}{{ x }}",
            "{% for a in range(100000) %}{{ 'y' * 100000 }}{% endfor %}",
        ];
        for source in cases {
            error(source);
        }
        error(&"{% if true %}".repeat(10_000));
        error(&format!("{{{{ {}1 }}}}", "(".repeat(10_000)));
        assert!(error(&" ".repeat(MAX_SOURCE_BYTES + 1)).contains("expected at most"));
    }
}
