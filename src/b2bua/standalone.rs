//! Requests of ours outside any dialog and any call: from whom an answer is waited for, how long, and
//! what happens when it is there. A challenge is answered with the trunk's credentials as in a call.
//!
//! One entry is one question, whatever it is sent again for; it is gone with its answer, or when the
//! patience for it is over: then its transaction ends too, for nobody would hear the answer.
//!
//! Must not know: what the answer means. Each [`Kind`] has a file of its own for that.

use std::collections::BTreeMap;

use super::challenge::{Account, Asked};
use super::engine::Engine;
use super::nonces::Answers;
use super::registration::RegistrationKey;
use super::sending::rewrite;
use crate::base::{Hop, Instant, TimerId, Timers, TrunkName};
use crate::routing::{Target, TargetKey, Trunk};
use crate::sip::{Header, Message};
use crate::transaction::{ClientEnd, ClientId};

/// The most that are on their way at once.
pub(super) const MAX_STANDALONES: usize = 8_192;

/// What a request is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// To learn whether a target is alive (`probes.rs`).
    Probe(TargetKey),
    /// To register at a target (`registration.rs`).
    Register(RegistrationKey, Target),
    /// To take a binding back; nobody waits for the answer.
    Unregister,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Standalone {
    pub(super) kind: Kind,
    /// Whose it is.
    pub(super) trunk: TrunkName,
    /// What answers a challenge: as it was when this was sent, for the trunk may be gone since.
    pub(super) account: Account,
    /// As it was sent last.
    pub(super) request: Message,
    pub(super) hop: Hop,
    /// Over which it is sent again if its transport fails.
    pub(super) other_hop: Option<Hop>,
    /// When it was sent for the first time.
    pub(super) since: Instant,
    /// Until when an answer is waited for, challenges and all.
    pub(super) until: Instant,
    /// Which challenges it answers.
    pub(super) answers: Answers,
}

/// How the wait for an answer ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending<'r> {
    /// With this final response.
    Answer(&'r Message),
    /// None came in time.
    Timeout,
    /// It could not be sent.
    Transport,
}

/// Every request that waits for its answer.
#[derive(Debug, Default)]
pub(super) struct Standalones {
    waiting: BTreeMap<ClientId, (Standalone, TimerId)>,
    timers: Timers<ClientId>,
}

impl Standalones {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All of them.
    pub(super) fn values(&self) -> impl Iterator<Item = &Standalone> {
        self.waiting.values().map(|(standalone, _)| standalone)
    }

    /// When the patience for the first is over.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The timers that run.
    pub(super) fn armed_timers(&self) -> usize {
        self.timers.len()
    }

    fn insert(&mut self, client: ClientId, standalone: Standalone) {
        let timer = self.timers.arm(standalone.until, client);
        self.waiting.insert(client, (standalone, timer));
    }

    fn remove(&mut self, client: ClientId) -> Option<Standalone> {
        let (standalone, timer) = self.waiting.remove(&client)?;
        self.timers.disarm(timer);
        Some(standalone)
    }
}

impl Engine {
    /// Sends a request of a trunk's, and waits for its final response until `until` at most; what
    /// becomes of it is heard in `end_standalone`. False, and nothing is sent:
    /// [`MAX_STANDALONES`] are on their way.
    pub(super) fn send_standalone(
        &mut self,
        now: Instant,
        (kind, trunk): (Kind, &Trunk),
        (request, hop): (Message, Hop),
        until: Instant,
    ) -> bool {
        if self.standalones.len() >= MAX_STANDALONES {
            return false;
        }
        let (account, trunk) = (Account::of(trunk), trunk.name.clone());
        let (request, answers) = self.authorize(now, request, hop, Some(&trunk), &Answers::default());
        let (request, hop, other_hop) = self.fit_transport(request, hop, Some(&trunk));
        let since = now;
        let standalone = Standalone { kind, trunk, account, request, hop, other_hop, since, until, answers };
        self.transmit_standalone(now, standalone);
        true
    }

    fn transmit_standalone(&mut self, now: Instant, standalone: Standalone) {
        let client = self.transactions.send_request(now, standalone.request.clone(), standalone.hop);
        self.standalones.insert(client, standalone);
    }

    /// A response to a request of ours that is of no call.
    pub(super) fn on_standalone_response(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        from: Hop,
    ) {
        let Some(status) = response.status() else { return };
        if status.is_provisional() {
            return;
        }
        let Some(standalone) = self.standalones.remove(client) else { return };
        let again = match status.code() {
            401 | 407 => self.answer_standalone(now, &standalone, response, from),
            _ => None,
        };
        match again {
            Some(again) => self.transmit_standalone(now, again),
            None => {
                self.note_accepted(now, (&standalone.trunk, standalone.hop), &standalone.answers, response);
                self.end_standalone(now, &standalone, Ending::Answer(response));
            }
        }
    }

    /// The same request with the trunk's credentials; `None`: there are none, or they were refused. A probe
    /// does not try those that were: that it is challenged shows that somebody is there.
    fn answer_standalone(
        &mut self,
        now: Instant,
        asked: &Standalone,
        response: &Message,
        from: Hop,
    ) -> Option<Standalone> {
        let account = &asked.account;
        let credentials = account.credentials()?;
        if matches!(asked.kind, Kind::Probe(_)) && !self.passwords.may_try(now, &asked.trunk) {
            return None;
        }
        let place = Asked { trunk: &asked.trunk, hop: asked.hop, is_target: true };
        let owed = self.take_challenge(now, place, account, response, from, &asked.answers)?;
        let cseq = asked.request.cseq()?.number.checked_add(1)?;
        let cseq = [cseq.to_string().as_bytes(), b" ", asked.request.method()?.as_bytes()].concat();
        let via = self.mint_via(asked.hop).into_bytes();
        let request = rewrite(&asked.request, &[], &[(Header::Via, via), (Header::CSeq, cseq)])?;
        let place = (&asked.trunk, asked.hop);
        let (request, answers) = self.authorize_as(now, request, place, credentials, &owed);
        Some(Standalone { request, answers, ..asked.clone() })
    }

    /// The transaction of a request that is of no call ended without a final response.
    pub(super) fn on_standalone_lost(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some(mut standalone) = self.standalones.remove(client) else { return };
        let ending = match why {
            ClientEnd::Timeout => Ending::Timeout,
            ClientEnd::Transport => Ending::Transport,
        };
        let other = standalone.other_hop.take().filter(|_| why == ClientEnd::Transport);
        match other.and_then(|hop| Some((self.with_new_via(&standalone.request, hop)?, hop))) {
            Some((request, hop)) => self.transmit_standalone(now, Standalone { request, hop, ..standalone }),
            None => self.end_standalone(now, &standalone, ending),
        }
    }

    /// Ends what nobody waits for any longer.
    pub(super) fn on_standalone_time(&mut self, now: Instant) {
        while let Some(client) = self.standalones.timers.pop_due(now) {
            let Some(standalone) = self.standalones.remove(client) else { continue };
            self.transactions.abandon(client);
            self.end_standalone(now, &standalone, Ending::Timeout);
        }
    }

    /// Forgets those that are so; nobody hears what became of them.
    pub(super) fn drop_standalones(&mut self, is_so: impl Fn(&Kind) -> bool) {
        let dropped: Vec<ClientId> = self
            .standalones
            .waiting
            .iter()
            .filter(|(_, (standalone, _))| is_so(&standalone.kind))
            .map(|(client, _)| *client)
            .collect();
        for client in dropped {
            self.standalones.remove(client);
            self.transactions.abandon(client);
        }
    }

    fn end_standalone(&mut self, now: Instant, standalone: &Standalone, ending: Ending<'_>) {
        match &standalone.kind {
            Kind::Probe(target) => self.on_probe_ended(now, target, standalone.since, ending),
            Kind::Register(key, target) => self.on_registration_ended(now, key, (target, standalone), ending),
            Kind::Unregister => {}
        }
        // A trunk that is gone was heard for the sake of this answer.
        self.release_peers();
    }
}
