//! Keys that people press in a call (DTMF), where the two sides do not send them in the same way: telephone
//! events in RTP (RFC 4733) become INFO (RFC 6086, `application/dtmf-relay`) and the reverse, as `dtmf` of the
//! trunks says.
//!
//! | the side that presses | the side that hears | events | INFO |
//! |---|---|---|---|
//! | any | `info` | taken out of the stream, sent as INFO | crosses |
//! | any | `rfc4733` | cross | becomes events |
//! | `info` | `pass` | cross | becomes events |
//! | else | `pass` | cross | crosses |
//!
//! Events can be read and written in plain RTP alone, and written only where the other side's SDP lists them:
//! else INFO crosses as it is. A side whose partner speaks INFO is told of events in SDP, in the partner's name, or it
//! would send tones that nobody here can read.
//!
//! INFO of ours goes out one at a time in each direction, so that keys come in their order (two requests may
//! overtake each other); what refuses or does not answer it ends no call.
//!
//! Keys are secrets: none is logged, counted by its value, or in a record.
//!
//! Must not know: how the relay finds and presses keys.

use std::collections::VecDeque;
use std::time::Duration;

use super::call::{Call, CallKey, Phase};
use super::engine::Engine;
use super::outgoing::Purpose;
use super::{Output, Settings};
use crate::base::{Hop, Instant};
use crate::media::{EventRule, Key, MediaCommand, MediaSessionId, Press, RemoteMedia, Side, StreamKind};
use crate::routing::Dtmf;
use crate::sip::multipart;
use crate::sip::{Header, Message, Method, Status};
use crate::transaction::{ClientId, ServerId};

/// Keys that wait for the answer to the one before, in one direction of a call; further ones are lost.
const MAX_WAITING: usize = 32;
/// How long a key waits for the answer to the one before. After that nobody wants it any more: who was asked
/// for a number has gone on, and would take it for the answer to something else.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys by INFO that a call may press a second; more are told to come later.
const MAX_A_SECOND: u8 = 20;
const SECOND: Duration = Duration::from_secs(1);
/// The duration where INFO says none: as long as phones press.
const USUAL: Duration = Duration::from_millis(160);
/// Lines of an `application/dtmf-relay` body that are looked at.
const MAX_LINES: usize = 8;
const RELAY: &[u8] = b"application/dtmf-relay";
const BARE: &[u8] = b"application/dtmf";

/// The keys of a call that are on their way.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    to_a: Towards,
    to_b: Towards,
    /// Since when, how many came by INFO.
    second: (Instant, u8),
}

/// INFO in one direction.
#[derive(Clone, Debug, Default)]
struct Towards {
    waiting: VecDeque<(Instant, Press)>,
    /// The one that is not answered.
    sent: Option<ClientId>,
}

impl Keys {
    fn towards(&mut self, side: Side) -> &mut Towards {
        match side {
            Side::A => &mut self.to_a,
            Side::B => &mut self.to_b,
        }
    }

    /// Whether this INFO of ours is the one that is waited for.
    pub(super) fn awaits(&self, client: ClientId) -> bool {
        self.to_a.sent == Some(client) || self.to_b.sent == Some(client)
    }

    /// It was sent again as another.
    pub(super) fn renumber(&mut self, client: ClientId, again: ClientId) {
        for towards in [&mut self.to_a, &mut self.to_b] {
            towards.sent = towards.sent.map(|sent| if sent == client { again } else { sent });
        }
    }

    /// Whether another may be pressed by INFO now.
    fn admit(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.second;
        if now.since(*since) >= SECOND {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= MAX_A_SECOND
    }
}

/// How the trunk of a side has its keys.
fn dtmf_of(call: &Call, settings: &Settings, side: Side) -> Dtmf {
    let trunk = call.leg(side).and_then(|leg| settings.trunk_of(leg.trunk.as_ref()));
    trunk.map(|trunk| trunk.dtmf).unwrap_or_default()
}

/// What the relay does with the events of a side. `offered` is the payload type that we have told it.
pub(super) fn event_rule(call: &Call, settings: &Settings, from: Side, offered: Option<u8>) -> EventRule {
    match dtmf_of(call, settings, from.other()) {
        Dtmf::Info => EventRule::Tell { offered },
        Dtmf::Pass | Dtmf::Rfc4733 => EventRule::Pass,
    }
}

/// Whether the other side is to see telephone events in the SDP of this one, though it may have none.
pub(super) fn speaks_events_for(call: &Call, settings: &Settings, from: Side) -> bool {
    dtmf_of(call, settings, from) == Dtmf::Info && dtmf_of(call, settings, from.other()) != Dtmf::Info
}

/// Whether INFO of a side becomes events.
fn becomes_events(call: &Call, settings: &Settings, from: Side) -> bool {
    match dtmf_of(call, settings, from.other()) {
        Dtmf::Info => false,
        Dtmf::Rfc4733 => true,
        Dtmf::Pass => dtmf_of(call, settings, from) == Dtmf::Info,
    }
}

/// The key that an INFO is about.
fn read_key(info: &Message) -> Option<Press> {
    let body = info.body();
    let content_type = multipart::media_type(info.header(Header::ContentType)?);
    if content_type.eq_ignore_ascii_case(BARE) {
        return Some(Press { key: key_named(body.trim_ascii())?, duration: USUAL });
    }
    if !content_type.eq_ignore_ascii_case(RELAY) {
        return None;
    }
    let (mut key, mut duration) = (None, USUAL);
    for line in
        body.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()).take(MAX_LINES)
    {
        let Some(at) = memchr::memchr2(b'=', b':', line) else { continue };
        let (name, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"Signal") {
            key = key_named(value);
        } else if name.eq_ignore_ascii_case(b"Duration") {
            let millis = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u16>().ok());
            duration = millis.map_or(USUAL, |millis| Duration::from_millis(u64::from(millis)));
        }
    }
    key.map(|key| Press { key, duration })
}

/// By its sign, or, as some have `*` and `#`, by the number of its event.
fn key_named(name: &[u8]) -> Option<Key> {
    match name {
        [sign] => Key::of_sign(*sign),
        [b'1', unit @ b'0'..=b'5'] => Key::of_event(10 + (unit - b'0')),
        _ => None,
    }
}

fn write_key(press: Press) -> Vec<u8> {
    format!("Signal={}\r\nDuration={}\r\n", press.key.sign(), press.duration.as_millis()).into_bytes()
}

impl Engine {
    /// An INFO that is to become a telephone event: pressed and answered. False: it is none, or cannot be.
    pub(super) fn press_instead(
        &mut self,
        now: Instant,
        key: CallKey,
        from: Side,
        server: ServerId,
        info: &Message,
    ) -> bool {
        let Some(call) = self.calls.get_mut(key) else { return false };
        let settings = self.snapshots.get(call.snapshot);
        if !becomes_events(call, &settings, from) {
            return false;
        }
        let Some(press) = read_key(info) else { return false };
        let Some((session, side, stream)) = call.media.where_events_go(from) else { return false };
        if call.keys.admit(now) {
            self.outputs.push_back(Output::Media(MediaCommand::Press { session, stream, side, press }));
            self.respond_in_dialog(now, key, from, server, Status::of(200));
        } else {
            self.respond_retry_later(now, key, from, server);
        }
        true
    }

    /// The relay has heard a key that is to go on as INFO.
    pub(super) fn on_key(&mut self, now: Instant, session: MediaSessionId, faces: Side, press: Press) {
        let Some(key) = self.media_sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(key) else { return };
        let side =
            [Side::A, Side::B].into_iter().find(|side| call.media.facing(*side) == Some((session, faces)));
        let Some(from) = side.filter(|_| call.phase != Phase::Over) else { return };
        let to = from.other();
        let settings = self.snapshots.get(call.snapshot);
        // A word of the relay's from before a transfer.
        if event_rule(call, &settings, from, None) == EventRule::Pass {
            return;
        }
        let waiting = &mut call.keys.towards(to).waiting;
        if waiting.len() < MAX_WAITING {
            waiting.push_back((now, press));
        }
        self.send_next_key(now, key, to);
    }

    fn send_next_key(&mut self, now: Instant, key: CallKey, to: Side) {
        while let Some(call) = self.calls.get_mut(key) {
            let towards = call.keys.towards(to);
            if towards.sent.is_some() {
                return;
            }
            let Some((pressed_at, press)) = towards.waiting.pop_front() else { return };
            if now.since(pressed_at) > PATIENCE {
                continue;
            }
            let Some((info, hop)) = self.write_info(key, to, press) else { continue };
            self.note_early_sequence(key, to, info.cseq().map_or(0, |cseq| cseq.number));
            let client = self.send_request(now, key, to, Purpose::Key, info, hop);
            if let Some(call) = self.calls.get_mut(key) {
                call.keys.towards(to).sent = Some(client);
            }
        }
    }

    /// INFO within a leg's dialog; `None`: the leg cannot be asked (yet, or any more).
    fn write_info(&mut self, key: CallKey, to: Side, press: Press) -> Option<(Message, Hop)> {
        let call = self.calls.get(key)?;
        let is_open = call.phase == Phase::Answered || to == Side::B || call.reliable.was_acknowledged;
        if !is_open || call.phase == Phase::Over || self.is_out_of_reach(key, to) {
            return None;
        }
        let hop = self.leg_hop(key, to)?;
        let via = self.mint_via(hop);
        let dialog = self.calls.get_mut(key)?.leg_mut(to)?.dialog.as_mut()?;
        let info = dialog.request(&Method::Info, &via).finish_with(RELAY, &write_key(press)).ok()?;
        Some((info, hop))
    }

    /// A key was answered, or nobody answers: the next.
    pub(super) fn on_key_ended(&mut self, now: Instant, client: ClientId) {
        let Some((key, to)) = self.clients.get(client).map(|sent| (sent.call, sent.side)) else { return };
        let Some(call) = self.calls.get_mut(key) else { return };
        let towards = call.keys.towards(to);
        if towards.sent == Some(client) {
            towards.sent = None;
            self.send_next_key(now, key, to);
        }
    }
}

/// Whether events can be written into what comes from a peer and goes to another.
pub(super) fn can_carry_events(from: Option<&RemoteMedia>, to: Option<&RemoteMedia>) -> bool {
    let is_plain = |remote: &&RemoteMedia| remote.kind == StreamKind::Rtp;
    let takes =
        |remote: &RemoteMedia| remote.receives && remote.formats.has(crate::media::Codec::TelephoneEvent);
    from.filter(is_plain).is_some_and(|remote| remote.sends) && to.filter(is_plain).is_some_and(takes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Writer;

    fn info(content_type: &str, body: &str) -> Option<(char, u64)> {
        let writer = Writer::request(&Method::Info, b"sip:a@b")
            .header(Header::Via, "SIP/2.0/UDP b;branch=z9hG4bK1")
            .header(Header::From, "<sip:a@b>;tag=1")
            .header(Header::To, "<sip:a@b>;tag=2")
            .header(Header::CallId, "1")
            .header(Header::CSeq, "1 INFO")
            .header(Header::MaxForwards, "70");
        let message = writer.finish_with(content_type.as_bytes(), body.as_bytes()).unwrap();
        read_key(&message).map(|press| (press.key.sign(), press.duration.as_millis() as u64))
    }

    #[test]
    fn keys_are_read_as_gateways_write_them() {
        for (body, read) in [
            ("Signal=5\r\nDuration=250\r\n", Some(('5', 250))),
            ("Signal= *\nDuration= 100", Some(('*', 100))),
            ("signal=a\r\n", Some(('A', 160))),
            ("Signal=11\r\nDuration=80\r\n", Some(('#', 80))),
            ("Duration=80\r\nSignal=10\r\n", Some(('*', 80))),
            ("Signal=5\r\nDuration=a while\r\n", Some(('5', 160))),
            ("Signal=5\r\nDuration=99999\r\n", Some(('5', 160))),
            ("Signal=16\r\n", None),
            ("Signal=!\r\n", None),
            ("Signal=\r\n", None),
            ("Signal=12345\r\n", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(info("application/dtmf-relay", body), read, "{body}");
        }
        assert_eq!(info("Application/DTMF-Relay;x=y", "Signal=0"), Some(('0', 160)));
        assert_eq!(info("application/dtmf", " 7\r\n"), Some(('7', 160)));
        assert_eq!(info("application/dtmf", "77"), None);
        assert_eq!(info("text/plain", "Signal=5"), None);
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for sign in *b"0123456789*#ABCD" {
            let press = Press { key: Key::of_sign(sign).unwrap(), duration: Duration::from_millis(120) };
            let body = String::from_utf8(write_key(press)).unwrap();
            assert_eq!(info("application/dtmf-relay", &body), Some((char::from(sign), 120)));
        }
    }
}
