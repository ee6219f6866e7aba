//! RFC 3960, early media and ringing tone. Who plays a ringing tone is Alice's user agent's choice,
//! by what it hears; so ringing, early media and both in any order must reach it as they came.
//!
//! What differs: Alice has one port of ours from the first 18x to the end, whoever of Bob's phones
//! sends to it. The application server model (§4) needs `early-session` bodies (RFC 3959): we do not
//! say that we support them, whatever Alice says, so that nobody sends one.

use super::*;
use crate::b2bua::{EndedBy, Input, Outcome};
use crate::media::MediaEvent;

/// A call that Bob's gateway has got.
fn begin(flow: &Flow) -> (Phone, Phone, Message, Message) {
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    // §2: whoever makes an offer must be ready for media at once.
    flow.media_is(&["open 1", "A 10.0.0.9:30000"]);
    (alice, bob, sent, invite)
}

fn complete(flow: &Flow, alice: &mut Phone, bob: &mut Phone) {
    alice.acks(None);
    alice.hangs_up();
    bob.gets_bye();
    flow.media_is(&["close"]);
    assert_eq!(flow.record().outcome(), Outcome::Answered);
}

/// §3 The Gateway Model: the answer is in the 183 and once more in the 200. The relay is ready with
/// the first, and the second changes nothing.
#[test]
fn s3_the_gateway_model() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    bob.answers(&invite, 183, Some(SDP_CARRIER));
    flow.media_is(&["B 198.51.100.77:40000"]);
    let early = alice.hears(183);
    assert!(text(&early).contains(&flow.ports().0));
    flow.after_ms(5_000);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    assert_eq!(alice.hears(200).body(), early.body());
    flow.media_is(&[]);
    complete(&flow, &mut alice, &mut bob);
}

/// §3, with the 183 lost: the 200 says it all.
#[test]
fn s3_the_gateway_model_without_its_183() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    assert!(!alice.hears(200).body().is_empty());
    flow.media_is(&["B 198.51.100.77:40000"]);
    complete(&flow, &mut alice, &mut bob);
}

/// §3, with reliable responses (RFC 3262), on either side alone and on both: a lost 183 is a call
/// without early media. What one side does is not seen on the other.
#[test]
fn s3_the_gateway_model_with_reliable_responses() {
    for (alice_has_it, bob_has_it) in [(false, true), (true, false), (true, true)] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        let supported = if alice_has_it { "100rel" } else { "replaces" };
        let sent = alice.writes_invite(Some(SDP_PBX), |w| w.header(Header::Supported, supported));
        alice.sends_this(&sent);
        alice.hears(100);
        let invite = bob.gets(&Method::Invite);
        if bob_has_it {
            bob.answers_with(&invite, 183, Some(SDP_CARRIER), |writer| {
                writer.header(Header::Require, "100rel").header(Header::RSeq, "71")
            });
            let prack = bob.gets(&Method::Prack);
            assert_eq!(header(&prack, Header::RAck), "71 1 INVITE");
            bob.answers(&prack, 200, None);
        } else {
            bob.answers(&invite, 183, Some(SDP_CARRIER));
        }
        let early = alice.hears(183);
        assert_eq!(early.lists_token(Header::Require, "100rel"), alice_has_it);
        if alice_has_it {
            flow.after_ms(500);
            assert_eq!(alice.hears(183).as_bytes(), early.as_bytes());
            alice.pracks(&early);
        }
        flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
        bob.answers(&invite, 200, (!bob_has_it).then_some(SDP_CARRIER));
        bob.gets(&Method::Ack);
        // What a reliable response said is final, and not said again.
        assert_eq!(alice.hears(200).body().is_empty(), alice_has_it);
        flow.media_is(&[]);
        complete(&flow, &mut alice, &mut bob);
    }
}

/// §3, with an announcement first: each 18x names another place. Alice is shown the same, until the
/// codec is another.
#[test]
fn s3_several_183_with_changing_media() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    bob.answers(&invite, 183, Some(SDP_CARRIER));
    let first = alice.hears(183).body();
    bob.answers(&invite, 183, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
    assert_eq!(alice.hears(183).body(), first);
    flow.media_is(&["B 198.51.100.77:40000", "B 198.51.100.78:40010"]);
    let other_codec = SDP_CARRIER.replace("RTP/AVP 0 101", "RTP/AVP 8 101");
    bob.answers(&invite, 200, Some(&other_codec));
    bob.gets(&Method::Ack);
    let last = text(&alice.hears(200));
    let origin = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("o=")).expect("an origin").to_owned();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        (words[1].clone(), words[2].parse::<u64>().expect("a version"))
    };
    let (before, after) = (origin(&String::from_utf8_lossy(&first)), origin(&last));
    assert_eq!((&after.0, after.1), (&before.0, before.1 + 1), "{last}");
    assert!(last.contains(&flow.ports().0), "{last}");
    flow.media_is(&["B 198.51.100.77:40000"]);
    complete(&flow, &mut alice, &mut bob);
}

/// §3.1 Forking: two of Bob's phones send early media, the one that was heard first answers. What is
/// relayed is the last that was heard, in the end the one that answered.
#[test]
fn s3_1_forking() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    let carol = flow.phone(CARRIER_A);
    bob.answers(&invite, 183, Some(SDP_CARRIER));
    alice.hears(183);
    carol.answers(&invite, 183, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
    alice.hears(183);
    flow.media_is(&["B 198.51.100.77:40000", "B none", "B 198.51.100.78:40010"]);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(to_tag(&bob.gets(&Method::Ack)), "tag-phone-2");
    alice.hears(200);
    flow.media_is(&["B none", "B 198.51.100.77:40000"]);
    // Carol's early media is over: what she still says moves nothing.
    carol.answers(&invite, 183, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
    flow.is_silent();
    flow.media_is(&[]);
    complete(&flow, &mut alice, &mut bob);
}

/// §3.1, where the phone that answers does not repeat what it said in its 183: its media is taken,
/// not that of the phone that was heard last.
#[test]
fn s3_1_forking_with_an_answer_that_is_not_repeated() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    let carol = flow.phone(CARRIER_A);
    bob.answers(&invite, 183, Some(SDP_CARRIER));
    alice.hears(183);
    carol.answers(&invite, 183, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
    alice.hears(183);
    bob.answers(&invite, 200, None);
    bob.gets(&Method::Ack);
    assert!(text(&alice.hears(200)).contains(&flow.ports().0));
    flow.media_is(&[
        "B 198.51.100.77:40000",
        "B none",
        "B 198.51.100.78:40010",
        "B none",
        "B 198.51.100.77:40000",
    ]);
    complete(&flow, &mut alice, &mut bob);
}

/// §3.2 Ringing Tone Generation: by 180, by media, or by both, in whatever order they come. Each
/// response passes as it is, with SDP if it had any.
#[test]
fn s3_2_ringing_tone_generation() {
    for responses in [
        &[(180, false)][..],
        &[(180, true)],
        &[(183, false)],
        &[(183, true), (180, false)],
        &[(180, false), (183, true)],
        &[(180, false), (180, false), (183, true), (180, false)],
    ] {
        let flow = Flow::new();
        let (mut alice, mut bob, _, invite) = begin(&flow);
        let mut has_media = false;
        for (status, sdp) in responses {
            flow.after_ms(400);
            bob.answers(&invite, *status, sdp.then_some(SDP_CARRIER));
            assert_eq!(alice.hears(*status).body().is_empty(), !sdp);
            let told: &[&str] = if *sdp && !has_media { &["B 198.51.100.77:40000"] } else { &[] };
            flow.media_is(told);
            has_media |= sdp;
        }
        bob.answers(&invite, 200, Some(SDP_CARRIER));
        bob.gets(&Method::Ack);
        alice.hears(200);
        alice.acks(None);
        alice.hangs_up();
        bob.gets_bye();
        let record = flow.record();
        assert_eq!(record.ring.expect("ringing") - record.start, Duration::from_millis(400));
    }
}

/// §3.2: a phone that rings said already where its media will be, and sends none yet. However long
/// it rings, `media.timeout` does not end it; once it has answered, silence does.
#[test]
fn s3_2_ringing_in_silence_is_no_fault() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    bob.answers(&invite, 180, Some(SDP_CARRIER));
    alice.hears(180);
    let silent = |flow: &Flow| {
        flow.lab(|lab| {
            let session = *lab.open_sessions.first().expect("a session");
            lab.input(Input::Media(MediaEvent::Silent { session }));
        });
    };
    flow.after_ms(60_000);
    silent(&flow);
    flow.is_silent();
    flow.after_ms(60_000);
    silent(&flow);
    flow.is_silent();
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    flow.after_ms(60_000);
    silent(&flow);
    alice.gets_bye();
    bob.gets_bye();
    let record = flow.record();
    assert_eq!((record.outcome(), record.ended_by), (Outcome::Answered, EndedBy::Sbc));
}

/// §3.3 Absence of an Early Media Indicator. There is one since, P-Early-Media (RFC 5009), and it
/// crosses if the trunk that it goes to says so.
#[test]
fn s3_3_an_early_media_indicator_is_header_policy() {
    for passes in [false, true] {
        let flow = Flow::changed(|settings| {
            if passes {
                for trunk in &mut settings.routing.trunks {
                    trunk.headers.pass = vec!["P-Early-Media".to_owned()];
                }
            }
        });
        let (mut alice, mut bob) = flow.alice_and_bob();
        let sent = alice.writes_invite(Some(SDP_PBX), |writer| writer.field(b"P-Early-Media", b"supported"));
        alice.sends_this(&sent);
        alice.hears(100);
        let invite = bob.gets(&Method::Invite);
        assert_eq!(text(&invite).contains("P-Early-Media: supported\r\n"), passes);
        bob.answers_with(&invite, 183, Some(SDP_CARRIER), |w| w.field(b"P-Early-Media", b"sendonly, gated"));
        assert_eq!(text(&alice.hears(183)).contains("P-Early-Media: sendonly, gated\r\n"), passes);
        alice.cancels(&sent);
        alice.is_refused(&sent, 487);
        let cancel = bob.gets(&Method::Cancel);
        bob.answers(&cancel, 200, None);
        bob.answers(&invite, 487, None);
        bob.gets(&Method::Ack);
        assert_eq!(flow.record().outcome(), Outcome::Cancelled);
    }
}

/// §3.4 Applicability of the Gateway Model: a gateway plays why a call fails, and then fails it. No
/// other carrier is tried after Alice has heard something.
#[test]
fn s3_4_an_announcement_of_failure() {
    for (status, heard) in [(404, 404), (503, 503)] {
        let flow = Flow::changed(|_| {});
        let (mut alice, mut bob, sent, invite) = begin(&flow);
        bob.answers(&invite, 183, Some(SDP_CARRIER));
        alice.hears(183);
        flow.after_ms(8_000);
        bob.answers_with(&invite, status, None, |w| w.header(Header::Reason, "Q.850;cause=1"));
        bob.gets(&Method::Ack);
        assert_eq!(header(&alice.is_refused(&sent, heard), Header::Reason), "Q.850;cause=1");
        flow.media_is(&["B 198.51.100.77:40000", "close"]);
        let record = flow.record();
        assert_eq!((record.status, record.outcome(), record.attempts.len()), (heard, Outcome::Failed, 1));
    }
}

/// §4 The Application Server Model: Alice's `early-session` is between her and us.
#[test]
fn s4_early_session_is_not_offered() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.writes_invite(Some(SDP_PBX), |w| w.header(Header::Supported, "early-session"));
    alice.sends_this(&sent);
    alice.hears(100);
    let invite = bob.gets(&Method::Invite);
    assert!(!invite.lists_token(Header::Supported, "early-session"));
    bob.answers(&invite, 486, None);
    bob.gets(&Method::Ack);
    alice.is_refused(&sent, 486);
    flow.record();
}

/// §4.1 In-Band Versus Out-of-Band Session Progress Information: 181 and 182 say in signalling what
/// an announcement says in media.
#[test]
fn s4_1_out_of_band_progress() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    for status in [181, 182, 182, 180] {
        bob.answers(&invite, status, None);
        assert!(alice.hears(status).body().is_empty());
    }
    flow.media_is(&[]);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    flow.media_is(&["B 198.51.100.77:40000"]);
    complete(&flow, &mut alice, &mut bob);
}

/// §5 Alert-Info Header Field: it names a place on Bob's side, so that it crosses only by a rule.
#[test]
fn s5_alert_info_does_not_cross() {
    let flow = Flow::new();
    let (mut alice, mut bob, _, invite) = begin(&flow);
    bob.answers_with(&invite, 180, None, |w| w.field(b"Alert-Info", b"<http://192.0.2.1/ring.pcm>"));
    assert!(!text(&alice.hears(180)).contains("Alert-Info"));
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    flow.media_is(&["B 198.51.100.77:40000"]);
    complete(&flow, &mut alice, &mut bob);
}
