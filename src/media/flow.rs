//! Whose packets a port takes and where they go: the rule of one direction on one port, as plain
//! data, and the pure decision on one packet.
//!
//! **Latching.** A peer's SDP says where it wants media; where its packets come from may differ,
//! because a NAT rewrote address or port. Learning "whoever sends first" lets a stranger take the
//! call over (RFC 7362 §5), so the addresses from which a source may be learned come from
//! signalling alone, and no packet can widen them:
//!
//! | signalled address against signalling's source | a source is learned from |
//! |---|---|
//! | the same address | that address |
//! | both public (a carrier's media gateway) | the signalled address |
//! | of narrower scope than signalling's: private, CGNAT, loopback, 0.0.0.0 (a NAT between) | signalling's address |
//! | both of one scope that is not public (one site), or of wider scope (a peer that names its outside) | either |
//!
//! From such an address any port may be learned (symmetric RTP through a port-rewriting NAT,
//! carriers that send from another port than they receive on): the first valid packet's source is
//! locked until signalling names another address. Only the exact address and port that SDP gave
//! may still displace a learned one, for it has the better claim: one that shares a NAT with the
//! peer and was faster loses the call again. RTCP follows RTP: beside its own signalled address it
//! is learned only from the address on which RTP is locked.
//!
//! **Fax** (UDPTL) has no header that tells it from rubbish as well as RTP's does, so less is learned
//! from it: only the exact signalled address and port, or, where the table names it, any port of the
//! host that signals.
//!
//! Carriers announce that media may come from any of their addresses. Each call's SDP still names
//! the one it uses, so that one is taken and no list of theirs is needed; one that moves a call to
//! another address or port without signalling it is not followed, for nothing tells it from an
//! attacker. Nor is a NAT that gives signalling and media different public addresses (RFC 4787
//! REQ-2 forbids it).
//!
//! Must not know: SIP, sockets, the other flows of the call.

use std::net::{IpAddr, SocketAddr};

use super::RemoteMedia;

/// Which of a pair's two ports (RFC 3550 §11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortKind {
    /// The even one.
    Rtp,
    /// The odd one.
    Rtcp,
}

/// Why a packet was not forwarded; a label value of `drawbridge_rtp_dropped_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// It came from an address that signalling does not vouch for, or not from the locked source.
    SourceMismatch,
    /// It is not a valid RTP packet on an RTP port, RTCP packet on an RTCP port, or UDPTL datagram on
    /// that of a fax.
    NotRtp,
    /// The far side has no address yet, or its stream was rejected.
    NoDestination,
    /// The peer it came from said that it would not send (`recvonly`, `inactive`).
    NotSending,
    /// The peer it would go to does not want to receive (`sendonly`, `inactive`).
    NotReceiving,
    /// It does not fit into a receive buffer.
    TooLarge,
    /// Not sent: the socket's or the network card's queue is full.
    SendQueueFull,
    /// Not sent: there is no way to its destination.
    SendUnreachable,
    /// Not sent: a packet filter of this host forbids it.
    SendForbidden,
    /// Not sent: it is longer than the way to its destination takes.
    SendTooLong,
    /// Not sent for any other reason of the operating system's.
    SendFailed,
}

impl DropReason {
    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [DropReason; 11] = [
        DropReason::SourceMismatch,
        DropReason::NotRtp,
        DropReason::NoDestination,
        DropReason::NotSending,
        DropReason::NotReceiving,
        DropReason::TooLarge,
        DropReason::SendQueueFull,
        DropReason::SendUnreachable,
        DropReason::SendForbidden,
        DropReason::SendTooLong,
        DropReason::SendFailed,
    ];

    /// The label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::SourceMismatch => "source_mismatch",
            DropReason::NotRtp => "not_rtp",
            DropReason::NoDestination => "no_destination",
            DropReason::NotSending => "not_sending",
            DropReason::NotReceiving => "not_receiving",
            DropReason::TooLarge => "too_large",
            DropReason::SendQueueFull => "send_queue_full",
            DropReason::SendUnreachable => "send_unreachable",
            DropReason::SendForbidden => "send_forbidden",
            DropReason::SendTooLong => "send_too_long",
            DropReason::SendFailed => "send_failed",
        }
    }

    /// Its place in [`DropReason::ALL`], for tables of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The rule of one direction on one port. Plain data: it can be written out, and told to a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flow {
    /// Whose packets are taken.
    pub source: SourceRule,
    /// Where they go; `None` while the far side has no address.
    pub destination: Option<Destination>,
    /// Whether the peer they come from may send them.
    pub may_send: bool,
    /// Whether the peer they go to wants them.
    pub may_receive: bool,
}

/// Where a flow's packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The far peer.
    pub address: SocketAddr,
    /// From which of our two ports on the far side (under a=rtcp-mux RTCP leaves from RTP's).
    pub from_port: PortKind,
}

/// What happens to one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forward {
    /// It goes there.
    To(Destination),
    /// It goes nowhere.
    Drop(DropReason),
    /// It was read and goes on in another form: a key that the engine is told of.
    Taken,
}

/// Decides on one valid packet of the flow's kind that came from `source`. Locks the source if the
/// rule lets it be learned; the caller sees that by [`SourceRule::locked`] having changed.
pub fn forward(flow: &mut Flow, source: SocketAddr) -> Forward {
    if !flow.source.admits(source) {
        return Forward::Drop(DropReason::SourceMismatch);
    }
    if !flow.may_send {
        return Forward::Drop(DropReason::NotSending);
    }
    flow.source.locked = Some(source);
    match flow.destination {
        None => Forward::Drop(DropReason::NoDestination),
        Some(_) if !flow.may_receive => Forward::Drop(DropReason::NotReceiving),
        Some(destination) => Forward::To(destination),
    }
}

/// From whom a port takes packets. The default takes none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SourceRule {
    /// The signalled address, where packets may come from it as it stands.
    exact: Option<SocketAddr>,
    /// The addresses from which a source may be learned, whatever its port.
    learn: [Option<IpAddr>; 2],
    /// The one source that is taken.
    locked: Option<SocketAddr>,
}

impl SourceRule {
    /// The rule for a peer's RTP.
    pub fn for_rtp(remote: &RemoteMedia) -> SourceRule {
        let learn = learnable(canonical(remote.rtp.ip()), canonical(remote.signalling));
        SourceRule { exact: plausible(remote.rtp, learn), learn, locked: None }
    }

    /// The rule for a peer's fax: of the addresses in the table, a source is learned from the one that
    /// signals alone.
    pub fn for_udptl(remote: &RemoteMedia) -> SourceRule {
        let SourceRule { exact, learn, locked } = SourceRule::for_rtp(remote);
        let signals =
            |address: IpAddr| Some(address).filter(|address| *address == canonical(remote.signalling));
        SourceRule { exact, learn: learn.map(|address| address.and_then(signals)), locked }
    }

    /// The rule for a peer's RTCP, `rtp` being the rule for its RTP as it stands now.
    pub fn for_rtcp(remote: &RemoteMedia, rtp: &SourceRule) -> SourceRule {
        let signalled = learnable(canonical(remote.rtcp.ip()), canonical(remote.signalling));
        let exact = plausible(remote.rtcp, signalled);
        let Some(locked) = rtp.locked else {
            return SourceRule { exact, learn: [None; 2], locked: None };
        };
        // RTCP that was signalled beside RTP moves with it; one that was signalled elsewhere stays.
        let moved_away =
            exact.is_some_and(|rtcp| rtcp.ip() == canonical(remote.rtp.ip()) && rtcp.ip() != locked.ip());
        SourceRule { exact: exact.filter(|_| !moved_away), learn: [Some(locked.ip()), None], locked: None }
    }

    /// The source that is taken, once one was learned.
    pub fn locked(&self) -> Option<SocketAddr> {
        self.locked
    }

    /// Where this peer is sent to: the locked source, or until there is one the signalled address
    /// if it can be reached as it stands. A peer behind a NAT is sent nothing before it was heard,
    /// for what it signalled is an address of its own network, and may be somebody else in ours.
    pub fn reachable_at(&self) -> Option<SocketAddr> {
        self.locked.or(self.exact)
    }

    /// Whether two rules vouch for the same sources, whatever was learned under them.
    pub fn is_same_claim(&self, other: &SourceRule) -> bool {
        self.exact == other.exact && self.learn == other.learn
    }

    /// Whether a packet from `source` may pass (and lock it).
    fn admits(&self, source: SocketAddr) -> bool {
        let source = SocketAddr::new(canonical(source.ip()), source.port());
        match self.locked {
            Some(locked) if locked == source => true,
            Some(_) => self.exact == Some(source),
            None => self.exact == Some(source) || self.learn.contains(&Some(source.ip())),
        }
    }
}

/// The signalled address and port, where the address is one that a source may have.
fn plausible(signalled: SocketAddr, learn: [Option<IpAddr>; 2]) -> Option<SocketAddr> {
    let address = canonical(signalled.ip());
    (signalled.port() != 0 && learn.contains(&Some(address)))
        .then(|| SocketAddr::new(address, signalled.port()))
}

/// The table at the head of this module.
fn learnable(signalled: IpAddr, signalling: IpAddr) -> [Option<IpAddr>; 2] {
    let (of_media, of_signalling) = (Scope::of(signalled), Scope::of(signalling));
    if signalled == signalling || (of_media == Scope::Public && of_signalling == Scope::Public) {
        [Some(signalled).filter(|_| of_media != Scope::Nowhere), None]
    } else if of_media < of_signalling {
        [Some(signalling), None]
    } else {
        [Some(signalled), Some(signalling).filter(|_| of_signalling != Scope::Nowhere)]
    }
}

/// How far an address means the same host, narrowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Scope {
    /// No host: unspecified, multicast, broadcast.
    Nowhere,
    /// This host.
    Loopback,
    /// One link.
    LinkLocal,
    /// One site, or one provider's customers (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// The Internet.
    Public,
}

impl Scope {
    fn of(address: IpAddr) -> Scope {
        match address {
            IpAddr::V4(v4) if v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() => Scope::Nowhere,
            IpAddr::V4(v4) if v4.is_loopback() => Scope::Loopback,
            IpAddr::V4(v4) if v4.is_link_local() => Scope::LinkLocal,
            IpAddr::V4(v4) if v4.is_private() || is_shared_v4(v4.octets()) => Scope::Private,
            IpAddr::V4(_) => Scope::Public,
            IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Scope::Nowhere,
            IpAddr::V6(v6) if v6.is_loopback() => Scope::Loopback,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::LinkLocal,
            IpAddr::V6(v6) if v6.is_unique_local() => Scope::Private,
            IpAddr::V6(_) => Scope::Public,
        }
    }
}

/// 100.64.0.0/10, the space that carriers' NATs share (RFC 6598).
const fn is_shared_v4(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

/// An IPv4 address that came dressed as IPv6, as itself.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn remote(rtp: &str, signalling: &str) -> RemoteMedia {
        let rtp = at(rtp);
        RemoteMedia::plain(rtp, signalling.parse().unwrap())
    }

    fn flow(rtp: &str, signalling: &str) -> Flow {
        Flow {
            source: SourceRule::for_rtp(&remote(rtp, signalling)),
            destination: Some(Destination { address: at("192.0.2.99:4000"), from_port: PortKind::Rtp }),
            may_send: true,
            may_receive: true,
        }
    }

    fn passes(flow: &mut Flow, source: &str) -> bool {
        match forward(flow, at(source)) {
            Forward::To(_) | Forward::Taken => true,
            Forward::Drop(reason) => {
                assert_eq!(reason, DropReason::SourceMismatch);
                false
            }
        }
    }

    /// The table of the module's head, row by row: from where the first packet may come.
    #[test]
    fn a_source_is_learned_only_from_where_signalling_vouches_for_it() {
        const YES: bool = true;
        const NO: bool = false;
        for (signalled, signalling, source, expected) in [
            // The same address.
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.7:4000", YES),
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.7:61000", YES),
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.8:4000", NO),
            ("10.1.1.5:4000", "10.1.1.5", "10.1.1.5:9", YES),
            // Both public: a gateway beside the proxy.
            ("198.51.100.9:4000", "203.0.113.7", "198.51.100.9:4002", YES),
            ("198.51.100.9:4000", "203.0.113.7", "203.0.113.7:4000", NO),
            ("198.51.100.9:4000", "203.0.113.7", "192.0.2.66:4000", NO),
            // A NAT between: private, CGNAT, loopback, link-local, unspecified.
            ("192.168.1.10:4000", "203.0.113.7", "203.0.113.7:61000", YES),
            ("192.168.1.10:4000", "203.0.113.7", "192.168.1.10:4000", NO),
            ("192.168.1.10:4000", "203.0.113.7", "192.0.2.66:4000", NO),
            ("100.64.3.3:4000", "203.0.113.7", "203.0.113.7:61000", YES),
            ("127.0.0.1:4000", "10.0.0.7", "10.0.0.7:4000", YES),
            ("127.0.0.1:4000", "10.0.0.7", "127.0.0.1:4000", NO),
            ("169.254.1.1:4000", "10.0.0.7", "10.0.0.7:4000", YES),
            ("0.0.0.0:4000", "203.0.113.7", "203.0.113.7:4000", YES),
            ("0.0.0.0:4000", "203.0.113.7", "192.0.2.66:4000", NO),
            ("[fd00::5]:4000", "2001:db8::7", "[2001:db8::7]:5", YES),
            ("[fd00::5]:4000", "2001:db8::7", "[fd00::5]:4000", NO),
            ("[::]:4000", "2001:db8::7", "[2001:db8::7]:5", YES),
            // One site: a media server beside the PBX, or a NAT within.
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.5:4000", YES),
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.1:61000", YES),
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.9:4000", NO),
            // A PBX that names its outside.
            ("203.0.113.7:4000", "192.168.1.10", "192.168.1.10:4000", YES),
            ("203.0.113.7:4000", "192.168.1.10", "203.0.113.7:4000", YES),
            ("203.0.113.7:4000", "192.168.1.10", "192.168.1.11:4000", NO),
        ] {
            let mut flow = flow(signalled, signalling);
            assert_eq!(passes(&mut flow, source), expected, "{signalled} by {signalling}: {source}");
        }
    }

    #[test]
    fn a_fax_is_learned_from_the_host_that_signals_alone() {
        for (signalled, signalling, source, expected) in [
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.7:61000", true),
            ("198.51.100.9:4000", "203.0.113.7", "198.51.100.9:4000", true),
            ("198.51.100.9:4000", "203.0.113.7", "198.51.100.9:4002", false),
            ("198.51.100.9:4000", "203.0.113.7", "203.0.113.7:4000", false),
            ("192.168.1.10:4000", "203.0.113.7", "203.0.113.7:61000", true),
            ("192.168.1.10:4000", "203.0.113.7", "192.0.2.66:4000", false),
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.5:4000", true),
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.5:4002", false),
            ("10.1.1.5:4000", "10.1.1.1", "10.1.1.1:61000", true),
        ] {
            let mut flow = flow(signalled, signalling);
            flow.source = SourceRule::for_udptl(&remote(signalled, signalling));
            assert_eq!(passes(&mut flow, source), expected, "{signalled} by {signalling}: {source}");
        }
    }

    #[test]
    fn a_stranger_gets_in_neither_before_nor_during_nor_after() {
        let mut flow = flow("192.168.1.10:4000", "203.0.113.7");
        for port in [1, 4_000, 4_001, 61_000] {
            assert!(!passes(&mut flow, &format!("192.0.2.66:{port}")));
        }
        assert!(passes(&mut flow, "203.0.113.7:61000"));
        // Not even from the right address, once a source is locked (CVE-2017-14099: not even first).
        assert!(!passes(&mut flow, "203.0.113.7:61001"));
        assert!(!passes(&mut flow, "192.0.2.66:61000"));
        assert!(passes(&mut flow, "203.0.113.7:61000"));
        assert_eq!(flow.source.locked(), Some(at("203.0.113.7:61000")));
    }

    #[test]
    fn the_signalled_source_displaces_one_that_was_faster_and_stays() {
        let mut flow = flow("203.0.113.7:4000", "203.0.113.7");
        assert!(passes(&mut flow, "203.0.113.7:5555"));
        assert!(passes(&mut flow, "203.0.113.7:4000"));
        assert!(!passes(&mut flow, "203.0.113.7:5555"));
        assert_eq!(flow.source.reachable_at(), Some(at("203.0.113.7:4000")));
    }

    #[test]
    fn a_peer_behind_a_nat_is_sent_nothing_before_it_was_heard() {
        let mut flow = flow("192.168.1.10:4000", "203.0.113.7");
        assert_eq!(flow.source.reachable_at(), None);
        assert!(passes(&mut flow, "203.0.113.7:61000"));
        assert_eq!(flow.source.reachable_at(), Some(at("203.0.113.7:61000")));
    }

    #[test]
    fn directions_are_honoured_and_a_silent_peer_teaches_nothing() {
        let mut flow = flow("203.0.113.7:4000", "203.0.113.7");
        flow.may_send = false;
        assert_eq!(forward(&mut flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NotSending));
        assert_eq!(flow.source.locked(), None);
        (flow.may_send, flow.may_receive) = (true, false);
        assert_eq!(forward(&mut flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NotReceiving));
        flow.destination = None;
        assert_eq!(forward(&mut flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NoDestination));
    }

    #[test]
    fn a_rule_of_nothing_takes_nothing() {
        let mut flow = Flow { may_send: true, ..Flow::default() };
        assert!(!passes(&mut flow, "203.0.113.7:4000"));
        let mut nowhere = self::flow("0.0.0.0:0", "0.0.0.0");
        assert!(!passes(&mut nowhere, "0.0.0.0:0"));
        assert!(!passes(&mut nowhere, "203.0.113.7:4000"));
    }

    #[test]
    fn rtcp_is_learned_only_beside_the_locked_rtp() {
        let peer = remote("192.168.1.10:4000", "203.0.113.7");
        let mut rtp = flow("192.168.1.10:4000", "203.0.113.7");
        let mut rtcp = Flow { source: SourceRule::for_rtcp(&peer, &rtp.source), ..rtp };
        assert!(!passes(&mut rtcp, "203.0.113.7:61001"));
        assert!(!passes(&mut rtcp, "192.168.1.10:4001"));
        assert!(passes(&mut rtp, "203.0.113.7:61000"));
        rtcp.source = SourceRule::for_rtcp(&peer, &rtp.source);
        assert!(!passes(&mut rtcp, "192.0.2.66:61001"));
        assert!(passes(&mut rtcp, "203.0.113.7:7777"));
        assert!(!passes(&mut rtcp, "203.0.113.7:7778"));
    }

    #[test]
    fn signalled_rtcp_passes_before_any_rtp() {
        let peer = remote("203.0.113.7:4000", "203.0.113.7");
        let rtp = flow("203.0.113.7:4000", "203.0.113.7");
        let mut rtcp = Flow { source: SourceRule::for_rtcp(&peer, &rtp.source), ..rtp };
        assert!(!passes(&mut rtcp, "203.0.113.7:4009"));
        assert!(passes(&mut rtcp, "203.0.113.7:4001"));
    }

    #[test]
    fn ipv4_dressed_as_ipv6_is_the_same_address() {
        let mut flow = flow("203.0.113.7:4000", "::ffff:203.0.113.7");
        assert!(passes(&mut flow, "203.0.113.7:4000"));
    }

    #[test]
    fn reasons_are_listed_in_the_order_of_their_index() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
