//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).
//!
//! The RFC's key of a server transaction is the top Via's branch and sent-by. Here Call-ID and CSeq
//! number stand in the place of sent-by, because a NAT with a SIP gateway in it may write the Via of
//! a CANCEL otherwise than that of its INVITE: the CANCEL then matches nothing, and the callee rings
//! on. A branch with the magic cookie is unique by itself, and CANCEL and ACK carry the Call-ID and
//! CSeq number of their INVITE (§9.1, §17.1.1.3), so nothing is lost. The listener is part of the
//! key, so that nobody in one realm can touch a transaction of the other.
//!
//! Branches are compared byte for byte: whoever repeats a request repeats its bytes, and whoever
//! answers ours copies them.
//!
//! Keys share the bytes of their message. The tables hash them with keys of their own (SipHash),
//! so that no sender can choose colliding ones.

use bytes::Bytes;

use crate::base::ListenerId;
use crate::sip::{Message, Method, trim};

/// The key of a client transaction (§17.1.3): the branch that we drew, which nobody can guess, and
/// the method in CSeq, because a CANCEL shares the branch of its INVITE. Where the response comes
/// from is not compared: it may come from elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ClientKey {
    branch: Bytes,
    method: Method,
}

impl ClientKey {
    /// The key of a request that we send, and of each of its responses. `None`: no branch, or no
    /// CSeq.
    pub(super) fn of(message: &Message) -> Option<ClientKey> {
        let branch = message.top_via()?.branch()?;
        Some(ClientKey { branch: shared(message, branch), method: message.cseq()?.method })
    }
}

impl ClientKey {
    /// The key of an INVITE of ours of which these are the first bytes: it begins with its only Via.
    pub(super) fn quoted(bytes: &[u8]) -> Option<ClientKey> {
        const PARAMETER: &[u8] = b";branch=";
        if !bytes.starts_with(b"INVITE ") {
            return None;
        }
        let at = memchr::memmem::find(bytes, PARAMETER)? + PARAMETER.len();
        let length = bytes[at..].iter().position(|byte| matches!(byte, b'\r' | b';' | b','))?;
        let branch = Bytes::copy_from_slice(&bytes[at..at + length]);
        Some(ClientKey { branch, method: Method::Invite })
    }
}

/// The key of a server transaction (§17.2.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ServerKey {
    listener: ListenerId,
    /// ACK and CANCEL look for the key with INVITE here.
    method: Method,
    call_id: Bytes,
    cseq: u32,
    rule: Rule,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Rule {
    /// The first rule: the branch has the magic cookie.
    Branch(Bytes),
    /// The second: the sender is of RFC 2543, whose branches are not unique.
    Rfc2543 { request_uri: Bytes, from_tag: Bytes, to_tag: Bytes, top_via: Bytes },
}

impl ServerKey {
    /// The key of the transaction that a request opens or repeats. `None`: a header is missing.
    pub(super) fn of(request: &Message, listener: ListenerId) -> Option<ServerKey> {
        let cseq = request.cseq()?;
        let via = request.top_via()?;
        let rule = match via.branch() {
            Some(branch) if via.has_magic_cookie() => Rule::Branch(shared(request, branch)),
            Some(_) | None => Rule::Rfc2543 {
                request_uri: shared(request, request.request_uri_raw()),
                from_tag: shared(request, request.from()?.tag().unwrap_or(b"")),
                to_tag: shared(request, request.to()?.tag().unwrap_or(b"")),
                top_via: shared(request, trim(via.raw)),
            },
        };
        let call_id = shared(request, request.call_id());
        Some(ServerKey { listener, method: cseq.method, call_id, cseq: cseq.number, rule })
    }

    /// The key of the INVITE that a CANCEL means, or an ACK.
    pub(super) fn of_invite(&self) -> ServerKey {
        ServerKey { method: Method::Invite, ..self.clone() }
    }

    /// The same without the To tag: an ACK of RFC 2543 has the tag of the response, which the INVITE
    /// that began the dialog had not. `None`: To tags are no part of this key, or there is none.
    pub(super) fn without_to_tag(&self) -> Option<ServerKey> {
        match &self.rule {
            Rule::Branch(_) => None,
            Rule::Rfc2543 { to_tag, .. } if to_tag.is_empty() => None,
            Rule::Rfc2543 { request_uri, from_tag, to_tag: _, top_via } => {
                let rule = Rule::Rfc2543 {
                    request_uri: request_uri.clone(),
                    from_tag: from_tag.clone(),
                    to_tag: Bytes::new(),
                    top_via: top_via.clone(),
                };
                Some(ServerKey { rule, ..self.clone() })
            }
        }
    }
}

/// Whether the ACK's To tag is that of the response (§17.2.3, the second rule).
pub(super) fn same_to_tag(ack: &Message, response: &Message) -> bool {
    match (ack.to(), response.to()) {
        (Some(ack), Some(response)) => ack.tag() == response.tag(),
        (Some(_), None) | (None, Some(_)) | (None, None) => false,
    }
}

/// A part of a message as bytes of its own, without a copy.
fn shared(message: &Message, part: &[u8]) -> Bytes {
    if part.is_empty() { Bytes::new() } else { message.as_bytes().slice_ref(part) }
}
