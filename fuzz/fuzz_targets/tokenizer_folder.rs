#![no_main]

#[allow(dead_code)]
#[path = "../../crates/engine/tests/fuzz_corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::tokenizer_folder(bytes));
