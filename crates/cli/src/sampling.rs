//! The sampling flags that commands share, and what stands of sampling in their reports.

use crate::exit::Usage;
use resident_engine::Sampling;
use resident_ledger::Generation;

/// All but temperature and top-p, whose defaults are each command's own.
#[derive(clap::Args)]
pub(crate) struct SamplingArgs {
    /// Only the K most likely tokens; 0 is off
    #[arg(long, default_value_t = 0, value_name = "K")]
    top_k: u32,
    /// Only tokens with at least this share of the most likely one's probability; 0 is off
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    min_p: f32,
    /// Above 1 makes tokens that were there already less likely; 1 is off
    #[arg(long, default_value_t = 1.0, value_name = "R")]
    repetition_penalty: f32,
    /// The same seed gives the same text
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
}

impl SamplingArgs {
    /// The parameters, each in its range.
    pub(crate) fn with(&self, temperature: f32, top_p: f32) -> Result<Sampling, Usage> {
        let Self { top_k, min_p, repetition_penalty, seed } = *self;
        let sampling = Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed };
        sampling.check().map_err(|e| Usage(e.to_string()))?;
        Ok(sampling)
    }
}

/// The parameters as a report has them.
pub(crate) fn report(sampling: &Sampling) -> Generation {
    let Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed } = *sampling;
    Generation {
        seed: Some(seed),
        temperature: Some(temperature.into()),
        top_k: Some(top_k.into()),
        top_p: Some(top_p.into()),
        min_p: Some(min_p.into()),
        repetition_penalty: Some(repetition_penalty.into()),
        ..Generation::default()
    }
}
