//! Sinch: an application's key and secret, a realm that is the region's name, +E.164 alone, two edges a region.

use super::*;
use crate::base::Transport;
use crate::media::MediaCommand;

const EUC1: &str = "euc1.sip.sinch.com";
const EDGES: [&str; 2] = ["18.184.175.4", "18.196.245.254"];

fn trunk(more: &str) -> String {
    let own =
        "caller_id = { default = \"+12025550123\", allowed = [\"+120255501*\"], otherwise = \"default\" }";
    let own = if more.contains("caller_id") { "" } else { own };
    format!(
        "[trunk.sinch]\nprofile = \"sinch\"\nregion = \"euc1\"\nusername = \"app-key\"\npassword = \"app-secret\"\n{own}\n{more}\n{}",
        routes("sinch")
    )
}

/// Sinch's edges of Europe, as strict as their document.
fn sinch() -> Provider {
    Provider::new(&[(EUC1, &EDGES)]).asking("app-key", "app-secret", EUC1).with_rule(|invite| {
        let is_ours = |uri: &str| {
            let user = uri.strip_prefix("sip:+").and_then(|rest| rest.strip_suffix(&format!("@{EUC1}")));
            user.is_some_and(|user| user.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let uri = |header| {
            let text = value(invite, header);
            let uri = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            uri.map(|(uri, _)| uri.to_owned()).unwrap_or_default()
        };
        let asked = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        let fits = is_ours(&asked) && is_ours(&uri(Header::To)) && is_ours(&uri(Header::From));
        let reached = uri(Header::Contact).contains("@203.0.113.5:5060");
        (!fits || !reached).then_some(403)
    })
}

#[test]
fn r20_sinch_is_answered_with_key_and_secret_for_the_realm_that_is_its_name() {
    let mut bench = Bench::new(&trunk(""), vec![sinch()]);
    let placed = bench.call("+12025550177", "+442079460000");
    assert_eq!(placed.status, 200);
    let (_, invite) = placed.invite();
    let answer = value(invite, Header::ProxyAuthorization);
    assert!(answer.starts_with(&format!("Digest username=\"app-key\", realm=\"{EUC1}\"")), "{answer}");
    assert!(!text(invite).contains("app-secret"));
    bench.end();
}

#[test]
fn r20_a_challenge_of_another_realm_draws_out_no_digest_of_sinchs_secret() {
    let other =
        Provider { digest: Some(("app-key".into(), "app-secret".into(), "evil.example".into())), ..sinch() };
    let mut bench = Bench::new(&trunk(""), vec![other]);
    let placed = bench.call("+12025550177", "+442079460000");
    assert_eq!(placed.status, 503);
    assert!(placed.sent.iter().all(|(_, sent)| sent.header(Header::ProxyAuthorization).is_none()));
    bench.end();
}

#[test]
fn r21_sinch_gets_e164_with_the_plus_at_its_own_name_and_our_address_in_contact() {
    let mut bench = Bench::new(&trunk(""), vec![sinch()]);
    for called in ["+442079460000", "00442079460000", "011442079460000", "+44 20 7946-0000"] {
        let placed = bench.call("+12025550177", &called.replace(' ', "%20"));
        assert_eq!(placed.status, 200, "{called}");
        let (_, invite) = placed.invite();
        assert_eq!(first_line(invite), format!("INVITE sip:+442079460000@{EUC1} SIP/2.0"));
        assert!(value(invite, Header::From).contains(&format!("<sip:+12025550177@{EUC1}>;tag=")));
        assert_eq!(value(invite, Header::To), format!("<sip:+442079460000@{EUC1}>"));
        assert_eq!(value(invite, Header::Contact), "<sip:+12025550177@203.0.113.5:5060>");
    }
    bench.end();
}

#[test]
fn r22_the_other_address_of_a_region_serves_when_one_is_dead() {
    for dead in EDGES {
        let mut provider = sinch();
        provider.dead.insert(dead.parse().unwrap());
        let mut bench = Bench::new(&trunk(""), vec![provider]);
        let placed = bench.call("+12025550177", "+442079460000");
        assert_eq!(placed.status, 200, "{dead} is dead");
        assert_ne!(placed.invite().0.peer.ip().to_string(), dead);
        bench.end();
    }
}

#[test]
fn r22_a_region_by_address_needs_both_of_its_addresses() {
    let keys = "username = \"k\"\npassword = \"s\"\n";
    let one = format!("[trunk.sinch]\nprofile = \"sinch\"\nhost = \"{}\"\n{keys}", EDGES[1]);
    let told = faults(&one);
    assert!(
        told.contains("trunk.sinch.host: the region has 18.184.175.4, too, and this one may be down"),
        "{told}"
    );
    let both = format!(
        "[trunk.sinch]\nprofile = \"sinch\"\nhosts = [{{ host = \"{}\" }}, {{ host = \"{}\", priority = 2 }}]\n{keys}{}",
        EDGES[0],
        EDGES[1],
        routes("sinch")
    );
    for dead in EDGES {
        let mut provider = sinch();
        provider.dead.insert(dead.parse().unwrap());
        provider.digest = Some(("k".into(), "s".into(), EUC1.into()));
        let mut bench = Bench::new(&both, vec![provider]);
        let placed = bench.call("+12025550177", "+442079460000");
        assert_eq!(placed.status, 200, "{dead} is dead");
        assert_ne!(placed.invite().0.peer.ip().to_string(), dead);
        bench.end();
    }
}

/// An INVITE as in Sinch's document.
fn origination(edge: &str) -> String {
    incoming(
        &format!("{edge}:5060"),
        "sip:+12025550123@company.com",
        "sip:+46733478561@18.194.168.245",
        "sip:4690001@52.214.25.57",
        &format!(
            "Record-Route: <sip:{edge};ftag=as386cfb27;lr=on>\r\nContact: <sip:+46733478561@18.194.168.245:5060>\r\nX-My-Header: This is my header\r\n"
        ),
    )
}

#[test]
fn r23_all_ten_addresses_of_sinch_may_call_and_media_comes_from_anywhere() {
    for edge in [
        "18.184.175.4",
        "18.196.245.254",
        "34.194.41.43",
        "34.197.97.9",
        "52.67.242.103",
        "54.233.100.129",
        "52.74.7.178",
        "54.251.177.8",
        "13.210.20.49",
        "13.210.220.180",
    ] {
        let mut bench = Bench::new(&trunk(""), vec![sinch()]);
        // The source port does not matter.
        let arrived =
            bench.arrive(&format!("{edge}:35060"), &origination(edge)).expect("an INVITE for the PBX");
        bench.lab.receive(PBX, &respond(PBX, &arrived, 200, "pbx", Some(SDP_PBX)));
        // The SDP names a place that is on no list, and the relay listens there.
        let is_there = |command: &MediaCommand| format!("{command:?}").contains("198.51.100.77:40000");
        assert!(bench.lab.media.iter().any(is_there), "{:?}", bench.lab.media);
        assert!(bench.lab.engine.census().calls == 1);
    }
    let mut bench = Bench::new(&trunk(""), vec![sinch()]);
    assert!(bench.arrive("18.184.175.5:5060", &origination("18.184.175.5")).is_none());
    assert!(bench.answers.is_empty(), "a neighbour is a stranger");
    bench.end();
}

#[test]
fn r24_a_caller_that_the_account_does_not_own_is_replaced_hidden_or_refused_as_chosen() {
    for (otherwise, shown) in [
        ("default", Some("<sip:+12025550123@")),
        ("anonymous", Some("<sip:anonymous@anonymous.invalid>")),
        ("reject", None),
    ] {
        let policy = format!(
            "caller_id = {{ default = \"+12025550123\", allowed = [\"+120255501*\"], otherwise = \"{otherwise}\" }}"
        );
        let any = Provider { rule: Box::new(|_| None), ..sinch() };
        let mut bench = Bench::new(&trunk(&policy), vec![any]);
        let owned = bench.call("+12025550177", "+442079460000");
        assert!(value(owned.invite().1, Header::From).contains("<sip:+12025550177@"));
        let foreign = bench.call("+14155550100", "+442079460000");
        match shown {
            Some(shown) => {
                let from = value(foreign.invite().1, Header::From);
                assert!(from.contains(shown), "{otherwise}: {from}");
            }
            None => assert_eq!((foreign.status, foreign.sent.len()), (403, 0)),
        }
        bench.end();
    }
    let silent = configuration(&trunk("caller_id = {}"));
    assert!(silent.warnings.iter().any(|warning| warning.key == "trunk.sinch.caller_id.default"));
}

#[test]
fn r25_a_call_of_sinchs_is_routed_by_its_request_uri_and_answered_along_its_record_route() {
    let pbx = "[trunk.other]\nhost = \"192.0.2.1\"\n";
    let mut bench = Bench::new(&format!("{}{pbx}", trunk("")), vec![sinch()]);
    let edge = EDGES[0];
    let arrived = bench.arrive(&format!("{edge}:5060"), &origination(edge)).expect("an INVITE for the PBX");
    assert_eq!(first_line(&arrived), "INVITE sip:+12025550123@10.0.0.9 SIP/2.0");
    bench.lab.receive(PBX, &respond(PBX, &arrived, 200, "pbx", Some(SDP_PBX)));
    bench.settle();
    let answer = bench.answers.last().cloned().unwrap();
    assert_eq!(answer.status(), Status::new(200));
    assert_eq!(value(&answer, Header::RecordRoute), format!("<sip:{edge};ftag=as386cfb27;lr=on>"));
    let ack = finish(
        caller_request(
            &format!("{edge}:5060"),
            &Message::parse(origination(edge).into()).unwrap(),
            &answer,
            &Method::Ack,
            102,
        ),
        None,
    );
    bench.lab.receive(&format!("{edge}:5060"), &ack);
    bench.lab.take_request(PBX, &Method::Ack);
    bench.lab.receive(PBX, &finish(callee_request(PBX, &arrived, "pbx", &Method::Bye, 1), None));
    bench.settle();
    let (hop, bye) = bench.sent.iter().find(|(_, sent)| sent.method() == Some(&Method::Bye)).expect("a BYE");
    assert_eq!(hop.peer.to_string(), format!("{edge}:5060"), "along the route, not to the Contact");
    assert_eq!(value(bye, Header::Route), format!("<sip:{edge};ftag=as386cfb27;lr=on>"));
    assert_eq!(first_line(bye), "BYE sip:+46733478561@18.194.168.245:5060 SIP/2.0");
    bench.end();
}

#[test]
fn r26_secured_rtp_is_not_required_of_sinch_and_not_offered_to_it() {
    let told = faults(&trunk("srtp = \"required\""));
    assert!(told.contains("trunk.sinch.srtp: Sinch takes no secured RTP"), "{told}");
    let mut bench = Bench::new(&trunk(""), vec![sinch()]);
    let secured = SDP_PBX.replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    let placed = bench.call_with("+12025550177", "+442079460000", &secured, "");
    assert_eq!((placed.status, placed.sent.len()), (488, 0));
    bench.end();
}

#[test]
fn r27_codecs_of_sinch_cross_and_its_calls_go_by_udp_and_tcp() {
    const SDP: &str = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 0 8 107 18 101\r\na=rtpmap:107 opus/48000/2\r\na=fmtp:107 useinbandfec=1\r\n\
        a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\n";
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new(
            &trunk(&format!("transport = \"{transport}\"")),
            vec![Provider { rule: Box::new(|_| None), ..sinch() }],
        );
        let placed = bench.call_with("+12025550177", "+442079460000", SDP, "");
        let (hop, invite) = placed.invite();
        assert_eq!((placed.status, hop.transport, hop.peer.port()), (200, transport, 5060));
        let text = text(invite);
        for line in [
            "RTP/AVP 0 8 107 18 101",
            "a=rtpmap:107 opus/48000/2",
            "a=fmtp:107 useinbandfec=1",
            "a=fmtp:18 annexb=no",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        bench.end();
    }
}
