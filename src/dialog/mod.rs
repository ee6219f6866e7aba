//! A dialog (RFC 3261 §12): what one side of a call and Drawbridge agreed to call each other, and
//! how the next request of it is addressed.
//!
//! Must not know: the other leg of the call, sockets, SDP.

mod ends;
pub mod session_timer;

pub use ends::ends_call;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::base::{Hop, Transport};
use crate::sip::{Header, Message, Method, NameAddr, Scheme, Uri, Writer};

/// The most routes that a route set may have: more than any path of proxies.
pub const MAX_ROUTES: usize = 16;

/// One dialog, seen from our end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Bytes,
    /// The tag that we chose.
    pub local_tag: Bytes,
    /// The peer's tag; empty only while no response with one has come.
    pub remote_tag: Bytes,
    /// Our end as From says it: name-addr without a tag.
    pub local_address: Bytes,
    /// The peer as To says it: name-addr without a tag.
    pub remote_address: Bytes,
    /// CSeq of the last request that we sent.
    pub local_sequence: u32,
    /// CSeq of the last request that came, if any did.
    pub remote_sequence: Option<u32>,
    /// Values of Route for our requests, in order (RFC 3261 §12.1).
    pub route_set: Vec<Bytes>,
    /// The peer's Contact URI: the Request-URI of what we send.
    pub remote_target: Bytes,
    /// Where the peer's last message of this dialog came from.
    pub hop: Hop,
}

/// Why a request that came within a dialog is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SequenceFault {
    /// Its CSeq is lower than one that came before (RFC 3261 §12.2.2): 500.
    OutOfOrder,
}

impl Dialog {
    /// The dialog that a request from a peer opens, with our tag (RFC 3261 §12.1.1).
    pub fn from_request(request: &Message, hop: Hop, local_tag: &[u8]) -> Dialog {
        Dialog {
            call_id: Bytes::copy_from_slice(request.call_id()),
            local_tag: Bytes::copy_from_slice(local_tag),
            remote_tag: tag_of(request.from()),
            local_address: address_without_tag(request.to()),
            remote_address: address_without_tag(request.from()),
            // Our own requests of this dialog count from a number of ours (§12.2.1.1).
            local_sequence: 0,
            remote_sequence: request.cseq().map(|cseq| cseq.number),
            route_set: routes(request).collect(),
            // A caller of RFC 2543 need have no Contact; then From names it.
            remote_target: contact_uri(request).or_else(|| from_uri(request)).unwrap_or_default(),
            hop,
        }
    }

    /// The dialog that a response of the peer establishes for a request of ours (§12.1.2).
    pub fn from_response(request: &Message, response: &Message, hop: Hop) -> Dialog {
        let mut route_set: Vec<Bytes> = routes(response).collect();
        route_set.reverse();
        Dialog {
            call_id: Bytes::copy_from_slice(request.call_id()),
            local_tag: tag_of(request.from()),
            remote_tag: tag_of(response.to()),
            local_address: address_without_tag(request.from()),
            remote_address: address_without_tag(request.to()),
            local_sequence: request.cseq().map_or(0, |cseq| cseq.number),
            remote_sequence: None,
            route_set,
            remote_target: contact_uri(response)
                .unwrap_or_else(|| Bytes::copy_from_slice(request.request_uri_raw())),
            hop,
        }
    }

    /// Whether a message with these tags is of this dialog (Call-ID, our tag, the peer's tag).
    pub fn matches(&self, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> bool {
        self.call_id == call_id && self.local_tag == local_tag && self.remote_tag == remote_tag
    }

    /// Checks and takes the CSeq of a request that came (§12.2.2). ACK and CANCEL share that of
    /// their INVITE and are not asked.
    pub fn take_sequence(&mut self, number: u32) -> Result<(), SequenceFault> {
        match self.remote_sequence {
            Some(last) if number <= last => Err(SequenceFault::OutOfOrder),
            _ => {
                self.remote_sequence = Some(number);
                Ok(())
            }
        }
    }

    /// Takes a new remote target from a target-refresh request or its 2xx (§12.2.1.2, §12.2.2).
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = contact_uri(message) {
            self.remote_target = target;
        }
    }

    /// Begins the next request of this dialog: Request-URI, Via, Route, From, To, Call-ID, CSeq
    /// and Max-Forwards (§12.2.1.1).
    pub fn request(&mut self, method: &Method, via: &str) -> Writer {
        self.local_sequence += 1;
        self.write(method, self.local_sequence, via)
    }

    /// Begins the ACK of a 2xx: a request with its INVITE's CSeq (§13.2.2.4).
    pub fn ack(&self, invite_sequence: u32, via: &str) -> Writer {
        self.write(&Method::Ack, invite_sequence, via)
    }

    fn write(&self, method: &Method, sequence: u32, via: &str) -> Writer {
        let strict = self.route_set.first().filter(|route| !is_loose(route));
        let request_uri = match strict {
            Some(route) => route_uri(route),
            None => &self.remote_target,
        };
        let mut writer = Writer::request(method, request_uri).header(Header::Via, via);
        // A strict router wants itself in the Request-URI and the target at the end (§12.2.1.1).
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            writer = writer.header(Header::Route, route);
        }
        if strict.is_some() {
            writer = writer.header(Header::Route, [b"<", &self.remote_target[..], b">"].concat());
        }
        writer
            .header(Header::From, tagged(&self.local_address, &self.local_tag))
            .header(Header::To, tagged(&self.remote_address, &self.remote_tag))
            .header(Header::CallId, &self.call_id)
            .header(Header::CSeq, [sequence.to_string().as_bytes(), b" ", method.as_bytes()].concat())
            .header(Header::MaxForwards, "70")
    }

    /// Where the next request goes: the first route, else the target (§12.2.1.1), if that is an
    /// address that can be reached from here. A name, or a private address of a peer that we see
    /// under a public one (NAT), is replaced by where the peer's last message came from.
    ///
    /// The transport is what the URI says, else what the dialog has; TLS is never left. The listener
    /// is the dialog's, whatever its transport.
    pub fn next_hop(&self) -> Hop {
        let Ok(uri) = Uri::parse(self.next_uri()) else { return self.hop };
        let written = written_transport(&uri).filter(|_| self.hop.transport != Transport::Tls);
        self.next_hop_by(written.unwrap_or(self.hop.transport))
    }

    /// The same over a transport that is settled, whatever the URI says.
    pub fn next_hop_by(&self, transport: Transport) -> Hop {
        let Ok(uri) = Uri::parse(self.next_uri()) else { return self.hop };
        match reachable(&uri, self.hop.peer, transport.default_port()) {
            Some(peer) => Hop { peer, transport, ..self.hop },
            None => self.hop,
        }
    }

    /// Where the peer may listen if it cannot be reached where it was seen: there, at the port that
    /// its URI says.
    pub fn listening_hop(&self) -> Hop {
        let port = Uri::parse(self.next_uri()).ok().and_then(|uri| uri.port);
        let port = port.unwrap_or(self.hop.transport.default_port());
        Hop { peer: SocketAddr::new(self.hop.peer.ip(), port), ..self.hop }
    }

    /// A request of the peer's came from there. One message alone may have taken TCP for its size
    /// (§18.1.1), so UDP stays UDP; and TLS is never left.
    pub fn saw(&mut self, hop: Hop) {
        if hop.transport == self.hop.transport || self.hop.transport == Transport::Tcp {
            self.hop = hop;
        }
    }

    /// The first route, else the target.
    fn next_uri(&self) -> &[u8] {
        self.route_set.first().map_or(&self.remote_target[..], |route| route_uri(route))
    }
}

/// What a URI says of the transport (§19.1.1); `sips:` asks for TLS (§26.2.2).
fn written_transport(uri: &Uri<'_>) -> Option<Transport> {
    if uri.scheme == Scheme::Sips {
        return Some(Transport::Tls);
    }
    let value = uri.params.value("transport")?;
    [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|transport| value.eq_ignore_ascii_case(transport.as_str().as_bytes()))
}

/// The address of a URI, unless the peer is better reached where it was seen.
fn reachable(uri: &Uri<'_>, seen: SocketAddr, default_port: u16) -> Option<SocketAddr> {
    let address = uri.host_address()?;
    let behind_nat = is_private(address) && !is_private(seen.ip());
    let usable = !behind_nat
        && address.is_ipv6() == seen.is_ipv6()
        && !address.is_unspecified()
        // Ours would be meant by it, not the peer's.
        && (!address.is_loopback() || seen.ip().is_loopback())
        && !address.is_multicast();
    usable.then(|| SocketAddr::new(address, uri.port.unwrap_or(default_port)))
}

/// Addresses that mean nothing outside their own network (RFC 1918, RFC 6598, RFC 4193, link
/// local).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// name-addr with a tag behind it, if there is one.
pub fn tagged(address: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut value = address.to_vec();
    if !tag.is_empty() {
        value.extend_from_slice(b";tag=");
        value.extend_from_slice(tag);
    }
    value
}

fn tag_of(address: Option<NameAddr<'_>>) -> Bytes {
    Bytes::copy_from_slice(address.and_then(|address| address.tag()).unwrap_or(b""))
}

fn address_without_tag(address: Option<NameAddr<'_>>) -> Bytes {
    let Some(address) = address else { return Bytes::new() };
    let mut value = address.display.map_or_else(Vec::new, |display| [display, b" "].concat());
    value.push(b'<');
    value.extend_from_slice(address.uri_raw);
    value.push(b'>');
    for (name, content) in address.params.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"tag")) {
        value.push(b';');
        value.extend_from_slice(name);
        if let Some(content) = content {
            value.push(b'=');
            value.extend_from_slice(content);
        }
    }
    Bytes::from(value)
}

fn contact_uri(message: &Message) -> Option<Bytes> {
    let contact = message.contact()?;
    let uri = contact.uri().ok()?;
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips).then(|| Bytes::copy_from_slice(contact.uri_raw))
}

fn from_uri(message: &Message) -> Option<Bytes> {
    let from = message.from()?;
    from.uri().ok().map(|_| Bytes::copy_from_slice(from.uri_raw))
}

fn routes(message: &Message) -> impl Iterator<Item = Bytes> {
    message.list(Header::RecordRoute).take(MAX_ROUTES).map(Bytes::copy_from_slice)
}

fn route_uri(route: &[u8]) -> &[u8] {
    NameAddr::parse(route).map_or(route, |address| address.uri_raw)
}

fn is_loose(route: &[u8]) -> bool {
    Uri::parse(route_uri(route)).is_ok_and(|uri| uri.params.has("lr"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ListenerId;

    fn hop(peer: &str) -> Hop {
        Hop::new(ListenerId(0), Transport::Udp, peer.parse().unwrap())
    }

    fn invite(extra: &[(Header, &str)]) -> Message {
        let mut writer = Writer::request(&Method::Invite, b"sip:+1@203.0.113.5")
            .header(Header::Via, "SIP/2.0/UDP 18.184.175.4:5060;branch=z9hG4bKd43d")
            .header(Header::From, "\"A\" <sip:+46733478561@18.194.168.245>;tag=as386;x=1")
            .header(Header::To, "<sip:4690001@52.214.25.57>")
            .header(Header::CallId, "c1")
            .header(Header::CSeq, "10 INVITE")
            .header(Header::Contact, "<sip:+46733478561@18.194.168.245:5080>");
        for (header, value) in extra {
            writer = writer.header(*header, value);
        }
        writer.finish().unwrap()
    }

    fn text(writer: Writer) -> String {
        String::from_utf8(writer.finish().unwrap().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_callees_requests_follow_the_record_route_with_its_parameters() {
        let request = invite(&[(
            Header::RecordRoute,
            "<sip:18.184.175.4;ftag=as386cfb27;lr=on>, <sip:18.194.168.1:5070;lr>",
        )]);
        let mut dialog = Dialog::from_request(&request, hop("18.184.175.4:5060"), b"ours");
        assert_eq!(dialog.next_hop().peer, "18.184.175.4:5060".parse().unwrap());
        assert_eq!(
            text(dialog.request(&Method::Bye, "V")),
            "BYE sip:+46733478561@18.194.168.245:5080 SIP/2.0\r\n\
             Via: V\r\n\
             Route: <sip:18.184.175.4;ftag=as386cfb27;lr=on>\r\n\
             Route: <sip:18.194.168.1:5070;lr>\r\n\
             From: <sip:4690001@52.214.25.57>;tag=ours\r\n\
             To: \"A\" <sip:+46733478561@18.194.168.245>;x=1;tag=as386\r\n\
             Call-ID: c1\r\n\
             CSeq: 1 BYE\r\n\
             Max-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_callers_route_set_is_the_record_route_reversed() {
        let request = invite(&[]);
        let response = crate::sip::response_to(
            &request,
            "10.0.0.1:5060".parse().unwrap(),
            crate::sip::Status::of(200),
            None,
            Some("theirs"),
        )
        .header(Header::RecordRoute, "<sip:10.0.0.2;lr>")
        .header(Header::RecordRoute, "<sip:10.0.0.1;lr>")
        .header(Header::Contact, "<sip:x@10.9.9.9:5090>")
        .finish()
        .unwrap();
        let mut dialog = Dialog::from_response(&request, &response, hop("10.0.0.1:5060"));
        assert_eq!(dialog.route_set, ["<sip:10.0.0.1;lr>", "<sip:10.0.0.2;lr>"]);
        assert_eq!(&dialog.remote_target[..], b"sip:x@10.9.9.9:5090");
        assert!(dialog.matches(b"c1", b"as386", b"theirs") && !dialog.matches(b"c1", b"as386", b""));
        assert!(text(dialog.ack(10, "V")).contains("CSeq: 10 ACK\r\n"));
        assert!(text(dialog.request(&Method::Bye, "V")).contains("CSeq: 11 BYE\r\n"));
    }

    #[test]
    fn a_strict_router_gets_itself_as_request_uri() {
        let request = invite(&[(Header::RecordRoute, "<sip:10.0.0.1>, <sip:10.0.0.2;lr>")]);
        let mut dialog = Dialog::from_request(&request, hop("10.0.0.1:5060"), b"ours");
        let written = text(dialog.request(&Method::Bye, "V"));
        assert!(written.starts_with("BYE sip:10.0.0.1 SIP/2.0\r\n"), "{written}");
        assert!(
            written.contains(
                "Route: <sip:10.0.0.2;lr>\r\nRoute: <sip:+46733478561@18.194.168.245:5080>\r\nFrom"
            )
        );
    }

    #[test]
    fn a_peer_behind_nat_is_answered_where_it_was_seen() {
        let contact = |uri: &str, seen: &str| {
            let mut dialog = Dialog::from_request(&invite(&[]), hop(seen), b"ours");
            dialog.remote_target = Bytes::copy_from_slice(uri.as_bytes());
            dialog.next_hop().peer.to_string()
        };
        assert_eq!(contact("sip:a@192.168.1.7:5060", "198.51.100.9:40000"), "198.51.100.9:40000");
        assert_eq!(contact("sip:a@192.168.1.7:5070", "192.168.1.1:5060"), "192.168.1.7:5070");
        assert_eq!(contact("sip:a@198.51.100.10", "198.51.100.9:40000"), "198.51.100.10:5060");
        assert_eq!(contact("sip:a@gw.example.com", "198.51.100.9:40000"), "198.51.100.9:40000");
        assert_eq!(contact("sip:a@0.0.0.0", "198.51.100.9:40000"), "198.51.100.9:40000");
    }

    #[test]
    fn a_uri_says_its_transport_and_tls_is_never_left() {
        let next = |uri: &str, transport| {
            let seen = Hop { transport, ..hop("198.51.100.9:40000") };
            let mut dialog = Dialog::from_request(&invite(&[]), seen, b"ours");
            dialog.remote_target = Bytes::copy_from_slice(uri.as_bytes());
            let next = dialog.next_hop();
            format!("{} {}", next.transport, next.peer)
        };
        use Transport::{Tcp, Tls, Udp};
        assert_eq!(next("sip:a@198.51.100.9;transport=TCP", Udp), "tcp 198.51.100.9:5060");
        assert_eq!(next("sip:a@198.51.100.9;transport=udp", Tcp), "udp 198.51.100.9:5060");
        assert_eq!(next("sip:a@198.51.100.9:5070", Tcp), "tcp 198.51.100.9:5070");
        assert_eq!(next("sips:a@198.51.100.9", Udp), "tls 198.51.100.9:5061");
        assert_eq!(next("sip:a@198.51.100.9;transport=udp", Tls), "tls 198.51.100.9:5061");
        assert_eq!(next("sip:a@gw.example;transport=tcp", Udp), "udp 198.51.100.9:40000");
        assert_eq!(next("sip:a@198.51.100.9;transport=sctp", Udp), "udp 198.51.100.9:5060");
    }

    #[test]
    fn one_message_over_tcp_does_not_move_a_dialog_from_udp() {
        let mut dialog = Dialog::from_request(&invite(&[]), hop("198.51.100.9:5060"), b"ours");
        let tcp = Hop { transport: Transport::Tcp, ..hop("198.51.100.9:40000") };
        dialog.saw(tcp);
        assert_eq!(dialog.hop, hop("198.51.100.9:5060"));
        dialog.hop = tcp;
        dialog.saw(hop("198.51.100.9:5062"));
        assert_eq!(dialog.hop, hop("198.51.100.9:5062"));
    }

    #[test]
    fn sequence_numbers_only_grow() {
        let mut dialog = Dialog::from_request(&invite(&[]), hop("10.0.0.1:5060"), b"ours");
        assert_eq!(dialog.take_sequence(10), Err(SequenceFault::OutOfOrder));
        assert_eq!(dialog.take_sequence(11), Ok(()));
        assert_eq!(dialog.take_sequence(20), Ok(()));
        assert_eq!(dialog.take_sequence(19), Err(SequenceFault::OutOfOrder));
    }
}
