//! Flow, encoder and decoder on the device that was chosen: the same three uses, whatever computes them.

use super::device::{DeviceDecoder, DeviceEncoder, DeviceFlow};
use super::{Codec, CodecMeta, DecodeOptions, Decoded, Flow, FlowConfig, VorticityError};
use resident_ledger::Ledger;
use resident_runtime::{SessionOptions, Target};
use std::fmt;
use std::sync::Arc;

/// The type in which fields and vectors are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Any device, through a program.
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
    /// The account book of the run. It is sealed with the first runner on a device, so each has its own.
    pub ledger: Arc<Ledger>,
    /// How a session on the device is made.
    pub session: SessionOptions,
}

impl Place {
    /// Refuses what no kernel computes.
    fn check(&self) -> Result<(), VorticityError> {
        match (&self.target, self.precision) {
            (Target::Vulkan(_), Precision::F64) => Err(VorticityError::Invalid(
                "the vorticity kernels compute in f32; f64 needs --device cpu".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// A flow and its field.
pub struct Simulation(SimulationOn);

enum SimulationOn {
    Host { flow: Flow, omega: Vec<f64> },
    Device(Box<DeviceFlow>),
}

impl Simulation {
    /// A flow that begins with `omega`.
    ///
    /// # Errors
    /// A configuration, a field or a device that does not do; device errors.
    ///
    /// # Panics
    /// If the field is not of the configuration's size.
    pub fn new(place: &Place, config: FlowConfig, omega: Vec<f64>) -> Result<Self, VorticityError> {
        place.check()?;
        config.check()?;
        assert_eq!(omega.len(), config.n * config.n, "a field of {} cells a side", config.n);
        Ok(Self(match place.precision {
            Precision::F64 => SimulationOn::Host { flow: Flow::new(config)?, omega },
            Precision::F32 => SimulationOn::Device(Box::new(DeviceFlow::new(place, &config, &omega)?)),
        }))
    }

    /// Goes on by `steps` time steps.
    ///
    /// # Errors
    /// A field that becomes infinite; device errors.
    pub fn advance(&mut self, steps: u64) -> Result<(), VorticityError> {
        match &mut self.0 {
            SimulationOn::Device(device) => device.advance(steps),
            SimulationOn::Host { flow, omega } => {
                for _ in 0..steps {
                    *omega = flow.step(omega)?;
                }
                Ok(())
            }
        }
    }

    /// The field.
    ///
    /// # Errors
    /// A field that became infinite on a device; device errors.
    pub fn field(&mut self) -> Result<Vec<f64>, VorticityError> {
        match &mut self.0 {
            SimulationOn::Device(device) => device.field(),
            SimulationOn::Host { omega, .. } => Ok(omega.clone()),
        }
    }
}

/// Makes vectors of fields.
pub struct Encoder {
    codec: Codec,
    /// None: the codec computes itself, in f64.
    device: Option<Box<DeviceEncoder>>,
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// A device that does not do; device errors.
    pub fn new(place: &Place, codec: Codec) -> Result<Self, VorticityError> {
        place.check()?;
        let device = match place.precision {
            Precision::F64 => None,
            Precision::F32 => Some(Box::new(DeviceEncoder::new(place, &codec)?)),
        };
        Ok(Self { codec, device })
    }

    /// The vector of a field.
    ///
    /// # Errors
    /// A field of another size, or not finite; device errors.
    pub fn encode(&mut self, omega: &[f64]) -> Result<Vec<f64>, VorticityError> {
        match &mut self.device {
            None => self.codec.encode(omega),
            Some(device) => {
                self.codec.check_frame(omega)?;
                device.encode(omega)
            }
        }
    }
}

/// Makes fields of vectors: what a rollout decodes its states with.
pub struct Decoder {
    codec: Codec,
    meta: CodecMeta,
    /// None: the codec computes itself, in f64.
    device: Option<Box<DeviceDecoder>>,
}

impl Decoder {
    /// A decoder of the vectors that `meta` describes.
    ///
    /// # Errors
    /// A description that makes no sense, a device that does not do; device errors.
    pub fn new(place: &Place, meta: CodecMeta) -> Result<Self, VorticityError> {
        place.check()?;
        let codec = Codec::from_meta(&meta)?;
        let device = match place.precision {
            Precision::F64 => None,
            Precision::F32 => Some(Box::new(DeviceDecoder::new(place, &codec)?)),
        };
        Ok(Self { codec, meta, device })
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
    /// A vector of another length, or not finite; more atoms than a device has room for; device errors.
    pub fn decode(&mut self, z: &[f64], options: &DecodeOptions) -> Result<Decoded, VorticityError> {
        match &mut self.device {
            None => self.codec.decode(z, options),
            Some(device) => {
                self.codec.check_vector(z)?;
                device.decode(z, options)
            }
        }
    }
}
