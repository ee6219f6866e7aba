//! RFC 5359, the services that use REFER and Replaces. Bob, behind the PBX, is the one who transfers,
//! parks or is picked up; his trunk relays REFER or has us carry it out.
//!
//! | section | here |
//! |---|---|
//! | 2.4 unattended transfer | the REFER in the dialog, from either side of the call |
//! | 2.5 attended transfer | Refer-To with Replaces; the dialog that it names has other names on each side |
//! | 2.6 instant messaging transfer | MESSAGE within a dialog crosses, outside of one it is refused; the REFER as before |
//! | 2.15 park | the park server takes Bob's place, and Carol the server's; the REFER to the server is the PBX's own |
//! | 2.16 pickup | of a call that rings: it is a dialog that we did not begin (481), and rings on |
//! | 2.18 click to dial | REFER outside a dialog, refused |

use super::rfc5359::reinvites;
use super::*;
use crate::routing::{NumberPattern, Refer, RouteSource};

const CAROL: &str = "+498912345678";
const SDP_CAROL: &str = "v=0\r\no=c 9 9 IN IP4 198.51.100.2\r\ns=c\r\nc=IN IP4 198.51.100.88\r\nt=0 0\r\n\
    m=audio 42000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Bob's trunk transfers so; Alice is at carrier A, Carol's number at carrier B.
fn flow(refer: Refer) -> Flow {
    Flow::changed(|settings| {
        settings.routing.trunks[0].refer = refer;
        settings.routing.routes[0].tiers.truncate(1);
        let mut to_carol = route("carol", RouteSource::Realm(crate::base::Realm::Trusted), &["carrier-b"]);
        to_carol.to = vec![NumberPattern::Prefix("+4989".to_owned())];
        settings.routing.routes.insert(0, to_carol);
    })
}

/// Alice and Bob in a call that one of them began.
fn connected(flow: &Flow, alice_calls: bool) -> (Phone, Phone) {
    let (mut alice, mut bob) = (flow.phone(CARRIER_A), flow.phone(PBX));
    if alice_calls {
        establish(&mut alice, &mut bob);
    } else {
        establish(&mut bob, &mut alice);
    }
    (alice, bob)
}

/// Bob's second line, in a call with Carol.
fn consults(flow: &Flow) -> (Phone, Phone) {
    let (mut line, mut carol) = (flow.phone(PBX), flow.phone(CARRIER_B));
    line.called = CAROL;
    establish(&mut line, &mut carol);
    (line, carol)
}

/// REFER in the phone's dialog.
fn refers(phone: &mut Phone, refer_to: &str) {
    let refer = phone.writes(&Method::Refer, None);
    let lines = format!("Refer-To: {refer_to}\r\nReferred-By: <sip:Secret@{}>", phone.at);
    phone.sends_this(&with_header(&refer, &lines));
}

/// NOTIFY of what became of a REFER that the phone got, and its 200.
fn notifies(phone: &mut Phone, state: &str, status: &str) -> Message {
    let notify = text(&phone.writes(&Method::Notify, None));
    let fragment = format!("SIP/2.0 {status}\r\nContact: <sip:Secret@{}>\r\n", phone.at);
    let lines = format!(
        "Event: refer\r\nSubscription-State: {state}\r\nContact: {}\r\nContent-Type: message/sipfrag\r\n\
         Content-Length: {}\r\n\r\n{fragment}",
        phone.contact,
        fragment.len()
    );
    let notify = notify.replace("Content-Length: 0\r\n\r\n", &lines);
    let notify = Message::parse(notify.into()).expect("a message");
    phone.sends_this(&notify);
    notify
}

/// Gets a NOTIFY of its REFER, and answers it.
#[track_caller]
fn is_told(phone: &mut Phone, status: &str, state: &str) {
    let notify = phone.gets(&Method::Notify);
    assert_eq!(String::from_utf8_lossy(&notify.body()), format!("SIP/2.0 {status}\r\n"));
    assert!(header(&notify, Header::SubscriptionState).starts_with(state));
    phone.answers(&notify, 200, None);
}

/// Agrees to a change of the call.
#[track_caller]
fn takes_reinvite(phone: &mut Phone, sdp: &str) {
    let reinvite = phone.gets(&Method::Invite);
    assert!(reinvite.to().is_some_and(|to| to.tag().is_some()));
    phone.answers(&reinvite, 200, Some(sdp));
    phone.gets(&Method::Ack);
}

/// The phone's dialog as its own Replaces names it (RFC 3891 §3).
fn names(phone: &Phone) -> String {
    let words = [&phone.dialog.call_id, &phone.dialog.remote, &phone.dialog.local];
    let [call_id, remote, local] = words.map(|word| String::from_utf8_lossy(word).into_owned());
    let tag = |party: &str| party.split(";tag=").nth(1).expect("a tag").to_owned();
    format!("{call_id};to-tag={};from-tag={}", tag(&remote), tag(&local))
}

/// The same as the headers of a URI have it.
fn escaped(replaces: &str) -> String {
    format!(
        "Replaces={}",
        replaces.replace('@', "%40").replace(':', "%3A").replace(';', "%3B").replace('=', "%3D")
    )
}

/// INVITE with Replaces; the party that it will speak to agrees, and the phone is connected.
fn replaces(phone: &mut Phone, replaces: &str, sdp: &str, other: &mut Phone, others: &str) {
    let invite = phone.writes_invite(Some(sdp), |w| {
        w.header(Header::Require, "replaces").header(Header::Replaces, replaces)
    });
    phone.sends_this(&invite);
    phone.hears(100);
    takes_reinvite(other, others);
    let at = phone.at;
    let answer = phone.lab.borrow_mut().sent.iter().position(|(hop, sent)| {
        hop.peer == at.parse().expect("an address") && sent.status().is_some_and(|it| it.code() == 200)
    });
    let answer = phone.lab.borrow_mut().sent.remove(answer.expect("a 200")).expect("a message");
    phone.lab.borrow_mut().sent.push_front(answer);
    phone.hears(200);
    phone.acks(None);
}

/// §2.4 Transfer - Unattended, relayed: Alice is asked to call Carol, does, and tells Bob.
#[test]
fn s2_4_unattended_transfer_relayed() {
    for alice_calls in [true, false] {
        let flow = flow(Refer::Relay);
        let (mut alice, mut bob) = connected(&flow, alice_calls);
        refers(&mut bob, "<sip:+14155550111@10.0.0.5>");
        let refer = alice.gets(&Method::Refer);
        assert_eq!(header(&refer, Header::ReferTo), "<sip:+14155550111@203.0.113.5:5060>");
        alice.answers(&refer, 202, None);
        bob.hears(202);
        notifies(&mut alice, "active;expires=60", "100 Trying");
        is_told(&mut bob, "100 Trying", "active;expires=60");
        alice.hears(200);
        let (mut alices_second_line, mut carol) = (flow.phone(CARRIER_A), flow.phone(PBX));
        establish(&mut alices_second_line, &mut carol);
        notifies(&mut alice, "terminated;reason=noresource", "200 OK");
        is_told(&mut bob, "200 OK", "terminated");
        alice.hears(200);
        bob.hangs_up();
        alice.gets_bye();
        alices_second_line.hangs_up();
        carol.gets_bye();
        let transfers: Vec<_> = flow.records().iter().map(|record| record.transfers.len()).collect();
        assert_eq!(transfers, [0, 0]);
    }
}

/// §2.4, carried out by us: Alice hears nothing of it but a re-INVITE.
#[test]
fn s2_4_unattended_transfer_carried_out() {
    for alice_calls in [true, false] {
        let flow = flow(Refer::Consume);
        let (mut alice, mut bob) = connected(&flow, alice_calls);
        refers(&mut bob, &format!("<sip:{CAROL}@10.0.0.5>"));
        bob.hears(202);
        is_told(&mut bob, "100 Trying", "active");
        let mut carol = flow.phone(CARRIER_B);
        let invite = carol.gets(&Method::Invite);
        let alices = if alice_calls { "+14155550100" } else { "+442079460000" };
        assert!(header(&invite, Header::From).contains(alices));
        carol.answers(&invite, 180, None);
        is_told(&mut bob, "180 Ringing", "active");
        carol.answers(&invite, 200, Some(SDP_CAROL));
        carol.gets(&Method::Ack);
        is_told(&mut bob, "200 OK", "terminated");
        takes_reinvite(&mut alice, SDP_CARRIER);
        bob.hangs_up();
        flow.is_silent();
        alice.hangs_up();
        carol.gets_bye();
        let record = flow.record();
        assert_eq!((record.status, record.transfers[0].status), (200, 200));
        assert_eq!(record.transfers[0].to, CAROL);
    }
}

/// §2.5 Transfer - Attended, relayed: Bob holds Alice, asks Carol, and has Alice take his place there.
#[test]
fn s2_5_attended_transfer_relayed() {
    for alice_calls in [true, false] {
        let flow = flow(Refer::Relay);
        let (mut alice, mut bob) = connected(&flow, alice_calls);
        reinvites(&mut bob, &mut alice, &directed(SDP_PBX, "sendonly"), &directed(SDP_CARRIER, "recvonly"));
        let (mut bobs_second_line, mut carol) = consults(&flow);
        let named = escaped(&names(&bobs_second_line));
        refers(&mut bob, &format!("<sip:{CAROL}@10.0.0.5?{named}>"));
        let refer = alice.gets(&Method::Refer);
        // Carol's dialog with us, not Bob's.
        let refer_to = header(&refer, Header::ReferTo);
        let value = refer_to.split("?Replaces=").nth(1).expect("a Replaces").trim_end_matches('>');
        let value = value.replace("%3B", ";").replace("%3D", "=").replace("%40", "@");
        assert!(value.contains(";to-tag=tag-phone-4;") && !value.contains("phone-3"), "{value}");
        alice.answers(&refer, 202, None);
        bob.hears(202);
        let mut alices_second_line = flow.phone(CARRIER_A);
        replaces(&mut alices_second_line, &value, SDP_CARRIER, &mut carol, SDP_CAROL);
        bobs_second_line.gets_bye();
        notifies(&mut alice, "terminated;reason=noresource", "200 OK");
        is_told(&mut bob, "200 OK", "terminated");
        alice.hears(200);
        bob.hangs_up();
        alice.gets_bye();
        carol.hangs_up();
        alices_second_line.gets_bye();
        assert_eq!(flow.records().len(), 2);
    }
}

/// §2.5, carried out by us: the two calls become one, and both of Bob's lines are free.
#[test]
fn s2_5_attended_transfer_carried_out() {
    for alice_calls in [true, false] {
        let flow = flow(Refer::Consume);
        let (mut alice, mut bob) = connected(&flow, alice_calls);
        reinvites(&mut bob, &mut alice, &directed(SDP_PBX, "sendonly"), &directed(SDP_CARRIER, "recvonly"));
        let (mut bobs_second_line, mut carol) = consults(&flow);
        let named = escaped(&names(&bobs_second_line));
        refers(&mut bob, &format!("<sip:{CAROL}@10.0.0.5?{named}>"));
        bob.hears(202);
        is_told(&mut bob, "100 Trying", "active");
        is_told(&mut bob, "200 OK", "terminated");
        takes_reinvite(&mut alice, SDP_CARRIER);
        takes_reinvite(&mut carol, SDP_CAROL);
        bob.hangs_up();
        bobs_second_line.gets_bye();
        flow.is_silent();
        // They hear each other, whatever was on hold.
        reinvites(&mut carol, &mut alice, &moved(SDP_CAROL, "198.51.100.89 42002"), SDP_CARRIER);
        carol.hangs_up();
        alice.gets_bye();
        let records = flow.records();
        let transfers: usize = records.iter().map(|record| record.transfers.len()).sum();
        assert_eq!((records.len(), transfers), (2, 1));
    }
}

/// §2.6 Transfer - Instant Messaging: what is written within the dialog crosses; outside of one nothing
/// is. The transfer is as in §2.4, and Carol declines it.
#[test]
fn s2_6_instant_messaging_transfer() {
    let flow = flow(Refer::Consume);
    let (mut alice, mut bob) = connected(&flow, true);
    let message = text(&bob.writes(&Method::Message, None));
    let said = "Content-Type: text/plain\r\nContent-Length: 21\r\n\r\nCarol will help you.\n";
    let message = message.replace("Content-Length: 0\r\n\r\n", said);
    bob.sends_this(&Message::parse(message.into()).expect("a message"));
    let shown = alice.gets(&Method::Message);
    assert_eq!(&shown.body()[..], b"Carol will help you.\n");
    alice.answers(&shown, 200, None);
    bob.hears(200);
    let mut bobs_second_line = flow.phone(PBX);
    let uri = format!("sip:{CAROL}@{SBC_TRUSTED}");
    let alone = request(PBX, &Method::Message, &uri, &bobs_second_line.name, 1);
    bobs_second_line.sends_this(&finish(alone.header(Header::To, format!("<{uri}>")), None));
    bobs_second_line.hears(405);
    flow.is_silent();
    refers(&mut bob, &format!("<sip:{CAROL}@10.0.0.5>"));
    bob.hears(202);
    is_told(&mut bob, "100 Trying", "active");
    let mut carol = flow.phone(CARRIER_B);
    let invite = carol.gets(&Method::Invite);
    carol.answers(&invite, 486, None);
    carol.gets(&Method::Ack);
    is_told(&mut bob, "486 Busy Here", "terminated");
    bob.hangs_up();
    alice.gets_bye();
    assert_eq!(flow.record().transfers[0].status, 486);
}

/// §2.15 Call Park: the park server, behind the PBX, takes Bob's place; then Carol takes the server's.
/// Alice is asked each time.
#[test]
fn s2_15_call_park() {
    for mode in [Refer::Relay, Refer::Consume] {
        for alice_calls in [true, false] {
            let flow = flow(mode);
            let (mut alice, mut bob) = connected(&flow, alice_calls);
            let mut park = flow.phone(PBX);
            let music = directed(&moved(SDP_PBX, "10.0.0.40 31000"), "sendonly");
            let listens = directed(SDP_CARRIER, "recvonly");
            replaces(&mut park, &names(&bob), &music, &mut alice, &listens);
            bob.gets_bye();
            flow.after_ms(30_000);
            flow.is_silent();
            let mut carol = flow.phone(PBX);
            replaces(&mut carol, &names(&park), &moved(SDP_PBX, "10.0.0.41 32000"), &mut alice, SDP_CARRIER);
            park.gets_bye();
            flow.is_silent();
            alice.hangs_up();
            carol.gets_bye();
            let record = flow.record();
            assert_eq!((record.status, record.transfers.len()), (200, 2));
        }
    }
}

/// §2.16 Call Pickup: Bill wants the call that rings at Bob's. RFC 3891 §3: of an early dialog only
/// that may be replaced which we began, and here it is named to the one who was called; it rings on.
#[test]
fn s2_16_call_pickup() {
    let flow = flow(Refer::Relay);
    let (mut alice, mut bob) = (flow.phone(CARRIER_A), flow.phone(PBX));
    alice.invites(Some(SDP_CARRIER));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    let mut bill = flow.phone(PBX);
    let value = format!("{};early-only", names(&bob));
    let pick_up = bill.writes_invite(Some(SDP_PBX), |w| w.header(Header::Replaces, value));
    bill.sends_this(&pick_up);
    bill.hears(100);
    bill.is_refused(&pick_up, 481);
    flow.is_silent();
    bob.answers(&invite, 200, Some(SDP_PBX));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    alice.hangs_up();
    bob.gets_bye();
    let statuses: Vec<_> = flow.records().iter().map(|record| record.status).collect();
    assert_eq!(statuses, [481, 200]);
}

/// §2.18 Click to Dial: REFER outside a dialog asks us for a call that nobody is in. Whoever may
/// transfer calls may not place them so.
#[test]
fn s2_18_click_to_dial() {
    for mode in [Refer::Reject, Refer::Relay, Refer::Consume] {
        let flow = flow(mode);
        for at in [PBX, CARRIER_A] {
            let mut controller = flow.phone(at);
            let uri = format!("sip:+14155550111@{}", sbc_towards(at));
            let refer = request(at, &Method::Refer, &uri, &controller.name, 1)
                .header(Header::To, format!("<{uri}>"))
                .header(Header::Contact, &controller.contact)
                .header(Header::ReferTo, format!("<sip:{CAROL}@10.0.0.5>"));
            controller.sends_this(&finish(refer, None));
            let refusal = controller.hears(405);
            assert!(!header(&refusal, Header::Allow).contains("REFER"));
            flow.is_silent();
        }
        assert!(flow.records().is_empty());
    }
}
