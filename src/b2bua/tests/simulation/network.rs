//! The network of the simulation: datagrams that are lost, repeated, reordered and delayed; and
//! connections, whose messages come in order, until they break. Then what is on its way is lost,
//! and so is what either end sends before it learns of it.
//!
//! Must not know: SIP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Hop, Instant, ListenerId, Random, Transport};

/// The longest that an end does not know that its connection broke, in milliseconds.
const MAX_UNAWARE_MS: u32 = 3_000;

/// Where an agent is, and how it and the SBC talk.
#[derive(Clone, Copy)]
pub struct Place {
    pub agent: SocketAddr,
    pub sbc: SocketAddr,
    pub listener: ListenerId,
    pub transport: Transport,
}

/// What arrives. The hops are as the one that it arrives at sees them.
pub enum Letter {
    ToEngine(Hop, Bytes),
    ToAgent(usize, Hop, Bytes),
    Connected(Hop),
    FailedAtEngine(Hop),
    FailedAtAgent(usize, Hop),
}

pub struct Network {
    random: Random,
    places: Vec<Place>,
    /// What is on its way, by its arrival, and over which connection.
    mail: BTreeMap<(Instant, u64), (Option<u16>, Letter)>,
    sent: u64,
    connections: Vec<Connection>,
    last_connection: u16,
    /// Of datagrams, in percent.
    pub loss: u32,
    /// This datagram, counted from 1, is lost whatever the loss is.
    pub lost: Option<u64>,
    /// Datagrams so far.
    pub posted: u64,
    /// Whether connections may fail to open.
    pub refuses: bool,
}

struct Connection {
    number: u16,
    agent: usize,
    /// The agent's end, as the engine sees it.
    agent_end: Hop,
    /// The SBC's end, as the agent sees it.
    sbc_end: Hop,
    /// When the last message to the engine, and to the agent, arrives.
    arrivals: [Instant; 2],
    is_broken: bool,
    is_open_at_engine: bool,
    is_open_at_agent: bool,
}

impl Network {
    pub fn new(random: Random, places: Vec<Place>, loss: u32) -> Network {
        Network {
            random,
            places,
            mail: BTreeMap::new(),
            sent: 0,
            connections: Vec::new(),
            last_connection: 0,
            loss,
            lost: None,
            posted: 0,
            refuses: true,
        }
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.mail.first_key_value().map(|((at, _), _)| *at)
    }

    /// Who is at this address.
    pub fn agent_at(&self, hop: Hop) -> Option<usize> {
        self.places.iter().position(|place| {
            let is_there = match hop.transport {
                Transport::Udp => place.agent == hop.peer,
                Transport::Tcp | Transport::Tls => place.agent.ip() == hop.peer.ip(),
            };
            is_there && place.transport == hop.transport
        })
    }

    /// The engine sends.
    pub fn send_from_engine(&mut self, now: Instant, at: usize, hop: Hop, bytes: &Bytes) {
        let place = self.places[at];
        if hop.transport == Transport::Udp {
            let seen = Hop::new(ListenerId(0), hop.transport, place.sbc);
            return self.post(now, || Letter::ToAgent(at, seen, bytes.clone()));
        }
        let known =
            self.connections.iter().position(|known| known.is_open_at_engine && known.agent_end == hop);
        let can_open = hop.peer == place.agent && !(self.refuses && self.random.below(20) == 0);
        let connection = match known {
            Some(known) => known,
            None if can_open => {
                let port = self.next_number();
                let sbc_end = Hop::new(ListenerId(0), hop.transport, SocketAddr::new(place.sbc.ip(), port));
                self.open(now, at, hop, sbc_end)
            }
            None => {
                let delay = self.delay();
                return self.mail(now + delay, None, Letter::FailedAtEngine(hop));
            }
        };
        let seen = self.connections[connection].sbc_end;
        self.carry(now, connection, 1, Letter::ToAgent(at, seen, bytes.clone()));
    }

    /// An agent sends: over this connection if it lives for all that the agent knows, else over one
    /// to where the SBC listens.
    pub fn send_from_agent(&mut self, now: Instant, at: usize, hop: Hop, bytes: &Bytes) {
        let place = self.places[at];
        if hop.transport == Transport::Udp {
            let seen = Hop::new(place.listener, hop.transport, place.agent);
            return self.post(now, || Letter::ToEngine(seen, bytes.clone()));
        }
        let listening = Hop { peer: place.sbc, ..hop };
        let known = |wanted: Hop| {
            let is_it =
                |known: &Connection| known.agent == at && known.is_open_at_agent && known.sbc_end == wanted;
            self.connections.iter().position(is_it)
        };
        let connection = known(hop).or_else(|| known(listening)).unwrap_or_else(|| {
            let port = self.next_number();
            let agent_end = Hop::new(place.listener, hop.transport, SocketAddr::new(place.agent.ip(), port));
            let opened = self.open(now, at, agent_end, listening);
            self.carry(now, opened, 0, Letter::Connected(agent_end));
            opened
        });
        let seen = self.connections[connection].agent_end;
        self.carry(now, connection, 0, Letter::ToEngine(seen, bytes.clone()));
    }

    /// Some connection breaks.
    pub fn break_one(&mut self, now: Instant) -> String {
        if self.connections.is_empty() {
            return "no connection".to_owned();
        }
        let at = self.random.below(self.connections.len() as u32) as usize;
        let connection = &mut self.connections[at];
        if connection.is_broken {
            return "a connection is broken already".to_owned();
        }
        connection.is_broken = true;
        let (number, agent) = (Some(connection.number), connection.agent);
        let (agent_end, sbc_end) = (connection.agent_end, connection.sbc_end);
        let mut wait = || Duration::from_millis(u64::from(self.random.below(MAX_UNAWARE_MS)));
        let (to_engine, to_agent) = (now + wait(), now + wait());
        self.mail(to_engine, number, Letter::FailedAtEngine(agent_end));
        self.mail(to_agent, number, Letter::FailedAtAgent(agent, sbc_end));
        format!("the connection with agent {agent} at {} breaks", agent_end.peer)
    }

    /// The next that has arrived by now.
    pub fn take(&mut self, now: Instant) -> Option<Letter> {
        while let Some(first) = self.mail.first_entry().filter(|first| first.key().0 <= now) {
            let (number, letter) = first.remove();
            let connection = self.connections.iter_mut().find(|known| Some(known.number) == number);
            match (&letter, connection) {
                (Letter::FailedAtEngine(_), Some(connection)) => connection.is_open_at_engine = false,
                (Letter::FailedAtAgent(..), Some(connection)) => connection.is_open_at_agent = false,
                (_, Some(connection)) if connection.is_broken => continue,
                (_, None) if number.is_some() => continue,
                _ => {}
            }
            self.connections.retain(|known| known.is_open_at_engine || known.is_open_at_agent);
            return Some(letter);
        }
        None
    }

    fn open(&mut self, now: Instant, agent: usize, agent_end: Hop, sbc_end: Hop) -> usize {
        self.connections.push(Connection {
            number: self.last_connection,
            agent,
            agent_end,
            sbc_end,
            arrivals: [now; 2],
            is_broken: false,
            is_open_at_engine: true,
            is_open_at_agent: true,
        });
        self.connections.len() - 1
    }

    /// The number of the next connection, which is a port of the one that opens it.
    fn next_number(&mut self) -> u16 {
        self.last_connection = self.last_connection.checked_add(1).unwrap().max(10_000);
        self.last_connection
    }

    /// In order.
    fn carry(&mut self, now: Instant, connection: usize, direction: usize, letter: Letter) {
        let delay = self.delay();
        let connection = &mut self.connections[connection];
        let arrival = connection.arrivals[direction].max(now + delay);
        connection.arrivals[direction] = arrival;
        let number = connection.number;
        self.mail(arrival, Some(number), letter);
    }

    /// Loses, repeats and delays.
    fn post(&mut self, now: Instant, letter: impl Fn() -> Letter) {
        self.posted += 1;
        let is_lost = self.lost == Some(self.posted);
        let copies = if is_lost || self.random.below(100) < self.loss {
            0
        } else {
            1 + usize::from(self.random.below(100) < self.loss)
        };
        for _ in 0..copies {
            let delay = self.delay();
            self.mail(now + delay, None, letter());
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(u64::from(1 + self.random.below(if self.loss > 0 { 150 } else { 20 })))
    }

    fn mail(&mut self, arrival: Instant, connection: Option<u16>, letter: Letter) {
        self.sent += 1;
        self.mail.insert((arrival, self.sent), (connection, letter));
    }
}
