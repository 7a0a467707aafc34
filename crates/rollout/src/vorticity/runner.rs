//! Flow, encoder and decoder on the device that was chosen: the same three uses, whatever computes them.

use super::{Codec, CodecMeta, DecodeOptions, Decoded, Flow, FlowConfig, VorticityError};
use resident_ledger::Ledger;
use resident_runtime::{SessionOptions, Target};
use std::fmt;
use std::sync::Arc;

/// The type in which fields and vectors are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Any device, through a plan.
    F32,
    /// The CPU.
    F64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::F32 { "f32" } else { "f64" })
    }
}

/// Where to compute, and in what.
#[derive(Clone)]
pub struct Place {
    /// The device of the run.
    pub target: Target,
    /// The type.
    pub precision: Precision,
    /// The account book of the run.
    pub ledger: Arc<Ledger>,
    /// How a session on the device is made.
    pub session: SessionOptions,
}

impl Place {
    fn check(&self) -> Result<(), VorticityError> {
        let wrong = |text: &str| Err(VorticityError::Invalid(text.to_owned()));
        match (&self.target, self.precision) {
            (Target::Cpu, Precision::F64) => Ok(()),
            (Target::Cpu, Precision::F32) => {
                wrong("the vorticity commands compute in f64 on the CPU; leave --dtype out")
            }
            (Target::Vulkan(_), _) => {
                wrong("the vorticity commands have no kernels for a GPU; take --device cpu")
            }
        }
    }
}

/// A flow and its field.
pub struct Simulation {
    flow: Flow,
    omega: Vec<f64>,
}

impl Simulation {
    /// A flow that begins with `omega`.
    ///
    /// # Errors
    /// A configuration or a device that does not do.
    pub fn new(place: &Place, config: FlowConfig, omega: Vec<f64>) -> Result<Self, VorticityError> {
        place.check()?;
        Ok(Self { flow: Flow::new(config)?, omega })
    }

    /// Goes on by `steps` time steps.
    ///
    /// # Errors
    /// A field that becomes infinite.
    pub fn advance(&mut self, steps: u64) -> Result<(), VorticityError> {
        for _ in 0..steps {
            self.omega = self.flow.step(&self.omega)?;
        }
        Ok(())
    }

    /// The field.
    ///
    /// # Errors
    /// Device errors.
    pub fn field(&mut self) -> Result<Vec<f64>, VorticityError> {
        Ok(self.omega.clone())
    }
}

/// Makes vectors of fields.
pub struct Encoder {
    codec: Codec,
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// A device that does not do.
    pub fn new(place: &Place, codec: Codec) -> Result<Self, VorticityError> {
        place.check()?;
        Ok(Self { codec })
    }

    /// The vector of a field.
    ///
    /// # Errors
    /// A field of another size, or not finite; device errors.
    pub fn encode(&mut self, omega: &[f64]) -> Result<Vec<f64>, VorticityError> {
        self.codec.encode(omega)
    }
}

/// Makes fields of vectors: what a rollout decodes its states with.
pub struct Decoder {
    codec: Codec,
    meta: CodecMeta,
}

impl Decoder {
    /// A decoder of the vectors that `meta` describes.
    ///
    /// # Errors
    /// A description that makes no sense, a device that does not do.
    pub fn new(place: &Place, meta: CodecMeta) -> Result<Self, VorticityError> {
        place.check()?;
        Ok(Self { codec: Codec::from_meta(&meta)?, meta })
    }

    /// The codec.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Its description.
    pub fn meta(&self) -> &CodecMeta {
        &self.meta
    }

    /// The field of a vector; [`CodecMeta::seed_at`] has the seed of a step.
    ///
    /// # Errors
    /// A vector of another length, or not finite; device errors.
    pub fn decode(&mut self, z: &[f64], options: &DecodeOptions) -> Result<Decoded, VorticityError> {
        self.codec.decode(z, options)
    }
}
