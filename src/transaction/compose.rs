//! The messages that the layer itself says: 100 and 503, ACK for a final response other than 2xx,
//! CANCEL.
//!
//! Each gives `None` where the message would not fit a datagram, which only one built of parts near
//! the limit does: then it is not sent.
//!
//! Must not know: transactions.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use crate::sip::{Header, Message, Method, Status, Writer, response_to};

/// What a request of ours begins with (§8.1.1.6).
const MAX_FORWARDS: &str = "70";

/// The 100 for an INVITE (§17.2.1, §8.2.6.1): no To tag.
pub(super) fn trying(invite: &Message, source: SocketAddr) -> Option<Message> {
    response_to(invite, source, Status::of(100), None, None).finish().ok()
}

/// The 503 for a request that gets no transaction (§8.2.7, §21.5.4).
pub(super) fn overloaded(request: &Message, source: SocketAddr, retry_after_seconds: u32) -> Option<Message> {
    response_to(request, source, Status::of(503), None, Some(&stateless_tag(request)))
        .display(Header::RetryAfter, retry_after_seconds)
        .finish()
        .ok()
}

/// Whether this is the ACK for [`overloaded`]. §8.2.7: "A stateless UAS MUST ignore ACK requests."
pub(super) fn acknowledges_overloaded(ack: &Message) -> bool {
    let tag = ack.to().and_then(|to| to.tag());
    tag.is_some_and(|tag| tag == stateless_tag(ack).as_bytes())
}

/// §8.2.7: "A stateless UAS […] MUST generate To tags in a stateless manner, in a manner that will
/// generate the same tag for the same request consistently." It leads to no dialog, so that it may
/// be guessed.
fn stateless_tag(request: &Message) -> String {
    let mut hasher = DefaultHasher::new();
    request.top_via().and_then(|via| via.branch()).hash(&mut hasher);
    request.call_id().hash(&mut hasher);
    request.cseq().map(|cseq| cseq.number).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The ACK for a final response other than 2xx (§17.1.1.3): "The ACK request constructed by the
/// client transaction MUST contain values for the Call-ID, From, and Request-URI that are equal to
/// the values of those header fields in the request passed to the transport by the client
/// transaction. The To header field in the ACK MUST equal the To header field in the response being
/// acknowledged." §22.1: "UACs creating an ACK message will duplicate all of the Authorization and
/// Proxy-Authorization header field values that appeared in the INVITE to which the ACK corresponds."
pub(super) fn ack(invite: &Message, response: &Message) -> Option<Message> {
    let writer = same_hop(invite, Method::Ack, response);
    writer.copy(invite, Header::Authorization).copy(invite, Header::ProxyAuthorization).finish().ok()
}

/// The CANCEL of an INVITE (§9.1), with a Reason (RFC 3326) if there is one to tell: "The
/// Request-URI, Call-ID, To, the numeric part of CSeq, and From header fields in the CANCEL request
/// MUST be identical to those in the request being cancelled, including tags."
pub(super) fn cancel(invite: &Message, reason: Option<&[u8]>) -> Option<Message> {
    let mut writer = same_hop(invite, Method::Cancel, invite);
    if let Some(reason) = reason {
        writer = writer.header(Header::Reason, reason);
    }
    writer.finish().ok()
}

/// What ACK and CANCEL have in common. §17.1.1.3, and §9.1 likewise: "The ACK MUST contain a single
/// Via header field, and this MUST be equal to the top Via header field of the original request."
/// "The CSeq header field in the ACK MUST contain the same value for the sequence number as was
/// present in the original request, but the method parameter MUST be equal to 'ACK'." "If the INVITE
/// request whose response is being acknowledged had Route header fields, those header fields MUST
/// appear in the ACK."
fn same_hop(invite: &Message, method: Method, to: &Message) -> Writer {
    let number = invite.cseq().map_or(0, |cseq| cseq.number);
    Writer::request(&method, invite.request_uri_raw())
        .header(Header::Via, invite.list(Header::Via).next().unwrap_or(b""))
        .header(Header::MaxForwards, MAX_FORWARDS)
        .copy(invite, Header::Route)
        .copy(invite, Header::From)
        .copy(to, Header::To)
        .copy(invite, Header::CallId)
        .display(Header::CSeq, format_args!("{number} {}", method.label()))
}
