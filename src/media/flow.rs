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
//! carriers that send from another port than they receive on). `latch` of a trunk widens or narrows
//! the table: with `learn` a source may be learned from anywhere, with `strict` there is the signalled
//! address and port and nothing else. How well a source is vouched for is its [`Claim`]; what one has
//! to show before it is locked is in `learning.rs`. Once locked, a source is taken until signalling
//! names another address, or one of a better claim is heard: the exact signalled address, say, takes
//! a call back from whoever shares a NAT with the peer and was faster.
//!
//! RTCP follows RTP: beside its own signalled address it is learned only from the address on which RTP
//! was learned, and where it shares RTP's port it comes from where RTP comes from.
//!
//! **Fax** (UDPTL) has no header that tells it from rubbish as well as RTP's does, so less is learned
//! from it: only the exact signalled address and port, or, where the table names it, any port of the
//! host that signals, with `learn` too.
//!
//! Carriers announce that media may come from any of their addresses. Each call's SDP still names
//! the one it uses, so that one is taken and no list of theirs is needed; one that moves a call to
//! another address or port without signalling it is not followed, for nothing tells it from an
//! attacker. Nor is a NAT that gives signalling and media different public addresses (RFC 4787
//! REQ-2 forbids it).
//!
//! Must not know: SIP, sockets, the other flows of the call.

use std::net::{IpAddr, SocketAddr};

use super::{Latch, RemoteMedia};

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
    /// Its source may be the peer, and has not shown enough of itself yet.
    Learning,
    /// Its source might be the peer, but the packet is none of the peer's: a payload type that neither
    /// side's SDP lists, RTCP of another SSRC than that of the RTP beside it.
    Implausible,
}

impl DropReason {
    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [DropReason; 13] = [
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
        DropReason::Learning,
        DropReason::Implausible,
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
            DropReason::Learning => "learning",
            DropReason::Implausible => "implausible",
        }
    }

    /// Whether a packet that is dropped for this is still the call's own peer's: it is measured, and a sign
    /// of life, though nobody gets it.
    pub const fn is_of_peer(self) -> bool {
        match self {
            DropReason::NoDestination | DropReason::NotReceiving => true,
            DropReason::SourceMismatch
            | DropReason::NotRtp
            | DropReason::NotSending
            | DropReason::TooLarge
            | DropReason::SendQueueFull
            | DropReason::SendUnreachable
            | DropReason::SendForbidden
            | DropReason::SendTooLong
            | DropReason::SendFailed
            | DropReason::Learning
            | DropReason::Implausible => false,
        }
    }

    /// Its place in [`DropReason::ALL`], for tables of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The rule of one direction on one port. Plain data: it can be written out, and told to a kernel. What
/// every packet is compared with lies together: the end of this and the begin of [`SourceRule`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct Flow {
    /// Where packets go; `None` while the far side has no address.
    pub destination: Option<Destination>,
    /// Whether the peer they come from may send them.
    pub may_send: bool,
    /// Whether the peer they go to wants them.
    pub may_receive: bool,
    /// Whose packets are taken.
    pub source: SourceRule,
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

/// Decides on one valid packet of the flow's kind that came from `source`: it passes if that is the
/// locked one. One comparison; learning is for packets that this drops as a mismatch.
pub(super) fn forward(flow: &Flow, source: SocketAddr) -> Forward {
    match flow.source.locked == Some(canonical_source(source)) {
        true => flow.onward(),
        false => Forward::Drop(DropReason::SourceMismatch),
    }
}

impl Flow {
    /// Where a packet goes whose source is the peer's.
    pub fn onward(&self) -> Forward {
        if !self.may_send {
            return Forward::Drop(DropReason::NotSending);
        }
        match self.destination {
            None => Forward::Drop(DropReason::NoDestination),
            Some(_) if !self.may_receive => Forward::Drop(DropReason::NotReceiving),
            Some(destination) => Forward::To(destination),
        }
    }
}

/// How well signalling vouches for a source, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Claim {
    /// Not at all; `latch = "learn"` takes it all the same.
    #[default]
    Anywhere,
    /// Its address is one of the table's.
    Vouched,
    /// It is the address and port that SDP names.
    Exact,
}

/// What a way of latching allows: the one place that knows them by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Latitude {
    /// Nothing but the signalled address and port is taken.
    pub(super) exact_only: bool,
    /// A source may be learned from anywhere.
    pub(super) anywhere: bool,
    /// The old source counts for a while when signalling has moved the peer (`lingering.rs`).
    pub(super) lingers: bool,
}

impl Latitude {
    pub(super) const fn of(latch: Latch) -> Latitude {
        match latch {
            Latch::Signalled => Latitude { exact_only: false, anywhere: false, lingers: true },
            Latch::Learn => Latitude { exact_only: false, anywhere: true, lingers: true },
            Latch::Strict => Latitude { exact_only: true, anywhere: false, lingers: false },
        }
    }
}

/// From whom a port takes packets. The default takes none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct SourceRule {
    /// The one source that is taken.
    locked: Option<SocketAddr>,
    /// By what claim that is.
    claim: Claim,
    /// The signalled address, where packets may come from it as it stands.
    exact: Option<SocketAddr>,
    /// The addresses that signalling vouches for: a source may be learned from them, whatever its port.
    vouched: [Option<IpAddr>; 2],
    /// Whether it may be learned from others too.
    anywhere: bool,
    /// Where the peer is sent to before any source was locked, though SDP names no place that can be
    /// reached.
    tentative: Option<SocketAddr>,
}

impl SourceRule {
    /// The rule for a peer's RTP.
    pub fn for_rtp(remote: &RemoteMedia) -> SourceRule {
        let Latitude { exact_only, anywhere, .. } = Latitude::of(remote.latch);
        if exact_only {
            return SourceRule { exact: meaningful(remote.rtp), ..SourceRule::default() };
        }
        let vouched = vouched_addresses(canonical(remote.rtp.ip()), canonical(remote.signalling));
        SourceRule { exact: plausible(remote.rtp, vouched), vouched, anywhere, ..SourceRule::default() }
    }

    /// The rule for a peer's fax: of the addresses in the table, a source is learned from the one that
    /// signals alone.
    pub fn for_udptl(remote: &RemoteMedia) -> SourceRule {
        let rule = SourceRule::for_rtp(remote);
        let signals =
            |address: IpAddr| Some(address).filter(|address| *address == canonical(remote.signalling));
        let vouched = rule.vouched.map(|address| address.and_then(signals));
        SourceRule { vouched, anywhere: false, ..rule }
    }

    /// The rule for a peer's RTCP, `rtp` being the rule for its RTP as it stands now.
    pub fn for_rtcp(remote: &RemoteMedia, rtp: &SourceRule) -> SourceRule {
        if Latitude::of(remote.latch).exact_only {
            return SourceRule { exact: meaningful(remote.rtcp), ..SourceRule::default() };
        }
        let signalled = vouched_addresses(canonical(remote.rtcp.ip()), canonical(remote.signalling));
        let exact = plausible(remote.rtcp, signalled);
        let Some(locked) = rtp.locked else { return SourceRule { exact, ..SourceRule::default() } };
        // RTCP that was signalled beside RTP moves with it; one that was signalled elsewhere stays.
        let moved_away =
            exact.is_some_and(|rtcp| rtcp.ip() == canonical(remote.rtp.ip()) && rtcp.ip() != locked.ip());
        // A peer that sends RTP from where it says does so with RTCP (RFC 4961 §4).
        let vouched = [Some(locked.ip()).filter(|_| rtp.claim < Claim::Exact), None];
        SourceRule { exact: exact.filter(|_| !moved_away), vouched, ..SourceRule::default() }
    }

    /// The source that is taken, once one was learned.
    pub fn locked(&self) -> Option<SocketAddr> {
        self.locked
    }

    /// By what claim a source is locked.
    pub fn locked_by(&self) -> Option<Claim> {
        self.locked.map(|_| self.claim)
    }

    /// How well a source is vouched for; `None`: it is a stranger.
    pub fn claim_of(&self, source: SocketAddr) -> Option<Claim> {
        let source = canonical_source(source);
        if self.exact == Some(source) {
            Some(Claim::Exact)
        } else if self.vouched.contains(&Some(source.ip())) {
            Some(Claim::Vouched)
        } else {
            (self.anywhere && Scope::of(source.ip()) != Scope::Nowhere).then_some(Claim::Anywhere)
        }
    }

    /// Takes this source and no other from now on.
    pub fn lock(&mut self, source: SocketAddr, claim: Claim) {
        (self.locked, self.claim, self.tentative) = (Some(canonical_source(source)), claim, None);
    }

    /// Sends the peer's media to this source, and takes none of it.
    pub fn answer_tentatively(&mut self, source: SocketAddr) {
        self.tentative = Some(canonical_source(source));
    }

    /// Where this peer is sent to: the locked source, or until there is one the signalled address
    /// if it can be reached as it stands. A peer behind a NAT is sent nothing before it was heard,
    /// for what it signalled is an address of its own network, and may be somebody else in ours.
    pub fn reachable_at(&self) -> Option<SocketAddr> {
        self.locked.or(self.exact).or(self.tentative)
    }

    /// Whether two rules vouch for the same sources, whatever was learned under them.
    pub fn is_same_claim(&self, other: &SourceRule) -> bool {
        self.exact == other.exact && self.vouched == other.vouched && self.anywhere == other.anywhere
    }
}

/// A signalled address and port that name a place.
fn meaningful(signalled: SocketAddr) -> Option<SocketAddr> {
    let signalled = canonical_source(signalled);
    (signalled.port() != 0 && Scope::of(signalled.ip()) != Scope::Nowhere).then_some(signalled)
}

/// The signalled address and port, where the address is one that a source may have.
fn plausible(signalled: SocketAddr, vouched: [Option<IpAddr>; 2]) -> Option<SocketAddr> {
    let address = canonical(signalled.ip());
    (signalled.port() != 0 && vouched.contains(&Some(address)))
        .then(|| SocketAddr::new(address, signalled.port()))
}

/// The table at the head of this module.
fn vouched_addresses(signalled: IpAddr, signalling: IpAddr) -> [Option<IpAddr>; 2] {
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

/// The same of an address with its port.
pub(super) fn canonical_source(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(source.ip()), source.port())
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

    fn rule(rtp: &str, signalling: &str) -> SourceRule {
        SourceRule::for_rtp(&remote(rtp, signalling))
    }

    fn latched(latch: Latch, rtp: &str, signalling: &str) -> SourceRule {
        SourceRule::for_rtp(&RemoteMedia { latch, ..remote(rtp, signalling) })
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
            let claim = rule(signalled, signalling).claim_of(at(source));
            assert_eq!(claim.is_some(), expected, "{signalled} by {signalling}: {source}");
            assert_eq!(claim == Some(Claim::Exact), expected && signalled == source);
        }
    }

    #[test]
    fn a_trunk_may_take_media_from_anywhere_or_from_the_signalled_port_alone() {
        use Claim::{Anywhere, Exact, Vouched};
        for (signalled, signalling, source, learn, strict) in [
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.7:4000", Some(Exact), Some(Exact)),
            ("203.0.113.7:4000", "203.0.113.7", "203.0.113.7:4002", Some(Vouched), None),
            ("203.0.113.7:4000", "203.0.113.7", "192.0.2.66:4000", Some(Anywhere), None),
            ("192.168.1.10:4000", "203.0.113.7", "203.0.113.7:61000", Some(Vouched), None),
            ("192.168.1.10:4000", "203.0.113.7", "192.168.1.10:4000", Some(Anywhere), Some(Exact)),
            ("0.0.0.0:4000", "203.0.113.7", "203.0.113.7:4000", Some(Vouched), None),
            ("0.0.0.0:4000", "203.0.113.7", "0.0.0.0:4000", None, None),
            ("203.0.113.7:0", "203.0.113.7", "203.0.113.7:0", Some(Vouched), None),
            ("203.0.113.7:4000", "203.0.113.7", "[::ffff:203.0.113.7]:4000", Some(Exact), Some(Exact)),
        ] {
            for (latch, expected) in [(Latch::Learn, learn), (Latch::Strict, strict)] {
                let claim = latched(latch, signalled, signalling).claim_of(at(source));
                assert_eq!(claim, expected, "{latch:?}: {signalled} by {signalling}: {source}");
            }
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
            for latch in [Latch::Signalled, Latch::Learn] {
                let remote = RemoteMedia { latch, ..remote(signalled, signalling) };
                let claim = SourceRule::for_udptl(&remote).claim_of(at(source));
                assert_eq!(claim.is_some(), expected, "{signalled} by {signalling}: {source}");
            }
        }
    }

    #[test]
    fn a_peer_behind_a_nat_is_sent_nothing_before_it_was_heard() {
        let mut rule = rule("192.168.1.10:4000", "203.0.113.7");
        assert_eq!(rule.reachable_at(), None);
        rule.answer_tentatively(at("203.0.113.7:61002"));
        assert_eq!((rule.reachable_at(), rule.locked()), (Some(at("203.0.113.7:61002")), None));
        rule.lock(at("203.0.113.7:61000"), Claim::Vouched);
        assert_eq!(rule.reachable_at(), Some(at("203.0.113.7:61000")));
    }

    #[test]
    fn the_locked_source_alone_passes_and_only_where_directions_allow() {
        let destination = Destination { address: at("192.0.2.99:4000"), from_port: PortKind::Rtp };
        let source = rule("203.0.113.7:4000", "203.0.113.7");
        let mut flow = Flow { source, destination: Some(destination), may_send: true, may_receive: true };
        let mismatch = Forward::Drop(DropReason::SourceMismatch);
        assert_eq!(forward(&flow, at("203.0.113.7:4000")), mismatch);
        flow.source.lock(at("203.0.113.7:5"), Claim::Vouched);
        assert_eq!(forward(&flow, at("203.0.113.7:4000")), mismatch);
        assert_eq!(forward(&flow, at("203.0.113.7:5")), Forward::To(destination));
        assert_eq!(forward(&flow, at("[::ffff:203.0.113.7]:5")), Forward::To(destination));
        flow.may_receive = false;
        assert_eq!(forward(&flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NotReceiving));
        flow.destination = None;
        assert_eq!(forward(&flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NoDestination));
        flow.may_send = false;
        assert_eq!(forward(&flow, at("203.0.113.7:5")), Forward::Drop(DropReason::NotSending));
    }

    #[test]
    fn a_rule_of_nothing_takes_nothing() {
        assert_eq!(SourceRule::default().claim_of(at("203.0.113.7:4000")), None);
        for latch in [Latch::Signalled, Latch::Strict] {
            let nowhere = latched(latch, "0.0.0.0:0", "0.0.0.0");
            assert_eq!(nowhere.claim_of(at("0.0.0.0:0")), None);
            assert_eq!(nowhere.claim_of(at("203.0.113.7:4000")), None);
        }
    }

    #[test]
    fn rtcp_is_learned_only_beside_the_locked_rtp() {
        let peer = remote("192.168.1.10:4000", "203.0.113.7");
        let mut rtp = SourceRule::for_rtp(&peer);
        let before = SourceRule::for_rtcp(&peer, &rtp);
        assert_eq!(before.claim_of(at("203.0.113.7:61001")), None);
        assert_eq!(before.claim_of(at("192.168.1.10:4001")), None);
        rtp.lock(at("203.0.113.7:61000"), Claim::Vouched);
        let after = SourceRule::for_rtcp(&peer, &rtp);
        assert_eq!(after.claim_of(at("203.0.113.7:7777")), Some(Claim::Vouched));
        assert_eq!(after.claim_of(at("192.0.2.66:61001")), None);
    }

    #[test]
    fn signalled_rtcp_passes_before_any_rtp_and_beside_signalled_rtp_no_other() {
        let peer = remote("203.0.113.7:4000", "203.0.113.7");
        let mut rtp = SourceRule::for_rtp(&peer);
        let rtcp = SourceRule::for_rtcp(&peer, &rtp);
        assert_eq!(rtcp.claim_of(at("203.0.113.7:4009")), None);
        assert_eq!(rtcp.claim_of(at("203.0.113.7:4001")), Some(Claim::Exact));
        rtp.lock(peer.rtp, Claim::Exact);
        for latch in [Latch::Signalled, Latch::Learn, Latch::Strict] {
            let rtcp = SourceRule::for_rtcp(&RemoteMedia { latch, ..peer }, &rtp);
            assert_eq!(rtcp.claim_of(at("203.0.113.7:4009")), None);
            assert_eq!(rtcp.claim_of(at("203.0.113.7:4001")), Some(Claim::Exact));
        }
    }

    #[test]
    fn ipv4_dressed_as_ipv6_is_the_same_address() {
        let rule = rule("203.0.113.7:4000", "::ffff:203.0.113.7");
        assert_eq!(rule.claim_of(at("203.0.113.7:4000")), Some(Claim::Exact));
    }

    #[test]
    fn reasons_are_listed_in_the_order_of_their_index() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
