//! Rotary positions: the base of the frequencies, and how they are stretched for contexts longer than the trained one.

use super::reader::ConfigReader;
use crate::checkpoint::error::{CheckpointError, quoted};

/// What both formats mean when they do not name a base.
const DEFAULT_THETA: f64 = 10000.0;

/// Rotary position embedding of a model, or of some of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies: pair i of rotary_dim / 2 turns by theta^(−2i / rotary_dim) a position.
    pub theta: f64,
    /// How the frequencies are changed.
    pub scaling: RopeScaling,
}

/// A change of the frequencies. GGUF stores `llama3` scaling and `longrope` as divisors in tensors instead
/// ([`ROPE_FREQ_FACTORS`](crate::checkpoint::ROPE_FREQ_FACTORS)), beside [`RopeScaling::None`].
///
/// `dynamic` scaling changes nothing within the context that the model was made for, and no longer one is run: it is
/// [`RopeScaling::None`], too.
#[derive(Clone, Debug, PartialEq)]
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
    /// As [`Llama3`](Self::Llama3) with other bounds and a blend that is linear in the pair's number; cosines and sines are
    /// multiplied by a factor. Formulas: Peng et al., "YaRN", 2023.
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Pairs that turn more often than this within the original context are kept.
        beta_fast: f64,
        /// Pairs that turn less often than this are divided by the factor.
        beta_slow: f64,
        /// Whether the bounds are whole numbers of pairs.
        truncate: bool,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Context length of the model before it was stretched, in positions.
        original_max_position_embeddings: u32,
    },
    /// Each pair has a divisor of its own; cosines and sines are multiplied by a factor. There are other divisors for
    /// contexts longer than the original one, which are not implemented.
    LongRope {
        /// Divisors, a pair each.
        short_factor: Vec<f64>,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Context length up to which these divisors count, in positions.
        original_max_position_embeddings: u32,
    },
    /// No rotation at all: for layers without positions.
    Still,
}

impl RopeScaling {
    /// [`LongRope`](Self::LongRope) of a model whose context was stretched from `original` to `longest` positions.
    pub fn long_rope(
        short_factor: Vec<f64>,
        attention_factor: Option<f64>,
        original: u32,
        longest: u32,
    ) -> RopeScaling {
        let ratio = f64::from(longest) / f64::from(original);
        let inferred = if ratio <= 1.0 { 1.0 } else { (1.0 + ratio.ln() / f64::from(original).ln()).sqrt() };
        let attention_factor = attention_factor.unwrap_or(inferred);
        RopeScaling::LongRope { short_factor, attention_factor, original_max_position_embeddings: original }
    }
}

/// `rope_scaling` and `rope_parameters`: transformers 4 writes the first, transformers 5 the second.
const SECTIONS: [&str; 2] = ["rope_scaling", "rope_parameters"];

impl Rope {
    /// Takes every key about rotary positions, from either format. All of a head must be rotated.
    pub fn take(keys: &mut ConfigReader) -> Result<Rope, CheckpointError> {
        let (rope, partial) = Rope::take_partial(keys)?;
        if partial != 1.0 {
            return Err(keys.unsupported("partial_rotary_factor", partial, "have 1 for this architecture"));
        }
        Ok(rope)
    }

    /// As [`take`](Self::take), and the share of a head that is rotated.
    pub fn take_partial(keys: &mut ConfigReader) -> Result<(Rope, f64), CheckpointError> {
        let mut theta = keys.take_opt_positive("rope_theta")?;
        let mut partial = keys.take_opt_positive("partial_rotary_factor")?;
        let gguf_scaling = take_gguf_scaling(keys)?;
        let [old, new] = [keys.take_opt_section(SECTIONS[0])?, keys.take_opt_section(SECTIONS[1])?];
        if old.is_some() && new.is_some() {
            return Err(keys.mismatch(SECTIONS[0], "given", "rope_parameters alone"));
        }
        let mut scaling = gguf_scaling;
        if let Some(mut section) = old.or(new) {
            theta = one_of(&mut section, "rope_theta", theta)?;
            partial = one_of(&mut section, "partial_rotary_factor", partial)?;
            scaling = take_section_scaling(keys, &mut section)?;
            section.finish()?;
        }
        let partial = partial.unwrap_or(1.0);
        if partial > 1.0 {
            return Err(keys.mismatch("partial_rotary_factor", partial, "at most 1"));
        }
        Ok((Rope { theta: theta.unwrap_or(DEFAULT_THETA), scaling }, partial))
    }

    /// Takes the rotary positions of layers with full attention and of those with a window, where they differ:
    /// `rope_local_base_freq` beside the usual keys in transformers 4 and GGUF, one section for each in transformers 5.
    /// Scaling applies to full attention only.
    pub fn take_pair(keys: &mut ConfigReader, default_theta: [f64; 2]) -> Result<[Rope; 2], CheckpointError> {
        let local_theta = keys.take_opt_positive("rope_local_base_freq")?;
        let local = Rope { theta: local_theta.unwrap_or(default_theta[1]), scaling: RopeScaling::None };
        if let Some(mut section) = keys.take_opt_section_of_sections("rope_parameters")? {
            let mut of = |name: &str| -> Result<Option<Rope>, CheckpointError> {
                let Some(mut inner) = section.take_opt_section(name)? else { return Ok(None) };
                let theta = inner.take_positive("rope_theta")?;
                let scaling = take_section_scaling(keys, &mut inner)?;
                inner.finish()?;
                Ok(Some(Rope { theta, scaling }))
            };
            let (full, sliding) = (of("full_attention")?, of("sliding_attention")?);
            section.finish()?;
            let full = full.unwrap_or(Rope { theta: default_theta[0], scaling: RopeScaling::None });
            return Ok([full, sliding.unwrap_or(local)]);
        }
        keys.set_default("rope_theta", default_theta[0]);
        Ok([Rope::take(keys)?, local])
    }
}

/// A number that may stand in a section, around it, or in both if they agree.
fn one_of(section: &mut ConfigReader, key: &str, outer: Option<f64>) -> Result<Option<f64>, CheckpointError> {
    let inner = section.take_opt_positive(key)?;
    match (inner, outer) {
        (Some(inner), Some(outer)) if inner != outer => {
            Err(section.mismatch(key, inner, format!("the {key} outside, {outer}, or none there")))
        }
        _ => Ok(inner.or(outer)),
    }
}

/// The scaling of `rope_scaling` or `rope_parameters`; `keys` are those around it.
fn take_section_scaling(
    keys: &mut ConfigReader,
    section: &mut ConfigReader,
) -> Result<RopeScaling, CheckpointError> {
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
        Some("dynamic") => {
            section.take_positive("factor")?;
            section.ignore(&["original_max_position_embeddings"]);
            Ok(RopeScaling::None)
        }
        Some("llama3") => take_llama3(section),
        Some("yarn") => take_yarn(keys, section),
        Some("longrope" | "su") => take_longrope(keys, section),
        Some(other) => Err(section.unsupported(
            "rope_type",
            quoted(other),
            "have \"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" and \"longrope\"",
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

fn take_yarn(keys: &mut ConfigReader, section: &mut ConfigReader) -> Result<RopeScaling, CheckpointError> {
    let factor = section.take_positive("factor")?;
    let beta_fast = section.take_opt_positive("beta_fast")?.unwrap_or(32.0);
    let beta_slow = section.take_opt_positive("beta_slow")?.unwrap_or(1.0);
    let truncate: bool = section.take_opt("truncate")?.unwrap_or(true);
    let mscales = [section.take_opt_positive("mscale")?, section.take_opt_positive("mscale_all_dim")?];
    let inferred = match mscales {
        [Some(one), Some(all)] => yarn_mscale(factor, one) / yarn_mscale(factor, all),
        _ => yarn_mscale(factor, 1.0),
    };
    let attention_factor = section.take_opt_positive("attention_factor")?.unwrap_or(inferred);
    let original_max_position_embeddings = take_original_context(keys, section)?;
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast,
        beta_slow,
        truncate,
        attention_factor,
        original_max_position_embeddings,
    })
}

/// What YaRN multiplies cosines and sines by, for contexts `factor` times as long.
pub(crate) fn yarn_mscale(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

/// The context before it was stretched: given here, around the section, or the model's own.
fn take_original_context(
    keys: &mut ConfigReader,
    section: &mut ConfigReader,
) -> Result<u32, CheckpointError> {
    const KEY: &str = "original_max_position_embeddings";
    let [inner, outer] = [section.take_opt_size(KEY)?, keys.take_opt_size(KEY)?];
    if let (Some(inner), Some(outer)) = (inner, outer)
        && inner != outer
    {
        return Err(section.mismatch(KEY, inner, format!("the {KEY} outside, {outer}, or none there")));
    }
    inner.or(outer).map_or_else(|| keys.peek_size("max_position_embeddings"), Ok)
}

fn take_longrope(
    keys: &mut ConfigReader,
    section: &mut ConfigReader,
) -> Result<RopeScaling, CheckpointError> {
    let short_factor: Vec<f64> = section.take("short_factor")?;
    // They count only in contexts that are refused.
    section.ignore(&["long_factor"]);
    if let Some(wrong) = short_factor.iter().find(|factor| !factor.is_finite() || **factor <= 0.0) {
        return Err(section.mismatch("short_factor", wrong, "finite numbers above 0"));
    }
    let original = take_original_context(keys, section)?;
    let longest = keys.peek_size("max_position_embeddings")?;
    let ratio = f64::from(longest) / f64::from(original);
    // Versions of the reference implementation differ in which one they take.
    if let Some(factor) = section.take_opt_positive("factor")?
        && (factor - ratio).abs() > 1e-6
    {
        let expected = format!("max_position_embeddings / original_max_position_embeddings, {ratio}");
        return Err(section.mismatch("factor", factor, expected));
    }
    let attention_factor = section.take_opt_positive("attention_factor")?;
    Ok(RopeScaling::long_rope(short_factor, attention_factor, original, longest))
}

/// The scaling of GGUF's `rope.scaling.*`. A factor without a type is linear there.
fn take_gguf_scaling(keys: &mut ConfigReader) -> Result<RopeScaling, CheckpointError> {
    // How the model was made: no part of the maths.
    keys.ignore(&["rope.scaling.finetuned"]);
    let name: Option<String> = keys.take_opt("rope.scaling.type")?;
    let original = keys.take_opt_size("rope.scaling.original_context_length")?;
    match name.as_deref() {
        Some("none" | "longrope") => {
            keys.expect("rope.scaling.factor", 1.0)?;
            Ok(RopeScaling::None)
        }
        None | Some("linear") => {
            let factor = keys.take_opt_positive("rope.scaling.factor")?;
            Ok(factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor }))
        }
        Some("yarn") => {
            let factor = keys.take_positive("rope.scaling.factor")?;
            keys.expect("rope.scaling.yarn_ext_factor", 1.0)?;
            keys.expect("rope.scaling.yarn_attn_factor", 1.0)?;
            let on_top = keys.take_opt_positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
            Ok(RopeScaling::Yarn {
                factor,
                beta_fast: keys.take_opt_positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.take_opt_positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                truncate: true,
                attention_factor: on_top * yarn_mscale(factor, 1.0),
                original_max_position_embeddings: match original {
                    Some(original) => original,
                    None => keys.peek_size("max_position_embeddings")?,
                },
            })
        }
        Some(other) => Err(keys.unsupported(
            "rope.scaling.type",
            quoted(other),
            "have \"none\", \"linear\", \"yarn\" and \"longrope\"",
        )),
    }
}
