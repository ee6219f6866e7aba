//! Vonage: key and secret on each INVITE, six hosts, E.164 without the plus, failover on 5xx inbound.

use super::*;
use crate::media::MediaCommand;

const HOSTS: [(&str, &[&str]); 7] = [
    ("sip.nexmo.com", &["192.0.2.11", "192.0.2.12", "192.0.2.21", "192.0.2.22", "192.0.2.31", "192.0.2.32"]),
    ("sip-us1.nexmo.com", &["192.0.2.11"]),
    ("sip-us2.nexmo.com", &["192.0.2.12"]),
    ("sip-eu1.nexmo.com", &["192.0.2.21"]),
    ("sip-eu2.nexmo.com", &["192.0.2.22"]),
    ("sip-ap1.nexmo.com", &["192.0.2.31"]),
    ("sip-ap2.nexmo.com", &["192.0.2.32"]),
];

fn trunk(more: &str) -> String {
    format!(
        "[trunk.vonage]\nprofile = \"vonage\"\nusername = \"key\"\npassword = \"secret\"\n{more}\n{}",
        routes("vonage")
    )
}

fn vonage() -> Provider {
    Provider::new(&HOSTS).asking("key", "secret", "sip.nexmo.com").with_rule(|invite| {
        let asked = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        let user = asked.strip_prefix("sip:").and_then(|rest| rest.strip_suffix("@sip.nexmo.com"));
        let fits = user.is_some_and(|user| user.bytes().all(|byte| byte.is_ascii_digit()));
        (!fits).then_some(404)
    })
}

#[test]
fn r8_every_invite_to_vonage_has_a_digest_of_key_and_secret() {
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    for _ in 0..3 {
        let placed = bench.call("+447937947990", "+442079460000");
        assert_eq!(placed.status, 200);
        let answer = value(placed.invite().1, Header::ProxyAuthorization);
        assert!(answer.starts_with("Digest username=\"key\", realm=\"sip.nexmo.com\""), "{answer}");
        assert!(placed.sent.iter().all(|(_, sent)| !text(sent).contains("secret")));
    }
    bench.end();
}

#[test]
fn r9_without_srv_the_two_nearest_hosts_come_first_and_the_others_are_in_reserve() {
    let mut bench = Bench::new(&trunk("region = \"eu\""), vec![vonage()]);
    let placed = bench.call("+447937947990", "+442079460000");
    assert!(["192.0.2.21", "192.0.2.22"].contains(&placed.tried()[0].as_str()), "{:?}", placed.tried());
    for near in ["192.0.2.21", "192.0.2.22"] {
        bench.providers[0].dead.insert(near.parse().unwrap());
    }
    let placed = bench.call("+447937947990", "+442079460000");
    let mut tried = placed.tried();
    assert_eq!((placed.status, tried.len()), (200, 3));
    assert!(["192.0.2.11", "192.0.2.12"].contains(&tried.pop().unwrap().as_str()));
    bench.end();
}

#[test]
fn r9_srv_records_are_honoured_the_near_hosts_share_the_load_and_the_far_ones_wait() {
    let mut provider = vonage();
    let record = |name: &str, priority| (name.to_owned(), priority, 50);
    let targets = vec![
        record("sip-us1.nexmo.com", 20),
        record("sip-us2.nexmo.com", 20),
        record("sip-eu1.nexmo.com", 10),
        record("sip-eu2.nexmo.com", 10),
        record("sip-ap1.nexmo.com", 30),
        record("sip-ap2.nexmo.com", 30),
    ];
    provider.srv = vec![("sip.nexmo.com".to_owned(), targets)];
    let mut bench = Bench::new(&trunk(""), vec![provider]);
    let mut share = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let placed = bench.call("+447937947990", "+442079460000");
        assert_eq!((placed.status, placed.tried().len()), (200, 1));
        *share.entry(placed.tried().remove(0)).or_insert(0) += 1;
        bench.lab.advance(Duration::from_secs(1));
    }
    assert_eq!(share.keys().map(String::as_str).collect::<Vec<_>>(), ["192.0.2.21", "192.0.2.22"]);
    assert!(share.values().all(|calls| *calls >= 10), "{share:?}");
    for near in ["192.0.2.21", "192.0.2.22"] {
        bench.providers[0].dead.insert(near.parse().unwrap());
    }
    let placed = bench.call("+447937947990", "+442079460000");
    let last = placed.tried().pop().unwrap();
    assert!(
        placed.status == 200 && ["192.0.2.11", "192.0.2.12"].contains(&last.as_str()),
        "{:?}",
        placed.tried()
    );
    bench.end();
}

#[test]
fn r10_vonage_gets_e164_without_the_plus_and_the_caller_at_its_own_domain() {
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    let placed = bench.call("+447937947990", "+442079460000");
    let (_, invite) = placed.invite();
    assert_eq!(
        (placed.status, first_line(invite)),
        (200, "INVITE sip:442079460000@sip.nexmo.com SIP/2.0".to_owned())
    );
    assert!(value(invite, Header::From).contains("<sip:447937947990@sip.nexmo.com>;tag="));
    bench.end();
}

#[test]
fn r13_vonage_is_asked_by_options_every_two_minutes() {
    let mut bench = Bench::probing(&trunk("region = \"us\""), vec![vonage()]);
    // The first come soon; then each of the six hosts is asked once in two minutes, give or take a jitter.
    bench.pass(Duration::from_secs(125));
    assert!(bench.sent.len() >= 6, "{}", bench.sent.len());
    bench.sent.clear();
    bench.pass(Duration::from_secs(1_200));
    assert!((6 * 8..=6 * 13).contains(&bench.sent.len()), "{} in 20 minutes", bench.sent.len());
    assert!(bench.sent.iter().all(|(_, sent)| sent.method() == Some(&Method::Options)));
    let (_, options) = bench.sent.first().unwrap();
    assert!(first_line(options).starts_with("OPTIONS sip:"), "{}", text(options));
    assert_eq!(bench.lab.engine.census().calls, 0);
}

/// A call that Vonage forwards from a number.
fn forwarded(from: &str) -> String {
    let contact = format!("Contact: <sip:447937947990@{from}:5060>\r\n");
    incoming(
        &format!("{from}:5060"),
        "sip:12025550123@mydomain.com",
        "sip:447937947990@sip.nexmo.com",
        "sip:12025550123@mydomain.com",
        &contact,
    )
}

const SIX: [&str; 6] =
    ["173.193.199.24", "174.37.245.34", "5.10.112.121", "5.10.112.122", "119.81.44.6", "119.81.44.7"];

#[test]
fn r14_the_six_addresses_of_vonage_may_call_and_media_comes_from_anywhere() {
    for from in SIX {
        let mut bench = Bench::new(&trunk(""), vec![vonage()]);
        let arrived =
            bench.arrive(&format!("{from}:40001"), &forwarded(from)).expect("an INVITE for the PBX");
        assert_eq!(first_line(&arrived), "INVITE sip:+12025550123@10.0.0.9 SIP/2.0");
        bench.lab.receive(PBX, &respond(PBX, &arrived, 200, "pbx", Some(SDP_PBX)));
        let is_there = |command: &MediaCommand| format!("{command:?}").contains("198.51.100.77:40000");
        assert!(bench.lab.media.iter().any(is_there));
    }
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    assert!(bench.arrive("173.193.199.25:5060", &forwarded("173.193.199.25")).is_none());
    assert!(bench.answers.is_empty());
    bench.end();
}

#[test]
fn r15_what_should_make_vonage_try_its_next_endpoint_is_a_5xx() {
    // Draining.
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    bench.lab.input(Input::Drain { deadline: None });
    assert!(bench.arrive(&format!("{}:5060", SIX[0]), &forwarded(SIX[0])).is_none());
    assert_eq!(bench.last_answer(), Some(503));
    bench.end();
    // Overload: the trunk's limit is reached.
    let mut bench =
        Bench::new(&trunk("limits = { calls = 0 }").replace("calls = 0", "calls = 1"), vec![vonage()]);
    let first = bench.arrive(&format!("{}:5060", SIX[0]), &forwarded(SIX[0])).unwrap();
    assert!(bench.arrive(&format!("{}:5060", SIX[1]), &forwarded(SIX[1])).is_none());
    assert_eq!(bench.last_answer(), Some(503));
    bench.lab.receive(PBX, &respond(PBX, &first, 486, "pbx", None));
    bench.settle();
    // Busy is the callee's word, and stays it.
    assert_eq!(bench.last_answer(), Some(486));
    bench.end();
    // The PBX is dead.
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    bench.arrive(&format!("{}:5060", SIX[0]), &forwarded(SIX[0])).unwrap();
    bench.lab.advance(Duration::from_secs(5));
    bench.settle();
    assert_eq!(bench.last_answer(), Some(503));
    bench.end();
    // The trunk that the route names is disabled.
    let off = trunk("").replace("trunks = [\"pbx\"]", "trunks = [\"off\"]")
        + "[trunk.off]\nrealm = \"trusted\"\nhost = \"10.0.0.77\"\nenabled = false\n";
    let mut bench = Bench::new(&off, vec![vonage()]);
    assert!(bench.arrive(&format!("{}:5060", SIX[0]), &forwarded(SIX[0])).is_none());
    assert_eq!(bench.last_answer(), Some(503));
    bench.end();
}

const CODECS: &str = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 8 0 97 18 9 98 101\r\na=rtpmap:97 iLBC/8000\r\na=fmtp:97 mode=30\r\n\
    a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:9 G722/8000\r\na=rtpmap:98 speex/16000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n";

#[test]
fn r16_the_codecs_of_vonage_cross_unaltered() {
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    let placed = bench.call_with("+447937947990", "+442079460000", CODECS, "");
    let sent = text(placed.invite().1);
    assert!(sent.contains(" RTP/AVP 8 0 97 18 9 98 101\r\n"), "{sent}");
    for line in CODECS.lines().filter(|line| line.starts_with("a=")) {
        assert!(sent.contains(&format!("{line}\r\n")), "{line} is not in\n{sent}");
    }
    bench.end();
}

/// RFC 3264 §6.1: who answers may name another payload type, to which the offerer then sends.
#[test]
fn r17_telephone_events_have_the_payload_type_of_each_side() {
    let mut provider = vonage();
    provider.sdp = SDP_CARRIER.replace("0 101", "0 96").replace("rtpmap:101", "rtpmap:96");
    let mut bench = Bench::new(&trunk(""), vec![provider]);
    let placed = bench.call("+447937947990", "+442079460000");
    assert!(text(placed.invite().1).contains("a=rtpmap:101 telephone-event/8000\r\n"));
    assert!(
        text(&placed.answer).contains("a=rtpmap:96 telephone-event/8000\r\n"),
        "{}",
        text(&placed.answer)
    );
    bench.end();
}

#[test]
fn r19_what_is_dialled_with_00_is_e164_and_what_is_valid_nowhere_is_484() {
    let mut bench = Bench::new(&trunk(""), vec![vonage()]);
    let placed = bench.call("+447937947990", "00442079460000");
    assert_eq!(first_line(placed.invite().1), "INVITE sip:442079460000@sip.nexmo.com SIP/2.0");
    for called in ["00331908817135", "+331908817135"] {
        let placed = bench.call("+447937947990", called);
        assert_eq!((placed.status, placed.sent.len()), (484, 0), "{called}");
    }
    bench.end();
}
