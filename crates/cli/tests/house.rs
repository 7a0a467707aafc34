//! The rules of the house (ARCHITECTURE.md) that the compiler does not check, read from manifests and sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crate of the house each crate may use. Development dependencies are free.
const MAY_USE: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("ledger", &[]),
    ("vulkan", &["ledger"]),
    ("kernels", &["tensor"]),
    ("plan", &["kernels"]),
    ("runtime", &["plan", "kernels", "vulkan", "ledger"]),
    ("models", &["plan", "kernels", "tensor"]),
    ("engine", &["models", "runtime", "plan", "kernels", "ledger", "tensor"]),
    ("rollout", &["runtime", "plan", "kernels", "ledger"]),
    ("hub", &["ledger"]),
    ("cli", &["engine", "hub", "rollout", "models", "runtime", "ledger", "tensor"]),
];

/// Where the forbidden word may stand. Spelt apart, so that this file passes its own test.
const UNSAFE: &str = concat!("un", "safe");
const UNSAFE_HOMES: &[&str] = &["crates/vulkan/", "crates/models/src/checkpoint/mapped_file.rs"];

/// A file of more lines has a second reason to change.
const LONGEST_FILE: usize = 700;

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for (folder, manifest) in manifests() {
        let package = manifest["package"]["name"].as_str().expect("a package has a name");
        let wanted = if folder == "cli" { "resident".to_owned() } else { format!("resident-{folder}") };
        if package != wanted {
            faults.push(format!("crates/{folder} is called '{package}', not '{wanted}'"));
        }
        let Some(allowed) = allowed.get(folder.as_str()) else {
            faults.push(format!("crates/{folder} has no place in MAY_USE of this test"));
            continue;
        };
        for used in house_dependencies(&manifest) {
            if !allowed.contains(&used.as_str()) {
                faults.push(format!("crates/{folder} uses '{used}', but may use only {allowed:?}"));
            }
        }
    }
    report("the dependency direction is broken", &faults);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let workspace = read_toml(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"][&format!("{UNSAFE}_code")].as_str(), Some("deny"));
    let lints = |manifest: &toml::Table| manifest.get("lints")?.get("workspace")?.as_bool();
    let without = manifests().into_iter().filter(|(_, manifest)| lints(manifest) != Some(true));
    let faults: Vec<_> = without.map(|(folder, _)| format!("crates/{folder}/Cargo.toml")).collect();
    report("a manifest lacks '[lints] workspace = true'", &faults);
}

#[test]
fn raw_memory_stays_in_its_homes() {
    let mut faults = Vec::new();
    for source in rust_sources() {
        let at_home = UNSAFE_HOMES.iter().any(|home| source.path.starts_with(home));
        for (number, line) in source.code() {
            if !at_home && words(line).any(|word| word.starts_with(UNSAFE)) {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    report("only the Vulkan crate and the file that maps model files may do this", &faults);
}

#[test]
fn every_raw_block_says_why_it_is_sound() {
    let mut faults = Vec::new();
    for source in rust_sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.code() {
            let block = words(line).zip(words(line).skip(1)).any(|pair| pair == (UNSAFE, "impl"))
                || line.contains(&format!("{UNSAFE} {{"));
            let before = lines[..number - 1].iter().rev().take_while(|line| !line.trim().is_empty()).take(12);
            if block && !before.chain([&line]).any(|line| line.contains("// SAFETY:")) {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    report("a block lacks its '// SAFETY:' fact", &faults);
}

#[test]
fn the_environment_is_read_only_in_the_cli_and_in_tests() {
    let reads = ["env::var", "env::home_dir", "env::temp_dir"];
    let mut faults = Vec::new();
    for source in rust_sources().filter(|s| !s.path.starts_with("crates/cli/") && !s.is_test()) {
        for (number, line) in source.code().take_while(|(number, _)| *number < source.first_test_line()) {
            if reads.iter().any(|read| line.contains(read)) {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    report("take the value as an argument, and read the environment in crates/cli", &faults);
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let says = |source: &Source| match source.extension() {
        // The tests of a module stand beside it, under its header.
        "rs" => source.text.starts_with("//!") || source.path.ends_with("/tests.rs"),
        // A variant may be nothing but defines and an include, which has the header.
        "comp" => {
            let mut lines = source.text.lines();
            lines.next().is_some_and(|line| line.starts_with("#version"))
                && lines
                    .find(|line| !line.is_empty() && !line.starts_with('#'))
                    .is_none_or(|line| line.starts_with("//"))
        }
        _ => source.text.starts_with("//"),
    };
    let faults: Vec<_> = sources().filter(|source| !says(source)).map(|source| source.path).collect();
    report("a file lacks its header comment", &faults);
}

#[test]
fn a_kernel_is_one_folder_with_everything_in_it() {
    let kernels = root().join("crates/kernels/src");
    let mut faults = Vec::new();
    // A folder beside a file of its name belongs to that module, which is no kernel.
    let is_kernel = |path: &PathBuf| path.is_dir() && !path.with_extension("rs").exists();
    for folder in entries(&kernels).into_iter().filter(is_kernel) {
        let files: BTreeSet<String> = entries(&folder).iter().map(|path| name(path)).collect();
        let mut needs = vec!["mod.rs".to_owned(), "tests.rs".to_owned()];
        let stems = |extension: &'static str| files.iter().filter_map(move |f| f.strip_suffix(extension));
        needs.extend(stems(".comp").map(|stem| format!("{stem}.spv")));
        needs.extend(stems(".spv").map(|stem| format!("{stem}.comp")));
        if stems(".comp").next().is_none() {
            needs.push(format!("{}.comp", name(&folder)));
        }
        let missing = needs.iter().filter(|need| !files.contains(*need));
        faults.extend(missing.map(|need| format!("{}: no {need}", name(&folder))));
    }
    report("a kernel's folder is not complete", &faults);
}

#[test]
fn no_file_grows_past_its_reason() {
    let long = sources().map(|source| (source.text.lines().count(), source.path));
    let faults: Vec<_> = long
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines, at most {LONGEST_FILE}"))
        .collect();
    report("split these where a second reason to change begins", &faults);
}

#[test]
fn documents_name_files_and_tests_that_exist() {
    let root = root();
    let documents = entries(&root).into_iter().chain(entries(&root.join("docs")));
    let mut faults = Vec::new();
    for document in documents.filter(|path| path.extension().is_some_and(|e| e == "md")) {
        for quoted in read(&document).split('`').skip(1).step_by(2) {
            let (file, test) =
                quoted.split_once("::").map_or((quoted, None), |(file, test)| (file, Some(test)));
            let of_the_tree =
                ["crates/", "docs/", "gates/", "scripts/", "assets/"].iter().any(|f| file.starts_with(f));
            if !of_the_tree || file.contains(['<', '*', ' ']) {
                continue;
            }
            let path = root.join(file);
            let found = match test {
                Some(test) => path.is_file() && read(&path).contains(&format!("fn {test}(")),
                None => path.exists(),
            };
            if !found {
                faults.push(format!("{}: {quoted}", name(&document)));
            }
        }
    }
    report("a document names what does not exist", &faults);
}

/// Fails with one line for each fault.
fn report(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/cli lies in the workspace")
        .to_owned()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a directory entry has a name").to_string_lossy().into_owned()
}

/// The paths in a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_toml(path: &Path) -> toml::Table {
    read(path).parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Each crate's folder name and manifest.
fn manifests() -> Vec<(String, toml::Table)> {
    let folders = entries(&root().join("crates"));
    folders.iter().map(|folder| (name(folder), read_toml(&folder.join("Cargo.toml")))).collect()
}

/// The crates of the house that a manifest names, as folder names; also those for one platform or for build scripts.
fn house_dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let platforms =
        manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = [manifest].into_iter().chain(platforms.filter_map(toml::Value::as_table));
    let dependencies =
        tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)));
    let names = dependencies.flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
    names.filter_map(|name| name.strip_prefix("resident-")).map(str::to_owned).collect()
}

/// A source file of the workspace.
struct Source {
    /// From the workspace's root, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn extension(&self) -> &str {
        self.path.rsplit('.').next().expect("split yields at least one part")
    }

    /// Whether the whole file is there for tests.
    fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("/testing.rs")
    }

    /// Where the test module at the end begins.
    fn first_test_line(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let module = lines.windows(2).position(|pair| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
        });
        module.map_or(usize::MAX, |index| index + 1)
    }

    /// Numbered lines without their comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn rust_sources() -> impl Iterator<Item = Source> {
    sources().filter(|source| source.extension() == "rs")
}

/// Every Rust and GLSL file of the workspace.
fn sources() -> impl Iterator<Item = Source> {
    let root = root();
    let mut paths = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        let (inner, files): (Vec<_>, Vec<_>) = entries(&folder).into_iter().partition(|path| path.is_dir());
        folders.extend(inner);
        let wanted = |path: &PathBuf| {
            path.extension().is_some_and(|e| ["rs", "comp", "glsl"].map(Some).contains(&e.to_str()))
        };
        paths.extend(files.into_iter().filter(wanted));
    }
    assert!(paths.len() > 50, "found only {} sources under {}", paths.len(), root.display());
    paths.into_iter().map(move |path| {
        let relative =
            path.strip_prefix(&root).expect("found under the root").to_string_lossy().replace('\\', "/");
        Source { path: relative, text: read(&path) }
    })
}
