//! Where the templates of a model stand: files of a folder, metadata of a GGUF file.

use super::{ChatError, ChatTemplate};
use resident_models::checkpoint::gguf::Metadata;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any tokenizer_config.json has, which lists every added token.
const MAX_FILE_BYTES: u64 = 64 << 20;
const DEFAULT: &str = "default";
/// The template for conversations with tools, where a model has one of its own for them.
const TOOL_USE: &str = "tool_use";

/// The sources of a model's templates by name; most models have one, called `default`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    named: BTreeMap<String, String>,
}

impl ChatTemplates {
    /// Reads `chat_template.jinja`, `additional_chat_templates/*.jinja`, `chat_template.json` and
    /// `tokenizer_config.json` of a folder; of two templates with one name the first of these places wins.
    ///
    /// # Errors
    /// A file that cannot be read or is not what its name says.
    pub fn of_folder(folder: &Path) -> Result<Self, ChatError> {
        let mut templates = Self::default();
        if let Some(source) = read(&folder.join("chat_template.jinja"))? {
            templates.add(DEFAULT, source);
        }
        templates.add_files(&folder.join("additional_chat_templates"))?;
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let path = folder.join(name);
            let Some(text) = read(&path)? else { continue };
            let problem = |problem: String| ChatError::File { file: path.display().to_string(), problem };
            let mut json: Json = serde_json::from_str(&text).map_err(|e| problem(e.to_string()))?;
            let expected = "expected a string or a list of names and templates";
            match json.get_mut("chat_template").map(Json::take) {
                None | Some(Json::Null) => {}
                Some(Json::String(source)) => templates.add(DEFAULT, source),
                Some(Json::Array(list)) => {
                    for entry in &list {
                        let [name, source] = ["name", "template"].map(|key| entry[key].as_str());
                        let (Some(name), Some(source)) = (name, source) else {
                            return Err(problem(format!("chat_template: found {entry}, {expected}")));
                        };
                        templates.add(name, source.to_owned());
                    }
                }
                Some(other) => return Err(problem(format!("chat_template: found {other}, {expected}"))),
            }
        }
        Ok(templates)
    }

    /// Reads the keys `tokenizer.chat_template` and `tokenizer.chat_template.NAME`.
    ///
    /// # Errors
    /// Keys of another type.
    pub fn of_gguf(metadata: Metadata<'_>) -> Result<Self, ChatError> {
        let key = "tokenizer.chat_template";
        let problem = |e: resident_models::checkpoint::CheckpointError| ChatError::Template(e.to_string());
        let mut templates = Self::default();
        if let Some(source) = metadata.get::<&str>(key).map_err(problem)? {
            templates.add(DEFAULT, source.to_owned());
        }
        let named = metadata.iter().filter_map(|(name, _)| name.strip_prefix(key)?.strip_prefix('.'));
        for name in named {
            if let Some(source) = metadata.get::<&str>(&format!("{key}.{name}")).map_err(problem)? {
                templates.add(name, source.to_owned());
            }
        }
        Ok(templates)
    }

    /// Whether there is none: the model was not made for conversations.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Compiles the template of this name. Without a name it is the one for tools, if there are tools and the model has
    /// one for them, else `default`, else the only one.
    ///
    /// # Errors
    /// No such template, or a broken one.
    pub fn compile(&self, name: Option<&str>, with_tools: bool) -> Result<ChatTemplate, ChatError> {
        let named = |name: &str| self.named.get(name);
        let found = match name {
            Some(name) => named(name),
            None => (named(TOOL_USE).filter(|_| with_tools))
                .or_else(|| named(DEFAULT))
                .or_else(|| self.named.values().next().filter(|_| self.named.len() == 1)),
        };
        match found {
            Some(source) => ChatTemplate::new(source),
            None => Err(ChatError::NoSuchTemplate {
                name: name.unwrap_or(DEFAULT).to_owned(),
                have: if self.is_empty() {
                    "none".into()
                } else {
                    self.names().collect::<Vec<_>>().join(", ")
                },
            }),
        }
    }

    fn add(&mut self, name: &str, source: String) {
        self.named.entry(name.to_owned()).or_insert(source);
    }

    fn add_files(&mut self, folder: &Path) -> Result<(), ChatError> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_template = path.extension().is_some_and(|extension| extension == "jinja");
            if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_template)
                && let Some(source) = read(&path)?
            {
                self.add(name, source);
            }
        }
        Ok(())
    }
}

/// The text of a file; None where there is none.
fn read(path: &Path) -> Result<Option<String>, ChatError> {
    let problem = |problem: String| ChatError::File { file: path.display().to_string(), problem };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| problem(error.to_string()))?,
    };
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| problem(error.to_string()))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(problem(format!("found more than the {MAX_FILE_BYTES} bytes that are read")));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[(&str, &str)]) -> Result<ChatTemplates, ChatError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        ChatTemplates::of_folder(folder.path())
    }

    fn rendered(templates: &ChatTemplates, name: Option<&str>, with_tools: bool) -> String {
        templates.compile(name, with_tools).unwrap().render(&Default::default()).unwrap()
    }

    #[test]
    fn every_place_of_a_folder() {
        assert!(folder(&[]).unwrap().is_empty());
        let one = folder(&[("tokenizer_config.json", r#"{"chat_template": "a"}"#)]).unwrap();
        assert_eq!(rendered(&one, None, true), "a");
        let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#;
        let list = folder(&[("tokenizer_config.json", list)]).unwrap();
        assert_eq!([false, true].map(|tools| rendered(&list, None, tools)), ["d", "t"]);
        assert_eq!(rendered(&list, Some("tool_use"), false), "t");
        let all = folder(&[
            ("chat_template.jinja", "jinja"),
            ("additional_chat_templates/rag.jinja", "rag"),
            ("chat_template.json", r#"{"chat_template": "json"}"#),
            ("tokenizer_config.json", r#"{"chat_template": [{"name": "x", "template": "x"}]}"#),
        ])
        .unwrap();
        assert_eq!(all.names().collect::<Vec<_>>(), ["default", "rag", "x"]);
        assert_eq!(rendered(&all, None, false), "jinja");
    }

    #[test]
    fn what_is_no_template_is_named() {
        for (text, says) in [
            (r#"{"chat_template": 3}"#, "found 3, expected a string or a list"),
            (r#"{"chat_template": [{"name": "x"}]}"#, "found {\"name\":\"x\"}"),
            ("{", "EOF"),
        ] {
            let error = folder(&[("tokenizer_config.json", text)]).unwrap_err().to_string();
            assert!(error.contains("tokenizer_config.json") && error.contains(says), "{error}");
        }
        let error = folder(&[]).unwrap().compile(None, false).unwrap_err().to_string();
        assert!(error.contains("no chat template") && error.contains("have none"), "{error}");
    }
}
