//! OPTIONS to every target of every trunk (RFC 3261 §11), to learn whether it is alive: written, sent
//! when `routing` says that it is time, and their answers told to `routing`, which draws the
//! conclusions.
//!
//! Must not know: when a target is down.

use super::engine::Engine;
use super::outside_dialog::{self, Marks};
use super::standalone::{Ending, Kind};
use crate::base::{Hop, Instant};
use crate::routing::{ProbeResult, Target, TargetKey, Trunk};
use crate::sip::{Header, Message};

impl Engine {
    /// Follows the targets as they are now: those that are new are probed, those that are gone not.
    pub(super) fn follow_targets(&mut self, now: Instant) {
        self.router.follow_targets(now, &mut self.random);
        self.tell_health();
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
        self.send_standalone(now, (kind, &trunk), (request, hop), until);
    }

    fn write_options(&mut self, trunk: &Trunk, target: &Target, hop: Hop) -> Option<Message> {
        let (via, here) = (self.mint_via(hop), self.advertised(hop));
        let (tag, call_id) = (self.mint_tag(), self.mint_call_id());
        let marks = Marks { via: &via, tag: &tag, call_id: &call_id, sequence: 1 };
        outside_dialog::options(marks, &trunk.uri_host_of(target), &here, hop.transport).finish().ok()
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
