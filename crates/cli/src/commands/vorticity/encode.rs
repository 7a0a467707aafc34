//! `resident vorticity encode`: a trajectory's fields as vectors.

use super::shared::{PlaceArgs, ReportArgs, progress};
use crate::exit::{self, Usage};
use crate::{interrupt, output};
use anyhow::{Context, Result};
use clap::ArgGroup;
use resident_rollout::vorticity::{
    Codec, CodecConfig, CodecMeta, Encoder, Precision, State, Trajectory, write_sequence,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Encode the fields of a trajectory as vectors
#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("outputs").args(["z0_out", "z_out"]).required(true).multiple(true),
    after_help = "\
Examples:
  resident vorticity encode --traj traj.npz --z0-out run_z0.npz --z-out run_Z.npz

The state's file holds 'z' [D] of the first frame and all that decoding needs; the sequence's 'Z' [frames, D]."
)]
pub(crate) struct Args {
    /// A file with 'traj', shape [frames, N, N]
    #[arg(long, value_name = "FILE")]
    traj: PathBuf,
    /// Write the first frame's vector and the codec's parameters to this file
    #[arg(long, value_name = "FILE")]
    z0_out: Option<PathBuf>,
    /// Write the vectors of all frames to this file
    #[arg(long, value_name = "FILE")]
    z_out: Option<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Seed of the decoder's random phases, kept in the state's file
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Time step to note in the state's file [default: the trajectory's, else 0.01]
    #[arg(long)]
    dt: Option<f64>,
    /// As the earlier program did; vectors are the same in both modes
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What the codec keeps.
#[derive(clap::Args)]
pub(super) struct CodecArgs {
    /// Modes up to this |k| are kept whole
    #[arg(long, default_value_t = 8.0, value_name = "K")]
    k_cut: f64,
    /// Modes up to this |k| are the middle band
    #[arg(long, default_value_t = 12.0, value_name = "K", alias = "resid-mid-cut")]
    mid_cut: f64,
    /// Threshold of the ternary structure
    #[arg(long, default_value_t = 0.35)]
    tau: f64,
    /// Width of the box filter
    #[arg(long, default_value_t = 11, value_name = "W", alias = "smooth-k")]
    smooth: usize,
    /// Modes of the middle band that are kept whole
    #[arg(long, default_value_t = 128, value_name = "K")]
    topk: usize,
}

impl CodecArgs {
    pub(super) fn config(&self) -> Result<CodecConfig, Usage> {
        let Self { k_cut, mid_cut, tau, smooth, topk: top_k } = *self;
        let config = CodecConfig { k_cut, mid_cut, tau, smooth, top_k };
        config.check().map_err(|error| Usage(error.to_string()))?;
        Ok(config)
    }
}

#[derive(Serialize)]
struct Figures<'a> {
    n: usize,
    frames: usize,
    dimension: usize,
    low_modes: usize,
    mid_modes: usize,
    high_modes: usize,
    anchors: usize,
    legacy: bool,
    dtype: String,
    encode_seconds: f64,
    frames_per_second: f64,
    z0_out: Option<&'a Path>,
    z_out: Option<&'a Path>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let config = args.codec.config()?;
    for path in args.z0_out.iter().chain(&args.z_out) {
        output::check_folder(path)?;
    }
    args.report.check()?;
    if args.dt.is_some_and(|dt| !(dt.is_finite() && dt > 0.0)) {
        return Err(Usage("--dt must be above 0".to_owned()).into());
    }
    let run = args.place.begin()?;
    interrupt::watch();
    let f64 = run.place.precision == Precision::F64;
    let mut traj = Trajectory::open(&args.traj)?;
    let (frames, n) = (traj.frames, traj.n);
    let dt = args.dt.or(traj.dt).unwrap_or(0.01);
    let mut encoder: Option<(Encoder, CodecMeta, Figures)> = None;
    let mut z = Vec::new();
    let bar = progress("encoding", "frames", frames as u64)?;
    let start = Instant::now();
    let read = traj.read::<anyhow::Error>(|index, frame| {
        if interrupt::is_set() {
            return Err(Interrupted.into());
        }
        let place = || format!("{}: frame {index}", args.traj.display());
        if encoder.is_none() {
            let codec = Codec::for_first_frame(n, config, frame).with_context(place)?;
            let figures = args.figures(&codec, frames, run.place.precision);
            let meta = CodecMeta::of(&codec, f64, args.seed, dt);
            encoder = Some((Encoder::new(&run.place, codec)?, meta, figures));
        }
        let (encoder, _, _) = encoder.as_mut().expect("made from the first frame");
        z.extend(encoder.encode(frame).with_context(place)?);
        bar.inc(1);
        Ok(())
    });
    read.or_else(|error| if error.is::<Interrupted>() { Ok(()) } else { Err(error) })?;
    bar.finish_and_clear();
    if interrupt::is_set() {
        output::notice("resident: interrupted; nothing is written");
        return Ok(exit::INTERRUPTED);
    }
    let (_, meta, mut figures) = encoder.context("a trajectory has at least one frame")?;
    figures.encode_seconds = start.elapsed().as_secs_f64();
    figures.frames_per_second = frames as f64 / figures.encode_seconds;
    let dimension = figures.dimension;
    if let Some(path) = &args.z_out {
        write_sequence(path, &z, dimension, f64)?;
    }
    if let Some(path) = &args.z0_out {
        State { z: z[..dimension].to_vec(), meta }.write(path)?;
    }
    let summary = format!(
        "{frames} frames of {n} × {n} as vectors of {dimension} values: {} low modes, {} anchors · {:.0} frames/s",
        figures.low_modes, figures.anchors, figures.frames_per_second
    );
    args.place.end(&run, &args.report, "vorticity encode", &figures, &summary)
}

/// Ctrl-C between two frames.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl Args {
    fn figures(&self, codec: &Codec, frames: usize, precision: Precision) -> Figures<'_> {
        Figures {
            n: codec.n(),
            frames,
            dimension: codec.dimension(),
            low_modes: codec.bands().low.len(),
            mid_modes: codec.bands().mid.len(),
            high_modes: codec.bands().high.len(),
            anchors: codec.anchors().len(),
            legacy: self.legacy,
            dtype: precision.to_string(),
            encode_seconds: 0.0,
            frames_per_second: 0.0,
            z0_out: self.z0_out.as_deref(),
            z_out: self.z_out.as_deref(),
        }
    }
}
