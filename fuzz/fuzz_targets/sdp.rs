#![no_main]

#[path = "../properties.rs"]
#[allow(dead_code, reason = "shared with the other targets and with tests")]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::sdp(data));
