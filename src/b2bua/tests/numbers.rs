//! Numbers from every way to write them to the form that a trunk wants, in every place of a message.

use super::identity_policy::{from, header};
use super::lab::*;
use crate::b2bua::Settings;
use crate::b2bua::explain::Question;
use crate::base::Realm;
use crate::numbering::{NumberForm, PrefixRule};
use crate::routing::{CallerIdPolicy, DiversionForm, Identity, NumberPattern, RouteSource};
use crate::sip::{Header, Message, Method};

/// What carrier A is sent of an INVITE of the PBX's; the call is then refused.
fn sent(settings: Settings, message: &Message) -> Message {
    super::identity_policy::carried(&mut Lab::with(settings), message)
}

/// The PBX's INVITE to this Request-URI.
fn to_uri(uri: &str) -> Message {
    let text = text(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    Message::parse(text.replacen("sip:+442079460000@10.0.0.5:5060", uri, 1).into()).unwrap()
}

/// The Request-URI without its host, and the status where nothing is sent.
fn called(settings: Settings, uri: &str) -> Result<String, u16> {
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &to_uri(uri));
    lab.take_response(PBX, 100);
    let (hop, answer) = lab.sent.pop_front().expect("an INVITE or an answer");
    if let Some(status) = answer.status() {
        return Err(status.code());
    }
    assert_eq!(hop.peer.to_string(), CARRIER_A);
    let uri = String::from_utf8_lossy(answer.request_uri_raw()).into_owned();
    let to = header(&answer, Header::To);
    assert_eq!(to, format!("<{uri}>"), "To says the same");
    Ok(uri.strip_prefix("sip:").unwrap().split('@').next().unwrap().to_owned())
}

fn changed(change: impl FnOnce(&mut crate::routing::Trunk)) -> Settings {
    let mut settings = settings();
    change(&mut settings.routing.trunks[1]);
    settings
}

#[test]
fn a_number_is_read_however_it_is_written() {
    for uri in [
        "sip:+44-20-7946-0000@h",
        "sip:+44(20)7946.0000@h",
        "sip:0044%2020%207946%200000@h",
        "sip:011442079460000@h;user=phone",
        "sip:442079460000@h",
        "sip:%2B442079460000@h",
        "sip:%2b44%2d20%2d7946%2d0000@h;user=phone",
        "sips:+442079460000@h;transport=tcp",
        "sip:+442079460000:secret@h",
        "tel:+442079460000",
        "tel:+44-20-7946-0000;isub=1411",
        "tel:+442079460000;ext=22;phone-context=pbx.example",
        "tel:2079460000;phone-context=+44",
        "tel:7946-0000;phone-context=+44-20",
        "sip:2079460000;phone-context=+44@h;user=phone",
        // Number portability is the business of the network that looked it up (RFC 4694).
        "tel:+442079460000;npdi;rn=+442079990000;cic=+1234",
        "sip:+442079460000;npdi;rn=+442079990000@h;user=phone",
        "sip:+442079460000;isub=1411;postd=pp22@h",
    ] {
        assert_eq!(called(settings(), uri), Ok("+442079460000".to_owned()), "{uri}");
    }
    for uri in ["sip:2125550123@h", "sip:12125550123@h", "tel:212-555-0123;phone-context=pbx.example"] {
        assert_eq!(called(settings(), uri), Ok("+12125550123".to_owned()), "{uri}");
    }
}

#[test]
fn codes_come_first_and_go_untouched() {
    for (uri, user) in [
        ("sip:911@h", "911"),
        ("tel:112;phone-context=+1", "112"),
        ("sip:118;phone-context=+44@h", "118"),
        ("sip:*97@h", "*97"),
        ("sip:%2331%23@h", "%2331%23"),
        ("sip:**21*%23@h", "**21*%23"),
    ] {
        for form in [NumberForm::E164, NumberForm::Plain, NumberForm::National, NumberForm::AsIs] {
            let settings = changed(|trunk| {
                trunk.send_numbers = form;
                trunk.prefix = PrefixRule { strip: "9".to_owned(), add: "00".to_owned() };
                trunk.tech_prefix = "77#".to_owned();
            });
            assert_eq!(called(settings, uri).as_deref(), Ok(user), "{uri} as {form:?}");
        }
    }
}

#[test]
fn names_go_byte_for_byte() {
    for user in [
        "support",
        "AI.assistant",
        "agent%5F123",
        "a%3Bb;c=d",
        "joe%40corp",
        "1-800-FLOWERS",
        "a%2fb",
        "me+you=us",
    ] {
        let uri = format!("sip:{user}@h");
        let settings = changed(|trunk| {
            trunk.send_numbers = NumberForm::Plain;
            trunk.tech_prefix = "77#".to_owned();
        });
        assert_eq!(called(settings, &uri).as_deref(), Ok(user), "{user}");
    }
}

#[test]
fn what_is_no_number_though_it_looks_like_one_is_484() {
    for uri in [
        "sip:+4420794600001@h",
        "sip:+999123456@h",
        "sip:12345@h",
        "sip:+1+2@h",
        "sip:2125550123%23@h",
        "tel:+44-20",
        "sip:h",
        "sip:%2B@h",
    ] {
        assert_eq!(called(settings(), uri), Err(484), "{uri}");
    }
}

/// A caller, a callee and a diverter, as the PBX may write them.
fn diverted_call() -> Message {
    from(
        "\"Caller\" <sip:4155550100@10.0.0.9>",
        "0012125550123",
        &[(Header::Diversion, "<tel:+1-646-555-0155>;reason=no-answer")],
    )
}

#[test]
fn every_place_of_a_message_has_the_trunks_form() {
    let prefixed = PrefixRule { strip: "+1".to_owned(), add: "0".to_owned() };
    let none = PrefixRule::default();
    for (form, prefix, [callee, caller, diverter]) in [
        (NumberForm::E164, &none, ["+12125550123", "+14155550100", "+16465550155"]),
        (NumberForm::Plain, &none, ["12125550123", "14155550100", "16465550155"]),
        (NumberForm::National, &none, ["2125550123", "4155550100", "6465550155"]),
        (NumberForm::International, &none, ["0012125550123", "0014155550100", "0016465550155"]),
        (NumberForm::AsIs, &none, ["0012125550123", "4155550100", "+1-646-555-0155"]),
        (NumberForm::E164, &prefixed, ["02125550123", "04155550100", "06465550155"]),
    ] {
        for (identity, named) in [
            (Identity::Pai, Header::PAssertedIdentity),
            (Identity::Ppi, Header::PPreferredIdentity),
            (Identity::Rpid, Header::RemotePartyId),
        ] {
            for diversion in [DiversionForm::Diversion, DiversionForm::HistoryInfo] {
                let settings = changed(|trunk| {
                    (trunk.send_numbers, trunk.prefix) = (form, prefix.clone());
                    (trunk.identity, trunk.diversion) = (identity, diversion);
                });
                let invite = sent(settings, &diverted_call());
                let at = |user: &str| format!("sip:{user}@carrier-a.example");
                assert_eq!(String::from_utf8_lossy(invite.request_uri_raw()), at(callee));
                assert_eq!(header(&invite, Header::To), format!("<{}>", at(callee)));
                assert!(header(&invite, Header::From).contains(&format!("<{}>", at(caller))), "{form:?}");
                assert!(header(&invite, Header::Contact).starts_with(&format!("<sip:{caller}@203.0.113.5")));
                assert!(header(&invite, named).starts_with(&format!("<{}>", at(caller))), "{form:?}");
                let by = if diversion == DiversionForm::Diversion {
                    Header::Diversion
                } else {
                    Header::HistoryInfo
                };
                assert!(header(&invite, by).starts_with(&format!("<{}>", at(diverter))), "{form:?}");
                let last = invite.list(by).last().map(|value| String::from_utf8_lossy(value).into_owned());
                if by == Header::HistoryInfo {
                    assert!(last.unwrap().starts_with(&format!("<{};cause=", at(callee))));
                }
            }
        }
    }
}

#[test]
fn a_default_caller_has_the_trunks_form_too() {
    let settings = changed(|trunk| {
        trunk.send_numbers = NumberForm::National;
        trunk.prefix.add = "0".to_owned();
        trunk.caller_id = CallerIdPolicy {
            default: Some("+12025550123".to_owned()),
            allowed: vec!["+1202*".to_owned()],
            ..CallerIdPolicy::default()
        };
    });
    let invite = sent(settings, &diverted_call());
    assert!(header(&invite, Header::From).starts_with("<sip:02025550123@carrier-a.example>"));
}

#[test]
fn a_tech_prefix_is_the_called_numbers_alone() {
    let settings = changed(|trunk| {
        trunk.send_numbers = NumberForm::Plain;
        trunk.identity = Identity::Pai;
        trunk.tech_prefix = "1234#".to_owned();
    });
    let invite = sent(settings.clone(), &diverted_call());
    assert_eq!(invite.request_uri_raw(), b"sip:1234%2312125550123@carrier-a.example");
    assert_eq!(header(&invite, Header::To), "<sip:1234%2312125550123@carrier-a.example>");
    for place in [Header::From, Header::Contact, Header::PAssertedIdentity] {
        assert!(header(&invite, place).contains("sip:14155550100@"), "{place:?}");
    }
    // The route, the record and the next trunk know the number without it.
    let mut settings = settings;
    settings.routing.routes[0].to = vec![NumberPattern::Prefix("+1212".to_owned())];
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &to_uri("sip:12125550123@h"));
    lab.take_response(PBX, 100);
    let first = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &first, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(second.request_uri_raw(), b"sip:+12125550123@carrier-b.example");
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "callee", None));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().to_e164.as_deref(), Some("+12125550123"));
}

/// A PBX that dials 9 for an outside line.
fn behind_nine() -> Settings {
    let mut settings = settings();
    let codes = vec!["9".to_owned()];
    settings.routing.trunks[0].numbering =
        Some(crate::numbering::Settings { access_codes: codes, ..settings.numbering.clone() });
    settings
}

#[test]
fn an_access_code_is_taken_off_the_called_number() {
    for (uri, user) in [
        ("sip:912125550123@h", "+12125550123"),
        ("sip:9-011-44-20-7946-0000@h", "+442079460000"),
        ("tel:92125550123", "+12125550123"),
        ("sip:12125550123@h", "+12125550123"),
        ("sip:9118@h", "118"),
        ("sip:9911@h", "911"),
        ("sip:911@h", "911"),
        ("sip:9lives@h", "9lives"),
    ] {
        assert_eq!(called(behind_nine(), uri).as_deref(), Ok(user), "{uri}");
    }
    // As it came means without what was for the PBX's switch; the caller has none.
    let mut as_is = behind_nine();
    as_is.routing.trunks[1].send_numbers = NumberForm::AsIs;
    let invite = sent(as_is, &from("<sip:9172345678@10.0.0.9>", "9-1-212-555-0123", &[]));
    assert_eq!(invite.request_uri_raw(), b"sip:1-212-555-0123@carrier-a.example");
    assert!(header(&invite, Header::From).starts_with("<sip:9172345678@"));
    // Of a peer without one, 9 is a digit, and this a number of India.
    assert_eq!(called(settings(), "sip:912125550123@h").as_deref(), Ok("+912125550123"));
}

#[test]
fn an_emergency_call_behind_an_access_code_passes_every_limit() {
    let nothing = crate::routing::Limits { calls: Some(0), calls_per_second: Some(0) };
    let mut settings = behind_nine();
    settings.routing.limits = nothing;
    for trunk in &mut settings.routing.trunks {
        trunk.limits = nothing;
    }
    let mut help = route("help", RouteSource::Realm(Realm::Trusted), &["carrier-a"]);
    help.to = vec![NumberPattern::Exact("911".to_owned())];
    settings.routing.routes.insert(0, help);
    assert_eq!(called(settings.clone(), "sip:9911@h").as_deref(), Ok("911"));
    assert_eq!(called(settings, "sip:912125550123@h"), Err(503));
}

#[test]
fn explain_tells_of_the_access_code() {
    let question = Question {
        realm: Realm::Trusted,
        source: PBX.parse().unwrap(),
        from: "+14155550100".to_owned(),
        to: "912125550123".to_owned(),
        headers: vec![],
        resolved: vec![],
    };
    let found = crate::b2bua::explain::explain(&std::sync::Arc::new(behind_nine()), &question);
    let called = found.called.unwrap();
    assert_eq!(called.received, "912125550123");
    assert_eq!(called.steps[0], "access code 9 taken off: 12125550123");
    assert_eq!(called.steps.last().unwrap(), "read as +12125550123");
}
