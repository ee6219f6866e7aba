//! A call's media: its ports, and how SDP goes from one side to the other.
//!
//! The engine reserves port pairs, the relay binds them; a pair that cannot be bound is put aside
//! and another is tried. Each side keeps its ports for the life of its dialog. A side's new address
//! (an offer) comes into force with the answer, so that a refused re-INVITE changes nothing; only
//! the first offer of a call counts at once.

mod joined;
mod marking;
mod multiplexing;
mod of_keys;
mod silence;
mod stream_kind;

pub use silence::{OneWayAudio, PartyPlace};
pub(super) use stream_kind::OfferFault;

use multiplexing::RtcpPlaces;
use of_keys::OfferedEvents;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::attempt::Setup;
use super::call::{Call, CallKey, CallTimer, Leg};
use super::cdr::{AttemptResult, EndedBy};
use super::ending::End;
use super::engine::Engine;
use super::fairness::are_last_ports;
use super::inbound::Rejection;
use super::{Output, Settings, addressing};
use crate::base::{Hop, Instant, Realm};
use crate::media::{
    ADDRESS_IN_USE, Codec, EventRule, Format, Formats, Marking, MediaCommand, MediaEvent, MediaReport,
    MediaSessionId, PortPair, PortPool, RemoteMedia, Side, StreamKind, StreamPorts,
};
use crate::sdp::{OurOrigin, Rewrite, Sdp, SdpFault, StreamPlace, StreamRewrite};
use crate::sip::{Message, Status};
use crate::transaction::{ClientId, ServerId};

/// The most m= lines of a call that get ports; further ones are refused with port 0.
pub(super) const MAX_STREAMS: usize = 4;

/// How often ports are reserved anew when the relay cannot bind them.
const MAX_OPEN_TRIES: u8 = 8;

/// How long the relay may take to open ports; it takes microseconds.
const MAX_OPENING: Duration = Duration::from_secs(2);

/// A call's ports, and what each side said of its own.
#[derive(Clone, Debug, Default)]
pub struct CallMedia {
    /// The relay's name of it, once ports were asked for.
    pub id: Option<MediaSessionId>,
    /// What was measured, once the session is closed.
    pub report: Option<MediaReport>,
    streams: Vec<StreamPorts>,
    opening: Option<Opening>,
    /// Where side B's ports are: another target may want others.
    place_b: Option<Place>,
    /// How its packets to each side are marked.
    marking: Marking,
    /// The payload type of events that each side was told of in the other's name.
    offered_events: OfferedEvents,
    a: SideMedia,
    b: SideMedia,
    offer: Option<PendingOffer>,
    answered: bool,
    /// The sessions of parties that another call brought in, by side; see `joined.rs`.
    tail_a: Option<joined::Tail>,
    tail_b: Option<joined::Tail>,
    /// The ports of `id`, where a tail's stand in `streams`.
    own: Vec<StreamPorts>,
    /// The last offer that was answered, as its maker said it: an answer may be said twice.
    agreed: Option<(Side, Vec<StreamPlace>)>,
    /// Whether it was told that side A or B is not heard.
    one_way_told: (bool, bool),
    /// All m= lines that were ever agreed on, with those that the last offer left out.
    lines: Vec<StreamPlace>,
}

/// What one side's SDP said, as it is in force.
#[derive(Clone, Debug, Default)]
struct SideMedia {
    /// Who said it: the tag of the leg's dialog.
    party: Bytes,
    remotes: Vec<Option<RemoteMedia>>,
    /// Where it takes RTCP with RTP and where without, for each of them.
    rtcp: Vec<Option<RtcpPlaces>>,
    held: bool,
}

/// An offer without its answer.
#[derive(Clone, Debug)]
pub(super) struct PendingOffer {
    by: Side,
    media: SideMedia,
    body: Bytes,
    places: Vec<StreamPlace>,
    lines: Vec<StreamPlace>,
}

/// A realm and an address family.
type Place = (Realm, bool);

/// Ports that the relay is binding, and what waits for them.
#[derive(Clone, Debug)]
struct Opening {
    streams: Vec<StreamPorts>,
    places: (Place, Place),
    tries: u8,
    parked: Parked,
}

/// What goes on when the ports are open.
#[derive(Clone, Debug)]
pub(super) enum Parked {
    /// The INVITE of leg B goes out over this hop.
    Attempt(Hop),
    /// The 2xx of leg B has the offer.
    LateOffer(ClientId, Message),
    /// A reliable provisional response of leg B has the offer.
    EarlyOffer(ClientId, Message),
    /// A re-INVITE or UPDATE has more streams than before.
    Relay {
        /// The side that asked.
        from: Side,
        /// Its transaction.
        server: ServerId,
        /// The request.
        request: Message,
    },
    /// The party of a new call takes the place of another's.
    Replacement,
    /// Nothing any more: the ports are there for what comes.
    Nothing,
}

/// Ports that wait for the relay's last word, and the call that does.
#[derive(Clone, Debug)]
pub(super) struct ClosingMedia {
    pub(super) pairs: Vec<StreamPorts>,
    pub(super) call: Option<CallKey>,
}

/// Whether the ports that a step needs are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MediaReady {
    /// Go on.
    Now,
    /// What was parked goes on by itself.
    Later,
    /// There are none.
    Never,
}

/// What an SDP is in its exchange (RFC 3264).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SdpRole {
    /// It asks.
    Offer,
    /// It answers the pending offer.
    Answer,
}

impl CallMedia {
    /// Who made the offer that is not answered yet.
    pub(super) fn offered_by(&self) -> Option<Side> {
        self.offer.as_ref().map(|offer| offer.by)
    }

    /// Takes an offer away that a second answer to the first one must not settle.
    pub(super) fn set_later_offer_aside(&mut self) -> Option<PendingOffer> {
        if self.answered { self.offer.take() } else { None }
    }

    /// Puts it back.
    pub(super) fn put_later_offer_back(&mut self, offer: Option<PendingOffer>) {
        self.offer = offer;
    }

    /// Whether the party of a side has put the call on hold.
    pub(super) fn is_held_by(&self, side: Side) -> bool {
        match side {
            Side::A => self.a.held,
            Side::B => self.b.held,
        }
    }

    /// Whether an answer has come, be it in a provisional response.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether side B's ports are in this realm and family.
    pub(super) fn is_at(&self, place: Place) -> bool {
        self.place_b == Some(place)
    }

    /// The transaction whose 2xx waits for ports.
    pub(super) fn parked_late_offer(&self) -> Option<ClientId> {
        match self.opening.as_ref()?.parked {
            Parked::LateOffer(client, _) => Some(client),
            _ => None,
        }
    }

    /// Whether the relay is binding ports.
    pub(super) fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// The request of one side that waits for ports.
    pub(super) fn parked_relay(&self) -> Option<(Side, ServerId)> {
        match self.opening.as_ref()?.parked {
            Parked::Relay { from, server, .. } => Some((from, server)),
            _ => None,
        }
    }

    /// What waits for ports is not wanted any more.
    pub(super) fn unpark(&mut self) {
        if let Some(opening) = &mut self.opening {
            opening.parked = Parked::Nothing;
        }
    }

    /// Every port of the call, to be given back: it has none any more.
    pub(super) fn take_ports(&mut self) -> Vec<StreamPorts> {
        let mut pairs = std::mem::take(&mut self.streams);
        if self.is_joined() {
            pairs = std::mem::take(&mut self.own);
        }
        pairs.extend(self.opening.take().into_iter().flat_map(|opening| opening.streams));
        pairs
    }

    /// A description with its m= lines where they belong (RFC 3264 §6, §8), and the places of the
    /// offer that it answers.
    fn in_place(&self, from: Side, sdp: &Sdp, role: SdpRole) -> Result<(Sdp, Vec<StreamPlace>), SdpFault> {
        match role {
            SdpRole::Offer => Ok((sdp.succeeding(&self.lines)?, Vec::new())),
            SdpRole::Answer => {
                let pending = self.offer.as_ref().map(|offer| (offer.by, &offer.places));
                let agreed = self.agreed.as_ref().map(|(by, places)| (*by, places));
                match pending.or(agreed).filter(|(by, _)| *by != from) {
                    Some((_, offer)) => Ok((sdp.answering(offer)?, offer.clone())),
                    None => Ok((sdp.clone(), Vec::new())),
                }
            }
        }
    }

    fn side(&self, side: Side) -> &SideMedia {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut SideMedia {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

impl Engine {
    /// Sees to it that the caller's offer has ports, side B's in this realm and family.
    pub(super) fn prepare_media(
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
    pub(super) fn prepare_offer(
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

    /// The relay's word.
    pub(super) fn on_media(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Opened { session, .. } => self.on_opened(now, session),
            MediaEvent::OpenFailed { session, address, errno, .. } => {
                self.on_open_failed(now, session, address, errno);
            }
            MediaEvent::Silent { session } => self.on_silent(now, session),
            MediaEvent::Lost { session } => self.on_lost(now, session),
            MediaEvent::SilentOnHold { session } => self.on_silent_on_hold(now, session),
            MediaEvent::OneWay { session, found } => self.on_one_way(now, session, *found),
            MediaEvent::Key { session, side, press } => self.on_key(now, session, side, press),
            // For an operator, and for a capture server; the driver has them.
            MediaEvent::Report { .. } | MediaEvent::Rtcp { .. } => {}
            MediaEvent::Closed { session, report } => self.on_closed(now, session, *report),
        }
    }

    /// The relay has lost the ports: neither side would ever hear the other again.
    fn on_lost(&mut self, now: Instant, session: MediaSessionId) {
        if let Some(key) = self.media_sessions.get(&session).copied() {
            self.end_call(now, key, End::new(EndedBy::Sbc, "a fault of the media relay"));
        }
    }

    /// A relay that does not answer carries no media either.
    pub(super) fn on_opening_overdue(&mut self, now: Instant, key: CallKey) {
        self.end_call(now, key, End::new(EndedBy::Sbc, "the media relay does not answer"));
    }

    fn on_opened(&mut self, now: Instant, session: MediaSessionId) {
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
    fn on_open_failed(&mut self, now: Instant, session: MediaSessionId, address: SocketAddr, errno: i32) {
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

    fn on_closed(&mut self, now: Instant, session: MediaSessionId, report: MediaReport) {
        let Some(closing) = self.closing_media.remove(&session) else { return };
        self.release_streams(now, &closing.pairs);
        let Some(key) = closing.call else { return };
        if let Some(call) = self.calls.get_mut(key) {
            call.media.report = Some(report);
        }
        self.finish_if_done(key);
    }

    /// Reads the SDP of a message from one side and gives what the other side shall read: our
    /// addresses, our ports, our origin. `None`: there is none. The error is the status that
    /// refuses it.
    pub(super) fn carry_sdp(
        &mut self,
        key: CallKey,
        from: Side,
        message: &Message,
        role: SdpRole,
    ) -> Result<Option<Vec<u8>>, Status> {
        let Some(said) = message.sdp() else { return Ok(None) };
        let said = Sdp::parse(&said).map_err(|_| Status::of(488))?;
        if role == SdpRole::Answer && stream_kind::is_useless(&said) {
            // Its maker would wait for media that nobody can send it.
            return Err(Status::of(488));
        }
        let call = self.calls.get_mut(key).ok_or(Status::of(481))?;
        let settings = self.snapshots.get(call.snapshot);
        let (sdp, offer) = call.media.in_place(from, &said, role).map_err(|_| Status::of(488))?;
        let mut media = side_media(call, &settings, from, &sdp);
        for remote in &mut media.remotes {
            let is_own = remote.is_some_and(|remote| is_own(&self.ports, &settings, &remote));
            if is_own && role == SdpRole::Offer && call.media.answered && call.reconnect.is_none() {
                // Its maker goes on as before, and better so than in silence. (After a transfer we
                // offer one party what the other was once told by ourselves.)
                return Err(Status::of(488));
            }
            *remote = remote.filter(|_| !is_own);
        }
        let shown = of_keys::with_events(call, &settings, from, &sdp, role);
        let body = rewrite(call, &settings, from, &shown, role, &offer).ok_or(Status::of(488))?;
        match role {
            SdpRole::Offer => {
                let is_first = !call.media.answered;
                let (places, lines) = (said.places(), sdp.places());
                let body = said.as_bytes().clone();
                call.media.offer = Some(PendingOffer { by: from, media: media.clone(), body, places, lines });
                if is_first {
                    // Media may come before the answer (RFC 3264 §5.1).
                    self.put_in_force(key, from, media);
                }
            }
            SdpRole::Answer => {
                call.record.codec = sdp.negotiated_codec().map(str::to_owned).or(call.record.codec.take());
                call.media.answered = true;
                let offer = call.media.offer.take();
                note_in_force(call, offer.as_ref().map(|offer| (offer.by, &offer.body)));
                note_in_force(call, Some((from, said.as_bytes())));
                if let Some(offer) = offer {
                    (call.media.agreed, call.media.lines) = (Some((offer.by, offer.places)), offer.lines);
                    let mut offered = offer.media;
                    multiplexing::settle(&mut offered, &media);
                    self.put_in_force(key, offer.by, offered);
                } else {
                    // The second answer to an offer may say otherwise.
                    let mut offered = call.media.side(from.other()).clone();
                    multiplexing::settle(&mut offered, &media);
                    self.put_in_force(key, from.other(), offered);
                }
                self.put_in_force(key, from, media);
            }
        }
        Ok(Some(body))
    }

    /// The answer to an offer of ours that repeated what is in force: it counts for this side, and the
    /// other hears nothing of it.
    pub(super) fn adopt_answer(&mut self, key: CallKey, side: Side, message: &Message) {
        let Some(Ok(sdp)) = message.sdp().map(|said| Sdp::parse(&said)) else { return };
        let Some(call) = self.calls.get_mut(key) else { return };
        let settings = self.snapshots.get(call.snapshot);
        let mut media = side_media(call, &settings, side, &sdp);
        for remote in &mut media.remotes {
            *remote = remote.filter(|remote| !is_own(&self.ports, &settings, remote));
        }
        if let Some(leg) = call.leg_mut(side) {
            leg.sdp.heard = Bytes::copy_from_slice(sdp.as_bytes());
        }
        self.put_in_force(key, side, media);
    }

    /// The offer was refused: what was in force before still is.
    pub(super) fn drop_offer(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.media.offer = None;
        }
    }

    /// A callee that answered early is out of the call: its media stops, and the caller's offer has no
    /// answer again.
    pub(super) fn take_answer_back(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        (call.media.answered, call.media.offer) = (false, None);
        self.put_in_force(key, Side::B, SideMedia::default());
    }

    /// What was said last to a side.
    pub(super) fn last_sdp(&self, key: CallKey, side: Side) -> Vec<u8> {
        self.calls.get(key).and_then(|call| call.leg(side)).map_or_else(Vec::new, |leg| leg.sdp.last.clone())
    }

    /// Tells the relay what changed on a side.
    fn put_in_force(&mut self, key: CallKey, side: Side, media: SideMedia) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some((session, faces)) = call.media.facing(side) else { return };
        let was_held = call.media.a.held || call.media.b.held;
        let before = std::mem::replace(call.media.side_mut(side), media);
        let party = &call.media.side(side).party;
        let is_another = !before.party.is_empty() && !party.is_empty() && before.party != *party;
        let held = call.media.a.held || call.media.b.held;
        of_keys::note_rule(call, &self.snapshots.get(call.snapshot), side);
        let streams = call.media.streams.len();
        let (mut changed, mut other_formats) = (Vec::new(), false);
        for stream in 0..streams {
            let remote = call.media.side(side).remotes.get(stream).copied().flatten();
            let was = before.remotes.get(stream).copied().flatten();
            if was != remote {
                let stream = stream as u8;
                if is_another {
                    // Or what the former party still sends would count as this one's for a moment.
                    changed.push(MediaCommand::SetRemote { session, stream, side: faces, remote: None });
                }
                changed.push(MediaCommand::SetRemote { session, stream, side: faces, remote });
            }
            let formats = |of: Option<RemoteMedia>| of.map(|remote| remote.formats);
            other_formats |= formats(was) != formats(remote);
        }
        if other_formats {
            changed.extend(call.media.told_within(side));
        }
        self.outputs.extend(changed.into_iter().map(Output::Media));
        self.follow_rule(key, side.other());
        let Some(call) = self.calls.get_mut(key) else { return };
        if held != was_held {
            for session in call.media.sessions() {
                self.outputs.push_back(Output::Media(MediaCommand::SetHold { session, held }));
            }
        }
    }

    /// Our Contact towards a side.
    pub(super) fn contact_towards(&self, key: CallKey, side: Side) -> Option<String> {
        let call = self.calls.get(key)?;
        let leg = call.leg(side)?;
        let user = match side {
            Side::A => &call.numbers.called_received,
            Side::B => &call.contact_user_b,
        };
        let user = leg.contact_user.as_ref().unwrap_or(user);
        Some(addressing::contact(user, &self.advertised(leg.hop), leg.hop.transport))
    }
}

/// An exchange is complete: what was said last to both sides is in force, and what this one said.
fn note_in_force(call: &mut Call, said: Option<(Side, &Bytes)>) {
    for side in [Side::A, Side::B] {
        let Some(leg) = call.leg_mut(side) else { continue };
        leg.sdp.in_force.clone_from(&leg.sdp.last);
        if let Some((_, body)) = said.filter(|(by, _)| *by == side) {
            // A copy: a slice would keep the whole datagram.
            leg.sdp.heard = Bytes::copy_from_slice(body);
        }
    }
}

/// Whether an SDP names a port that one of our calls holds: media would go round within us,
/// without end if somebody closes the circle.
fn is_own(ports: &PortPool, settings: &Settings, remote: &RemoteMedia) -> bool {
    let addresses = || Realm::ALL.iter().flat_map(|realm| &settings.media.realms[*realm].addresses);
    [remote.rtp, remote.rtcp].iter().any(|named| {
        addresses()
            .filter(|ours| ours.advertise == named.ip() || ours.bind == named.ip())
            .any(|ours| ports.is_taken(SocketAddr::new(ours.bind, named.port())))
    })
}

/// Where a side's media is, by its SDP.
fn side_media(call: &Call, settings: &Settings, side: Side, sdp: &Sdp) -> SideMedia {
    let trunk = call.leg(side).and_then(|leg| settings.trunk_of(leg.trunk.as_ref()));
    let latch = trunk.map(|trunk| trunk.latch).unwrap_or_default();
    let signalling =
        call.leg(side).map(|leg| leg.dialog.as_ref().map_or(leg.hop, |dialog| dialog.hop).peer.ip());
    let remotes = sdp.medias().iter().map(|media| {
        let kind = stream_kind::stream_kind(media)?;
        let rtp = media.rtp_address()?;
        let rtcp = match kind {
            StreamKind::Rtp | StreamKind::SecuredRtp => media.rtcp_address()?,
            StreamKind::Udptl => rtp,
        };
        let (receives, sends) = (media.receives(), media.sends());
        let formats = Formats::of(media.codecs().map(|codec| Format {
            payload_type: codec.payload_type,
            codec: Codec::named(codec.name),
            clock_hz: codec.clock_rate,
        }));
        let signalling = signalling?;
        let events = EventRule::default();
        Some(RemoteMedia { kind, rtp, rtcp, signalling, receives, sends, latch, formats, events })
    });
    let remotes: Vec<_> = remotes.collect();
    let rtcp = sdp.medias().iter().map(RtcpPlaces::of).collect();
    let dialog = call.leg(side).and_then(|leg| leg.dialog.as_ref());
    let party = dialog.map(|dialog| dialog.remote_tag.clone()).unwrap_or_default();
    SideMedia { party, remotes, rtcp, held: sdp.is_hold() }
}

/// The SDP as the other side shall read it; `None` if no codec is left, or if nothing of an offer
/// can be relayed: its maker will offer something else.
fn rewrite(
    call: &mut Call,
    settings: &Settings,
    from: Side,
    sdp: &Sdp,
    role: SdpRole,
    offer: &[StreamPlace],
) -> Option<Vec<u8>> {
    let to = from.other();
    let pair_of = |stream: &StreamPorts| stream.of(to);
    let advertised = |pair: PortPair| {
        let addresses = &settings.media.realms[pair.realm].addresses;
        addresses
            .iter()
            .find(|address| address.bind == pair.address)
            .map_or(pair.address, |address| address.advertise)
    };
    let streams: Vec<StreamRewrite> = sdp
        .medias()
        .iter()
        .enumerate()
        .map(|(at, media)| match call.media.streams.get(at).map(pair_of) {
            Some(pair) if stream_kind::stream_kind(media).is_some() => StreamRewrite::Relay {
                address: advertised(pair),
                rtp_port: pair.rtp_port,
                rtcp_port: pair.rtp_port + 1,
            },
            Some(_) | None => StreamRewrite::Reject,
        })
        .collect();
    let nothing_is_left = streams.iter().all(|stream| *stream == StreamRewrite::Reject);
    if role == SdpRole::Offer && nothing_is_left && sdp.medias().iter().any(|media| !media.rejected()) {
        return None;
    }
    let address = advertised(call.media.streams.first().map(pair_of)?);
    let codecs = codecs_between(call, settings, from)?;
    let leg = call.leg_mut(to)?;
    let render = |version: u64| {
        let origin = OurOrigin { session_id: leg.sdp.session_id, version, address };
        sdp.rewrite(&Rewrite { origin, streams: streams.clone(), codecs: &codecs, offer }).ok()
    };
    let mut body = render(leg.sdp.version)?;
    if !leg.sdp.last.is_empty() && leg.sdp.last != body {
        leg.sdp.version += 1;
        body = render(leg.sdp.version)?;
    }
    leg.sdp.last.clone_from(&body);
    Some(body)
}

/// The codecs that both trunks take, in the order of the one that is written to: an offer must name
/// none that the answer to it could not. Empty: neither has a list. `None`: they have none in common.
fn codecs_between(call: &Call, settings: &Settings, from: Side) -> Option<Vec<String>> {
    let mut lists = [from.other(), from]
        .into_iter()
        .filter_map(|side| settings.trunk_of(call.leg(side)?.trunk.as_ref()))
        .map(|trunk| &trunk.codecs)
        .filter(|codecs| !codecs.is_empty());
    let Some(first) = lists.next() else { return Some(Vec::new()) };
    let Some(second) = lists.next() else { return Some(first.clone()) };
    let is_in_both = |name: &&String| second.iter().any(|other| other.eq_ignore_ascii_case(name));
    let both: Vec<String> = first.iter().filter(is_in_both).cloned().collect();
    (!both.is_empty()).then_some(both)
}

/// The family of a side's media: as its SDP says, else as its signalling.
fn is_ipv6(sdp: &Sdp, leg: &Leg) -> bool {
    let said = sdp.medias().iter().find_map(|media| media.connection);
    said.map_or(leg.hop.peer.is_ipv6(), |address| address.is_ipv6())
}
