//! The files: states with the codec's parameters (`*_z0.npz`), operators (`*_A.npz`), sequences of vectors, atoms.

use super::{Atom, Bands, Codec, CodecConfig, Decoded, VorticityError, check_size};
use crate::npz::{Compression, Npz, NpzError, NpzWriter};
use std::path::Path;

/// The keys of a state's file that a codec is made from.
const CODEC_KEYS: [&str; 11] = [
    "mask_low",
    "anchor_idx",
    "N",
    "k_cut",
    "resid_mid_cut",
    "topk_mid",
    "dashi_tau",
    "dashi_smooth_k",
    "dtype_code",
    "seed",
    "dt",
];

/// What a state's file says about its codec.
#[derive(Clone, Debug, PartialEq)]
pub struct CodecMeta {
    /// Cells a side.
    pub n: usize,
    /// What the codec keeps.
    pub config: CodecConfig,
    /// The low band, N × N.
    pub mask_low: Vec<bool>,
    /// Flat indices of the anchors.
    pub anchors: Vec<usize>,
    /// Whether the state was computed in f64 (`dtype_code` 1) or f32 (0).
    pub f64: bool,
    /// Seed of the decoder's random phases at step 0.
    pub seed: u64,
    /// Time step of the flow.
    pub dt: f64,
}

impl CodecMeta {
    /// The description of a codec.
    pub fn of(codec: &Codec, f64: bool, seed: u64, dt: f64) -> Self {
        let mut mask_low = vec![false; codec.n() * codec.n()];
        codec.bands().low.iter().for_each(|at| mask_low[*at] = true);
        let (n, config, anchors) = (codec.n(), *codec.config(), codec.anchors().to_vec());
        Self { n, config, mask_low, anchors, f64, seed, dt }
    }

    /// The seed with which step `step` is decoded.
    pub fn seed_at(&self, step: u64) -> u128 {
        u128::from(self.seed) + u128::from(step)
    }

    /// Reads the codec's keys of a state's file.
    ///
    /// # Errors
    /// Missing keys, all of them by name; values that contradict each other.
    pub fn read(file: &mut Npz) -> Result<Self, VorticityError> {
        let missing: Vec<_> = CODEC_KEYS.into_iter().filter(|key| !file.has(key)).collect();
        if !missing.is_empty() {
            return Err(VorticityError::Invalid(format!(
                "{}: decoding needs {}, which the file lacks; it has {}",
                file.path().display(),
                missing.join(", "),
                file.names().collect::<Vec<_>>().join(", ")
            )));
        }
        let n: usize = file.read_scalar::<u32>("N")? as usize;
        check_size(n)?;
        let config = CodecConfig {
            k_cut: file.read_scalar("k_cut")?,
            mid_cut: file.read_scalar("resid_mid_cut")?,
            tau: file.read_scalar("dashi_tau")?,
            smooth: file.read_scalar::<u32>("dashi_smooth_k")? as usize,
            top_k: file.read_scalar::<u32>("topk_mid")? as usize,
        };
        config.check()?;
        let square = file.header("mask_low")?.shape == [n, n];
        let shape = if square { vec![n, n] } else { vec![n * n] };
        let mask_low: Vec<bool> = file.read_shaped("mask_low", &shape)?;
        let bands = Bands::with_low(n, &config, |at: usize| mask_low[at]);
        let anchors = read_anchors(file, &bands.mid)?;
        let dtype = file.read_scalar::<u32>("dtype_code")?;
        if dtype > 1 {
            return Err(file
                .mismatch("dtype_code", dtype.to_string(), "0 (float32) or 1 (float64)".to_owned())
                .into());
        }
        let (seed, dt) = (file.read_scalar("seed")?, file.read_scalar("dt")?);
        Ok(Self { n, config, mask_low, anchors, f64: dtype == 1, seed, dt })
    }
}

impl CodecMeta {
    /// Writes the codec's keys into a state's file.
    pub(crate) fn put(&self, file: &mut NpzWriter) -> Result<(), VorticityError> {
        file.array("mask_low", &[self.mask_low.len()], &self.mask_low)?;
        let anchors: Vec<i64> = self.anchors.iter().map(|at| *at as i64).collect();
        file.array("anchor_idx", &[anchors.len()], &anchors)?;
        file.scalar("N", self.n as i64)?;
        file.scalar("k_cut", self.config.k_cut)?;
        file.scalar("resid_mid_cut", self.config.mid_cut)?;
        file.scalar("topk_mid", self.config.top_k as i64)?;
        file.scalar("dashi_tau", self.config.tau)?;
        file.scalar("dashi_smooth_k", self.config.smooth as i64)?;
        file.scalar("dtype_code", i64::from(self.f64))?;
        file.scalar("seed", self.seed)?;
        Ok(file.scalar("dt", self.dt)?)
    }
}

/// The anchors of a file: modes of the middle band `mid`, none twice.
fn read_anchors(file: &mut Npz, mid: &[usize]) -> Result<Vec<usize>, VorticityError> {
    let header = file.header("anchor_idx")?;
    let most = mid.len();
    if header.shape.len() != 1 || header.shape[0] > most {
        let expected = format!("at most the {most} modes of the middle band, in one dimension");
        return Err(file.mismatch("anchor_idx", format!("of shape {:?}", header.shape), expected).into());
    }
    let anchors = file.read::<i64>("anchor_idx")?.values;
    let mut seen = std::collections::HashSet::new();
    anchors
        .iter()
        .map(|index| {
            let at =
                usize::try_from(*index).ok().filter(|at| mid.binary_search(at).is_ok() && seen.insert(*at));
            let expected = || "distinct flat indices of modes of the middle band".to_owned();
            at.ok_or_else(|| file.mismatch("anchor_idx", format!("[… {index} …]"), expected()).into())
        })
        .collect()
}

/// A state: a vector with the codec that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The vector.
    pub z: Vec<f64>,
    /// The codec.
    pub meta: CodecMeta,
}

impl State {
    /// Reads `*_z0.npz` with all keys.
    ///
    /// # Errors
    /// A file that is broken, lacks keys or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, VorticityError> {
        let mut file = Npz::open(path)?;
        let meta = CodecMeta::read(&mut file)?;
        let dimension = Codec::from_meta(&meta)?.dimension();
        let z = file.read_shaped("z", &[dimension])?;
        Ok(Self { z, meta })
    }

    /// Writes `*_z0.npz`, the vector in the type that `meta` names.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), VorticityError> {
        let Self { z, meta } = self;
        let mut file = NpzWriter::create(path, Compression::Stored)?;
        write_floats(&mut file, "z", &[z.len()], z, meta.f64)?;
        meta.put(&mut file)?;
        Ok(file.finish()?)
    }
}

fn write_floats(
    file: &mut NpzWriter,
    name: &str,
    shape: &[usize],
    values: &[f64],
    f64: bool,
) -> Result<(), VorticityError> {
    if f64 {
        file.array(name, shape, values)?;
    } else {
        let narrow: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        file.array(name, shape, &narrow)?;
    }
    Ok(())
}

/// Writes a sequence of vectors as `Z` of shape (frames, D).
///
/// # Errors
/// The file cannot be written.
pub fn write_sequence(path: &Path, z: &[f64], dimension: usize, f64: bool) -> Result<(), VorticityError> {
    let mut file = NpzWriter::create(path, Compression::Stored)?;
    write_floats(&mut file, "Z", &[z.len() / dimension, dimension], z, f64)?;
    Ok(file.finish()?)
}

/// Reads `Z` and its D.
///
/// # Errors
/// A broken file, no `Z`, or one that is no matrix.
pub fn read_sequence(path: &Path) -> Result<(Vec<f64>, usize), VorticityError> {
    let mut file = Npz::open(path)?;
    let shape = file.header("Z")?.shape;
    let [_, dimension @ 1..=usize::MAX] = shape[..] else {
        let expected = "(frames, D)".to_owned();
        return Err(file.mismatch("Z", format!("of shape {shape:?}"), expected).into());
    };
    Ok((file.read("Z")?.values, dimension))
}

/// Writes an operator as `A` of shape (D, D) in f64.
///
/// # Errors
/// The file cannot be written.
pub fn write_operator(path: &Path, a: &[f64], dimension: usize) -> Result<(), VorticityError> {
    let mut file = NpzWriter::create(path, Compression::Stored)?;
    file.array("A", &[dimension, dimension], a)?;
    Ok(file.finish()?)
}

/// Reads an operator of shape (D, D).
///
/// # Errors
/// A broken file, no `A`, or one of another shape.
pub fn read_operator(path: &Path, dimension: usize) -> Result<Vec<f64>, VorticityError> {
    Ok(Npz::open(path)?.read_shaped("A", &[dimension, dimension])?)
}

/// Reads `atoms` of shape (count, 5): x, y, sign, gamma, radius.
///
/// # Errors
/// A broken file, no `atoms`, or one of another shape.
pub fn read_atoms(path: &Path) -> Result<Vec<Atom>, VorticityError> {
    let mut file = Npz::open(path)?;
    let shape = file.header("atoms")?.shape;
    if shape.len() != 2 || shape[1] != 5 {
        let expected = "(count, 5): x, y, sign, gamma, radius".to_owned();
        return Err(file.mismatch("atoms", format!("of shape {shape:?}"), expected).into());
    }
    let values = file.read::<f64>("atoms")?.values;
    let atoms = values.chunks_exact(5);
    Ok(atoms.map(|v| Atom { x: v[0], y: v[1], sign: v[2], gamma: v[3], radius: v[4] }).collect())
}

/// An open trajectory file: `traj` of shape (frames, N, N).
#[derive(Debug)]
pub struct Trajectory {
    file: Npz,
    /// Frames, at least one.
    pub frames: usize,
    /// Cells a side.
    pub n: usize,
    /// The flow's time step, where the file names it.
    pub dt: Option<f64>,
}

impl Trajectory {
    /// Opens the file; no field is read yet.
    ///
    /// # Errors
    /// A broken file, no `traj`, or one of another shape.
    pub fn open(path: &Path) -> Result<Self, VorticityError> {
        let mut file = Npz::open(path)?;
        let shape = file.header("traj")?.shape;
        let (frames, n) = match shape[..] {
            [frames @ 1..=usize::MAX, n, m] if n == m => (frames, n),
            _ => {
                let expected = "(frames, N, N)".to_owned();
                return Err(file.mismatch("traj", format!("of shape {shape:?}"), expected).into());
            }
        };
        check_size(n)?;
        let dt = if file.has("dt") { Some(file.read_scalar("dt")?) } else { None };
        Ok(Self { file, frames, n, dt })
    }

    /// Calls `visit` with the index and the values of each frame, as they are read; one is in memory at a time.
    ///
    /// # Errors
    /// A broken file; the first error of `visit`.
    pub fn read<E: From<NpzError>>(
        &mut self,
        visit: impl FnMut(usize, &[f64]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.read_parts("traj", visit)
    }
}

/// A vector out of a file: `z` of shape (D), or a row of `z` (rows, D) or of `Z` (frames, D). Without a `row` it is that of the
/// step, in a rollout's snapshots by their `steps`; a batch, which has no steps, gives its first.
///
/// # Errors
/// A broken file, neither key, another D, no such row or step.
pub fn read_vector(
    path: &Path,
    row: Option<usize>,
    step: usize,
    dimension: usize,
) -> Result<Vec<f64>, VorticityError> {
    let mut file = Npz::open(path)?;
    let key = if file.has("z") || !file.has("Z") { "z" } else { "Z" };
    let shape = file.header(key)?.shape;
    let (rows, found) = match shape[..] {
        [found] => (1, found),
        [rows, found] => (rows, found),
        _ => (0, 0),
    };
    if found != dimension {
        let expected = format!("({dimension},) or (rows, {dimension}), which the codec needs");
        return Err(file.mismatch(key, format!("of shape {shape:?}"), expected).into());
    }
    let row = match row {
        Some(row) => row,
        None if key == "Z" => step,
        None if shape.len() == 2 && file.has("steps") => {
            let steps = file.read::<u64>("steps")?.values;
            let place = steps.iter().position(|other| *other == step as u64);
            let end = |step: Option<&u64>| step.copied().unwrap_or(0);
            let found =
                || format!("of {} steps from {} to {}", steps.len(), end(steps.first()), end(steps.last()));
            place.ok_or_else(|| file.mismatch("steps", found(), format!("the step {step} among them")))?
        }
        None => 0,
    };
    if row >= rows {
        let expected = format!("more than the row {row} asked for");
        return Err(file.mismatch(key, format!("of {rows} rows"), expected).into());
    }
    let values = file.read::<f64>(key)?.values;
    Ok(values[row * dimension..][..dimension].to_vec())
}

/// Writes a decoded field as `omega`, `omega_lp` (its low modes alone) and `mask`, each (N, N), with `N` and `step`.
///
/// # Errors
/// The file cannot be written.
pub fn write_field(
    path: &Path,
    n: usize,
    step: u64,
    field: &Decoded,
    f64: bool,
) -> Result<(), VorticityError> {
    let mut file = NpzWriter::create(path, Compression::Stored)?;
    write_floats(&mut file, "omega", &[n, n], &field.omega, f64)?;
    write_floats(&mut file, "omega_lp", &[n, n], &field.low_pass, f64)?;
    file.array("mask", &[n, n], &field.mask)?;
    file.scalar("N", n as i64)?;
    file.scalar("step", step)?;
    Ok(file.finish()?)
}
