//! What a capture server gets: read here by a reader of its own.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use super::*;

/// Chunks by vendor and type, as the specification says, and not as we write.
fn read(packet: &[u8]) -> BTreeMap<(u16, u16), Vec<u8>> {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(number(4)), packet.len());
    let mut chunks = BTreeMap::new();
    let mut at = 6;
    while at < packet.len() {
        let length = usize::from(number(at + 4));
        assert!(length >= 6 && at + length <= packet.len());
        let twice = chunks.insert((number(at), number(at + 2)), packet[at + 6..at + length].to_vec());
        assert_eq!(twice, None);
        at += length;
    }
    chunks
}

const MESSAGE: &str =
    "OPTIONS sip:x SIP/2.0\r\nVia: x\r\nCall-ID: own@h\r\nAuthorization: Digest response=\"abc\"\r\n\r\nbody";

fn settings(collector: SocketAddr) -> HepSettings {
    let (password, node) = (Some("geheim".to_owned()), "sbc1".to_owned());
    HepSettings { collector, id: 2_001, password, rtcp: true, node }
}

fn captured(source: &str, destination: &str) -> Captured {
    Captured {
        protocol: Protocol::Sip,
        at: UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_000),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        transport: Transport::Udp,
        message: Bytes::from_static(MESSAGE.as_bytes()),
        correlation: Some(Bytes::from_static(b"callers@h")),
    }
}

fn written(captured: &Captured) -> BTreeMap<(u16, u16), Vec<u8>> {
    let mut packet = Vec::new();
    write(&mut packet, &settings("192.0.2.9:9060".parse().unwrap()), captured).unwrap();
    read(&packet)
}

/// A collector, and what sends to it.
fn collecting(metrics: Arc<Metrics>) -> (UdpSocket, Capture) {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let capture = Capture::start(settings(collector.local_addr().unwrap()), metrics).unwrap();
    (collector, capture)
}

/// The next packet has these chunks and no other.
fn assert_next_is(collector: &UdpSocket, expected: &[(u16, &[u8])]) {
    let mut packet = [0; 2_048];
    let (length, _) = collector.recv_from(&mut packet).unwrap();
    let chunks = read(&packet[..length]);
    assert_eq!(chunks.len(), expected.len());
    for (kind, value) in expected {
        assert_eq!(chunks[&(0, *kind)], *value, "chunk {kind}");
    }
}

/// A receiver report without blocks.
fn reported() -> Captured {
    let message = Bytes::from_static(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
    Captured { protocol: Protocol::Rtcp, message, ..captured("10.0.0.9:4001", "10.0.0.5:10001") }
}

#[test]
fn a_collector_reads_what_arrives() {
    let (collector, capture) = collecting(Arc::new(Metrics::new().unwrap()));
    capture.send(captured("10.0.0.9:5060", "10.0.0.5:5061"));
    let expected: [(u16, &[u8]); 14] = [
        (1, &[2]),
        (2, &[17]),
        (3, &[10, 0, 0, 9]),
        (4, &[10, 0, 0, 5]),
        (7, &5_060u16.to_be_bytes()),
        (8, &5_061u16.to_be_bytes()),
        (9, &1_700_000_000u32.to_be_bytes()),
        (10, &123_456u32.to_be_bytes()),
        (11, &[1]),
        (12, &2_001u32.to_be_bytes()),
        (14, b"geheim"),
        (15, MESSAGE.as_bytes()),
        (17, b"callers@h"),
        (19, b"sbc1"),
    ];
    assert_next_is(&collector, &expected);
}

#[test]
fn addresses_are_of_one_family_whatever_the_listener_is_bound_to() {
    let v6 = written(&captured("[2001:db8::1]:5060", "[2001:db8::2]:5060"));
    assert_eq!((v6[&(0, 1)].as_slice(), v6[&(0, 5)].len(), v6[&(0, 6)].len()), (&[10][..], 16, 16));
    let mapped = written(&captured("[::ffff:192.0.2.1]:5060", "[::]:5060"));
    assert_eq!(mapped[&(0, 1)], [2]);
    assert_eq!((mapped[&(0, 3)].as_slice(), mapped[&(0, 4)].as_slice()), (&[192, 0, 2, 1][..], &[0; 4][..]));
    let stream =
        written(&Captured { transport: Transport::Tls, ..captured("10.0.0.9:5060", "10.0.0.5:5061") });
    assert_eq!(stream[&(0, 2)], [6]);
}

#[test]
fn a_message_of_no_call_is_known_by_its_own_call_id() {
    let own = written(&Captured { correlation: None, ..captured("10.0.0.9:5060", "10.0.0.5:5061") });
    assert_eq!(own[&(0, 17)], b"own@h");
    assert_eq!(call_id_of(b"INVITE x SIP/2.0\r\ni :  short@h \r\n\r\n"), Some(&b"short@h"[..]));
    for none in ["", "\r\n\r\n", "INVITE x\r\n\r\nCall-ID: in-the-body", "x\r\nCall-ID", "x\nno colon\n:\n"] {
        assert_eq!(call_id_of(none.as_bytes()), None, "{none:?}");
    }
}

#[test]
fn a_long_message_is_cut_and_no_more() {
    let long = Captured { message: Bytes::from(vec![b'x'; 65_535]), ..captured("10.0.0.9:1", "10.0.0.5:2") };
    assert_eq!(written(&long)[&(0, 15)].len(), PAYLOAD_MAX);
}

#[test]
fn who_never_reads_costs_a_bounded_queue_and_is_counted() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (capture, waiting) = unread(2, &metrics);
    for _ in 0..5 {
        capture.send(captured("10.0.0.9:1", "10.0.0.5:2"));
        capture.send(reported());
    }
    assert_eq!(waiting.try_iter().count(), 2);
    assert_eq!(dropped(&metrics, Protocol::Sip, 0), 4);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 0), 4);
}

fn unread(room: usize, metrics: &Arc<Metrics>) -> (Capture, Receiver<Captured>) {
    let (jobs, waiting) = sync_channel(room);
    let rtcp_waiting = Arc::default();
    (Capture { jobs, rtcp_waiting, takes_rtcp: true, metrics: Arc::clone(metrics) }, waiting)
}

/// What `/metrics` says was lost, the relay itself having lost so many of RTCP.
fn dropped(metrics: &Metrics, protocol: Protocol, copies_lost: u64) -> u64 {
    let relay = crate::telemetry::RelayTotals { copies_lost, ..Default::default() };
    let text = metrics.render(None, &relay).unwrap();
    let series =
        format!("drawbridge_hep_packets_total{{protocol=\"{}\",result=\"dropped\"}} ", protocol.as_str());
    text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_rtcp_leaves_room_for_sip() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (capture, waiting) = unread(WAITING_MAX, &metrics);
    for _ in 0..2 * WAITING_MAX {
        capture.send(reported());
    }
    for _ in 0..WAITING_MAX - RTCP_WAITING_MAX {
        capture.send(captured("10.0.0.9:1", "10.0.0.5:2"));
    }
    let kept = |protocol| waiting.try_iter().filter(move |captured| captured.protocol == protocol).count();
    assert_eq!(dropped(&metrics, Protocol::Sip, 0), 0);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 0), (2 * WAITING_MAX - RTCP_WAITING_MAX) as u64);
    assert_eq!(kept(Protocol::Rtcp), RTCP_WAITING_MAX);
}

#[test]
fn what_the_relay_lost_is_added_once_to_what_is_lost_here() {
    let metrics = Metrics::new().unwrap();
    metrics.count_hep(Protocol::Rtcp, false);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 5), 6);
    metrics.count_hep(Protocol::Rtcp, false);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 5), 7);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 7), 9);
    assert_eq!(dropped(&metrics, Protocol::Sip, 7), 0);
}

#[test]
fn rtcp_goes_as_json_of_type_five_under_the_id_of_its_call() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (collector, capture) = collecting(Arc::clone(&metrics));
    assert!(capture.takes_rtcp());
    // What reports nothing does not stop the next.
    capture.send(Captured { message: Bytes::from_static(b"no rtcp"), ..reported() });
    capture.send(reported());
    let expected: [(u16, &[u8]); 14] = [
        (1, &[2]),
        (2, &[17]),
        (3, &[10, 0, 0, 9]),
        (4, &[10, 0, 0, 5]),
        (7, &4_001u16.to_be_bytes()),
        (8, &10_001u16.to_be_bytes()),
        (9, &1_700_000_000u32.to_be_bytes()),
        (10, &123_456u32.to_be_bytes()),
        (11, &[5]),
        (12, &2_001u32.to_be_bytes()),
        (14, b"geheim"),
        (15, br#"{"ssrc":9,"type":201,"report_count":0,"report_blocks":[]}"#),
        (17, b"callers@h"),
        (19, b"sbc1"),
    ];
    assert_next_is(&collector, &expected);
    assert_eq!(dropped(&metrics, Protocol::Rtcp, 0), 1);
}

#[test]
fn the_password_is_never_printed() {
    let printed = format!("{:?}", settings("192.0.2.9:9060".parse().unwrap()));
    assert!(!printed.contains("geheim") && printed.contains('…'), "{printed}");
}
