//! Measures prefill and decode of a resident model: the same plans, submissions and readbacks as a real run.

use crate::{Engine, EngineError, Generated, Request, Sampling};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Tokens generated before each timed series: clocks rise, caches fill.
const WARM_UP_TOKENS: u32 = 64;

/// Repeated measurements of one thing.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Series {
    /// `prefill 512`, `decode at 4096`.
    pub name: String,
    /// Tokens of one repetition.
    pub tokens: u32,
    /// Tokens a second of each repetition, ascending.
    pub tokens_per_second: Vec<f64>,
    /// Share of the time in which the device was busy, of all repetitions together; absent where submissions are not timed,
    /// and of prefill, whose single submission the host waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_share: Option<f64>,
}

impl Series {
    fn of(name: String, tokens: u32, times: &[Duration]) -> Self {
        let mut tokens_per_second: Vec<f64> =
            times.iter().map(|t| f64::from(tokens) / t.as_secs_f64()).collect();
        tokens_per_second.sort_by(f64::total_cmp);
        Self { name, tokens, tokens_per_second, device_share: None }
    }

    /// The slowest repetition.
    pub fn min(&self) -> f64 {
        self.tokens_per_second.first().copied().unwrap_or(0.0)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.tokens_per_second.get(self.tokens_per_second.len() / 2).copied().unwrap_or(0.0)
    }

    /// The fastest one.
    pub fn max(&self) -> f64 {
        self.tokens_per_second.last().copied().unwrap_or(0.0)
    }
}

/// Time of one kind of step in a profiled replay.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Phase {
    /// The part of the model without its layer: `qkv_proj`.
    pub label: String,
    /// The kernel.
    pub kernel: String,
    /// Steps of this kind.
    pub steps: u32,
    /// Their time together.
    pub nanoseconds: u64,
}

impl Engine {
    /// Decodes `tokens` tokens behind `depth` positions of context, `repeat` times after a warm-up.
    ///
    /// # Errors
    /// Device errors, a depth beyond the context.
    pub fn bench_decode(&mut self, depth: u32, tokens: u32, repeat: u32) -> Result<Series, EngineError> {
        self.decode_once(depth, WARM_UP_TOKENS.min(self.context - depth))?;
        let runs = (0..repeat).map(|_| self.decode_once(depth, tokens + 1)).collect::<Result<Vec<_>, _>>()?;
        let times: Vec<Duration> = runs.iter().map(|run| run.decode).collect();
        let device: Option<Duration> = runs.iter().map(|run| run.device_decode).sum();
        let wall: Duration = times.iter().sum();
        let device_share = device.map(|time| (time.as_secs_f64() / wall.as_secs_f64()).min(1.0));
        Ok(Series { device_share, ..Series::of(format!("decode at {depth}"), tokens, &times) })
    }

    fn decode_once(&mut self, depth: u32, tokens: u32) -> Result<Generated, EngineError> {
        let sampling = Sampling::default();
        let request = Request { prompt: &[0], max_tokens: tokens, sampling: &sampling, stop_tokens: &[] };
        self.generate_from(depth, &request, &mut |_| ControlFlow::Continue(()))
    }

    /// Prefills a prompt of `tokens` tokens, `repeat` times after a warm-up: until the first token is there.
    ///
    /// # Errors
    /// Device errors, a prompt longer than the context.
    pub fn bench_prefill(&mut self, tokens: u32, repeat: u32) -> Result<Series, EngineError> {
        let vocab = self.config.vocab_size;
        let prompt: Vec<u32> = (0..tokens).map(|i| i.wrapping_mul(7919) % vocab).collect();
        let sampling = Sampling::default();
        let request = Request { prompt: &prompt, max_tokens: 1, sampling: &sampling, stop_tokens: &[] };
        let mut once = || Ok(self.generate(&request, &mut |_| ControlFlow::Continue(()))?.prefill);
        once()?;
        let times = (0..repeat).map(|_| once()).collect::<Result<Vec<_>, EngineError>>()?;
        Ok(Series::of(format!("prefill {tokens}"), tokens, &times))
    }

    /// The time of each kind of step of one decode replay behind `depth` positions, longest first.
    ///
    /// # Errors
    /// Device errors.
    ///
    /// # Panics
    /// If the engine was loaded without `SessionOptions::profile`.
    pub fn profile_decode(&mut self, depth: u32) -> Result<Vec<Phase>, EngineError> {
        // Rows for the replay: one token at the depth, sampled but not stopped.
        self.decode_once(depth, WARM_UP_TOKENS.min(self.context - depth))?;
        let params = Sampling::default().params(u32::MAX, &[]);
        let (_, plan) = self.prefill_plan(1);
        let ticket = self.submit_rows(plan, &[0], depth, true, Some(params))?;
        self.session.wait(ticket)?;
        let decode = self.decode;
        let mut phases: BTreeMap<(String, &str), (u32, u64)> = BTreeMap::new();
        for time in self.session.profile(decode)? {
            let label = time.label.rsplit('.').next().unwrap_or(time.label).to_owned();
            let phase = phases.entry((label, time.kernel)).or_default();
            *phase = (phase.0 + 1, phase.1 + time.nanoseconds);
        }
        let mut phases: Vec<Phase> = phases
            .into_iter()
            .map(|((label, kernel), (steps, nanoseconds))| Phase {
                label,
                kernel: kernel.to_owned(),
                steps,
                nanoseconds,
            })
            .collect();
        phases.sort_by_key(|phase| std::cmp::Reverse(phase.nanoseconds));
        Ok(phases)
    }
}
