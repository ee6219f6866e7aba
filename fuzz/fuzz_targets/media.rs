#![no_main]

#[path = "../media.rs"]
mod media;

libfuzzer_sys::fuzz_target!(|data: &[u8]| media::media(data));
