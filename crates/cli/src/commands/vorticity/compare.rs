//! `resident vorticity compare`: how far decoded fields are from the ground truth, as the earlier program decoded them and
//! as it is right.

use super::encode::CodecArgs;
use super::shared::ReportArgs;
use crate::exit::{self, Usage};
use anyhow::{Context, Result, bail};
use resident_rollout::npz::Npz;
use resident_rollout::vorticity::{
    Codec, CodecMeta, DecodeOptions, Trajectory, read_operator, read_vector, relative_error,
};
use serde::Serialize;
use std::path::PathBuf;

/// Compare decoded fields with the ground truth
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident vorticity compare --traj traj.npz --step 100
  resident vorticity compare --traj traj.npz --z0 run_z0.npz --a run_A.npz --every 20
  resident vorticity compare --traj traj.npz --z0 run_z0.npz --z run_Z.npz --step 100

Without an operator or vectors the frames are encoded and decoded again, which is the codec's own error. The errors are \
|decoded − truth| / |truth|, without and with the synthesised residual; legacy leaves the anchors out. The residual's random \
phases raise the error of a single field; they are there for its energy. In f64 on the CPU.")]
pub(crate) struct Args {
    /// The ground truth: a file with 'traj', shape [frames, N, N]
    #[arg(long, value_name = "FILE")]
    traj: PathBuf,
    /// Compare this step [default: the last one]
    #[arg(long, value_name = "T", conflicts_with = "every")]
    step: Option<usize>,
    /// Compare every K-th step
    #[arg(long, value_name = "K")]
    every: Option<usize>,
    /// The codec's parameters and the vector of step 0
    #[arg(long, value_name = "FILE", alias = "meta")]
    z0: Option<PathBuf>,
    /// Roll the vector of step 0 by this operator
    #[arg(long, value_name = "FILE", requires = "z0", conflicts_with = "z")]
    a: Option<PathBuf>,
    /// Take the vectors of this file, 'Z' [frames, D]
    #[arg(long, value_name = "FILE", requires = "z0")]
    z: Option<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Seed of the random phases at step 0 [default: that of the state's file, else 0]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print only the errors as the earlier program decoded
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Output {
    command: &'static str,
    vorticity: Figures,
}

#[derive(Serialize)]
struct Figures {
    n: usize,
    frames: usize,
    /// `trajectory`, `operator` or `vectors`.
    source: &'static str,
    rows: Vec<Row>,
}

/// Relative L2 errors of one step.
#[derive(Serialize)]
struct Row {
    step: usize,
    /// The low modes alone.
    legacy_without_residual: f64,
    /// The low modes and the anchors.
    corrected_without_residual: f64,
    /// The field as the earlier program decoded it: low modes and residual.
    legacy: f64,
    /// The field as it is right: low modes, anchors and residual.
    corrected: f64,
}

/// Where the vectors come from.
enum Source {
    Trajectory,
    /// The state at the step reached, and the operator.
    Operator(Vec<f64>, usize, Vec<f64>),
    Vectors(PathBuf),
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    args.report.check()?;
    if args.every == Some(0) {
        return Err(Usage("--every is 0, expected at least 1".to_owned()).into());
    }
    let config = args.codec.config()?;
    let meta = args.z0.as_deref().map(|path| CodecMeta::read(&mut Npz::open(path)?)).transpose()?;
    let seed = args.seed.or(meta.as_ref().map(|meta| meta.seed)).unwrap_or(0);
    let mut codec = meta.as_ref().map(Codec::from_meta).transpose()?;
    let mut source = args.source(codec.as_ref())?;
    let name = match &source {
        Source::Trajectory => "trajectory",
        Source::Operator(..) => "operator",
        Source::Vectors(_) => "vectors",
    };
    let mut traj = Trajectory::open(&args.traj)?;
    let (frames, n) = (traj.frames, traj.n);
    if let Some(step) = args.step.filter(|step| *step >= frames) {
        bail!("{}: --step is {step}, the last frame is {}", args.traj.display(), frames - 1);
    }
    if let Some(codec) = codec.as_ref().filter(|codec| codec.n() != n) {
        bail!("{}: N is {n}, the codec's is {}", args.traj.display(), codec.n());
    }
    let mut rows = Vec::new();
    traj.read::<anyhow::Error>(|step, truth| {
        if codec.is_none() {
            codec = Some(Codec::for_first_frame(n, config, truth)?);
        }
        let codec = codec.as_ref().expect("made from the first frame");
        let wanted = match (args.step, args.every) {
            (Some(wanted), _) => step == wanted,
            (None, Some(every)) => step.is_multiple_of(every),
            (None, None) => step + 1 == frames,
        };
        if wanted {
            let z = source.vector(codec, step, truth).with_context(|| format!("step {step}"))?;
            rows.push(row(codec, &z, step, seed, truth)?);
        }
        Ok(())
    })?;
    let summary = args.table(&rows);
    let figures = Figures { n, frames, source: name, rows };
    args.report.emit(&Output { command: "vorticity compare", vorticity: figures }, summary.trim_end())?;
    Ok(exit::DONE)
}

fn row(codec: &Codec, z: &[f64], step: usize, seed: u64, truth: &[f64]) -> Result<Row> {
    let seed = u128::from(seed) + step as u128;
    let decode = |legacy| codec.decode(z, &DecodeOptions { seed, legacy, atoms: &[] });
    let (legacy, corrected) = (decode(true)?, decode(false)?);
    let kept: Vec<f64> = corrected.low_pass.iter().zip(&corrected.anchors).map(|(a, b)| a + b).collect();
    Ok(Row {
        step,
        legacy_without_residual: relative_error(&corrected.low_pass, truth),
        corrected_without_residual: relative_error(&kept, truth),
        legacy: relative_error(&legacy.omega, truth),
        corrected: relative_error(&corrected.omega, truth),
    })
}

impl Source {
    fn vector(&mut self, codec: &Codec, step: usize, truth: &[f64]) -> Result<Vec<f64>> {
        match self {
            Self::Trajectory => Ok(codec.encode(truth)?),
            Self::Vectors(path) => Ok(read_vector(path, None, step, codec.dimension())?),
            Self::Operator(z, reached, a) => {
                for _ in *reached..step {
                    *z = self::step(z, a);
                }
                *reached = step;
                Ok(z.clone())
            }
        }
    }
}

/// z · A in f64.
pub(super) fn step(z: &[f64], a: &[f64]) -> Vec<f64> {
    let mut next = vec![0.0; z.len()];
    for (z, row) in z.iter().zip(a.chunks_exact(z.len())) {
        next.iter_mut().zip(row).for_each(|(next, a)| *next += z * a);
    }
    next
}

impl Args {
    fn source(&self, codec: Option<&Codec>) -> Result<Source> {
        Ok(match (codec, &self.z0, &self.a, &self.z) {
            (Some(codec), Some(z0), Some(a), _) => {
                let dimension = codec.dimension();
                Source::Operator(read_vector(z0, None, 0, dimension)?, 0, read_operator(a, dimension)?)
            }
            (.., Some(z)) => Source::Vectors(z.clone()),
            _ => Source::Trajectory,
        })
    }

    fn table(&self, rows: &[Row]) -> String {
        let width = if self.legacy { 10 } else { 20 };
        let names = if self.legacy {
            format!("{:>10}", "legacy")
        } else {
            format!("{:>10}{:>10}", "legacy", "corrected")
        };
        let mut table = format!(
            "{:8}  {:>width$}  {:>width$}\n",
            "",
            "no residual",
            "with residual",
            width = width.max(13)
        );
        let names = format!("{names:>13}");
        table += &format!("{:>8}  {names}  {names}\n", "step");
        for row in rows {
            let pair = |legacy: f64, corrected: f64| match self.legacy {
                true => format!("{legacy:>13.4}"),
                false => format!("{legacy:>10.4}{corrected:>10.4}"),
            };
            let without = pair(row.legacy_without_residual, row.corrected_without_residual);
            table += &format!("{:>8}  {without}  {}\n", row.step, pair(row.legacy, row.corrected));
        }
        table
    }
}
