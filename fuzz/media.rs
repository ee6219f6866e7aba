//! What must hold for any datagrams at all that reach a call's ports: the relay's decisions, what is
//! measured, RTCP that is read, silence that is told. A script of packets on virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use drawbridge::base::Instant;
use drawbridge::media::{
    DirectionReport, Forward, MediaSession, PortKind, RemoteMedia, Side, SilenceLimits, StreamKind,
};
use drawbridge::rtp::{RtcpPacket, RtcpReport};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: SilenceLimits = SilenceLimits {
    nothing: Duration::from_secs(60),
    one_way: SilenceLimits::ONE_WAY,
    one_way_end: Duration::from_secs(10),
    hold: Duration::from_secs(60),
};

/// Where the peers are, and a stranger.
const A: &str = "10.0.0.9:4000";
const B: &str = "203.0.113.7:6000";
const STRANGER: &str = "192.0.2.66:4000";

/// A script: each packet stands behind a byte that says to which port it comes and from whom, one that
/// says how long after the last, and one for its length. Nothing panics, no packet of a stranger
/// crosses, and what is measured is possible.
pub fn media(data: &[u8]) {
    let [a, b, stranger] = [A, B, STRANGER].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let mut now = Instant::ZERO;
    let mut media = MediaSession::new(now);
    media.add_stream();
    let mut received = 0u64;
    let is_secured = data.first().is_some_and(|first| first & 1 != 0);
    for (side, rtp) in [(Side::A, a), (Side::B, b)] {
        let kind = if is_secured { StreamKind::SecuredRtp } else { StreamKind::Rtp };
        let remote = RemoteMedia { kind, ..RemoteMedia::plain(rtp, rtp.ip()) };
        media.set_remote(0, side, Some(remote), now);
    }
    media.set_answered(now);
    let mut rest = data.get(1..).unwrap_or_default();
    while let [what, pause, length, after @ ..] = rest {
        let (packet, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now = now + Duration::from_millis(u64::from(*pause) * 4);
        let side = if what & 1 == 0 { Side::A } else { Side::B };
        let port = if what & 2 == 0 { PortKind::Rtp } else { PortKind::Rtcp };
        let peer = if side == Side::A { a } else { b };
        let from_peer = SocketAddr::new(peer.ip(), peer.port() + u16::from(port == PortKind::Rtcp));
        let source = if what & 4 == 0 { from_peer } else { stranger };
        if what & 8 != 0 {
            media.set_hold(what & 16 != 0, now);
        }
        let verdict = media.receive((0, side, port), source, packet, now).expect("the stream is there");
        assert!(source != stranger || matches!(verdict.forward, Forward::Drop(_)), "a stranger is heard");
        if verdict.has_report {
            assert!(!is_secured && source != stranger, "what cannot be read, or is a stranger's, is told");
            let packet = RtcpPacket::parse(packet).expect("it was taken for RTCP");
            // A report may be too short to say whose it is.
            let report = RtcpReport::read(&packet);
            assert!(report.is_none_or(|report| report.blocks.len() <= 31 && report.items.len() <= 16));
        }
        received += 1;
        let mut told = 0;
        media.look(&LIMITS, now, |_| told += 1);
        assert!(told <= 3, "one look tells of each silence once");
    }
    let report = media.report();
    check(&report.from_a, received, now);
    check(&report.from_b, received, now);
}

fn check(report: &DirectionReport, received: u64, now: Instant) {
    assert!(report.lost <= report.expected, "more is lost than was expected");
    assert!(report.packets <= received && report.dropped <= received);
    assert!(report.duplicates + report.reordered <= received);
    assert!(report.jitter_ms >= 0.0 && report.jitter_max_ms.is_finite());
    assert!(report.jitter_ms <= report.jitter_max_ms + 1e-6);
    assert!(report.mos.is_none_or(|mos| (1.0..=4.5).contains(&mos)), "{:?}", report.mos);
    assert!(report.one_way <= now.since(Instant::ZERO) + SECOND);
    if let Some(rtcp) = &report.rtcp {
        assert!((0.0..=1.0).contains(&rtcp.loss) && rtcp.jitter_ms.is_finite());
        assert!(rtcp.discarded.is_none_or(|share| (0.0..=1.0).contains(&share)));
        let longest = now.since(Instant::ZERO).as_secs_f64() * 1_000.0;
        assert!(rtcp.round_trip_ms.is_none_or(|trip| (0.0..=longest).contains(&trip)));
    }
}
