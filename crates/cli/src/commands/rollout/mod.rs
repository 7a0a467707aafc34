//! `resident rollout`: `z[t+1] = z[t] · A` on one device for as many steps as asked, with checks on the device at their strides, and
//! a report that its gates judge.

mod watch;

use crate::device::{DeviceArgs, cpu_name};
use crate::exit::{self, Usage};
use crate::{interrupt, output, settings};
use anyhow::Result;
use resident_ledger::{
    Report, RolloutThresholds, Timings, Verdict, evaluate_rollout, verdict_of, write_json_atomically,
};
use resident_rollout::npz::Npz;
use resident_rollout::{
    Executor, Fields, Inputs, MAX_SNAPSHOT_BYTES, Outcome, RealType, Request, Rollout, Snapshots, Strides,
    codec_of, decoder_of, measure_baseline, operator_room, write_state,
};
use resident_runtime::SessionOptions;
use std::path::PathBuf;
use std::time::Instant;
use watch::Watch;

/// Roll a linear operator: `z[t+1] = z[t] · A`
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  resident rollout --z0 run_z0.npz --a run_A.npz --steps 300000 --require-gpu --report r.json
  resident rollout --z0 z0.npz --a A.npz --steps 100000 --hash-every 1000 --stats-every 1000 --out z.npz
  resident rollout --batch-from Z.npz --a A.npz --steps 1000 --dtype f64 --device cpu --out Z_end.npz
  resident rollout --z0 z0.npz --a A.npz --steps 10000 --snapshot-every 100 --snapshot-out traj.npz

The files are NumPy's: z [D] and A [D, D], with z a row vector on A's left; --batch-from reads Z [B, D]. Strides name the steps
k, 2k, 3k ...; 0 is never. Hash, stats and defect are computed on the device, and so are decoded fields; snapshots read z. docs/rollout.md has
the files, docs/profiling.md the figures and docs/report.md the gates of the report.")]
pub(crate) struct Args {
    /// The state to begin with: `z [D]`
    #[arg(long, value_name = "F.npz", required_unless_present = "batch_from")]
    z0: Option<PathBuf>,
    /// The operator: `A` [D, D], row-major
    #[arg(long, value_name = "F.npz")]
    a: PathBuf,
    /// How many steps
    #[arg(long, value_name = "N")]
    steps: u64,
    /// A batch of states that share A, in place of --z0's one: `Z` [B, D]
    #[arg(long, value_name = "F.npz")]
    batch_from: Option<PathBuf>,
    /// Number type: f32 or f64 (on the CPU, and on GPUs that have it)
    #[arg(long, default_value = "f32", value_name = "TYPE")]
    dtype: Type,
    /// How steps are run: auto (the fastest in a measurement), replay, workgroup or persistent
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = executor)]
    executor: Choice,
    /// Hash z on the device every k steps
    #[arg(long, default_value_t = 0, value_name = "K")]
    hash_every: u64,
    /// Minimum, maximum, sum, sum of squares and non-finite values of z every k steps
    #[arg(long, default_value_t = 0, value_name = "K")]
    stats_every: u64,
    /// How far the step moved z, every k steps
    #[arg(long, default_value_t = 0, value_name = "K")]
    defect_every: u64,
    /// Decode z into a field every k steps
    #[arg(long, default_value_t = 0, value_name = "K", requires = "decode_out")]
    decode_every: u64,
    /// The folder of the decoded fields
    #[arg(long, value_name = "DIR", requires = "decode_every")]
    decode_out: Option<PathBuf>,
    /// Keep z every k steps
    #[arg(long, default_value_t = 0, value_name = "K", requires = "snapshot_out")]
    snapshot_every: u64,
    /// The file of the kept states: `steps [S]`, `z [S, D]` or `[S, B, D]`
    #[arg(long, value_name = "F.npz", requires = "snapshot_every")]
    snapshot_out: Option<PathBuf>,
    /// Wake the host every k steps to say how far the run is
    #[arg(long, default_value_t = 0, value_name = "K")]
    progress_every: u64,
    /// Seed of the decoder's random phases at step 0 [default: the one in --z0]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Write the final state: `z`, with `step`
    #[arg(long, value_name = "z.npz")]
    out: Option<PathBuf>,
    /// Write the run report to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the run report
    #[arg(long)]
    json: bool,
    /// Measure the CPU device with the same operator too, for the speed-up gate
    #[arg(long)]
    baseline_cpu: bool,
    /// A failed gate does not change the exit code; it is in the report and named all the same
    #[arg(long)]
    no_gates: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Type {
    F32,
    F64,
}

/// The executor that was named, if any.
#[derive(Clone, Copy)]
struct Choice(Option<Executor>);

fn executor(name: &str) -> Result<Choice, String> {
    if name == "auto" { Ok(Choice(None)) } else { name.parse().map(|executor| Choice(Some(executor))) }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let start = Instant::now();
    let strides = args.strides()?;
    for path in [&args.out, &args.report, &args.snapshot_out, &args.decode_out].into_iter().flatten() {
        output::check_folder(path)?;
    }
    let choice = args.device.choose()?;
    let real = match args.dtype {
        Type::F32 => RealType::F32,
        Type::F64 => RealType::F64,
    };
    if let (Some(z0), Some(batch)) = (&args.z0, &args.batch_from) {
        // Its keys are used, and its state is not.
        Npz::open(z0)?.header("z")?;
        let (z0, batch) = (z0.display(), batch.display());
        output::notice(&format!("the states of {batch} are rolled, in place of that of {z0}"));
    }
    let inputs = Inputs::read(
        args.z0.as_deref(),
        args.batch_from.as_deref(),
        &args.a,
        real,
        operator_room(&choice.target),
    )?;
    args.refuse_many_snapshots(&inputs)?;
    let codec = args.z0.as_deref().map(codec_of).transpose()?.flatten().filter(|_| !inputs.is_batch);
    let decode = match (&args.decode_out, &args.z0) {
        (Some(_), Some(z0)) => Some(decoder_of(z0, &inputs, args.seed)?),
        (Some(_), None) => {
            return Err(Usage("--decode-every needs --z0, whose file has the codec".into()).into());
        }
        (None, _) => None,
    };

    let fields = match (&args.decode_out, &decode) {
        (Some(folder), Some(decode)) => Some(Fields::new(folder, decode.n)?),
        _ => None,
    };
    let session =
        SessionOptions { pipeline_cache_dir: settings::pipeline_cache_dir(), ..SessionOptions::default() };
    let request = Request {
        steps: args.steps,
        strides,
        executor: args.executor.0,
        decode,
        reads_final_state: args.out.is_some(),
        session,
    };
    let mut rollout = Rollout::prepare(&choice, &inputs, request)?;
    let load = start.elapsed();
    interrupt::watch();
    let mut watch =
        Watch::new(args.steps, strides, args.snapshot_out.is_some().then(Snapshots::default), fields)?;
    let outcome = rollout.run(&mut watch);
    watch.finish();
    let outcome = outcome?;
    let counters = rollout.snapshot();

    if let (Some(path), Some(snapshots)) = (&args.snapshot_out, &watch.snapshots) {
        snapshots.write(path, &inputs)?;
    }
    if let (Some(path), Some(z)) = (&args.out, &outcome.final_state) {
        write_state(path, &inputs, outcome.steps, z, codec.as_ref())?;
    }
    let mut report =
        Report::new("rollout", env!("CARGO_PKG_VERSION"), args.device.report(&choice), counters.clone());
    let mut section = rollout.report(&outcome, &counters);
    section.snapshot_blake2b = watch.snapshots.as_ref().map_or(Vec::new(), |s| s.hashes().to_vec());
    drop(rollout);
    if args.baseline_cpu && !interrupt::is_set() {
        let baseline = measure_baseline(&inputs, cpu_name())?;
        section.speed_up = Some(section.steps_per_second / baseline.steps_per_second.max(1e-9));
        section.baseline = Some(baseline);
    }
    report.non_finite_outputs = Some(outcome.final_non_finite);
    report.timings = Some(Timings {
        load_seconds: load.as_secs_f64(),
        wall_seconds: start.elapsed().as_secs_f64(),
        gpu_seconds: section.gpu_time_seconds,
        ..Timings::default()
    });
    report.rollout = Some(section);
    report.gates = evaluate_rollout(&report, &RolloutThresholds::default());
    args.tell(&report, &outcome)
}

impl Args {
    fn strides(&self) -> Result<Strides> {
        let strides = Strides {
            hash: self.hash_every,
            stats: self.stats_every,
            defect: self.defect_every,
            snapshot: self.snapshot_every,
            decode: self.decode_every,
            progress: self.progress_every,
        };
        strides.check(self.steps)?;
        for (flag, stride, needs) in [
            ("--snapshot-out", self.snapshot_every, &self.snapshot_out),
            ("--decode-out", self.decode_every, &self.decode_out),
        ] {
            if needs.is_some() && stride == 0 {
                let every = flag.replace("-out", "-every");
                return Err(Usage(format!("{flag} without {every}, or with 0, would stay empty")).into());
            }
        }
        Ok(strides)
    }

    /// Snapshots are held until the end.
    fn refuse_many_snapshots(&self, inputs: &Inputs) -> Result<()> {
        let states = self.steps.checked_div(self.snapshot_every).unwrap_or(0);
        let bytes = states.saturating_mul(inputs.operator.state_bytes(inputs.rows));
        if bytes > MAX_SNAPSHOT_BYTES {
            return Err(Usage(format!(
                "--snapshot-every {} keeps {states} states, {bytes} bytes in all, more than the {MAX_SNAPSHOT_BYTES} that are \
                 held; use a larger stride",
                self.snapshot_every
            ))
            .into());
        }
        Ok(())
    }

    /// Report, closing line and exit code.
    fn tell(&self, report: &Report, outcome: &Outcome) -> Result<u8> {
        if let Some(path) = &self.report {
            write_json_atomically(path, report)?;
        }
        if self.json {
            output::write_json(report)?;
        }
        let interrupted = interrupt::is_set() && outcome.steps < self.steps;
        if interrupted {
            output::notice(&format!("interrupted at step {} of {}", outcome.steps, self.steps));
        }
        output::notice(&report.closing_line());
        Ok(match verdict_of(&report.gates) {
            _ if interrupted => exit::INTERRUPTED,
            Verdict::Fail if !self.no_gates => exit::GATE,
            _ => exit::DONE,
        })
    }
}
