//! Turns of a conversation: what the KV cache holds already is not fed in again, and changes nothing.

mod common;

use common::{data, devices, load};
use resident_engine::{Engine, FinishReason, Generated, OpenModel, Request, Sampling};
use std::ops::ControlFlow;

struct Model {
    engine: Engine,
    sampling: Sampling,
}

impl Model {
    /// One generation of at most `count` tokens that breaks off after `stop_after`.
    fn turn(&mut self, prompt: &[u32], count: u32, stop_after: usize, reuses: bool) -> Generated {
        let request = Request { prompt, max_tokens: count, sampling: &self.sampling, stop_tokens: &[] };
        let mut seen = 0;
        let mut on_token = |_| {
            seen += 1;
            if seen == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match reuses {
            true => self.engine.generate_next(&request, &mut on_token).unwrap(),
            false => self.engine.generate(&request, &mut on_token).unwrap(),
        }
    }

    /// The turn's tokens with the cache's help are those without, and this many came out of the cache.
    fn check(&mut self, prompt: &[u32], reused: usize) -> Vec<u32> {
        let turn = self.turn(prompt, 24, usize::MAX, true);
        assert_eq!((turn.reused_tokens, turn.prompt_tokens), (reused as u64, (prompt.len() - reused) as u64));
        let afresh = self.turn(prompt, 24, usize::MAX, false);
        assert_eq!((afresh.reused_tokens, afresh.prompt_tokens), (0, prompt.len() as u64));
        assert_eq!(turn.tokens, afresh.tokens);
        turn.tokens
    }
}

#[test]
fn only_new_tokens_are_prefilled() {
    let Some(path) = data("stories260K/gguf/stories260K-F32.gguf") else { return };
    let open = OpenModel::open(&path).unwrap();
    let tokenizer = open.tokenizer().unwrap();
    let ids = |text: &str, begins| tokenizer.encode(text, begins).unwrap();
    for choice in devices() {
        // The penalty looks at the tokens of earlier turns too.
        let sampling = Sampling { repetition_penalty: 1.2, ..Sampling::default() };
        let mut model = Model { engine: load(&open, &choice, 256, false), sampling };
        let first = ids("Once upon a time there was a little girl named Lily.", true);
        let answer = model.check(&first, 0);
        // The answer's last token was never fed back.
        let second = [&first[..], &answer, &ids(" Then she met a dog.", false)].concat();
        let answer = model.check(&second, first.len() + answer.len() - 1);
        let third = [&second[..], &answer[..5], &ids("!", false)].concat();
        model.check(&third, second.len() + 5);
        // The same prompt again: its last token must be fed in for its logits.
        model.check(&third, third.len() - 1);
        model.check(&ids("One day", true), 1 + usize::from(first[1] == ids("One day", true)[1]));
        model.check(&ids("Tom", true)[..1], 0);
    }
}

#[test]
fn an_answer_that_was_broken_off_can_be_followed() {
    let Some(path) = data("stories260K/gguf/stories260K-F32.gguf") else { return };
    let open = OpenModel::open(&path).unwrap();
    let tokenizer = open.tokenizer().unwrap();
    for choice in devices() {
        let mut model = Model { engine: load(&open, &choice, 256, false), sampling: Sampling::default() };
        let prompt = tokenizer.encode("Once upon a time", true).unwrap();
        let broken = model.turn(&prompt, 200, 7, true);
        assert_eq!((broken.tokens.len(), broken.finish), (7, FinishReason::Caller));
        let next = [&prompt[..], &broken.tokens, &tokenizer.encode(" big", false).unwrap()].concat();
        model.check(&next, prompt.len() + 6);
    }
}
