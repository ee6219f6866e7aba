//! The agents' side of RFC 3262: reliable ringing as callee, PRACK as caller, and forks.

use super::*;

/// What is going on before a call of an agent's is answered.
#[derive(Default)]
pub struct Ringing {
    /// What our INVITE said of `100rel`: Supported, Require, or nothing.
    pub wish: Option<Header>,
    /// RSeq of the last reliable response that we acknowledged.
    heard: Option<u32>,
    /// RSeq of the last reliable response of ours.
    last: u32,
    pending: Option<Pending>,
    /// The answer was said reliably, by us or to us, and acknowledged.
    pub is_settled: bool,
}

/// A reliable response of ours without its PRACK.
struct Pending {
    response: Message,
    hop: Hop,
    /// It is an offer: the PRACK has the answer.
    offers: bool,
    since: Instant,
    next: Instant,
    wait: Duration,
}

impl Ringing {
    pub fn next_deadline(&self) -> Option<Instant> {
        Some(self.pending.as_ref()?.next)
    }

    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub fn stop(&mut self) {
        self.pending = None;
    }
}

impl Agent {
    /// What an INVITE says of `100rel`.
    pub(super) fn wish(&mut self) -> Option<Header> {
        let at_random = [None, None, Some(Header::Supported), Some(Header::Require)];
        let dice = self.random.below(4) as usize;
        self.wishes.unwrap_or(at_random[dice])
    }

    /// A 18x that asks for a PRACK, if the caller knows what that is.
    pub(super) fn ring_reliably(&mut self, now: Instant, at: usize) -> &'static str {
        let Some((server, request)) = self.calls[at].server.clone() else { return "nothing" };
        if self.calls[at].ringing.is_pending() || !request.lists_token(Header::Supported, "100rel") {
            return "rings not reliably";
        }
        let is_late = request.body().is_empty();
        let has_sdp = !self.calls[at].ringing.is_settled && (is_late || self.random.below(2) == 0);
        let sdp = has_sdp.then(|| self.sdp(streams_of(&request).max(1), at as u32));
        let first = 1 + self.random.below(1_000);
        let ringing = &mut self.calls[at].ringing;
        ringing.last = if ringing.last == 0 { first } else { ringing.last + 1 };
        ringing.is_settled |= has_sdp;
        let lines = format!("Require: 100rel\r\nRSeq: {}", ringing.last);
        let plain = self.response(at, &request, 183, sdp);
        let response = lab::with_header(&plain, &lines);
        let (offers, next) = (has_sdp && is_late, now + T1);
        let hop = self.transactions.response_hop(server).unwrap_or(self.hop());
        self.calls[at].ringing.pending =
            Some(Pending { response: response.clone(), hop, offers, since: now, next, wait: T1 });
        self.transactions.respond(now, server, response);
        "rings reliably"
    }

    /// Another branch of a fork rings, which will never answer.
    pub(super) fn ring_elsewhere(&mut self, now: Instant, at: usize) -> &'static str {
        let Some((server, request)) = self.calls[at].server.clone() else { return "nothing" };
        let sdp = (!request.body().is_empty()).then(|| self.sdp(streams_of(&request).max(1), 77));
        let tag = String::from_utf8_lossy(&self.calls[at].local_tag).into_owned();
        let other = format!("{tag}fork{}", self.random.below(12));
        let response = lab::text(&self.response(at, &request, 183, sdp)).replace(&tag, &other);
        self.transactions.respond(now, server, Message::parse(response.into()).unwrap());
        "rings elsewhere"
    }

    /// RFC 3262 §3: the 18x again, or 5xx when its PRACK never came.
    pub(super) fn repeat_ringing(&mut self, now: Instant, at: usize) {
        let Some(pending) = self.calls[at].ringing.pending.as_mut().filter(|found| found.next <= now) else {
            return;
        };
        if now.since(pending.since) >= T1 * 64 {
            self.calls[at].ringing.stop();
            if let Some((server, request)) = self.calls[at].server.take() {
                self.calls[at].state = UaState::Over;
                self.respond(now, at, server, &request, 504, None);
            }
            return self.pump(now);
        }
        pending.wait *= 2;
        pending.next = now + pending.wait;
        self.outbox.push((pending.hop, pending.response.clone()));
    }

    /// PRACK of the SBC's.
    pub(super) fn on_prack(&mut self, now: Instant, at: usize, server: ServerId, request: &Message) {
        let ringing = &mut self.calls[at].ringing;
        let rack = request.rack().expect("a RAck");
        let pending = ringing.pending.take_if(|found| found.response.number(Header::RSeq) == Some(rack.rseq));
        if let Some(pending) = &pending {
            assert_eq!(pending.offers, !request.body().is_empty(), "{}", lab::text(request));
            assert_eq!(Some(rack.cseq), pending.response.cseq());
        }
        self.respond(now, at, server, request, if pending.is_some() { 200 } else { 481 }, None);
    }

    /// A provisional response to our INVITE.
    pub(super) fn on_ringing(&mut self, now: Instant, at: usize, client: ClientId, response: &Message) {
        let is_reliable = response.lists_token(Header::Require, "100rel");
        match self.calls[at].ringing.wish {
            None => assert!(!is_reliable, "{}", lab::text(response)),
            Some(Header::Require) => assert!(is_reliable, "{}", lab::text(response)),
            Some(_) => assert_eq!(is_reliable, !response.body().is_empty(), "{}", lab::text(response)),
        }
        if !is_reliable {
            return;
        }
        let rseq = response.number(Header::RSeq).expect("an RSeq");
        let heard = self.calls[at].ringing.heard;
        if heard.is_some_and(|heard| heard + 1 != rseq) {
            return;
        }
        let is_late = self.clients.get(&client).is_some_and(|(.., invite)| invite.body().is_empty());
        let (has_sdp, was_settled) = (!response.body().is_empty(), self.calls[at].ringing.is_settled);
        assert!(!(has_sdp && was_settled), "SDP after the answer: {}", lab::text(response));
        assert!(has_sdp || was_settled || !is_late, "no offer: {}", lab::text(response));
        self.calls[at].ringing.heard = Some(rseq);
        self.calls[at].ringing.is_settled |= has_sdp;
        let offers = self.calls[at].ringing.is_settled && !is_late && self.random.below(4) == 0;
        let answers = has_sdp && is_late;
        let sdp = (answers || offers).then(|| self.sdp(streams_of(response).max(1), rseq));
        let Some(prack) = self.in_dialog(at, &Method::Prack, sdp) else { return };
        let prack = lab::with_header(&prack, &format!("RAck: {rseq} 1 INVITE"));
        self.send(now, at, Purpose::Other, prack);
    }
}
