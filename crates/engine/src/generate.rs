//! Text from a prompt: prefill, then decode steps in batches that run while the host reads the tokens of the batch before.

use crate::{Engine, EngineError, Sampling};
use resident_kernels::step::{NO_TOKEN, SequenceParams};
use resident_ledger::class;
use resident_models::StepBuffers;
use resident_plan::PlanId;
use resident_runtime::Ticket;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Decode steps in the first submission. With it a run makes at most one submission for eight tokens.
const FIRST_BATCH: u32 = 8;
/// The most decode steps in a submission.
const LARGEST_BATCH: u32 = 128;
/// A batch grows while it stays below this: how long a token may wait for the others of its batch.
const BATCH_TIME: Duration = Duration::from_millis(20);

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The prompt's ids.
    pub prompt: &'a [u32],
    /// How many tokens to generate at most.
    pub max_tokens: u32,
    /// How to choose them.
    pub sampling: &'a Sampling,
    /// Tokens that end the text.
    pub stop_tokens: &'a [u32],
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
    /// The caller had enough: a stop string, an interrupt.
    Caller,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Tokens of the prompt that were fed in.
    pub prompt_tokens: u64,
    /// Tokens of the prompt before those, which the cache held already.
    pub reused_tokens: u64,
    /// Tokens, a stop token included.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Until the first token was there.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// How long the decode steps kept the device busy, where submissions are timed.
    pub device_decode: Option<Duration>,
    /// Submissions that the prefill took.
    pub prefill_submits: u64,
    /// Times the host waited for the prefill.
    pub prefill_host_waits: u64,
}

impl Engine {
    /// Generates; `on_token` gets every token as the host learns of it and may break off.
    ///
    /// # Errors
    /// A request out of range, device errors, logits that are no numbers.
    pub fn generate(
        &mut self,
        request: &Request,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Generated, EngineError> {
        self.generate_from(0, request, on_token)
    }

    /// As [`generate`](Self::generate), but of the prompt only that is fed in which the cache does not hold from the
    /// generation before: the next turn of a conversation costs its new tokens.
    ///
    /// # Errors
    /// As those of `generate`.
    pub fn generate_next(
        &mut self,
        request: &Request,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Generated, EngineError> {
        let pairs = self.cached.iter().zip(request.prompt);
        let same = pairs.take_while(|(cached, wanted)| cached == wanted).count();
        // The last token is fed in anyway: the logits after it are nowhere kept.
        let reused = same.min(request.prompt.len().saturating_sub(1));
        let request = Request { prompt: &request.prompt[reused..], ..request.clone() };
        let generated = self.generate_from(reused as u32, &request, on_token)?;
        Ok(Generated { reused_tokens: reused as u64, ..generated })
    }

    /// As [`generate`](Self::generate), with the prompt at `first_position` behind whatever the cache holds.
    pub(crate) fn generate_from(
        &mut self,
        first_position: u32,
        request: &Request,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Generated, EngineError> {
        request.sampling.check()?;
        self.check_tokens(first_position, request.prompt)?;
        let vocab = self.config.vocab_size;
        if let Some(stop) = request.stop_tokens.iter().find(|id| **id >= vocab) {
            return Err(EngineError::Request(format!(
                "stop token {stop}: expected less than {vocab}, the vocabulary"
            )));
        }
        if request.max_tokens == 0 {
            return Err(EngineError::Request("max_tokens is 0, expected at least 1".into()));
        }
        let prompt_len = request.prompt.len() as u32;
        // The token at the last position is sampled but never fed back, so one more fits than the context holds.
        let next_position = first_position + prompt_len;
        let room = self.context - next_position + 1;
        let wanted = request.max_tokens.min(room);
        let params = request.sampling.params(next_position + wanted - 1, request.stop_tokens);

        let start = Instant::now();
        let waits_before = self.session.ledger().snapshot().after_seal.host_waits;
        let (first, prefill_submits) = self.prefill(first_position, request.prompt, params)?;
        // A device that works while it is being called has nothing to overlap: each token is told when it is there.
        let (ahead, steps) = if self.session.is_asynchronous() { (2, FIRST_BATCH) } else { (1, 1) };
        let mut run = Run { engine: self, batches: VecDeque::new(), ahead, submitted: 1, steps, wanted };
        run.batches.push_back((1, first));
        run.fill_queue()?;

        let mut tokens = Vec::new();
        let mut finish = None;
        let mut prefill = Duration::ZERO;
        let mut prefill_host_waits = 0;
        let mut last = start;
        let mut device_decode = None;
        while let Some((count, ticket)) = run.batches.pop_front() {
            run.engine.session.wait(ticket)?;
            let now = Instant::now();
            if tokens.is_empty() {
                prefill = now - start;
                prefill_host_waits =
                    run.engine.session.ledger().snapshot().after_seal.host_waits - waits_before;
            } else {
                run.adapt(count, now - last);
                if let Some(time) = run.engine.session.submission_time(ticket)? {
                    device_decode = Some(device_decode.unwrap_or_default() + time);
                }
            }
            last = now;
            for _ in 0..count {
                let token = run.engine.next_token();
                if token == NO_TOKEN {
                    run.engine.session.wait_idle()?;
                    return Err(EngineError::NonFinite { position: next_position - 1 + tokens.len() as u32 });
                }
                tokens.push(token);
                let broken_off = on_token(token).is_break();
                finish = if request.stop_tokens.contains(&token) {
                    Some(FinishReason::Stop)
                } else if broken_off {
                    Some(FinishReason::Caller)
                } else {
                    None
                };
                if finish.is_some() {
                    break;
                }
            }
            if finish.is_some() {
                break;
            }
            run.fill_queue()?;
        }
        self.session.wait_idle()?;
        // Every token but the last has been fed back and has its keys and values in the cache.
        if self.cached.len() == next_position as usize {
            self.cached.extend_from_slice(&tokens[..tokens.len() - 1]);
        }
        let full = if wanted < request.max_tokens { FinishReason::Context } else { FinishReason::Length };
        let decode = last - start - prefill;
        let finish = finish.unwrap_or(full);
        let prompt_tokens = prompt_len.into();
        Ok(Generated {
            prompt_tokens,
            reused_tokens: 0,
            tokens,
            finish,
            prefill,
            decode,
            device_decode,
            prefill_submits,
            prefill_host_waits,
        })
    }

    /// Sends the prompt in chunks; the last one samples the first token.
    fn prefill(
        &mut self,
        first_position: u32,
        prompt: &[u32],
        params: SequenceParams,
    ) -> Result<(Ticket, u64), EngineError> {
        let (mut done, mut submits) = (0, 0);
        loop {
            let rest = &prompt[done..];
            let (rows, plan) = self.prefill_plan(rest.len());
            let chunk = &rest[..rest.len().min(rows as usize)];
            let is_last = chunk.len() == rest.len();
            let params = (done == 0).then_some(params);
            let ticket = self.submit_rows(plan, chunk, first_position + done as u32, is_last, params)?;
            done += chunk.len();
            submits += 1;
            if is_last {
                return Ok((ticket, submits));
            }
        }
    }

    /// The next token of the ring.
    fn next_token(&mut self) -> u32 {
        let mut token = [0];
        let index = u64::from(self.ring_head % StepBuffers::RING_TOKENS);
        self.session.read_ring(self.handles.step.ring, index, &mut token, class::TOKENS);
        self.ring_head = self.ring_head.wrapping_add(1);
        token[0]
    }
}

/// The batches of one generation.
struct Run<'a> {
    engine: &'a mut Engine,
    /// Under way: tokens and ticket of each, oldest first.
    batches: VecDeque<(u32, Ticket)>,
    /// How many may be under way.
    ahead: usize,
    /// Tokens of all batches so far.
    submitted: u32,
    /// Decode steps of the next batch.
    steps: u32,
    /// Tokens to generate at most.
    wanted: u32,
}

impl Run<'_> {
    /// Keeps the device working while the host reads the batch before.
    fn fill_queue(&mut self) -> Result<(), EngineError> {
        while self.batches.len() < self.ahead && self.submitted < self.wanted {
            let steps = self.steps.min(self.wanted - self.submitted);
            let plans: Vec<PlanId> = vec![self.engine.decode; steps as usize];
            let ticket = self.engine.session.submit(&plans)?;
            self.batches.push_back((steps, ticket));
            self.submitted += steps;
        }
        Ok(())
    }

    /// Chooses the next batch's size after one of `count` steps took `time`.
    fn adapt(&mut self, count: u32, time: Duration) {
        if self.ahead == 1 {
            return;
        }
        let fitting = BATCH_TIME.as_secs_f64() / (time.as_secs_f64() / f64::from(count)).max(1e-9);
        self.steps = (fitting as u32).clamp(FIRST_BATCH, LARGEST_BATCH);
    }
}
