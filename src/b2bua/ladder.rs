//! What was said in each call: its first and its last messages, each as one line with when, by whom and on
//! which leg. Kept while the call goes on and for a while after, so that an operator can ask what happened.
//!
//! A message finds its call by its Call-ID, whatever becomes of it: repetitions that the transactions absorb
//! and what comes after the end are told, too. No body is kept, and of the headers only CSeq: no credentials
//! are among that (a password in a Request-URI is left out).
//!
//! Every table here is bounded: so many messages a call, so many in all ([`MESSAGES_MAX`]). Where there is no
//! room, calls that are over go first, and then messages are counted and not kept.
//!
//! Must not know: what a message means, how it is shown.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use bytes::Bytes;
use slotmap::SlotMap;

use crate::base::{Hop, Instant, Realm, Transport};
use crate::media::Side;
use crate::sip::{Message, Method, Status};

/// So many of a call's first messages are kept whatever follows: they say how it was set up.
pub(super) const FIRST_KEPT: usize = 24;

/// So many of the later ones, the last.
pub(super) const LAST_KEPT: usize = 40;

/// So many messages of all calls together; each takes some 200 bytes.
pub(super) const MESSAGES_MAX: usize = 100_000;

/// So much of a start line is kept, in bytes.
const LINE_MAX: usize = 160;

/// So many Call-IDs belong to one call at most: a caller's, and one for each target and transfer.
const CALL_IDS_MAX: usize = 32;

/// So many messages may come before it is known that there is a call: its INVITE and our 100.
const PENDING_MAX: usize = 4;

slotmap::new_key_type! {
    /// The ladder of one call.
    pub struct LadderKey;
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

impl Direction {
    /// For people and for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// One message of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LadderMessage {
    /// When it came or went.
    pub at: Instant,
    /// On which leg: A is the caller's.
    pub leg: Side,
    /// Which way.
    pub direction: Direction,
    /// The side of the network.
    pub realm: Realm,
    /// From where or to where.
    pub peer: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// `INVITE sip:…`, `180 Ringing`: the start line without its version, as it was written, cut after 160 bytes.
    line: Box<[u8]>,
    /// The number of its CSeq.
    pub sequence: u32,
    /// The method of its CSeq; `other` for one that we do not know.
    pub method: &'static str,
    /// Whether it has a session description.
    pub has_sdp: bool,
    /// Whether the same had been said before.
    pub is_retransmission: bool,
    /// What tells a repetition from another message.
    fingerprint: u64,
}

impl LadderMessage {
    /// The start line, without its version.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// A message as it is kept, of leg A.
    pub fn of(now: Instant, (hop, realm): (Hop, Realm), message: &Message, direction: Direction) -> Self {
        let cseq = message.cseq();
        LadderMessage {
            at: now,
            leg: Side::A,
            direction,
            realm,
            peer: hop.peer,
            transport: hop.transport,
            line: line_of(message),
            sequence: cseq.as_ref().map_or(0, |cseq| cseq.number),
            method: cseq.as_ref().map_or("other", |cseq| cseq.method.label()),
            has_sdp: message.has_sdp(),
            is_retransmission: false,
            fingerprint: fingerprint_of(message),
        }
    }
}

/// What is kept of one call.
#[derive(Debug, Default)]
struct Ladder {
    /// The first is the caller's.
    call_ids: Vec<Bytes>,
    first: Vec<LadderMessage>,
    last: VecDeque<LadderMessage>,
    /// Messages between the first and the last that are not kept.
    dropped: u64,
    is_over: bool,
}

impl Ladder {
    fn len(&self) -> usize {
        self.first.len() + self.last.len()
    }

    fn has(&self, message: &LadderMessage) -> bool {
        let is_same = |one: &LadderMessage| {
            (one.fingerprint, one.direction) == (message.fingerprint, message.direction)
        };
        self.last.iter().rev().chain(self.first.iter().rev()).any(is_same)
    }
}

/// The messages of a call as they are told, the oldest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LadderReport {
    /// What was kept.
    pub messages: Vec<LadderMessage>,
    /// So many were not.
    pub dropped: u64,
    /// After so many of `messages` those are missing.
    pub gap_after: usize,
}

/// Messages that may be of a call which is about to begin.
#[derive(Debug)]
struct Pending {
    call_id: Bytes,
    messages: Vec<LadderMessage>,
}

/// What is kept of all calls.
#[derive(Debug, Default)]
pub(super) struct Ladders {
    ladders: SlotMap<LadderKey, Ladder>,
    by_call_id: HashMap<Bytes, (LadderKey, Side)>,
    pending: Option<Pending>,
    /// Of all calls.
    messages: usize,
    /// Those of calls that are over, the oldest first.
    over: VecDeque<LadderKey>,
}

impl Ladders {
    /// A call begins with an INVITE of this Call-ID. What was said of it already is taken over.
    pub(super) fn begin(&mut self, call_id: &Bytes) -> LadderKey {
        let mut ladder = Ladder::default();
        if let Some(pending) = self.pending.take_if(|pending| pending.call_id == *call_id) {
            ladder.first = pending.messages;
            self.messages += ladder.first.len();
        }
        let key = self.ladders.insert(ladder);
        self.bind(key, call_id, Side::A);
        key
    }

    /// Messages of this Call-ID are of this call's leg from now on, whosever they were.
    pub(super) fn bind(&mut self, key: LadderKey, call_id: &Bytes, leg: Side) {
        let Some(ladder) = self.ladders.get_mut(key) else { return };
        if !ladder.call_ids.contains(call_id) {
            if ladder.call_ids.len() >= CALL_IDS_MAX {
                return;
            }
            ladder.call_ids.push(call_id.clone());
        }
        self.by_call_id.insert(call_id.clone(), (key, leg));
    }

    /// A message came or went.
    pub(super) fn note(
        &mut self,
        now: Instant,
        (hop, realm): (Hop, Realm),
        message: &Message,
        direction: Direction,
        is_again: bool,
    ) {
        if direction == Direction::In {
            self.pending = None;
        }
        if let Some(pending) = &mut self.pending
            && pending.call_id == message.call_id()
        {
            if pending.messages.len() < PENDING_MAX {
                pending.messages.push(LadderMessage::of(now, (hop, realm), message, direction));
            }
            return;
        }
        let found = self.by_call_id.get(message.call_id()).copied();
        let is_first = direction == Direction::In && opens_dialog(message);
        let Some((key, leg)) = found else {
            if is_first {
                self.keep_pending(LadderMessage::of(now, (hop, realm), message, direction), message);
            }
            return;
        };
        let noted = LadderMessage { leg, ..LadderMessage::of(now, (hop, realm), message, direction) };
        let Some(ladder) = self.ladders.get(key) else { return };
        let is_retransmission = is_again || (direction == Direction::In && ladder.has(&noted));
        // A caller may try again with the same Call-ID.
        if is_first && ladder.is_over && !is_retransmission {
            return self.keep_pending(noted, message);
        }
        self.push(key, LadderMessage { is_retransmission, ..noted });
    }

    fn keep_pending(&mut self, noted: LadderMessage, message: &Message) {
        let noted = LadderMessage { leg: Side::A, ..noted };
        let call_id = Bytes::copy_from_slice(message.call_id());
        self.pending = Some(Pending { call_id, messages: vec![noted] });
    }

    fn push(&mut self, key: LadderKey, message: LadderMessage) {
        let has_room = self.messages < MESSAGES_MAX || self.make_room(key);
        let Some(ladder) = self.ladders.get_mut(key) else { return };
        if ladder.last.len() >= LAST_KEPT {
            ladder.last.pop_front();
            ladder.dropped += 1;
            ladder.last.push_back(message);
        } else if !has_room {
            ladder.dropped += 1;
        } else if ladder.first.len() < FIRST_KEPT && ladder.last.is_empty() && ladder.dropped == 0 {
            ladder.first.push(message);
            self.messages += 1;
        } else {
            ladder.last.push_back(message);
            self.messages += 1;
        }
    }

    /// Forgets what was said in calls that are over, the oldest first, but for this one.
    fn make_room(&mut self, but: LadderKey) -> bool {
        while self.messages >= MESSAGES_MAX {
            let Some(at) = self.over.iter().position(|key| *key != but) else { return false };
            let Some(key) = self.over.remove(at) else { return false };
            self.drop_ladder(key);
        }
        true
    }

    /// Its call is over; what still comes is kept too.
    pub(super) fn end(&mut self, key: LadderKey) {
        if let Some(ladder) = self.ladders.get_mut(key)
            && !std::mem::replace(&mut ladder.is_over, true)
        {
            self.over.push_back(key);
        }
    }

    /// Nobody can ask for it any more.
    pub(super) fn forget(&mut self, key: LadderKey) {
        self.over.retain(|over| *over != key);
        self.drop_ladder(key);
    }

    fn drop_ladder(&mut self, key: LadderKey) {
        let Some(ladder) = self.ladders.remove(key) else { return };
        self.messages = self.messages.saturating_sub(ladder.len());
        for call_id in &ladder.call_ids {
            if self.by_call_id.get(call_id).is_some_and(|(of, _)| *of == key) {
                self.by_call_id.remove(call_id);
            }
        }
    }

    /// What was said in a call; nothing if that was forgotten.
    pub(super) fn report(&self, key: LadderKey) -> LadderReport {
        let Some(ladder) = self.ladders.get(key) else { return LadderReport::default() };
        let messages = ladder.first.iter().chain(&ladder.last).cloned().collect();
        LadderReport { messages, dropped: ladder.dropped, gap_after: ladder.first.len() }
    }

    /// The Call-ID by which both legs of a call are known together: its caller's.
    pub(super) fn correlation(&self, call_id: &[u8]) -> Option<Bytes> {
        let (key, _) = self.by_call_id.get(call_id)?;
        self.ladders.get(*key)?.call_ids.first().cloned()
    }

    /// Ladders, Call-IDs and messages that are held.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        debug_assert_eq!(self.messages, self.ladders.values().map(Ladder::len).sum::<usize>());
        (self.ladders.len(), self.by_call_id.len(), self.messages)
    }
}

fn opens_dialog(message: &Message) -> bool {
    message.method() == Some(&Method::Invite) && message.to().is_some_and(|to| to.tag().is_none())
}

/// `INVITE sip:…` or `180 Ringing`, cut to [`LINE_MAX`].
fn line_of(message: &Message) -> Box<[u8]> {
    let mut line = Vec::with_capacity(LINE_MAX);
    let mut add = |part: &[u8]| {
        let room = LINE_MAX - line.len();
        line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    };
    match (message.method(), message.status()) {
        (Some(method), _) => {
            add(method.as_bytes());
            add(b" ");
            let (before, after) = without_password(message.request_uri_raw());
            add(before);
            add(after);
        }
        (None, Some(status)) => {
            let code = status.code();
            add(&[digit(code / 100), digit(code / 10), digit(code), b' ']);
            add(message.reason());
        }
        (None, None) => {}
    }
    line.into_boxed_slice()
}

fn digit(number: u16) -> u8 {
    // One of 0 to 9.
    b'0' + (number % 10) as u8
}

/// A URI's parts before and after its password, if it has one (RFC 3261 §19.1.1).
fn without_password(uri: &[u8]) -> (&[u8], &[u8]) {
    let whole: (&[u8], &[u8]) = (uri, b"");
    let Some(at) = memchr::memrchr(b'@', uri) else { return whole };
    let (user_info, rest) = uri.split_at(at);
    let scheme_end = memchr::memchr(b':', user_info).map_or(0, |colon| colon + 1);
    let password = user_info.get(scheme_end..).and_then(|user| memchr::memchr(b':', user));
    match password.and_then(|colon| user_info.get(..scheme_end + colon)) {
        Some(before) => (before, rest),
        None => whole,
    }
}

/// What two messages share of which one is the other's repetition: hardly anything else does. (What a dialog
/// says twice in other words, two 180 of two phones say, differs in its tags.)
fn fingerprint_of(message: &Message) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    message.request_uri_raw().hash(&mut hasher);
    message.status().map(Status::code).hash(&mut hasher);
    message.reason().hash(&mut hasher);
    message.cseq().map(|cseq| (cseq.number, cseq.method.label())).hash(&mut hasher);
    message.top_via().and_then(|via| via.branch()).hash(&mut hasher);
    message.to().and_then(|to| to.tag()).hash(&mut hasher);
    message.as_bytes().len().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
