//! One call through a real engine that nothing is attached to: what it would send, and what it would
//! answer. No target ever answers, so that each is tried in its turn.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Question;
use crate::admission::DropReason;
use crate::b2bua::addressing::escape_user;
use crate::b2bua::attempt::MAX_ATTEMPTS;
use crate::b2bua::call::{CallKey, Phase};
use crate::b2bua::{Cdr, Engine, Event, Input, Output, Settings};
use crate::base::{Hop, Instant, ListenerId, Random};
use crate::media::{MediaCommand, MediaEvent};
use crate::routing::{Endpoint, Query, Reach, RecordKind, Resolution, Target};
use crate::sip::{Header, Message, Method, Status, Writer};

/// A configuration has not so many names that the numbers of made-up addresses would not do.
const MADE_UP_V4: u32 = 0xf000_0000;
/// How long an answer to a look-up is good: longer than the rehearsal.
const VALID_FOR: Duration = Duration::from_secs(3_600);
/// The rehearsal takes no time.
const NOW: Instant = Instant::from_millis(1_000);

/// What came of it.
#[derive(Debug)]
pub(super) struct Rehearsal {
    /// With everything that it knows: allowlists, trunks, names.
    pub(super) engine: Engine,
    /// Every target that was sent an INVITE, in order.
    pub(super) sent: Vec<Sent>,
    /// The final answer that the caller got.
    pub(super) answer: Option<(Status, String)>,
    /// Why the INVITE was dropped.
    pub(super) dropped: Option<DropReason>,
    /// The record of the call, if it became one.
    pub(super) cdr: Option<Cdr>,
    /// Addresses that stand for names, since nobody was asked.
    pub(super) made_up: BTreeSet<IpAddr>,
}

/// An INVITE of leg B.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) target: Target,
    pub(super) hop: Hop,
    pub(super) invite: Message,
}

/// The listener that hears the question's source, and the source.
pub(super) fn ingress_hop(settings: &Settings, question: &Question) -> Option<Hop> {
    let source = SocketAddr::new(question.source.ip().to_canonical(), question.source.port());
    let hears = |listener: &crate::b2bua::Listener| {
        listener.realm == question.realm && listener.bind.is_ipv6() == source.is_ipv6()
    };
    let at = settings.listeners.iter().position(hears)?;
    let transport = settings.listeners.get(at)?.transport;
    Some(Hop::new(ListenerId(u16::try_from(at).ok()?), transport, source))
}

/// The INVITE of the question. `None`: it would be larger than any message.
pub(super) fn invite(settings: &Settings, question: &Question, hop: Hop) -> Option<Message> {
    let here = settings.listener(hop.listener)?.advertise.as_str();
    let there = hop.peer;
    let host = match there.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let uri = uri_of(&question.to, here);
    let from = match question.from.as_str() {
        "" => format!("<sip:{host}>"),
        from if from.eq_ignore_ascii_case("anonymous") => {
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned()
        }
        from if from.contains('<') => from.to_owned(),
        from => format!("<{}>", uri_of(from, &host)),
    };
    let via = hop.transport.via_name();
    // No SDP: which codecs would match is not the question.
    let writer = Writer::request(&Method::Invite, uri.as_bytes())
        .header(Header::Via, format!("SIP/2.0/{via} {there};rport;branch=z9hG4bKexplain"))
        .header(Header::From, format!("{from};tag=explain"))
        .header(Header::To, format!("<{uri}>"))
        .header(Header::CallId, "explain")
        .header(Header::CSeq, "1 INVITE")
        .header(Header::Contact, format!("<sip:{there}>"));
    let headers = question.headers.iter();
    // It may stand once only.
    let says_max_forwards =
        headers.clone().any(|(name, _)| Header::from_name(name.as_bytes()) == Header::MaxForwards);
    let writer = if says_max_forwards { writer } else { writer.header(Header::MaxForwards, "70") };
    let writer =
        headers.fold(writer, |writer, (name, value)| writer.field(name.as_bytes(), value.as_bytes()));
    writer.finish().ok()
}

/// A user at a host, or a whole URI as it is.
fn uri_of(text: &str, host: &str) -> String {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("sip" | "sips" | "tel" | "urn") => text.to_owned(),
        Some(_) | None if text.is_empty() => format!("sip:{host}"),
        Some(_) | None => format!("sip:{}@{host}", escape_user(text)),
    }
}

/// The same configuration, in which nobody registers: what a call needs of that is taken for granted.
fn without_registrations(settings: &Arc<Settings>) -> Arc<Settings> {
    let mut settings = Arc::clone(settings);
    if settings.routing.trunks.iter().any(|trunk| trunk.register.is_some()) {
        for trunk in &mut Arc::make_mut(&mut settings).routing.trunks {
            trunk.register = None;
        }
    }
    settings
}

/// Lets a fresh engine have the INVITE.
pub(super) fn rehearse(
    settings: &Arc<Settings>,
    question: &Question,
    hop: Hop,
    invite: &Message,
) -> Rehearsal {
    let mut rehearsal = Rehearsal {
        engine: Engine::new(without_registrations(settings), Random::from_number(1), 0, NOW),
        sent: Vec::new(),
        answer: None,
        dropped: None,
        cdr: None,
        made_up: BTreeSet::new(),
    };
    rehearsal.engine.router.rehearse();
    rehearsal.drain(question);
    let bytes = invite.as_bytes().clone();
    rehearsal.input(question, Input::Received { hop, bytes });
    for _ in 0..=MAX_ATTEMPTS {
        let Some(key) = rehearsal.call_in_setup() else { break };
        rehearsal.engine.on_no_provisional(NOW, key);
        rehearsal.engine.on_time(NOW);
        rehearsal.drain(question);
    }
    rehearsal.input(question, Input::Abandon);
    rehearsal
}

impl Rehearsal {
    fn input(&mut self, question: &Question, input: Input) {
        self.engine.handle(NOW, input);
        self.drain(question);
    }

    fn call_in_setup(&self) -> Option<CallKey> {
        self.engine.calls.iter().find(|(_, call)| call.phase == Phase::Setup).map(|(key, _)| key)
    }

    fn drain(&mut self, question: &Question) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Send { hop, bytes } => {
                    if let Ok(message) = Message::parse(bytes) {
                        self.note_sent(hop, message);
                    }
                }
                Output::Resolve { query, reach } => {
                    let resolution = Ok(self.resolution(question, &query, reach));
                    self.engine.handle(NOW, Input::Resolved { query, resolution });
                }
                Output::Media(command) => {
                    if let Some(event) = relayed(command) {
                        self.engine.handle(NOW, Input::Media(event));
                    }
                }
                Output::Cdr(cdr) => self.cdr = Some(*cdr),
                Output::Event(Event::Dropped { reason, .. }) => self.dropped = Some(reason),
                Output::Event(_) | Output::OpenCall(_) | Output::Disconnect { .. } => {}
            }
        }
    }

    fn note_sent(&mut self, hop: Hop, message: Message) {
        if let Some(status) = message.status() {
            if status.is_final() {
                let phrase = String::from_utf8_lossy(message.reason()).into_owned();
                self.answer.get_or_insert((status, phrase));
            }
        } else if message.method() == Some(&Method::Invite) {
            let target = self.engine.calls.values().find_map(|call| call.plan.current.clone());
            self.sent.extend(target.map(|target| Sent { target, hop, invite: message }));
        }
    }

    /// Without NAPTR and SRV: nobody is asked.
    fn resolution(&mut self, question: &Question, query: &Query, reach: Reach) -> Resolution {
        let transport = query.plain_transport(reach);
        let port = query.port.unwrap_or(transport.default_port());
        let addresses = self.addresses_of(question, &query.host, reach);
        let at = |address| Endpoint::plain(&query.host, SocketAddr::new(address, port), transport);
        Resolution::new(addresses.into_iter().map(at).collect(), VALID_FOR)
    }

    /// What the question says, or an address that nobody has, of a family that the trunk's side speaks.
    fn addresses_of(&mut self, question: &Question, host: &str, reach: Reach) -> Vec<IpAddr> {
        let said = question.resolved.iter().filter(|(name, _)| name.eq_ignore_ascii_case(host));
        let said: Vec<IpAddr> = said.map(|(_, address)| *address).collect();
        if !said.is_empty() {
            return said;
        }
        let speaks_v4 = reach.address_kinds().contains(&RecordKind::A);
        let number = u32::try_from(self.made_up.len()).unwrap_or(u32::MAX).saturating_add(1);
        // 240.0.0.0/4 is reserved (RFC 1112 §4), 100::/64 is for nobody (RFC 6666).
        let address = if speaks_v4 {
            IpAddr::V4(Ipv4Addr::from(MADE_UP_V4.saturating_add(number)))
        } else {
            IpAddr::V6(Ipv6Addr::from((0x0100u128 << 112) | u128::from(number)))
        };
        self.made_up.insert(address);
        vec![address]
    }
}

/// A relay that can do everything.
fn relayed(command: MediaCommand) -> Option<MediaEvent> {
    match command {
        MediaCommand::Open { session, first_stream, .. } => {
            Some(MediaEvent::Opened { session, first_stream })
        }
        MediaCommand::Close { session } => Some(MediaEvent::Closed { session, report: Box::default() }),
        MediaCommand::SetRemote { .. }
        | MediaCommand::SetHold { .. }
        | MediaCommand::SetAnswered { .. }
        | MediaCommand::Report { .. }
        | MediaCommand::Press { .. } => None,
    }
}
