//! Whose a call from a carrier is, where two of its accounts or regions share their addresses.

use super::explain::ask;
use super::lab::*;
use crate::b2bua::{Event, Settings};
use crate::base::{Realm, TrunkName};
use crate::routing::{Host, NumberPattern, RouteSource, Trunk, TrunkMatch};
use crate::sip::{Header, Message, Method};

fn prefix(text: &str) -> NumberPattern {
    NumberPattern::Prefix(text.to_owned())
}

/// Two trunks of one carrier, each of which has all of its addresses.
fn two_of_one_carrier(first: TrunkMatch, second: TrunkMatch) -> Settings {
    let mut settings = settings();
    for (trunk, matching) in settings.routing.trunks.iter_mut().skip(1).zip([first, second]) {
        trunk.allow = vec!["198.51.100.0/24".parse().unwrap()];
        trunk.hosts[0].host = Host::Name(format!("{}.example", trunk.name));
        trunk.matching = matching;
    }
    settings
}

/// A call of the carrier's with these URIs. Gives the trunk that the record has, and the status.
fn trunk_of(lab: &mut Lab, id: &str, request_uri: &str, from: &str, to: &str) -> (Option<TrunkName>, u16) {
    let bytes = text(&invite(CARRIER_A, "+442079460000", id, Some(SDP_CARRIER)))
        .replacen("sip:+442079460000@203.0.113.5:5060", request_uri, 1)
        .replacen("sip:+14155550100@198.51.100.1:5060", from, 1)
        .replacen("To: <sip:+442079460000@203.0.113.5:5060>", &format!("To: <{to}>"), 1);
    assert!(bytes.contains(request_uri) && bytes.contains(from) && bytes.contains(to), "{bytes}");
    lab.receive_bytes(CARRIER_A, bytes);
    lab.take_response(CARRIER_A, 100);
    if lab.sent.front().is_some_and(|(_, message)| message.method() == Some(&Method::Invite)) {
        let outgoing = lab.take_request(PBX, &Method::Invite);
        lab.receive(PBX, &respond(PBX, &outgoing, 486, "extension", None));
        lab.take_request(PBX, &Method::Ack);
    }
    lab.sent.clear();
    lab.expect_nothing_left();
    lab.sent.clear();
    let cdr = lab.cdrs.pop().expect("a record");
    (cdr.ingress.trunk, cdr.status)
}

fn named(name: &str) -> (Option<TrunkName>, u16) {
    (Some(name.into()), 486)
}

const HERE: &str = "203.0.113.5:5060";

#[test]
fn accounts_of_one_carrier_are_told_apart_by_the_number_called() {
    let by = |numbers: &str| TrunkMatch { to: Some(vec![prefix(numbers)]), ..TrunkMatch::default() };
    let mut lab = Lab::with(two_of_one_carrier(by("+1202555"), by("+44")));
    let from = "sip:+33198765432@carrier.example";
    for (id, uri, trunk) in [
        ("1", "sip:+12025550123@203.0.113.5:5060", "carrier-a"),
        ("2", "sip:12025550123@203.0.113.5;user=phone", "carrier-a"),
        ("3", "tel:+44-20-7946-0000", "carrier-b"),
        ("4", "sip:%2B442079460000@203.0.113.5", "carrier-b"),
    ] {
        assert_eq!(trunk_of(&mut lab, id, uri, from, "sip:x@h"), named(trunk), "{uri}");
    }
    // The Request-URI counts, not To; but where that has no number, To says it.
    let (ours, to) = ("sip:+12025550123@203.0.113.5", "sip:+442079460000@carrier.example");
    assert_eq!(trunk_of(&mut lab, "5", ours, from, to), named("carrier-a"));
    assert_eq!(trunk_of(&mut lab, "6", "sip:device7@203.0.113.5", from, to), named("carrier-b"));
    // Nobody's: a route from the realm may take it, one from a trunk does not.
    let german = "sip:+4930901820@203.0.113.5";
    assert_eq!(trunk_of(&mut lab, "7", german, from, "sip:x@h"), (None, 486));
    let mut settings = two_of_one_carrier(by("+1202555"), by("+44"));
    settings.routing.routes[1] = route("in", RouteSource::Trunk("carrier-a".into()), &["pbx"]);
    let mut lab = Lab::with(settings);
    assert_eq!(trunk_of(&mut lab, "8", german, from, "sip:x@h"), (None, 404));
}

#[test]
fn a_number_is_read_as_the_trunk_in_question_reads_it() {
    let mut settings = two_of_one_carrier(
        TrunkMatch { to: Some(vec![prefix("+44")]), ..TrunkMatch::default() },
        TrunkMatch { to: Some(vec![prefix("+1")]), ..TrunkMatch::default() },
    );
    settings.routing.trunks[1].numbering =
        Some(crate::numbering::Settings { country: Some("GB".to_owned()), ..settings.numbering.clone() });
    let mut lab = Lab::with(settings);
    let from = "sip:+33198765432@carrier.example";
    let british = "sip:02079460000@203.0.113.5";
    assert_eq!(trunk_of(&mut lab, "1", british, from, "sip:x@h"), named("carrier-a"));
    let american = "sip:2025550123@203.0.113.5";
    assert_eq!(trunk_of(&mut lab, "2", american, from, "sip:x@h"), named("carrier-b"));
}

#[test]
fn regions_of_one_carrier_are_told_apart_by_their_domains() {
    let of = |domain: &str| TrunkMatch { domains: vec![domain.to_owned()], ..TrunkMatch::default() };
    let mut lab = Lab::with(two_of_one_carrier(of("euc1.carrier.example"), of("use1.carrier.example")));
    let ours = "sip:+442079460000@203.0.113.5:5060";
    for (id, uri, from, to, trunk) in [
        ("1", ours, "sip:+12025550123@EUC1.carrier.example", "sip:x@h", "carrier-a"),
        ("2", ours, "sip:+12025550123@h", "sip:+442079460000@use1.carrier.example:5060", "carrier-b"),
        ("3", "sip:+442079460000@use1.carrier.example", "sip:+12025550123@h", "sip:x@h", "carrier-b"),
    ] {
        assert_eq!(trunk_of(&mut lab, id, uri, from, to), named(trunk), "{uri} {from} {to}");
    }
    assert_eq!(trunk_of(&mut lab, "4", ours, "sip:+12025550123@h", "sip:x@h"), (None, 486));
}

#[test]
fn a_call_to_a_registered_contact_is_of_its_trunk() {
    let registration = TrunkMatch { registration: true, ..TrunkMatch::default() };
    let mut lab = Lab::with(two_of_one_carrier(registration, TrunkMatch::default()));
    lab.engine.router.set_registrations(&"carrier-a".into(), "r4e8z1", Vec::new());
    let from = "sip:+12025550123@carrier.example";
    let to = "sip:+442079460000@carrier.example";
    assert_eq!(trunk_of(&mut lab, "1", "sip:r4e8z1@203.0.113.5:5060", from, to), named("carrier-a"));
    assert_eq!(trunk_of(&mut lab, "2", "sip:+442079460000@203.0.113.5:5060", from, to), named("carrier-b"));
}

#[test]
fn the_trunk_that_a_call_is_matched_to_decides_over_it() {
    let by = |numbers: &str| TrunkMatch { to: Some(vec![prefix(numbers)]), ..TrunkMatch::default() };
    let mut settings = two_of_one_carrier(by("+1202555"), by("+44"));
    settings.routing.trunks[2].enabled = false;
    settings.routing.trunks[1].limits.calls = Some(0);
    let mut lab = Lab::with(settings);
    let from = "sip:+33198765432@carrier.example";
    let uri = |number: &str| format!("sip:{number}@{HERE}");
    let full = trunk_of(&mut lab, "1", &uri("+12025550123"), from, "sip:x@h");
    assert_eq!(full, (Some("carrier-a".into()), 503));
    let disabled = trunk_of(&mut lab, "2", &uri("+442079460001"), from, "sip:x@h");
    assert_eq!(disabled, (Some("carrier-b".into()), 503));
    // OPTIONS names nobody, and is answered whosever it is.
    let options = request(CARRIER_A, &Method::Options, "sip:203.0.113.5", "3", 1);
    lab.receive(CARRIER_A, &options.header(Header::To, "<sip:203.0.113.5>").finish().unwrap());
    lab.take_response(CARRIER_A, 200);
    lab.expect_nothing_left();
}

#[test]
fn explain_says_whose_a_call_is_and_why_not_another_s() {
    let by = |numbers: &str| TrunkMatch { to: Some(vec![prefix(numbers)]), ..TrunkMatch::default() };
    let settings = two_of_one_carrier(by("+1202555"), by("+44"));
    let found = ask(settings.clone(), CARRIER_A, "+33198765432", "+442079460000");
    assert_eq!(found.admission.trunk, Some("carrier-b".into()));
    let steps: Vec<_> =
        found.admission.claims.iter().map(|claim| (claim.trunk.as_str(), claim.because.as_str())).collect();
    assert_eq!(
        steps,
        [("carrier-b", "match.to has +44*"), ("carrier-a", "match.to does not have the number")]
    );
    assert!(found.admission.claims[0].is_its);
    let nobody = ask(settings, CARRIER_A, "+33198765432", "+4930901820");
    assert_eq!((nobody.admission.trunk, nobody.admission.claims.len()), (None, 2));
    assert!(nobody.admission.claims.iter().all(|claim| !claim.is_its));
    let plain = ask(super::lab::settings(), CARRIER_A, "+33198765432", "+442079460000");
    assert!(plain.admission.claims.is_empty(), "one trunk leaves nothing to say");
}

#[test]
fn names_that_come_to_share_an_address_are_told_of_once() {
    let mut settings = settings();
    let mut named = |name: &str| {
        let host = Host::Name(format!("{name}.example"));
        let mut trunk = Trunk::new(name, Realm::Untrusted, host, None);
        trunk.health.interval = std::time::Duration::ZERO;
        settings.routing.trunks.push(trunk);
    };
    named("euc1");
    named("use1");
    let mut lab = Lab::with(settings);
    let resolve = |lab: &mut Lab, name: &str, address: &str| {
        let host = format!("{name}.example");
        lab.resolved(&host, found(&host, &[&format!("{address}:5060")]));
    };
    let told = |lab: &Lab| {
        let shared = lab.events.iter().filter_map(|event| match event {
            Event::SourceShared(shared) => {
                Some(format!("{} {} {}", shared.source, shared.first, shared.second))
            }
            _ => None,
        });
        shared.collect::<Vec<_>>()
    };
    resolve(&mut lab, "euc1", "198.51.100.50");
    assert_eq!(told(&lab), Vec::<String>::new());
    resolve(&mut lab, "use1", "198.51.100.50");
    resolve(&mut lab, "use1", "198.51.100.50");
    assert_eq!(told(&lab), ["198.51.100.50 euc1 use1"]);
    // The domain that the call speaks of is a hint, else the first has it.
    let call = |lab: &mut Lab, id: &str, from: &str| -> Option<TrunkName> {
        let message = text(&invite("198.51.100.50:5060", "+442079460000", id, Some(SDP_CARRIER)));
        let message = message.replacen("+14155550100@198.51.100.50:5060", from, 1);
        lab.receive("198.51.100.50:5060", &Message::parse(message.into()).unwrap());
        lab.sent.clear();
        lab.expect_nothing_left();
        lab.sent.clear();
        lab.cdrs.pop().unwrap().ingress.trunk
    };
    assert_eq!(call(&mut lab, "1", "+12025550123@use1.example"), Some("use1".into()));
    assert_eq!(call(&mut lab, "2", "+12025550123@other.example"), Some("euc1".into()));
}
