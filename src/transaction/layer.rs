//! The tables: transactions in arenas, their keys, their timers; and what carries out the actions of
//! the machines.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use slotmap::SlotMap;

use super::key::{ClientKey, ServerKey, same_to_tag};
use super::timers::Slot;
use super::{
    Class, ClientAction, ClientId, Effect, ServerAction, ServerId, Timer, TimerSettings, client_invite,
    client_non_invite, compose, server_invite, server_non_invite,
};
use crate::admission::DropReason;
use crate::base::{Hop, Instant, TimerId, Timers};
use crate::sip::{Message, Method};

/// How many transactions may be open before new calls and other requests outside of dialogs are
/// refused. A call has about four open at its start and its end, each for some 32 s.
pub const MAX_TRANSACTIONS: usize = 65_536;

/// How many more may be opened by what ends calls rather than begins them: CANCEL, BYE and the other
/// requests inside of dialogs.
pub const RESERVED_TRANSACTIONS: usize = 16_384;

/// What a refused sender is told in Retry-After, in seconds: after this long most of what is open now
/// has ended.
pub const RETRY_AFTER_SECONDS: u32 = 32;

/// Every transaction of one engine. See the module's documentation for the contract.
#[derive(Debug)]
pub struct Transactions {
    settings: TimerSettings,
    limit: usize,
    clients: SlotMap<ClientId, Client>,
    servers: SlotMap<ServerId, Server>,
    client_keys: HashMap<ClientKey, ClientId>,
    server_keys: HashMap<ServerKey, ServerId>,
    timers: Timers<Due>,
    /// What was not polled yet. One input makes a handful for each transaction that it concerns, so
    /// that draining after each input bounds it.
    effects: VecDeque<Effect>,
}

/// What an armed timer belongs to.
#[derive(Clone, Copy, Debug)]
enum Due {
    Client(ClientId, Timer),
    Server(ServerId, Timer),
}

#[derive(Debug)]
struct Client {
    key: Option<ClientKey>,
    machine: ClientMachine,
    request: Message,
    hop: Hop,
    clock: Clock,
    cancel: CancelPlan,
    /// A CANCEL of the layer's own: the TU does not know of it and hears nothing.
    silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClientMachine {
    Invite(client_invite::State),
    NonInvite(client_non_invite::State),
}

/// §9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent; rather,
/// the client MUST wait for the arrival of a provisional response before sending the request."
#[derive(Debug)]
enum CancelPlan {
    None,
    /// As soon as a provisional response comes.
    Waiting {
        reason: Option<Bytes>,
    },
    Sent,
}

#[derive(Debug)]
struct Server {
    key: ServerKey,
    machine: ServerMachine,
    request: Message,
    /// Where the request came from.
    hop: Hop,
    /// Where the responses go.
    response_hop: Hop,
    clock: Clock,
    /// The last response.
    last: Option<Message>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ServerMachine {
    Invite(server_invite::State),
    NonInvite(server_non_invite::State),
}

/// The armed timers of one transaction.
#[derive(Default, Debug)]
struct Clock {
    repetition: Option<TimerId>,
    end: Option<TimerId>,
    /// How often the timer of repetition was armed.
    repetitions: u32,
}

impl Clock {
    fn slot(&mut self, slot: Slot) -> &mut Option<TimerId> {
        match slot {
            Slot::Repetition => &mut self.repetition,
            Slot::End => &mut self.end,
        }
    }

    fn stop(&mut self, timers: &mut Timers<Due>, slot: Slot) {
        if let Some(id) = self.slot(slot).take() {
            timers.disarm(id);
        }
    }

    fn arm(&mut self, timers: &mut Timers<Due>, slot: Slot, at: Instant, due: Due) {
        self.stop(timers, slot);
        *self.slot(slot) = Some(timers.arm(at, due));
    }
}

/// What a client machine is told, beside its own events a response that caused them.
enum ClientInput<'a> {
    Response(&'a Message, Hop),
    Timer(Timer),
    TransportError,
}

/// What a server machine is told.
enum ServerInput<'a> {
    /// The request came again.
    Request,
    Ack(&'a Message, Hop),
    /// The TU responds.
    Response(Message, Class),
    Timer(Timer),
    TransportError,
}

impl Transactions {
    /// No transactions yet. Beyond `limit` open ones ([`MAX_TRANSACTIONS`] by default) new requests
    /// outside of dialogs are refused with 503.
    pub fn new(timers: TimerSettings, limit: usize) -> Transactions {
        Transactions {
            settings: timers,
            limit,
            clients: SlotMap::with_key(),
            servers: SlotMap::with_key(),
            client_keys: HashMap::new(),
            server_keys: HashMap::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes a message from the wire, parsed and without a fault.
    pub fn receive(&mut self, now: Instant, message: Message, hop: Hop) {
        match message.method() {
            None => self.receive_response(now, &message, hop),
            Some(Method::Ack) => self.receive_ack(now, message, hop),
            Some(_) => self.receive_request(now, message, hop),
        }
    }

    /// Sends a request through a new client transaction. Its top Via with a fresh branch is in it
    /// already. Not for ACK, and not for CANCEL, see [`Transactions::cancel`].
    pub fn send_request(&mut self, now: Instant, request: Message, hop: Hop) -> ClientId {
        self.open_client(now, request, hop, false)
    }

    /// Cancels an INVITE that was sent (§9.1): at once if a provisional response came, else upon the
    /// first one; not at all if a final one came, or comes before. `reason` is the value of a Reason
    /// header (RFC 3326). The INVITE's final response, usually 487, still comes; if none does in
    /// 64·T1 after the CANCEL, the INVITE ends as [`ClientEnd::Timeout`].
    pub fn cancel(&mut self, now: Instant, invite: ClientId, reason: Option<&[u8]>) {
        let Some(client) = self.clients.get_mut(invite) else { return };
        if !matches!(client.cancel, CancelPlan::None) {
            return;
        }
        match client.machine {
            ClientMachine::Invite(client_invite::State::Calling) => {
                client.cancel = CancelPlan::Waiting { reason: reason.map(Bytes::copy_from_slice) };
            }
            ClientMachine::Invite(client_invite::State::Proceeding) => {
                self.send_cancel(now, invite, reason);
            }
            ClientMachine::Invite(
                client_invite::State::Completed
                | client_invite::State::Accepted
                | client_invite::State::Terminated,
            )
            | ClientMachine::NonInvite(_) => {}
        }
    }

    /// Sends a response through a server transaction. Returns false, and sends nothing, if the
    /// transaction is gone or has its final response. (A 2xx to INVITE may follow a 2xx, RFC 6026
    /// §7.1; it counts as a retransmission.)
    pub fn respond(&mut self, now: Instant, server: ServerId, response: Message) -> bool {
        let Some(status) = response.status() else { return false };
        self.step_server(now, server, ServerInput::Response(response, Class::of(status)))
    }

    /// The request of a server transaction and where it came from.
    pub fn request(&self, server: ServerId) -> Option<(&Message, Hop)> {
        self.servers.get(server).map(|found| (&found.request, found.hop))
    }

    /// Where the responses of a server transaction go (§18.2.2, RFC 3581 §4).
    pub fn response_hop(&self, server: ServerId) -> Option<Hop> {
        self.servers.get(server).map(|found| found.response_hop)
    }

    /// Sends without a transaction: the ACK for a 2xx, and a 2xx that is repeated until its ACK comes
    /// (§13.3.1.4, the TU's task).
    pub fn send_stateless(&mut self, message: &Message, hop: Hop, retransmission: bool) {
        self.transmit(hop, message.clone(), retransmission);
    }

    /// The transport could not send to this hop, or lost its connection: whatever waits on it learns
    /// of it (§17.1.4, §17.2.4). Looks at every transaction, for this is rare.
    pub fn transport_failed(&mut self, now: Instant, hop: Hop) {
        let clients: Vec<ClientId> =
            self.clients.iter().filter(|(_, found)| found.hop == hop).map(|(id, _)| id).collect();
        for id in clients {
            self.step_client(now, id, ClientInput::TransportError);
        }
        let servers: Vec<ServerId> =
            self.servers.iter().filter(|(_, found)| found.response_hop == hop).map(|(id, _)| id).collect();
        for id in servers {
            self.step_server(now, id, ServerInput::TransportError);
        }
    }

    /// Fires what is due. A timer that fires late is armed again from `now`, so that a pause is not
    /// followed by a burst.
    pub fn on_time(&mut self, now: Instant) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Client(id, timer) => {
                    self.step_client(now, id, ClientInput::Timer(timer));
                }
                Due::Server(id, timer) => {
                    self.step_server(now, id, ServerInput::Timer(timer));
                }
            }
        }
    }

    /// When [`Transactions::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The next thing to do. To be drained after each call of another method.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How many transactions are open.
    pub fn active(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.active() == 0
    }

    /// How many timers are armed; none without a transaction.
    pub fn armed_timers(&self) -> usize {
        self.timers.len()
    }

    /// How many keys are in the indexes; none without a transaction.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.client_keys.len() + self.server_keys.len()
    }

    fn transmit(&mut self, hop: Hop, message: Message, retransmission: bool) {
        self.effects.push_back(Effect::Transmit { hop, message, retransmission });
    }

    fn drop_message(&mut self, hop: Hop, why: DropReason) {
        self.effects.push_back(Effect::Dropped { hop, why });
    }
}

/// What comes from the wire.
impl Transactions {
    fn receive_response(&mut self, now: Instant, response: &Message, hop: Hop) {
        match ClientKey::of(response).and_then(|key| self.client_keys.get(&key).copied()) {
            Some(id) => self.step_client(now, id, ClientInput::Response(response, hop)),
            None => self.drop_message(hop, DropReason::Unmatched),
        }
    }

    fn receive_ack(&mut self, now: Instant, ack: Message, hop: Hop) {
        if let Some(invite) = self.invite_of_ack(&ack, hop) {
            self.step_server(now, invite, ServerInput::Ack(&ack, hop));
        } else if compose::acknowledges_overloaded(&ack) {
            // It did what it came for.
        } else if has_to_tag(&ack) {
            self.effects.push_back(Effect::Ack { request: ack, hop });
        } else {
            self.drop_message(hop, DropReason::Unmatched);
        }
    }

    fn invite_of_ack(&self, ack: &Message, hop: Hop) -> Option<ServerId> {
        let key = ServerKey::of(ack, hop.listener)?.of_invite();
        if let Some(found) = self.server_keys.get(&key) {
            return Some(*found);
        }
        let found = *self.server_keys.get(&key.without_to_tag()?)?;
        let last = self.servers.get(found)?.last.as_ref()?;
        same_to_tag(ack, last).then_some(found)
    }

    fn receive_request(&mut self, now: Instant, request: Message, hop: Hop) {
        let Some(key) = ServerKey::of(&request, hop.listener) else {
            return self.drop_message(hop, DropReason::Malformed);
        };
        if let Some(found) = self.server_keys.get(&key).copied() {
            self.step_server(now, found, ServerInput::Request);
            return;
        }
        let response_hop = response_hop(&request, hop);
        if self.is_refused(&request) {
            if let Some(refusal) = compose::overloaded(&request, hop.peer, RETRY_AFTER_SECONDS) {
                self.transmit(response_hop, refusal, false);
            }
            return self.drop_message(hop, DropReason::Overloaded);
        }
        match request.method() {
            Some(Method::Invite) => self.open_invite(key, request, hop, response_hop),
            Some(Method::Cancel) => {
                let invite = self.server_keys.get(&key.of_invite()).copied();
                let machine = ServerMachine::NonInvite(server_non_invite::State::Trying);
                let server = self.open_server(key, machine, request.clone(), hop, response_hop, None);
                self.effects.push_back(Effect::Cancel { server, invite, request, hop });
            }
            Some(_) | None => {
                let machine = ServerMachine::NonInvite(server_non_invite::State::Trying);
                let server = self.open_server(key, machine, request.clone(), hop, response_hop, None);
                self.effects.push_back(Effect::Request { server, request, hop });
            }
        }
    }

    /// Whether a request that would open a transaction gets none.
    fn is_refused(&self, request: &Message) -> bool {
        let reserve = if request.method() == Some(&Method::Cancel) || has_to_tag(request) {
            RESERVED_TRANSACTIONS
        } else {
            0
        };
        self.active() >= self.limit.saturating_add(reserve)
    }

    /// §17.2.1: "The server transaction MUST generate a 100 (Trying) response unless it knows that
    /// the TU will generate a provisional or final response within 200 ms": it does not know.
    fn open_invite(&mut self, key: ServerKey, request: Message, hop: Hop, response_hop: Hop) {
        let trying = compose::trying(&request, hop.peer);
        if let Some(trying) = &trying {
            self.transmit(response_hop, trying.clone(), false);
        }
        let machine = ServerMachine::Invite(server_invite::State::Proceeding);
        let server = self.open_server(key, machine, request.clone(), hop, response_hop, trying);
        self.effects.push_back(Effect::Request { server, request, hop });
    }

    fn open_server(
        &mut self,
        key: ServerKey,
        machine: ServerMachine,
        request: Message,
        hop: Hop,
        response_hop: Hop,
        last: Option<Message>,
    ) -> ServerId {
        let clock = Clock::default();
        let id = self.servers.insert(Server {
            key: key.clone(),
            machine,
            request,
            hop,
            response_hop,
            clock,
            last,
        });
        self.server_keys.insert(key, id);
        id
    }
}

/// Client transactions.
impl Transactions {
    fn open_client(&mut self, now: Instant, request: Message, hop: Hop, silent: bool) -> ClientId {
        let (machine, actions) = if request.method() == Some(&Method::Invite) {
            let (state, actions) = client_invite::START;
            (ClientMachine::Invite(state), actions)
        } else {
            let (state, actions) = client_non_invite::START;
            (ClientMachine::NonInvite(state), actions)
        };
        // Without a key it would match no response and end by its timer.
        let key = ClientKey::of(&request);
        let (clock, cancel) = (Clock::default(), CancelPlan::None);
        let id =
            self.clients.insert(Client { key: key.clone(), machine, request, hop, clock, cancel, silent });
        if let Some(key) = key {
            self.client_keys.insert(key, id);
        }
        for action in actions {
            self.act_client(now, id, *action, None);
        }
        id
    }

    fn send_cancel(&mut self, now: Instant, invite: ClientId, reason: Option<&[u8]>) {
        let Some(client) = self.clients.get_mut(invite) else { return };
        client.cancel = CancelPlan::Sent;
        let (request, hop) = (compose::cancel(&client.request, reason), client.hop);
        self.arm_client(now, invite, Timer::Cancelled);
        if let Some(request) = request {
            self.open_client(now, request, hop, true);
        }
    }

    fn step_client(&mut self, now: Instant, id: ClientId, input: ClientInput<'_>) {
        let response = match input {
            ClientInput::Response(response, hop) => Some((response, hop)),
            ClientInput::Timer(_) | ClientInput::TransportError => None,
        };
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(client) = self.clients.get_mut(id) else { return };
            let Some((machine, actions)) = client.machine.step(&input) else { return };
            client.machine = machine;
            for action in actions {
                if let Some(timer) = self.act_client(now, id, *action, response) {
                    // It was armed at zero: §17.1.1.2, §17.1.2.2 for reliable transports.
                    next = Some(ClientInput::Timer(timer));
                }
            }
        }
        self.cancel_if_waiting(now, id);
        self.remove_client_if_over(id);
    }

    /// Carries out one action. Returns the timer that fires at once.
    fn act_client(
        &mut self,
        now: Instant,
        id: ClientId,
        action: ClientAction,
        response: Option<(&Message, Hop)>,
    ) -> Option<Timer> {
        let client = self.clients.get_mut(id)?;
        match action {
            ClientAction::Send | ClientAction::Repeat => {
                let (hop, message) = (client.hop, client.request.clone());
                self.transmit(hop, message, action == ClientAction::Repeat);
            }
            ClientAction::Ack | ClientAction::RepeatAck => {
                let (response, _) = response?;
                let hop = client.hop;
                let ack = compose::ack(&client.request, response)?;
                self.transmit(hop, ack, action == ClientAction::RepeatAck);
            }
            ClientAction::Deliver => {
                let (response, hop) = response?;
                if !client.silent {
                    self.effects.push_back(Effect::Response { client: id, response: response.clone(), hop });
                }
            }
            ClientAction::Arm(timer) => return self.arm_client(now, id, timer),
            ClientAction::ArmAtT2(timer) => {
                let interval = self.settings.longest_interval(client.hop.transport)?;
                client.clock.arm(&mut self.timers, timer.slot(), now + interval, Due::Client(id, timer));
            }
            ClientAction::Stop(timer) => client.clock.stop(&mut self.timers, timer.slot()),
            ClientAction::End(why) => {
                if !client.silent {
                    self.effects.push_back(Effect::ClientEnded { client: id, why });
                }
            }
        }
        None
    }

    /// Arms a timer, or returns it if it fires at once.
    fn arm_client(&mut self, now: Instant, id: ClientId, timer: Timer) -> Option<Timer> {
        let client = self.clients.get_mut(id)?;
        let duration = self.settings.duration(timer, client.hop.transport, client.clock.repetitions)?;
        if timer.slot() == Slot::Repetition {
            client.clock.repetitions = client.clock.repetitions.saturating_add(1);
        }
        if duration.is_zero() {
            return Some(timer);
        }
        client.clock.arm(&mut self.timers, timer.slot(), now + duration, Due::Client(id, timer));
        None
    }

    fn cancel_if_waiting(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.machine != ClientMachine::Invite(client_invite::State::Proceeding) {
            return;
        }
        if let CancelPlan::Waiting { reason } = &mut client.cancel {
            let reason = reason.take();
            self.send_cancel(now, id, reason.as_deref());
        }
    }

    fn remove_client_if_over(&mut self, id: ClientId) {
        if !self.clients.get(id).is_some_and(|client| client.machine.is_over()) {
            return;
        }
        let Some(mut client) = self.clients.remove(id) else { return };
        client.clock.stop(&mut self.timers, Slot::Repetition);
        client.clock.stop(&mut self.timers, Slot::End);
        if let Some(key) = &client.key
            && self.client_keys.get(key) == Some(&id)
        {
            self.client_keys.remove(key);
        }
        if !client.silent {
            self.effects.push_back(Effect::ClientGone { client: id });
        }
    }
}

impl ClientMachine {
    /// `None`: the input means nothing to this machine.
    fn step(self, input: &ClientInput<'_>) -> Option<(ClientMachine, &'static [ClientAction])> {
        match self {
            ClientMachine::Invite(state) => {
                let event = match input {
                    ClientInput::Response(response, _) => {
                        client_invite::Event::of_response(Class::of(response.status()?))
                    }
                    ClientInput::Timer(timer) => client_invite::Event::of_timer(*timer)?,
                    ClientInput::TransportError => client_invite::Event::TransportError,
                };
                let (state, actions) = client_invite::step(state, event);
                Some((ClientMachine::Invite(state), actions))
            }
            ClientMachine::NonInvite(state) => {
                let event = match input {
                    ClientInput::Response(response, _) => {
                        client_non_invite::Event::of_response(Class::of(response.status()?))
                    }
                    ClientInput::Timer(timer) => client_non_invite::Event::of_timer(*timer)?,
                    ClientInput::TransportError => client_non_invite::Event::TransportError,
                };
                let (state, actions) = client_non_invite::step(state, event);
                Some((ClientMachine::NonInvite(state), actions))
            }
        }
    }

    fn is_over(self) -> bool {
        self == ClientMachine::Invite(client_invite::State::Terminated)
            || self == ClientMachine::NonInvite(client_non_invite::State::Terminated)
    }
}

/// Server transactions.
impl Transactions {
    /// Returns whether the TU's response was sent.
    fn step_server(&mut self, now: Instant, id: ServerId, input: ServerInput<'_>) -> bool {
        let mut sent = false;
        let mut next = Some(input);
        while let Some(mut input) = next.take() {
            let Some(server) = self.servers.get_mut(id) else { return sent };
            let Some((machine, actions)) = server.machine.step(&input) else { return sent };
            let repeats =
                server.machine == machine && matches!(input, ServerInput::Response(_, Class::Success));
            server.machine = machine;
            for action in actions {
                sent |= *action == ServerAction::Send;
                if let Some(timer) = self.act_server(now, id, *action, &mut input, repeats) {
                    // It was armed at zero: §17.2.1, §17.2.2 for reliable transports.
                    next = Some(ServerInput::Timer(timer));
                }
            }
        }
        self.remove_server_if_over(id);
        sent
    }

    /// Carries out one action. Returns the timer that fires at once.
    fn act_server(
        &mut self,
        now: Instant,
        id: ServerId,
        action: ServerAction,
        input: &mut ServerInput<'_>,
        repeats: bool,
    ) -> Option<Timer> {
        let server = self.servers.get_mut(id)?;
        match action {
            ServerAction::Send => {
                let ServerInput::Response(response, _) = input else { return None };
                let (hop, response) = (server.response_hop, response.clone());
                server.last = Some(response.clone());
                self.transmit(hop, response, repeats);
            }
            ServerAction::Repeat => {
                let (hop, last) = (server.response_hop, server.last.clone()?);
                self.transmit(hop, last, true);
            }
            ServerAction::PassAck => {
                let ServerInput::Ack(ack, hop) = input else { return None };
                self.effects.push_back(Effect::Ack { request: ack.clone(), hop: *hop });
            }
            ServerAction::Arm(timer) => {
                let transport = server.response_hop.transport;
                let duration = self.settings.duration(timer, transport, server.clock.repetitions)?;
                if timer.slot() == Slot::Repetition {
                    server.clock.repetitions = server.clock.repetitions.saturating_add(1);
                }
                if duration.is_zero() {
                    return Some(timer);
                }
                server.clock.arm(&mut self.timers, timer.slot(), now + duration, Due::Server(id, timer));
            }
            ServerAction::Stop(timer) => server.clock.stop(&mut self.timers, timer.slot()),
            ServerAction::End(why) => self.effects.push_back(Effect::ServerEnded { server: id, why }),
        }
        None
    }

    fn remove_server_if_over(&mut self, id: ServerId) {
        if !self.servers.get(id).is_some_and(|server| server.machine.is_over()) {
            return;
        }
        let Some(mut server) = self.servers.remove(id) else { return };
        server.clock.stop(&mut self.timers, Slot::Repetition);
        server.clock.stop(&mut self.timers, Slot::End);
        if self.server_keys.get(&server.key) == Some(&id) {
            self.server_keys.remove(&server.key);
        }
        self.effects.push_back(Effect::ServerGone { server: id });
    }
}

impl ServerMachine {
    /// `None`: the input means nothing to this machine.
    fn step(self, input: &ServerInput<'_>) -> Option<(ServerMachine, &'static [ServerAction])> {
        match self {
            ServerMachine::Invite(state) => {
                let event = match input {
                    ServerInput::Request => server_invite::Event::Invite,
                    ServerInput::Ack(..) => server_invite::Event::Ack,
                    ServerInput::Response(_, class) => server_invite::Event::of_response(*class),
                    ServerInput::Timer(timer) => server_invite::Event::of_timer(*timer)?,
                    ServerInput::TransportError => server_invite::Event::TransportError,
                };
                let (state, actions) = server_invite::step(state, event);
                Some((ServerMachine::Invite(state), actions))
            }
            ServerMachine::NonInvite(state) => {
                let event = match input {
                    ServerInput::Request => server_non_invite::Event::Request,
                    ServerInput::Ack(..) => return None,
                    ServerInput::Response(_, class) => server_non_invite::Event::of_response(*class),
                    ServerInput::Timer(timer) => server_non_invite::Event::of_timer(*timer)?,
                    ServerInput::TransportError => server_non_invite::Event::TransportError,
                };
                let (state, actions) = server_non_invite::step(state, event);
                Some((ServerMachine::NonInvite(state), actions))
            }
        }
    }

    fn is_over(self) -> bool {
        self == ServerMachine::Invite(server_invite::State::Terminated)
            || self == ServerMachine::NonInvite(server_non_invite::State::Terminated)
    }
}

/// Where the responses to a request go: back over a reliable transport's connection, else as
/// §18.2.2 and RFC 3581 §4 say.
fn response_hop(request: &Message, hop: Hop) -> Hop {
    if hop.transport.is_reliable() {
        return hop;
    }
    let peer = request.top_via().map_or(hop.peer, |via| via.response_address(hop.peer));
    Hop { peer, ..hop }
}

fn has_to_tag(message: &Message) -> bool {
    message.to().is_some_and(|to| to.tag().is_some())
}
