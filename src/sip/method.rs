//! Request methods (RFC 3261 §7.1 and the RFCs that add to it).

use bytes::Bytes;

/// A method; case matters (RFC 3261 §7.1), so `invite` is an unknown one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13, §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3903.
    Publish,
    /// Any other token, as it was sent.
    Other(Bytes),
}

impl Method {
    /// The method of these bytes; a known one costs nothing.
    pub fn from_slice(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"MESSAGE" => Method::Message,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"REFER" => Method::Refer,
            b"PUBLISH" => Method::Publish,
            other => Method::Other(Bytes::copy_from_slice(other)),
        }
    }

    /// The method as it is written on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Method::Other(name) => name,
            known => known.label().as_bytes(),
        }
    }

    /// A name from a fixed set, for metrics: an unknown method is `other`.
    pub const fn label(&self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Message => "MESSAGE",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Refer => "REFER",
            Method::Publish => "PUBLISH",
            Method::Other(_) => "other",
        }
    }
}
