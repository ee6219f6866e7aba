//! The ports of a call's media: the engine reserves pairs, the relay binds them, and they are given back when they are not
//! wanted any more. A pair that cannot be bound is put aside and another is tried. What waits for ports is parked, and goes
//! on when they are there.
//!
//! Must not know: what is said of them in SDP (`call_media.rs`).

use std::net::SocketAddr;
use std::time::Duration;

use super::{CallMedia, ClosingMedia, MAX_STREAMS, MediaReady, Opening, Parked, Place, is_ipv6, marking};
use crate::b2bua::attempt::Setup;
use crate::b2bua::call::{CallKey, CallTimer};
use crate::b2bua::cdr::{AttemptResult, EndedBy};
use crate::b2bua::ending::End;
use crate::b2bua::engine::Engine;
use crate::b2bua::fairness::are_last_ports;
use crate::b2bua::inbound::Rejection;
use crate::b2bua::{Output, Settings};
use crate::base::Instant;
use crate::media::{ADDRESS_IN_USE, MediaCommand, MediaReport, MediaSessionId, PortPair, Side, StreamPorts};
use crate::sdp::Sdp;
use crate::sip::Message;

/// How often ports are reserved anew when the relay cannot bind them.
const MAX_OPEN_TRIES: u8 = 8;

/// How long the relay may take to open ports; it takes microseconds.
const MAX_OPENING: Duration = Duration::from_secs(2);

impl Engine {
    /// Sees to it that the caller's offer has ports, side B's in this realm and family.
    pub(in crate::b2bua) fn prepare_media(
        &mut self,
        now: Instant,
        key: CallKey,
        place_b: Place,
        parked: Parked,
    ) -> MediaReady {
        let Some(call) = self.calls.get(key) else { return MediaReady::Never };
        if call.media.id.is_some() && (call.media.place_b != Some(place_b) || self.wants_other_marking(key)) {
            self.abandon_media(key);
        }
        let Some(call) = self.calls.get(key) else { return MediaReady::Never };
        match call.invite.sdp().map(|offer| Sdp::parse(&offer)) {
            Some(Ok(offer)) => {
                let place_a = (call.a.realm, is_ipv6(&offer, &call.a));
                self.open_streams(now, key, offer.medias().len(), (place_a, place_b), parked)
            }
            // The offer will come in the 2xx.
            Some(Err(_)) | None => MediaReady::Now,
        }
    }

    /// Sees to it that every stream of an offer has ports.
    pub(in crate::b2bua) fn prepare_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        from: Side,
        message: &Message,
        parked: Parked,
    ) -> MediaReady {
        let Some(call) = self.calls.get(key) else { return MediaReady::Never };
        let Some(Ok(offer)) = message.sdp().map(|offer| Sdp::parse(&offer)) else { return MediaReady::Now };
        let place = |side: Side| {
            let leg = call.leg(side);
            let family = leg.is_some_and(|leg| match side == from {
                true => is_ipv6(&offer, leg),
                false => leg.hop.peer.is_ipv6(),
            });
            (leg.map_or(call.a.realm, |leg| leg.realm), family)
        };
        let places = (place(Side::A), place(Side::B));
        self.open_streams(now, key, offer.medias().len(), places, parked)
    }

    fn open_streams(
        &mut self,
        now: Instant,
        key: CallKey,
        wanted: usize,
        places: (Place, Place),
        parked: Parked,
    ) -> MediaReady {
        let Some(call) = self.calls.get(key) else { return MediaReady::Never };
        let missing = wanted.min(MAX_STREAMS).saturating_sub(call.media.streams.len());
        if missing == 0 || call.media.is_joined() || call.is_replaced() {
            return MediaReady::Now;
        }
        if call.media.opening.is_some() {
            return MediaReady::Later;
        }
        self.open(now, key, missing, Opening { streams: Vec::new(), places, tries: 0, parked })
    }

    /// Reserves pairs and asks the relay to bind them.
    fn open(&mut self, now: Instant, key: CallKey, count: usize, mut opening: Opening) -> MediaReady {
        let Some(call) = self.calls.get(key) else { return MediaReady::Never };
        let settings = self.snapshots.get(call.snapshot);
        let first_stream = call.media.streams.len() as u8;
        let marking = marking::marking_of(call, &settings);
        let left = self.ports.free_pairs().saturating_sub(count.saturating_sub(1));
        if !call.is_emergency() && are_last_ports(self.ports.streams_limit(), left) {
            return MediaReady::Never;
        }
        for _ in 0..count {
            match self.reserve_stream(now, &settings, opening.places) {
                Some(stream) => opening.streams.push(stream),
                None => {
                    self.release_streams(now, &opening.streams);
                    return MediaReady::Never;
                }
            }
        }
        let next_session = MediaSessionId(self.last_media_session + 1);
        let Some(call) = self.calls.get_mut(key) else { return MediaReady::Never };
        call.media.marking = marking;
        let session = *call.media.id.get_or_insert(next_session);
        call.media.place_b = Some(opening.places.1);
        let streams = opening.streams.clone();
        call.media.opening = Some(opening);
        self.last_media_session = self.last_media_session.max(session.0);
        self.media_sessions.insert(session, key);
        self.outputs.push_back(Output::Media(MediaCommand::Open { session, first_stream, streams, marking }));
        self.arm(key, CallTimer::Opening, now + MAX_OPENING);
        MediaReady::Later
    }

    fn reserve_stream(
        &mut self,
        now: Instant,
        settings: &Settings,
        places: (Place, Place),
    ) -> Option<StreamPorts> {
        let a = self.reserve_pair(now, settings, places.0)?;
        match self.reserve_pair(now, settings, places.1) {
            Some(b) => Some(StreamPorts { a, b }),
            None => {
                self.ports.release(a, now);
                None
            }
        }
    }

    /// A pair in the realm, of the peer's address family if the realm has it.
    fn reserve_pair(&mut self, now: Instant, settings: &Settings, (realm, ipv6): Place) -> Option<PortPair> {
        let media = &settings.media.realms[realm];
        let address = media.of_family(ipv6).or_else(|| media.of_family(!ipv6))?;
        self.ports.reserve(realm, address.bind, now)
    }

    fn release_streams(&mut self, now: Instant, streams: &[StreamPorts]) {
        for stream in streams {
            self.ports.release(stream.a, now);
            self.ports.release(stream.b, now);
        }
    }

    /// Another target wants its ports elsewhere: the caller has heard of none yet, so all are
    /// given back.
    fn abandon_media(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(session) = call.media.id else { return };
        let pairs = call.media.take_ports();
        call.media = CallMedia::default();
        self.disarm(key, CallTimer::Opening);
        self.media_sessions.remove(&session);
        self.closing_media.insert(session, ClosingMedia { pairs, call: None });
        self.outputs.push_back(Output::Media(MediaCommand::Close { session }));
    }

    /// The relay has lost the ports: neither side would ever hear the other again.
    pub(super) fn on_lost(&mut self, now: Instant, session: MediaSessionId) {
        if let Some(key) = self.media_sessions.get(&session).copied() {
            self.end_call(now, key, End::new(EndedBy::Sbc, "a fault of the media relay"));
        }
    }

    /// A relay that does not answer carries no media either.
    pub(in crate::b2bua) fn on_opening_overdue(&mut self, now: Instant, key: CallKey) {
        self.end_call(now, key, End::new(EndedBy::Sbc, "the media relay does not answer"));
    }

    pub(super) fn on_opened(&mut self, now: Instant, session: MediaSessionId) {
        let Some(key) = self.media_sessions.get(&session).copied() else { return };
        self.disarm(key, CallTimer::Opening);
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(opening) = call.media.opening.take() else { return };
        call.media.streams.extend(opening.streams);
        self.expect_talk(key);
        match opening.parked {
            Parked::Attempt(hop) => {
                if self.send_setup(now, key, hop) == Setup::NotSent {
                    self.judge_attempt(now, key, AttemptResult::Cancelled);
                    self.try_next_target(now, key);
                }
            }
            Parked::LateOffer(client, response) => self.resume_late_offer(now, key, client, &response),
            Parked::EarlyOffer(client, response) => self.pass_early_offer(now, key, client, &response),
            Parked::Replacement => self.replace_when_quiet(now, key),
            Parked::Relay { from, server, request } => self.resume_relay(now, key, from, server, &request),
            Parked::Nothing => {}
        }
    }

    /// One port could not be bound, so none of them is: others are tried, if that can help.
    pub(super) fn on_open_failed(
        &mut self,
        now: Instant,
        session: MediaSessionId,
        address: SocketAddr,
        errno: i32,
    ) {
        let Some(key) = self.media_sessions.get(&session).copied() else { return };
        self.disarm(key, CallTimer::Opening);
        let Some(opening) = self.calls.get_mut(key).and_then(|call| call.media.opening.take()) else {
            return;
        };
        let is_in_use = errno == ADDRESS_IN_USE;
        for pair in opening.streams.iter().flat_map(|stream| [stream.a, stream.b]) {
            if is_in_use && (pair.rtp() == address || pair.rtcp() == address) {
                self.ports.mark_unusable(pair, now);
            } else {
                self.ports.release(pair, now);
            }
        }
        let (count, tries) = (opening.streams.len(), opening.tries + 1);
        let again = Opening { streams: Vec::new(), tries, ..opening };
        let parked = again.parked.clone();
        let tries_again = is_in_use && tries < MAX_OPEN_TRIES;
        if !tries_again || self.open(now, key, count, again) == MediaReady::Never {
            self.give_media_up(now, key, parked, errno);
        }
    }

    fn give_media_up(&mut self, now: Instant, key: CallKey, parked: Parked, errno: i32) {
        let rejection = Rejection::new(503, &format!("no media port could be bound (errno {errno})"));
        match parked {
            Parked::Attempt(_) | Parked::EarlyOffer(..) | Parked::Replacement => {
                self.reject_call(now, key, rejection);
            }
            Parked::LateOffer(client, _) => self.refuse_success(now, key, client, rejection),
            Parked::Relay { from, server, .. } => {
                self.respond_in_dialog(now, key, from, server, rejection.status);
            }
            Parked::Nothing => {}
        }
    }

    pub(super) fn on_closed(&mut self, now: Instant, session: MediaSessionId, report: MediaReport) {
        let Some(closing) = self.closing_media.remove(&session) else { return };
        self.release_streams(now, &closing.pairs);
        let Some(key) = closing.call else { return };
        if let Some(call) = self.calls.get_mut(key) {
            call.media.report = Some(report);
        }
        self.finish_if_done(key);
    }
}
