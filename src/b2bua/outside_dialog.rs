//! OPTIONS and REGISTER as we write them outside of any dialog and call (RFC 3261 §11, §10), be it to
//! probe, to register, or to ask for `trunk test`.
//!
//! Must not know: when they are sent, what an answer means.

use super::addressing;
use crate::base::Transport;
use crate::dialog::tagged;
use crate::sip::{Header, Method, Writer};

/// What makes a request another one than the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'a> {
    /// The whole Via, as [`via`] writes it.
    pub(super) via: &'a str,
    /// Tag of From.
    pub(super) tag: &'a [u8],
    /// Call-ID.
    pub(super) call_id: &'a [u8],
    /// Number of CSeq.
    pub(super) sequence: u32,
}

/// A Via of ours (RFC 3261 §8.1.1.7), asking for `rport` (RFC 3581). `sent_by` is a `host:port`.
pub(super) fn via(transport: Transport, sent_by: &str, branch: &str) -> String {
    format!("SIP/2.0/{} {sent_by};rport;branch={branch}", transport.via_name())
}

/// An OPTIONS to what answers for `host` (with a port where it needs one). `here` is the `host:port` that
/// our listener advertises. Nobody calls, so no user is in it. "An Accept header field SHOULD be included to
/// indicate the type of message body the UAC wishes to receive in the response" (RFC 3261 §11.1).
pub(super) fn options(marks: Marks<'_>, host: &str, here: &str, transport: Transport) -> Writer {
    let uri = format!("sip:{host}");
    begin(&Method::Options, &uri, (&format!("<sip:{here}>"), &format!("<{uri}>")), marks)
        .header(Header::Contact, addressing::contact("", here, transport))
        .header(Header::Accept, "application/sdp")
}

/// A REGISTER that asks for bindings and makes none, until it is given a Contact (RFC 3261 §10.2.3). "The
/// Request-URI names the domain of the location service for which the registration is meant […]. The
/// "userinfo" and "@" components of the SIP URI MUST NOT be present" (§10.2). `parties` are From and To:
/// both the address of record, if there is one.
pub(super) fn register(marks: Marks<'_>, registrar: &str, parties: (&str, &str)) -> Writer {
    begin(&Method::Register, &format!("sip:{registrar}"), parties, marks)
}

/// Whose bindings a REGISTER is about.
pub(super) fn address_of_record(user: &str, domain: &str) -> String {
    format!("sip:{}@{domain}", addressing::escape_user(user))
}

fn begin(method: &Method, uri: &str, (from, to): (&str, &str), marks: Marks<'_>) -> Writer {
    Writer::request(method, uri.as_bytes())
        .header(Header::Via, marks.via)
        .header(Header::MaxForwards, "70")
        .header(Header::From, tagged(from.as_bytes(), marks.tag))
        .header(Header::To, to)
        .header(Header::CallId, marks.call_id)
        .header(Header::CSeq, format!("{} {}", marks.sequence, method.label()))
}
