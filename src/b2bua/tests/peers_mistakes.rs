//! What went wrong in programs like this one, by their public issues: each is a test here, unless it
//! is one elsewhere already (the 2xx that cannot be negotiated is in `setup.rs`, the carrier that
//! challenges for ever in `challenges.rs`, BYE during a re-INVITE and the re-INVITE before the far
//! ACK in `reinvite.rs`).

use std::time::Duration;

use super::flows::*;
use super::lab::*;
use crate::b2bua::{AttemptResult, EndedBy, Input, Outcome};
use crate::base::{Realm, Transport};
use crate::media::{MediaAddress, MediaEvent, RealmMedia};
use crate::numbering::NumberForm;
use crate::routing::{CodePattern, Credentials, Host, Identity};
use crate::sip::{Header, Message, Method};

/// jambonz sbc-outbound 198: a callee that is busy, or declines, was called again over the next
/// gateway, because its code was of a class that is tried elsewhere.
#[test]
fn a_callee_that_declines_is_not_called_again_for_its_codes_class() {
    for (code, moves_on) in [(486, false), (600, false), (603, false), (607, false), (480, true), (606, true)]
    {
        let flow = Flow::changed(|settings| {
            for trunk in &mut settings.routing.trunks {
                trunk.failover.codes = vec![CodePattern::Class(4), CodePattern::Class(6)];
            }
        });
        let (mut alice, mut first) = flow.alice_and_bob();
        let mut second = flow.phone(CARRIER_B);
        let sent = alice.invites(Some(SDP_PBX));
        let invite = first.gets(&Method::Invite);
        first.answers(&invite, code, None);
        first.gets(&Method::Ack);
        if moves_on {
            let invite = second.gets(&Method::Invite);
            second.answers(&invite, 486, None);
            second.gets(&Method::Ack);
        }
        alice.is_refused(&sent, if moves_on { 486 } else { code });
        assert_eq!(flow.record().attempts.len(), if moves_on { 2 } else { 1 });
    }
}

/// The same, where the operator names the code: then it is tried elsewhere.
#[test]
fn a_code_that_is_named_moves_the_call_on() {
    let flow = Flow::changed(|settings| {
        settings.routing.trunks[1].failover.codes = vec![CodePattern::Code(486)];
    });
    let (mut alice, mut first) = flow.alice_and_bob();
    let mut second = flow.phone(CARRIER_B);
    let sent = alice.invites(Some(SDP_PBX));
    let invite = first.gets(&Method::Invite);
    first.answers(&invite, 486, None);
    first.gets(&Method::Ack);
    let invite = second.gets(&Method::Invite);
    second.answers(&invite, 404, None);
    second.gets(&Method::Ack);
    alice.is_refused(&sent, 404);
    assert_eq!(flow.record().attempts.len(), 2);
}

/// siphon-sip 280: a host name that does not resolve cost 30 s, and then it was the carrier that had
/// not answered (408).
#[test]
fn a_name_that_does_not_resolve_costs_no_time_and_is_not_the_carriers_failure() {
    for has_second in [true, false] {
        let flow = Flow::changed(|settings| {
            settings.routing.trunks[1].hosts[0].host = Host::Name("carrier.example".to_owned());
            if !has_second {
                settings.routing.routes[0].tiers.truncate(1);
            }
        });
        flow.lab(|lab| {
            lab.resolved("carrier.example", no_such_host());
        });
        let (mut alice, mut second) = (flow.phone(PBX), flow.phone(CARRIER_B));
        let sent = alice.invites(Some(SDP_PBX));
        if has_second {
            let invite = second.gets(&Method::Invite);
            second.answers(&invite, 486, None);
            second.gets(&Method::Ack);
            alice.is_refused(&sent, 486);
        } else {
            alice.is_refused(&sent, 503);
        }
        let record = flow.record();
        assert_eq!(record.attempts.len(), 1 + usize::from(has_second));
        assert_eq!((record.attempts[0].target, record.attempts[0].result), (None, AttemptResult::Dns));
        assert_eq!(record.end, record.start);
    }
}

/// siphon-sip 380: one timer for the first sign of life and for the answer. Here 100 ends the wait
/// for the first (`failover.timeout`) and begins that for the second (`timeouts.answer`).
#[test]
fn the_first_response_and_the_answer_have_timers_of_their_own() {
    let flow = Flow::changed(|settings| settings.timeouts.answer = Duration::from_secs(20));
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    for wait_ms in [500, 1_000, 2_000] {
        flow.after_ms(wait_ms);
        bob.gets(&Method::Invite);
    }
    flow.after_ms(499);
    bob.answers(&invite, 100, None);
    flow.after_ms(10_000);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    // More ringing does not begin it anew.
    flow.after_ms(9_999);
    flow.is_silent();
    flow.after_ms(1);
    alice.is_refused(&sent, 408);
    let cancel = bob.gets(&Method::Cancel);
    bob.answers(&cancel, 200, None);
    bob.answers(&invite, 487, None);
    bob.gets(&Method::Ack);
    let record = flow.record();
    assert_eq!(record.end - record.start, Duration::from_millis(23_999));
    assert_eq!(record.attempts[0].result, AttemptResult::Timeout);
}

/// siphon-sip 130, 214, 258: the 487 after a CANCEL was sent once and by nobody's transaction, and
/// so were BYE and CANCEL.
#[test]
fn everything_that_needs_an_answer_is_repeated_until_it_has_one() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    alice.cancels(&sent);
    let refusal = alice.hears(487);
    let cancel = bob.gets(&Method::Cancel);
    for wait_ms in [500, 1_000, 2_000] {
        flow.after_ms(wait_ms);
        assert_eq!(alice.hears(487).as_bytes(), refusal.as_bytes());
        assert_eq!(bob.gets(&Method::Cancel).as_bytes(), cancel.as_bytes());
        flow.is_silent();
    }
    alice.acks_failure(&sent, &refusal);
    bob.answers(&cancel, 200, None);
    let refusal = bob.answers(&invite, 487, None);
    let ack = bob.gets(&Method::Ack);
    // Our ACK is lost.
    bob.sends_this(&refusal);
    assert_eq!(bob.gets(&Method::Ack).as_bytes(), ack.as_bytes());
    flow.record();
}

/// The same, of BYE.
#[test]
fn a_bye_is_repeated_until_it_is_answered() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    alice.hangs_up();
    let bye = bob.gets(&Method::Bye);
    for wait_ms in [500, 1_000, 2_000, 4_000, 4_000] {
        flow.after_ms(wait_ms);
        assert_eq!(bob.gets(&Method::Bye).as_bytes(), bye.as_bytes());
        flow.is_silent();
    }
    bob.answers(&bye, 200, None);
    assert_eq!(flow.record().ended_by, EndedBy::Caller);
}

/// drachtio 480: a NAT wrote the sent-by of the CANCEL otherwise than that of its INVITE; it matched
/// nothing, and the callee rang on.
#[test]
fn a_cancel_whose_sent_by_a_nat_changed_stops_the_ringing() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    let cancel = text(&cancel_of(&sent)).replacen("UDP 10.0.0.9:5060;", "UDP 10.0.0.77:40123;", 1);
    alice.sends_this(&Message::parse(cancel.into()).expect("a message"));
    alice.hears(200);
    alice.is_refused(&sent, 487);
    let cancel = bob.gets(&Method::Cancel);
    bob.answers(&cancel, 200, None);
    bob.answers(&invite, 487, None);
    bob.gets(&Method::Ack);
    assert_eq!(flow.record().outcome(), Outcome::Cancelled);
}

/// rtpengine 1354, 1416: a changed description moved our own port, and one side went on sending to
/// the old one. A leg keeps one port for its dialog's life, whoever changes what.
#[test]
fn our_ports_stay_whatever_changes() {
    let flow = Flow::changed(|_| {});
    let (mut alice, mut dead, mut bob) = (flow.phone(PBX), flow.phone(CARRIER_A), flow.phone(CARRIER_B));
    alice.invites(Some(SDP_PBX));
    let refused = dead.gets(&Method::Invite);
    dead.answers(&refused, 503, None);
    dead.gets(&Method::Ack);
    let invite = bob.gets(&Method::Invite);
    let (towards_alice, towards_bob) = flow.ports();
    assert!(text(&invite).contains(&towards_bob) && text(&refused).contains(&towards_bob));
    bob.answers(&invite, 183, Some(SDP_CARRIER));
    assert!(text(&alice.hears(183)).contains(&towards_alice));
    bob.answers(&invite, 200, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
    bob.gets(&Method::Ack);
    assert!(text(&alice.hears(200)).contains(&towards_alice));
    alice.acks(None);
    for (number, method) in [Method::Invite, Method::Update, Method::Invite].iter().enumerate() {
        let hers = moved(SDP_PBX, &format!("10.0.0.{} {}", 20 + number, 31_000 + 2 * number));
        let his = moved(SDP_CARRIER, &format!("198.51.100.{} {}", 80 + number, 41_000 + 2 * number));
        for alice_offers in [true, false] {
            let (from, to) = if alice_offers { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            let (offer, answer) = if alice_offers { (&hers, &his) } else { (&his, &hers) };
            let (shown, answered) =
                if alice_offers { (&towards_bob, &towards_alice) } else { (&towards_alice, &towards_bob) };
            from.sends(method, Some(offer));
            let carried = to.gets(method);
            assert!(text(&carried).contains(shown), "{}", text(&carried));
            to.answers(&carried, 200, Some(answer));
            assert!(text(&from.hears(200)).contains(answered));
            if *method == Method::Invite {
                to.gets(&Method::Ack);
                from.acks(None);
            }
        }
    }
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// freeswitch 1947: the timer of a call with media went on running while it was on hold. All four
/// ways to hold stop it, and taking back starts it.
#[test]
fn silence_on_hold_is_no_fault_however_the_hold_is_said() {
    for way in ["sendonly", "inactive", "recvonly", "0.0.0.0"] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        establish(&mut alice, &mut bob);
        let held = match way {
            "0.0.0.0" => moved(SDP_PBX, "0.0.0.0 30000"),
            direction => directed(SDP_PBX, direction),
        };
        let silent = || {
            flow.lab(|lab| {
                let session = *lab.open_sessions.first().expect("a session");
                lab.input(Input::Media(MediaEvent::Silent { session }));
            });
        };
        change(&mut alice, &mut bob, &held);
        // The relay had measured it before it heard of the hold.
        silent();
        flow.after_ms(600_000);
        flow.is_silent();
        change(&mut alice, &mut bob, SDP_PBX);
        let held_and_resumed = flow.lab(|lab| {
            let is_hold = |command: &&crate::media::MediaCommand| {
                matches!(command, crate::media::MediaCommand::SetHold { .. })
            };
            lab.media.iter().filter(is_hold).count()
        });
        assert_eq!(held_and_resumed, 2, "{way}");
        flow.after_ms(60_000);
        silent();
        alice.gets_bye();
        bob.gets_bye();
        assert_eq!(flow.record().ended_by, EndedBy::Sbc, "{way}");
    }
}

/// Alice offers, Bob takes it.
fn change(alice: &mut Phone, bob: &mut Phone, offer: &str) {
    alice.sends(&Method::Invite, Some(offer));
    let carried = bob.gets(&Method::Invite);
    bob.answers(&carried, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
}

/// rustpbx 244: one "external address" for signalling and media, so that BYE went to the media's.
#[test]
fn signalling_and_media_are_advertised_apart() {
    let flow = Flow::changed(|settings| {
        settings.listeners[1].advertise = "sip.example.net:5080".to_owned();
        let bind = "203.0.113.5".parse().expect("an address");
        let advertise = "203.0.113.99".parse().expect("an address");
        let addresses = vec![MediaAddress { bind, advertise }];
        settings.media.realms[Realm::Untrusted] = RealmMedia { addresses };
        settings.routing.routes[0].tiers.truncate(1);
    });
    let (mut alice, mut bob) = flow.alice_and_bob();
    let invite = establish(&mut alice, &mut bob);
    let (via, contact) = (header(&invite, Header::Via), header(&invite, Header::Contact));
    assert!(via.starts_with("SIP/2.0/UDP sip.example.net:5080;"), "{via}");
    assert!(contact.ends_with("@sip.example.net:5080>"), "{contact}");
    let described = text(&invite);
    assert!(described.contains("c=IN IP4 203.0.113.99\r\n") && !described.contains("203.0.113.5"));
    // His BYE is addressed to what the Contact says.
    bob.hangs_up();
    alice.gets_bye();
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// drachtio 296: after one message that was too large for a datagram, every later one took another
/// transport. What is too large is refused, and says nothing of the next.
#[test]
fn one_message_that_is_too_large_changes_nothing_for_the_next() {
    let flow = Flow::changed(|settings| {
        settings.routing.routes[0].tiers.truncate(1);
        settings.routing.trunks[1].headers.set = vec![("X-Large".to_owned(), "x".repeat(62_000))];
    });
    let (mut alice, mut bob) = flow.alice_and_bob();
    let large = format!("{SDP_PBX}{}", "a=x-long:0123456789\r\n".repeat(300));
    let sent = alice.invites(Some(&large));
    alice.is_refused(&sent, 513);
    let mut again = flow.phone(PBX);
    let sent = again.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    assert!(header(&invite, Header::Via).starts_with(&format!("SIP/2.0/{} ", Transport::Udp.via_name())));
    bob.answers(&invite, 486, None);
    bob.gets(&Method::Ack);
    again.is_refused(&sent, 486);
    let statuses: Vec<u16> = flow.records().iter().map(|record| record.status).collect();
    assert_eq!(statuses, [513, 486]);
}

/// jambonz sbc-outbound 5: a "+" that was put before every number broke a carrier that wants none.
/// The form is the trunk's, wherever the number stands.
#[test]
fn a_plus_stands_only_where_the_trunk_wants_it() {
    for (form, called, caller) in [
        (NumberForm::E164, "+442079460000", "+14155550100"),
        (NumberForm::Plain, "442079460000", "14155550100"),
        (NumberForm::National, "00442079460000", "4155550100"),
        (NumberForm::International, "00442079460000", "0014155550100"),
        (NumberForm::AsIs, "+442079460000", "+14155550100"),
    ] {
        let flow = Flow::changed(|settings| {
            settings.routing.routes[0].tiers.truncate(1);
            settings.routing.trunks[1].send_numbers = form;
            settings.routing.trunks[1].identity = Identity::Pai;
        });
        let (mut alice, mut bob) = flow.alice_and_bob();
        let sent = alice.invites(Some(SDP_PBX));
        let invite = bob.gets(&Method::Invite);
        let uri = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        assert_eq!(uri, format!("sip:{called}@carrier-a.example"), "{form:?}");
        assert_eq!(header(&invite, Header::To), format!("<{uri}>"), "{form:?}");
        let shown = format!("<sip:{caller}@carrier-a.example>");
        assert!(header(&invite, Header::From).contains(&shown), "{form:?} {}", text(&invite));
        assert_eq!(header(&invite, Header::PAssertedIdentity), shown, "{form:?}");
        bob.answers(&invite, 486, None);
        bob.gets(&Method::Ack);
        alice.is_refused(&sent, 486);
        assert_eq!(flow.record().to_e164.as_deref(), Some("+442079460000"));
    }
}

/// rsipstack 134: each answered call left about 20 KB behind, and timers ran only while somebody
/// polled. Here every call gives back all that it took, and while anything is left the engine says
/// when it wants to be called.
#[test]
fn many_calls_leave_nothing_behind() {
    let flow = Flow::new();
    for _ in 0..300 {
        let (mut alice, mut bob) = flow.alice_and_bob();
        establish(&mut alice, &mut bob);
        bob.hangs_up();
        alice.gets_bye();
        let (now, next) = flow.lab(|lab| (lab.now, lab.engine.next_deadline()));
        assert!(next.is_some_and(|next| next <= now + Duration::from_secs(32)));
        flow.after_ms(100);
    }
    assert_eq!(flow.records().len(), 300);
    assert_eq!(flow.lab(|lab| lab.engine.next_deadline()), None);
}

/// rsipstack's queues had no bound: what one side asks and the other does not answer is no more than
/// a few requests.
#[test]
fn requests_that_wait_for_the_other_side_have_a_limit() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    for _ in 0..16 {
        alice.sends(&Method::Info, None);
    }
    alice.sends(&Method::Info, None);
    assert!(alice.hears(500).header(Header::RetryAfter).is_some());
    let waiting: Vec<Message> = (0..16).map(|_| bob.gets(&Method::Info)).collect();
    flow.is_silent();
    for info in &waiting {
        bob.answers(info, 200, None);
        alice.hears(200);
    }
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// CVE-2021-26906: a callee that answered with codecs nobody had offered, or that the trunk does not
/// take, was left in a call of its own. It is ACKed, then sent BYE.
#[test]
fn an_answer_whose_codecs_are_not_taken_is_acked_and_ended() {
    let flow = Flow::changed(|settings| {
        settings.routing.routes[0].tiers.truncate(1);
        settings.routing.trunks[1].codecs = vec!["PCMU".to_owned()];
    });
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 200, Some(&SDP_CARRIER.replace("RTP/AVP 0 101", "RTP/AVP 8 101")));
    bob.gets(&Method::Ack);
    bob.gets_bye();
    alice.is_refused(&sent, 502);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "close"]);
    assert_eq!(flow.record().status, 502);
}

/// CVE-2020-28361: a header whose name had a control character before the colon passed the list of
/// those that are stripped, and was read by the next hop as if it had none.
#[test]
fn a_control_character_before_the_colon_smuggles_nothing() {
    let flow = Flow::changed(|settings| {
        for trunk in &mut settings.routing.trunks {
            trunk.headers.pass = vec!["*".to_owned()];
            trunk.headers.drop = vec!["X-Evil".to_owned()];
        }
    });
    for odd in [
        "X-Evil\x01: 1",
        "X-Evil\x00: 1",
        "X-Evil\x7f: 1",
        "P-Asserted-Identity\x01: <sip:+1@x>",
        "To\x01: <sip:x@y>",
    ] {
        let (mut alice, mut bob) = flow.alice_and_bob();
        let invite = text(&alice.writes_invite(Some(SDP_PBX), |w| w.header(Header::UserAgent, "here")));
        let invite = Message::parse(invite.replace("User-Agent: here", odd).into()).expect("a message");
        alice.sends_this(&invite);
        alice.hears(400);
        flow.is_silent();
        // In an answer it is not heard at all.
        let mut carol = flow.phone(PBX);
        let hers = carol.invites(Some(SDP_PBX));
        let got = bob.gets(&Method::Invite);
        let ringing = bob.writes_answer(&got, 180, None, |w| w.header(Header::Server, "here"));
        let ringing = text(&ringing).replace("Server: here", odd);
        bob.sends_this(&Message::parse(ringing.into()).expect("a message"));
        flow.is_silent();
        bob.answers(&got, 486, None);
        bob.gets(&Method::Ack);
        carol.is_refused(&hers, 486);
    }
    assert_eq!(flow.records().len(), 5);
}

fn with_credentials() -> Flow {
    Flow::changed(|settings| {
        settings.routing.routes[0].tiers.truncate(1);
        settings.routing.trunks[1].credentials =
            Some(Credentials { username: "key".to_owned(), password: "secret".to_owned() });
    })
}

fn challenge(phone: &Phone, request: &Message) {
    phone.answers_with(request, 407, None, |writer| {
        writer.header(
            Header::ProxyAuthenticate,
            "Digest realm=\"carrier-a.example\", nonce=\"n\", qop=\"auth\"",
        )
    });
}

/// CVE-2021-41158: who was called, or had called, answered our request with a 407 of a carrier's
/// realm, and was sent the digest of that carrier's password. Credentials are a trunk's, not a
/// realm's: another trunk's peer, and one that is of no trunk, get none.
#[test]
fn a_challenge_of_somebody_elses_realm_draws_out_no_digest() {
    for from in [CARRIER_B, "198.51.100.50:5060"] {
        let flow = with_credentials();
        let (mut mallory, mut bob) = (flow.phone(from), flow.phone(PBX));
        establish(&mut mallory, &mut bob);
        bob.hangs_up();
        let bye = mallory.gets(&Method::Bye);
        challenge(&mallory, &bye);
        assert_eq!(flow.record().ended_by, EndedBy::Callee);
    }
}

/// The same, by an answer to what was sent to the carrier: a challenge that comes from elsewhere draws
/// out no digest, though its sender may speak to us and knows the branch.
#[test]
fn a_challenge_that_does_not_come_from_the_trunk_is_not_answered() {
    let flow = with_credentials();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let (mallory, stranger) = (flow.phone(CARRIER_B), flow.phone(STRANGER));
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    challenge(&stranger, &invite);
    flow.is_silent();
    challenge(&mallory, &invite);
    bob.gets(&Method::Ack);
    alice.is_refused(&sent, 503);
    flow.is_silent();
    flow.record();
}
