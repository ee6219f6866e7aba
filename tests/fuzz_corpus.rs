//! Every input that the fuzzer kept, every one that once broke something, and the messages of
//! RFC 4475 and RFC 5118, which are its seeds, hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test finds wrong ends it")]

#[path = "../fuzz/engine.rs"]
mod engine;
#[path = "../fuzz/media.rs"]
mod media;
#[path = "../fuzz/properties.rs"]
mod properties;

use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn replay(name: &str, property: fn(&[u8])) {
    let folder = folder(name);
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

#[test]
fn datagrams_on_media_ports_hold_their_properties() {
    replay("fuzz/corpus/media", media::media);
    // What is no script of packets is one, too.
    replay("fuzz/corpus/engine", media::media);
}

#[test]
fn the_engine_comes_to_an_end_whatever_was_said_to_it() {
    replay("fuzz/corpus/engine", |input| drop(engine::engine(input)));
}

/// A fuzzer that begins with calls that go nowhere finds nothing. With `DRAWBRIDGE_WRITE_SEEDS` set,
/// the files are written.
#[test]
fn the_seeds_of_the_engine_get_where_their_names_say() {
    for seed in engine::seeds::seeds() {
        let records = engine::engine(&seed.bytes);
        let statuses: Vec<u16> = records.iter().map(|record| record.status).collect();
        assert_eq!(statuses.len(), seed.records, "{}: {statuses:?}", seed.name);
        assert!(statuses.first().is_none_or(|status| *status == seed.status), "{}: {statuses:?}", seed.name);
        let file = folder("fuzz/corpus/engine").join(format!("seed-{}", seed.name));
        if std::env::var_os("DRAWBRIDGE_WRITE_SEEDS").is_some() {
            std::fs::write(&file, &seed.bytes).unwrap();
        }
        assert!(std::fs::read(&file).is_ok_and(|bytes| bytes == seed.bytes), "{} is old", file.display());
    }
}
