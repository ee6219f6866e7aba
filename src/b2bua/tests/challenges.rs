//! Carriers that ask who we are (RFC 3261 §22).

use super::lab::*;
use crate::b2bua::Outcome;
use crate::routing::Credentials;
use crate::sip::{Header, Message, Method, Status, response_to};

fn lab() -> Lab {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "key".to_owned(), password: "secret".to_owned() });
    Lab::with(settings)
}

/// A 407 (or 401) with this nonce.
fn challenge(request: &Message, status: u16, nonce: &str, more: &str) -> Message {
    let header = if status == 401 { Header::WwwAuthenticate } else { Header::ProxyAuthenticate };
    response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(status), None, Some("asker"))
        .header(header, format!("Digest realm=\"carrier\", nonce=\"{nonce}\", qop=\"auth\"{more}"))
        .finish()
        .unwrap()
}

/// The INVITE that the carrier gets first.
fn begin(lab: &mut Lab) -> Message {
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite)
}

#[test]
fn an_invite_is_sent_again_with_the_trunks_credentials() {
    for (status, header) in [(401, Header::Authorization), (407, Header::ProxyAuthorization)] {
        let mut lab = lab();
        let first = begin(&mut lab);
        assert!(first.header(header).is_none());
        lab.receive(CARRIER_A, &challenge(&first, status, "n1", ""));
        lab.take_request(CARRIER_A, &Method::Ack);
        let second = lab.take_request(CARRIER_A, &Method::Invite);
        let answer = String::from_utf8(second.header(header).unwrap().to_vec()).unwrap();
        assert!(answer.starts_with("Digest username=\"key\", realm=\"carrier\", nonce=\"n1\""), "{answer}");
        assert!(!text(&second).contains("secret"));
        assert_eq!(second.call_id(), first.call_id());
        assert_eq!(second.from().unwrap().tag(), first.from().unwrap().tag());
        assert_eq!(second.cseq().unwrap().number, 2);
        assert_eq!(second.body(), first.body());
        lab.expect_silence();
        lab.receive(CARRIER_A, &respond(CARRIER_A, &second, 486, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_response(PBX, 486);
        lab.expect_nothing_left();
    }
}

#[test]
fn a_carrier_that_challenges_for_ever_is_given_up() {
    for (more, answers) in [("", 1), (", stale=true", 2)] {
        let mut lab = lab();
        let mut asked = begin(&mut lab);
        for nonce in 0..answers {
            lab.receive(CARRIER_A, &challenge(&asked, 407, &nonce.to_string(), more));
            lab.take_request(CARRIER_A, &Method::Ack);
            asked = lab.take_request(CARRIER_A, &Method::Invite);
        }
        lab.receive(CARRIER_A, &challenge(&asked, 407, "last", more));
        lab.take_request(CARRIER_A, &Method::Ack);
        // Nobody's challenge reaches the caller.
        let refusal = lab.take_response(PBX, 503);
        assert!(refusal.header(Header::ProxyAuthenticate).is_none());
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().outcome(), Outcome::Failed);
    }
}

#[test]
fn a_bye_that_is_challenged_is_sent_again_after_the_call_is_over() {
    let mut lab = lab();
    let (invite, answer, _) = super::basic_calls::establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &challenge(&bye, 407, "n", ""));
    let again = lab.take_request(CARRIER_A, &Method::Bye);
    assert!(again.header(Header::ProxyAuthorization).is_some());
    assert!(again.cseq().unwrap().number > bye.cseq().unwrap().number);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &again, 200, "callee", None));
    lab.expect_nothing_left();
}
