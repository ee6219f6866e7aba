//! OPTIONS to the trunks, and what they and the calls say of a target.

use std::time::Duration;

use super::lab::*;
use crate::b2bua::{AttemptResult, Input, Settings};
use crate::routing::{Credentials, Health, HealthChange, Host};
use crate::sip::{Header, Message, Method, response_to};

const INTERVAL: Duration = Duration::from_secs(30);

/// The lab's trunks, the first carrier probed.
pub(super) fn probing() -> Settings {
    let mut settings = settings();
    settings.routing.trunks[1].health = Health { interval: INTERVAL, ..Health::default() };
    settings
}

/// Waits until the next probe is out.
fn next_probe(lab: &mut Lab) -> Message {
    for _ in 0..400 {
        if lab.sent.iter().any(|(_, message)| message.method() == Some(&Method::Options)) {
            return lab.take_request(CARRIER_A, &Method::Options);
        }
        lab.advance(Duration::from_millis(100));
    }
    panic!("no probe in 40 s");
}

fn answer(lab: &mut Lab, probe: &Message, status: u16) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, probe, status, "peer", None));
}

#[test]
fn a_probe_names_the_trunk_and_nobody_of_ours() {
    let mut lab = Lab::with(probing());
    let probe = next_probe(&mut lab);
    assert_eq!(probe.request_uri_raw(), b"sip:carrier-a.example");
    assert_eq!(probe.header(Header::To), Some(&b"<sip:carrier-a.example>"[..]));
    assert_eq!(probe.header(Header::MaxForwards), Some(&b"70"[..]));
    let from = String::from_utf8_lossy(probe.header(Header::From).unwrap()).into_owned();
    assert!(from.starts_with("<sip:203.0.113.5:5060>;tag="), "{from}");
    assert_eq!(probe.header(Header::Contact), Some(&b"<sip:203.0.113.5:5060>"[..]));
    assert_eq!(probe.header(Header::Accept), Some(&b"application/sdp"[..]));
    answer(&mut lab, &probe, 200);
    assert_eq!(lab.engine.leftovers(), 0);
}

#[test]
fn probes_come_in_their_interval_and_stop_with_the_trunk_and_the_process() {
    let mut lab = Lab::with(probing());
    let mut last = None;
    for _ in 0..5 {
        let probe = next_probe(&mut lab);
        if let Some(before) = last.replace(lab.now) {
            let apart = lab.now.since(before);
            assert!(apart >= INTERVAL * 8 / 10 && apart <= INTERVAL * 13 / 10, "{apart:?}");
        }
        answer(&mut lab, &probe, 200);
    }
    let mut settings = probing();
    settings.routing.trunks[1].enabled = false;
    lab.input(Input::Settings(settings.into()));
    lab.advance(INTERVAL * 4);
    lab.expect_silence();
    lab.input(Input::Settings(probing().into()));
    next_probe(&mut lab);
    lab.input(Input::Shutdown);
    lab.advance(INTERVAL * 4);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_probe_that_nobody_answers_is_given_up_after_its_timeout() {
    let mut lab = Lab::with(probing());
    next_probe(&mut lab);
    assert_eq!(lab.engine.leftovers(), 1);
    lab.advance(Duration::from_millis(1_900));
    // Timer E: after 0.5 s and 1.5 s.
    lab.take_request(CARRIER_A, &Method::Options);
    lab.take_request(CARRIER_A, &Method::Options);
    lab.advance(Duration::from_millis(100));
    assert_eq!((lab.engine.leftovers(), lab.engine.census().transactions), (0, 0));
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
}

#[test]
fn a_challenged_probe_is_answered_once() {
    let mut settings = probing();
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "user".to_owned(), password: "pass".to_owned() });
    let mut lab = Lab::with(settings);
    let challenge = |probe: &Message| {
        let sbc = SBC_UNTRUSTED.parse().unwrap();
        response_to(probe, sbc, crate::sip::Status::of(401), None, Some("peer"))
            .header(Header::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n\"")
            .finish()
            .unwrap()
    };
    let first = next_probe(&mut lab);
    lab.receive(CARRIER_A, &challenge(&first));
    let second = lab.take_request(CARRIER_A, &Method::Options);
    assert!(second.header(Header::Authorization).unwrap().starts_with(b"Digest username=\"user\""));
    assert_eq!(second.call_id(), first.call_id());
    assert_eq!(second.header(Header::CSeq), Some(&b"2 OPTIONS"[..]));
    lab.receive(CARRIER_A, &challenge(&second));
    lab.expect_silence();
    assert_eq!(lab.engine.leftovers(), 0);
}

/// Providers lock accounts after so many wrong passwords.
#[test]
fn a_password_that_was_refused_is_not_tried_by_every_probe() {
    let with_password = |password: &str| {
        let mut settings = probing();
        let (username, password) = ("user".to_owned(), password.to_owned());
        settings.routing.trunks[1].credentials = Some(Credentials { username, password });
        settings
    };
    for refusal in [401, 403] {
        let mut lab = Lab::with(with_password("wrong"));
        let (mut probes, mut digests) = (0, 0);
        let end = lab.now + Duration::from_secs(3_600);
        while lab.now < end {
            let mut probe = next_probe(&mut lab);
            probes += 1;
            loop {
                let has_digest = probe.header(Header::Authorization).is_some();
                digests += usize::from(has_digest);
                let status = if has_digest { refusal } else { 401 };
                let challenge = response_to(
                    &probe,
                    SBC_UNTRUSTED.parse().unwrap(),
                    crate::sip::Status::of(status),
                    None,
                    Some("peer"),
                );
                let nonce = format!("Digest realm=\"r\", nonce=\"n{probes}\"");
                let challenge = challenge.header(Header::WwwAuthenticate, nonce).finish().unwrap();
                lab.receive(CARRIER_A, &challenge);
                match lab.sent.pop_front() {
                    Some((_, again)) => probe = again,
                    None => break,
                }
            }
        }
        assert!(probes > 80 && (1..=8).contains(&digests), "{digests} digests in {probes} probes");
        assert!(
            lab.engine.router.is_up(lab.now, &lab.engine.router.all_targets(&"carrier-a".into())[0].key())
        );
        // Another password is tried at once.
        lab.input(Input::Settings(with_password("right").into()));
        let probe = next_probe(&mut lab);
        let challenge =
            response_to(&probe, SBC_UNTRUSTED.parse().unwrap(), crate::sip::Status::of(401), None, None);
        let challenge = challenge.header(Header::WwwAuthenticate, "Digest realm=\"r\", nonce=\"new\"");
        lab.receive(CARRIER_A, &challenge.finish().unwrap());
        let second = lab.take_request(CARRIER_A, &Method::Options);
        assert!(second.header(Header::Authorization).is_some());
        answer(&mut lab, &second, 200);
        assert_eq!(lab.engine.leftovers(), 0);
    }
}

#[test]
fn a_target_that_nothing_of_ours_could_send_to_is_not_blamed() {
    let mut settings = settings();
    settings.routing.trunks[1].hosts[0].host = Host::Address("2001:db8::1".parse().unwrap());
    let mut lab = Lab::with(settings);
    for id in ["1", "2", "3", "4", "5"] {
        lab.receive(PBX, &invite(PBX, "+442079460000", id, Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        refuse(&mut lab, CARRIER_B, 486, "");
        lab.take_response(PBX, 486);
    }
    let target = lab.engine.router.all_targets(&"carrier-a".into()).remove(0).key();
    assert!(lab.engine.router.is_up(lab.now, &target));
    let results: Vec<_> = lab.cdrs.last().unwrap().attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Transport, AttemptResult::Status(486)]);
}

/// A call comes; what was sent to the carriers is left to be taken.
pub(super) fn call(lab: &mut Lab, id: &str) -> Message {
    let invite = invite(PBX, "+442079460000", id, Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    invite
}

/// The caller hears this refusal of its INVITE, and ACKs it.
#[track_caller]
pub(super) fn hear(lab: &mut Lab, invite: &Message, status: u16) -> Message {
    let refusal = lab.take_response(PBX, status);
    let to = String::from_utf8_lossy(refusal.header(Header::To).unwrap()).into_owned();
    let ack = text(invite).replacen("INVITE ", "ACK ", 1).replace(" INVITE\r\n", " ACK\r\n");
    let ack =
        regex::Regex::new("\r\nTo: [^\r]*").unwrap().replace(&ack, format!("\r\nTo: {to}")).into_owned();
    lab.receive(PBX, &Message::parse(ack.into()).unwrap());
    refusal
}

/// A carrier refuses the call that it is offered.
pub(super) fn refuse(lab: &mut Lab, carrier: &str, status: u16, lines: &str) {
    let outgoing = lab.take_request(carrier, &Method::Invite);
    let refusal = respond(carrier, &outgoing, status, "callee", None);
    let refusal = if lines.is_empty() { refusal } else { with_header(&refusal, lines) };
    lab.receive(carrier, &refusal);
    lab.take_request(carrier, &Method::Ack);
}

/// The call goes to this carrier at once, and is refused there by the callee.
#[track_caller]
pub(super) fn call_goes_to(lab: &mut Lab, carrier: &str, id: &str) {
    let invite = call(lab, id);
    refuse(lab, carrier, 486, "");
    hear(lab, &invite, 486);
    lab.expect_silence();
}

/// A call goes to carrier A, is not answered, and is refused over carrier B.
pub(super) fn call_finds_a_dead(lab: &mut Lab, id: &str) {
    let invite = call(lab, id);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.advance(Duration::from_secs(4));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() == CARRIER_B);
    refuse(lab, CARRIER_B, 486, "");
    hear(lab, &invite, 486);
    // Too late; and no INVITE goes out again.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.sent.clear();
}

/// Lets probes of carrier A pass unanswered.
pub(super) fn probes_fail(lab: &mut Lab, count: usize) {
    for _ in 0..count {
        next_probe(lab);
        lab.advance(Duration::from_secs(3));
        lab.sent.clear();
    }
}

pub(super) fn probes_succeed(lab: &mut Lab, count: usize) {
    for _ in 0..count {
        let probe = next_probe(lab);
        answer(lab, &probe, 200);
    }
}

/// What people were told of targets since the last time.
fn told(lab: &mut Lab) -> Vec<(String, bool)> {
    let told = std::mem::take(&mut lab.health);
    let of_targets = told.into_iter().filter_map(|change| match change {
        HealthChange::Target { target, up, known: true, .. } => Some((target.trunk.as_str().to_owned(), up)),
        _ => None,
    });
    of_targets.collect()
}

#[test]
fn a_target_that_answers_no_probe_costs_a_call_nothing_and_comes_back_bit_by_bit() {
    let mut lab = Lab::with(probing());
    probes_succeed(&mut lab, 1);
    call_goes_to(&mut lab, CARRIER_A, "1");
    probes_fail(&mut lab, 2);
    call_goes_to(&mut lab, CARRIER_A, "2");
    probes_fail(&mut lab, 3);
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), false)]);
    call_goes_to(&mut lab, CARRIER_B, "3");
    probes_succeed(&mut lab, 1);
    call_goes_to(&mut lab, CARRIER_B, "4");
    probes_succeed(&mut lab, 1);
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), true)]);
    call_goes_to(&mut lab, CARRIER_A, "5");
    call_goes_to(&mut lab, CARRIER_B, "6");
    lab.advance(Duration::from_secs(30));
    lab.sent.clear();
    for id in ["7", "8", "9"] {
        call_goes_to(&mut lab, CARRIER_A, id);
    }
}

#[test]
fn a_call_that_only_one_more_than_its_share_could_take_is_not_refused_for_that() {
    let mut settings = probing();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    probes_succeed(&mut lab, 1);
    probes_fail(&mut lab, 3);
    probes_succeed(&mut lab, 2);
    for id in ["1", "2", "3"] {
        call_goes_to(&mut lab, CARRIER_A, id);
    }
}

#[test]
fn when_probes_say_that_all_are_down_the_caller_hears_so_at_once_and_a_call_for_help_is_tried() {
    let mut settings = probing();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    probes_succeed(&mut lab, 1);
    probes_fail(&mut lab, 3);
    // Seldom a call looks whether it is so.
    lab.advance(Duration::from_secs(5));
    lab.sent.clear();
    let first = call(&mut lab, "1");
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.advance(Duration::from_secs(4));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() == PBX);
    hear(&mut lab, &first, 503);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = call(&mut lab, "2");
    let refusal = hear(&mut lab, &second, 503);
    let wait = refusal.number(Header::RetryAfter).unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(lab.cdrs.iter().any(|cdr| cdr.cause == "every target of the route is down"));
    let help = invite(PBX, "112", "3", Some(SDP_PBX));
    lab.receive(PBX, &help);
    lab.take_response(PBX, 100);
    refuse(&mut lab, CARRIER_A, 486, "");
    lab.take_response(PBX, 486);
}

#[test]
fn calls_alone_find_a_target_dead_and_one_call_finds_it_alive() {
    let mut lab = Lab::new();
    for id in ["1", "2", "3"] {
        call_finds_a_dead(&mut lab, id);
    }
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), false)]);
    call_goes_to(&mut lab, CARRIER_B, "4");
    lab.advance(Duration::from_secs(5));
    lab.sent.clear();
    let fifth = call(&mut lab, "5");
    let trial = lab.take_request(CARRIER_A, &Method::Invite);
    call_goes_to(&mut lab, CARRIER_B, "6");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &trial, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    hear(&mut lab, &fifth, 486);
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), true)]);
    call_goes_to(&mut lab, CARRIER_A, "7");
    lab.expect_nothing_left();
}

#[test]
fn a_route_without_a_choice_is_tried_however_often_it_failed() {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    for id in ["1", "2", "3", "4", "5"] {
        let invite = call(&mut lab, id);
        refuse(&mut lab, CARRIER_A, 500, "");
        hear(&mut lab, &invite, 500);
    }
    call_goes_to(&mut lab, CARRIER_A, "6");
    lab.expect_nothing_left();
}

#[test]
fn what_speaks_of_the_call_speaks_for_the_target() {
    for status in [404, 480, 486, 488, 501, 505, 600, 603, 302] {
        let mut lab = Lab::new();
        for round in 0..3 {
            for id in ["1", "2"] {
                call_finds_a_dead(&mut lab, &format!("{round}{id}"));
            }
            let invite = call(&mut lab, &format!("{round}3"));
            refuse(&mut lab, CARRIER_A, status, "");
            if status / 100 == 5 {
                refuse(&mut lab, CARRIER_B, 486, "");
            }
            let heard = if status / 100 == 5 {
                486
            } else if status == 302 {
                480
            } else {
                status
            };
            hear(&mut lab, &invite, heard);
        }
        assert_eq!(told(&mut lab), [], "{status}");
    }
}

#[test]
fn a_target_that_asks_to_be_left_alone_is_and_the_caller_hears_for_how_long() {
    let mut lab = Lab::new();
    let first = call(&mut lab, "1");
    refuse(&mut lab, CARRIER_A, 503, "Retry-After: 40 (maintenance)");
    refuse(&mut lab, CARRIER_B, 486, "");
    hear(&mut lab, &first, 486);
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), false)]);
    lab.advance(Duration::from_secs(20));
    let second = call(&mut lab, "2");
    refuse(&mut lab, CARRIER_B, 503, "Retry-After: 1800");
    // Nobody is left: any further call would hear the same.
    let refusal = hear(&mut lab, &second, 503);
    assert_eq!(refusal.number(Header::RetryAfter), Some(20));
    let third = call(&mut lab, "3");
    assert_eq!(hear(&mut lab, &third, 503).number(Header::RetryAfter), Some(20));
    lab.expect_silence();
    lab.advance(Duration::from_secs(20));
    call_goes_to(&mut lab, CARRIER_A, "4");
    assert_eq!(told(&mut lab), [("carrier-b".to_owned(), false), ("carrier-a".to_owned(), true)]);
    lab.advance(Duration::from_secs(281));
    assert_eq!(told(&mut lab), [("carrier-b".to_owned(), true)]);
    lab.expect_nothing_left();
}

#[test]
fn a_503_that_says_nothing_of_the_next_call_asks_nobody_to_stay_away() {
    let mut lab = Lab::new();
    call(&mut lab, "1");
    refuse(&mut lab, CARRIER_A, 503, "");
    refuse(&mut lab, CARRIER_B, 503, "");
    let refusal = lab.take_response(PBX, 503);
    assert_eq!(refusal.header(Header::RetryAfter), None);
    lab.expect_nothing_left();
}

#[test]
fn a_target_keeps_its_health_over_a_reload_and_for_a_while_without_its_address() {
    let silenced = || {
        let mut lab = Lab::with(probing());
        probes_succeed(&mut lab, 1);
        probes_fail(&mut lab, 3);
        lab.advance(Duration::from_secs(300));
        lab.sent.clear();
        lab
    };
    let mut elsewhere = probing();
    elsewhere.routing.trunks[1] = trunk("carrier-a", crate::base::Realm::Untrusted, "198.51.100.9:5060");
    let mut lab = silenced();
    lab.input(Input::Settings(probing().into()));
    call_goes_to(&mut lab, CARRIER_B, "1");
    lab.input(Input::Settings(elsewhere.clone().into()));
    assert!(lab.health.iter().any(|change| matches!(change, HealthChange::Gone { .. })));
    call_goes_to(&mut lab, "198.51.100.9:5060", "2");
    lab.advance(Duration::from_secs(599));
    lab.input(Input::Settings(probing().into()));
    call_goes_to(&mut lab, CARRIER_B, "3");
    lab.input(Input::Settings(elsewhere.into()));
    lab.advance(Duration::from_secs(601));
    lab.input(Input::Settings(probing().into()));
    call_goes_to(&mut lab, CARRIER_A, "4");
}

#[test]
fn any_final_answer_to_a_probe_is_a_sign_of_life_but_two() {
    for (status, is_alive) in [
        (200, true),
        (401, true),
        (403, true),
        (404, true),
        (405, true),
        (481, true),
        (500, true),
        (501, true),
        (603, true),
        (408, false),
        (503, false),
    ] {
        let mut lab = Lab::with(probing());
        probes_succeed(&mut lab, 1);
        for _ in 0..3 {
            let probe = next_probe(&mut lab);
            answer(&mut lab, &probe, status);
        }
        assert_eq!(told(&mut lab).is_empty(), is_alive, "{status}");
    }
}

#[test]
fn a_trunk_that_never_heard_of_options_takes_calls() {
    let mut lab = Lab::with(probing());
    probes_fail(&mut lab, 4);
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), false)]);
    call_goes_to(&mut lab, CARRIER_A, "1");
    assert_eq!(told(&mut lab), [("carrier-a".to_owned(), true)]);
    probes_fail(&mut lab, 4);
    call_goes_to(&mut lab, CARRIER_A, "2");
    assert_eq!(told(&mut lab), []);
}

#[test]
fn hundreds_of_targets_are_never_probed_together() {
    let mut settings = settings();
    settings.admission.allow.untrusted.push("192.0.0.0/8".parse().unwrap());
    for number in 0..300 {
        let address = format!("192.0.{}.{}:5060", number / 100, number % 100 + 1);
        let mut trunk = trunk(&format!("t{number}"), crate::base::Realm::Untrusted, &address);
        trunk.health = Health { interval: INTERVAL, ..Health::default() };
        settings.routing.trunks.push(trunk);
    }
    let mut lab = Lab::with(settings.clone());
    let mut busiest = 0;
    for step in 0..1_200 {
        if step == 600 {
            for trunk in &mut settings.routing.trunks {
                trunk.health.interval /= 2;
            }
            lab.input(Input::Settings(settings.clone().into()));
        }
        lab.advance(Duration::from_millis(100));
        let mut seen: Vec<Vec<u8>> = lab.sent.iter().map(|(_, sent)| sent.call_id().to_vec()).collect();
        seen.sort();
        seen.dedup();
        busiest = busiest.max(seen.len());
        for (hop, probe) in std::mem::take(&mut lab.sent) {
            let peer = hop.peer.to_string();
            lab.receive(&peer, &respond(&peer, &probe, 200, "peer", None));
        }
    }
    // One in 100 ms on the average, two when the interval is halved.
    assert!((1..=9).contains(&busiest), "{busiest} in 100 ms");
}
