//! The engine's two mouths: everything that can happen to it, and everything that it can ask for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{AuthenticationFault, Cdr, OneWayAudio, RegistrationChange, Settings};
use crate::admission::DropReason;
use crate::base::{Hop, Instant, Realm, Transport, TrunkName};
use crate::media::{MediaCommand, MediaEvent};
use crate::routing::{Ambiguity, CallsChange, HealthChange, Query, Reach, Resolution, ResolveFault};

/// What the shell tells the engine. Each comes with the time.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram, or a message cut from a stream: not parsed, not admitted yet.
    Received {
        /// Which listener, from whom.
        hop: Hop,
        /// As it came.
        bytes: Bytes,
    },
    /// A peer has opened a connection; nothing was read from it yet. Unless the answer is
    /// `Output::Disconnect`, it will be.
    Connected {
        /// Which listener, from whom.
        hop: Hop,
    },
    /// A connection is gone, or could not be opened.
    TransportFailed {
        /// As in the `Connected`, or the `Send`.
        hop: Hop,
    },
    /// A datagram of ours was not delivered, the system or an ICMP report says; the report may be
    /// forged.
    Undelivered {
        /// The datagram, or its beginning as the report quotes it.
        bytes: Bytes,
    },
    /// The answer to a `Resolve`.
    Resolved {
        /// As in the `Resolve`.
        query: Query,
        /// Where it leads, or why nowhere.
        resolution: Result<Resolution, ResolveFault>,
    },
    /// The name servers are others: what they say of every name is asked for.
    NameServersChanged,
    /// The relay's word.
    Media(MediaEvent),
    /// The configuration changed: calls from now on use this.
    Settings(Arc<Settings>),
    /// Take no new calls (503); those in progress go on, to the deadline if there is one.
    Drain {
        /// When the calls that are left are ended.
        deadline: Option<Instant>,
    },
    /// Take new calls again.
    Undrain,
    /// An operator switches a trunk on or off.
    SetTrunkEnabled {
        /// Which; one that is not configured is not looked at.
        trunk: TrunkName,
        /// Whether calls may go over it.
        enabled: bool,
    },
    /// An operator ends a call.
    HangUp {
        /// Its `id`; one that is over is not looked at.
        call: String,
    },
    /// Take no new calls, and end those in progress with BYE or CANCEL.
    Shutdown,
    /// The process ends now: what calls still wait for (an ACK, the relay) is not waited for, and
    /// their records are written.
    Abandon,
}

/// What the engine asks of the shell.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// From which listener, to whom. Over TCP and TLS the connection of this hop is used if
        /// there is one, else one is opened.
        hop: Hop,
        /// The message.
        bytes: Bytes,
    },
    /// Close this connection, when what was sent before is through.
    Disconnect {
        /// As in the `Connected`, the `Received` or the `Send`.
        hop: Hop,
    },
    /// Look this up and answer with `Input::Resolved`.
    Resolve {
        /// A host of a trunk.
        query: Query,
        /// How its realm can send: which answers are of use.
        reach: Reach,
    },
    /// Tell the relay.
    Media(MediaCommand),
    /// A call is open: what its record would say if the process ended now, so that one is written after a
    /// crash. Told anew when a target is tried, and when the caller is answered.
    OpenCall(Box<Cdr>),
    /// A call is over: write its record.
    Cdr(Box<Cdr>),
    /// Something that is counted.
    Event(Event),
}

/// What is counted and nothing else: metrics are made of these and of the [`Cdr`]s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message came in and was parsed.
    MessageIn {
        /// The listener's side.
        realm: Realm,
        /// The listener's transport.
        transport: Transport,
        /// A method, or `1xx` … `6xx`.
        kind: &'static str,
    },
    /// A message went out.
    MessageOut {
        /// The listener's side.
        realm: Realm,
        /// The listener's transport.
        transport: Transport,
        /// A method, or `1xx` … `6xx`.
        kind: &'static str,
        /// Whether it had been sent before.
        retransmission: bool,
    },
    /// Something that arrived was dropped without an answer.
    Dropped {
        /// The listener's side.
        realm: Realm,
        /// Why.
        reason: DropReason,
    },
    /// A CANCEL of ours was lost with its connection, again and again: the callee may ring on.
    CancelLost {
        /// The listener's side.
        realm: Realm,
    },
    /// A challenge of a trunk is not answered. Told once a change.
    NotAuthenticated {
        /// Whose peer asked.
        trunk: TrunkName,
        /// Why, and what to do.
        fault: AuthenticationFault,
    },
    /// Something changed with a registration. Told once a change.
    Registration {
        /// Whose.
        trunk: TrunkName,
        /// At which of its hosts; `None`: at whichever takes it.
        host: Option<String>,
        /// What.
        change: RegistrationChange,
        /// Whether the trunk has any binding now; `None`: it registers nowhere any more.
        is_registered: Option<bool>,
    },
    /// A call began on this trunk (once for the trunk it came from, once for each tried).
    CallBegan {
        /// `None` for a source that a realm's allowlist let in.
        trunk: Option<TrunkName>,
        /// Whether it is the INVITE that came, and not a target that is tried or a transfer's own call.
        arrived: bool,
    },
    /// The caller of a call that came was passed the 2xx.
    CallAnswered {
        /// Whose callee answered.
        trunk: Option<TrunkName>,
        /// From the INVITE to the first 18x passed on; `None`: there was none.
        rang_after: Option<Duration>,
        /// From the INVITE to the answer.
        after: Duration,
    },
    /// A target or a trunk is up or down from now on, or gone; or a probe was answered.
    Health(HealthChange),
    /// One side of a call is not heard while the other speaks. Told once of each side of a call.
    OneWay(Box<OneWayAudio>),
    /// A trunk's calls fail, or do so no more. Told at once, and now and then while it goes on.
    Calls(CallsChange),
    /// Names resolved so that a source is of two trunks, and nothing tells their calls apart.
    SourceShared(Ambiguity),
    /// The same call is over on this trunk.
    CallEnded {
        /// As in `CallBegan`.
        trunk: Option<TrunkName>,
    },
}

/// What the engine holds at the moment; all zero when nothing is going on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Census {
    /// Calls, from INVITE to the end of both legs.
    pub calls: usize,
    /// Transactions of all four kinds.
    pub transactions: usize,
    /// Armed timers, of calls and of transactions (not those that refresh names).
    pub timers: usize,
    /// Media ports that calls hold in each realm.
    pub media_ports: crate::base::ByRealm<usize>,
    /// How many ports each realm has.
    pub media_ports_limit: crate::base::ByRealm<usize>,
}
