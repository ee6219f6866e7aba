//! Client transactions in their table: what the two client machines say is carried out here. When a
//! CANCEL is sent is in `cancel`.

use super::cancel::{CancelPlan, Cancelling};
use super::clock::{Clock, Due};
use super::key::ClientKey;
use super::layer::Transactions;
use super::{Class, ClientAction, ClientId, Effect, Timer, client_invite, client_non_invite, compose};
use crate::base::{Hop, Instant};
use crate::sip::{Message, Method};

/// A client transaction.
#[derive(Debug)]
pub(super) struct Client {
    /// `None`: no branch or no CSeq was in the request; no response will match.
    key: Option<ClientKey>,
    pub(super) machine: ClientMachine,
    pub(super) request: Message,
    pub(super) hop: Hop,
    pub(super) clock: Clock,
    /// Whether and when it is cancelled.
    pub(super) cancel: CancelPlan,
    /// Of a CANCEL, the layer's own: the TU does not know of it and hears nothing.
    pub(super) cancels: Option<Cancelling>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientMachine {
    Invite(client_invite::State),
    NonInvite(client_non_invite::State),
}

impl Client {
    /// What an input is to its machine, and what that says; `None`: it means nothing.
    fn step(&self, input: &ClientInput<'_>) -> Option<(ClientMachine, &'static [ClientAction])> {
        self.machine.step(input, self.hop.transport.is_reliable())
    }

    /// Whether it is an INVITE without any answer yet.
    pub(super) fn is_calling(&self) -> bool {
        self.machine == ClientMachine::Invite(client_invite::State::Calling)
    }
}

/// What happens to a client transaction.
pub(super) enum ClientInput<'a> {
    /// A response came, from here.
    Response(&'a Message, Hop),
    /// A timer fired.
    Timer(Timer),
    /// The transport could not send, or lost its connection.
    TransportError,
}

impl Transactions {
    /// Begins a client transaction. A CANCEL tells the TU nothing.
    pub(super) fn open_client(
        &mut self,
        now: Instant,
        request: Message,
        hop: Hop,
        cancels: Option<Cancelling>,
    ) -> ClientId {
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
            self.clients.insert(Client { key: key.clone(), machine, request, hop, clock, cancel, cancels });
        if let Some(key) = key {
            self.client_keys.insert(key, id);
        }
        self.client_hops.insert(hop, id);
        for action in actions {
            self.act_client(now, id, *action, None);
        }
        id
    }

    /// Gives an input to a transaction and carries out what its machine says.
    pub(super) fn step_client(&mut self, now: Instant, id: ClientId, input: ClientInput<'_>) {
        let response = match input {
            ClientInput::Response(response, hop) => Some((response, hop)),
            ClientInput::Timer(_) | ClientInput::TransportError => None,
        };
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(client) = self.clients.get_mut(id) else { return };
            let Some((machine, actions)) = client.step(&input) else { return };
            client.machine = machine;
            for action in actions {
                if let Some(timer) = self.act_client(now, id, *action, response) {
                    // It was armed at zero: §17.1.1.2, §17.1.2.2 for reliable transports.
                    next = Some(ClientInput::Timer(timer));
                }
            }
        }
        self.cancel_if_due(now, id);
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
                if client.cancels.is_none() {
                    self.effects.push_back(Effect::Response { client: id, response: response.clone(), hop });
                }
            }
            ClientAction::Arm(timer) => return self.arm_client(now, id, timer),
            ClientAction::ArmAtT2(timer) => {
                let interval = self.settings.longest_interval(client.hop.transport)?;
                let due = Due::Client(id, timer);
                client.clock.arm_at(&mut self.timers, now + interval, timer.slot(), due);
            }
            ClientAction::Stop(timer) => client.clock.stop(&mut self.timers, timer.slot()),
            ClientAction::End(why) => {
                if client.cancels.is_none() {
                    self.effects.push_back(Effect::ClientEnded { client: id, why });
                } else {
                    self.on_cancel_ended(id, why);
                }
            }
            ClientAction::Doubt => self.effects.push_back(Effect::Unreachable { client: id }),
        }
        None
    }

    /// Arms a timer, or returns it if it fires at once.
    pub(super) fn arm_client(&mut self, now: Instant, id: ClientId, timer: Timer) -> Option<Timer> {
        let client = self.clients.get_mut(id)?;
        let due = (timer, Due::Client(id, timer));
        client.clock.arm(&mut self.timers, &self.settings, client.hop.transport, now, due)
    }

    /// See [`Transactions::abandon`].
    pub(super) fn abandon_client(&mut self, id: ClientId) {
        if self.clients.get(id).is_some_and(|client| matches!(client.machine, ClientMachine::NonInvite(_))) {
            self.remove_client(id);
        }
    }

    fn remove_client_if_over(&mut self, id: ClientId) {
        if self.clients.get(id).is_some_and(|client| client.machine.is_over()) {
            self.remove_client(id);
        }
    }

    fn remove_client(&mut self, id: ClientId) {
        let Some(mut client) = self.clients.remove(id) else { return };
        client.clock.stop_all(&mut self.timers);
        self.client_hops.remove(client.hop, id);
        if let Some(key) = &client.key
            && self.client_keys.get(key) == Some(&id)
        {
            self.client_keys.remove(key);
        }
        if client.cancels.is_none() {
            self.effects.push_back(Effect::ClientGone { client: id });
        }
    }
}

impl ClientMachine {
    /// `None`: the input means nothing to this machine. `is_connected`: the request went over a connection.
    fn step(
        self,
        input: &ClientInput<'_>,
        is_connected: bool,
    ) -> Option<(ClientMachine, &'static [ClientAction])> {
        match self {
            ClientMachine::Invite(state) => {
                let event = match input {
                    ClientInput::Response(response, _) => {
                        client_invite::Event::of_response(Class::of(response.status()?))
                    }
                    ClientInput::Timer(timer) => client_invite::Event::of_timer(*timer)?,
                    ClientInput::TransportError if is_connected => client_invite::Event::ConnectionLost,
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
