//! Fit before load: the plan's account of memory against what loading really takes, and refusals at a budget of our own.

mod common;

use common::devices;
use resident_engine::{Engine, EngineError, EngineOptions, KvType, OpenModel, TooLarge};
use resident_runtime::{Choice, Kind, SessionOptions};

static GGUF: &[u8] = include_bytes!("../../../assets/default.gguf");
const CONTEXT: u32 = 512;

fn model() -> OpenModel {
    OpenModel::embedded("stories", GGUF).expect("the embedded model")
}

fn options(context: u32, memory_bytes: Option<u64>) -> EngineOptions {
    let session = SessionOptions { validation: false, ..SessionOptions::default() };
    EngineOptions { memory_bytes, session, ..EngineOptions::fast(context) }
}

#[track_caller]
fn refused(model: &OpenModel, choice: &Choice, options: EngineOptions) -> TooLarge {
    let loaded = Engine::load(model, choice, options, &mut |_, _| panic!("a weight was loaded"));
    match loaded {
        Err(EngineError::TooLarge(refusal)) => *refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was loaded"),
    }
}

#[test]
fn what_is_planned_is_what_loading_allocates() {
    for choice in devices() {
        let planned = model().plan(&choice, &options(CONTEXT, None)).expect("a plan");
        assert!(planned.fit.fits() && planned.alternatives.is_empty());
        assert_eq!((planned.longest_context, planned.fit.context), (Some(CONTEXT), CONTEXT));
        let engine =
            Engine::load(&model(), &choice, options(CONTEXT, None), &mut |_, _| ()).expect("it fits");
        assert_eq!(engine.weight_bytes(), planned.fit.weight_bytes);
        assert_eq!(engine.parameters(), planned.parameters);
        if choice.kind() == Kind::Cpu {
            continue;
        }
        // Of the memory that the host sees only what lies in the device's own is planned; its blocks are small.
        let allocated = engine.ledger().snapshot().before_seal.allocated_bytes;
        let planned = planned.fit.total_bytes();
        assert!(
            allocated.abs_diff(planned) < 40 << 20,
            "{allocated} bytes were allocated, {planned} planned"
        );
    }
}

#[test]
fn one_byte_too_few_is_refused_with_what_would_fit() {
    for choice in devices() {
        let needed = model().plan(&choice, &options(CONTEXT, None)).expect("a plan").fit.total_bytes();
        let exact = options(CONTEXT, Some(needed));
        assert!(model().plan(&choice, &exact).expect("a plan").fit.fits());
        Engine::load(&model(), &choice, exact, &mut |_, _| ()).expect("it fits to the byte");

        // Far too little for the weights alone, and nothing was loaded to find that out.
        let refusal = refused(&model(), &choice, options(CONTEXT, Some(1 << 20)));
        let text = refusal.to_string();
        for row in ["weights (q8_0)", "KV cache (f16, 512 positions)", "work space", "in all", "available"] {
            assert!(text.contains(row), "{row}: {text}");
        }
        assert!(refusal.alternatives.is_empty() && text.contains("use a smaller model"), "{text}");
    }
}

#[test]
fn the_longest_context_is_the_longest() {
    let cpu = &devices()[0];
    let need = |context| model().plan(cpu, &options(context, None)).expect("a plan").fit.total_bytes();
    let budget = Some(need(1).midpoint(need(CONTEXT)));
    let refusal = refused(&model(), cpu, options(CONTEXT, budget));
    let shorter = &refusal.alternatives[0];
    assert_eq!(shorter.change, "a shorter context");
    assert!((1..CONTEXT).contains(&shorter.context), "{refusal}");
    assert!(Some(shorter.total_bytes) <= budget);
    refused(&model(), cpu, options(shorter.context + 1, budget));
    Engine::load(&model(), cpu, options(shorter.context, budget), &mut |_, _| ())
        .expect("what is proposed fits");
}

#[test]
fn types_and_cache_are_proposed_where_they_help() {
    let cpu = &devices()[0];
    let wide = |memory_bytes| EngineOptions { kv_type: KvType::F32, ..options(CONTEXT, memory_bytes) };
    let needed = model().plan(cpu, &wide(None)).expect("a plan").fit.total_bytes();
    let refusal = refused(&model(), cpu, wide(Some(needed - 1)));
    let changes: Vec<&str> = refusal.alternatives.iter().map(|other| other.change.as_str()).collect();
    // The model is q8_0 already.
    assert_eq!(changes, ["a shorter context", "--kv-cache f16", "--weights q4"]);
    assert!(refusal.alternatives[1..].iter().all(|other| other.context == CONTEXT), "{refusal}");

    let nothing = refused(&model(), cpu, wide(Some(1 << 20)));
    assert!(nothing.alternatives.is_empty());
    assert!(nothing.to_string().contains("use a smaller model"), "{nothing}");
    let synthetic = OpenModel::synthetic("synth:smollm2-135m:bf16".parse().expect("a shape"));
    let plan = synthetic.plan(cpu, &options(CONTEXT, Some(400 << 20))).expect("a plan");
    let changes: Vec<&str> = plan.alternatives.iter().map(|other| other.change.as_str()).collect();
    assert!(changes.contains(&"-m synth:smollm2-135m:q4_0"), "{changes:?} {}", plan.fit);
}
