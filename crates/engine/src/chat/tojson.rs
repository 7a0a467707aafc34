//! The filter `tojson` as Hugging Face gives it to templates: Python's `json.dumps`, with nothing escaped for HTML.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::fmt::Write;

/// Deeper values are a template's mistake. Python stops at about a thousand.
const MAX_DEPTH: usize = 200;

/// `value|tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    args: Kwargs,
) -> Result<String, Error> {
    let ensure_ascii = match ensure_ascii {
        Some(flag) => flag,
        None => args.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    let indent = match indent {
        Some(indent) => Some(indent),
        None => args.get::<Option<Value>>("indent")?,
    };
    let separators: Option<Vec<String>> = args.get("separators")?;
    let sort_keys = args.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    args.assert_all_used()?;
    let indent = indentation(indent)?;
    let (between_items, after_key) = match separators.as_deref() {
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(refused("separators is a pair of strings")),
    };
    let style = Style { ensure_ascii, indent, between_items, after_key, sort_keys };
    let mut text = String::new();
    style.write(&mut text, value, 0)?;
    Ok(text)
}

struct Style {
    ensure_ascii: bool,
    /// What a level of indentation is made of; None writes everything into one line.
    indent: Option<String>,
    between_items: String,
    after_key: String,
    sort_keys: bool,
}

fn refused(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {problem}"))
}

/// A number of spaces, or the text itself.
fn indentation(indent: Option<Value>) -> Result<Option<String>, Error> {
    let Some(indent) = indent.filter(|indent| !indent.is_none() && !indent.is_undefined()) else {
        return Ok(None);
    };
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_owned()));
    }
    match usize::try_from(indent) {
        Ok(spaces) if spaces <= 64 => Ok(Some(" ".repeat(spaces))),
        _ => Err(refused("indent is a string or a number up to 64")),
    }
}

impl Style {
    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refused("the value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => text.push_str(&number(value)?),
            ValueKind::String => self.write_string(text, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item));
                self.write_items(text, ('[', ']'), items, depth)?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    items.push((Some(key_text(&key)?), value.get_item(&key)?));
                }
                if self.sort_keys {
                    items.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.write_items(text, ('{', '}'), items.into_iter(), depth)?;
            }
            kind => return Err(refused(&format!("a value of type {kind} has no JSON"))),
        }
        Ok(())
    }

    fn write_items(
        &self,
        text: &mut String,
        (open, close): (char, char),
        items: impl Iterator<Item = (Option<String>, Value)>,
        depth: usize,
    ) -> Result<(), Error> {
        text.push(open);
        let mut is_empty = true;
        for (key, item) in items {
            if !is_empty {
                text.push_str(&self.between_items);
            }
            is_empty = false;
            self.break_line(text, depth + 1);
            if let Some(key) = key {
                self.write_string(text, &key);
                text.push_str(&self.after_key);
            }
            self.write(text, &item, depth + 1)?;
        }
        if !is_empty {
            self.break_line(text, depth);
        }
        text.push(close);
        Ok(())
    }

    fn break_line(&self, text: &mut String, depth: usize) {
        if let Some(indent) = &self.indent {
            text.push('\n');
            (0..depth).for_each(|_| text.push_str(indent));
        }
    }

    fn write_string(&self, text: &mut String, string: &str) {
        text.push('"');
        for character in string.chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\0'..='\u{1f}' => escape(text, u16::try_from(u32::from(character)).unwrap_or_default()),
                _ if self.ensure_ascii && !character.is_ascii() => {
                    character.encode_utf16(&mut [0; 2]).iter().for_each(|&unit| escape(text, unit));
                }
                _ => text.push(character),
            }
        }
        text.push('"');
    }
}

fn escape(text: &mut String, unit: u16) {
    let _ = write!(text, "\\u{unit:04x}");
}

/// Python makes strings of the keys that JSON cannot have.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => number(key),
        kind => Err(refused(&format!("a key of type {kind}"))),
    }
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    Ok(python_float(f64::try_from(value.clone())?))
}

/// The shortest digits that give the number back, laid out as Python's `repr` does.
fn python_float(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() { "NaN" } else { "Infinity" };
        return format!("{}{name}", if number < 0.0 { "-" } else { "" });
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and what Python 3 prints for them.
    #[test]
    fn floats_are_pythons() {
        for (number, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (9999999999999998.0, "9999999999999998.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e300, "1e+300"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }

    fn render(template: &str) -> String {
        let mut environment = minijinja::Environment::new();
        environment.add_filter("tojson", tojson);
        let value: Value = serde_json::from_str(
            r#"{"b": [1, 2.0, {}, []], "a": {"<é🙂>": "\"\\\n\u0001\u007f'&"}, "n": null, "t": true}"#,
        )
        .unwrap();
        environment
            .render_str(template, minijinja::context! { v => value })
            .unwrap_or_else(|error| error.to_string())
    }

    /// The expected texts are what Python's json.dumps returned for this value and these arguments.
    #[test]
    fn layouts_are_pythons() {
        for (arguments, text) in [
            ("", r#"{"b": [1, 2.0, {}, []], "a": {"<é🙂>": "\"\\\n\u0001'&"}, "n": null, "t": true}"#),
            (
                "(ensure_ascii=true, sort_keys=true)",
                r#"{"a": {"<\u00e9\ud83d\ude42>": "\"\\\n\u0001'&"}, "b": [1, 2.0, {}, []], "n": null, "t": true}"#,
            ),
            (
                "(separators=(',', ':'))",
                r#"{"b":[1,2.0,{},[]],"a":{"<é🙂>":"\"\\\n\u0001'&"},"n":null,"t":true}"#,
            ),
            (
                "(indent=2)",
                "{\n  \"b\": [\n    1,\n    2.0,\n    {},\n    []\n  ],\n  \"a\": {\n    \"<é🙂>\": \"\\\"\\\\\\n\\u0001\u{7f}'&\"\n  },\n  \"n\": null,\n  \"t\": true\n}",
            ),
        ] {
            let expected = text.replace("\\u0001'", "\\u0001\u{7f}'");
            assert_eq!(render(&format!("{{{{ v|tojson{arguments} }}}}")), expected, "{arguments}");
        }
    }

    #[test]
    fn wrong_arguments_are_errors() {
        for arguments in ["(indent=1000)", "(indent=[])", "(separators=(1,))", "(colour=1)"] {
            assert!(!render(&format!("{{{{ v|tojson{arguments} }}}}")).starts_with('{'), "{arguments}");
        }
        assert!(render("{{ nothing|tojson }}").contains("tojson"));
    }
}
