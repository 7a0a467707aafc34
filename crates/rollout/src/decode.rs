//! Fields of a rollout's states: on a GPU a program of its own decodes the state where it lies; on the CPU device, whose memory it
//! is, the codec does, in f64.

use crate::vorticity::{Codec, CodecMeta, DecodeOptions, DecodeProgram};
use crate::{Inputs, RealType, RolloutError, Values};
use resident_kernels::Slice;
use resident_plan::{PlanId, Program};
use resident_runtime::{Session, SessionBuilder, Target};

/// The decoder of a rollout.
pub(crate) struct Decode {
    meta: CodecMeta,
    codec: Codec,
    /// None: the codec itself.
    device: Option<DecodeProgram>,
}

impl Decode {
    /// Adds what decodes either of the `states` to the program.
    ///
    /// # Errors
    /// A batch, a codec of another dimension; on a GPU f64 and sizes without kernels.
    pub(crate) fn declare(
        program: &mut Program,
        states: [Slice; 2],
        inputs: &Inputs,
        target: &Target,
        meta: &CodecMeta,
    ) -> Result<Self, RolloutError> {
        meta.check_rollout(inputs)?;
        let codec = Codec::from_meta(meta)?;
        let device = match target {
            Target::Cpu => None,
            Target::Vulkan(_) if inputs.operator.real == RealType::F64 => {
                return Err(RolloutError::Invalid(
                    "a GPU decodes in f32; take --dtype f32, --device cpu, or --snapshot-every and 'resident vorticity decode'"
                        .to_owned(),
                ));
            }
            Target::Vulkan(_) => {
                let vectors = states.map(|state| state.at(0, codec.dimension() as u64 * 4));
                Some(DecodeProgram::declare(program, &codec, &vectors)?)
            }
        };
        Ok(Self { meta: meta.clone(), codec, device })
    }

    /// Loads the tables.
    pub(crate) fn load(&self, builder: &mut SessionBuilder) -> Result<(), RolloutError> {
        Ok(self.device.as_ref().map_or(Ok(()), |device| device.load(builder))?)
    }

    /// What comes back of each field, where a device decodes.
    pub(crate) fn readback(&self) -> Option<(Slice, &'static str)> {
        self.device.as_ref().map(DecodeProgram::field_readback)
    }

    /// The plan that decodes the state that lies in `place`, where a device decodes.
    pub(crate) fn plan(&self, place: usize) -> Option<PlanId> {
        self.device.as_ref().map(|device| device.plan(place))
    }

    /// Whether the host needs z for a field.
    pub(crate) fn reads_state(&self) -> bool {
        self.device.is_none()
    }

    /// The field of a state that the host has.
    pub(crate) fn field_of(&self, step: u64, z: &Values) -> Result<Vec<f64>, RolloutError> {
        Ok(self.codec.decode(&z.to_f64(), &self.options(step))?.omega)
    }

    /// The field of the state that lies in `place`.
    ///
    /// # Panics
    /// If no device decodes.
    pub(crate) fn field_at(
        &self,
        session: &mut Session,
        place: usize,
        step: u64,
    ) -> Result<Vec<f64>, RolloutError> {
        let device = self.device.as_ref().expect("a device decodes");
        Ok(device.field(session, place, &self.options(step))?)
    }

    fn options(&self, step: u64) -> DecodeOptions<'_> {
        DecodeOptions { seed: self.meta.seed_at(step), ..DecodeOptions::default() }
    }
}
