//! Which socket belongs to which session: the worker's own table, its only state beside the
//! engine's. Sockets are known by a small dense number, the slot.
//!
//! Must not know: which engine moves the packets.

mod copies;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use slotmap::{SlotMap, new_key_type};
use socket2::Socket;

use super::counters::{Stall, WorkerCounters};
use super::outbox::Outbox;
use super::sockets;
use crate::base::{Instant, Realm, TokenBucket};
use crate::media::{
    DropReason, Forward, Marking, MediaCommand, MediaEvent, MediaReport, MediaSession, MediaSessionId,
    PortKind, Side, Silence, SilenceLimits, StreamPorts,
};

/// The number of a socket in its worker.
pub(super) type Slot = u32;

/// Sockets of one worker: two address' whole port ranges for RTP and RTCP and some.
pub(super) const SLOTS_MAX: u32 = 1 << 17;

/// What the table asks of an engine.
pub(super) trait Sockets {
    /// Takes a bound socket and begins to receive from it.
    fn attach(&mut self, slot: Slot, socket: Socket) -> io::Result<()>;
    /// Stops receiving and closes the socket. Where that takes time, the engine calls
    /// [`Table::detached`] when the port is free.
    fn detach(&mut self, slot: Slot) -> Detach;
}

/// How a socket was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Detach {
    /// The port is free.
    Done,
    /// It will be.
    Pending,
}

/// Where the engine shall send the datagram that it received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Egress {
    pub(super) slot: Slot,
    pub(super) address: SocketAddr,
    /// How much of it: no more than was received.
    pub(super) length: usize,
}

new_key_type! {
    struct SessionKey;
    struct TeardownKey;
}

#[derive(Debug)]
pub(super) struct Table {
    sessions: SlotMap<SessionKey, Entry>,
    by_id: HashMap<MediaSessionId, SessionKey>,
    slots: Vec<SlotState>,
    free_slots: Vec<Slot>,
    teardowns: SlotMap<TeardownKey, Teardown>,
    /// Whether anybody wants copies of the peers' RTCP.
    copies_rtcp: bool,
    outbox: Outbox,
    counters: Arc<WorkerCounters>,
}

/// One session.
#[derive(Debug)]
struct Entry {
    id: MediaSessionId,
    media: MediaSession,
    streams: Vec<OpenStream>,
}

/// What belongs to one stream and no packet of RTP needs.
#[derive(Debug)]
struct OpenStream {
    slots: StreamSlots,
    ports: StreamPorts,
    /// What may still be copied of the RTCP of side A, and of side B.
    copies: [TokenBucket; 2],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StreamSlots {
    a: PairSlots,
    b: PairSlots,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PairSlots {
    rtp: Slot,
    rtcp: Slot,
}

#[derive(Clone, Copy, Debug)]
enum SlotState {
    Free,
    Open(Place),
    Closing(TeardownKey),
}

/// What a socket is to its session.
#[derive(Clone, Copy, Debug)]
struct Place {
    session: SessionKey,
    realm: Realm,
    stream: u8,
    side: Side,
    port: PortKind,
    /// The other side's sockets and their realm; they are given when all of a stream are attached.
    across: PairSlots,
    across_realm: Realm,
}

/// Sockets on their way out, and what is said when the last is gone.
#[derive(Debug)]
struct Teardown {
    remaining: usize,
    then: MediaEvent,
}

/// A socket that is bound for an `Open`, but belongs to nobody yet.
struct Bound {
    socket: Socket,
    address: SocketAddr,
    realm: Realm,
    stream: u8,
    side: Side,
    port: PortKind,
}

/// Why an `Open` failed.
struct Refusal {
    address: SocketAddr,
    error: io::Error,
}

impl Table {
    pub(super) fn new(outbox: Outbox, counters: Arc<WorkerCounters>) -> Table {
        Table {
            sessions: SlotMap::with_key(),
            by_id: HashMap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            teardowns: SlotMap::with_key(),
            copies_rtcp: false,
            outbox,
            counters,
        }
    }

    /// Decides on a datagram that arrived at a socket. The hot path: no lock, no allocation.
    #[inline]
    pub(super) fn receive(
        &mut self,
        slot: Slot,
        source: SocketAddr,
        bytes: &mut [u8],
        now: Instant,
    ) -> Option<Egress> {
        // A socket that is closing may still have something to say; nobody listens.
        let SlotState::Open(place) = *self.slots.get(slot as usize)? else { return None };
        let entry = self.sessions.get_mut(place.session)?;
        let verdict = entry.media.receive((place.stream, place.side, place.port), source, bytes, now)?;
        if verdict.is_peer_rtp {
            self.counters.count_received(place.realm, bytes.len());
        } else if verdict.has_report && self.copies_rtcp {
            copies::tell(entry, &place, (source, bytes), now, &mut self.outbox, &self.counters);
        }
        if verdict.has_keys {
            tell_keys(entry, &mut self.outbox);
        }
        let destination = match verdict.forward {
            Forward::To(destination) => destination,
            Forward::Taken => return None,
            Forward::Drop(reason) => {
                self.counters.count_dropped(place.realm, reason);
                return None;
            }
        };
        let slot = place.across.of(destination.from_port);
        let length = verdict.transform.apply(bytes);
        if verdict.is_peer_rtp {
            self.counters.count_sent(place.across_realm, length);
        }
        Some(Egress { slot, address: destination.address, length })
    }

    /// Reads what [`Table::receive`] will need for these sockets, for nothing but to have it near. With
    /// thousands of calls a packet finds nothing of its own in the processor's caches: here it waits for
    /// the memory of many packets at once, there for that of one after the other.
    #[inline]
    pub(super) fn bring_near(&self, slots: impl Iterator<Item = Slot>) {
        let mut seen = 0;
        for slot in slots {
            let Some(SlotState::Open(place)) = self.slots.get(slot as usize) else { continue };
            let Some(entry) = self.sessions.get(place.session) else { continue };
            seen ^= entry.media.bring_near(place.stream, place.side);
        }
        std::hint::black_box(seen);
    }

    /// Counts a datagram that arrived at `slot` and was lost for a reason that the engine saw.
    pub(super) fn count_drop(&mut self, slot: Slot, reason: DropReason) {
        let Some(&SlotState::Open(place)) = self.slots.get(slot as usize) else { return };
        self.counters.count_dropped(place.realm, reason);
        if let Some(entry) = self.sessions.get_mut(place.session) {
            entry.media.count_drop(place.stream, place.side, reason);
        }
    }

    /// Counts what held packets up.
    pub(super) fn count_stall(&mut self, stall: Stall) {
        self.counters.count_stall(stall);
    }

    /// Whether anybody wants copies of the peers' RTCP from now on.
    pub(super) fn copy_rtcp(&mut self, wanted: bool) {
        self.copies_rtcp = wanted;
    }

    /// Carries a command out.
    pub(super) fn command(&mut self, command: MediaCommand, now: Instant, sockets: &mut impl Sockets) {
        match command {
            MediaCommand::Open { session, first_stream, streams, marking } => {
                self.open(session, first_stream, (&streams, marking), now, sockets);
            }
            MediaCommand::SetRemote { session, stream, side, remote } => {
                if let Some(entry) = self.entry_mut(session) {
                    entry.media.set_remote(stream, side, remote, now);
                }
            }
            MediaCommand::SetHold { session, held } => {
                if let Some(entry) = self.entry_mut(session) {
                    entry.media.set_hold(held, now);
                }
            }
            MediaCommand::SetAnswered { session } => {
                if let Some(entry) = self.entry_mut(session) {
                    entry.media.set_answered(now);
                }
            }
            MediaCommand::Press { session, stream, side, press } => {
                if let Some(entry) = self.entry_mut(session) {
                    entry.media.press(stream, side, press, now);
                }
            }
            MediaCommand::Report { session } => {
                // Who asked waits no longer than a moment, and calls come first.
                if !self.outbox.is_behind() {
                    let live = self.entry_mut(session).map(|entry| Box::new(entry.media.live(now)));
                    self.outbox.send(MediaEvent::Report { session, live });
                }
            }
            MediaCommand::Close { session } => self.close(session, sockets),
        }
    }

    /// The engine closed the socket of a slot: its port is free.
    pub(super) fn detached(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(slot as usize) else { return };
        let SlotState::Closing(key) = *state else { return };
        *state = SlotState::Free;
        self.free_slots.push(slot);
        if let Some(teardown) = self.teardowns.get_mut(key) {
            teardown.remaining -= 1;
        }
        self.finish_teardown(key);
    }

    /// Reports the sessions that have been silent for too long, and offers events again that did
    /// not fit.
    pub(super) fn tick(&mut self, limits: &SilenceLimits, now: Instant) {
        for entry in self.sessions.values_mut() {
            let session = entry.id;
            entry.media.look(limits, now, |silence| {
                self.outbox.send(match silence {
                    Silence::Everything => MediaEvent::Silent { session },
                    Silence::OnHold => MediaEvent::SilentOnHold { session },
                    Silence::OneWay(found) => MediaEvent::OneWay { session, found: Box::new(found) },
                });
            });
            if entry.media.poll_keys(now) {
                tell_keys(entry, &mut self.outbox);
            }
        }
        self.outbox.flush();
    }

    /// Offers events again that did not fit.
    pub(super) fn flush(&mut self) {
        self.outbox.flush();
    }

    /// Every socket is gone with its engine. Says so of each session, which keeps what was measured
    /// until it is closed; what was closing is closed.
    pub(super) fn lose_all(&mut self) {
        self.slots.clear();
        self.free_slots.clear();
        for (_, teardown) in self.teardowns.drain() {
            self.outbox.send(teardown.then);
        }
        for entry in self.sessions.values_mut() {
            entry.streams.clear();
            self.outbox.send(MediaEvent::Lost { session: entry.id });
        }
    }

    /// Whether there is nothing that a tick would look at.
    pub(super) fn is_idle(&self) -> bool {
        self.sessions.is_empty() && !self.outbox.is_behind()
    }

    /// Whether events wait that the driver had no room for.
    pub(super) fn is_behind(&self) -> bool {
        self.outbox.is_behind()
    }

    fn entry_mut(&mut self, session: MediaSessionId) -> Option<&mut Entry> {
        self.sessions.get_mut(*self.by_id.get(&session)?)
    }

    fn open(
        &mut self,
        session: MediaSessionId,
        first_stream: u8,
        (streams, marking): (&[StreamPorts], Marking),
        now: Instant,
        sockets: &mut impl Sockets,
    ) {
        let failed = |Refusal { address, error }| MediaEvent::OpenFailed {
            session,
            first_stream,
            address,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        let known = self.by_id.get(&session).copied();
        let present = known.map_or(0, |key| self.sessions[key].streams.len());
        let bound = match check_numbers(present, first_stream, streams)
            .and_then(|()| bind_all(first_stream, streams, marking))
        {
            Ok(bound) => bound,
            // Nothing was attached: what was bound is closed by now.
            Err(refusal) => return self.outbox.send(failed(refusal)),
        };
        let key = known.unwrap_or_else(|| self.insert(session, now));
        match self.attach_all(key, bound, sockets) {
            Ok(slots) => {
                let entry = &mut self.sessions[key];
                for (slots, ports) in slots.as_chunks::<4>().0.iter().zip(streams) {
                    entry.streams.push(OpenStream {
                        slots: StreamSlots::from_order_of_binding(slots),
                        ports: *ports,
                        copies: copies::full(),
                    });
                    entry.media.add_stream();
                    join(&mut self.slots, slots);
                }
                self.outbox.send(MediaEvent::Opened { session, first_stream });
            }
            Err((attached, refusal)) => {
                if known.is_none() {
                    self.by_id.remove(&session);
                    self.sessions.remove(key);
                }
                self.tear_down(attached, failed(refusal), sockets);
            }
        }
    }

    fn insert(&mut self, session: MediaSessionId, now: Instant) -> SessionKey {
        let entry = Entry { id: session, media: MediaSession::new(now), streams: Vec::new() };
        let key = self.sessions.insert(entry);
        self.by_id.insert(session, key);
        key
    }

    /// Gives each socket a slot and the engine; on failure also what had been attached by then.
    fn attach_all(
        &mut self,
        session: SessionKey,
        bound: Vec<Bound>,
        sockets: &mut impl Sockets,
    ) -> Result<Vec<Slot>, (Vec<Slot>, Refusal)> {
        let mut attached = Vec::with_capacity(bound.len());
        for Bound { socket, address, realm, stream, side, port } in bound {
            let Some(slot) = self.allocate_slot() else {
                let error = io::Error::from_raw_os_error(libc::EMFILE);
                return Err((attached, Refusal { address, error }));
            };
            if let Err(error) = sockets.attach(slot, socket) {
                self.free_slots.push(slot);
                return Err((attached, Refusal { address, error }));
            }
            let (across, across_realm) = (PairSlots { rtp: slot, rtcp: slot }, realm);
            let place = Place { session, realm, stream, side, port, across, across_realm };
            self.slots[slot as usize] = SlotState::Open(place);
            attached.push(slot);
        }
        Ok(attached)
    }

    fn allocate_slot(&mut self) -> Option<Slot> {
        self.free_slots.pop().or_else(|| {
            let slot = Slot::try_from(self.slots.len()).ok().filter(|slot| *slot < SLOTS_MAX)?;
            self.slots.push(SlotState::Free);
            Some(slot)
        })
    }

    fn close(&mut self, session: MediaSessionId, sockets: &mut impl Sockets) {
        let entry = self.by_id.remove(&session).and_then(|key| self.sessions.remove(key));
        let (slots, report) = match entry {
            Some(entry) => {
                let slots = entry.streams.iter().flat_map(|stream| stream.slots.all()).collect();
                (slots, entry.media.report())
            }
            None => (Vec::new(), MediaReport::default()),
        };
        self.tear_down(slots, MediaEvent::Closed { session, report: Box::new(report) }, sockets);
    }

    /// Closes sockets and says `then` when the last of their ports is free.
    fn tear_down(&mut self, slots: Vec<Slot>, then: MediaEvent, sockets: &mut impl Sockets) {
        let key = self.teardowns.insert(Teardown { remaining: slots.len(), then });
        for &slot in &slots {
            self.slots[slot as usize] = SlotState::Closing(key);
        }
        // None left from the start: the event is due now.
        if slots.is_empty() {
            self.finish_teardown(key);
        }
        for slot in slots {
            match sockets.detach(slot) {
                Detach::Done => self.detached(slot),
                Detach::Pending => {}
            }
        }
    }

    fn finish_teardown(&mut self, key: TeardownKey) {
        if self.teardowns.get(key).is_some_and(|teardown| teardown.remaining == 0)
            && let Some(teardown) = self.teardowns.remove(key)
        {
            self.outbox.send(teardown.then);
        }
    }
}

/// Tells what was pressed. While the driver is behind, keys are lost rather than kept without bound.
fn tell_keys(entry: &mut Entry, outbox: &mut Outbox) {
    while let Some((side, press)) = entry.media.take_key() {
        if !outbox.is_behind() {
            outbox.send(MediaEvent::Key { session: entry.id, side, press });
        }
    }
}

impl StreamSlots {
    /// The order in which [`bind_all`] binds.
    fn from_order_of_binding(&[a_rtp, a_rtcp, b_rtp, b_rtcp]: &[Slot; 4]) -> StreamSlots {
        StreamSlots { a: PairSlots { rtp: a_rtp, rtcp: a_rtcp }, b: PairSlots { rtp: b_rtp, rtcp: b_rtcp } }
    }

    fn all(&self) -> [Slot; 4] {
        [self.a.rtp, self.a.rtcp, self.b.rtp, self.b.rtcp]
    }
}

impl PairSlots {
    fn of(&self, port: PortKind) -> Slot {
        match port {
            PortKind::Rtp => self.rtp,
            PortKind::Rtcp => self.rtcp,
        }
    }
}

/// Tells the sockets of one stream which are the other side's, so that a packet's way needs no second table.
fn join(slots: &mut [SlotState], in_order_of_binding: &[Slot; 4]) {
    let StreamSlots { a, b } = StreamSlots::from_order_of_binding(in_order_of_binding);
    let realm = |pair: PairSlots, slots: &[SlotState]| match slots[pair.rtp as usize] {
        SlotState::Open(place) => Some(place.realm),
        SlotState::Free | SlotState::Closing(_) => None,
    };
    for (own, across) in [(a, b), (b, a)] {
        let across_realm = realm(across, slots);
        for slot in [own.rtp, own.rtcp] {
            if let (SlotState::Open(place), Some(across_realm)) = (&mut slots[slot as usize], across_realm) {
                (place.across, place.across_realm) = (across, across_realm);
            }
        }
    }
}

/// Streams are numbered without gaps, and there is a limit to them.
fn check_numbers(present: usize, first_stream: u8, streams: &[StreamPorts]) -> Result<(), Refusal> {
    let fits = usize::from(first_stream) == present && present + streams.len() <= MediaSession::STREAMS_MAX;
    let address = streams.first().map(|stream| stream.a.rtp());
    match address {
        Some(_) if fits => Ok(()),
        _ => Err(Refusal {
            address: address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))),
            error: io::Error::from_raw_os_error(libc::EINVAL),
        }),
    }
}

/// Binds every port of the streams, or none: on failure those already bound close as they drop.
fn bind_all(first_stream: u8, streams: &[StreamPorts], marking: Marking) -> Result<Vec<Bound>, Refusal> {
    let mut bound = Vec::with_capacity(4 * streams.len());
    for (stream, ports) in (first_stream..).zip(streams) {
        for (side, pair, dscp) in [(Side::A, ports.a, marking.a), (Side::B, ports.b, marking.b)] {
            for (port, address) in [(PortKind::Rtp, pair.rtp()), (PortKind::Rtcp, pair.rtcp())] {
                let socket = sockets::bind(address).map_err(|error| Refusal { address, error })?;
                sockets::mark(&socket, address, dscp);
                bound.push(Bound { socket, address, realm: pair.realm, stream, side, port });
            }
        }
    }
    Ok(bound)
}
