//! The page of one call as it is served.

use expect_test::expect_file;

use super::*;
use crate::admin::golden;
use crate::b2bua::{
    AttemptResult, CallEnd, CallPhase, CallReport, Direction, EndedBy, LadderReport, Outcome,
};
use crate::base::{Hop, ListenerId, Realm, Transport};
use crate::media::{DirectionReport, LiveDirection, LiveStream, MediaReport, StreamKind};
use crate::sip::Message;

struct Bench {
    clock: Clock,
    now: Instant,
}

impl Bench {
    fn ago(&self, millis: u64) -> Instant {
        Instant::from_micros(self.now.as_micros().saturating_sub(millis * 1_000))
    }

    fn message(
        &self,
        leg: Side,
        direction: Direction,
        millis: u64,
        start: &str,
        cseq: &str,
    ) -> LadderMessage {
        let text = format!(
            "{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n\
             Call-ID: one\r\nCSeq: {cseq}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(text.into()).unwrap();
        let (peer, realm) = match leg {
            Side::A => ("10.0.0.9:5060", Realm::Trusted),
            Side::B => ("192.0.2.1:5060", Realm::Untrusted),
        };
        let hop = Hop::new(ListenerId(0), Transport::Udp, peer.parse().unwrap());
        let mut noted = LadderMessage::of(self.ago(millis), (hop, realm), &message, direction);
        noted.leg = leg;
        noted
    }

    fn ladder(&self) -> LadderReport {
        let uri = "sip:+442079460000@10.0.0.5 SIP/2.0";
        let mut again = self.message(Side::A, Direction::In, 61_500, &format!("INVITE {uri}"), "1 INVITE");
        again.is_retransmission = true;
        let messages = vec![
            self.message(Side::A, Direction::In, 62_000, &format!("INVITE {uri}"), "1 INVITE"),
            self.message(Side::A, Direction::Out, 61_999, "SIP/2.0 100 Trying", "1 INVITE"),
            again,
            self.message(
                Side::B,
                Direction::Out,
                61_400,
                "INVITE sip:+442079460000@carrier.example SIP/2.0",
                "1 INVITE",
            ),
            self.message(Side::B, Direction::In, 61_000, "SIP/2.0 180 Ringing", "1 INVITE"),
            self.message(Side::A, Direction::Out, 60_999, "SIP/2.0 180 Ringing", "1 INVITE"),
        ];
        LadderReport { messages, dropped: 3, gap_after: 4 }
    }

    fn page(&self) -> CallPage {
        let leg = |realm, trunk: Option<&str>, remote: &str| ReportedLeg {
            realm,
            trunk: trunk.map(Into::into),
            remote: remote.parse().unwrap(),
        };
        let dialog = |remote: &str, local: &str| LegPage {
            remote: remote.parse().unwrap(),
            transport: Transport::Udp,
            local: local.to_owned(),
            call_id: format!("call-of-{remote}"),
            local_tag: "ours".to_owned(),
            remote_tag: Some("theirs".to_owned()),
            remote_target: Some(format!("sip:someone@{remote}")),
            route_set: 0,
            local_sequence: 1,
            remote_sequence: None,
            session_timer: Some((Duration::from_secs(1_800), true)),
            is_holding: false,
        };
        CallPage {
            report: CallReport {
                id: "00ab".to_owned(),
                from: "+14155550100".to_owned(),
                to: "+442079460000".to_owned(),
                ingress: leg(Realm::Trusted, None, "10.0.0.9:5060"),
                egress: Some(leg(Realm::Untrusted, Some("sinch"), "192.0.2.1:5060")),
                phase: CallPhase::Answered,
                start: self.ago(62_000),
                answer: Some(self.ago(60_000)),
                is_emergency: false,
                not_heard: Vec::new(),
            },
            to_e164: Some("+442079460000".to_owned()),
            from_e164: Some("+14155550100".to_owned()),
            ring: Some(self.ago(61_000)),
            route: Some(RoutePage {
                name: "out".to_owned(),
                matched: "trusted, +44*".to_owned(),
                waiting: vec!["reserve".into()],
            }),
            attempts: vec![
                Attempt {
                    trunk: "vonage".into(),
                    target: Some("198.51.100.7:5060".parse().unwrap()),
                    result: AttemptResult::Status(503),
                    rang_after: None,
                    millis: 40,
                },
                Attempt {
                    trunk: "sinch".into(),
                    target: Some("192.0.2.1:5060".parse().unwrap()),
                    result: AttemptResult::Status(200),
                    rang_after: Some(Duration::from_millis(380)),
                    millis: 1_400,
                },
            ],
            trying: None,
            ingress: dialog("10.0.0.9:5060", "10.0.0.5:5060"),
            egress: Some(dialog("192.0.2.1:5060", "203.0.113.5:5060")),
            codec: Some("PCMU".to_owned()),
            transfers: Vec::new(),
            timers: vec![NamedTimer { name: "session_refresh", leg: Some(Side::B), at: self.now }],
            media_sessions: vec![MediaSessionId(1)],
            end: None,
            ladder: self.ladder(),
        }
    }

    fn live(&self) -> LiveMedia {
        let direction = |packets: u64, signalled: &str, source: &str| LiveDirection {
            packets,
            bytes: packets * 172,
            lost: 2,
            reordered: 1,
            duplicates: 0,
            jitter_ms: 1.256,
            mos: Some(4.391),
            first_packet: Some(self.ago(60_000)),
            last_packet: Some(self.ago(12)),
            dropped_by: std::array::from_fn(|index| if index == 0 { 7 } else { 0 }),
            signalled: Some(signalled.parse().unwrap()),
            source: Some(source.parse().unwrap()),
            claim: Some(crate::media::Claim::Vouched),
            latch: crate::base::Latch::Signalled,
            stranger: Some("198.51.100.66:4000".parse().unwrap()),
        };
        LiveMedia {
            at: self.now,
            is_held: false,
            report: self.report(),
            streams: vec![LiveStream {
                kind: StreamKind::Rtp,
                from_a: direction(2_998, "10.0.0.9:30000", "10.0.0.9:30000"),
                from_b: direction(2_997, "192.0.2.77:40000", "192.0.2.77:40002"),
            }],
        }
    }

    fn report(&self) -> MediaReport {
        let direction = |packets: u64| DirectionReport {
            packets,
            bytes: packets * 172,
            expected: packets + 2,
            lost: 2,
            reordered: 1,
            jitter_ms: 0.812,
            jitter_max_ms: 3.5,
            mos: Some(4.391),
            dropped: 7,
            dropped_by: std::array::from_fn(|index| if index == 0 { 7 } else { 0 }),
            first_packet: Some(self.ago(60_000)),
            ..DirectionReport::default()
        };
        MediaReport { from_a: direction(2_998), from_b: direction(2_997) }
    }
}

fn bench() -> Bench {
    let clock = Clock::start();
    // A call of a minute has gone by: no time of it is before the clock's first.
    let now = Instant::from_micros(clock.now().as_micros() + 100_000_000);
    Bench { clock, now }
}

#[test]
fn a_call_in_progress_is_told_with_its_media_as_it_is() {
    let bench = bench();
    let mut body = CallPageBody::of(&bench.page(), &[bench.live()], bench.clock);
    body.seconds = 62;
    golden::expect(expect_file!["../golden/call.json"], &body);
}

#[test]
fn a_call_that_is_over_tells_how_it_ended() {
    let bench = bench();
    let end = CallEnd {
        at: bench.now,
        status: 200,
        outcome: Outcome::Answered,
        by: EndedBy::Caller,
        cause: "BYE from the caller".to_owned(),
        media: Some(bench.report()),
    };
    let page = CallPage { end: Some(end), timers: Vec::new(), media_sessions: Vec::new(), ..bench.page() };
    golden::expect(expect_file!["../golden/ended_call.json"], &CallPageBody::of(&page, &[], bench.clock));
}

#[test]
fn a_target_that_is_being_tried_has_no_status_and_a_silent_relay_leaves_media_out() {
    let bench = bench();
    let trying = Trying {
        trunk: "sinch".into(),
        target: "192.0.2.1:5060".parse().unwrap(),
        since: bench.clock.now(),
        rang_after: None,
    };
    let page = CallPage { trying: Some(trying), attempts: Vec::new(), ..bench.page() };
    let body = serde_json::to_value(CallPageBody::of(&page, &[], bench.clock)).unwrap();
    let tried = &body["route"]["tried"];
    assert_eq!((tried[0]["trunk"].as_str(), tried[0]["status"].is_null()), (Some("sinch"), true));
    assert!(body["media"].is_null());
}
