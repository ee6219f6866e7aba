//! What one party of a call saw of its signalling: every message it sent and received, in order.
//!
//! The ladder is drawn from it, and whether the call was complete is judged by it.

use bytes::Bytes;

use crate::base::Instant;
use crate::sip::{Message, Method, Status};

/// One party's record of a call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace(pub Vec<Step>);

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When it was sent, or had arrived.
    pub at: Instant,
    /// Which way it went.
    pub way: Way,
    /// What it was.
    pub said: Said,
    /// Whether it had been sent before.
    pub again: bool,
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From this party.
    Sent,
    /// To this party.
    Received,
}

/// What a message was, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A request.
    Request {
        /// Its method.
        method: Method,
        /// The user of its Request-URI, if it is an INVITE.
        called: String,
    },
    /// A response.
    Response {
        /// The status code.
        status: Status,
        /// The reason phrase, as it stands.
        phrase: String,
        /// The method of its request.
        method: Method,
        /// Whether it carried a session description.
        has_body: bool,
    },
}

impl Said {
    /// Sums a message up.
    pub fn of(message: &Message) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // CSeq of a request names its own method (a message without a fault has one).
        let method = message.cseq().map_or(Method::Other(Bytes::new()), |cseq| cseq.method);
        match message.status() {
            None if method == Method::Invite => Said::Request { method, called: text(dialled(message)) },
            None => Said::Request { method, called: String::new() },
            Some(status) => Said::Response {
                status,
                phrase: text(message.reason()),
                method,
                has_body: !message.body().is_empty(),
            },
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Said::Request { method, called } if called.is_empty() => f.write_str(method.label()),
            Said::Request { method, called } => write!(f, "{} {called}", method.label()),
            Said::Response { status, phrase, has_body, .. } => {
                write!(f, "{status} {phrase}{}", if *has_body { " (SDP)" } else { "" })
            }
        }
    }
}

impl Trace {
    /// Adds a message.
    pub fn record(&mut self, at: Instant, way: Way, message: &Message) {
        let said = Said::of(message);
        let again = self.0.iter().any(|step| step.way == way && step.said == said);
        self.0.push(Step { at, way, said, again });
    }

    /// When the request of this method was first sent or received.
    pub fn request_at(&self, wanted: &Method) -> Option<Instant> {
        self.find(|said| matches!(said, Said::Request { method, .. } if method == wanted))
    }

    /// When the response of this code to a request of this method was first sent or received.
    pub fn response_at(&self, to: &Method, code: u16) -> Option<Instant> {
        self.find(|said| {
            matches!(said, Said::Response { status, method, .. } if status.code() == code && method == to)
        })
    }

    /// Whether a whole call passed here, each step after the one before: INVITE, 100, 180, 200,
    /// ACK, BYE, 200.
    pub fn is_complete(&self) -> bool {
        let steps = [
            self.request_at(&Method::Invite),
            self.response_at(&Method::Invite, 100),
            self.response_at(&Method::Invite, 180),
            self.response_at(&Method::Invite, 200),
            self.request_at(&Method::Ack),
            self.request_at(&Method::Bye),
            self.response_at(&Method::Bye, 200),
        ];
        steps.iter().all(Option::is_some) && steps.is_sorted()
    }

    fn find(&self, wanted: impl Fn(&Said) -> bool) -> Option<Instant> {
        self.0.iter().find(|step| wanted(&step.said)).map(|step| step.at)
    }
}

/// The user part that a request is for, as it stands; empty if there is none.
pub fn dialled(request: &Message) -> &[u8] {
    crate::sip::Uri::parse(request.request_uri_raw()).ok().and_then(|uri| uri.user).unwrap_or(b"")
}
