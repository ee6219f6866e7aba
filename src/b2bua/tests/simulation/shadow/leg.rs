//! What must be true of all that the engine says on one leg: CSeq and RSeq count up, a PRACK names
//! what came, and its SDP keeps its ports and never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;
use crate::b2bua::tests::simulation::lab;

/// Call-ID, the peer's tag, CSeq.
type Dialog = (Bytes, Bytes, u32);

#[derive(Default)]
pub struct Said {
    /// Digests of what was sent already: repetitions say nothing new.
    known: BTreeSet<u64>,
    /// CSeq of the last request, by Call-ID and the peer's tag.
    sequences: BTreeMap<(Bytes, Bytes), u32>,
    /// RSeq of the last reliable response, by Call-ID and CSeq.
    reliable: BTreeMap<(Bytes, u32), u32>,
    /// RSeq of what came, and whether a PRACK named it.
    heard: BTreeMap<Dialog, BTreeMap<u32, bool>>,
    /// By Call-ID.
    descriptions: BTreeMap<Bytes, Description>,
}

/// The SDP that was said on a leg.
#[derive(Default)]
struct Description {
    session: String,
    /// Without their origin.
    versions: BTreeMap<u64, String>,
    /// The highest that the peer did not refuse.
    agreed: u64,
    /// Which version a request of ours offered, by its CSeq.
    offers: BTreeMap<u32, u64>,
    /// The port of each stream once it had one.
    ports: BTreeMap<usize, String>,
}

impl Said {
    /// The peer says something.
    pub fn on_received(&mut self, message: &Message) {
        let (Some(cseq), Some(_), Some(rseq)) =
            (message.cseq(), message.status(), message.number(Header::RSeq))
        else {
            return;
        };
        self.heard.entry(dialog_of(message, cseq.number)).or_default().entry(rseq).or_default();
    }

    /// The engine says something.
    pub fn on_sent(&mut self, hop: Hop, message: &Message) {
        let (id, tag, number) = dialog_of(message, message.cseq().unwrap().number);
        if !self.known.insert(digest(message)) {
            return;
        }
        match message.method() {
            Some(Method::Ack | Method::Cancel) => {}
            Some(method) => {
                let of_invite = self.sequences.get(&(id.clone(), Bytes::new()));
                let last = self.sequences.get(&(id.clone(), tag.clone())).or(of_invite).copied().unwrap_or(0);
                // An INVITE that found no connection is sent over another.
                let is_again = hop.transport.is_reliable() && tag.is_empty() && number == last;
                assert!(number > last || is_again, "CSeq {number} after {last}:\n{}", lab::text(message));
                self.sequences.insert((id.clone(), tag.clone()), number);
                if *method == Method::Prack {
                    self.check_rack(&id, &tag, hop, message);
                }
            }
            None => {
                if let Some(rseq) = message.number(Header::RSeq) {
                    let last = self.reliable.insert((id.clone(), number), rseq);
                    assert!(last.is_none_or(|last| last + 1 == rseq), "RSeq {rseq} after {last:?}");
                }
            }
        }
        if !message.body().is_empty() {
            self.check_description(id, message);
        }
    }

    /// RFC 3262 §7.2: RAck names a response that came, and no two PRACKs name the same.
    fn check_rack(&mut self, id: &Bytes, tag: &Bytes, hop: Hop, prack: &Message) {
        let rack = prack.rack().expect("a RAck");
        let heard = self.heard.get_mut(&(id.clone(), tag.clone(), rack.cseq.number));
        let named = heard.and_then(|heard| heard.get_mut(&rack.rseq));
        let Some(named) = named else { panic!("nothing of this RAck came:\n{}", lab::text(prack)) };
        assert!(!*named || hop.transport.is_reliable(), "a second PRACK:\n{}", lab::text(prack));
        *named = true;
    }

    /// The peer takes what a request of ours offered.
    pub fn on_agreed(&mut self, id: &Bytes, sequence: u32) {
        let Some(described) = self.descriptions.get_mut(id) else { return };
        let offered = described.offers.get(&sequence).copied().unwrap_or(0);
        described.agreed = described.agreed.max(offered);
    }

    /// RFC 3264 §8: the version counts up by one if anything changed. "If the version in the origin
    /// line does not increment, the SDP MUST be identical to the SDP with that version number"; and
    /// none may come again that is older than what is in force.
    fn check_description(&mut self, id: Bytes, message: &Message) {
        let text = String::from_utf8_lossy(&message.body()).into_owned();
        let Some(origin) = text.lines().find_map(|line| line.strip_prefix("o=- ")) else { return };
        let rest = text.replacen(origin, "", 1);
        let mut words = origin.split(' ');
        let session = words.next().unwrap().to_owned();
        let version: u64 = words.next().unwrap().parse().unwrap();
        let last = self.descriptions.entry(id).or_default();
        if last.versions.is_empty() {
            (last.session, last.agreed) = (session.clone(), version);
        }
        let highest = last.versions.keys().next_back().copied();
        let (all, said) = (&last.versions, lab::text(message));
        assert_eq!(last.session, session, "another origin:\n{said}");
        let is_next = highest.is_none_or(|highest| version <= highest + 1);
        assert!(is_next, "a jump from {highest:?}:\n{said}");
        assert!(version >= last.agreed, "{} is in force, but:\n{said}", last.agreed);
        let same = all.get(&version).is_none_or(|known| *known == rest);
        assert!(same, "the same version of something else:\n{said}\n{all:#?}");
        let ports = text.lines().filter_map(|line| line.strip_prefix("m=")?.split(' ').nth(1));
        for (stream, port) in ports.enumerate().filter(|(_, port)| *port != "0") {
            let before = last.ports.entry(stream).or_insert_with(|| port.to_owned());
            assert_eq!(before, port, "stream {stream} moved:\n{said}");
        }
        last.versions.insert(version, rest);
        match message.method() {
            Some(Method::Invite | Method::Update) => {
                last.offers.insert(message.cseq().unwrap().number, version);
            }
            _ => last.agreed = version,
        }
    }
}

fn digest(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.as_bytes().hash(&mut hasher);
    hasher.finish()
}

fn dialog_of(message: &Message, sequence: u32) -> Dialog {
    let tag = message.to().and_then(|to| to.tag()).unwrap_or(b"");
    (Bytes::copy_from_slice(message.call_id()), Bytes::copy_from_slice(tag), sequence)
}
