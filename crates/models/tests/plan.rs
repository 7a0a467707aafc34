//! The decode plan of the embedded model as text: what a change to layers, kernels or barriers does to it shows in a diff.

use resident_kernels::DeviceTraits;
use resident_kernels::rope_kv::KvType;
use resident_models::checkpoint::Checkpoint;
use resident_models::{Executor, Model, Shape};
use std::path::Path;

#[test]
fn the_decode_plans_of_the_embedded_model() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/default.gguf"));
    let checkpoint = Checkpoint::open(path).expect("the embedded model");
    let shape = Shape {
        context: 512,
        max_sequences: 1,
        prefill_rows: vec![64],
        score_rows: None,
        pooling: None,
        kv_type: KvType::F32,
        executors: vec![Executor::Barriers, Executor::Handover],
        max_buffer_bytes: u64::MAX,
        device: DeviceTraits::LEAST,
    };
    let model = Model::build(&checkpoint, None, shape).expect("model");
    // Vulkan grants no more than 128 bytes.
    for step in model.program.plans.iter().flat_map(|plan| &plan.steps) {
        let push = step.dispatch.push_constants(|_| 0).len();
        assert!(
            push <= 128,
            "{} of {}: {push} bytes of push constants",
            step.label,
            step.dispatch.kernel.name
        );
    }
    for (executor, plan) in model.handles.decode {
        let text = model.program.display(plan).to_string();
        // The layers are alike: the first one, and what stands around them.
        let first = text.lines().take_while(|line| !line.contains("layers.1."));
        let rest = text.lines().skip_while(|line| !line.contains("lm_head"));
        let text = first.chain(["..."]).chain(rest).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(format!("decode_plan_{}", executor.name()), text);
    }
}
