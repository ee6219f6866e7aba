//! RFC 5407, race conditions. Its two user agents have Drawbridge between them, so that a race is
//! with us: each is driven on the side where it comes about, and where we are the one as well as the
//! other (caller of Bob, callee of Alice), on both.
//!
//! The states are the RFC's: *preparative* and *early* before the 2xx, *moratorium* between 2xx and
//! ACK, *established* after it, *mortal* from the BYE until its transaction is over.

use super::*;
use crate::b2bua::{EndedBy, Outcome};

/// Bob is called and has answered; Alice has heard it but not ACKed. The INVITE that Bob got.
fn until_moratorium(alice: &mut Phone, bob: &mut Phone, offer: Option<&str>) -> Message {
    alice.invites(offer);
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    if offer.is_some() {
        bob.gets(&Method::Ack);
    }
    alice.hears(200);
    invite
}

/// §3.1.1 Callee Receives Initial INVITE Retransmission (Preparative State) While in the Moratorium
/// State. Our 180 and 200 are lost, and Alice's INVITE comes again: it opens no second call.
#[test]
fn s3_1_1_initial_invite_retransmission_while_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    let lost = alice.hears(180);
    alice.sends_this(&sent);
    assert_eq!(alice.hears(180).as_bytes(), lost.as_bytes());
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    let lost = alice.hears(200);
    alice.sends_this(&sent);
    flow.is_silent();
    flow.after_ms(500);
    assert_eq!(alice.hears(200).as_bytes(), lost.as_bytes());
    alice.acks(None);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.1.1, we being the caller: Bob's 180 and 200 are lost, and our INVITE comes again.
#[test]
fn s3_1_1_our_invite_again_while_bob_is_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    flow.after_ms(500);
    assert_eq!(bob.gets(&Method::Invite).as_bytes(), invite.as_bytes());
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    let ack = bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    // Our ACK is lost on its way to Bob.
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(bob.gets(&Method::Ack).as_bytes(), ack.as_bytes());
    flow.after_ms(60_000);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.1.2 Callee Receives CANCEL (Early State) While in the Moratorium State. The CANCEL comes too
/// late: it is answered, the call stands, and Alice ends it with BYE.
#[test]
fn s3_1_2_cancel_while_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    // F4 and F5 cross: our 200 is on its way.
    alice.sends_this(&cancel_of(&sent));
    let (success, cancelled) = (alice.hears(200), alice.hears(200));
    assert_eq!(success.cseq().expect("a CSeq").method, Method::Invite);
    assert_eq!(cancelled.cseq().expect("a CSeq").method, Method::Cancel);
    assert_eq!(to_tag(&success), to_tag(&cancelled));
    alice.acks(None);
    alice.dialog.remote = success.header(Header::To).expect("a To").to_vec();
    alice.hangs_up();
    bob.gets_bye();
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000", "close"]);
    let record = flow.record();
    assert_eq!((record.outcome(), record.ended_by), (Outcome::Answered, EndedBy::Caller));
}

/// §3.1.2, we being the caller: our CANCEL crosses Bob's 200, which is ACKed and ended.
#[test]
fn s3_1_2_our_cancel_while_bob_is_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    alice.cancels(&sent);
    alice.is_refused(&sent, 487);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    let cancel = bob.gets(&Method::Cancel);
    bob.answers(&cancel, 200, None);
    bob.gets(&Method::Ack);
    bob.gets_bye();
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "close"]);
    let record = flow.record();
    assert_eq!((record.outcome(), record.status), (Outcome::Cancelled, 487));
}

/// §3.1.3 Callee Receives BYE (Early State) While in the Moratorium State. Alice hangs up on the
/// early dialog while our 200 is on its way: it is not repeated any more, and her ACK is taken.
#[test]
fn s3_1_3_bye_of_the_early_state_while_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    let ack = alice.writes(&Method::Ack, None);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.sends(&Method::Bye, None);
    let (success, ended) = (alice.hears(200), alice.hears(200));
    assert_eq!(success.cseq().expect("a CSeq").method, Method::Invite);
    assert_eq!(ended.cseq().expect("a CSeq").method, Method::Bye);
    bob.gets_bye();
    alice.sends_this(&ack);
    flow.is_silent();
    let record = flow.record();
    assert_eq!((record.outcome(), record.ended_by), (Outcome::Answered, EndedBy::Caller));
}

/// §3.1.4 Callee Receives re-INVITE (Established State) While in the Moratorium State (Case 1). The
/// first offer is answered, Alice's ACK is lost. The re-INVITE is taken, as the RFC recommends; it
/// goes on to Bob when the ACK of the repeated 200 has come.
#[test]
fn s3_1_4_reinvite_while_in_moratorium_case_1() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    let lost = alice.writes(&Method::Ack, None);
    alice.sends(&Method::Invite, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
    flow.is_silent();
    flow.after_ms(500);
    alice.hears(200);
    flow.media_is(&[]);
    alice.sends_this(&lost);
    let carried = bob.gets(&Method::Invite);
    bob.answers(&carried, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    flow.media_is(&["A 10.0.0.9:30002"]);
    alice.acks(None);
    bob.hangs_up();
    alice.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.1.4, when the ACK never comes: the re-INVITE is answered as the call ends.
#[test]
fn s3_1_4_reinvite_while_in_moratorium_that_never_ends() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    let reinvite = alice.sends(&Method::Invite, Some(SDP_PBX));
    flow.after_ms(31_999);
    for _ in 0..10 {
        alice.hears(200);
    }
    flow.is_silent();
    flow.after_ms(1);
    alice.is_refused(&reinvite, 487);
    alice.gets_bye();
    bob.gets_bye();
    assert_eq!(flow.record().ended_by, EndedBy::Sbc);
}

/// §3.1.4, when Alice thinks better of it before her ACK has come: by CANCEL, or by BYE.
#[test]
fn s3_1_4_reinvite_while_in_moratorium_that_is_taken_back() {
    for by_bye in [false, true] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
        let lost = alice.writes(&Method::Ack, None);
        let reinvite = alice.sends(&Method::Invite, Some(&directed(SDP_PBX, "sendonly")));
        if by_bye {
            alice.sends(&Method::Bye, None);
            alice.hears(200);
            alice.is_refused(&reinvite, 487);
            alice.sends_this(&lost);
        } else {
            alice.cancels(&reinvite);
            alice.is_refused(&reinvite, 487);
            alice.sends_this(&lost);
            flow.is_silent();
            alice.hangs_up();
        }
        bob.gets_bye();
        flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000", "close"]);
        assert_eq!(flow.record().ended_by, EndedBy::Caller);
    }
}

/// §3.1.4 and §3.3.1 at once: both want a change before Alice's ACK has come. One goes on when it
/// has, the other is then glare.
#[test]
fn s3_1_4_reinvites_of_both_while_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    let lost = alice.writes(&Method::Ack, None);
    let hers = alice.sends(&Method::Invite, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
    bob.sends(&Method::Invite, Some(&moved(SDP_CARRIER, "198.51.100.77 40002")));
    flow.is_silent();
    alice.sends_this(&lost);
    let carried = alice.gets(&Method::Invite);
    alice.is_refused(&hers, 491);
    alice.answers(&carried, 200, Some(SDP_PBX));
    alice.gets(&Method::Ack);
    bob.hears(200);
    bob.acks(None);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000", "B 198.51.100.77:40002"]);
    bob.hangs_up();
    alice.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.1.5 Callee Receives re-INVITE (Established State) While in the Moratorium State (Case 2). The
/// lost ACK has the answer to the first offer: until it comes no other can be taken.
#[test]
fn s3_1_5_reinvite_while_in_moratorium_case_2() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, None);
    let lost = alice.writes(&Method::Ack, Some(SDP_PBX));
    let reinvite = alice.sends(&Method::Invite, Some(SDP_PBX));
    alice.is_refused(&reinvite, 491);
    flow.after_ms(500);
    alice.hears(200);
    flow.media_is(&["open 1", "B 198.51.100.77:40000"]);
    alice.sends_this(&lost);
    bob.gets(&Method::Ack);
    flow.media_is(&["A 10.0.0.9:30000"]);
    alice.sends(&Method::Invite, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
    let carried = bob.gets(&Method::Invite);
    bob.answers(&carried, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&["A 10.0.0.9:30002"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.1.6 Callee Receives BYE (Established State) While in the Moratorium State. The ACK is lost or
/// late: BYE says that the 200 was heard, and it is not repeated.
#[test]
fn s3_1_6_bye_while_in_moratorium() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    let late = alice.writes(&Method::Ack, None);
    alice.hangs_up();
    bob.gets_bye();
    alice.sends_this(&late);
    flow.is_silent();
    let record = flow.record();
    assert_eq!((record.outcome(), record.ended_by), (Outcome::Answered, EndedBy::Caller));
}

/// §3.2.1 UA Receives BYE (Established State) While in the Mortal State. Both hang up at once: both
/// BYEs are answered 200, whoever's came first.
#[test]
fn s3_2_1_bye_while_in_mortal() {
    for alice_is_first in [true, false] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        establish(&mut alice, &mut bob);
        let (first, second) = if alice_is_first { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        first.hangs_up();
        let ours = second.gets(&Method::Bye);
        let theirs = second.sends(&Method::Bye, None);
        second.hears(200);
        second.sends_this(&theirs);
        second.hears(200);
        second.answers(&ours, 200, None);
        flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000", "close"]);
        let by = if alice_is_first { EndedBy::Caller } else { EndedBy::Callee };
        assert_eq!(flow.record().ended_by, by);
        // The mortal state has an end.
        second.sends(&Method::Bye, None);
        second.hears(481);
        flow.record();
    }
}

/// §3.2.2 UA Receives re-INVITE (Established State) While in the Mortal State
#[test]
fn s3_2_2_reinvite_while_in_mortal() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    alice.hangs_up();
    let bye = bob.gets(&Method::Bye);
    let reinvite = bob.sends(&Method::Invite, Some(SDP_CARRIER));
    bob.is_refused(&reinvite, 481);
    bob.answers(&bye, 200, None);
    assert_eq!(flow.record().ended_by, EndedBy::Caller);
}

/// §3.2.3 UA Receives 200 OK for re-INVITE (Established State) While in the Mortal State: it is
/// ACKed all the same.
#[test]
fn s3_2_3_200_for_reinvite_while_in_mortal() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    let reinvite = alice.sends(&Method::Invite, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
    let carried = bob.gets(&Method::Invite);
    alice.sends(&Method::Bye, None);
    alice.hears(200);
    alice.is_refused(&reinvite, 487);
    let bye = bob.gets(&Method::Bye);
    let success = bob.answers(&carried, 200, Some(SDP_CARRIER));
    let ack = bob.gets(&Method::Ack);
    bob.answers(&bye, 200, None);
    // The ACK is lost.
    bob.sends_this(&success);
    assert_eq!(bob.gets(&Method::Ack).as_bytes(), ack.as_bytes());
    flow.media_is(&["close"]);
    assert_eq!(flow.record().ended_by, EndedBy::Caller);
}

/// §3.2.4 Callee Receives ACK (Moratorium State) While in the Mortal State. Bob hangs up at once:
/// we are Alice's callee, and may not send BYE before her ACK (RFC 3261 §15).
#[test]
fn s3_2_4_ack_while_in_mortal() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    bob.hangs_up();
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000", "close"]);
    flow.is_silent();
    alice.acks(None);
    alice.gets_bye();
    let record = flow.record();
    assert_eq!((record.outcome(), record.ended_by), (Outcome::Answered, EndedBy::Callee));
}

/// §3.2.1 and §3.2.4 at once: Bob's BYE waits for Alice's ACK, which is lost, and she hangs up. She
/// needs no BYE any more, nor the 200 again.
#[test]
fn s3_2_4_bye_instead_of_the_ack_while_in_mortal() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    until_moratorium(&mut alice, &mut bob, Some(SDP_PBX));
    let lost = alice.writes(&Method::Ack, None);
    bob.hangs_up();
    flow.is_silent();
    alice.hangs_up();
    flow.after_ms(40_000);
    flow.is_silent();
    alice.sends_this(&lost);
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// §3.3.1 Re-INVITE Crossover. Both are refused with 491, and both come again, at their own times.
#[test]
fn s3_3_1_reinvite_crossover() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    let (offer_1, offer_2) = (moved(SDP_PBX, "10.0.0.9 30002"), moved(SDP_CARRIER, "198.51.100.77 40002"));
    let hers = alice.sends(&Method::Invite, Some(&offer_1));
    let carried = bob.gets(&Method::Invite);
    let his = bob.sends(&Method::Invite, Some(&offer_2));
    bob.is_refused(&his, 491);
    bob.answers(&carried, 491, None);
    bob.gets(&Method::Ack);
    alice.is_refused(&hers, 491);
    flow.media_is(&[]);
    flow.after_ms(1_500);
    bob.sends(&Method::Invite, Some(&offer_2));
    let carried = alice.gets(&Method::Invite);
    alice.answers(&carried, 200, Some(SDP_PBX));
    alice.gets(&Method::Ack);
    bob.hears(200);
    bob.acks(None);
    flow.media_is(&["B 198.51.100.77:40002"]);
    flow.after_ms(1_500);
    alice.sends(&Method::Invite, Some(&offer_1));
    let carried = bob.gets(&Method::Invite);
    bob.answers(&carried, 200, Some(&offer_2));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&["A 10.0.0.9:30002"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.3.2 UPDATE and re-INVITE Crossover, whichever of them is Alice's.
#[test]
fn s3_3_2_update_and_reinvite_crossover() {
    for (hers, his) in [(Method::Update, Method::Invite), (Method::Invite, Method::Update)] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        establish(&mut alice, &mut bob);
        flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
        let from_alice = alice.sends(&hers, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
        let carried = bob.gets(&hers);
        let from_bob = bob.sends(&his, Some(&moved(SDP_CARRIER, "198.51.100.77 40002")));
        let refused = bob.hears(491);
        bob.answers(&carried, 491, None);
        let refused_too = if hers == Method::Invite {
            bob.gets(&Method::Ack);
            alice.is_refused(&from_alice, 491)
        } else {
            bob.acks_failure(&from_bob, &refused);
            alice.hears(491)
        };
        assert_eq!(refused_too.cseq(), from_alice.cseq());
        flow.media_is(&[]);
        // The way is free for the next.
        bob.sends(&Method::Update, Some(&moved(SDP_CARRIER, "198.51.100.77 40002")));
        let carried = alice.gets(&Method::Update);
        alice.answers(&carried, 200, Some(SDP_PBX));
        bob.hears(200);
        flow.media_is(&["B 198.51.100.77:40002"]);
        alice.hangs_up();
        bob.gets_bye();
        assert_eq!(flow.record().status, 200);
    }
}

/// §3.3.3 Receiving REFER (Established State) While in the Mortal State
#[test]
fn s3_3_3_refer_while_in_mortal() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    alice.hangs_up();
    let bye = bob.gets(&Method::Bye);
    bob.sends(&Method::Refer, None);
    bob.hears(481);
    bob.answers(&bye, 200, None);
    assert_eq!(flow.record().ended_by, EndedBy::Caller);
}

/// Appendix A, BYE in the Early Dialog: the caller may, and the INVITE ends with 487.
#[test]
fn appendix_a_bye_in_the_early_dialog() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    alice.sends(&Method::Bye, None);
    alice.hears(200);
    alice.is_refused(&sent, 487);
    let cancel = bob.gets(&Method::Cancel);
    bob.answers(&cancel, 200, None);
    bob.answers(&invite, 487, None);
    bob.gets(&Method::Ack);
    let record = flow.record();
    assert_eq!((record.outcome(), record.status), (Outcome::Cancelled, 487));
}

/// Appendix A: the callee "MUST NOT send a BYE on early dialogs" (RFC 3261 §15). One that does is
/// answered, and what it says to the INVITE decides.
#[test]
fn appendix_a_bye_of_the_callee_in_the_early_dialog() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.hangs_up();
    flow.is_silent();
    bob.answers(&invite, 487, None);
    bob.gets(&Method::Ack);
    alice.is_refused(&sent, 487);
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// Appendix B, BYE Request Overlapping with re-INVITE: Bob hangs up instead of answering. What is
/// pending is answered 487 (RFC 3261 §15.1.2), on both sides.
#[test]
fn appendix_b_bye_overlapping_with_reinvite() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    let reinvite = alice.sends(&Method::Invite, Some(&directed(SDP_PBX, "sendonly")));
    let carried = bob.gets(&Method::Invite);
    bob.hangs_up();
    alice.is_refused(&reinvite, 487);
    bob.answers(&carried, 487, None);
    bob.gets(&Method::Ack);
    alice.gets_bye();
    flow.media_is(&["close"]);
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// Appendix C, UA's Behavior for CANCEL: a callee that does not know what is cancelled, or takes the
/// CANCEL and never answers the INVITE, holds up nothing.
#[test]
fn appendix_c_cancel_that_does_not_help() {
    for status in [481, 200] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        let sent = alice.invites(Some(SDP_PBX));
        let invite = bob.gets(&Method::Invite);
        bob.answers(&invite, 180, None);
        alice.hears(180);
        alice.cancels(&sent);
        alice.is_refused(&sent, 487);
        let cancel = bob.gets(&Method::Cancel);
        bob.answers(&cancel, status, None);
        flow.after_ms(10_000);
        // He rings on, and is not heard.
        bob.answers(&invite, 180, None);
        flow.is_silent();
        assert_eq!(flow.record().outcome(), Outcome::Cancelled);
    }
}

/// Appendix C: CANCEL waits until Bob has said anything (RFC 3261 §9.1), and his final response may
/// be the first that he says.
#[test]
fn appendix_c_cancel_before_any_response() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    alice.cancels(&sent);
    alice.is_refused(&sent, 487);
    flow.is_silent();
    bob.answers(&invite, 486, None);
    bob.gets(&Method::Ack);
    assert_eq!(flow.record().outcome(), Outcome::Cancelled);
}

/// Appendix E, Forking and Receiving New To Tags. Alice has one dialog whatever Bob's proxy does:
/// of two phones that answer, the first is hers, the second is ACKed and sent BYE.
#[test]
fn appendix_e_forking_and_new_to_tags() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let carol = flow.phone(CARRIER_A);
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    let tag = to_tag(&alice.hears(180));
    carol.answers(&invite, 180, None);
    assert_eq!(to_tag(&alice.hears(180)), tag);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(to_tag(&bob.gets(&Method::Ack)), "tag-phone-2");
    assert_eq!(to_tag(&alice.hears(200)), tag);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    let second = carol.answers(&invite, 200, Some(&moved(SDP_CARRIER, "198.51.100.78 40000")));
    let ack = bob.gets(&Method::Ack);
    let bye = bob.gets(&Method::Bye);
    assert_eq!((&to_tag(&ack)[..], &to_tag(&bye)[..]), ("tag-phone-3", "tag-phone-3"));
    carol.answers(&bye, 200, None);
    // Late ringing and repeated answers change nothing.
    carol.answers(&invite, 180, None);
    carol.sends_this(&second);
    assert_eq!(bob.gets(&Method::Ack).as_bytes(), ack.as_bytes());
    flow.is_silent();
    alice.acks(None);
    flow.media_is(&[]);
    alice.hangs_up();
    assert_eq!(to_tag(&bob.gets_bye()), "tag-phone-2");
    assert_eq!(flow.record().status, 200);
}

/// Appendix E: a phone that answers after the call is over is ACKed and sent BYE all the same, and a
/// third that does so after Alice gave up.
#[test]
fn appendix_e_answers_after_the_call() {
    for gives_up in [false, true] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        let carol = flow.phone(CARRIER_A);
        let sent = alice.invites(Some(SDP_PBX));
        let invite = bob.gets(&Method::Invite);
        if gives_up {
            bob.answers(&invite, 180, None);
            alice.hears(180);
            alice.cancels(&sent);
            alice.is_refused(&sent, 487);
            let cancel = bob.gets(&Method::Cancel);
            bob.answers(&cancel, 200, None);
            bob.answers(&invite, 200, Some(SDP_CARRIER));
            bob.gets(&Method::Ack);
            bob.gets_bye();
        } else {
            bob.answers(&invite, 200, Some(SDP_CARRIER));
            bob.gets(&Method::Ack);
            alice.hears(200);
            alice.acks(None);
            alice.hangs_up();
            bob.gets_bye();
        }
        flow.after_ms(10_000);
        carol.answers(&invite, 200, Some(SDP_CARRIER));
        assert_eq!(to_tag(&bob.gets(&Method::Ack)), "tag-phone-3");
        let bye = bob.gets(&Method::Bye);
        assert_eq!(to_tag(&bye), "tag-phone-3");
        carol.answers(&bye, 200, None);
        let outcome = if gives_up { Outcome::Cancelled } else { Outcome::Answered };
        assert_eq!(flow.record().outcome(), outcome);
    }
}
