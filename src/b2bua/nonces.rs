//! The nonces that servers have given us (RFC 3261 §22, RFC 7616), and how often a request answers.
//!
//! A nonce is kept with the trunk and the address that it came from, so that the next request there
//! carries the answer already, its `nc` counted up. A nonce that was refused goes; where none lasts
//! for a second request (servers that want each once), no request carries one unasked for a while.
//!
//! Must not know: calls, transactions, who waits for an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::credentials::{
    Asker, AuthenticationFault, MAX_CHALLENGE_BYTES, MAX_REALMS, Offer, Space, answerable,
};
use crate::base::{Instant, Random, TrunkName};
use crate::routing::{Authentication, Credentials};
use crate::sip::digest::{self, Answerer, Challenge, Protection};
use crate::sip::{Header, Message, Method};

/// How often one realm is answered for one request: once, and once more for a stale nonce.
pub(super) const MAX_ANSWERS: u8 = 2;
/// How often one request is sent again for challenges, whatever the realms.
pub(super) const MAX_RESENT: u8 = 4;
/// The most nonces of all trunks; of more, the one that was used longest ago goes.
const MAX_NONCES: usize = 4_096;
/// A nonce that is older goes out unasked no more: no server is known to honour one so long.
const MAX_NONCE_AGE: Duration = Duration::from_secs(3_600);
/// So many answers in a row that were given unasked and refused show that this server wants none.
const MAX_WASTED: u8 = 3;
/// For so long it gets none then.
const PAUSE: Duration = Duration::from_secs(600);
/// At most so often a trunk's fault is told, if it is another, or the same.
const TELL_OTHER: Duration = Duration::from_secs(10);
const TELL_AGAIN: Duration = Duration::from_secs(3_600);

/// What a request was sent with: the nonce that answers each space.
#[derive(Clone, Default, Debug)]
pub(super) struct Answers {
    given: Vec<Answer>,
    /// How often the request was sent again for a challenge.
    resent: u8,
}

#[derive(Clone, Debug)]
struct Answer {
    space: Space,
    nonce: String,
    /// How often this space was answered because it asked; 0: unasked.
    times: u8,
}

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Of a request that is too large to carry them: that it was sent again still counts.
    pub(super) fn without_any(&self) -> Answers {
        Answers { given: Vec::new(), resent: self.resent }
    }

    fn of(&self, space: &Space) -> Option<&Answer> {
        self.given.iter().find(|answer| answer.space == *space)
    }
}

/// The nonces of every trunk.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    places: BTreeMap<(TrunkName, SocketAddr), Vec<Nonce>>,
    /// What was told last of a trunk, and when.
    told: BTreeMap<TrunkName, (std::mem::Discriminant<AuthenticationFault>, Instant)>,
}

/// One space's nonce, and what is known of it.
#[derive(Debug)]
struct Nonce {
    space: Space,
    challenge: Challenge,
    /// The same for all requests with `-sess`, empty else.
    cnonce: String,
    /// Requests that carried it.
    count: u32,
    /// A request that carried it was not challenged.
    is_accepted: bool,
    since: Instant,
    used: Instant,
    /// Nonces in a row that were refused when they were sent unasked.
    wasted: u8,
    paused_until: Instant,
}

impl Nonce {
    fn may_go_unasked(&self, now: Instant) -> bool {
        self.is_accepted
            && now >= self.paused_until
            && now.since(self.since) < MAX_NONCE_AGE
            && self.count < u32::MAX
    }

    /// Takes a newer challenge; `unasked` is the nonce that the request had carried unasked.
    fn renew(&mut self, now: Instant, challenge: Challenge, unasked: Option<&str>) {
        if unasked == Some(self.challenge.nonce.as_str()) {
            self.wasted = self.wasted.saturating_add(1);
            // Without a count a server cannot tell a second use from a replay.
            let most = if self.challenge.protection == Protection::None { 1 } else { MAX_WASTED };
            if self.wasted >= most {
                (self.wasted, self.paused_until) = (0, now + PAUSE);
            }
        }
        if self.challenge.nonce != challenge.nonce {
            (self.count, self.is_accepted, self.since) = (0, false, now);
            self.cnonce.clear();
        }
        self.challenge = challenge;
    }

    fn answer(&mut self, now: Instant, who: &Credentials, request: &Message, random: &mut Random) -> Vec<u8> {
        let mut cnonce = String::from_utf8_lossy(&random.token::<16>()).into_owned();
        if self.challenge.session_keyed {
            if self.cnonce.is_empty() {
                self.cnonce = cnonce;
            }
            cnonce = self.cnonce.clone();
        }
        self.count = self.count.saturating_add(1);
        self.used = now;
        let (username, password) = (who.username.as_str(), who.password.as_str());
        let (method, body) = (request.method().map_or("", Method::label), request.body());
        let asked = digest::Request { method, uri: request.request_uri_raw(), body: &body };
        self.challenge.answer(Answerer { username, password }, asked, self.count, &cnonce)
    }
}

impl Nonces {
    /// What a request to this place of a trunk carries: an answer to each space of `owed`, and to each
    /// that has taken such a nonce before.
    pub(super) fn authorize(
        &mut self,
        now: Instant,
        place: (&TrunkName, SocketAddr),
        who: &Credentials,
        request: &Message,
        owed: &Answers,
        random: &mut Random,
    ) -> (Vec<(Header, Vec<u8>)>, Answers) {
        let mut answers = Answers { given: Vec::new(), resent: owed.resent };
        let mut headers = Vec::new();
        let key = (place.0.clone(), place.1);
        for nonce in self.places.get_mut(&key).into_iter().flatten() {
            let times = owed.of(&nonce.space).map(|answer| answer.times);
            if times.is_none() && !nonce.may_go_unasked(now) {
                continue;
            }
            headers.push((nonce.space.asker.answers_in(), nonce.answer(now, who, request, random)));
            let (space, used) = (nonce.space.clone(), nonce.challenge.nonce.clone());
            answers.given.push(Answer { space, nonce: used, times: times.unwrap_or(0) });
        }
        (headers, answers)
    }

    /// Takes the challenges of a 401 or 407 to a request that went out with `answers`: what the
    /// same request owes when it is sent again, or why it is not.
    pub(super) fn take(
        &mut self,
        now: Instant,
        place: (&TrunkName, SocketAddr),
        policy: &Authentication,
        response: &Message,
        answers: &Answers,
    ) -> Result<Answers, AuthenticationFault> {
        let asked = answerable(response, policy)?;
        let mut owed = Answers { given: answers.given.clone(), resent: answers.resent + 1 };
        for Offer { space, challenge } in asked {
            let before = answers.of(&space);
            // Simple servers challenge the first of each kind of request whatever it carries, some of
            // them always with one nonce: what was refused unasked says nothing of the password.
            let is_new = before.is_none_or(|before| before.times == 0);
            let times = before.map_or(0, |before| before.times);
            let is_stale = challenge.stale && times < MAX_ANSWERS;
            if answers.resent >= MAX_RESENT || !(is_new || is_stale) {
                self.forget(place, &space);
                let realm = space.realm;
                let is_endless = challenge.stale || answers.resent >= MAX_RESENT;
                return Err(match is_endless {
                    true => AuthenticationFault::Endless { realm },
                    false => AuthenticationFault::Refused { realm },
                });
            }
            let unasked = before.filter(|before| before.times == 0).map(|before| before.nonce.as_str());
            let nonce = challenge.nonce.clone();
            self.learn(now, place, &space, challenge, unasked);
            owed.given.retain(|answer| answer.space != space);
            owed.given.push(Answer { space, nonce, times: times + 1 });
        }
        Ok(owed)
    }

    /// A request was answered by no challenge: what it carried is good for the next one. After 403 that
    /// is not sure: some servers say so to a nonce that they do not like.
    pub(super) fn accepted(
        &mut self,
        now: Instant,
        place: (&TrunkName, SocketAddr),
        answers: &Answers,
        response: &Message,
    ) {
        if answers.given.is_empty() {
            return;
        }
        let is_accepted = response.status().is_some_and(|status| status.code() != 403);
        let key = (place.0.clone(), place.1);
        for nonce in self.places.get_mut(&key).into_iter().flatten() {
            let answer = answers.of(&nonce.space).filter(|answer| answer.nonce == nonce.challenge.nonce);
            let Some(answer) = answer else { continue };
            nonce.is_accepted = is_accepted;
            if is_accepted && answer.times == 0 {
                nonce.wasted = 0;
            }
            // Which of two nonces makes the key of a session is read in two ways then.
            if let Some(next) =
                next_nonce(response, nonce.space.asker).filter(|_| !nonce.challenge.session_keyed)
            {
                (nonce.challenge.nonce, nonce.count, nonce.since) = (next, 0, now);
            }
        }
        if is_accepted {
            self.told.remove(place.0);
        }
    }

    /// The challenges of a place that are known, in the order in which they came.
    pub(super) fn challenges(&self, place: (&TrunkName, SocketAddr)) -> impl Iterator<Item = &Challenge> {
        let key = (place.0.clone(), place.1);
        self.places.get(&key).into_iter().flatten().map(|nonce| &nonce.challenge)
    }

    /// Whether a fault of a trunk is to be told now.
    pub(super) fn is_news(&mut self, now: Instant, trunk: &TrunkName, fault: &AuthenticationFault) -> bool {
        let kind = std::mem::discriminant(fault);
        let is_news = self
            .told
            .get(trunk)
            .is_none_or(|(known, at)| now.since(*at) >= if *known == kind { TELL_AGAIN } else { TELL_OTHER });
        if is_news {
            self.told.insert(trunk.clone(), (kind, now));
        }
        is_news
    }

    /// Only these trunks' nonces are good after a reload.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&TrunkName) -> bool) {
        self.places.retain(|(trunk, _), _| is_kept(trunk));
        self.told.retain(|trunk, _| is_kept(trunk));
    }

    fn learn(
        &mut self,
        now: Instant,
        place: (&TrunkName, SocketAddr),
        space: &Space,
        challenge: Challenge,
        unasked: Option<&str>,
    ) {
        if self.places.values().map(Vec::len).sum::<usize>() >= MAX_NONCES {
            self.evict();
        }
        let nonces = self.places.entry((place.0.clone(), place.1)).or_default();
        if let Some(nonce) = nonces.iter_mut().find(|nonce| nonce.space == *space) {
            return nonce.renew(now, challenge, unasked);
        }
        if nonces.len() >= MAX_REALMS {
            let oldest = nonces.iter().enumerate().min_by_key(|(_, nonce)| nonce.used).map(|(at, _)| at);
            nonces.remove(oldest.unwrap_or(0));
        }
        nonces.push(Nonce {
            space: space.clone(),
            challenge,
            cnonce: String::new(),
            count: 0,
            is_accepted: false,
            since: now,
            used: now,
            wasted: 0,
            paused_until: Instant::ZERO,
        });
    }

    fn evict(&mut self) {
        let last_used = |nonces: &Vec<Nonce>| nonces.iter().map(|nonce| nonce.used).max();
        let oldest =
            self.places.iter().min_by_key(|(_, nonces)| last_used(nonces)).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.places.remove(&oldest);
        }
    }

    fn forget(&mut self, place: (&TrunkName, SocketAddr), space: &Space) {
        let key = (place.0.clone(), place.1);
        if let Some(nonces) = self.places.get_mut(&key) {
            nonces.retain(|nonce| nonce.space != *space);
            if nonces.is_empty() {
                self.places.remove(&key);
            }
        }
    }
}

fn next_nonce(response: &Message, asker: Asker) -> Option<String> {
    let info = response.fields().find(|field| match asker {
        Asker::Server => field.header == Header::AuthenticationInfo,
        Asker::Proxy => field.name.eq_ignore_ascii_case(b"Proxy-Authentication-Info"),
    });
    digest::next_nonce(info?.value).filter(|nonce| nonce.len() <= MAX_CHALLENGE_BYTES)
}

#[cfg(test)]
#[path = "tests/nonces.rs"]
mod tests;
