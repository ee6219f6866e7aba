//! The cost of reading a 1 kB INVITE with 14 headers: under 1 µs, without the heap (the latter is
//! asserted by `tests/sip_alloc.rs`).

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drawbridge::sdp::{OurOrigin, Rewrite, Sdp, StreamRewrite};
use drawbridge::sip::Message;

const INVITE: &[u8] = include_bytes!("invite.sip");

fn sip_parse(criterion: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE);
    let mut group = criterion.benchmark_group("invite");
    group.throughput(Throughput::Bytes(INVITE.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Message::parse(black_box(bytes.clone())));
    });
    let Ok(message) = Message::parse(bytes.clone()) else { return };
    let body = message.body();
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("sdp_parse_and_rewrite", |bencher| {
        let address = [203, 0, 113, 5].into();
        let rewrite = Rewrite {
            origin: OurOrigin { session_id: 1, version: 1, address },
            streams: vec![StreamRewrite::Relay { address, rtp_port: 10_000, rtcp_port: 10_001 }],
            codecs: &[],
            offer: &[],
        };
        bencher.iter(|| Sdp::parse(black_box(&body)).map(|sdp| sdp.rewrite(&rewrite)));
    });
    group.finish();
}

criterion_group!(benches, sip_parse);
criterion_main!(benches);
