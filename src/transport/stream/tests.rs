//! Connections over real sockets on loopback. Nothing waits for a time but for what must come.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{Transports, bind};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: {number} OPTIONS\r\nContent-Length: 4\r\n\r\nbody"
    )
}

/// Transports that let everybody in, and what they gave.
struct Stage {
    transports: Transports,
    address: SocketAddr,
}

impl Stage {
    fn new(address: &str) -> Stage {
        Stage::with_limits(address, Limits::default())
    }

    fn with_limits(address: &str, limits: Limits) -> Stage {
        let bound = bind(Transport::Tcp, address.parse().unwrap()).unwrap();
        let address = bound.address;
        let mut transports = Transports::open(vec![bound]).unwrap();
        transports.streams.limits = limits;
        Stage { transports, address }
    }

    async fn next(&mut self) -> Arrival {
        let mut arrivals = Vec::new();
        while arrivals.is_empty() {
            let ready = poll_fn(|cx| self.transports.poll_ready(cx));
            tokio::time::timeout(PATIENCE, ready).await.expect("something arrives");
            self.transports.turn(&mut arrivals);
        }
        for extra in arrivals.drain(1..).rev() {
            self.put_back(extra);
        }
        arrivals.remove(0)
    }

    /// Messages alone come more than one at a time.
    fn put_back(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { hop, bytes } => {
                let id = self.transports.streams.connections[&hop].id;
                self.transports.streams.next.push_front(StreamEvent::Message { hop, id, bytes });
            }
            other => panic!("two at once: {other:?}"),
        }
    }

    /// A peer that has connected and is let in.
    async fn peer(&mut self) -> (TcpStream, Hop) {
        let peer = TcpStream::connect(self.address).await.unwrap();
        let Arrival::Connected { hop } = self.next().await else { panic!("no connection") };
        assert_eq!(hop.peer, peer.local_addr().unwrap());
        self.transports.begin(hop);
        (peer, hop)
    }

    async fn expect_message(&mut self, from: Hop, text: &str) {
        let expected = Arrival::Message { hop: from, bytes: Bytes::copy_from_slice(text.as_bytes()) };
        assert_eq!(self.next().await, expected);
    }

    fn count(&self) -> usize {
        self.transports.connections().map(|(_, _, count)| count).sum()
    }
}

async fn read(peer: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    tokio::time::timeout(PATIENCE, peer.read_exact(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn read_to_end(peer: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut text)).await.expect("an end");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn messages_come_and_go_over_the_connection_that_the_peer_opened() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut stage = Stage::new(address);
        let (mut peer, hop) = stage.peer().await;
        let (first, second) = (options(1), options(2));
        peer.write_all(format!("\r\n{first}{second}").as_bytes()).await.unwrap();
        stage.expect_message(hop, &first).await;
        stage.expect_message(hop, &second).await;
        stage.transports.send(hop, Bytes::from_static(b"answer")).unwrap();
        assert_eq!(read(&mut peer, 6).await, "answer");
        assert_eq!(stage.count(), 1);
        drop(peer);
        assert_eq!(stage.next().await, Arrival::Lost { hop });
        assert_eq!(stage.count(), 0);
    }
}

#[tokio::test]
async fn a_ping_gets_a_pong_and_is_no_message() {
    let mut stage = Stage::new("127.0.0.1:0");
    let (mut peer, hop) = stage.peer().await;
    peer.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut peer, 2).await, "\r\n");
    peer.write_all(options(1).as_bytes()).await.unwrap();
    stage.expect_message(hop, &options(1)).await;
}

#[tokio::test]
async fn nothing_is_read_from_a_connection_that_nobody_let_in() {
    let mut stage = Stage::new("127.0.0.1:0");
    let mut peer = TcpStream::connect(stage.address).await.unwrap();
    peer.write_all(options(1).as_bytes()).await.unwrap();
    let Arrival::Connected { hop } = stage.next().await else { panic!("no connection") };
    stage.transports.close(hop);
    stage.transports.begin(hop);
    assert_eq!(read_to_end(&mut peer).await, "");
    assert_eq!(stage.count(), 0);
}

#[tokio::test]
async fn what_was_sent_before_the_end_arrives_before_it() {
    let mut stage = Stage::new("127.0.0.1:0");
    let (mut peer, hop) = stage.peer().await;
    let endless = options(1).replace("Content-Length: 4\r\n", "");
    peer.write_all(endless.as_bytes()).await.unwrap();
    stage.expect_message(hop, endless.strip_suffix("body").unwrap()).await;
    stage.transports.send(hop, Bytes::from_static(b"400 ")).unwrap();
    stage.transports.send(hop, Bytes::from_static(b"Missing")).unwrap();
    stage.transports.close(hop);
    assert_eq!(read_to_end(&mut peer).await, "400 Missing");
}

#[tokio::test]
async fn a_stream_whose_message_ends_nowhere_ends_by_itself() {
    let limits = Limits { tick: Duration::from_millis(20), ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let (mut peer, hop) = stage.peer().await;
    peer.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    stage.expect_message(hop, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    assert_eq!(read_to_end(&mut peer).await, "");

    let (mut peer, hop) = stage.peer().await;
    peer.write_all(&[b'x'; 40_000]).await.unwrap();
    let dropped = Arrival::Dropped { listener: ListenerId(0), reason: DropReason::Malformed };
    assert_eq!(stage.next_two().await, [dropped, Arrival::Lost { hop }]);
}

impl Stage {
    async fn next_two(&mut self) -> [Arrival; 2] {
        let mut arrivals = Vec::new();
        while arrivals.len() < 2 {
            let ready = poll_fn(|cx| self.transports.poll_ready(cx));
            tokio::time::timeout(PATIENCE, ready).await.expect("something arrives");
            self.transports.turn(&mut arrivals);
        }
        arrivals.try_into().unwrap()
    }
}

#[tokio::test]
async fn a_connection_is_opened_once_and_used_both_ways() {
    let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stage = Stage::new("127.0.0.1:0");
    let hop = Hop::new(ListenerId(0), Transport::Tcp, theirs.local_addr().unwrap());
    stage.transports.send(hop, Bytes::from_static(b"one")).unwrap();
    stage.transports.send(hop, Bytes::from_static(b"two")).unwrap();
    let (mut peer, _) = theirs.accept().await.unwrap();
    assert_eq!(read(&mut peer, 6).await, "onetwo");
    peer.write_all(options(1).as_bytes()).await.unwrap();
    stage.expect_message(hop, &options(1)).await;
    assert_eq!(stage.count(), 1);
    // Another one is opened when that one is gone.
    drop(peer);
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    stage.transports.send(hop, Bytes::from_static(b"again")).unwrap();
    let (mut peer, _) = theirs.accept().await.unwrap();
    assert_eq!(read(&mut peer, 5).await, "again");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_told() {
    let mut stage = Stage::new("127.0.0.1:0");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tcp, closed);
    stage.transports.send(hop, Bytes::from_static(b"anyone?")).unwrap();
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    let other_family = Hop::new(ListenerId(0), Transport::Tcp, "[::1]:5060".parse().unwrap());
    assert_eq!(stage.transports.send(other_family, Bytes::new()), Err(Unsent::Disconnected));
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_not_kept() {
    let limits =
        Limits { tick: Duration::from_millis(10), first_message: 5, whole_message: 2, ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let (mut silent, hop) = stage.peer().await;
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    assert_eq!(read_to_end(&mut silent).await, "");
    let (mut slow, hop) = stage.peer().await;
    slow.write_all(options(1).as_bytes()).await.unwrap();
    slow.write_all(b"OPTIONS ").await.unwrap();
    stage.expect_message(hop, &options(1)).await;
    assert_eq!(stage.next().await, Arrival::Lost { hop });
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_ours_is_pinged_before() {
    let limits = Limits { tick: Duration::from_millis(10), idle: 8, ping: 3, ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tcp, theirs.local_addr().unwrap());
    stage.transports.send(hop, Bytes::from_static(b"hello")).unwrap();
    let (mut peer, _) = theirs.accept().await.unwrap();
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    assert_eq!(read_to_end(&mut peer).await, "hello\r\n\r\n\r\n\r\n");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_and_holds_nobody_up() {
    let mut stage = Stage::new("127.0.0.1:0");
    let (peer, hop) = stage.peer().await;
    let message = Bytes::from(vec![b'x'; 60_000]);
    let mut sent = 0;
    let result = loop {
        match stage.transports.send(hop, message.clone()) {
            Ok(()) => sent += message.len(),
            Err(why) => break why,
        }
        tokio::task::yield_now().await;
        assert!(sent < 64 << 20, "what nobody reads is kept without end");
    };
    assert_eq!(result, Unsent::Disconnected);
    assert_eq!(stage.count(), 0);
    drop(peer);
}

#[tokio::test]
async fn one_source_has_no_more_connections_than_it_may() {
    let limits = Limits { connections_a_source: 3, ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(stage.peer().await);
    }
    let mut refused = TcpStream::connect(stage.address).await.unwrap();
    let dropped = Arrival::Dropped { listener: ListenerId(0), reason: DropReason::TooManyConnections };
    assert_eq!(stage.next().await, dropped);
    assert_eq!(read_to_end(&mut refused).await, "");
    let (peer, hop) = peers.pop().unwrap();
    drop(peer);
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    stage.peer().await;
    assert_eq!(stage.count(), 3);
}

#[test]
fn an_address_in_use_is_refused() {
    let first = super::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let again = super::bind(first.local_addr().unwrap()).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_full_listener_takes_nobody_and_still_reaches_others() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let _peers = [stage.peer().await, stage.peer().await];
    let _refused = TcpStream::connect(stage.address).await.unwrap();
    let dropped = Arrival::Dropped { listener: ListenerId(0), reason: DropReason::TooManyConnections };
    assert_eq!(stage.next().await, dropped);
    let theirs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tcp, theirs.local_addr().unwrap());
    stage.transports.send(hop, Bytes::from_static(b"hello")).unwrap();
    let (mut peer, _) = theirs.accept().await.unwrap();
    assert_eq!(read(&mut peer, 5).await, "hello");
}

/// Who names a new port of its own in each message would else have all connections of a listener.
#[tokio::test]
async fn one_address_is_not_connected_to_at_ever_more_ports() {
    let limits = Limits { connections_a_source: 2, ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let mut theirs = Vec::new();
    for expected in [Ok(()), Ok(()), Err(Unsent::Disconnected)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hop = Hop::new(ListenerId(0), Transport::Tcp, listener.local_addr().unwrap());
        assert_eq!(stage.transports.send(hop, Bytes::from_static(b"hello")), expected);
        theirs.push(listener);
    }
    let elsewhere = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tcp, elsewhere.local_addr().unwrap());
    assert_eq!(stage.transports.send(hop, Bytes::from_static(b"hello")), Ok(()));
}

#[tokio::test]
async fn an_answer_to_a_connection_that_has_just_ended_opens_none() {
    let limits = Limits { tick: Duration::from_millis(10), ..Limits::default() };
    let mut stage = Stage::with_limits("127.0.0.1:0", limits);
    let (mut peer, hop) = stage.peer().await;
    peer.write_all(options(1).as_bytes()).await.unwrap();
    stage.expect_message(hop, &options(1)).await;
    drop(peer);
    assert_eq!(stage.next().await, Arrival::Lost { hop });
    assert_eq!(stage.transports.send(hop, Bytes::from_static(b"answer")), Err(Unsent::Disconnected));
    assert_eq!(stage.count(), 0);
}

#[tokio::test]
async fn a_peer_that_connects_from_where_it_listens_has_the_first_connection_told_as_lost() {
    let mut stage = Stage::new("127.0.0.1:0");
    let socket = || {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket
    };
    let listening = socket();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let theirs = listening.listen(1).unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tcp, theirs.local_addr().unwrap());
    stage.transports.send(hop, Bytes::from_static(b"one")).unwrap();
    let (mut first, _) = theirs.accept().await.unwrap();
    assert_eq!(read(&mut first, 3).await, "one");
    let connecting = socket();
    connecting.bind(hop.peer).unwrap();
    let mut second = connecting.connect(stage.address).await.unwrap();
    assert_eq!(stage.next_two().await, [Arrival::Lost { hop }, Arrival::Connected { hop }]);
    stage.transports.begin(hop);
    stage.transports.send(hop, Bytes::from_static(b"two")).unwrap();
    assert_eq!(read(&mut second, 3).await, "two");
    assert_eq!(stage.count(), 1);
}

#[tokio::test]
async fn what_was_never_written_is_not_counted_for_ever() {
    let mut stage = Stage::new("127.0.0.1:0");
    let (peer, hop) = stage.peer().await;
    while stage.transports.send(hop, Bytes::from(vec![b'x'; 60_000])).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(stage.transports.streams.backlogs.bytes() > 0);
    drop(peer);
    let gone = async {
        while stage.transports.streams.backlogs.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is given back");
}
