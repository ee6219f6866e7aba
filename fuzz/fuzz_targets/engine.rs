#![no_main]

#[path = "../engine.rs"]
#[allow(dead_code, reason = "the seeds are the tests' business")]
mod engine;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    engine::engine(data);
});
