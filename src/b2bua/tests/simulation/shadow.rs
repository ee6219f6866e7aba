//! What must be true of everything that crosses the engine's border, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;

use crate::b2bua::Cdr;
use crate::base::Instant;
use crate::media::{MediaSessionId, PortPair, StreamPorts};
use crate::sip::{Message, Method, Status};

/// 64·T1.
const TIMER_B: Duration = Duration::from_secs(32);

/// Watches, and fails when a rule is broken.
#[derive(Default)]
pub struct Shadow {
    /// Callers' INVITEs that opened a call, with the final response and its To tag.
    invites: BTreeMap<Bytes, Option<(u16, Bytes)>>,
    cdrs: BTreeMap<Bytes, (u16, bool)>,
    /// 2xx to INVITEs that the engine got: Call-ID, To tag, CSeq.
    successes: BTreeSet<(Bytes, Bytes, u32)>,
    acks: BTreeSet<(Bytes, Bytes, u32)>,
    /// When the engine first sent the INVITE that opens a leg; until its first response came.
    unanswered: BTreeMap<Bytes, Instant>,
    /// Legs whose first response came when the INVITE's transaction was over (timer B): nobody is
    /// left to ACK what follows.
    too_late: BTreeSet<Bytes>,
    ports: BTreeMap<(IpAddr, u16), MediaSessionId>,
}

impl Shadow {
    /// The engine gets a message.
    pub fn on_received(&mut self, now: Instant, message: &Message) {
        let id = Bytes::copy_from_slice(message.call_id());
        if message.status().is_some()
            && let Some(since) = self.unanswered.remove(&id)
            && now.since(since) >= TIMER_B
        {
            self.too_late.insert(id.clone());
        }
        let Some(cseq) = message.cseq() else { return };
        let to_tag = message.to().and_then(|to| to.tag());
        if message.method() == Some(&Method::Invite) && to_tag.is_none() {
            self.invites.entry(id).or_default();
        } else if message.status().is_some_and(Status::is_success)
            && cseq.method == Method::Invite
            && !self.too_late.contains(&id)
        {
            self.successes.insert((id, Bytes::copy_from_slice(to_tag.unwrap_or(b"")), cseq.number));
        }
    }

    /// The engine sends a message.
    pub fn on_sent(&mut self, now: Instant, is_trusted: bool, message: &Message) {
        let secrets: &[&str] =
            if is_trusted { &["CARR", "198.51.100.", "203.0.113."] } else { &["PBX", "10.0.0."] };
        for secret in secrets {
            let found = memmem::find(message.as_bytes(), secret.as_bytes());
            assert!(found.is_none(), "{secret} is seen on the other side:\n{}", super::lab::text(message));
        }
        let Some(cseq) = message.cseq() else { panic!("a message without CSeq") };
        let id = Bytes::copy_from_slice(message.call_id());
        let to_tag = Bytes::copy_from_slice(message.to().and_then(|to| to.tag()).unwrap_or(b""));
        if message.method() == Some(&Method::Invite) && to_tag.is_empty() {
            self.unanswered.entry(id).or_insert(now);
        } else if message.method() == Some(&Method::Ack) {
            self.acks.insert((id, to_tag, cseq.number));
        } else if let Some(status) = message.status().filter(|status| status.is_final())
            && cseq.method == Method::Invite
            && cseq.number == 1
            && let Some(known) = self.invites.get_mut(&id)
        {
            let answer = (status.code(), to_tag);
            let first = known.get_or_insert_with(|| answer.clone());
            assert_eq!(*first, answer, "two final responses to one INVITE");
        }
    }

    /// A call is over.
    pub fn on_cdr(&mut self, cdr: &Cdr) {
        let id = Bytes::copy_from_slice(cdr.ingress.call_id.as_bytes());
        let before = self.cdrs.insert(id, (cdr.status, cdr.answer.is_some()));
        assert_eq!(before, None, "two records of one call");
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
    pub fn answered(&self) -> usize {
        self.cdrs.values().filter(|(_, answered)| *answered).count()
    }

    /// When all is over.
    pub fn expect_complete(&self) {
        for success in &self.successes {
            assert!(self.acks.contains(success), "a 2xx was never ACKed: {success:?}");
        }
        for (id, told) in &self.invites {
            let record = self.cdrs.get(id);
            let (status, answered) = record.unwrap_or_else(|| panic!("no record of {id:?}"));
            let told = told.as_ref().map(|(status, _)| *status);
            assert_eq!(told, Some(*status), "what the caller of {id:?} heard is not what the record says");
            assert_eq!(*answered, *status == 200);
        }
        assert_eq!(self.cdrs.len(), self.invites.len(), "records of no call");
        assert!(self.ports.is_empty());
    }
}

fn pairs(streams: &[StreamPorts]) -> impl Iterator<Item = PortPair> + '_ {
    streams.iter().flat_map(|stream| [stream.a, stream.b])
}
