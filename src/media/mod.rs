//! Media sessions: which ports a call has, whose packets it takes, and where they go.
//!
//! Must not know: SIP, io_uring, sockets. The relay (`relay/`) moves the packets; what it may do
//! with one is decided here.

#[cfg(test)]
mod attack_tests;
mod flow;
mod keys;
mod learning;
mod lingering;
mod live;
mod media_session;
mod payload_map;
mod ports;
mod presses;
mod rules;
mod silence;
mod stream;
mod transform;

pub use crate::base::Latch;
pub use crate::rtp::{Codec, Format, Formats, Key, Press};
pub use flow::{Claim, Destination, DropReason, Flow, Forward, PortKind, SourceRule};
pub use live::{LiveDirection, LiveMedia, LiveStream};
pub use media_session::MediaSession;
pub use payload_map::PayloadMap;
pub use ports::PortPool;
pub use rules::{
    ADDRESS_IN_USE, DirectionReport, EventRule, Marking, MediaAddress, MediaCommand, MediaEvent, MediaReport,
    MediaSessionId, PeerReport, PortPair, RealmMedia, RemoteMedia, RtcpCopy, Settings, Side, StreamKind,
    StreamPorts,
};
pub use silence::{Dropped, OneWay, SPOKEN_MIN, Silence, SilenceLimits};
pub use stream::{Received, Stream, Verdict};
pub use transform::Transform;
