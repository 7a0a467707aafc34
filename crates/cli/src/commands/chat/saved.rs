//! Conversations in files: `{"messages": [...]}` with messages as the OpenAI API has them, or the bare list.

use anyhow::{Context, Result, bail};
use resident_engine::chat::Value;
use resident_ledger::write_json_atomically;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const MAX_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
struct Saved<'a> {
    messages: &'a [Value],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Loaded {
    Object { messages: Vec<Value> },
    List(Vec<Value>),
}

pub(super) fn write(path: &Path, messages: &[Value]) -> Result<()> {
    Ok(write_json_atomically(path, &Saved { messages })?)
}

pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        bail!("found more than {MAX_BYTES} bytes, expected a conversation");
    }
    let loaded: Loaded = serde_json::from_str(&text)
        .context("expected JSON of the form {\"messages\": [{\"role\": ..., \"content\": ...}]}")?;
    let (Loaded::Object { messages } | Loaded::List(messages)) = loaded;
    for (index, message) in messages.iter().enumerate() {
        let role = message.get_attr("role").ok();
        if role.as_ref().and_then(Value::as_str).is_none() {
            bail!("messages[{index}]: found no role, expected system, user, assistant or tool");
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_saved_can_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        let text =
            r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [{"id": "x"}]}]"#;
        fs::write(&path, text).unwrap();
        let messages = read(&path).unwrap();
        assert_eq!(messages.len(), 2);
        write(&path, &messages).unwrap();
        assert_eq!(read(&path).unwrap(), messages);
        let saved = fs::read_to_string(&path).unwrap();
        assert!(saved.starts_with("{\n  \"messages\": ["), "{saved}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        for (text, says) in [
            ("", "expected JSON"),
            ("{}", "expected JSON"),
            (r#"{"messages": [{"content": "x"}]}"#, "messages[0]"),
            (r#"[{"role": "user"}, {"role": 1}]"#, "messages[1]"),
        ] {
            fs::write(&path, text).unwrap();
            let error = crate::exit::message(&read(&path).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
