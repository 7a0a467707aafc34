//! `resident`: reads the command line, runs one command, turns its outcome into an exit code.
//!
//! Results go to stdout, notices and progress to stderr. Exit codes: 0 done, 1 run-time failure, 2 usage, 3 a gate or a
//! verification failed, 4 the required GPU is not available, 5 device lost, 130 interrupted.

mod commands;
mod device;
mod embedded;
mod exit;
mod hub;
mod interrupt;
mod model;
mod model_file;
mod output;
mod sampling;
mod settings;
mod text;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Runs language models and operator rollouts entirely on the GPU, through Vulkan, and proves it.
#[derive(Parser)]
#[command(
    name = "resident",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  resident run \"Once upon a time\"
  resident run -m model.gguf \"Hello\" --require-gpu --report run.json
  resident pull Qwen/Qwen3-0.6B
  resident chat -m Qwen/Qwen3-0.6B
  resident rollout --z0 z0.npz --a A.npz --steps 300000 --report r.json
  resident check r.json
  resident devices

Exit codes: 0 done, 1 failed at run time, 2 wrong usage, 3 a gate or a verification failed, 4 the required GPU is not \
there, 5 device lost, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(commands::run::Args),
    Chat(commands::chat::Args),
    Logits(commands::logits::Args),
    Embed(commands::embed::Args),
    Verify(commands::verify::Args),
    Bench(commands::bench::Args),
    Perplexity(commands::perplexity::Args),
    Quantize(commands::quantize::Args),
    Synth(commands::synth::Args),
    Devices(commands::devices::Args),
    Pull(commands::pull::Args),
    List(commands::list::Args),
    Show(commands::show::Args),
    Rm(commands::rm::Args),
    Rollout(Box<commands::rollout::Args>),
    Check(commands::check::Args),
    #[command(subcommand)]
    Vorticity(commands::vorticity::Command),
    Tokenize(commands::tokenize::TokenizeArgs),
    Detokenize(commands::tokenize::DetokenizeArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return ExitCode::from(explain(&answer)),
    };
    let outcome = interrupt::install().and_then(|()| match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Logits(args) => commands::logits::run(&args),
        Command::Embed(args) => commands::embed::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Perplexity(args) => commands::perplexity::run(&args),
        Command::Quantize(args) => commands::quantize::run(&args),
        Command::Synth(args) => commands::synth::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Pull(args) => commands::pull::run(&args),
        Command::List(args) => commands::list::run(&args),
        Command::Show(args) => commands::show::run(&args),
        Command::Rm(args) => commands::rm::run(&args),
        Command::Rollout(args) => commands::rollout::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Vorticity(command) => commands::vorticity::run(&command),
        Command::Tokenize(args) => commands::tokenize::tokenize(&args),
        Command::Detokenize(args) => commands::tokenize::detokenize(&args),
    });
    let code = outcome.unwrap_or_else(|error| {
        output::notice(&format!("resident: {}", exit::message(&error)));
        exit::code_of(&error)
    });
    ExitCode::from(code)
}

/// Prints help and version to stdout, where failing counts as it does for every result, and usage errors to stderr.
fn explain(answer: &clap::Error) -> u8 {
    match answer.print() {
        Err(error) if !answer.use_stderr() => {
            output::notice(&format!("resident: writing to stdout: {error}"));
            exit::FAILED
        }
        _ => u8::try_from(answer.exit_code()).unwrap_or(exit::USAGE),
    }
}
