//! Chat templates of real models against what transformers rendered.

mod hostile;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::date;
use resident_engine::chat::{ChatError, ChatTemplate, Conversation, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    case: String,
    messages: Vec<Value>,
    tools: Option<Value>,
    add_generation_prompt: bool,
    variables: BTreeMap<String, Value>,
    expected: Option<String>,
    error: Option<String>,
}

/// Every rendering equal, every refusal a refusal with the template's own words.
#[test]
fn renderings_of_real_templates() {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tokenizers/chat-templates"));
    if !folder.exists() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let text = std::fs::read_to_string(folder.join("rendered.json")).unwrap();
    let rendered: BTreeMap<String, Vec<Case>> = serde_json::from_str(&text).unwrap();
    let (mut equal, mut refused, mut wrong) = (0, 0, Vec::new());
    for (name, cases) in rendered {
        let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let template = ChatTemplate::new(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
        for case in cases {
            let conversation = Conversation {
                messages: case.messages,
                tools: case.tools,
                documents: None,
                add_generation_prompt: case.add_generation_prompt,
                variables: case.variables,
                // The day on which the expected texts were rendered.
                now: Some(date(2026, 11, 20).at(12, 0, 0, 0)),
            };
            match (template.render(&conversation), case.expected, case.error) {
                (Ok(text), Some(expected), None) if text == expected => equal += 1,
                (Err(ChatError::Refused(message)), None, Some(error)) if message == error => refused += 1,
                (found, expected, error) => {
                    wrong.push(format!("{name}, {}:\n  {found:?}\n  {expected:?} {error:?}", case.case));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((equal, refused), (321, 9));
}
