//! Who is shown, by which headers, when the caller asks not to be (RFC 3323, RFC 3325).

use super::identity_policy::{carried, from, header};
use super::lab::*;
use crate::b2bua::Settings;
use crate::routing::{CallerIdPolicy, Identity};
use crate::sip::{Header, Message, Method};

const FROM: &str = "\"Real Name\" <sip:+14155550100@10.0.0.9:5060>";
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
const SHOWN: &str = "<sip:+14155550100@carrier-a.example>";

/// A carrier that wants the caller here, within our trust domain or not.
fn carrier(identity: Identity, trust_identity: bool) -> Settings {
    let mut settings = settings();
    settings.routing.trunks[1].identity = identity;
    settings.routing.trunks[1].trust_identity = trust_identity;
    settings
}

fn call(settings: Settings, caller: &str, more: &[(Header, &str)]) -> Message {
    carried(&mut Lab::with(settings), &from(caller, "+442079460000", more))
}

const IDENTITIES: [(Identity, Header); 3] = [
    (Identity::Pai, Header::PAssertedIdentity),
    (Identity::Ppi, Header::PPreferredIdentity),
    (Identity::Rpid, Header::RemotePartyId),
];

#[test]
fn a_caller_that_is_shown_stands_in_the_trunks_header() {
    for (identity, wanted) in IDENTITIES {
        let outgoing = call(carrier(identity, false), FROM, &[]);
        let rpid = ";party=calling;privacy=off;screen=yes";
        let expected = format!("{SHOWN}{}", if identity == Identity::Rpid { rpid } else { "" });
        assert_eq!(header(&outgoing, wanted), expected);
        assert!(header(&outgoing, Header::From).starts_with(&format!("\"Real Name\" {SHOWN};tag=")));
        assert!(outgoing.header(Header::Privacy).is_none());
        for (_, other) in IDENTITIES.iter().filter(|(_, other)| *other != wanted) {
            assert!(outgoing.header(*other).is_none(), "{}", text(&outgoing));
        }
    }
}

#[test]
fn a_hidden_caller_is_named_within_the_trust_domain_alone() {
    for (identity, wanted) in IDENTITIES {
        for trusted in [true, false] {
            let outgoing = call(carrier(identity, trusted), FROM, &[(Header::Privacy, "id")]);
            let rpid = ";party=calling;privacy=full;screen=yes";
            let expected = format!("{SHOWN}{}", if identity == Identity::Rpid { rpid } else { "" });
            assert_eq!(header(&outgoing, wanted), if trusted { &expected } else { "" });
            assert!(header(&outgoing, Header::From).starts_with(ANONYMOUS));
            assert_eq!(header(&outgoing, Header::Privacy), "id");
            assert_eq!(text(&outgoing).contains("4155550100"), trusted, "{}", text(&outgoing));
            assert!(!text(&outgoing).contains("Real Name"));
        }
    }
}

#[test]
fn a_wish_to_be_hidden_leaves_in_the_trunks_form_whatever_form_it_came_in() {
    let pai = (Header::PAssertedIdentity, "<sip:+14155550100@10.0.0.9>");
    let rpid = (Header::RemotePartyId, "<sip:+14155550100@10.0.0.9>;privacy=full;screen=yes");
    for (caller, more) in [
        (ANONYMOUS, vec![pai]),
        (FROM, vec![rpid]),
        (ANONYMOUS, vec![rpid]),
        (FROM, vec![(Header::Privacy, "user;header;session")]),
    ] {
        let outgoing = call(carrier(Identity::Pai, true), caller, &more);
        assert!(header(&outgoing, Header::From).starts_with(ANONYMOUS), "{more:?}");
        assert_eq!(header(&outgoing, Header::PAssertedIdentity), SHOWN, "{more:?}");
        assert_eq!(header(&outgoing, Header::Privacy), "id");
        let outgoing = call(carrier(Identity::Rpid, true), caller, &more);
        let expected = format!("{SHOWN};party=calling;privacy=full;screen=yes");
        assert_eq!(header(&outgoing, Header::RemotePartyId), expected, "{more:?}");
    }
}

#[test]
fn a_caller_who_wants_to_be_shown_is() {
    let more = [(Header::Privacy, "none"), (Header::PAssertedIdentity, "\"Al\" <sip:+14155550100@10.0.0.9>")];
    let outgoing = call(carrier(Identity::From, false), ANONYMOUS, &more);
    assert!(header(&outgoing, Header::From).starts_with(&format!("\"Al\" {SHOWN};tag=")));
    assert_eq!(header(&outgoing, Header::Privacy), "none");
    // Nobody can be shown whom nobody names; and the policy of the trunk's owner goes first.
    let outgoing = call(carrier(Identity::Pai, false), ANONYMOUS, &[(Header::Privacy, "none")]);
    assert!(header(&outgoing, Header::From).starts_with(ANONYMOUS));
    assert_eq!(header(&outgoing, Header::PAssertedIdentity), "");
}

#[test]
fn a_privacy_that_is_critical_is_kept_or_the_call_refused() {
    let outgoing = call(carrier(Identity::Pai, true), FROM, &[(Header::Privacy, "id;critical")]);
    assert_eq!(header(&outgoing, Header::Privacy), "id;critical");
    let mut lab = Lab::new();
    lab.receive(PBX, &from(FROM, "+442079460000", &[(Header::Privacy, "x-invisible;critical")]));
    lab.take_response(PBX, 100);
    assert_eq!(lab.take_response(PBX, 500).reason(), b"Privacy Not Provided");
    lab.expect_silence();
    lab.expect_nothing_left();
    call(carrier(Identity::Pai, true), FROM, &[(Header::Privacy, "x-invisible")]);
}

#[test]
fn the_callers_number_is_the_asserted_one_of_a_peer_that_is_believed() {
    let asserted = [
        (Header::PAssertedIdentity, "\"Desk\" <sip:+14155550177@10.0.0.9>"),
        (Header::PPreferredIdentity, "<tel:+14155550177>"),
        (Header::RemotePartyId, "<sip:+14155550177@10.0.0.9>;party=calling;screen=yes"),
    ];
    for identity in asserted {
        for believed in [true, false] {
            let mut settings = settings();
            settings.routing.trunks[0].trust_identity = believed;
            let mut lab = Lab::with(settings);
            let outgoing = carried(&mut lab, &from(FROM, "+442079460000", &[identity]));
            let shown = if believed { "+14155550177" } else { "+14155550100" };
            let written = header(&outgoing, Header::From);
            assert!(written.contains(&format!("<sip:{shown}@carrier-a.example>")), "{written}");
            assert_eq!(text(&outgoing).contains("+14155550177"), believed);
            assert_eq!(lab.cdr().from, "+14155550100", "as it was received");
            assert_eq!(lab.cdr().from_e164.as_deref(), Some(shown));
        }
    }
}

#[test]
fn the_policy_of_the_trunk_counts_for_the_asserted_number() {
    let mut settings = carrier(Identity::Pai, true);
    settings.routing.trunks[1].caller_id = CallerIdPolicy {
        default: Some("+12125550199".to_owned()),
        allowed: vec!["+1415*".to_owned()],
        ..CallerIdPolicy::default()
    };
    let pai = (Header::PAssertedIdentity, "<sip:+13125550177@10.0.0.9>");
    let outgoing = call(settings.clone(), FROM, &[pai]);
    assert!(header(&outgoing, Header::From).starts_with("<sip:+12125550199@carrier-a.example>"));
    let outgoing = call(settings, ANONYMOUS, &[]);
    assert!(header(&outgoing, Header::From).starts_with(ANONYMOUS));
    assert_eq!(header(&outgoing, Header::PAssertedIdentity), "<sip:+12125550199@carrier-a.example>");
}

#[test]
fn who_calls_for_help_is_shown_and_never_refused() {
    use crate::routing::CallerIdFallback::{Anonymous, Reject};
    let privacy = [(Header::Privacy, "id")];
    for (otherwise, default, shown) in [
        (Reject, None, "+14155550100"),
        (Anonymous, None, "+14155550100"),
        (Reject, Some("+12125550199"), "+12125550199"),
    ] {
        let mut settings = carrier(Identity::Pai, false);
        settings.routing.trunks[1].caller_id = CallerIdPolicy {
            default: default.map(str::to_owned),
            allowed: vec!["+1999*".to_owned()],
            otherwise,
        };
        let outgoing = carried(&mut Lab::with(settings), &from(FROM, "112", &privacy));
        let expected = format!("<sip:{shown}@carrier-a.example>");
        assert!(header(&outgoing, Header::From).contains(&expected), "{}", text(&outgoing));
        assert_eq!(header(&outgoing, Header::PAssertedIdentity), expected);
        assert_eq!(header(&outgoing, Header::Privacy), "id");
    }
}

#[test]
fn what_an_untrusted_carrier_asserts_does_not_reach_the_pbx() {
    for believed in [false, true] {
        let mut settings = settings();
        settings.routing.trunks[0].identity = Identity::Rpid;
        settings.routing.trunks[1].trust_identity = believed;
        let mut lab = Lab::with(settings);
        let plain = invite(CARRIER_A, "+12125550123", "1", Some(SDP_CARRIER));
        let pai = "P-Asserted-Identity: <sip:+13125550177@198.51.100.1>\r\nUser-Agent";
        lab.receive_bytes(CARRIER_A, text(&plain).replacen("User-Agent", pai, 1));
        lab.take_response(CARRIER_A, 100);
        let outgoing = lab.take_request(PBX, &Method::Invite);
        let (number, screen) = if believed { ("+13125550177", "yes") } else { ("+14155550100", "no") };
        let expected = format!("<sip:{number}@pbx.example>;party=calling;privacy=off;screen={screen}");
        assert_eq!(header(&outgoing, Header::RemotePartyId), expected);
        assert!(outgoing.header(Header::PAssertedIdentity).is_none());
        // Nor does a connected identity of the answer go back.
        let answer = text(&respond(PBX, &outgoing, 486, "callee", None));
        let answer = answer.replacen("Server", "P-Asserted-Identity: <sip:200@10.0.0.9>\r\nServer", 1);
        lab.receive_bytes(PBX, answer);
        lab.take_request(PBX, &Method::Ack);
        assert!(lab.take_response(CARRIER_A, 486).header(Header::PAssertedIdentity).is_none());
        lab.expect_nothing_left();
    }
}

#[test]
fn a_signed_identity_passes_byte_for_byte_where_it_may() {
    let signed = "eyJhbGciOiJFUzI1NiJ9.eyJvcmlnIjp7InRuIjoiMTQxNTU1NTAxMDAifX0.sig;info=<https://c.example/p.pem>;alg=ES256;ppt=shaken";
    let more = [(Header::Identity, signed), (Header::Date, "Sat, 21 Nov 2026 10:00:00 GMT")];
    let outgoing = call(settings(), FROM, &more);
    assert!(outgoing.header(Header::Identity).is_none() && outgoing.header(Header::Date).is_none());
    let mut passing = settings();
    passing.routing.trunks[1].headers.pass = vec!["Identity".to_owned(), "Date".to_owned()];
    let message = text(&from(FROM, "+442079460000", &more));
    let second = message.replacen("Date:", "y: second.token.sig;info=<https://d.example>\r\nDate:", 1);
    let outgoing = carried(&mut Lab::with(passing.clone()), &Message::parse(second.into()).unwrap());
    let all: Vec<_> = outgoing.fields().filter(|field| field.header == Header::Identity).collect();
    assert_eq!(all.len(), 2, "{}", text(&outgoing));
    assert!(all.iter().any(|field| field.value == signed.as_bytes()));
    assert_eq!(header(&outgoing, Header::Date), "Sat, 21 Nov 2026 10:00:00 GMT");
    // It holds the number in clear: not with a caller who is hidden.
    let hidden = [more[0], (Header::Privacy, "id")];
    assert!(call(passing, FROM, &hidden).header(Header::Identity).is_none());
}

#[test]
fn a_caller_of_any_scheme_is_no_fault() {
    for (caller, shown) in [
        ("<tel:+1-415-555-0100;ext=7>", Some("+14155550100")),
        ("<tel:4155550100;phone-context=+1>", Some("+14155550100")),
        ("<sip:%2B14155550100;isdn-subaddress=2@10.0.0.9;user=phone>", Some("+14155550100")),
        ("<sips:+14155550100@10.0.0.9>", Some("+14155550100")),
        ("<sip:al%40ice%00@10.0.0.9>", Some("al%40ice%00")),
        ("<sip:10.0.0.9>", None),
        ("<urn:uuid:f81d4fae>", None),
        ("<http://10.0.0.9/al>", None),
    ] {
        let outgoing = call(settings(), caller, &[]);
        let written = header(&outgoing, Header::From);
        let expected = shown.map_or(ANONYMOUS.to_owned(), |shown| format!("<sip:{shown}@carrier-a.example>"));
        assert!(written.starts_with(&format!("{expected};tag=")), "{caller}: {written}");
    }
}

/// RFC 3323 §5.1, for the whole of a call.
#[test]
fn nothing_names_a_hidden_caller_later_in_the_call_either() {
    const NAMES: &str = "Reply-To: <sip:alice@pbx.example>\r\nReferred-By: <sip:alice@pbx.example>\r\n\
        Call-Info: <http://alice.example>\r\nIdentity: a.b.c;info=<https://c.example>\r\nX-Site: 7";
    for hidden in [false, true] {
        let mut settings = settings();
        settings.routing.trunks[1].headers.pass = vec!["*".to_owned()];
        let mut lab = Lab::with(settings);
        let privacy: &[(Header, &str)] = if hidden { &[(Header::Privacy, "id")] } else { &[] };
        let invite = from(FROM, "+442079460000", privacy);
        lab.receive(PBX, &invite);
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        let is_named = |message: &Message| {
            let message = text(message);
            assert!(message.contains("X-Site: 7"), "{message}");
            message.contains("alice") || message.contains("Identity: a.b.c")
        };
        let info = finish(caller_request(PBX, &invite, &answer, &Method::Info, 2), None);
        lab.receive(PBX, &with_header(&info, NAMES));
        let info = lab.take_request(CARRIER_A, &Method::Info);
        assert_eq!(is_named(&info), !hidden, "{}", text(&info));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "callee", None));
        lab.take_response(PBX, 200);
        // Nor in what it answers.
        let asked = callee_request(CARRIER_A, &outgoing, "callee", &Method::Info, 1);
        lab.receive(CARRIER_A, &finish(asked, None));
        let asked = lab.take_request(PBX, &Method::Info);
        lab.receive(PBX, &with_header(&respond(PBX, &asked, 200, "caller", None), NAMES));
        let answered = lab.take_response(CARRIER_A, 200);
        assert_eq!(is_named(&answered), !hidden, "{}", text(&answered));
        super::setup::hang_up(&mut lab, &invite, &answer, 3);
        lab.expect_nothing_left();
    }
}

/// RFC 6442: to an emergency number, and to no other.
#[test]
fn where_the_caller_of_an_emergency_number_is_crosses_whatever_the_rules_say() {
    for (called, crosses) in [("112", true), ("+442079460000", false)] {
        let mut settings = settings();
        settings.routing.trunks[1].headers.drop = vec!["Geo*".to_owned()];
        let body = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{SDP_PBX}\r\n--b\r\nContent-Type: \
             application/pidf+xml\r\nContent-ID: <here>\r\nContent-Disposition: render;handling=optional\r\n\r\n\
             <presence/>\r\n--b--\r\n"
        );
        let plain = invite(PBX, called, "1", None);
        let head = text(&plain).replace("Content-Length: 0\r\n\r\n", "");
        let head = format!("{head}Geolocation: <cid:here>\r\nGeolocation-Routing: yes\r\n");
        let typed = format!("Content-Type: multipart/mixed;boundary=b\r\nContent-Length: {}\r\n", body.len());
        let message = Message::parse(format!("{head}{typed}\r\n{body}").into()).unwrap();
        let outgoing = text(&carried(&mut Lab::with(settings), &message));
        for word in ["Geolocation: <cid:here>", "Geolocation-Routing: yes", "<presence/>", "<here>"] {
            assert_eq!(outgoing.contains(word), crosses, "{word}: {outgoing}");
        }
    }
}
