//! `resident vorticity`: the ground-truth flow, its codec, the fit of an operator, and what decoding costs in accuracy.

mod compare;
mod decode;
mod encode;
mod fit;
mod shared;
mod simulate;

use anyhow::Result;
use clap::Subcommand;

/// Simulate, encode, fit and decode two-dimensional vorticity
#[derive(Subcommand)]
#[command(after_help = "\
Examples, in their order:
  resident vorticity simulate --n 64 --steps 100 --seed 0 --out traj.npz
  resident vorticity encode --traj traj.npz --z0-out run_z0.npz --z-out run_Z.npz
  resident vorticity fit --z run_Z.npz --out run_A.npz
  resident vorticity decode --z run_z0.npz --step 0 --out field.npz
  resident vorticity compare --traj traj.npz --step 100

The files are NumPy's; formulas and keys stand in docs/vorticity.md.")]
pub(crate) enum Command {
    Simulate(simulate::Args),
    Encode(encode::Args),
    Fit(fit::Args),
    Decode(decode::Args),
    Compare(compare::Args),
}

pub(crate) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Simulate(args) => simulate::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Fit(args) => fit::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Compare(args) => compare::run(args),
    }
}
