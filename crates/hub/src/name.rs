//! Names of models on the hub.

use std::fmt;
use std::str::FromStr;

/// `ORG/NAME`, or `ORG/NAME:QUANT` for one of a repository's GGUF files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    org: String,
    name: String,
    quant: Option<String>,
}

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a model, expected ORG/NAME or ORG/NAME:QUANT, such as Qwen/Qwen3-0.6B")]
pub struct NameError(String);

impl ModelName {
    /// `ORG/NAME`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.org, self.name)
    }

    /// What stands behind the colon.
    pub fn quant(&self) -> Option<&str> {
        self.quant.as_deref()
    }

    /// The folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}--{}", self.org, self.name)
    }

    /// The name of a folder in the cache.
    pub(crate) fn of_folder(folder: &str) -> Option<Self> {
        let (org, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{org}/{name}").parse().ok()
    }
}

/// As the hub allows it; two dashes would make the folder's name ambiguous.
fn is_part(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let ends = |c: char| c == '-' || c == '.';
    plain
        && !text.is_empty()
        && !text.starts_with(ends)
        && !text.ends_with(ends)
        && !text.contains("--")
        && !text.contains("..")
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (repository, quant) = match text.split_once(':') {
            Some((repository, quant)) => (repository, Some(quant)),
            None => (text, None),
        };
        match repository.split_once('/') {
            Some((org, name)) if is_part(org) && is_part(name) && quant.is_none_or(is_part) => {
                Ok(Self { org: org.to_owned(), name: name.to_owned(), quant: quant.map(str::to_owned) })
            }
            _ => Err(NameError(text.to_owned())),
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.name)?;
        self.quant.as_ref().map_or(Ok(()), |quant| write!(f, ":{quant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for text in ["Qwen/Qwen3-0.6B", "a/b:Q4_K_M", "0_a/b.c-d:UD-Q4_K_XL"] {
            let name: ModelName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            let again = ModelName::of_folder(&name.folder()).unwrap();
            assert_eq!(again.repository(), name.repository());
        }
        for text in [
            "", "a", "a/", "/a", "a/b/c", "../a", "a/..", "a/.b", "a/b:", "a/b:../c", "a/b:c:d", "a--b/c",
            "a/b\\c", "a/b c", "a/é", "-a/b",
        ] {
            assert!(text.parse::<ModelName>().is_err(), "{text}");
        }
    }
}
