//! `resident vorticity simulate`: the ground-truth flow as a trajectory file.

use super::shared::{PlaceArgs, ReportArgs, picture_of, progress};
use crate::exit::{self, Usage};
use crate::{interrupt, output};
use anyhow::Result;
use resident_rollout::npz::{Compression, NpzWriter};
use resident_rollout::vorticity::{Flow, FlowConfig, Place, Precision, Simulation, initial_field, write_png};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Time steps after which Ctrl-C is looked for.
const STEPS_BETWEEN_LOOKS: u64 = 16;

/// Simulate the flow and write its trajectory
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident vorticity simulate --n 64 --steps 100 --seed 0 --out traj.npz
  resident vorticity simulate --n 256 --steps 2000 --every 10 --out traj.npz --require-gpu
  resident vorticity simulate --n 128 --steps 300 --out traj.npz --png-every 100

The file holds 'traj', shape [frames, N, N], with the initial field first, and N, dt, nu0, Cs, seed, every.")]
pub(crate) struct Args {
    /// Cells a side
    #[arg(long, default_value_t = 64, value_name = "N")]
    n: usize,
    /// Time steps
    #[arg(long, default_value_t = 300, value_name = "T")]
    steps: u64,
    /// Seed of the initial field, as numpy.random.seed takes it
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u32,
    /// Length of a time step
    #[arg(long, default_value_t = 0.01)]
    dt: f64,
    /// Viscosity
    #[arg(long, default_value_t = 1e-4)]
    nu0: f64,
    /// Smagorinsky's constant
    #[arg(long, default_value_t = 0.17)]
    cs: f64,
    /// Keep every K-th field
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// The trajectory file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Compress the file, as numpy.savez_compressed does
    #[arg(long)]
    compressed: bool,
    /// Write a picture of every K-th field beside the file [default: of the last one]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    png_every: Option<u64>,
    /// Write no pictures
    #[arg(long, conflicts_with = "png_every")]
    no_png: bool,
    /// As the earlier program did; the flow and its random numbers are the same in both modes
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Figures<'a> {
    n: usize,
    steps: u64,
    frames: u64,
    dt: f64,
    nu0: f64,
    cs: f64,
    seed: u32,
    legacy: bool,
    dtype: String,
    /// At the first and the last field.
    energy: [f64; 2],
    enstrophy: [f64; 2],
    simulate_seconds: f64,
    steps_per_second: f64,
    out: &'a Path,
    pictures: Vec<PathBuf>,
}

/// What a simulation left, beside its file.
struct Flown {
    last: Vec<f64>,
    pictures: Vec<PathBuf>,
    seconds: f64,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let config = args.config()?;
    let run = args.place.begin()?;
    interrupt::watch();
    let first = initial_field(args.n, args.seed);
    let Some(Flown { last, pictures, seconds }) = args.fly(&run.place, config, &first)? else {
        output::notice(&format!("resident: interrupted; {} is not written", args.out.display()));
        return Ok(exit::INTERRUPTED);
    };
    let flow = Flow::new(config)?;
    let (begin, end) = (flow.energy_and_enstrophy(&first), flow.energy_and_enstrophy(&last));
    let figures = Figures {
        n: args.n,
        steps: args.steps,
        frames: args.steps / args.every + 1,
        dt: args.dt,
        nu0: args.nu0,
        cs: args.cs,
        seed: args.seed,
        legacy: args.legacy,
        dtype: run.place.precision.to_string(),
        energy: [begin.0, end.0],
        enstrophy: [begin.1, end.1],
        simulate_seconds: seconds,
        steps_per_second: args.steps as f64 / seconds,
        out: &args.out,
        pictures,
    };
    let summary = format!(
        "{}: {} frames of {n} × {n} · {:.0} steps/s · energy {:.4} → {:.4} · enstrophy {:.4} → {:.4}",
        args.out.display(),
        figures.frames,
        figures.steps_per_second,
        begin.0,
        end.0,
        begin.1,
        end.1,
        n = args.n,
    );
    args.place.end(&run, &args.report, "vorticity simulate", &figures, &summary)
}

impl Args {
    /// The flow, after everything that can be refused was looked at.
    fn config(&self) -> Result<FlowConfig> {
        output::check_folder(&self.out)?;
        self.report.check()?;
        let Self { n, dt, nu0, cs, steps, every, .. } = *self;
        let config = FlowConfig { n, dt, nu0, cs };
        config.check().map_err(|error| Usage(error.to_string()))?;
        if !steps.is_multiple_of(every) {
            return Err(Usage(format!("--every is {every}, expected a divisor of {steps} steps")).into());
        }
        Ok(config)
    }

    /// Lets the flow go and writes its frames and pictures; None after Ctrl-C, which leaves no file.
    fn fly(&self, place: &Place, config: FlowConfig, first: &[f64]) -> Result<Option<Flown>> {
        let f64 = place.precision == Precision::F64;
        let mut simulation = Simulation::new(place, config, first.to_vec())?;
        let mut file = self.begin(f64)?;
        let bar = progress("simulating", "steps", self.steps)?;
        let (mut last, mut pictures) = (first.to_vec(), Vec::new());
        let mut done = 0;
        let start = Instant::now();
        for step in (0..=self.steps).step_by(usize::try_from(self.every)?) {
            while done < step {
                if interrupt::is_set() {
                    bar.abandon();
                    return Ok(None);
                }
                let piece = STEPS_BETWEEN_LOOKS.min(step - done);
                simulation.advance(piece)?;
                done += piece;
                bar.set_position(done);
            }
            if step > 0 {
                last = simulation.field()?;
            }
            append(&mut file, &last, f64)?;
            if self.png_every.is_some_and(|every| step.is_multiple_of(every)) {
                let stem = self.out.file_stem().unwrap_or_default().to_string_lossy();
                pictures.push(self.out.with_file_name(format!("{stem}_{step:06}.png")));
                write_png(&pictures[pictures.len() - 1], &last, self.n)?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        bar.finish_and_clear();
        file.finish()?;
        if self.png_every.is_none() && !self.no_png {
            pictures.push(picture_of(&self.out));
            write_png(&pictures[0], &last, self.n)?;
        }
        Ok(Some(Flown { last, pictures, seconds }))
    }

    /// The file with all but its frames.
    fn begin(&self, f64: bool) -> Result<NpzWriter> {
        let compression = if self.compressed { Compression::Deflated } else { Compression::Stored };
        let mut file = NpzWriter::create(&self.out, compression)?;
        file.scalar("N", self.n as i64)?;
        file.scalar("dt", self.dt)?;
        file.scalar("nu0", self.nu0)?;
        file.scalar("Cs", self.cs)?;
        file.scalar("seed", i64::from(self.seed))?;
        file.scalar("every", self.every)?;
        let shape = [usize::try_from(self.steps / self.every)? + 1, self.n, self.n];
        if f64 {
            file.begin::<f64>("traj", &shape)?
        } else {
            file.begin::<f32>("traj", &shape)?
        }
        Ok(file)
    }
}

fn append(file: &mut NpzWriter, field: &[f64], f64: bool) -> Result<()> {
    if f64 {
        file.append(field)?;
    } else {
        file.append(&field.iter().map(|value| *value as f32).collect::<Vec<_>>())?;
    }
    Ok(())
}
