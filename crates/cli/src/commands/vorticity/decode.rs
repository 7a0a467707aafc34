//! `resident vorticity decode`: the field of a vector, as a file and a picture.

use super::shared::{PlaceArgs, ReportArgs, picture_of};
use crate::output;
use anyhow::Result;
use resident_rollout::npz::Npz;
use resident_rollout::vorticity::{
    CodecMeta, DecodeOptions, Decoder, Precision, read_atoms, read_vector, write_field, write_png,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Decode a vector as a field
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident vorticity decode --z run_z0.npz --step 0 --out field.npz
  resident vorticity decode --z run_Z.npz --z0 run_z0.npz --step 100 --out field.npz
  resident vorticity decode --z rolled.npz --z0 run_z0.npz --step 100000 --out field.npz --legacy

--z is a file with 'z' [D] or [B, D], a rollout's snapshots, or a file with 'Z' [frames, D]. The random phases of step t have the seed of the state's file \
plus t. The file written holds 'omega', 'omega_lp' and 'mask', each [N, N]; a picture stands beside it.")]
pub(crate) struct Args {
    /// The file with the vector
    #[arg(long, value_name = "FILE")]
    z: PathBuf,
    /// The state's file with the codec's parameters [default: the file of --z]
    #[arg(long, value_name = "FILE", alias = "meta")]
    z0: Option<PathBuf>,
    /// The step that the vector is of; of a sequence it picks the row
    #[arg(long, default_value_t = 0, value_name = "T")]
    step: u64,
    /// The row of a batch or a sequence [default: that of the step; 0 of a batch]
    #[arg(long, value_name = "ROW")]
    row: Option<usize>,
    /// Seed of the random phases at step 0 [default: that of the state's file]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// A file with 'atoms' [count, 5] (x, y, sign, gamma, radius) to add as Gaussian vortices
    #[arg(long, value_name = "FILE")]
    atoms: Option<PathBuf>,
    /// As the earlier program did: without the anchors
    #[arg(long)]
    legacy: bool,
    /// The field's file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write no picture
    #[arg(long)]
    no_png: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Figures<'a> {
    n: usize,
    step: u64,
    seed: u64,
    legacy: bool,
    dtype: String,
    anchors: usize,
    kept_anchors: usize,
    atoms: usize,
    /// The part of the cells where the synthesised residual may be.
    mask_share: f64,
    decode_seconds: f64,
    out: &'a Path,
    pictures: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    output::check_folder(&args.out)?;
    args.report.check()?;
    let mut meta = CodecMeta::read(&mut Npz::open(args.z0.as_ref().unwrap_or(&args.z))?)?;
    meta.seed = args.seed.unwrap_or(meta.seed);
    let atoms = args.atoms.as_deref().map(read_atoms).transpose()?.unwrap_or_default();
    let run = args.place.begin()?;
    let mut decoder = Decoder::new(&run.place, meta)?;
    let dimension = decoder.codec().dimension();
    let z = read_vector(&args.z, args.row, usize::try_from(args.step)?, dimension)?;
    let seed = decoder.meta().seed_at(args.step);
    let start = Instant::now();
    let options = DecodeOptions { seed, legacy: args.legacy, atoms: &atoms };
    let field = decoder.decode(&z, &options)?;
    let decode_seconds = start.elapsed().as_secs_f64();
    let codec = decoder.codec();
    let n = codec.n();
    write_field(&args.out, n, args.step, &field, run.place.precision == Precision::F64)?;
    let mut pictures = Vec::new();
    if !args.no_png {
        pictures.push(picture_of(&args.out));
        write_png(&picture_of(&args.out), &field.omega, n)?;
    }
    let figures = Figures {
        n,
        step: args.step,
        seed: decoder.meta().seed,
        legacy: args.legacy,
        dtype: run.place.precision.to_string(),
        anchors: codec.anchors().len(),
        kept_anchors: codec.kept_anchors(z[2 * codec.bands().low.len() + 3]),
        atoms: atoms.len(),
        mask_share: field.mask.iter().filter(|open| **open).count() as f64 / (n * n) as f64,
        decode_seconds,
        out: &args.out,
        pictures,
    };
    let summary = format!(
        "{}: step {} as a field of {n} × {n}, {} of {} anchors kept, {} · seed {seed}",
        args.out.display(),
        args.step,
        figures.kept_anchors,
        figures.anchors,
        if args.legacy { "left out as the earlier program did" } else { "added" },
    );
    args.place.end(&run, &args.report, "vorticity decode", &figures, &summary)
}
