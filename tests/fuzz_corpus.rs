//! Every input that the fuzzer kept, every one that once broke something, and the messages of
//! RFC 4475 and RFC 5118, which are its seeds, hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test finds wrong ends it")]

#[path = "../fuzz/properties.rs"]
mod properties;

use std::path::Path;

fn replay(folder: &str, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        if std::panic::catch_unwind(|| property(&input)).is_err() {
            panic!("{} breaks a property", path.display());
        }
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn sip_messages_hold_their_properties() {
    replay("fuzz/corpus/sip_message", properties::sip_message);
    replay("tests/data/rfc4475", properties::sip_message);
    replay("tests/data/rfc5118", properties::sip_message);
}

#[test]
fn multipart_bodies_hold_their_properties() {
    replay("fuzz/corpus/multipart", properties::multipart);
}

#[test]
fn streams_hold_their_properties() {
    replay("fuzz/corpus/sip_framing", properties::sip_framing);
    // A message is a stream, too.
    replay("fuzz/corpus/sip_message", properties::sip_framing);
    replay("tests/data/rfc4475", properties::sip_framing);
}

#[test]
fn session_descriptions_hold_their_properties() {
    replay("fuzz/corpus/sdp", properties::sdp);
}
