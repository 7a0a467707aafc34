//! Rotary positions: the base of the frequencies, and how they are stretched for contexts longer than the trained one.

use super::reader::ConfigReader;
use crate::checkpoint::error::{CheckpointError, quoted};

/// What both formats mean when they do not name a base.
const DEFAULT_THETA: f64 = 10000.0;

/// Rotary position embedding of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies: pair i of head_dim / 2 turns by theta^(−2i / head_dim) a position.
    pub theta: f64,
    /// How the frequencies are changed.
    pub scaling: RopeScaling,
}

/// A change of the frequencies. GGUF stores `llama3` scaling as divisors in a tensor instead
/// ([`ROPE_FREQ_FACTORS`](crate::checkpoint::ROPE_FREQ_FACTORS)), beside [`RopeScaling::None`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// Every frequency is divided by the factor.
    Linear {
        /// Above 0.
        factor: f64,
    },
    /// Low frequencies are divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above original context / this are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below original context / this are high frequencies; above `low_freq_factor`.
        high_freq_factor: f64,
        /// Context length of the model before it was stretched, in positions.
        original_max_position_embeddings: u32,
    },
}

impl Rope {
    /// Takes every key about rotary positions, from either format.
    pub fn take(keys: &mut ConfigReader) -> Result<Rope, CheckpointError> {
        let mut theta = keys.take_opt_positive("rope_theta")?;
        let gguf_scaling = take_gguf_scaling(keys)?;
        // transformers 4 writes the first, transformers 5 the second.
        let section =
            match (keys.take_opt_section("rope_scaling")?, keys.take_opt_section("rope_parameters")?) {
                (Some(_), Some(_)) => {
                    return Err(keys.mismatch("rope_scaling", "given", "rope_parameters alone"));
                }
                (old, new) => old.or(new),
            };
        let Some(mut section) = section else {
            return Ok(Rope { theta: theta.unwrap_or(DEFAULT_THETA), scaling: gguf_scaling });
        };
        if let Some(inner) = section.take_opt_positive("rope_theta")? {
            if theta.is_some_and(|outer| outer != inner) {
                return Err(section.mismatch("rope_theta", inner, "the rope_theta outside, or none there"));
            }
            theta = Some(inner);
        }
        let scaling = take_section_scaling(&mut section)?;
        section.finish()?;
        Ok(Rope { theta: theta.unwrap_or(DEFAULT_THETA), scaling })
    }
}

/// The scaling of `rope_scaling` or `rope_parameters`.
fn take_section_scaling(section: &mut ConfigReader) -> Result<RopeScaling, CheckpointError> {
    section.expect("partial_rotary_factor", 1.0)?;
    let old_name: Option<String> = section.take_opt("type")?;
    let new_name: Option<String> = section.take_opt("rope_type")?;
    if let (Some(old), Some(new)) = (&old_name, &new_name)
        && old != new
    {
        return Err(section.mismatch("type", quoted(old), format!("the same as rope_type, {}", quoted(new))));
    }
    match new_name.or(old_name).as_deref() {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor: section.take_positive("factor")? }),
        Some("llama3") => take_llama3(section),
        Some(other) => Err(section.unsupported(
            "rope_type",
            quoted(other),
            "have \"default\", \"linear\" and \"llama3\"",
        )),
    }
}

fn take_llama3(section: &mut ConfigReader) -> Result<RopeScaling, CheckpointError> {
    let factor = section.take_positive("factor")?;
    let low_freq_factor = section.take_positive("low_freq_factor")?;
    let high_freq_factor = section.take_positive("high_freq_factor")?;
    let original_max_position_embeddings = section.take_size("original_max_position_embeddings")?;
    if high_freq_factor <= low_freq_factor {
        let expected = format!("more than low_freq_factor, {low_freq_factor}");
        return Err(section.mismatch("high_freq_factor", high_freq_factor, expected));
    }
    Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings })
}

/// The scaling of GGUF's `rope.scaling.*`. A factor without a type is linear there.
fn take_gguf_scaling(keys: &mut ConfigReader) -> Result<RopeScaling, CheckpointError> {
    // They describe how the model was made; the factor alone acts.
    keys.ignore(&["rope.scaling.original_context_length", "rope.scaling.finetuned"]);
    let name: Option<String> = keys.take_opt("rope.scaling.type")?;
    match name.as_deref() {
        Some("none") => {
            keys.expect("rope.scaling.factor", 1.0)?;
            Ok(RopeScaling::None)
        }
        None | Some("linear") => {
            let factor = keys.take_opt_positive("rope.scaling.factor")?;
            Ok(factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor }))
        }
        Some(other) => {
            Err(keys.unsupported("rope.scaling.type", quoted(other), "have \"none\" and \"linear\""))
        }
    }
}
