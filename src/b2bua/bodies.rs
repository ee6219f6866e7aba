//! Bodies: what crosses beside the session description. **A rule about a body belongs here.**
//!
//! SDP is taken out of whatever it is packed in ([`Message::sdp`]) and carried by `call_media.rs`.
//! The rest, whole bodies and the parts of a multipart (RFC 5621), crosses byte for byte if the
//! `bodies` rules of the trunk that it goes to name its type, and what is in [`ALWAYS`]. What
//! does not cross is left out; where its sender says that the message means nothing without it
//! (`handling=required`, RFC 3261 §20.11, RFC 3204 §4), or where it is all that there is, the
//! request is refused with 415. An emergency call is never refused for a body that can be read. Of an
//! ACK and a PRACK the description alone crosses, and of a failure's response nothing.

use super::call::{Call, CallKey};
use super::engine::Engine;
use super::header_policy::glob_matches;
use super::transfer;
use crate::base::Instant;
use crate::media::Side;
use crate::routing::{BodyRules, Trunk};
use crate::sip::multipart::{self, MultipartFault, Part};
use crate::sip::{Header, Message, MessageTooLarge, Method, Status, Writer, response_to};
use crate::transaction::ServerId;

/// What crosses in a request of a method wherever it goes: digits, as most gateways and PBXes send
/// them, and what people write.
const ALWAYS: [(Method, &str); 4] = [
    (Method::Info, "application/dtmf-relay"),
    (Method::Info, "application/dtmf"),
    (Method::Notify, "audio/telephone-event"),
    (Method::Message, "text/plain"),
];

/// Where who calls for help is (PIDF-LO, RFC 4119): crosses to whoever takes the call (RFC 6442).
const LOCATION: &str = "application/pidf+xml";

/// The rules of what crosses to a trunk.
pub(super) fn rules_of(trunk: Option<&Trunk>, is_for_help: bool) -> BodyRules {
    let mut rules = trunk.map(|trunk| trunk.bodies.clone()).unwrap_or_default();
    if is_for_help {
        rules.pass.push(LOCATION.to_owned());
    }
    rules
}

/// Why a request is refused for its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyFault {
    /// It is compressed.
    Encoding,
    /// It is of a type that does not cross.
    Type,
    /// It is no multipart, though it says so.
    Malformed(MultipartFault),
}

impl BodyFault {
    pub(super) fn status(self) -> Status {
        Status::of(if let BodyFault::Malformed(_) = self { 400 } else { 415 })
    }

    pub(super) fn phrase(self) -> Option<&'static str> {
        if let BodyFault::Malformed(fault) = self { Some(fault.phrase()) } else { None }
    }

    /// "The server MUST return a list of acceptable formats using the Accept, Accept-Encoding, or
    /// Accept-Language header field" (RFC 3261 §21.4.13).
    pub(super) fn accepted(self) -> Option<(Header, Vec<u8>)> {
        match self {
            BodyFault::Encoding => Some((Header::AcceptEncoding, b"identity".to_vec())),
            BodyFault::Type => Some((Header::Accept, b"application/sdp".to_vec())),
            BodyFault::Malformed(_) => None,
        }
    }
}

/// What is wrong with the body of a request that goes to a trunk with these rules.
pub(super) fn find_fault(request: &Message, rules: &BodyRules, is_emergency: bool) -> Option<BodyFault> {
    let coding = request.header(Header::ContentEncoding);
    // Of no body it says nothing, and nobody who calls for help is refused for that.
    let is_read = request.body().is_empty() && is_emergency;
    if coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        && !is_read
    {
        return Some(BodyFault::Encoding);
    }
    let parts = match request.parts() {
        Ok(parts) => parts,
        Err(fault) => return Some(BodyFault::Malformed(fault)),
    };
    if request.body().is_empty() || request.has_body_type("application/sdp") || is_emergency {
        return None;
    }
    let is_required = |disposition: Option<&[u8]>, otherwise: bool| {
        disposition.and_then(multipart::is_required).unwrap_or(otherwise)
    };
    let is_refused = if parts.is_empty() {
        let disposition = request.header(Header::ContentDisposition);
        !passes_whole(request, rules) && is_required(disposition, true)
    } else {
        // A part that says nothing of itself may be left out, but not be all that is left out.
        let crosses = |part: &Part| part.is_sdp() || passes(request, rules, part.media_type());
        let nothing_crosses = !parts.iter().any(crosses);
        let mut dropped = parts.iter().filter(|part| !crosses(part));
        dropped.any(|part| is_required(part.disposition.as_deref(), nothing_crosses))
    };
    is_refused.then_some(BodyFault::Type)
}

/// Ends a message with this description and what else of the body of `from` crosses.
pub(super) fn finish(
    writer: Writer,
    sdp: Option<&[u8]>,
    from: &Message,
    rules: &BodyRules,
) -> Result<Message, MessageTooLarge> {
    let parts = from.parts().unwrap_or_default();
    let parts = parts.into_iter().filter(|part| passes(from, rules, part.media_type()));
    let description = sdp.map(|sdp| Part {
        content_type: b"application/sdp".to_vec(),
        disposition: None,
        id: None,
        transfer_encoding: None,
        body: bytes::Bytes::copy_from_slice(sdp),
    });
    let all: Vec<Part> = description.into_iter().chain(parts).collect();
    let content_type = from.header(Header::ContentType);
    match (&all[..], sdp, content_type) {
        ([_], Some(sdp), _) => writer.finish_with(b"application/sdp", sdp),
        ([], None, Some(content_type)) if passes_whole(from, rules) => {
            writer.finish_with(content_type, &from.body())
        }
        ([], ..) => writer.finish(),
        (parts, ..) => {
            let (content_type, body) = multipart::write(parts);
            // Of a body without a description MIME-Version has crossed (`header_policy.rs`).
            let writer = if from.has_sdp() { writer.header(Header::MimeVersion, "1.0") } else { writer };
            writer.finish_with(&content_type, &body)
        }
    }
}

/// Whether a body of one part crosses as it is.
fn passes_whole(message: &Message, rules: &BodyRules) -> bool {
    let content_type = message.header(Header::ContentType).unwrap_or(b"");
    !message.body().is_empty()
        && !multipart::is_multipart(content_type)
        && passes(message, rules, multipart::media_type(content_type))
}

/// Whether what is of this type crosses. A description never does so unread.
fn passes(message: &Message, rules: &BodyRules, media_type: &[u8]) -> bool {
    let method = message.cseq().map(|cseq| cseq.method);
    let is_always = |(of, known): &(Method, &str)| {
        method.as_ref() == Some(of) && media_type.eq_ignore_ascii_case(known.as_bytes())
    };
    !media_type.eq_ignore_ascii_case(b"application/sdp")
        && (rules.pass.iter().any(|pattern| glob_matches(pattern, media_type))
            || ALWAYS.iter().any(is_always))
}

impl Engine {
    /// The rules of what crosses to a side.
    pub(super) fn body_rules(&self, key: CallKey, side: Side) -> BodyRules {
        let rules = || {
            let call = self.calls.get(key)?;
            let settings = self.snapshots.get(call.snapshot);
            settings.trunk_of(call.leg(side)?.trunk.as_ref()).map(|trunk| trunk.bodies.clone())
        };
        rules().unwrap_or_default()
    }

    /// What is wrong with the body of a new INVITE, if it is that wherever the call goes.
    pub(super) fn find_body_fault(&self, invite: &Message, is_emergency: bool) -> Option<BodyFault> {
        let fault = find_fault(invite, &BodyRules::default(), is_emergency)?;
        let trunks = &self.snapshots.current().routing.trunks;
        let is_taken = trunks.iter().any(|trunk| find_fault(invite, &trunk.bodies, is_emergency).is_none());
        (!is_taken).then_some(fault)
    }

    /// What is wrong with the body of a request from a side of a call.
    pub(super) fn body_fault(&self, key: CallKey, from: Side, request: &Message) -> Option<BodyFault> {
        if request.method() == Some(&Method::Notify) && transfer::is_refer_event(request) {
            // It is read, and written anew.
            return None;
        }
        let is_emergency = self.calls.get(key).is_some_and(Call::is_emergency);
        find_fault(request, &self.body_rules(key, from.other()), is_emergency)
    }

    /// Refuses a request of a call for its body.
    pub(super) fn refuse_for_body(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        fault: BodyFault,
    ) {
        let tag = self.calls.get(key).and_then(|call| call.leg(side)).map(|leg| leg.local_tag.clone());
        let tag = tag.as_deref().and_then(|tag| std::str::from_utf8(tag).ok());
        let Some((request, hop)) = self.transactions.request(server) else { return };
        let phrase = fault.phrase().map(str::as_bytes);
        let writer = response_to(request, hop.peer, fault.status(), phrase, tag);
        let writer = match fault.accepted() {
            Some((header, value)) => writer.header(header, value),
            None => writer,
        };
        self.send_response(now, server, Some(writer));
    }
}
