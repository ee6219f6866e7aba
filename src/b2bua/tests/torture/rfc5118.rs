//! RFC 5118: IPv6 in SIP, all twelve messages.
//!
//! The archive ends lines with LF, and its Content-Lengths (268, 181, 236) are those of no form of
//! the bodies; here lines end with CRLF as RFC 3261 §7 wants, and the lengths are those of the
//! bodies.

use super::{Answer, Call, Case, answer_and_end, carried, case, message_text, run_all};
use crate::b2bua::tests::lab::*;
use crate::sip::{Header, Message, Uri};

pub const CASES: &[Case] = &[
    case!("rfc5118", "ipv6-good", "4.1", Answer(403)),
    case!("rfc5118", "ipv6-bad", "4.2", Answer(400)),
    case!("rfc5118", "port-ambiguous", "4.3", Answer(403)),
    case!("rfc5118", "port-unambiguous", "4.4", Answer(403)),
    // They have a To tag, and so are of a dialog that we do not know.
    case!("rfc5118", "via-received-param-with-delim", "4.5", Answer(481)),
    case!("rfc5118", "via-received-param-no-delim", "4.5", Answer(200)),
    case!("rfc5118", "ipv6-in-sdp", "4.6", Call),
    case!("rfc5118", "mult-ip-in-header", "4.7", Answer(481)),
    case!("rfc5118", "mult-ip-in-sdp", "4.8", Call),
    case!("rfc5118", "ipv4-mapped-ipv6", "4.9", Call),
    case!("rfc5118", "ipv6-bug-abnf-3-colons", "4.10", Answer(200)),
    case!("rfc5118", "ipv6-correct-abnf-2-colons", "4.10", Answer(200)),
];

#[test]
fn every_message_of_rfc_5118_gets_what_is_due_to_it_and_the_next_call_works() {
    assert_eq!(CASES.len(), 12);
    run_all("RFC 5118", CASES);
}

#[test]
fn a_port_is_one_only_behind_the_bracket() {
    let port_of = |name| {
        let message = Message::parse(message_text(CASES, name).into()).unwrap();
        let uri = Uri::parse(message.request_uri_raw()).unwrap();
        (uri.host_address().unwrap().to_string(), uri.port)
    };
    assert_eq!(port_of("port-ambiguous"), ("2001:db8::10:5070".to_owned(), None));
    assert_eq!(port_of("port-unambiguous"), ("2001:db8::10".to_owned(), Some(5070)));
    assert_eq!(port_of("ipv6-bug-abnf-3-colons"), port_of("ipv6-correct-abnf-2-colons"));
}

#[test]
fn addresses_of_both_families_become_ours_alone() {
    for name in ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"] {
        let mut lab = Lab::new();
        let invite = Message::parse(message_text(CASES, name).into()).unwrap();
        let outgoing = carried(&mut lab, PBX, &invite);
        let sent = text(&outgoing);
        assert!(sent.contains("c=IN IP4 203.0.113.5\r\n"), "{sent}");
        for theirs in ["2001:db8", "ffff", "192.0.2.", "IP6", "host.example.com"] {
            assert!(!sent.contains(theirs), "{theirs} in\n{sent}");
        }
        let (answer, bye) = answer_and_end(&mut lab, PBX, &invite, &outgoing);
        assert_eq!(answer.list(Header::Via).count(), invite.list(Header::Via).count());
        assert_eq!(bye.request_uri_raw(), invite.contact().unwrap().uri_raw);
        lab.expect_nothing_left();
    }
}
