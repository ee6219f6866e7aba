//! Calls for the relay to carry, and the packets of both their ends: spread evenly over time, so that
//! no engine gains from bursts that a network would not send.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::base::Realm;
use crate::media::{Marking, MediaCommand, MediaSessionId, PortPair, RemoteMedia, Side, StreamPorts};
use crate::runtime::Clock;

/// Packets a second of one call: one each 20 ms, both ways.
pub(super) const PACKETS_PER_CALL: u32 = 100;
/// Sockets that the calls of one side share.
const SOCKETS: usize = 16;
/// RTP header and 20 ms of PCMU.
const PACKET_BYTES: usize = 12 + 160;
const FIRST_PORT: u16 = 10_000;
/// Loopback addresses of the relay's sides and of the peers, away from what a daemon binds.
const RELAY_A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 83, 1));
const RELAY_B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 83, 2));
const PEERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 83, 9));

/// The peers of all calls.
pub(super) struct Load {
    a: Vec<(UdpSocket, SocketAddr)>,
    b: Vec<(UdpSocket, SocketAddr)>,
    calls: u32,
}

impl Load {
    pub(super) fn open(calls: u32) -> io::Result<Load> {
        Ok(Load { a: sockets()?, b: sockets()?, calls })
    }

    /// What opens the calls and joins their peers.
    pub(super) fn commands(&self) -> impl Iterator<Item = MediaCommand> + '_ {
        (0..self.calls).flat_map(|call| {
            let session = MediaSessionId(u64::from(call));
            let remote = |side, sockets: &[(UdpSocket, SocketAddr)]| {
                let (_, address) = sockets[call as usize % SOCKETS];
                let remote = RemoteMedia { rtcp: address, ..RemoteMedia::plain(address, PEERS) };
                MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) }
            };
            [
                MediaCommand::Open {
                    session,
                    first_stream: 0,
                    streams: vec![ports(call)],
                    marking: Marking::default(),
                },
                remote(Side::A, &self.a),
                remote(Side::B, &self.b),
            ]
        })
    }

    /// Sends for `time`, and reads what comes back; tells how many packets were sent.
    pub(super) fn run(&self, time: Duration, clock: Clock) -> io::Result<u64> {
        let rate = f64::from(self.calls * PACKETS_PER_CALL);
        let begin = clock.now();
        let mut sent = 0u64;
        loop {
            let elapsed = clock.now().since(begin);
            if elapsed >= time {
                return Ok(sent);
            }
            let due = (elapsed.as_secs_f64() * rate) as u64;
            while sent < due {
                self.send(sent)?;
                sent += 1;
            }
            self.read();
        }
    }

    /// Empties the peers' sockets.
    pub(super) fn read(&self) {
        let mut sink = [0; 2_048];
        for (socket, _) in self.a.iter().chain(&self.b) {
            while socket.recv(&mut sink).is_ok() {}
        }
    }

    /// Sends the packet of that number. A send buffer that is full is the load's limit, and shows as loss.
    fn send(&self, number: u64) -> io::Result<()> {
        let round = number / u64::from(2 * self.calls);
        let place = (number % u64::from(2 * self.calls)) as u32;
        let (call, is_a) = (place / 2, place.is_multiple_of(2));
        let (sockets, to) =
            if is_a { (&self.a, ports(call).a.rtp()) } else { (&self.b, ports(call).b.rtp()) };
        let mut packet = [0xd5; PACKET_BYTES];
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&(round as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(round as u32).wrapping_mul(160).to_be_bytes());
        packet[8..12].copy_from_slice(&place.to_be_bytes());
        match sockets[call as usize % SOCKETS].0.send_to(&packet, to) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn sockets() -> io::Result<Vec<(UdpSocket, SocketAddr)>> {
    let open = |_| {
        let socket = UdpSocket::bind((PEERS, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    (0..SOCKETS).map(open).collect()
}

fn ports(call: u32) -> StreamPorts {
    let pair = |realm, address| PortPair { realm, address, rtp_port: FIRST_PORT + 2 * call as u16 };
    StreamPorts { a: pair(Realm::Trusted, RELAY_A), b: pair(Realm::Untrusted, RELAY_B) }
}
