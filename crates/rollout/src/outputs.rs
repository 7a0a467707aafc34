//! What a rollout leaves behind: the final state, snapshots, decoded fields.

use crate::npz::{Compression, Npz, NpzWriter};
use crate::vorticity::{Codec, CodecMeta, write_png};
use crate::{Inputs, RolloutError, Values};
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use std::path::{Path, PathBuf};

/// The most bytes of all snapshots of a run, which are held until its end.
pub const MAX_SNAPSHOT_BYTES: u64 = 4 << 30;
/// The most hashes of snapshots in a report.
const REPORTED_HASHES: usize = 1000;

/// BLAKE2b-128 of the values as little-endian f64, as hexadecimal digits: the hash of the earlier program.
pub fn blake2b(values: &Values) -> String {
    let mut hasher = Blake2b::<U16>::new();
    values.to_f64().iter().for_each(|value| hasher.update(value.to_le_bytes()));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(file: &mut NpzWriter, name: &str, shape: &[usize], values: &Values) -> Result<(), RolloutError> {
    match values {
        Values::F32(values) => file.array(name, shape, values)?,
        Values::F64(values) => file.array(name, shape, values)?,
    }
    Ok(())
}

/// Writes the state after `step` as `z`, with `step`, and the codec's keys of the file that the run began with, so that it can
/// be rolled on and decoded like that one.
///
/// # Errors
/// The file cannot be written.
pub fn write_state(
    path: &Path,
    inputs: &Inputs,
    step: u64,
    z: &Values,
    codec: Option<&CodecMeta>,
) -> Result<(), RolloutError> {
    let mut file = NpzWriter::create(path, Compression::Stored)?;
    put(&mut file, "z", &inputs.state_shape(), z)?;
    file.scalar("step", step as i64)?;
    if let Some(codec) = codec {
        let f64 = matches!(z, Values::F64(_));
        CodecMeta { f64, ..codec.clone() }.put(&mut file)?;
    }
    Ok(file.finish()?)
}

/// The codec's keys of a state's file, where it has any of them.
///
/// # Errors
/// A broken file, or one whose keys are incomplete or contradict each other.
pub fn codec_of(z0: &Path) -> Result<Option<CodecMeta>, RolloutError> {
    let mut file = Npz::open(z0)?;
    if !file.has("mask_low") {
        return Ok(None);
    }
    Ok(Some(CodecMeta::read(&mut file)?))
}

/// States by step, for one file.
#[derive(Debug, Default)]
pub struct Snapshots {
    steps: Vec<i64>,
    states: Vec<Values>,
    hashes: Vec<(u64, String)>,
}

impl Snapshots {
    /// Keeps a state.
    pub fn add(&mut self, step: u64, z: Values) {
        self.hashes.push((step, blake2b(&z)));
        if self.hashes.len() > REPORTED_HASHES {
            self.hashes.remove(0);
        }
        self.steps.push(step as i64);
        self.states.push(z);
    }

    /// The legacy hashes of the last of them.
    pub fn hashes(&self) -> &[(u64, String)] {
        &self.hashes
    }

    /// Writes `steps` \[S\], and `z` \[S, D\] or \[S, B, D\].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path, inputs: &Inputs) -> Result<(), RolloutError> {
        let mut file = NpzWriter::create(path, Compression::Stored)?;
        file.array("steps", &[self.steps.len()], &self.steps)?;
        let shape: Vec<usize> = [self.states.len()].into_iter().chain(inputs.state_shape()).collect();
        match inputs.operator.real {
            crate::RealType::F32 => file.begin::<f32>("z", &shape)?,
            crate::RealType::F64 => file.begin::<f64>("z", &shape)?,
        }
        for state in &self.states {
            match state {
                Values::F32(values) => file.append(values)?,
                Values::F64(values) => file.append(values)?,
            }
        }
        Ok(file.finish()?)
    }
}

/// The codec that decodes the states of a run that begins with this file; `seed` takes the place of the file's.
///
/// # Errors
/// A file without the codec's keys, a batch, a codec of another dimension.
pub fn decoder_of(z0: &Path, inputs: &Inputs, seed: Option<u64>) -> Result<CodecMeta, RolloutError> {
    let mut meta = CodecMeta::read(&mut Npz::open(z0)?)?;
    meta.seed = seed.unwrap_or(meta.seed);
    meta.check_rollout(inputs)?;
    Ok(meta)
}

impl CodecMeta {
    /// Refuses inputs whose states this does not decode.
    pub(crate) fn check_rollout(&self, inputs: &Inputs) -> Result<(), RolloutError> {
        if inputs.is_batch {
            return Err(RolloutError::Usage("--decode-every decodes one trajectory, not a batch".to_owned()));
        }
        let dimension = Codec::from_meta(self)?.dimension();
        if dimension != inputs.operator.dim as usize {
            let dim = inputs.operator.dim;
            let problem = format!("the codec of --z0 makes vectors of {dimension}, A is of {dim} x {dim}");
            return Err(RolloutError::Invalid(problem));
        }
        Ok(())
    }
}

/// A folder of fields: `omega_STEP.npz` (`omega` \[N, N\], `step`) and `omega_STEP.png` for each.
pub struct Fields {
    folder: PathBuf,
    n: usize,
}

impl Fields {
    /// A folder for fields of N cells a side. It is made with the first of them.
    ///
    /// # Errors
    /// Something else is there.
    pub fn new(folder: &Path, n: usize) -> Result<Self, RolloutError> {
        if folder.exists() && !folder.is_dir() {
            return Err(RolloutError::Invalid(format!("{}: this is no folder", folder.display())));
        }
        Ok(Self { folder: folder.to_owned(), n })
    }

    /// Writes the field of a step.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, step: u64, omega: &[f64]) -> Result<(), RolloutError> {
        let refuse = |source| RolloutError::Invalid(format!("{}: {source}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(refuse)?;
        let name = |extension: &str| self.folder.join(format!("omega_{step:09}.{extension}"));
        let mut file = NpzWriter::create(&name("npz"), Compression::Stored)?;
        file.array("omega", &[self.n, self.n], omega)?;
        file.scalar("step", step as i64)?;
        file.finish()?;
        Ok(write_png(&name("png"), omega, self.n)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hashlib.blake2b(numpy.array([1.0, -2.5, 0.0]).tobytes(), digest_size=16).hexdigest()`.
    #[test]
    fn the_legacy_hash_is_that_of_python() {
        assert_eq!(blake2b(&Values::F32(vec![1.0, -2.5, 0.0])), "26925d3095f057c9392683091d65f62c");
        assert_eq!(blake2b(&Values::F64(vec![1.0, -2.5, 0.0])), "26925d3095f057c9392683091d65f62c");
    }
}
