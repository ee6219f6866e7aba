//! Media sessions: which ports a call has, whose packets it takes, and where they go.
//!
//! Must not know: SIP, io_uring, sockets. The relay (`relay/`) moves the packets; what it may do
//! with one is decided here.

mod rules;

pub use rules::{
    DirectionReport, MediaAddress, MediaCommand, MediaEvent, MediaReport, MediaSessionId, PortPair,
    RealmMedia, RemoteMedia, Settings, Side, StreamPorts,
};
