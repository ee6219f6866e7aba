//! A user agent on a UDP socket: a task that carries datagrams, time and wishes to it, and its
//! events back.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::call::{CallNumber, Event, Order};
use super::ua::UserAgent;
use crate::base::Random;
use crate::runtime::Clock;
use crate::sip::limits::MAX_MESSAGE_BYTES;

/// A call has two events: it talks, it ends.
const EVENTS_A_CALL: usize = 2;
/// Wishes that may wait for the task.
const WISHES_MAX: usize = 16;

/// A running user agent. It hangs up its socket when it is dropped.
#[derive(Debug)]
pub struct Phone {
    address: SocketAddr,
    wishes: mpsc::Sender<Wish>,
    task: JoinHandle<()>,
}

/// What the user agent shall do.
#[derive(Debug)]
enum Wish {
    Place(Order, mpsc::Sender<Event>),
    Expect(Order, mpsc::Sender<Event>),
    HangUp(CallNumber),
}

impl Phone {
    /// Starts a user agent on this address, with any free port.
    pub async fn start(address: SocketAddr, random: Random, clock: Clock) -> io::Result<Phone> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let (wishes, wished) = mpsc::channel(WISHES_MAX);
        let agent = UserAgent::new(address, random);
        let task = tokio::spawn(run(agent, socket, wished, clock));
        Ok(Phone { address, wishes, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls; what comes of it is told over the channel.
    pub async fn place(&self, order: Order) -> mpsc::Receiver<Event> {
        let (tell, told) = mpsc::channel(EVENTS_A_CALL);
        self.wish(Wish::Place(order, tell)).await;
        told
    }

    /// Answers the call to `order.to`; what comes of it is told over the channel.
    pub async fn expect(&self, order: Order) -> mpsc::Receiver<Event> {
        let (tell, told) = mpsc::channel(EVENTS_A_CALL);
        self.wish(Wish::Expect(order, tell)).await;
        told
    }

    /// Ends a call.
    pub async fn hang_up(&self, number: CallNumber) {
        self.wish(Wish::HangUp(number)).await;
    }

    async fn wish(&self, wish: Wish) {
        // A task that is gone has dropped its end of every channel: who listens is told so there.
        let _ = self.wishes.send(wish).await;
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut agent: UserAgent, socket: UdpSocket, mut wished: mpsc::Receiver<Wish>, clock: Clock) {
    let mut listeners: HashMap<CallNumber, mpsc::Sender<Event>> = HashMap::new();
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    loop {
        drain(&mut agent, &socket, &listeners).await;
        let deadline = agent.next_deadline();
        tokio::select! {
            // An error is ICMP's, for something we sent: retransmission sees to it.
            received = socket.recv_from(&mut buffer) => if let Ok((length, source)) = received {
                agent.receive(clock.now(), source, Bytes::copy_from_slice(&buffer[..length]));
            },
            wish = wished.recv() => match wish {
                Some(Wish::Place(order, tell)) => {
                    listeners.insert(order.number, tell);
                    agent.place(clock.now(), order);
                }
                Some(Wish::Expect(order, tell)) => {
                    listeners.insert(order.number, tell);
                    agent.expect(order);
                }
                Some(Wish::HangUp(number)) => agent.hang_up(clock.now(), number),
                None => return,
            },
            () = sleep_until(clock.to_std(deadline.unwrap_or_default()).into()), if deadline.is_some() => {
                agent.on_time(clock.now());
            }
        }
    }
}

/// Sends and tells whatever there is.
async fn drain(
    agent: &mut UserAgent,
    socket: &UdpSocket,
    listeners: &HashMap<CallNumber, mpsc::Sender<Event>>,
) {
    while let Some(transmit) = agent.poll_transmit() {
        // What cannot be sent is as good as lost, and lost messages are sent again.
        let _ = socket.send_to(&transmit.bytes, transmit.to).await;
    }
    while let Some((number, event)) = agent.poll_event() {
        if let Some(listener) = listeners.get(&number) {
            // There is room for all events of a call; nobody may be listening any more.
            let _ = listener.try_send(event);
        }
    }
}
