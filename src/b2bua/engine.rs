//! The engine: owns every call of one shard, takes inputs with the time, gives outputs.
//!
//! How a message finds its way: [`Engine::handle`] admits and parses it, the transaction layer
//! absorbs what is repeated and hands the rest up as an effect, and the effect goes to the file
//! whose business it is:
//!
//! | what | where |
//! |---|---|
//! | **setting up** | |
//! | a new INVITE: checks, numbers, route; whose it is; whom it calls; loops; a source's share | `inbound.rs`; `ingress.rs`; `called.rs`; `loops.rs`; `fairness.rs` |
//! | leg B: targets, failover, its responses; a 3xx | `attempt.rs`; `redirect.rs` |
//! | another target although one may have rung | `after_ringing.rs` |
//! | which targets are up, as calls see it; how a trunk's calls go | `target_health.rs`; `tally.rs` |
//! | leg B's early dialogs, and PRACK in them | `early_dialogs.rs` |
//! | reliable provisional responses to the caller, and its PRACK | `reliable.rs` |
//! | an answer that differs from what the caller was told reliably | `realign.rs` |
//! | **the call** | |
//! | ACK, and 2xx until it comes; a 2xx to a re-INVITE that was given up | `acks.rs`; `late_success.rs` |
//! | what crosses in a dialog: re-INVITE, INFO, OPTIONS, MESSAGE; UPDATE | `in_dialog.rs`; `update.rs` |
//! | re-INVITE and UPDATE of our own | `target_refresh.rs` |
//! | session timers, a re-INVITE without an end | `session_timer.rs` |
//! | REFER, its NOTIFYs, Replaces | `transfer.rs`, `transfer/` |
//! | BYE, CANCEL, every end of a call; its record | `ending.rs`; `cdr.rs` |
//! | **what is in a message** | |
//! | ports, SDP from one side to the other | `call_media.rs`, `call_media/` |
//! | headers that cross; bodies beside SDP; secured media | `header_policy.rs`; `bodies.rs`; `secured_media.rs` |
//! | who calls, read; as a side is told; who forwarded it | `caller.rs`, `party.rs`; `addressing.rs`; `diversion.rs` |
//! | keys: as events or as INFO | `dtmf.rs` |
//! | methods and option tags, ours and the peer's | `capabilities.rs` |
//! | **sending** | |
//! | connections, and over which a request goes | `connections.rs` |
//! | our requests within calls: what they are; how they go out, and again | `outgoing.rs`; `sending.rs` |
//! | requests of ours that are of no call; as they are written; OPTIONS to the trunks; REGISTER | `standalone.rs`; `outside_dialog.rs`; `probes.rs`; `registration.rs` |
//! | a request again: challenged, and with which nonce; after a refused password; over another transport | `challenge.rs`, `credentials.rs`, `nonces.rs`; `passwords.rs`; `resending.rs` |
//! | **data** | |
//! | a call and its legs; settings, as calls began with them | `call.rs`; `settings.rs`, `snapshots.rs` |
//! | what operators ask and say: reports, hanging up, draining; which calls they mean | `operator.rs`; `call_search.rs` |
//! | all that can be told of one call; what was said in it; calls that ended lately | `call_page.rs`; `ladder.rs`; `ended_calls.rs` |
//! | what operators try: where a call would go; questions to a trunk, without the daemon | `explain.rs`, `explain/`; `inquiry.rs` |
//! | what goes in and out | `io.rs` |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use slotmap::{SecondaryMap, SlotMap};

use super::call::{Call, CallKey, CallTimer};
use super::call_media::ClosingMedia;
use super::cdr::EndedBy;
use super::ended_calls::EndedCalls;
use super::ending::End;
use super::fairness::Setups;
use super::ingress::NewInvite;
use super::ladder::{Direction, Ladders};
use super::loops::Branches;
use super::nonces::Nonces;
use super::outgoing::{Outgoings, Purpose};
use super::outside_dialog;
use super::passwords::Passwords;
use super::registration::Registrations;
use super::snapshots::Snapshots;
use super::standalone::Standalones;
use super::{Census, Event, Input, Output, Settings, capabilities};
use crate::admission::{Allowlist, DropReason, SourceRates};
use crate::base::{ByRealm, Hop, Instant, Random, Realm, Timers};
use crate::media::{MediaSessionId, PortPool, Side};
use crate::routing::{HostReport, Query, Resolution, ResolveFault, Router};
use crate::sip::{Header, Message, MessageFault, Method, Scheme, Status, Uri, Writer, response_to};
use crate::transaction::{ClientEnd, ClientId, Effect, ServerId, TimerSettings, Transactions, response_hop};

/// The most calls of one engine: more than the media ports of two addresses could carry with the
/// default `media.ports`.
pub const MAX_CALLS: usize = 8_192;

/// The most transactions of one engine: a call at its busiest has four, and probes and strangers'
/// retransmissions come on top.
pub const MAX_TRANSACTIONS: usize = 8 * MAX_CALLS;

/// How long a caller is asked to stay away when there is nothing for it now, in seconds.
pub const RETRY_AFTER_S: u32 = 10;

/// Owns every call of one shard: single-threaded, sans-IO.
#[derive(Debug)]
pub struct Engine {
    pub(super) snapshots: Snapshots,
    pub(super) router: Router,
    pub(super) allowlist: Allowlist,
    /// Connections that peers have opened and that are alive; the shell bounds them.
    pub(super) connections: BTreeSet<Hop>,
    /// Peers of calls in progress that the allowlists do not have any more.
    kept_peers: BTreeSet<(Realm, IpAddr)>,
    pub(super) ports: PortPool,
    pub(super) transactions: Transactions,
    pub(super) calls: SlotMap<CallKey, Call>,
    /// Which leg of which call a To tag of ours means.
    pub(super) dialogs: BTreeMap<Bytes, (CallKey, Side)>,
    /// Calls by what their INVITE's copies share (RFC 3261 §8.2.2.2).
    pub(super) invites: BTreeMap<Bytes, CallKey>,
    /// Our requests until their transaction is gone.
    pub(super) clients: Outgoings,
    /// Our requests that are of no call, until their answer.
    pub(super) standalones: Standalones,
    /// Our BYEs until their transaction is gone, by the dialog: one of the peer's may cross.
    pub(super) byes: BTreeMap<Bytes, ClientId>,
    /// The INVITEs that opened calls, for the CANCEL that may come.
    pub(super) servers: SecondaryMap<ServerId, CallKey>,
    pub(super) media_sessions: BTreeMap<MediaSessionId, CallKey>,
    pub(super) closing_media: BTreeMap<MediaSessionId, ClosingMedia>,
    pub(super) timers: Timers<(CallKey, CallTimer)>,
    pub(super) random: Random,
    pub(super) branches: Branches,
    /// What trunks have asked us for, to be answered before they ask again.
    pub(super) nonces: Nonces,
    /// The trunks that have refused our passwords.
    pub(super) passwords: Passwords,
    pub(super) registrations: Registrations,
    pub(super) setups: Setups,
    /// What was said in calls.
    pub(super) ladders: Ladders,
    /// Those that ended lately.
    pub(super) ended: EndedCalls,
    source_rates: SourceRates,
    shard: u8,
    pub(super) last_media_session: u64,
    /// New calls are refused, but for those to emergency numbers.
    pub(super) draining: bool,
    /// Those too: the deadline of the drain has come, or the process is about to end.
    pub(super) is_closed: bool,
    /// The INVITE that is being received, until the transactions have handed it up: at once or, if it is
    /// repeated, never.
    pub(super) arriving: Option<NewInvite>,
    /// When a drain ends the calls that are left.
    pub(super) drain_deadline: Option<Instant>,
    pub(super) outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine without calls. `shard` is carried by every Call-ID and tag that it mints.
    pub fn new(settings: Arc<Settings>, mut random: Random, shard: u8, now: Instant) -> Engine {
        let ports = PortPool::new(&settings.media, random.fork());
        let branches = Branches::new(&mut random);
        let mut engine = Engine {
            router: Router::reaching(settings.routing.clone(), settings.reach()),
            allowlist: Allowlist::new(settings.admission.clone()),
            connections: BTreeSet::new(),
            kept_peers: BTreeSet::new(),
            ports,
            transactions: Transactions::new(TimerSettings::default(), MAX_TRANSACTIONS),
            snapshots: Snapshots::new(settings),
            calls: SlotMap::with_key(),
            dialogs: BTreeMap::new(),
            invites: BTreeMap::new(),
            clients: Outgoings::default(),
            standalones: Standalones::default(),
            byes: BTreeMap::new(),
            servers: SecondaryMap::new(),
            media_sessions: BTreeMap::new(),
            closing_media: BTreeMap::new(),
            timers: Timers::default(),
            random,
            branches,
            nonces: Nonces::default(),
            passwords: Passwords::default(),
            registrations: Registrations::default(),
            setups: Setups::default(),
            ladders: Ladders::default(),
            ended: EndedCalls::default(),
            source_rates: SourceRates::default(),
            shard,
            last_media_session: 0,
            draining: false,
            is_closed: false,
            arriving: None,
            drain_deadline: None,
            outputs: VecDeque::new(),
        };
        engine.look_up_hosts(now);
        engine.follow_targets(now);
        engine.follow_registrations(now);
        engine
    }

    /// Takes one input; then [`Engine::poll`] until it gives nothing more.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Received { hop, bytes } => self.receive(now, hop, bytes),
            Input::Connected { hop } => self.on_connected(hop),
            Input::TransportFailed { hop } => self.on_transport_failed(now, hop),
            Input::Undelivered { bytes } => self.transactions.undelivered(&bytes),
            Input::Resolved { query, resolution } => self.on_resolved(now, &query, resolution),
            Input::NameServersChanged => self.ask_all_again(now),
            Input::Media(event) => self.on_media(now, event),
            Input::Settings(settings) => self.replace_settings(now, settings),
            Input::Drain { deadline } => self.drain(deadline),
            Input::Undrain => self.undrain(),
            Input::SetTrunkEnabled { trunk, enabled } => {
                self.router.switch(&trunk, enabled, now);
                self.follow_targets(now);
                self.follow_registrations(now);
            }
            Input::HangUp { call } => self.hang_up(now, &call),
            Input::Shutdown => self.shut_down(now),
            Input::Abandon => self.abandon(now),
        }
        self.settle(now);
    }

    /// Lets everything happen that is due.
    pub fn on_time(&mut self, now: Instant) {
        self.transactions.on_time(now);
        self.settle(now);
        while let Some((key, timer)) = self.timers.pop_due(now) {
            self.on_call_timer(now, key, timer);
            self.settle(now);
        }
        self.on_standalone_time(now);
        self.send_due_probes(now);
        self.on_registration_time(now);
        self.settle(now);
        self.look_up_hosts(now);
        self.end_drain(now);
        self.settle(now);
        self.forget_ended_calls(now);
    }

    /// When [`Engine::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.transactions.next_deadline(),
            self.timers.next_deadline(),
            self.standalones.next_deadline(),
            self.router.next_due(),
            self.router.next_due_probe(),
            self.drain_deadline,
            self.registrations.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next output, in the order in which they were asked for.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is going on.
    pub fn census(&self) -> Census {
        Census {
            calls: self.calls.len(),
            transactions: self.transactions.active(),
            timers: self.timers.len() + self.transactions.armed_timers() + self.standalones.armed_timers(),
            media_ports: ByRealm {
                trusted: self.ports.in_use(Realm::Trusted),
                untrusted: self.ports.in_use(Realm::Untrusted),
            },
            media_ports_limit: ByRealm {
                trusted: self.ports.limit(Realm::Trusted),
                untrusted: self.ports.limit(Realm::Untrusted),
            },
        }
    }

    /// Entries of the engine's own tables; zero when nothing is going on. For tests and fuzzing.
    pub fn leftovers(&self) -> usize {
        let tables = [self.dialogs.len(), self.invites.len(), self.clients.len(), self.servers.len()];
        let media = self.media_sessions.len() + self.closing_media.len();
        // Each ladder is of a call that goes on, or of one that can still be asked for.
        let ladders = self.ladders.len().saturating_sub(self.ended.len());
        ladders
            + tables.iter().sum::<usize>()
            + self.byes.len()
            + media
            + self.setups.len()
            + self.standalones.len()
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Admission, then parsing, then the transaction layer.
    fn receive(&mut self, now: Instant, hop: Hop, bytes: Bytes) {
        let Some(realm) = self.realm_of(hop) else { return };
        if !self.may_speak(realm, hop.peer.ip()) {
            self.disconnect(hop);
            return self.drop_message(realm, DropReason::SourceNotAllowed);
        }
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return self.drop_message(realm, DropReason::KeepAlive);
        }
        let Ok(message) = Message::parse(bytes) else {
            return self.drop_message(realm, DropReason::Malformed);
        };
        self.event(Event::MessageIn { realm, transport: hop.transport, kind: kind_of(&message) });
        self.ladders.note(now, (hop, realm), &message, Direction::In, false);
        if begins_nothing(&message) && !self.may_say_more(now, realm, hop.peer.ip()) {
            return self.drop_message(realm, DropReason::RateLimited);
        }
        let length = message.header(Header::ContentLength);
        match message.fault() {
            // Its end is not known, and the shell reads on no more.
            None if hop.transport.is_reliable() && length.is_none() => {
                self.answer_fault(realm, &message, MessageFault::Missing(Header::ContentLength), hop);
            }
            None if is_answered_at_once(&message) => self.answer_at_once(&message, hop),
            None if is_for_another(&message) => self.drop_message(realm, DropReason::Unmatched),
            None => {
                self.arriving = self.new_invite(&message, realm, hop);
                match &self.arriving {
                    Some(new) if new.is_for_help => self.transactions.receive_emergency(now, message, hop),
                    _ => self.transactions.receive(now, message, hop),
                }
            }
            Some(fault) => self.answer_fault(realm, &message, fault, hop),
        }
    }

    /// Whether a source may have one more answer to what begins nothing.
    fn may_say_more(&mut self, now: Instant, realm: Realm, source: IpAddr) -> bool {
        let rate = self.snapshots.current().admission.rate[realm];
        self.source_rates.take(realm, source, rate, now)
    }

    /// Answers a request outside any dialog that opens none, without a transaction: a repetition is
    /// answered again, and nobody can fill our tables with them.
    fn answer_at_once(&mut self, request: &Message, hop: Hop) {
        let unsupported = capabilities::unsupported(request);
        let is_foreign = Uri::parse(request.request_uri_raw()).is_ok_and(|uri| uri.scheme == Scheme::Other);
        let status = match request.method() {
            Some(Method::Other(_)) => 405,
            Some(Method::Options) if is_foreign => 416,
            Some(_) if unsupported.is_some() => 420,
            Some(Method::Options) if self.draining => 503,
            Some(Method::Options) => 200,
            Some(Method::Register) => 403,
            Some(Method::Bye | Method::Update | Method::Info | Method::Prack | Method::Notify) => 481,
            Some(_) | None => 405,
        };
        let tag = self.mint_tag();
        let tag = std::str::from_utf8(&tag).ok();
        let writer = response_to(request, hop.peer, Status::of(status), None, tag);
        let writer = match status {
            405 => capabilities::add_refusing(writer, request.method()),
            200 => capabilities::add_to_options(writer),
            420 => writer.header(Header::Unsupported, unsupported.unwrap_or_default()),
            503 => writer.display(Header::RetryAfter, RETRY_AFTER_S),
            _ => writer,
        };
        if let Ok(response) = writer.finish() {
            self.transactions.send_stateless(&response, response_hop(request, hop), false);
        }
    }

    /// Whether messages of this source are heard: it is in an allowlist, or has a call in progress.
    pub(super) fn may_speak(&self, realm: Realm, source: IpAddr) -> bool {
        self.allowlist.allows(realm, source) || self.kept_peers.contains(&(realm, source))
    }

    /// After a change of the allowlists: who has a call in progress may end it, though it may begin
    /// no other.
    fn keep_peers_of_calls(&mut self) {
        let legs = self.calls.values().flat_map(|call| [Some(&call.a), call.b.as_ref()]).flatten();
        let peers = legs.map(|leg| {
            let hop = leg.dialog.as_ref().map_or(leg.hop, |dialog| dialog.hop);
            (leg.realm, hop.peer.ip())
        });
        // A BYE may still wait for its answer.
        let asked = self
            .clients
            .values()
            .filter_map(|outgoing| Some((self.realm_of(outgoing.hop)?, outgoing.hop.peer.ip())));
        let standalones = self
            .standalones
            .values()
            .filter_map(|standalone| Some((self.realm_of(standalone.hop)?, standalone.hop.peer.ip())));
        let peers = peers.chain(asked).chain(standalones);
        self.kept_peers = peers.filter(|(realm, peer)| !self.allowlist.allows(*realm, *peer)).collect();
        self.disconnect_strangers();
    }

    /// A call or a request of ours is over: who is on no list any more is let go.
    pub(super) fn release_peers(&mut self) {
        if !self.kept_peers.is_empty() {
            self.keep_peers_of_calls();
        }
    }

    /// 400 where it is known where a response goes (505 for another version, 501 for a method that
    /// nobody knows, 414 for a Request-URI beyond the bound); without a transaction, for nothing in
    /// it may be trusted. What the request lacks, the response lacks too: "Ideally, it will respond
    /// with a 400" (RFC 4475 §3.3.1).
    fn answer_fault(&mut self, realm: Realm, message: &Message, fault: MessageFault, hop: Hop) {
        let is_answerable = message.method().is_some_and(|method| *method != Method::Ack);
        if !is_answerable || message.top_via().is_none() {
            return self.drop_message(realm, DropReason::Malformed);
        }
        let status = Status::of(match (fault, message.method()) {
            (MessageFault::Version, _) => 505,
            (MessageFault::MethodMismatch, Some(Method::Other(_))) => 501,
            (MessageFault::RequestUriTooLong, _) => 414,
            _ => 400,
        });
        let tag = self.mint_tag();
        let phrase = fault.to_string();
        let tag = std::str::from_utf8(&tag).ok();
        let response = response_to(message, hop.peer, status, Some(phrase.as_bytes()), tag).finish();
        self.event(Event::Dropped { realm, reason: DropReason::Malformed });
        if let Ok(response) = response {
            self.transactions.send_stateless(&response, response_hop(message, hop), false);
        }
    }

    /// Carries out what the transaction layer asks for, and what follows from it.
    fn settle(&mut self, now: Instant) {
        while let Some(effect) = self.transactions.poll() {
            self.on_effect(now, effect);
        }
        self.tell_health();
    }

    fn on_effect(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Transmit { hop, message, retransmission } => {
                self.transmit(now, hop, &message, retransmission);
            }
            Effect::Request { server, request, hop } => self.on_request(now, server, request, hop),
            Effect::Cancel { server, invite, request, .. } => self.on_cancel(now, server, invite, &request),
            Effect::Ack { request, hop } => self.on_ack(now, &request, hop),
            Effect::Response { client, response, hop } => self.on_response(now, client, &response, hop),
            Effect::ClientEnded { client, why } => self.on_client_ended(now, client, why),
            Effect::Unreachable { client } => self.on_unreachable(now, client),
            Effect::CancelLost { hop } => {
                if let Some(realm) = self.realm_of(hop) {
                    self.event(Event::CancelLost { realm });
                }
            }
            Effect::ClientGone { client } => {
                let Some(outgoing) = self.clients.remove(client) else { return };
                self.forget_bye(client, &outgoing.request);
                let peer = self.realm_of(outgoing.hop).map(|realm| (realm, outgoing.hop.peer.ip()));
                if peer.is_some_and(|peer| self.kept_peers.contains(&peer)) {
                    self.release_peers();
                }
            }
            // The caller never ACKed our refusal, or could not be told: the call is over anyway.
            Effect::ServerEnded { .. } => {}
            Effect::ServerGone { server } => {
                self.servers.remove(server);
            }
            Effect::Dropped { hop, why } => {
                if let Some(realm) = self.realm_of(hop) {
                    self.event(Event::Dropped { realm, reason: why });
                }
            }
        }
    }

    fn on_request(&mut self, now: Instant, server: ServerId, request: Message, hop: Hop) {
        if request.to().is_some_and(|to| to.tag().is_some()) {
            return self.on_in_dialog_request(now, server, request, hop);
        }
        if self.realm_of(hop).is_none_or(|realm| !self.allowlist.allows(realm, hop.peer.ip())) {
            return self.respond_simply(now, server, Status::of(403));
        }
        // `answer_at_once` has answered everything else.
        self.on_invite(now, server, request, hop);
    }

    fn on_response(&mut self, now: Instant, client: ClientId, response: &Message, hop: Hop) {
        let Some(outgoing) = self.clients.get(client) else {
            return self.on_standalone_response(now, client, response, hop);
        };
        let purpose = outgoing.purpose;
        if let Some(trunk) = outgoing.trunk.clone().filter(|_| outgoing.is_authorized()) {
            let (asked, answers) = (outgoing.hop, outgoing.answers.clone());
            self.note_accepted(now, (&trunk, asked), &answers, response);
        }
        let Some(status) = response.status() else { return };
        if matches!(status.code(), 401 | 407) && self.answer_challenge(now, client, response, hop) {
            return;
        }
        if status.code() == 422 && self.raise_session_expires(now, client, response) {
            return;
        }
        match purpose {
            Purpose::Setup => self.on_setup_response(now, client, response, status, hop),
            Purpose::Prack | Purpose::Bye | Purpose::Notify => {}
            _ if !self.is_waited_for(client) => self.on_unexpected(now, client, response, status, hop),
            _ if status.is_provisional() => {}
            Purpose::Relay { server } => self.on_relayed_response(now, client, server, response, status),
            Purpose::Refresh => self.on_refresh_response(now, client, response, status),
            Purpose::Realign => self.on_realigned(now, client, response, status),
            Purpose::Reconnect => self.on_reconnect_response(now, client, response, status),
            Purpose::Key => self.on_key_ended(now, client),
        }
    }

    fn on_client_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        if why == ClientEnd::Transport && self.send_over_other_hop(now, client) {
            return;
        }
        let Some(outgoing) = self.clients.get(client) else {
            return self.on_standalone_lost(now, client, why);
        };
        match outgoing.purpose {
            Purpose::Setup => self.on_setup_ended(now, client, why),
            _ if !self.is_waited_for(client) => {}
            Purpose::Relay { server } => self.on_relay_ended(now, client, server, why),
            Purpose::Refresh => self.on_refresh_ended(now, client, why),
            Purpose::Realign => self.on_realign_ended(now, client, why),
            Purpose::Reconnect => self.on_reconnect_ended(now, client, why),
            Purpose::Key => self.on_key_ended(now, client),
            // A PRACK that failed ends nothing: the INVITE's own answer decides.
            Purpose::Prack | Purpose::Bye | Purpose::Notify => {}
        }
    }

    fn on_call_timer(&mut self, now: Instant, key: CallKey, timer: CallTimer) {
        if let Some(call) = self.calls.get_mut(key) {
            call.timers.remove(&timer);
        }
        match timer {
            CallTimer::NoProvisional => self.on_no_provisional(now, key),
            CallTimer::NoProgress => self.on_no_progress(now, key),
            CallTimer::NoAnswer => self.on_no_answer(now, key),
            CallTimer::Reliable => self.on_unacknowledged(now, key),
            CallTimer::Expires => self.on_invite_expired(now, key),
            CallTimer::Unacked(side) => self.on_unacked(now, key, side),
            CallTimer::Opening => self.on_opening_overdue(now, key),
            CallTimer::Reinvite(side) => self.on_reinvite_unanswered(now, key, side),
            CallTimer::Refresh(side) => self.on_refresh_due(now, key, side),
            CallTimer::SessionExpiry(side) => self.on_session_expiry(now, key, side),
            CallTimer::Join => self.join_when_quiet(now, key),
            CallTimer::Reconnect => self.reconnect(now, key),
            CallTimer::Leaving => self.on_leaving_overdue(now, key),
            CallTimer::Duration => {
                self.end_call(now, key, End::new(EndedBy::Sbc, "the call lasted as long as a call may"));
            }
        }
    }

    fn transmit(&mut self, now: Instant, hop: Hop, message: &Message, retransmission: bool) {
        if let Some(realm) = self.realm_of(hop) {
            let kind = kind_of(message);
            self.event(Event::MessageOut { realm, transport: hop.transport, kind, retransmission });
            self.ladders.note(now, (hop, realm), message, Direction::Out, retransmission);
        }
        self.outputs.push_back(Output::Send { hop, bytes: message.as_bytes().clone() });
    }

    fn replace_settings(&mut self, now: Instant, settings: Arc<Settings>) {
        self.leave_registrations(now, &settings.routing, &settings.node);
        self.keep_nonces(&settings.routing);
        self.router.replace(settings.routing.clone());
        self.tell_of_shared_sources();
        self.allowlist.replace(settings.admission.clone());
        let queries: Vec<Query> = self.router.queries().cloned().collect();
        let known: BTreeSet<String> = queries.iter().map(Query::to_string).collect();
        for realm in Realm::ALL {
            self.allowlist.retain_resolved(realm, |key| known.contains(key));
        }
        self.ports.set_realms(&settings.media.realms);
        self.snapshots.replace(settings);
        self.look_up_hosts(now);
        for query in queries {
            self.admit_host(&query);
        }
        self.keep_peers_of_calls();
        self.follow_targets(now);
        self.follow_registrations(now);
    }

    fn look_up_hosts(&mut self, now: Instant) {
        for (query, reach) in self.router.take_due(now) {
            self.outputs.push_back(Output::Resolve { query, reach });
        }
    }

    fn ask_all_again(&mut self, now: Instant) {
        self.router.ask_all_again(now);
        self.look_up_hosts(now);
    }

    fn on_resolved(&mut self, now: Instant, query: &Query, resolution: Result<Resolution, ResolveFault>) {
        if self.router.resolved(query, resolution, now, &mut self.random) {
            self.tell_of_shared_sources();
            self.admit_host(query);
            self.keep_peers_of_calls();
            self.follow_targets(now);
            self.follow_registrations(now);
        }
    }

    /// What is known of the names of all trunks.
    pub fn hosts(&self, now: Instant) -> Vec<HostReport> {
        self.router.hosts(now)
    }

    /// A trunk's resolved addresses may speak to the listeners of its realm.
    fn admit_host(&mut self, query: &Query) {
        let realms: Vec<Realm> = self.router.realms_of(query).collect();
        let (key, found) = (query.to_string(), self.router.addresses_of(query));
        for realm in Realm::ALL {
            let addresses = if realms.contains(&realm) { found.as_slice() } else { &[] };
            self.allowlist.set_resolved(realm, &key, addresses);
        }
    }

    /// Adds something that is counted.
    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn drop_message(&mut self, realm: Realm, reason: DropReason) {
        self.event(Event::Dropped { realm, reason });
    }

    /// The side of the listener of a hop.
    pub(super) fn realm_of(&self, hop: Hop) -> Option<Realm> {
        self.snapshots.current().listener(hop.listener).map(|listener| listener.realm)
    }

    /// `host:port` that a listener advertises.
    pub(super) fn advertised(&self, hop: Hop) -> String {
        let settings = self.snapshots.current();
        settings.listener(hop.listener).map_or_else(String::new, |listener| listener.advertise.clone())
    }

    /// A Via of ours with a new branch (RFC 3261 §8.1.1.7), asking for `rport` (RFC 3581).
    pub(super) fn mint_via(&mut self, hop: Hop) -> String {
        let branch = self.branches.mint(&mut self.random);
        outside_dialog::via(hop.transport, &self.advertised(hop), &branch)
    }

    /// A tag of ours; its first two digits are the shard.
    pub(super) fn mint_tag(&mut self) -> Bytes {
        let token = self.random.token::<18>();
        Bytes::from([format!("{:02x}", self.shard).as_bytes(), &token].concat())
    }

    /// A Call-ID of ours; its first two digits are the shard. It names no host.
    pub(super) fn mint_call_id(&mut self) -> Bytes {
        let token = self.random.token::<26>();
        Bytes::from([format!("{:02x}", self.shard).as_bytes(), &token].concat())
    }

    /// Begins a response through a server transaction, with our tag.
    pub(super) fn response(
        &mut self,
        server: ServerId,
        status: Status,
        tag: Option<&[u8]>,
    ) -> Option<Writer> {
        let minted = self.mint_tag();
        let tag = std::str::from_utf8(tag.unwrap_or(&minted)).ok();
        let (request, hop) = self.transactions.request(server)?;
        Some(response_to(request, hop.peer, status, None, tag))
    }

    /// Ends a response without a body and sends it.
    pub(super) fn send_response(&mut self, now: Instant, server: ServerId, writer: Option<Writer>) {
        if let Some(Ok(response)) = writer.map(Writer::finish) {
            self.transactions.respond(now, server, response);
        }
    }

    /// A response with nothing but what its status asks for.
    pub(super) fn respond_simply(&mut self, now: Instant, server: ServerId, status: Status) {
        let writer = self.response(server, status, None).map(|writer| match status.code() {
            200 | 405 => capabilities::add(writer).header(Header::Accept, "application/sdp"),
            _ => writer,
        });
        self.send_response(now, server, writer);
    }

    /// 503 with Retry-After: come back later, or try another of our nodes.
    pub(super) fn refuse_for_now(&mut self, now: Instant, server: ServerId) {
        let writer = self.response(server, Status::of(503), None);
        let writer = writer.map(|writer| writer.display(Header::RetryAfter, RETRY_AFTER_S));
        self.send_response(now, server, writer);
    }

    /// Arms a timer of a call, instead of the one of this name that may run.
    pub(super) fn arm(&mut self, key: CallKey, timer: CallTimer, at: Instant) {
        self.disarm(key, timer);
        let id = self.timers.arm(at, (key, timer));
        if let Some(call) = self.calls.get_mut(key) {
            call.timers.insert(timer, id);
        }
    }

    /// Disarms a timer of a call, if it runs.
    pub(super) fn disarm(&mut self, key: CallKey, timer: CallTimer) {
        if let Some(id) = self.calls.get_mut(key).and_then(|call| call.timers.remove(&timer)) {
            self.timers.disarm(id);
        }
    }
}

/// Whether a request neither opens a dialog nor is of one, nor is about another request.
fn is_answered_at_once(request: &Message) -> bool {
    let opens_none = request
        .method()
        .is_some_and(|method| !matches!(method, Method::Invite | Method::Ack | Method::Cancel));
    opens_none && request.to().is_some_and(|to| to.tag().is_none())
}

/// Whether a message is answered and forgotten, be it for what is wrong with it.
fn begins_nothing(message: &Message) -> bool {
    message.is_request() && (message.fault().is_some() || is_answered_at_once(message))
}

/// RFC 3261 §8.1.3.3: "If more than one Via header field value is present in a response, the UAC
/// SHOULD discard the message." Our requests have one.
fn is_for_another(message: &Message) -> bool {
    !message.is_request() && message.list(Header::Via).nth(1).is_some()
}

/// The `kind` label: the method, or the response's class.
fn kind_of(message: &Message) -> &'static str {
    const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];
    match (message.method(), message.status()) {
        (Some(method), _) => method.label(),
        (None, Some(status)) => CLASSES[usize::from(status.class() - 1)],
        (None, None) => "other",
    }
}
