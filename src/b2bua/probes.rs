//! OPTIONS to every target of every trunk (RFC 3261 §11), to learn whether it is alive: written, sent
//! when `routing` says that it is time, and their answers told to `routing`, which draws the
//! conclusions.
//!
//! Must not know: when a target is down.

use super::engine::Engine;
use super::identity;
use super::standalone::{Ending, Kind};
use crate::base::{Hop, Instant};
use crate::dialog::tagged;
use crate::routing::{ProbeResult, Target, TargetKey, Trunk};
use crate::sip::{Header, Message, Method, Writer};

impl Engine {
    /// Follows the targets as they are now: those that are new are probed, those that are gone not.
    pub(super) fn follow_targets(&mut self, now: Instant) {
        self.router.follow_targets(now, &mut self.random);
    }

    /// Sends the probes that are due.
    pub(super) fn send_due_probes(&mut self, now: Instant) {
        while let Some(target) = self.router.take_due_probe(now, &mut self.random) {
            self.send_probe(now, &target);
        }
    }

    fn send_probe(&mut self, now: Instant, target: &Target) {
        let settings = self.snapshots.current();
        let Some(trunk) = settings.routing.trunk(&target.trunk).cloned() else { return };
        let hop = settings.listener_towards(trunk.realm, target.transport, target.address);
        // Without a listener of its kind nothing is known of it, and no call can go there either.
        let Some(hop) = hop else { return };
        let hop = Hop { identity: target.identity, ..hop };
        let Some(request) = self.write_options(&trunk, target, hop) else { return };
        let kind = Kind::Probe(target.key());
        let until = now + trunk.health.timeout;
        self.send_standalone(now, (kind, trunk.name), (request, hop), until);
    }

    /// "An Accept header field SHOULD be included to indicate the type of message body the UAC wishes
    /// to receive in the response" (RFC 3261 §11.1). Nobody calls, so no user is in it.
    fn write_options(&mut self, trunk: &Trunk, target: &Target, hop: Hop) -> Option<Message> {
        let (via, here) = (self.mint_via(hop), self.advertised(hop));
        let (tag, call_id) = (self.mint_tag(), self.mint_call_id());
        let uri = format!("sip:{}", identity::host_of(trunk, target));
        let writer = Writer::request(&Method::Options, uri.as_bytes())
            .header(Header::Via, via)
            .header(Header::MaxForwards, "70")
            .header(Header::From, tagged(format!("<sip:{here}>").as_bytes(), &tag))
            .header(Header::To, format!("<{uri}>"))
            .header(Header::CallId, &call_id)
            .header(Header::CSeq, "1 OPTIONS")
            .header(Header::Contact, identity::contact("", &here, hop.transport))
            .header(Header::Accept, "application/sdp");
        writer.finish().ok()
    }

    /// What became of a probe.
    pub(super) fn on_probe_ended(
        &mut self,
        now: Instant,
        target: &TargetKey,
        since: Instant,
        ending: Ending<'_>,
    ) {
        let result = match ending {
            Ending::Answer(response) => ProbeResult::Answer {
                status: response.status().map_or(0, crate::sip::Status::code),
                retry_after_s: response.number(Header::RetryAfter),
                latency: now.since(since),
            },
            Ending::Timeout => ProbeResult::Silence,
            Ending::Transport => ProbeResult::Unreachable,
        };
        self.router.on_probe(now, target, result);
    }

    /// No more probes: the process is about to end.
    pub(super) fn stop_probes(&mut self) {
        self.router.stop_probes();
        self.drop_standalones(|kind| matches!(kind, Kind::Probe(_)));
    }
}
