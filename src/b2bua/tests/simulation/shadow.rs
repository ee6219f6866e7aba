//! What must be true of everything that crosses the engine's border, whatever happened: of calls,
//! their legs and their records here; of what is said on one leg in `leg.rs`.

mod leg;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;

use self::leg::Said;
use crate::b2bua::Cdr;
use crate::base::{Hop, Instant, ListenerId};
use crate::media::{MediaSessionId, PortPair, StreamPorts};
use crate::sip::{Header, Message, Method, Status};
use crate::transaction::MAX_CANCEL_REPEATS;

/// 64·T1: how long a request is repeated, and a 2xx waits for its ACK.
const TIMER_B: Duration = Duration::from_secs(32);
/// How long one leg may outlive the other, or its call: BYE waits for the ACK, for that long.
const MAX_OUTLIVING: Duration = Duration::from_secs(34);

/// Watches, and fails when a rule is broken.
#[derive(Default)]
pub struct Shadow {
    /// Calls may swap legs in a transfer: a leg need not end with the call that it began in.
    swaps_legs: bool,
    /// Callers' INVITEs that opened a call, with the final response and its To tag.
    invites: BTreeMap<Bytes, Option<(u16, Bytes)>>,
    records: BTreeMap<Bytes, Record>,
    /// When calls that are told as open were answered, by the `id` of their records.
    open: BTreeMap<String, Option<Instant>>,
    /// 2xx to INVITEs that the engine got: Call-ID, To tag, CSeq.
    successes: BTreeSet<(Bytes, Bytes, u32)>,
    acks: BTreeSet<(Bytes, Bytes, u32)>,
    /// The engine's INVITEs, by their branch.
    asked: BTreeMap<Bytes, Asked>,
    /// By Call-ID.
    legs: BTreeMap<Bytes, Leg>,
    said: Said,
    ports: BTreeMap<(IpAddr, u16), MediaSessionId>,
}

/// What a record says.
struct Record {
    status: u16,
    is_answered: bool,
    end: Instant,
    egress: Option<Bytes>,
}

/// An INVITE of the engine's.
struct Asked {
    call_id: Bytes,
    opens: bool,
    hop: Hop,
    since: Instant,
    first_response: Option<Instant>,
    finished: Option<Instant>,
    cancelled: Option<Instant>,
    /// Its CANCEL reached the callee, or the callee said that it knows of no such INVITE.
    is_cancel_heard: bool,
    /// How often its CANCEL was sent.
    cancels: u32,
    /// Its transaction was over before what came came: nobody is left to ACK it.
    is_forgotten: bool,
}

/// One side of a call.
#[derive(Default)]
struct Leg {
    /// When its first 2xx was sent or came.
    answered: Option<Instant>,
    /// When the first BYE was sent or taken.
    ended: Option<Instant>,
    /// When a BYE of the peer's was taken.
    left: Option<Instant>,
    /// The peer said that it knows no such dialog: it needs no BYE.
    is_denied: bool,
}

impl Shadow {
    /// Whether calls may swap legs.
    pub fn new(swaps_legs: bool) -> Shadow {
        Shadow { swaps_legs, ..Shadow::default() }
    }

    /// The engine gets a message.
    pub fn on_received(&mut self, now: Instant, message: &Message) {
        let Some(cseq) = message.cseq() else { return };
        self.said.on_received(message);
        let id = Bytes::copy_from_slice(message.call_id());
        let to_tag = message.to().and_then(|to| to.tag());
        if message.status() == Status::new(481) {
            self.legs.entry(id.clone()).or_default().is_denied = true;
        }
        if message.method() == Some(&Method::Invite) && to_tag.is_none() {
            self.invites.entry(id).or_default();
        } else if let Some(status) = message.status().filter(|_| cseq.method == Method::Invite)
            && let Some(opens) = self.note_response(now, &branch_of(message), status)
            && status.is_success()
        {
            if opens {
                self.legs.entry(id.clone()).or_default().answered.get_or_insert(now);
            }
            self.said.on_agreed(&id, cseq.number);
            self.successes.insert((id, Bytes::copy_from_slice(to_tag.unwrap_or(b"")), cseq.number));
        } else if message.status().is_some_and(Status::is_success)
            && cseq.method == Method::Update
            && message.top_via().is_some_and(|via| via.transport == b"UDP")
        {
            // Over TCP its transaction may be over, and nobody took the answer.
            self.said.on_agreed(&id, cseq.number);
        }
    }

    /// Notes an answer to an INVITE of the engine's; gives whether it opens a leg, or nothing if
    /// the engine need not know it any more.
    fn note_response(&mut self, now: Instant, branch: &Bytes, status: Status) -> Option<bool> {
        let asked = self.asked.get_mut(branch)?;
        let since = asked.cancelled.or(asked.first_response.is_none().then_some(asked.since));
        asked.is_forgotten |=
            asked.finished.is_none() && since.is_some_and(|since| now.since(since) >= TIMER_B);
        asked.first_response.get_or_insert(now);
        if status.is_final() {
            asked.finished.get_or_insert(now);
        }
        (!asked.is_forgotten).then_some(asked.opens)
    }

    /// What the engine sent reaches an agent.
    pub fn on_arrived(&mut self, message: &Message) {
        if message.method() == Some(&Method::Cancel) {
            let asked = self.asked.get_mut(&branch_of(message)).expect("an INVITE to CANCEL");
            asked.is_cancel_heard = true;
        }
    }

    /// The engine sends a message.
    pub fn on_sent(&mut self, now: Instant, hop: Hop, message: &Message) {
        expect_no_leak(hop, message);
        let Some(cseq) = message.cseq() else { panic!("a message without CSeq") };
        self.said.on_sent(hop, message);
        let id = Bytes::copy_from_slice(message.call_id());
        let to_tag = Bytes::copy_from_slice(message.to().and_then(|to| to.tag()).unwrap_or(b""));
        match (message.method(), message.status()) {
            (Some(Method::Invite), _) => {
                let (call_id, opens) = (id, to_tag.is_empty());
                self.asked.entry(branch_of(message)).or_insert(Asked {
                    call_id,
                    opens,
                    hop,
                    since: now,
                    first_response: None,
                    finished: None,
                    cancelled: None,
                    is_cancel_heard: false,
                    cancels: 0,
                    is_forgotten: false,
                });
            }
            (Some(Method::Cancel), _) => {
                let asked = self.asked.get_mut(&branch_of(message)).expect("an INVITE to CANCEL");
                asked.cancelled.get_or_insert(now);
                asked.cancels += 1;
            }
            (Some(Method::Ack), _) => {
                self.acks.insert((id, to_tag, cseq.number));
            }
            (Some(Method::Bye), _) => {
                self.legs.entry(id).or_default().ended.get_or_insert(now);
            }
            (None, Some(status)) => self.on_answered(now, id, to_tag, status, &cseq.method, cseq.number),
            _ => {}
        }
    }

    /// The engine answers.
    fn on_answered(
        &mut self,
        now: Instant,
        id: Bytes,
        to_tag: Bytes,
        status: Status,
        method: &Method,
        sequence: u32,
    ) {
        if *method == Method::Bye && status.is_success() {
            let leg = self.legs.entry(id).or_default();
            leg.ended.get_or_insert(now);
            leg.left.get_or_insert(now);
        } else if *method == Method::Invite
            && status.is_final()
            && sequence == 1
            && let Some(known) = self.invites.get_mut(&id)
        {
            let answer = (status.code(), to_tag);
            let first = known.get_or_insert_with(|| answer.clone());
            assert_eq!(*first, answer, "two final responses to one INVITE");
            if status.is_success() {
                self.legs.entry(id).or_default().answered.get_or_insert(now);
            }
        }
    }

    /// A call is open, and may be told so more than once; never after its record.
    pub fn on_open_call(&mut self, cdr: &Cdr) {
        assert!(!self.records.contains_key(cdr.ingress.call_id.as_bytes()), "it is over: {}", cdr.id);
        self.open.insert(cdr.id.clone(), cdr.answer);
    }

    /// A call is over.
    pub fn on_cdr(&mut self, cdr: &Cdr) {
        let told = self.open.remove(&cdr.id).flatten();
        assert_eq!(told, cdr.answer, "what was told of the open call {} is not its record", cdr.id);
        let id = Bytes::copy_from_slice(cdr.ingress.call_id.as_bytes());
        let times = [Some(cdr.start), cdr.ring, cdr.answer, Some(cdr.end)];
        assert!(times.into_iter().flatten().is_sorted(), "times of {id:?} are out of order: {times:?}");
        let rang = cdr.attempts.iter().any(|attempt| attempt.rang_after.is_some());
        assert!(rang || cdr.ring.is_none(), "{id:?} rang, and none of its attempts: {:?}", cdr.attempts);
        assert!(
            !rang || cdr.ring.is_some() || !cdr.transfers.is_empty(),
            "{id:?} did not ring: {:?}",
            cdr.attempts
        );
        for attempt in &cdr.attempts {
            let rang_ms = attempt.rang_after.map_or(0, |rang| rang.as_millis());
            assert!(rang_ms <= attempt.millis.into(), "it rang after its end: {attempt:?}");
        }
        let egress = cdr.egress.as_ref().map(|leg| Bytes::copy_from_slice(leg.call_id.as_bytes()));
        let (status, is_answered, end) = (cdr.status, cdr.answer.is_some(), cdr.end);
        let before = self.records.insert(id, Record { status, is_answered, end, egress });
        assert!(before.is_none(), "two records of one call");
    }

    /// The relay binds.
    pub fn on_open(&mut self, session: MediaSessionId, streams: &[StreamPorts]) {
        for pair in pairs(streams) {
            let other = self.ports.insert((pair.address, pair.rtp_port), session);
            assert_eq!(other, None, "{pair:?} belongs to two calls");
        }
    }

    /// The relay could not bind.
    pub fn on_open_failed(&mut self, session: MediaSessionId, streams: &[StreamPorts]) {
        for pair in pairs(streams) {
            assert_eq!(self.ports.remove(&(pair.address, pair.rtp_port)), Some(session));
        }
    }

    /// The relay closed.
    pub fn on_closed(&mut self, session: MediaSessionId) {
        self.ports.retain(|_, owner| *owner != session);
    }

    /// How many calls were answered.
    pub fn answered(&self) -> u64 {
        self.records.values().filter(|record| record.is_answered).count() as u64
    }

    /// What a caller heard of its INVITE is what the record says; unless it gave up before.
    pub fn expect_record_of(&self, id: &Bytes, heard: Option<u16>, gave_up: bool) {
        let Some(record) = self.records.get(id) else {
            // Its INVITE was never heard, or refused before it was a call.
            return assert!(gave_up || heard.is_some_and(|status| status >= 300), "no record of {id:?}");
        };
        match heard {
            Some(status) => assert_eq!(status, record.status, "the record of {id:?}"),
            None => assert!(gave_up, "the caller of {id:?} heard nothing of {}", record.status),
        }
    }

    /// When all is over.
    pub fn expect_complete(&self) {
        for success in &self.successes {
            assert!(self.acks.contains(success), "a 2xx was never ACKed: {success:?}");
        }
        for (id, told) in &self.invites {
            let record = self.records.get(id).unwrap_or_else(|| panic!("no record of {id:?}"));
            let told = told.as_ref().map(|(status, _)| *status);
            assert_eq!(
                told,
                Some(record.status),
                "what the caller of {id:?} was told is not what is written"
            );
            assert_eq!(record.is_answered, record.status == 200);
        }
        assert_eq!(self.records.len(), self.invites.len(), "records of no call");
        assert!(self.open.is_empty(), "open for ever: {:?}", self.open);
        assert!(self.ports.is_empty());
        self.expect_no_leg_left();
    }

    /// No leg outlives its call, nor the other leg.
    fn expect_no_leg_left(&self) {
        let mut ends = BTreeMap::new();
        for (id, record) in &self.records {
            if self.swaps_legs {
                break;
            }
            for id in [Some(id), record.egress.as_ref()].into_iter().flatten() {
                ends.insert(id, record.end);
                let left = self.legs.get(id).and_then(|leg| leg.left);
                let took = left.map(|left| record.end.since(left));
                assert!(took.is_none_or(|took| took <= MAX_OUTLIVING), "the other leg of {id:?} lived on");
            }
        }
        for (id, leg) in &self.legs {
            let Some(answered) = leg.answered.filter(|_| !leg.is_denied) else { continue };
            let Some(ended) = leg.ended else { panic!("no BYE ended the leg {id:?}") };
            if self.swaps_legs {
                continue;
            }
            let due = ends.get(id).map_or(answered, |end| answered.max(*end));
            assert!(ended <= due + MAX_OUTLIVING, "the leg {id:?} outlived its call: {due:?} … {ended:?}");
        }
        for asked in self.asked.values().filter(|asked| asked.opens && !asked.is_forgotten) {
            let Some(rang) = asked.first_response else { continue };
            let settled = [asked.cancelled, asked.finished].into_iter().flatten().min();
            let Some(settled) = settled else { panic!("{:?} rings for ever", asked.call_id) };
            let due = ends.get(&asked.call_id).map_or(settled, |end| rang.max(*end));
            assert!(settled <= due + MAX_OUTLIVING, "{:?} rang for a call that was over", asked.call_id);
            let was_told = asked.finished.is_some() || asked.is_cancel_heard;
            let was_tried = asked.hop.transport.is_reliable() && asked.cancels > MAX_CANCEL_REPEATS.into();
            assert!(was_told || was_tried, "{:?} was not told to stop ringing", asked.call_id);
        }
    }
}

/// Nothing of one side is seen on the other.
fn expect_no_leak(hop: Hop, message: &Message) {
    let secrets: &[&str] = if hop.listener == ListenerId(0) {
        &["CARR", "198.51.100.", "203.0.113."]
    } else {
        &["PBX", "10.0.0."]
    };
    for secret in secrets {
        let found = memmem::find(message.as_bytes(), secret.as_bytes());
        assert!(found.is_none(), "{secret} is seen on the other side:\n{}", super::lab::text(message));
    }
}

fn branch_of(message: &Message) -> Bytes {
    Bytes::copy_from_slice(message.top_via().and_then(|via| via.branch()).unwrap_or(b""))
}

fn pairs(streams: &[StreamPorts]) -> impl Iterator<Item = PortPair> + '_ {
    streams.iter().flat_map(|stream| [stream.a, stream.b])
}
