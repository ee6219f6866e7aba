//! Registering at trunks (RFC 3261 §10), on virtual time: what a registrar gets, how often, and what
//! calls make of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::lab::*;
use crate::b2bua::{Event, Input, RegistrationChange, RegistrationFault, Settings};
use crate::base::{Hop, Instant, ListenerId, Realm, Transport};
use crate::routing::{
    Credentials, Endpoint, Host, Register, RegisterTo, Resolution, ResolveFault, Trunk, TrunkHost,
};
use crate::sip::{Header, Message, Method, Status, Writer, response_to};

const HOUR: Duration = Duration::from_secs(3_600);

/// carrier-a wants to be registered at.
fn settings_with(register: Register) -> Settings {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    let trunk = &mut settings.routing.trunks[1];
    trunk.credentials = Some(Credentials { username: "line".to_owned(), password: "secret".to_owned() });
    trunk.register = Some(register);
    settings
}

fn lab_with(register: Register) -> Lab {
    Lab::with(settings_with(register))
}

fn host(address: &str) -> TrunkHost {
    let (address, port) = address.rsplit_once(':').unwrap();
    let host = Host::Address(address.parse().unwrap());
    TrunkHost { host, port: port.parse().ok(), priority: 1, weight: 1 }
}

/// carrier-a is at both carriers' addresses.
fn at_two_hosts(to: RegisterTo) -> Settings {
    let mut settings = settings_with(Register { to, ..Register::default() });
    settings.routing.trunks.truncate(2);
    settings.routing.trunks[1].hosts = vec![host(CARRIER_A), TrunkHost { priority: 2, ..host(CARRIER_B) }];
    settings
}

/// The registrar's answer.
fn answer(request: &Message, status: u16, headers: &[(Header, &str)]) -> Message {
    let writer =
        response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(status), None, Some("registrar"));
    let writer = headers.iter().fold(writer, |writer, (header, value)| writer.header(*header, value));
    writer.finish().unwrap()
}

fn challenge(request: &Message, nonce: &str) -> Message {
    let value = format!("Digest realm=\"carrier\", nonce=\"{nonce}\", qop=\"auth\"");
    answer(request, 401, &[(Header::WwwAuthenticate, &value)])
}

/// A 200 that lists our Contact with this time.
fn granted(request: &Message, seconds: u32) -> Message {
    let contact = String::from_utf8(request.header(Header::Contact).unwrap().to_vec()).unwrap();
    answer(
        request,
        200,
        &[(Header::Contact, &format!("<sip:other@192.0.2.1>;expires=7, {contact};expires={seconds}"))],
    )
}

fn number(message: &Message, header: Header) -> u32 {
    message.number(header).unwrap()
}

fn sequence(message: &Message) -> u32 {
    message.cseq().unwrap().number
}

/// Lets time pass until the next REGISTER to a peer.
#[track_caller]
fn next_register(lab: &mut Lab, peer: &str, within: Duration) -> Message {
    let until = lab.now + within;
    while lab.sent.iter().all(|(hop, _)| hop.peer.to_string() != peer) {
        assert!(lab.now < until, "no REGISTER within {within:?}");
        let next = lab.engine.next_deadline().filter(|next| *next <= until).unwrap_or(until);
        lab.advance(next.since(lab.now));
    }
    lab.take_request(peer, &Method::Register)
}

/// Registers at carrier-a, with a challenge, for so many seconds.
fn register(lab: &mut Lab, seconds: u32) -> Message {
    let first = next_register(lab, CARRIER_A, Duration::from_secs(1));
    assert!(first.header(Header::Authorization).is_none());
    lab.receive(CARRIER_A, &challenge(&first, "n1"));
    let second = lab.take_request(CARRIER_A, &Method::Register);
    assert!(second.header(Header::Authorization).is_some());
    lab.receive(CARRIER_A, &granted(&second, seconds));
    second
}

fn changes(lab: &Lab) -> Vec<RegistrationChange> {
    let change = |event: &Event| match event {
        Event::Registration { change, .. } => Some(change.clone()),
        _ => None,
    };
    lab.events.iter().filter_map(change).collect()
}

fn faults(lab: &Lab) -> Vec<RegistrationFault> {
    let fault = |change| match change {
        RegistrationChange::Failed { fault, .. } => Some(fault),
        _ => None,
    };
    changes(lab).into_iter().filter_map(fault).collect()
}

fn is_registered(lab: &Lab) -> Option<bool> {
    let last = lab.events.iter().rev().find_map(|event| match event {
        Event::Registration { is_registered, .. } => Some(*is_registered),
        _ => None,
    });
    last.flatten()
}

/// The REGISTERs to anybody in so much time, each counted once, at a registrar that says what `say`
/// says (`None`: nothing).
fn count_registers(lab: &mut Lab, time: Duration, say: impl Fn(&Message) -> Option<Message>) -> usize {
    let until = lab.now + time;
    let mut seen = BTreeSet::new();
    loop {
        while let Some((hop, message)) = lab.sent.pop_front() {
            if message.method() != Some(&Method::Register) {
                continue;
            }
            seen.insert((message.call_id().to_vec(), sequence(&message)));
            if let Some(answer) = say(&message) {
                lab.receive(&hop.peer.to_string(), &answer);
            }
        }
        let Some(next) = lab.engine.next_deadline().filter(|next| *next <= until) else { break };
        lab.advance(next.since(lab.now));
    }
    lab.advance(until.since(lab.now));
    seen.len()
}

/// After a shutdown nothing is left; what is taken back is answered.
fn end(mut lab: Lab) {
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_registration_is_made_renewed_and_taken_back() {
    let mut lab = lab_with(Register::default());
    let first = register(&mut lab, 600);
    assert_eq!(first.request_uri_raw(), b"sip:carrier-a.example");
    assert_eq!(first.to().unwrap().uri_raw, b"sip:line@carrier-a.example");
    assert_eq!(first.from().unwrap().uri_raw, b"sip:line@carrier-a.example");
    assert_eq!(number(&first, Header::Expires), 3_600);
    let bound_at = lab.now;
    let renewed = next_register(&mut lab, CARRIER_A, Duration::from_secs(540));
    assert!(lab.now.since(bound_at) >= Duration::from_secs(486), "{:?}", lab.now.since(bound_at));
    // §10.2.4: the same Call-ID, and CSeq up; and at once with credentials.
    assert_eq!((renewed.call_id(), sequence(&renewed)), (first.call_id(), sequence(&first) + 1));
    assert_eq!(renewed.header(Header::Contact), first.header(Header::Contact));
    assert_eq!(renewed.from().unwrap().tag(), first.from().unwrap().tag());
    assert!(text(&renewed).contains("nc=00000002"));
    lab.receive(CARRIER_A, &granted(&renewed, 600));
    assert_eq!(is_registered(&lab), Some(true));
    lab.input(Input::Shutdown);
    let last = lab.take_request(CARRIER_A, &Method::Register);
    assert_eq!((number(&last, Header::Expires), sequence(&last)), (0, sequence(&renewed) + 1));
    assert_eq!(last.header(Header::Contact), first.header(Header::Contact));
    lab.receive(CARRIER_A, &answer(&last, 200, &[]));
    assert_eq!(is_registered(&lab), None);
    let at = CARRIER_A.parse().unwrap();
    let expires = Duration::from_secs(600);
    let expected = [
        RegistrationChange::Begins,
        RegistrationChange::Registered { at, expires },
        RegistrationChange::Left,
    ];
    assert_eq!(changes(&lab), expected, "each change once");
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_registrar_that_wants_a_longer_time_gets_it() {
    let mut lab = lab_with(Register { expires: Duration::from_secs(60), ..Register::default() });
    let first = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
    lab.receive(CARRIER_A, &answer(&first, 423, &[(Header::MinExpires, "1800")]));
    let second = lab.take_request(CARRIER_A, &Method::Register);
    assert_eq!(number(&second, Header::Expires), 1_800);
    lab.receive(CARRIER_A, &answer(&second, 200, &[(Header::Expires, "1800")]));
    assert_eq!(is_registered(&lab), Some(true));
    end(lab);
    // One that is never content is left alone.
    let mut lab = lab_with(Register::default());
    let tries = count_registers(&mut lab, Duration::from_secs(60), |request| {
        let more = (number(request, Header::Expires) + 1).to_string();
        Some(answer(request, 423, &[(Header::MinExpires, &more)]))
    });
    assert_eq!((tries, faults(&lab)), (3, vec![RegistrationFault::TooBrief]));
    end(lab);
}

#[test]
fn a_dead_registrar_gets_few_requests_in_a_day_and_one_line_is_told() {
    let mut lab = lab_with(Register::default());
    let registers = count_registers(&mut lab, 24 * HOUR, |_| None);
    // 30 to 60 s, doubled up to half an hour.
    assert!((50..=105).contains(&registers), "{registers}");
    assert_eq!(faults(&lab), [RegistrationFault::Silence]);
    end(lab);
}

#[test]
fn a_registrar_that_refuses_is_not_asked_again_soon() {
    type Answer = fn(&Message) -> Message;
    let answers: [(Answer, RegistrationFault); 4] = [
        (|request| answer(request, 403, &[]), RegistrationFault::Forbidden),
        (
            |request| answer(request, 404, &[]),
            RegistrationFault::Unknown("sip:line@carrier-a.example".to_owned()),
        ),
        (|request| challenge(request, "n"), RegistrationFault::Credentials(Status::of(401))),
        (
            |request| answer(request, 302, &[(Header::Contact, "<sip:registrar@192.0.2.9>")]),
            RegistrationFault::Redirected("192.0.2.9".to_owned()),
        ),
    ];
    for (refusal, fault) in answers {
        let mut lab = lab_with(Register::default());
        let registers = count_registers(&mut lab, 12 * HOUR, |request| Some(refusal(request)));
        // Twice as many with a challenge.
        assert!((12..=60).contains(&registers), "{fault:?}: {registers}");
        assert_eq!(faults(&lab), [fault]);
        end(lab);
    }
}

#[test]
fn who_asks_for_time_gets_it() {
    let mut lab = lab_with(Register::default());
    let first = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
    let refused_at = lab.now;
    lab.receive(CARRIER_A, &answer(&first, 503, &[(Header::RetryAfter, "900")]));
    next_register(&mut lab, CARRIER_A, Duration::from_secs(990));
    assert!(lab.now.since(refused_at) >= Duration::from_secs(900));
    end(lab);
}

#[test]
fn a_renewal_that_fails_is_tried_again_while_the_binding_lives_and_its_end_is_told() {
    let mut lab = lab_with(Register::default());
    register(&mut lab, 600);
    let registers = count_registers(&mut lab, Duration::from_secs(590), |_| None);
    assert!((2..=5).contains(&registers), "{registers}");
    assert_eq!(is_registered(&lab), Some(true));
    assert!(matches!(
        changes(&lab).last(),
        Some(RegistrationChange::Failed { fault: RegistrationFault::Silence, remaining: Some(_), .. })
    ));
    lab.advance(Duration::from_secs(11));
    assert_eq!(is_registered(&lab), Some(false));
    assert_eq!(changes(&lab).last(), Some(&RegistrationChange::Expired));
    // The registrar is back.
    count_registers(&mut lab, Duration::from_secs(600), |request| Some(granted(request, 600)));
    assert_eq!(is_registered(&lab), Some(true));
    end(lab);
}

#[test]
fn the_next_target_is_tried_and_calls_go_where_the_registration_is() {
    let mut lab = Lab::with(at_two_hosts(RegisterTo::First));
    let first = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
    lab.receive(CARRIER_A, &answer(&first, 503, &[]));
    let second = lab.take_request(CARRIER_B, &Method::Register);
    assert_eq!(first.call_id(), second.call_id());
    lab.receive(CARRIER_B, &granted(&second, 3_600));
    lab.expect_silence();
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let asked = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &asked, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    // It is renewed where it is.
    next_register(&mut lab, CARRIER_B, HOUR);
    end(lab);
}

#[test]
fn each_host_of_a_trunk_has_a_registration_of_its_own() {
    let mut lab = Lab::with(at_two_hosts(RegisterTo::All));
    let [a, b] = [CARRIER_A, CARRIER_B].map(|peer| next_register(&mut lab, peer, Duration::from_secs(1)));
    assert_ne!(a.call_id(), b.call_id());
    assert_eq!(a.header(Header::Contact), b.header(Header::Contact));
    lab.receive(CARRIER_A, &answer(&a, 403, &[]));
    lab.receive(CARRIER_B, &granted(&b, 3_600));
    assert_eq!(is_registered(&lab), Some(true));
    assert_eq!(lab.engine.router.registrations_of(&"carrier-a".into()).len(), 2);
    end(lab);
}

#[test]
fn a_call_to_our_contact_is_for_whom_to_names() {
    let mut lab = lab_with(Register::default());
    let registered = register(&mut lab, 3_600);
    let contact = registered.contact().unwrap().uri_raw.to_vec();
    let user = contact.split(|byte| *byte == b'@').next().unwrap()[4..].to_vec();
    let user = String::from_utf8(user).unwrap();
    assert_eq!(lab.engine.router.registration_of(&user), Some(&BTreeSet::from(["carrier-a".into()])));
    assert_eq!(lab.engine.router.registration_of("line"), None);
    let to_contact = |id: &str, more: &[(&str, &str)]| {
        let writer = request(CARRIER_A, &Method::Invite, &String::from_utf8_lossy(&contact), id, 1)
            .header(Header::To, "<sip:+12025550123@carrier-a.example>")
            .header(Header::Contact, format!("<sip:caller@{CARRIER_A}>"));
        let add =
            |writer: Writer, (name, value): &(&str, &str)| writer.field(name.as_bytes(), value.as_bytes());
        finish(more.iter().fold(writer, add), Some(SDP_CARRIER))
    };
    for (id, more, called) in [
        ("1", &[][..], "sip:+12025550123@pbx.example"),
        (
            "2",
            &[("P-Called-Party-ID", "<sip:+12025550199@carrier-a.example>")][..],
            "sip:+12025550199@pbx.example",
        ),
    ] {
        lab.receive(CARRIER_A, &to_contact(id, more));
        lab.take_response(CARRIER_A, 100);
        let asked = lab.take_request(PBX, &Method::Invite);
        assert_eq!(String::from_utf8_lossy(asked.request_uri_raw()), called);
        lab.receive(PBX, &respond(PBX, &asked, 486, "callee", None));
        lab.take_request(PBX, &Method::Ack);
        lab.take_response(CARRIER_A, 486);
    }
    assert_eq!(lab.cdrs[0].ingress.trunk, Some("carrier-a".into()));
    end(lab);
}

#[test]
fn a_trunk_that_requires_its_registration_takes_no_call_without() {
    for (required, status) in [(true, 503), (false, 486)] {
        let mut lab = lab_with(Register { required, ..Register::default() });
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        if !required {
            let asked = lab.take_request(CARRIER_A, &Method::Invite);
            lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 486, "callee", None));
            lab.take_request(CARRIER_A, &Method::Ack);
        }
        lab.take_response(PBX, status);
        register(&mut lab, 3_600);
        lab.receive(PBX, &invite(PBX, "+442079460000", "2", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        lab.take_request(CARRIER_A, &Method::Invite);
        end(lab);
    }
}

#[test]
fn somebody_who_calls_for_help_needs_no_registration() {
    let mut lab = lab_with(Register { required: true, ..Register::default() });
    lab.receive(PBX, &invite(PBX, "911", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite);
    end(lab);
}

#[test]
fn what_a_reload_removes_or_disables_is_taken_back_and_what_it_keeps_stays() {
    type Change = fn(&mut Trunk);
    let changes: [(Change, bool); 4] = [
        (|trunk| trunk.enabled = false, true),
        (|trunk| trunk.register = None, true),
        (|trunk| trunk.domain = "other.example".to_owned(), true),
        (|trunk| trunk.limits.calls = Some(3), false),
    ];
    for (change, leaves) in changes {
        let mut lab = lab_with(Register::default());
        let bound = register(&mut lab, 3_600);
        let mut settings = settings_with(Register::default());
        change(&mut settings.routing.trunks[1]);
        lab.input(Input::Settings(Arc::new(settings)));
        if leaves {
            let last = lab.take_request(CARRIER_A, &Method::Register);
            assert_eq!((number(&last, Header::Expires), last.call_id()), (0, bound.call_id()));
            lab.receive(CARRIER_A, &answer(&last, 200, &[]));
        }
        lab.expect_silence();
        end(lab);
    }
    // The whole trunk.
    let mut lab = lab_with(Register::default());
    register(&mut lab, 3_600);
    let mut settings = settings_with(Register::default());
    settings.routing.trunks.remove(1);
    settings.routing.routes.remove(0);
    lab.input(Input::Settings(Arc::new(settings)));
    assert_eq!(number(&lab.take_request(CARRIER_A, &Method::Register), Header::Expires), 0);
    assert_eq!(lab.engine.router.registrations_of(&"carrier-a".into()), []);
    end(lab);
}

/// Its credentials go with the configuration, its binding does not.
#[test]
fn what_takes_back_the_binding_of_a_removed_trunk_answers_a_challenge() {
    let mut lab = lab_with(Register::default());
    register(&mut lab, 3_600);
    let mut settings = settings_with(Register::default());
    settings.routing.trunks.remove(1);
    settings.routing.routes.remove(0);
    lab.input(Input::Settings(Arc::new(settings)));
    let first = lab.take_request(CARRIER_A, &Method::Register);
    let stale = "Digest realm=\"carrier\", nonce=\"n2\", qop=\"auth\", stale=true";
    lab.receive(CARRIER_A, &answer(&first, 401, &[(Header::WwwAuthenticate, stale)]));
    let second = lab.take_request(CARRIER_A, &Method::Register);
    let digest = String::from_utf8(second.header(Header::Authorization).unwrap().to_vec()).unwrap();
    assert!(digest.contains("username=\"line\"") && digest.contains("nonce=\"n2\""), "{digest}");
    assert_eq!(number(&second, Header::Expires), 0);
    lab.receive(CARRIER_A, &answer(&second, 200, &[]));
    lab.expect_silence();
    end(lab);
}

#[test]
fn a_binding_at_a_host_that_is_configured_no_more_is_taken_back() {
    for is_granted in [true, false] {
        let only = |peer: &str| {
            let mut settings = at_two_hosts(RegisterTo::First);
            settings.routing.trunks[1].hosts = vec![host(peer)];
            Arc::new(settings)
        };
        let mut lab = Lab::with((*only(CARRIER_A)).clone());
        let first = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
        if is_granted {
            lab.receive(CARRIER_A, &granted(&first, 3_600));
        }
        lab.input(Input::Settings(only(CARRIER_B)));
        let last = lab.take_request(CARRIER_A, &Method::Register);
        assert_eq!((number(&last, Header::Expires), last.call_id()), (0, first.call_id()));
        lab.receive(CARRIER_A, &answer(&last, 200, &[]));
        // Not before the first has heard: both may be doors of one service.
        lab.advance(Duration::from_millis(1_900));
        lab.expect_silence();
        let moved = next_register(&mut lab, CARRIER_B, Duration::from_secs(4));
        lab.receive(CARRIER_B, &granted(&moved, 3_600));
        assert_eq!(is_registered(&lab), Some(true));
        end(lab);
    }
}

#[test]
fn a_trunk_that_an_operator_switches_off_is_left_and_registered_at_when_it_is_on_again() {
    let mut lab = lab_with(Register::default());
    let first = register(&mut lab, 3_600);
    for enabled in [false, true] {
        lab.input(Input::SetTrunkEnabled { trunk: "carrier-a".into(), enabled });
        let next = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
        assert_eq!(number(&next, Header::Expires), if enabled { 3_600 } else { 0 });
        assert_eq!(next.header(Header::Contact), first.header(Header::Contact));
        lab.receive(CARRIER_A, &granted(&next, if enabled { 3_600 } else { 0 }));
        assert_eq!(is_registered(&lab), enabled.then_some(true));
    }
    end(lab);
}

#[test]
fn a_password_that_is_mended_is_tried_at_once() {
    let own = Register { contact_user: Some("line".to_owned()), ..Register::default() };
    for register in [own, Register::default()] {
        let mut lab = lab_with(register.clone());
        count_registers(&mut lab, 2 * HOUR, |request| Some(challenge(request, "n")));
        let mut settings = settings_with(register);
        settings.routing.trunks[1].credentials =
            Some(Credentials { username: "line".to_owned(), password: "right".to_owned() });
        lab.input(Input::Settings(Arc::new(settings)));
        let again = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
        assert!(again.header(Header::Authorization).is_none());
        lab.receive(CARRIER_A, &granted(&again, 3_600));
        assert_eq!(is_registered(&lab), Some(true));
        end(lab);
    }
}

#[test]
fn trunks_do_not_begin_all_at_once() {
    let mut settings = settings_with(Register::default());
    for at in 0..100 {
        let trunk = settings.routing.trunks[1].clone();
        settings.routing.trunks.push(Trunk { name: format!("t{at}").as_str().into(), ..trunk });
    }
    let mut lab = Lab::with(settings);
    let start = lab.now;
    let mut begun: Vec<Instant> = Vec::new();
    while lab.now.since(start) < Duration::from_secs(15) {
        while let Some((_, message)) = lab.sent.pop_front() {
            begun.push(lab.now);
            lab.receive(CARRIER_A, &granted(&message, 3_600));
        }
        lab.advance(Duration::from_millis(100));
    }
    assert_eq!(begun.len(), 101);
    let (first, last) = (begun.iter().min().unwrap(), begun.iter().max().unwrap());
    assert!(last.since(*first) > Duration::from_secs(8));
    let most = begun.iter().map(|at| begun.iter().filter(|other| *other == at).count()).max().unwrap();
    assert!(most <= 6, "{most} at once");
    end(lab);
}

#[test]
fn a_resolver_that_refuses_ends_no_registration() {
    let mut settings = settings_with(Register::default());
    let name = "sip.carrier-a.example";
    settings.routing.trunks[1].hosts[0].host = Host::Name(name.to_owned());
    let mut lab = Lab::with(settings);
    // Without an address nothing is told before DNS had its time.
    lab.advance(Duration::from_secs(5));
    assert_eq!(faults(&lab), []);
    lab.advance(Duration::from_secs(15));
    assert_eq!(faults(&lab), [RegistrationFault::Unresolved]);
    let address = CARRIER_A.parse().unwrap();
    let found =
        Endpoint { host: name.to_owned(), address, transport: Transport::Udp, priority: 0, weight: 0 };
    lab.resolved(name, Ok(Resolution::new(vec![found], Duration::from_secs(30))));
    register(&mut lab, 600);
    for _ in 0..4 {
        lab.resolved(name, Err(ResolveFault::NoAnswer));
        let renewed = next_register(&mut lab, CARRIER_A, Duration::from_secs(600));
        lab.receive(CARRIER_A, &granted(&renewed, 600));
    }
    assert_eq!(is_registered(&lab), Some(true));
    assert_eq!(
        lab.engine.router.trunk_of_source(Realm::Untrusted, "198.51.100.1".parse().unwrap()),
        Some(&"carrier-a".into())
    );
    end(lab);
}

#[test]
fn what_was_registered_over_a_connection_that_broke_is_registered_anew_and_not_oftener_than_once_a_minute() {
    let mut settings = settings_with(Register::default());
    settings.listeners[1].transport = Transport::Tcp;
    settings.routing.trunks[1].transport = Some(Transport::Tcp);
    let mut lab = Lab::with(settings);
    let hop = Hop::new(ListenerId(1), Transport::Tcp, CARRIER_A.parse().unwrap());
    let start = lab.now;
    let mut registers = 0;
    while lab.now.since(start) < HOUR / 6 {
        lab.advance(Duration::from_secs(1));
        while let Some((_, message)) = lab.sent.pop_front() {
            registers += 1;
            let bytes = granted(&message, 3_600).as_bytes().clone();
            lab.input(Input::Received { hop, bytes });
            lab.input(Input::TransportFailed { hop });
        }
    }
    assert!((9..=11).contains(&registers), "{registers}");
    end(lab);
}

#[test]
fn what_is_on_its_way_when_the_process_ends_is_taken_back_too() {
    let mut lab = lab_with(Register::default());
    let first = next_register(&mut lab, CARRIER_A, Duration::from_secs(1));
    lab.input(Input::Shutdown);
    let last = lab.take_request(CARRIER_A, &Method::Register);
    assert_eq!((number(&last, Header::Expires), sequence(&last)), (0, sequence(&first) + 1));
    // A challenge to that is answered yet.
    lab.receive(CARRIER_A, &challenge(&last, "n1"));
    let again = lab.take_request(CARRIER_A, &Method::Register);
    assert!(again.header(Header::Authorization).is_some());
    lab.receive(CARRIER_A, &answer(&again, 200, &[]));
    lab.expect_silence();
    lab.expect_nothing_left();
}
