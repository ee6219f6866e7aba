//! Server transactions in their table: what the two server machines say is carried out here.

use std::net::SocketAddr;

use super::clock::{Clock, Due};
use super::key::ServerKey;
use super::layer::Transactions;
use super::shares::Place;
use super::{Class, Effect, ServerAction, ServerId, Timer, compose, server_invite, server_non_invite};
use crate::base::{Hop, Instant, PeerIdentity};
use crate::sip::{Message, Method};

/// A server transaction.
#[derive(Debug)]
pub(super) struct Server {
    key: ServerKey,
    machine: ServerMachine,
    pub(super) request: Message,
    /// Where the request came from.
    pub(super) hop: Hop,
    /// Where the responses go.
    pub(super) response_hop: Hop,
    clock: Clock,
    /// The last response.
    pub(super) last: Option<Message>,
    /// What it holds of its source's share.
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerMachine {
    Invite(server_invite::State),
    NonInvite(server_non_invite::State),
}

/// What happens to a server transaction.
pub(super) enum ServerInput<'a> {
    /// The request came again.
    Request,
    /// Its ACK came, from here.
    Ack(&'a Message, Hop),
    /// The TU responds, with a status of this class.
    Response(&'a Message, Class),
    /// A timer fired.
    Timer(Timer),
    /// The transport could not send.
    TransportError,
}

impl Transactions {
    /// Begins a server transaction. Of an INVITE it sends the 100 (§17.2.1): "The server transaction
    /// MUST generate a 100 (Trying) response unless it knows that the TU will generate a provisional
    /// or final response within 200 ms": it does not know.
    pub(super) fn open_server(
        &mut self,
        key: ServerKey,
        request: Message,
        hop: Hop,
        place: Place,
    ) -> ServerId {
        let response_hop = response_hop(&request, hop);
        let (machine, last) = if request.method() == Some(&Method::Invite) {
            (ServerMachine::Invite(server_invite::State::Proceeding), compose::trying(&request, hop.peer))
        } else {
            (ServerMachine::NonInvite(server_non_invite::State::Trying), None)
        };
        if let Some(trying) = &last {
            self.transmit(response_hop, trying.clone(), false);
        }
        let (indexed, clock) = (key.clone(), Clock::default());
        let id = self.servers.insert(Server { key, machine, request, hop, response_hop, clock, last, place });
        self.server_keys.insert(indexed, id);
        self.server_hops.insert(response_hop, id);
        id
    }

    /// Gives an input to a transaction and carries out what its machine says. Returns whether a
    /// response of the TU's was sent.
    pub(super) fn step_server(&mut self, now: Instant, id: ServerId, input: ServerInput<'_>) -> bool {
        let mut sent = false;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(server) = self.servers.get_mut(id) else { return sent };
            let Some((machine, actions)) = server.machine.step(&input) else { return sent };
            server.machine = machine;
            for action in actions {
                sent |= matches!(action, ServerAction::Send | ServerAction::SendAgain);
                if let Some(timer) = self.act_server(now, id, *action, &input) {
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
        input: &ServerInput<'_>,
    ) -> Option<Timer> {
        let server = self.servers.get_mut(id)?;
        match action {
            ServerAction::Send | ServerAction::SendAgain => {
                let ServerInput::Response(response, _) = *input else { return None };
                let hop = server.response_hop;
                server.last = Some(response.clone());
                self.transmit(hop, response.clone(), action == ServerAction::SendAgain);
            }
            ServerAction::Repeat => {
                let (hop, last) = (server.response_hop, server.last.clone()?);
                self.transmit(hop, last, true);
            }
            ServerAction::PassAck => {
                let ServerInput::Ack(ack, hop) = input else { return None };
                self.effects.push_back(Effect::Ack { request: (*ack).clone(), hop: *hop });
            }
            ServerAction::Arm(timer) => {
                let (transport, due) = (server.response_hop.transport, (timer, Due::Server(id, timer)));
                return server.clock.arm(&mut self.timers, &self.settings, transport, now, due);
            }
            ServerAction::Stop(timer) => server.clock.stop(&mut self.timers, timer.slot()),
            ServerAction::End(why) => self.effects.push_back(Effect::ServerEnded { server: id, why }),
        }
        None
    }

    /// The connection of a transaction is gone: what is still to be said takes another one, and a
    /// refusal that has no ACK yet is said again there.
    pub(super) fn redirect_server(&mut self, id: ServerId, identity: PeerIdentity) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let after = response_hop_after(&server.request, server.hop, identity);
        if server.response_hop == after || !after.transport.is_reliable() {
            return;
        }
        let before = std::mem::replace(&mut server.response_hop, after);
        self.server_hops.remove(before, id);
        self.server_hops.insert(after, id);
        if server.machine == ServerMachine::Invite(server_invite::State::Completed)
            && let Some(last) = server.last.clone()
        {
            self.transmit(after, last, true);
        }
    }

    fn remove_server_if_over(&mut self, id: ServerId) {
        if self.servers.get(id).is_some_and(|server| server.machine.is_over()) {
            self.abandon_server(id);
        }
    }

    /// Forgets a transaction, whatever it still was to say.
    pub(super) fn abandon_server(&mut self, id: ServerId) {
        let Some(mut server) = self.servers.remove(id) else { return };
        server.clock.stop_all(&mut self.timers);
        self.server_hops.remove(server.response_hop, id);
        self.shares.release(&server.place);
        if self.server_keys.get(&server.key) == Some(&id) {
            self.server_keys.remove(&server.key);
        }
        self.effects.push_back(Effect::ServerGone { server: id });
    }
}

impl Server {
    /// Whether its request is no INVITE.
    pub(super) fn is_non_invite(&self) -> bool {
        matches!(self.machine, ServerMachine::NonInvite(_))
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
pub fn response_hop(request: &Message, hop: Hop) -> Hop {
    if hop.transport.is_reliable() {
        return hop;
    }
    let peer = request.top_via().map_or(hop.peer, |via| via.response_address(hop.peer));
    Hop { peer, ..hop }
}

/// Where the responses go when the request's connection is gone. §18.2.2: "If that connection is no
/// longer open, the server SHOULD open a connection to the IP address in the 'received' parameter, if
/// present, using the port in the 'sent-by' value, or the default port for that transport, if no port
/// is specified." The address that we saw is what `received` says.
pub fn response_hop_after(message: &Message, hop: Hop, identity: PeerIdentity) -> Hop {
    let port = message.top_via().and_then(|via| via.sent_by.port).unwrap_or(hop.transport.default_port());
    Hop { peer: SocketAddr::new(hop.peer.ip(), port), identity, ..hop }
}
