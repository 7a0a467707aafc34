//! Which files of a repository are the model: a folder of safetensors with its configuration and tokenizer, or one GGUF
//! file with its parts. Never pickles, and nothing that nobody reads.

use crate::ModelName;
use crate::error::HubError;

/// Weights in one file.
const SINGLE_FILE: &str = "model.safetensors";
/// Lists the files of weights in several.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";
const CONFIG_FILE: &str = "config.json";

/// What a model's folder may hold beside its weights.
const COMPANIONS: [&str; 12] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "1_Pooling/config.json",
];

/// The files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// A folder.
    Folder {
        /// All files but the weights that the index names.
        files: Vec<String>,
        /// Whether [`INDEX_FILE`] names further ones.
        indexed: bool,
    },
    /// A GGUF file in its parts, the first one first.
    Gguf(Vec<String>),
}

/// A GGUF model of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GgufModel {
    /// Path without number of the part and extension.
    stem: String,
    /// Its files, sorted; and how many there should be.
    pub(crate) files: Vec<String>,
    parts: u64,
}

impl GgufModel {
    /// How people name it: what stands behind the last dash or dot, `Q4_K_M`.
    pub(crate) fn quant(&self) -> &str {
        let name = self.stem.rsplit('/').next().unwrap_or(&self.stem);
        name.rsplit(['-', '.']).next().unwrap_or(name)
    }

    fn is_called(&self, quant: &str) -> bool {
        let (stem, quant) = (self.stem.to_ascii_lowercase(), quant.to_ascii_lowercase());
        stem.strip_suffix(&quant).is_some_and(|rest| rest.is_empty() || rest.ends_with(['-', '.', '_', '/']))
    }
}

/// Stem and number of parts of a GGUF file's path.
fn stem_of(path: &str) -> Option<(&str, u64)> {
    let stem = path.strip_suffix(".gguf")?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let split = stem.rsplit_once("-of-").and_then(|(rest, count)| Some((rest.rsplit_once('-')?, count)));
    match split {
        Some(((stem, number), count)) if digits(number) && digits(count) => Some((stem, count.parse().ok()?)),
        _ => Some((stem, 1)),
    }
}

/// The GGUF models among these files. A file for images (`mmproj`) is no language model.
pub(crate) fn gguf_models(files: &[String]) -> Vec<GgufModel> {
    let mut models: Vec<GgufModel> = Vec::new();
    for file in files {
        let Some((stem, parts)) = stem_of(file) else { continue };
        if stem.rsplit('/').next().is_some_and(|name| name.starts_with("mmproj")) {
            continue;
        }
        match models.iter_mut().find(|model| model.stem == stem && model.parts == parts) {
            Some(model) => model.files.push(file.clone()),
            None => models.push(GgufModel { stem: stem.to_owned(), files: vec![file.clone()], parts }),
        }
    }
    models.iter_mut().for_each(|model| model.files.sort());
    models
}

/// Whether these files are a folder of safetensors.
pub(crate) fn is_folder(files: &[String]) -> bool {
    let has = |name: &str| files.iter().any(|file| file == name);
    has(CONFIG_FILE) && (has(SINGLE_FILE) || has(INDEX_FILE))
}

/// The files that a name means, of all the files that there are.
pub(crate) fn select(name: &ModelName, files: &[String]) -> Result<Selection, HubError> {
    let refused = |problem: String| Err(HubError::Selection { name: name.clone(), problem });
    let models = gguf_models(files);
    let choices = |models: &[&GgufModel]| {
        let mut names: Vec<&str> = models.iter().map(|model| model.quant()).collect();
        let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len();
        if distinct < names.len() {
            names = models.iter().map(|model| model.stem.as_str()).collect();
        }
        names.join(", ")
    };
    let all: Vec<&GgufModel> = models.iter().collect();
    let meant: Vec<&GgufModel> = match name.quant() {
        None if is_folder(files) => return Ok(folder(files)),
        None => all.clone(),
        Some(quant) => models.iter().filter(|model| model.is_called(quant)).collect(),
    };
    match (meant[..].as_ref(), name.quant()) {
        ([model], _) if model.files.len() as u64 != model.parts => {
            refused(format!("{} of the {} parts of {} are there", model.files.len(), model.parts, model.stem))
        }
        ([model], _) => Ok(Selection::Gguf(model.files.clone())),
        ([], Some(_)) if models.is_empty() => refused(
            "there are no GGUF files; leave the part behind the colon out, and choose types with --weights"
                .into(),
        ),
        ([], Some(quant)) => {
            refused(format!("no GGUF file is called {quant}, expected one of {}", choices(&all)))
        }
        ([], None) => {
            let pickles = [".bin", ".pt", ".pth", ".ckpt"];
            let pickled = files.iter().find(|file| pickles.iter().any(|pickle| file.ends_with(pickle)));
            let found =
                pickled.map_or(String::new(), |file| format!(" (found {file}: pickles are not read)"));
            refused(format!(
                "neither {CONFIG_FILE} with {SINGLE_FILE} or {INDEX_FILE} nor a GGUF file is there{found}; look for a repository of the same model that has them"
            ))
        }
        (several, quant) => {
            let repository = name.repository();
            let choices = choices(several);
            match quant {
                None => refused(format!(
                    "several GGUF files are there; say which: {repository}:QUANT with one of {choices}"
                )),
                Some(quant) => {
                    refused(format!("several GGUF files are called {quant}; say more of the name: {choices}"))
                }
            }
        }
    }
}

fn folder(files: &[String]) -> Selection {
    let has = |name: &str| files.iter().any(|file| file == name);
    let single = has(SINGLE_FILE);
    let weights = if single { SINGLE_FILE } else { INDEX_FILE };
    let wanted = [CONFIG_FILE, weights].into_iter().chain(COMPANIONS).filter(|name| has(name));
    let templates = files.iter().filter(|file| {
        let name = file.strip_prefix("additional_chat_templates/");
        name.is_some_and(|name| name.ends_with(".jinja") && !name.contains('/'))
    });
    let files = wanted.map(str::to_owned).chain(templates.cloned()).collect();
    Selection::Folder { files, indexed: !single }
}

/// The weight files that an index names; none but plain names beside it.
pub(crate) fn indexed_files(index: &[u8], listed: &[String]) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let files: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
    match files
        .iter()
        .find(|file| !file.ends_with(".safetensors") || file.contains('/') || !listed.contains(file))
    {
        Some(other) => Err(format!("names {other:?}, expected a safetensors file of the repository")),
        None if files.is_empty() => Err("names no files".to_owned()),
        None => Ok(files.into_iter().collect()),
    }
}

/// Whether a file's name from outside may become a path below a folder, on every system.
pub(crate) fn is_safe(file: &str) -> bool {
    let part = |part: &str| {
        let trimmed = part.trim_end_matches(['.', ' ']);
        // Windows drops dots and spaces at the end, and what follows a colon is another stream there.
        !part.is_empty()
            && trimmed == part
            && part.len() <= 255
            && !part.contains(['\\', ':'])
            && !part.contains(char::is_control)
    };
    file.len() <= 1024 && file.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chosen(name: &str, names: &[&str]) -> Result<Selection, String> {
        select(&name.parse().unwrap(), &files(names)).map_err(|error| error.to_string())
    }

    const BOTH: [&str; 7] = [
        "README.md",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "m-Q8_0.gguf",
        "big/m-Q4_K_M-00002-of-00002.gguf",
        "big/m-Q4_K_M-00001-of-00002.gguf",
    ];

    #[test]
    fn a_folder_is_its_configuration_weights_and_tokenizer() {
        let folder =
            Selection::Folder { files: files(&["config.json", "model.safetensors"]), indexed: false };
        assert_eq!(chosen("a/b", &BOTH), Ok(folder));
        let sharded = chosen(
            "a/b",
            &[
                "model-00001-of-00002.safetensors",
                INDEX_FILE,
                "config.json",
                "tokenizer.json",
                "consolidated.safetensors",
                "additional_chat_templates/rag.jinja",
                "original/config.json",
            ],
        );
        let expected = ["config.json", INDEX_FILE, "tokenizer.json", "additional_chat_templates/rag.jinja"];
        assert_eq!(sharded, Ok(Selection::Folder { files: files(&expected), indexed: true }));
    }

    #[test]
    fn a_quantisation_picks_a_file_whatever_its_case_and_all_of_its_parts() {
        let split = files(&["big/m-Q4_K_M-00001-of-00002.gguf", "big/m-Q4_K_M-00002-of-00002.gguf"]);
        for name in ["a/b:Q4_K_M", "a/b:q4_k_m", "a/b:m-q4_k_m"] {
            assert_eq!(chosen(name, &BOTH), Ok(Selection::Gguf(split.clone())), "{name}");
        }
        assert_eq!(chosen("a/b:Q8_0", &BOTH), Ok(Selection::Gguf(files(&["m-Q8_0.gguf"]))));
        // The only one needs no name, and what sees is none.
        assert_eq!(chosen("a/b", &["x.gguf", "mmproj-x.gguf"]), Ok(Selection::Gguf(files(&["x.gguf"]))));
    }

    #[test]
    fn what_is_not_there_or_not_one_is_refused_with_the_choices() {
        for (name, names, says) in [
            ("a/b:Q5_0", &BOTH[..], "no GGUF file is called Q5_0, expected one of Q8_0, Q4_K_M"),
            ("a/b:_0", &BOTH, "no GGUF file is called"),
            ("a/b", &BOTH[4..], "say which: a/b:QUANT with one of Q8_0, Q4_K_M"),
            ("a/b:Q4_K", &["config.json", "model.safetensors"], "there are no GGUF files"),
            ("a/b", &["pytorch_model.bin"], "found pytorch_model.bin: pickles are not read"),
            ("a/b", &["m-00001-of-00003.gguf"], "1 of the 3 parts of m are there"),
            ("a/b:q8", &["x-q8.gguf", "y-q8.gguf"], "say more of the name: x-q8, y-q8"),
        ] {
            match chosen(name, names) {
                Err(problem) => assert!(problem.contains(says), "{name}: {problem}"),
                Ok(found) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn an_index_names_safetensors_of_the_repository_and_nothing_else() {
        let listed = files(&["a.safetensors", "b.safetensors", "c.bin"]);
        let index = |map: &str| indexed_files(format!("{{\"weight_map\": {map}}}").as_bytes(), &listed);
        let two = index(r#"{"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}"#);
        assert_eq!(two, Ok(files(&["a.safetensors", "b.safetensors"])));
        for map in
            [r#"{"x": "c.bin"}"#, r#"{"x": "../a.safetensors"}"#, r#"{"x": "d.safetensors"}"#, "{}", "3"]
        {
            assert!(index(map).is_err(), "{map}");
        }
    }

    #[test]
    fn names_that_leave_the_folder_are_not_safe() {
        for name in ["config.json", "a/b/c.gguf", "A-b_c.1.gguf", "ü.json"] {
            assert!(is_safe(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "a/",
            ".",
            "a/.",
            "a\\b",
            "C:a",
            "a\0b",
            "a\n",
            "..\\a",
            "a. ",
        ] {
            assert!(!is_safe(name), "{name:?}");
        }
    }
}
