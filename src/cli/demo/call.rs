//! One call as one of its parties has it in mind: half a dialog (RFC 3261 §12), and the
//! retransmissions that UDP asks for (§17.1, §13.3.1.4).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::sdp;
use super::trace::{Trace, Way};
use crate::base::Instant;
use crate::sip::{Header, Message, Method, Status, Uri, Writer, response_to};

/// An estimate of the round trip (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);
/// The longest interval between two retransmissions of anything but an INVITE.
const T2: Duration = Duration::from_secs(4);
/// How long the callee rings.
const RING: Duration = Duration::from_millis(250);
/// After this long without the next step a call has failed. RFC 3261 waits for 32 s; over
/// loopback nothing takes long, and somebody is watching.
const PATIENCE: Duration = Duration::from_secs(8);

/// A call's number in the demo, the same at both ends.
pub type CallNumber = u16;

/// What a party is told about a call to place or to expect.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which call it is.
    pub number: CallNumber,
    /// The number of the one who calls.
    pub from: String,
    /// The number that is called; the callee knows by it which call came in.
    pub to: String,
    /// Where the INVITE goes (the callee does not use it).
    pub next_hop: SocketAddr,
    /// Where this party wants its RTP.
    pub media: SocketAddr,
}

/// A datagram to be sent.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// To whom.
    pub to: SocketAddr,
    /// The message.
    pub bytes: Bytes,
}

impl Transmit {
    /// This message to this peer.
    pub fn new(to: SocketAddr, message: &Message) -> Transmit {
        Transmit { to, bytes: message.as_bytes().clone() }
    }
}

/// What a party tells of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// It is set up: talk to this address.
    Talking {
        /// Where the far end wants its RTP.
        media: SocketAddr,
    },
    /// It is over.
    Ended {
        /// How it went.
        result: Result<(), Failure>,
        /// Every message of it.
        trace: Trace,
    },
}

/// Why a call did not go as it should.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// A final response other than 2xx.
    #[error("{method} was answered by {status} {phrase}")]
    Refused {
        /// The method of the request.
        method: &'static str,
        /// The status code.
        status: Status,
        /// The reason phrase, as it was received.
        phrase: String,
    },
    /// Nothing came for as long as we wait.
    #[error("no {0} came")]
    Silence(&'static str),
    /// The far end's SDP names no address for audio.
    #[error("the far end's SDP names no address for audio")]
    NoMedia,
}

/// One call at one party.
#[derive(Debug)]
pub struct Call {
    order: Order,
    /// Ours: what Via and Contact say.
    address: SocketAddr,
    /// Our tag, and the beginning of our branches.
    token: String,
    call_id: Vec<u8>,
    /// From or To with our tag.
    local: Vec<u8>,
    /// From or To with theirs, once it is known.
    remote: Vec<u8>,
    /// Where requests are sent.
    peer: SocketAddr,
    /// Their Contact's URI, once it is known (RFC 3261 §12.1).
    remote_target: Vec<u8>,
    /// CSeq of our last request but ACK.
    sequence: u32,
    phase: Phase,
    /// When the call is given up, if nothing more comes.
    patience: Option<Instant>,
    resend: Option<Resend>,
    /// What their last request or 2xx was answered by; repeated when it is repeated.
    last_answer: Option<(SocketAddr, Message)>,
    trace: Trace,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// How far a call is.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are as many of it as calls in a demo")]
enum Phase {
    /// INVITE sent.
    Inviting,
    /// 180 sent, 200 follows.
    Ringing { invite: Message, source: SocketAddr, answer_at: Instant },
    /// 200 sent, ACK must come.
    Answered { media: SocketAddr },
    /// ACK sent or received.
    Talking,
    /// BYE sent.
    HangingUp,
    /// Only repetitions are still answered.
    Over,
}

/// A message that is sent again until the far end reacts.
#[derive(Debug)]
struct Resend {
    to: SocketAddr,
    message: Message,
    at: Instant,
    interval: Duration,
    longest: Duration,
}

impl Call {
    /// Sends an INVITE.
    pub fn place(now: Instant, order: Order, address: SocketAddr, token: String) -> Call {
        let local = format!("<sip:{}@{address}>;tag={token}", order.from).into_bytes();
        let remote = format!("<sip:{}@{}>", order.to, order.next_hop).into_bytes();
        let call_id = format!("{token}@{}", address.ip()).into_bytes();
        let mut call = Call::new(order, address, token, call_id, local, remote, Phase::Inviting);
        call.remote_target = format!("sip:{}@{}", call.order.to, call.peer).into_bytes();
        let offer = sdp::describe(call.order.media);
        let invite = call.request(&Method::Invite).finish_with(b"application/sdp", offer.as_bytes());
        if let Ok(invite) = invite {
            // Timer A doubles without a bound (RFC 3261 §17.1.1.2).
            call.send_until_answered(now, call.peer, invite, PATIENCE);
        }
        call.patience = Some(now + PATIENCE);
        call
    }

    /// Takes an INVITE: 100, 180, and a little later 200.
    pub fn ring(
        now: Instant,
        order: Order,
        address: SocketAddr,
        token: String,
        source: SocketAddr,
        invite: &Message,
    ) -> Call {
        let tagged = |header| [invite.header(header).unwrap_or(b""), b";tag=", token.as_bytes()].concat();
        let (local, remote) = (tagged(Header::To), invite.header(Header::From).unwrap_or(b"").to_vec());
        let phase = Phase::Ringing { invite: invite.clone(), source, answer_at: now + RING };
        let mut call = Call::new(order, address, token, invite.call_id().to_vec(), local, remote, phase);
        call.peer = source;
        call.learn_target(invite);
        call.trace.record(now, Way::Received, invite);
        for code in [100, 180] {
            call.respond(now, source, invite, Status::of(code), None);
        }
        call
    }

    fn new(
        order: Order,
        address: SocketAddr,
        token: String,
        call_id: Vec<u8>,
        local: Vec<u8>,
        remote: Vec<u8>,
        phase: Phase,
    ) -> Call {
        Call {
            peer: order.next_hop,
            order,
            address,
            token,
            call_id,
            local,
            remote,
            remote_target: Vec::new(),
            sequence: 1,
            phase,
            patience: None,
            resend: None,
            last_answer: None,
            trace: Trace::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Which call it is.
    pub fn number(&self) -> CallNumber {
        self.order.number
    }

    /// Call-ID of the dialog.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// Sends BYE, if there is a dialog to end.
    pub fn hang_up(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Talking) {
            return;
        }
        self.phase = Phase::HangingUp;
        self.patience = Some(now + PATIENCE);
        self.sequence += 1;
        if let Ok(bye) = self.request(&Method::Bye).finish() {
            self.send_until_answered(now, self.peer, bye, T2);
        }
    }

    /// A request of this dialog.
    pub fn on_request(&mut self, now: Instant, source: SocketAddr, method: &Method, request: &Message) {
        self.trace.record(now, Way::Received, request);
        match (method, &self.phase) {
            (Method::Ack, Phase::Answered { media }) => {
                let media = *media;
                self.talk(media);
            }
            (Method::Ack, _) => {}
            (Method::Invite, Phase::Ringing { .. } | Phase::Answered { .. }) => self.repeat_answer(now),
            (Method::Invite, _) => self.respond(now, source, request, Status::of(488), None),
            (Method::Bye, _) => {
                self.respond(now, source, request, Status::of(200), None);
                self.end(Ok(()));
            }
            (Method::Options, _) => self.respond(now, source, request, Status::of(200), None),
            (_, _) => self.respond(now, source, request, Status::of(501), None),
        }
    }

    /// A response of this dialog.
    pub fn on_response(&mut self, now: Instant, response: &Message) {
        let is_ours = response.top_via().and_then(|via| via.branch().map(<[u8]>::to_vec));
        let (Some(status), Some(cseq)) = (response.status(), response.cseq()) else { return };
        if is_ours.as_deref() != Some(self.branch(&cseq.method, cseq.number).as_bytes()) {
            return;
        }
        self.trace.record(now, Way::Received, response);
        match (cseq.method, &self.phase) {
            (Method::Invite, Phase::Inviting) if status.is_provisional() => self.resend = None,
            (Method::Invite, Phase::Inviting) if status.is_success() => self.accept(now, response),
            (Method::Invite, Phase::Inviting) => {
                self.acknowledge_refusal(now, response);
                self.end(Err(refusal("INVITE", status, response)));
            }
            (Method::Invite, _) => self.repeat_answer(now),
            (Method::Bye, Phase::HangingUp) if status.is_success() => self.end(Ok(())),
            (Method::Bye, Phase::HangingUp) if status.is_final() => {
                self.end(Err(refusal("BYE", status, response)));
            }
            (_, _) => {}
        }
    }

    /// When [`Call::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let answer_at = match &self.phase {
            Phase::Ringing { answer_at, .. } => Some(*answer_at),
            Phase::Inviting | Phase::Answered { .. } | Phase::Talking | Phase::HangingUp | Phase::Over => {
                None
            }
        };
        let resend_at = self.resend.as_ref().map(|resend| resend.at);
        [answer_at, resend_at, self.patience].into_iter().flatten().min()
    }

    /// Gives up, answers, or sends again, where it is time to.
    pub fn on_time(&mut self, now: Instant) {
        if self.patience.is_some_and(|patience| patience <= now) {
            let missed = match self.phase {
                Phase::Inviting => "answer to INVITE",
                Phase::Answered { .. } => "ACK",
                Phase::Ringing { .. } | Phase::Talking | Phase::HangingUp | Phase::Over => "answer to BYE",
            };
            self.end(Err(Failure::Silence(missed)));
        }
        if let Phase::Ringing { invite, source, answer_at } = &self.phase
            && *answer_at <= now
        {
            let (invite, source) = (invite.clone(), *source);
            self.answer(now, source, &invite);
        }
        if let Some(resend) = self.resend.as_mut().filter(|resend| resend.at <= now) {
            resend.interval = (resend.interval * 2).min(resend.longest);
            resend.at = now + resend.interval;
            let (to, message) = (resend.to, resend.message.clone());
            self.send(now, to, &message);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The callee picks up: 200, until its ACK comes (RFC 3261 §13.3.1.4).
    fn answer(&mut self, now: Instant, source: SocketAddr, invite: &Message) {
        let Some(media) = sdp::audio_address(&invite.body()) else {
            self.respond(now, source, invite, Status::of(488), None);
            return self.end(Err(Failure::NoMedia));
        };
        self.phase = Phase::Answered { media };
        self.patience = Some(now + PATIENCE);
        let body = sdp::describe(self.order.media);
        self.respond(now, source, invite, Status::of(200), Some(&body));
        if let Some((to, message)) = self.last_answer.clone() {
            self.resend = Some(Resend { to, message, at: now + T1, interval: T1, longest: T2 });
        }
    }

    /// The caller hears that the callee picked up: ACK (RFC 3261 §13.2.2.4).
    fn accept(&mut self, now: Instant, response: &Message) {
        self.remote = response.header(Header::To).unwrap_or(b"").to_vec();
        self.learn_target(response);
        if let Ok(ack) = self.request(&Method::Ack).finish() {
            self.send(now, self.peer, &ack);
            self.last_answer = Some((self.peer, ack));
        }
        match sdp::audio_address(&response.body()) {
            Some(media) => self.talk(media),
            None => self.end(Err(Failure::NoMedia)),
        }
    }

    /// ACK of a refusal: of the INVITE's own transaction, with the To that came (RFC 3261
    /// §17.1.1.3).
    fn acknowledge_refusal(&mut self, now: Instant, response: &Message) {
        self.remote = response.header(Header::To).unwrap_or(b"").to_vec();
        let branch = self.branch(&Method::Invite, self.sequence);
        if let Ok(ack) = self.request_on(&Method::Ack, &branch).finish() {
            self.send(now, self.peer, &ack);
            self.last_answer = Some((self.peer, ack));
        }
    }

    fn talk(&mut self, media: SocketAddr) {
        self.phase = Phase::Talking;
        (self.resend, self.patience) = (None, None);
        self.events.push_back(Event::Talking { media });
    }

    fn end(&mut self, result: Result<(), Failure>) {
        (self.resend, self.patience) = (None, None);
        if !matches!(self.phase, Phase::Over) {
            self.phase = Phase::Over;
            self.events.push_back(Event::Ended { result, trace: self.trace.clone() });
        }
    }

    /// Contact of the far end, and the address that it names, if it is one.
    fn learn_target(&mut self, message: &Message) {
        let Some(contact) = message.contact() else { return };
        self.remote_target = contact.uri_raw.to_vec();
        let address = contact.uri().ok().and_then(|uri: Uri<'_>| Some((uri.host_address()?, uri.port)));
        if let Some((host, port)) = address {
            self.peer = SocketAddr::new(host, port.unwrap_or(5060));
        }
    }

    fn request(&self, method: &Method) -> Writer {
        self.request_on(method, &self.branch(method, self.sequence))
    }

    fn request_on(&self, method: &Method, branch: &str) -> Writer {
        Writer::request(method, &self.remote_target)
            .display(Header::Via, format_args!("SIP/2.0/UDP {};rport;branch={branch}", self.address))
            .header(Header::MaxForwards, "70")
            .header(Header::From, &self.local)
            .header(Header::To, &self.remote)
            .header(Header::CallId, &self.call_id)
            .display(Header::CSeq, format_args!("{} {}", self.sequence, method.label()))
            .display(Header::Contact, self.contact())
    }

    /// One branch for each transaction of ours; it begins with the cookie of RFC 3261 §8.1.1.7.
    fn branch(&self, method: &Method, sequence: u32) -> String {
        format!("z9hG4bK{}{}{sequence}", self.token, method.label().to_ascii_lowercase())
    }

    fn contact(&self) -> String {
        format!("<sip:{}>", self.address)
    }

    /// Answers a request; an SDP makes the body of it.
    fn respond(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &Message,
        status: Status,
        body: Option<&str>,
    ) {
        let tag = (status.code() != 100).then_some(self.token.as_str());
        let writer = response_to(request, source, status, None, tag).display(Header::Contact, self.contact());
        // What does not fit a datagram is not sent: the far end's patience ends the call.
        if let Ok(response) = writer.finish_with_sdp(body.map(str::as_bytes)) {
            self.send(now, source, &response);
            self.last_answer = Some((source, response));
        }
    }

    fn repeat_answer(&mut self, now: Instant) {
        if let Some((to, message)) = self.last_answer.clone() {
            self.send(now, to, &message);
        }
    }

    fn send_until_answered(&mut self, now: Instant, to: SocketAddr, message: Message, longest: Duration) {
        self.send(now, to, &message);
        self.resend = Some(Resend { to, message, at: now + T1, interval: T1, longest });
    }

    fn send(&mut self, now: Instant, to: SocketAddr, message: &Message) {
        self.trace.record(now, Way::Sent, message);
        self.transmits.push_back(Transmit::new(to, message));
    }
}

fn refusal(method: &'static str, status: Status, response: &Message) -> Failure {
    let phrase = String::from_utf8_lossy(response.reason()).into_owned();
    Failure::Refused { method, status, phrase }
}
