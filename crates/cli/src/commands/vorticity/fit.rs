//! `resident vorticity fit`: the operator that rolls a sequence of vectors.

use super::shared::ReportArgs;
use crate::exit::{self, Usage};
use crate::output;
use anyhow::Result;
use resident_rollout::vorticity::{fit, read_sequence, relative_error, write_operator};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Fit the operator of a sequence of vectors
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident vorticity fit --z run_Z.npz --out run_A.npz
  resident vorticity fit --z run_Z.npz --ridge 1e-2 --out run_A.npz

A = (XᵀX + λI)⁻¹ XᵀY with X = Z[:-1], Y = Z[1:], in f64 on the CPU, by a Cholesky factorisation. The file holds 'A' [D, D].")]
pub(crate) struct Args {
    /// A file with 'Z', shape [frames, D]
    #[arg(long, value_name = "FILE")]
    z: PathBuf,
    /// The ridge λ
    #[arg(long, default_value_t = 1e-3, value_name = "λ", alias = "lambda")]
    ridge: f64,
    /// The operator's file to write
    #[arg(long, value_name = "FILE", alias = "a-out")]
    out: PathBuf,
    /// As the earlier program did; the operator is the same in both modes
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Output<'a> {
    command: &'static str,
    vorticity: Figures<'a>,
}

#[derive(Serialize)]
struct Figures<'a> {
    frames: usize,
    dimension: usize,
    ridge: f64,
    legacy: bool,
    /// |X·A − Y| / |Y|: the error of one step, over the sequence.
    one_step_error: f64,
    fit_seconds: f64,
    out: &'a Path,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    output::check_folder(&args.out)?;
    args.report.check()?;
    if !(args.ridge.is_finite() && args.ridge > 0.0) {
        return Err(Usage(format!("--ridge is {}, expected above 0", args.ridge)).into());
    }
    let (z, dimension) = read_sequence(&args.z)?;
    let start = Instant::now();
    let a = fit(&z, dimension, args.ridge)?;
    let fit_seconds = start.elapsed().as_secs_f64();
    let one_step_error = relative_error(&rolled(&z, &a, dimension), &z[dimension..]);
    write_operator(&args.out, &a, dimension)?;
    let frames = z.len() / dimension;
    let summary = format!(
        "{}: operator of {dimension} × {dimension} from {frames} vectors · error of one step {one_step_error:.2e} · {fit_seconds:.2} s",
        args.out.display()
    );
    let figures = Figures {
        frames,
        dimension,
        ridge: args.ridge,
        legacy: args.legacy,
        one_step_error,
        fit_seconds,
        out: &args.out,
    };
    args.report.emit(&Output { command: "vorticity fit", vorticity: figures }, &summary)?;
    Ok(exit::DONE)
}

/// Z[:-1] · A.
fn rolled(z: &[f64], a: &[f64], dimension: usize) -> Vec<f64> {
    let rows = z.chunks_exact(dimension).take(z.len() / dimension - 1);
    rows.flat_map(|row| super::compare::step(row, a)).collect()
}
