//! `explain` says what a call would meet; and a call that is then made meets just that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::identity_policy::from;
use super::lab::*;
use crate::b2bua::Settings;
use crate::b2bua::explain::{EntryOwner, Explanation, Question, TrunkStep, Verdict, explain};
use crate::base::{Realm, Transport, TrunkName};
use crate::numbering::Number;
use crate::routing::{
    CallerIdFallback, CallerIdPolicy, Host, Identity, Mismatch, NumberPattern, RouteSource, TrunkHost,
};
use crate::sip::{Header, Message, Method};

/// What the lab's INVITEs say in From.
const CALLER: &str = "\"Caller\" <sip:+14155550100@10.0.0.9:5060>";

fn question(source: &str, from: &str, to: &str) -> Question {
    let source: SocketAddr = source.parse().unwrap();
    let realm = if source.ip().to_string().starts_with("10.") { Realm::Trusted } else { Realm::Untrusted };
    let (from, to) = (from.to_owned(), to.to_owned());
    Question { realm, source, from, to, headers: vec![], resolved: vec![] }
}

pub fn ask(settings: Settings, source: &str, from: &str, to: &str) -> Explanation {
    explain(&Arc::new(settings), &question(source, from, to))
}

fn refusal(explanation: &Explanation) -> (u16, &str) {
    match &explanation.verdict {
        Verdict::Refused { status, cause, .. } => (*status, cause),
        other => panic!("{other:?}"),
    }
}

/// The first INVITE that a trunk is sent, as lines.
fn invite_of(trunk: &TrunkStep) -> String {
    let invite = trunk.targets[0].invite.as_ref().unwrap();
    let headers = invite.headers.iter().map(|(name, value)| format!("\n{name}: {value}"));
    format!("{}{}", invite.request_uri, headers.collect::<String>())
}

fn named_host(name: &str) -> Vec<TrunkHost> {
    vec![TrunkHost { host: Host::Name(name.to_owned()), port: None, priority: 1, weight: 1 }]
}

#[test]
fn a_call_out_is_followed_through_every_step() {
    let mut settings = settings();
    settings.routing.trunks[0].allow = vec!["10.0.0.0/24".parse().unwrap()];
    settings.routing.trunks[1].identity = Identity::Pai;
    settings.admission.allow.trusted = vec!["10.0.0.0/8".parse().unwrap(), "10.0.0.9/32".parse().unwrap()];
    let mut us = route("us", RouteSource::Realm(Realm::Trusted), &["carrier-b"]);
    us.to = vec![NumberPattern::Prefix("+1".to_owned())];
    settings.routing.routes.insert(0, us);
    settings.routing.routes.swap(0, 2);
    settings.routing.routes.swap(1, 2);
    // in, us, out
    let names: Vec<_> = settings.routing.routes.iter().map(|route| route.name.clone()).collect();
    assert_eq!(names, ["in", "us", "out"]);
    let found = ask(settings, PBX, "4155550100", "00 44 20 7946 0000");
    assert_eq!(found.verdict, Verdict::Routed);
    assert_eq!(found.admission.entry, Some("10.0.0.9/32".parse().unwrap()));
    assert_eq!(
        found.admission.owner,
        Some(EntryOwner::TrunkHost(TrunkName::from("pbx"), "10.0.0.9".to_owned()))
    );
    assert_eq!(found.listener.as_ref().unwrap().bind, SBC_TRUSTED.parse().unwrap());
    let called = found.called.as_ref().unwrap();
    assert_eq!(called.result, Ok(Number::E164("+442079460000".to_owned())));
    assert_eq!(called.steps[0], "separators stripped: 00442079460000");
    assert_eq!(called.steps.last().unwrap(), "read as +442079460000");
    assert_eq!(found.caller.as_ref().unwrap().result, Ok(Number::E164("+14155550100".to_owned())));
    let looks: Vec<_> = found.routes.iter().map(|route| (route.name.as_str(), route.mismatch)).collect();
    assert_eq!(looks, [("in", Some(Mismatch::Source)), ("us", Some(Mismatch::Number)), ("out", None)]);
    assert_eq!(found.routes[1].to, ["+1*"]);
    let trunks: Vec<_> = found.trunks.iter().map(|trunk| (trunk.name.as_str(), trunk.tier)).collect();
    assert_eq!(trunks, [("carrier-a", 1), ("carrier-b", 2)]);
    assert_eq!(found.trunks[0].caller.shown, "own");
    assert_eq!(
        invite_of(&found.trunks[0]),
        "sip:+442079460000@carrier-a.example\n\
         From: <sip:+14155550100@carrier-a.example>\n\
         To: <sip:+442079460000@carrier-a.example>\n\
         Contact: <sip:+14155550100@203.0.113.5:5060>\n\
         P-Asserted-Identity: <sip:+14155550100@carrier-a.example>"
    );
}

#[test]
fn a_stranger_is_told_from_a_peer_at_the_wrong_door() {
    let found = ask(settings(), STRANGER, "1", "+442079460000");
    assert_eq!(
        found.verdict,
        Verdict::Dropped { cause: "the source is in no allowlist of the untrusted realm".to_owned() }
    );
    assert_eq!((found.admission.entry, found.admission.is_of_other_realm), (None, false));
    assert!(found.called.is_none() && found.routes.is_empty());
    let wrong = Question { realm: Realm::Untrusted, ..question(PBX, "1", "+442079460000") };
    assert!(explain(&Arc::new(settings()), &wrong).admission.is_of_other_realm);
    let v6 = ask(settings(), "[2001:db8::1]:5060", "1", "2");
    assert_eq!(v6.verdict, Verdict::Dropped { cause: "the untrusted realm has no IPv6 listener".to_owned() });
}

#[test]
fn refusals_have_the_status_and_the_words_of_the_record() {
    let mut settings = settings();
    settings.routing.routes[0].to = vec![NumberPattern::Prefix("+1".to_owned())];
    let none = ask(settings.clone(), PBX, "+14155550100", "+442079460000");
    assert_eq!(refusal(&none), (404, "no route matches"));
    assert!(none.routes.iter().all(|route| route.mismatch.is_some()));
    let fault = ask(settings.clone(), PBX, "+14155550100", "+4420794600001");
    assert_eq!(refusal(&fault), (484, "no such number exists in its country's numbering plan"));
    assert!(fault.called.unwrap().steps.last().unwrap().starts_with("refused: "));
    assert!(fault.routes.is_empty());
    settings.routing.trunks[0].enabled = false;
    let disabled = ask(settings, PBX, "+14155550100", "+12125550100");
    assert_eq!(refusal(&disabled), (503, "trunk pbx is disabled and may send no calls"));
    assert!(disabled.routes.is_empty(), "routes are not asked");
}

#[test]
fn before_there_is_a_call_the_answers_phrase_says_why() {
    let odd = Question {
        headers: vec![("Require".to_owned(), "x-odd".to_owned())],
        ..question(PBX, "+14155550100", "+442079460000")
    };
    let found = explain(&Arc::new(settings()), &odd);
    assert_eq!(refusal(&found), (420, "Bad Extension"));
    assert!(found.called.is_none());
}

#[test]
fn the_caller_id_policy_of_each_trunk_is_told_with_its_reason() {
    let mut settings = settings();
    settings.routing.trunks[1].caller_id = CallerIdPolicy {
        default: None,
        allowed: vec!["+1555123*".to_owned()],
        otherwise: CallerIdFallback::Reject,
    };
    settings.routing.trunks[2].caller_id = CallerIdPolicy {
        default: Some("+15551230000".to_owned()),
        allowed: vec!["+1555123*".to_owned()],
        otherwise: CallerIdFallback::Default,
    };
    let both = ask(settings.clone(), PBX, "+14155550100", "+442079460000");
    assert_eq!(both.verdict, Verdict::Routed);
    assert_eq!(both.trunks[0].caller.shown, "refused");
    let fault = both.trunks[0].targets[0].invite.as_ref().unwrap_err();
    assert_eq!(fault, "the trunk's caller_id policy refuses the caller (403)");
    assert_eq!(both.trunks[1].caller.shown, "default");
    assert_eq!(both.trunks[1].caller.number.as_deref(), Some("+15551230000"));
    assert_eq!(both.trunks[1].caller.because, "the caller's is not in caller_id.allowed");
    assert!(invite_of(&both.trunks[1]).contains("From: <sip:+15551230000@carrier-b.example>\n"));
    // A call for help shows its caller.
    let help = ask(settings.clone(), PBX, "+14155550100", "112");
    assert!(help.called.unwrap().result.unwrap().is_emergency());
    assert_eq!(help.trunks[0].caller.because, "an emergency call shows its caller");
    assert!(help.trunks[0].targets[0].invite.is_ok());
    let service = ask(settings.clone(), PBX, "+14155550100", "urn:service:sos.fire");
    assert_eq!(service.called.unwrap().result, Ok(Number::Emergency("911".to_owned())));
    settings.routing.routes[0].tiers.pop();
    let only = ask(settings, PBX, "+14155550100", "+442079460000");
    assert_eq!(refusal(&only), (403, "no trunk took the call"));
}

#[test]
fn who_asks_to_be_hidden_is() {
    let mut settings = settings();
    settings.routing.trunks[2].trust_identity = true;
    settings.routing.trunks[2].identity = Identity::Pai;
    let hidden = Question {
        headers: vec![("Privacy".to_owned(), "id".to_owned())],
        ..question(PBX, "+14155550100", "+442079460000")
    };
    let found = explain(&Arc::new(settings), &hidden);
    assert_eq!(found.privacy, "hidden");
    let shown: Vec<_> =
        found.trunks.iter().map(|trunk| (trunk.caller.shown, trunk.caller.number.as_deref())).collect();
    assert_eq!(shown, [("anonymous", None), ("anonymous", Some("+14155550100"))]);
    assert!(!invite_of(&found.trunks[0]).contains("4155550100"));
    let told = invite_of(&found.trunks[1]);
    assert!(told.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>\n"), "{told}");
    assert!(
        told.contains("P-Asserted-Identity: <sip:+14155550100@carrier-b.example>\nPrivacy: id"),
        "{told}"
    );
}

#[test]
fn a_disabled_trunk_is_passed_over_and_said() {
    let mut settings = settings();
    settings.routing.trunks[1].enabled = false;
    let found = ask(settings.clone(), PBX, "+14155550100", "+442079460000");
    assert_eq!(found.verdict, Verdict::Routed);
    assert_eq!(found.disabled, [TrunkName::from("carrier-a")]);
    assert_eq!((found.trunks.len(), found.trunks[0].tier), (1, 2));
    settings.routing.trunks[2].enabled = false;
    let none = ask(settings, PBX, "+14155550100", "+442079460000");
    assert_eq!(refusal(&none), (503, "every trunk of route out is disabled"));
    assert_eq!(none.disabled.len(), 2);
}

#[test]
fn names_are_not_looked_up_but_dns_can_be_played() {
    let mut settings = settings();
    settings.routing.trunks[1].hosts = named_host("sip.carrier.example");
    settings.admission.allow.untrusted.clear();
    let found = ask(settings.clone(), PBX, "+14155550100", "+442079460000");
    let target = &found.trunks[0].targets[0];
    assert_eq!((target.host.as_str(), target.address, target.port), ("sip.carrier.example", None, 5060));
    assert!(target.invite.is_ok());
    assert!(!format!("{found:?}").contains("240.0."), "a made-up address is shown: {found:?}");
    let asked: Vec<String> = found.trunks[0].lookups[0].questions.iter().map(ToString::to_string).collect();
    let name = "sip.carrier.example";
    assert_eq!(asked, [format!("NAPTR {name}"), format!("SRV _sip._udp.{name}"), format!("A {name}")]);
    assert!(found.trunks[1].lookups.is_empty(), "an address asks for nothing");
    let unknown = ask(settings.clone(), CARRIER_A, "+14155550100", "+12125550100");
    assert!(matches!(unknown.verdict, Verdict::Dropped { .. }));
    assert_eq!(
        unknown.admission.unknown_names,
        [(TrunkName::from("carrier-a"), "sip.carrier.example".to_owned())]
    );
    let played = Question {
        resolved: vec![("SIP.carrier.example".to_owned(), "198.51.100.1".parse().unwrap())],
        ..question(CARRIER_A, "+14155550100", "+12125550100")
    };
    let known = explain(&Arc::new(settings), &played);
    assert_eq!(known.verdict, Verdict::Routed);
    assert_eq!(
        known.admission.owner,
        Some(EntryOwner::TrunkHost(TrunkName::from("carrier-a"), "sip.carrier.example".to_owned()))
    );
    assert_eq!(known.admission.trunk, Some(TrunkName::from("carrier-a")));
    assert!(known.admission.unknown_names.is_empty());
}

#[test]
fn a_target_without_a_listener_is_said_to_have_none() {
    let mut settings = settings();
    settings.routing.trunks[1].transport = Some(Transport::Tls);
    let found = ask(settings, PBX, "+14155550100", "+442079460000");
    let fault = found.trunks[0].targets[0].invite.as_ref().unwrap_err();
    assert_eq!(fault, "the untrusted realm has no tls listener for IPv4");
    assert_eq!(found.verdict, Verdict::Routed);
}

#[test]
fn a_call_is_tried_at_so_many_targets_and_no_more() {
    let mut settings = settings();
    settings.routing.trunks[1].hosts = (1..=20)
        .map(|last| TrunkHost {
            host: Host::Address([198, 51, 100, last].into()),
            port: None,
            priority: 1,
            weight: 1,
        })
        .collect();
    let found = ask(settings, PBX, "+14155550100", "+442079460000");
    let sent = found.trunks[0].targets.iter().filter(|target| target.invite.is_ok()).count();
    assert_eq!(sent, 16);
    let fault = found.trunks[0].targets[16].invite.as_ref().unwrap_err();
    assert_eq!(fault, "not tried: a call is tried at 16 targets at most");
}

/// What a target got, without what is minted: as `explain` shows it.
fn as_shown(invite: &Message) -> (String, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = |header| {
        let value = text(invite.header(header)?);
        Some(format!("{}: {}", header.as_str(), value.split(";tag=").next().unwrap()))
    };
    let headers = [
        Header::From,
        Header::To,
        Header::Contact,
        Header::PAssertedIdentity,
        Header::PPreferredIdentity,
        Header::RemotePartyId,
        Header::Privacy,
        Header::Diversion,
    ];
    (text(invite.request_uri_raw()), headers.into_iter().filter_map(value).collect())
}

/// The call is really made, with SDP and in time: what each target got, and how it ended.
fn make(
    settings: Settings,
    called: &str,
    headers: &[(Header, &str)],
) -> (Vec<(String, Vec<String>)>, u16, String) {
    let mut lab = Lab::with(settings);
    lab.looks_for_leaks = false;
    lab.receive(PBX, &from(CALLER, called, headers));
    lab.advance(Duration::from_secs(40));
    let mut seen = Vec::new();
    let mut got = Vec::new();
    for (_, message) in &lab.sent {
        let is_new = message.method() == Some(&Method::Invite) && !seen.contains(&message.call_id());
        if is_new {
            seen.push(message.call_id());
            got.push(as_shown(message));
        }
    }
    let cdr = lab.cdr();
    (got, cdr.status, cdr.cause.clone())
}

#[test]
fn what_is_explained_is_what_calls_do() {
    type Change = fn(&mut Settings);
    let reject: Change = |settings| {
        settings.routing.trunks[1].caller_id.allowed = vec!["+1555*".to_owned()];
        settings.routing.trunks[1].caller_id.otherwise = CallerIdFallback::Reject;
    };
    let forms: Change = |settings| {
        settings.routing.trunks[1].send_numbers = crate::numbering::NumberForm::International;
        settings.routing.trunks[1].identity = Identity::Rpid;
        settings.routing.trunks[2].send_numbers = crate::numbering::NumberForm::Plain;
        settings.routing.trunks[2].identity = Identity::Ppi;
        settings.routing.trunks[2].caller_id.default = Some("+15551230000".to_owned());
        settings.routing.trunks[2].caller_id.allowed = vec!["+1555*".to_owned()];
    };
    let narrow: Change = |settings| {
        settings.routing.routes[0].to = vec![NumberPattern::Exact("support".to_owned())];
        settings.routing.trunks[1].enabled = false;
    };
    let no_trunk: Change = |settings| settings.routing.routes[0].tiers.truncate(0);
    let full: Change = |settings| settings.routing.trunks[1].limits.calls = Some(0);
    let pai: &[(Header, &str)] = &[(Header::PAssertedIdentity, "\"Bo\" <sip:2125550199@h>")];
    let hidden: &[(Header, &str)] = &[(Header::Privacy, "id")];
    let numbers = ["+442079460000", "011442079460000", "2125550100", "support", "112", "123", "55", "+44999"];
    for change in [(|_| {}) as Change, reject, forms, narrow, no_trunk, full] {
        for called in numbers {
            for headers in [&[], pai, hidden] {
                let mut settings = settings();
                change(&mut settings);
                let named =
                    |(header, value): &(Header, &str)| (header.as_str().to_owned(), (*value).to_owned());
                let question = Question {
                    headers: headers.iter().map(named).collect(),
                    ..question(PBX, CALLER, called)
                };
                let explanation = explain(&Arc::new(settings.clone()), &question);
                let (got, status, cause) = make(settings, called, headers);
                let told: Vec<_> = explanation
                    .trunks
                    .iter()
                    .flat_map(|trunk| &trunk.targets)
                    .filter_map(|target| target.invite.as_ref().ok())
                    .map(|invite| {
                        let lines = invite.headers.iter().map(|(name, value)| format!("{name}: {value}"));
                        (invite.request_uri.clone(), lines.collect::<Vec<_>>())
                    })
                    .collect();
                assert_eq!(told, got, "{called} {headers:?}");
                match &explanation.verdict {
                    Verdict::Routed => assert!(!got.is_empty(), "{called}"),
                    Verdict::Refused { .. } => {
                        assert!(got.is_empty(), "{called}");
                        assert_eq!(refusal(&explanation), (status, cause.as_str()), "{called}");
                    }
                    Verdict::Dropped { cause } => panic!("{called}: {cause}"),
                }
            }
        }
    }
}
