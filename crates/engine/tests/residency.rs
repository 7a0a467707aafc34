//! The ledger's counts of whole runs, compared with a hand count of the plans.

mod common;

use common::{data, devices, load};
use resident_engine::{Engine, FinishReason, OpenModel, Request, Sampling};
use resident_ledger::{Counters, class};
use resident_runtime::Kind;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const LAYERS: u64 = 5;

fn stories() -> Option<OpenModel> {
    data("stories260K/gguf/stories260K-Q8_0.gguf").map(|path| OpenModel::open(&path).expect("model"))
}

fn generate(
    engine: &mut Engine,
    prompt: &[u32],
    max_tokens: u32,
    sampling: &Sampling,
    stop: &[u32],
) -> (Vec<u32>, FinishReason) {
    let request = Request { prompt, max_tokens, sampling, stop_tokens: stop };
    let generated = engine.generate(&request, &mut |_| ControlFlow::Continue(())).expect("generate");
    (generated.tokens, generated.finish)
}

fn hand_count(prefills: u64, decodes: u64) -> BTreeMap<String, u64> {
    // ffn_down stays f16 in this file: its rows of 172 are no multiple of 32.
    let per_step = prefills + decodes;
    BTreeMap::from(
        [
            ("load_rows", prefills),
            ("embed_q8_0", per_step),
            // qkv, o, gate_up of every layer, and the head.
            ("matvec_q8_0", decodes * (3 * LAYERS + 1) + prefills),
            ("matvec_f16", decodes * LAYERS),
            ("matmul_q8_0", prefills * 3 * LAYERS),
            ("matmul_f16", prefills * LAYERS),
            ("rms_norm", prefills * 2 * LAYERS),
            ("rope_kv_f32", prefills * LAYERS),
            ("attention_f32", prefills * LAYERS),
            ("attention_f32_rope", decodes * LAYERS),
            ("gather_rows", prefills),
            ("penalties", per_step),
            ("argmax", per_step),
            ("sample", per_step),
        ]
        .map(|(kernel, count)| (kernel.to_owned(), count)),
    )
}

#[test]
fn a_run_of_128_tokens_leaves_the_device_alone() {
    let Some(model) = stories() else { return };
    for choice in devices() {
        let mut engine = load(&model, &choice, 160, false);
        let prompt = [1, 403, 407, 261, 378];
        let (tokens, finish) = generate(&mut engine, &prompt, 128, &Sampling::default(), &[]);
        assert_eq!((tokens.len(), finish), (128, FinishReason::Length));
        assert!(engine.validation_messages().is_empty(), "{:#?}", engine.validation_messages());
        let counters = engine.ledger().snapshot().after_seal;
        let expected = hand_count(1, 127);
        if choice.kind() == Kind::Cpu {
            assert_eq!(counters, Counters { cpu_ops: expected, ..Counters::default() });
            continue;
        }
        assert_eq!(counters.dispatches, expected);
        assert_eq!(counters.readback_bytes, BTreeMap::from([(class::TOKENS.to_owned(), 4 * 128)]));
        let slot_bytes = 16 + 96 + 16 * prompt.len() as u64;
        assert_eq!(counters.upload_bytes, BTreeMap::from([("inputs".to_owned(), slot_bytes)]));
        let Counters { allocations, pipeline_creations, recordings, descriptor_writes, cpu_ops, .. } =
            &counters;
        assert_eq!((*allocations, *pipeline_creations, *recordings, *descriptor_writes), (0, 0, 0, 0));
        assert!(cpu_ops.is_empty());
        assert!(
            counters.submits <= 1 + 127u64.div_ceil(8) && counters.host_waits <= counters.submits + 1,
            "{counters:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_text_on_every_device() {
    let Some(model) = stories() else { return };
    let sampling =
        Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, min_p: 0.02, repetition_penalty: 1.1, seed: 3 };
    let mut texts = Vec::new();
    for choice in devices() {
        let mut engine = load(&model, &choice, 128, false);
        let first = generate(&mut engine, &[1, 403], 60, &sampling, &[]).0;
        let again = generate(&mut engine, &[1, 403], 60, &sampling, &[]).0;
        assert_eq!(first, again, "{}", choice.kind());
        let other = generate(&mut engine, &[1, 403], 60, &Sampling { seed: 4, ..sampling.clone() }, &[]).0;
        assert_ne!(first, other, "{}", choice.kind());
        texts.push(first);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
}

#[test]
fn stop_tokens_the_context_and_the_caller_end_a_text_and_the_next_one_is_unharmed() {
    let Some(model) = stories() else { return };
    for choice in devices() {
        let mut engine = load(&model, &choice, 64, false);
        let greedy = Sampling::default();
        let (whole, _) = generate(&mut engine, &[1], 40, &greedy, &[]);
        // The first token that did not occur before, so that it stops the text at its own place.
        let (at, stop) =
            whole.iter().enumerate().skip(5).find(|(i, t)| !whole[..*i].contains(t)).expect("a new token");
        let (stopped, finish) = generate(&mut engine, &[1], 40, &greedy, &[*stop]);
        assert_eq!((stopped.as_slice(), finish), (&whole[..=at], FinishReason::Stop), "{}", choice.kind());

        let request = Request { prompt: &[1], max_tokens: 40, sampling: &greedy, stop_tokens: &[] };
        let mut seen = 0;
        let broken_off = engine
            .generate(&request, &mut |_| {
                seen += 1;
                if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .expect("generate");
        assert_eq!((broken_off.tokens.as_slice(), broken_off.finish), (&whole[..3], FinishReason::Caller));

        assert_eq!(generate(&mut engine, &[1], 40, &greedy, &[]), (whole.clone(), FinishReason::Length));
        let (full, finish) = generate(&mut engine, &[1], 1000, &greedy, &[]);
        assert_eq!((full.len(), finish), (64, FinishReason::Context), "{}", choice.kind());
        assert_eq!(full[..40], whole);
    }
}

#[test]
fn a_prompt_of_several_chunks_continues_as_one_fed_token_by_token() {
    let Some(model) = stories() else { return };
    let prompt: Vec<u32> = (0..500).map(|i| 3 + (i * 7919) % 500).collect();
    for choice in devices() {
        let mut engine = load(&model, &choice, 512, true);
        let (tokens, _) = generate(&mut engine, &prompt, 4, &Sampling::default(), &[]);
        let logits = engine.score(&prompt).expect("score");
        let last = &logits[logits.len() - 512..];
        let best = (0..512).max_by(|a, b| last[*a].total_cmp(&last[*b])).expect("512 logits") as u32;
        assert_eq!(tokens[0], best, "{}", choice.kind());
    }
}
