//! Project tasks. `cargo xtask shaders` rebuilds the SPIR-V that stands beside each GLSL source;
//! `cargo xtask shaders --check` rebuilds it in memory and fails where the tree differs.

use anyhow::{Context, Result, anyhow, bail};
use glslang::error::GlslangError;
use glslang::include::{IncludeHandler, IncludeResult, IncludeType};
use glslang::{Compiler, CompilerOptions, Program, Shader, ShaderInput, ShaderSource};
use glslang::{ShaderMessage, ShaderStage, SourceLanguage, SpirvVersion, Target, VulkanVersion};
use std::fs;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo xtask shaders [--check]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["shaders"] => shaders(false),
        ["shaders", "--check"] => shaders(true),
        _ => bail!("{USAGE}"),
    }
}

fn shaders(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let mut sources = Vec::new();
    find_sources(&root.join("crates"), &mut sources)?;
    sources.sort();
    let includes = root.join("crates/kernels/glsl");
    let mut stale = Vec::new();
    for source in &sources {
        let spirv = compile(source, &includes)?;
        let target = source.with_extension("spv");
        if fs::read(&target).ok().as_deref() != Some(&spirv) {
            if check {
                stale.push(target.strip_prefix(root)?.display().to_string());
            } else {
                fs::write(&target, &spirv).with_context(|| format!("writing {}", target.display()))?;
                println!("{} ({} bytes)", target.strip_prefix(root)?.display(), spirv.len());
            }
        }
    }
    if !stale.is_empty() {
        bail!("SPIR-V differs from its source; run 'cargo xtask shaders': {}", stale.join(", "));
    }
    println!("{} shaders are up to date", sources.len());
    Ok(())
}

fn find_sources(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_sources(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "comp") {
            found.push(path);
        }
    }
    Ok(())
}

/// Resolves `#include "name"` in the shared folder first, then beside the source.
struct Includes<'a> {
    folders: [&'a Path; 2],
}

impl IncludeHandler for Includes<'_> {
    fn include(&mut self, _: IncludeType, name: &str, _: &str, _: usize) -> Option<IncludeResult> {
        let data = self.folders.iter().find_map(|folder| fs::read_to_string(folder.join(name)).ok())?;
        Some(IncludeResult { name: name.to_owned(), data })
    }
}

fn compile(source: &Path, includes: &Path) -> Result<Vec<u8>> {
    let explain = |e: GlslangError| anyhow!("{}: {e}", source.display());
    let text = fs::read_to_string(source).with_context(|| format!("reading {}", source.display()))?;
    let mut handler = Includes { folders: [includes, source.parent().expect("a file has a folder")] };
    let compiler = Compiler::acquire().context("glslang did not start")?;
    let shader_source = ShaderSource::from(text);
    let options = CompilerOptions {
        source_language: SourceLanguage::GLSL,
        target: Target::Vulkan { version: VulkanVersion::Vulkan1_3, spirv_version: SpirvVersion::SPIRV1_6 },
        messages: ShaderMessage::DEFAULT,
        version_profile: None,
    };
    let input = ShaderInput::new(&shader_source, ShaderStage::Compute, &options, None, Some(&mut handler))
        .map_err(explain)?;
    let shader = Shader::new(compiler, input).parse().map_err(explain)?;
    let mut program = Program::new(compiler);
    program.add_shader(&shader);
    let words = program.compile(ShaderStage::Compute).map_err(explain)?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}
