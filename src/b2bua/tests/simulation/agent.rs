//! A user agent of the simulation: it places, takes, changes and ends calls at random, but always
//! as RFC 3261 allows. Its transactions are the layer's; its dialogs and offers are its own.

mod choices;
mod reliable;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use self::reliable::Ringing;
use super::lab;
use super::network::Place;
use crate::base::{Hop, Instant, ListenerId, PeerIdentity, Random, Transport};
use crate::dialog::Dialog;
use crate::sip::{Header, Message, Method, Status, Writer, response_to};
use crate::transaction::{ClientEnd, ClientId, Effect, ServerId, TimerSettings, Transactions};

/// One side's phones.
pub struct Agent {
    pub address: SocketAddr,
    /// Stands in every Call-ID, tag, user and origin of this agent; never to be seen elsewhere.
    mark: &'static str,
    sbc: SocketAddr,
    transport: Transport,
    transactions: Transactions,
    random: Random,
    /// For what is said of session timers.
    terms: Random,
    pub calls: Vec<UaCall>,
    clients: BTreeMap<ClientId, (usize, Purpose, Message)>,
    minted: u64,
    /// The next INVITE is not heard, nor anything else of its call.
    pub is_deaf_to_next: bool,
    ignored: BTreeSet<Bytes>,
    /// What INVITEs say of `100rel`; at random unless this says it.
    pub wishes: Option<Option<Header>>,
    /// What is to be sent.
    pub outbox: Vec<(Hop, Message)>,
    /// Where its 302s lead.
    moves_to: &'static str,
}

/// One dialog of an agent, or what may become one.
pub struct UaCall {
    pub call_id: Bytes,
    local_tag: Bytes,
    pub is_caller: bool,
    pub state: UaState,
    dialog: Option<Dialog>,
    /// An INVITE of ours without a final response.
    client: Option<ClientId>,
    /// An INVITE of the peer's that we have not answered.
    server: Option<(ServerId, Message)>,
    unacked: Option<Unacked>,
    acks: Vec<(u32, Bytes, Message)>,
    /// An UPDATE of ours with an offer is open.
    has_update_open: bool,
    pub ringing: Ringing,
    /// The SDP that we said last, before any change.
    said: Option<String>,
    /// The call ends as soon as it may.
    hangs_up: bool,
    /// What the SBC said finally to the INVITE that began it.
    pub heard: Option<u16>,
    /// Nobody waits for that any more.
    pub gave_up: bool,
    /// How often its BYE was lost with a connection.
    lost_byes: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UaState {
    Early,
    Confirmed,
    Over,
}

struct Unacked {
    response: Message,
    hop: Hop,
    sequence: u32,
    since: Instant,
    next: Instant,
    wait: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Setup,
    Reinvite,
    Update,
    Bye,
    Other,
}

const T1: Duration = Duration::from_millis(500);
/// So many connections may break under one BYE.
const MAX_LOST_BYES: u8 = 20;

impl Agent {
    pub fn new(mark: &'static str, place: Place, random: Random) -> Agent {
        Agent {
            address: place.agent,
            mark,
            sbc: place.sbc,
            transport: place.transport,
            transactions: Transactions::new(TimerSettings::default(), 10_000),
            terms: random.clone(),
            random,
            calls: Vec::new(),
            clients: BTreeMap::new(),
            minted: 0,
            is_deaf_to_next: false,
            ignored: BTreeSet::new(),
            wishes: None,
            outbox: Vec::new(),
            moves_to: match mark {
                "PBX" => "<sip:+14155550122@10.0.0.9>",
                "CARR-A" => "<sip:+442079460001@198.51.100.2>",
                _ => "<sip:+442079460002@198.51.100.1>;q=0.5, <sip:+442079460003@198.51.100.2>",
            },
        }
    }

    pub fn live_calls(&self) -> usize {
        self.calls.iter().filter(|call| call.state != UaState::Over).count()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let unacked = self.calls.iter().filter_map(|call| Some(call.unacked.as_ref()?.next)).min();
        let ringing = self.calls.iter().filter_map(|call| call.ringing.next_deadline()).min();
        [self.transactions.next_deadline(), unacked, ringing].into_iter().flatten().min()
    }

    pub fn on_time(&mut self, now: Instant) {
        self.transactions.on_time(now);
        self.pump(now);
        for at in 0..self.calls.len() {
            self.repeat_success(now, at);
            self.repeat_ringing(now, at);
        }
    }

    pub fn receive(&mut self, now: Instant, message: Message, hop: Hop) {
        let id = Bytes::copy_from_slice(message.call_id());
        let is_new =
            message.method() == Some(&Method::Invite) && message.to().is_some_and(|to| to.tag().is_none());
        if is_new && self.is_deaf_to_next && !self.calls.iter().any(|call| call.call_id == id) {
            self.is_deaf_to_next = false;
            self.ignored.insert(id.clone());
        }
        if !self.ignored.contains(&id) {
            self.transactions.receive(now, message, hop);
            self.pump(now);
        }
    }

    /// A connection is gone.
    pub fn on_transport_failed(&mut self, now: Instant, hop: Hop) {
        self.transactions.transport_failed(now, hop, |_| PeerIdentity::NONE);
        self.pump(now);
    }

    /// Places a call.
    pub fn place_call(&mut self, now: Instant, called: &str) {
        let (call_id, tag) = (self.mint("call"), self.mint("tag"));
        let writer = Writer::request(&Method::Invite, format!("sip:{called}@{}", self.sbc).as_bytes())
            .header(Header::Via, self.via())
            .header(Header::From, format!("<sip:+14155550100@{}>;tag={tag}", self.address))
            .header(Header::To, format!("<sip:{called}@{}>", self.sbc))
            .header(Header::CallId, &call_id)
            .header(Header::CSeq, "1 INVITE")
            .header(Header::Contact, self.contact())
            .header(Header::UserAgent, self.mark)
            .header(Header::MaxForwards, "70");
        let writer = self.session_timer(writer);
        let is_late = self.random.below(7) == 0;
        let offer = (!is_late).then(|| self.sdp(1, 1));
        let wish = self.wish();
        let writer = match wish {
            Some(header) => writer.header(header, "100rel"),
            None => writer,
        };
        let invite = finish(self.allow(writer), offer.clone());
        let at = self.add_call(Bytes::from(call_id), Bytes::from(tag), true);
        self.calls[at].said = offer;
        let client = self.send(now, at, Purpose::Setup, invite);
        self.calls[at].client = Some(client);
        self.calls[at].ringing.wish = wish;
        self.pump(now);
    }

    /// Ends a call in whatever way is allowed now, or as soon as one is.
    pub fn hang_up(&mut self, now: Instant, at: usize) -> &'static str {
        let call = &mut self.calls[at];
        match call.state {
            UaState::Over => {}
            UaState::Early if call.is_caller => {
                call.hangs_up = true;
                if let Some(client) = call.client {
                    self.transactions.cancel(now, client, None);
                }
            }
            UaState::Early => {
                call.ringing.stop();
                if let Some((server, request)) = call.server.take() {
                    call.state = UaState::Over;
                    self.respond(now, at, server, &request, 480, None);
                }
            }
            // §15: the callee waits for the ACK.
            UaState::Confirmed if call.unacked.is_some() => call.hangs_up = true,
            UaState::Confirmed => self.send_bye(now, at),
        }
        self.pump(now);
        "hangs up"
    }

    /// Whether an INVITE waits for an answer.
    pub fn is_asked(&self, at: usize) -> bool {
        self.calls[at].server.is_some()
    }

    /// Rings, reliably if the SBC knows that.
    pub fn ring(&mut self, now: Instant, at: usize) {
        self.ring_reliably(now, at);
        self.pump(now);
    }

    /// Answers a call that came.
    pub fn take(&mut self, now: Instant, at: usize) {
        self.accept(now, at);
        self.pump(now);
    }

    fn accept(&mut self, now: Instant, at: usize) -> &'static str {
        if self.calls[at].ringing.is_pending() {
            // RFC 3262 §3: the 2xx waits for the PRACK.
            return "waits for PRACK";
        }
        let Some((server, request)) = self.calls[at].server.take() else { return "nothing" };
        let streams = streams_of(&request).max(1);
        let sdp = self.sdp(streams, at as u32);
        let was_said = self.calls[at].state == UaState::Early && self.calls[at].ringing.is_settled;
        if !was_said {
            self.calls[at].said = Some(sdp.clone());
        }
        let response = self.response(at, &request, 200, (!was_said).then_some(sdp));
        let sequence = request.cseq().unwrap().number;
        let hop = self.hop();
        let response_hop = self.transactions.response_hop(server).unwrap_or(hop);
        let call = &mut self.calls[at];
        if call.dialog.is_none() {
            let tag = call.local_tag.clone();
            call.dialog = Some(Dialog::from_request(&request, hop, &tag));
        }
        call.state = UaState::Confirmed;
        call.unacked = Some(Unacked {
            response: response.clone(),
            hop: response_hop,
            sequence,
            since: now,
            next: now + T1,
            wait: T1,
        });
        self.transactions.respond(now, server, response);
        "accepts"
    }

    /// Whether something of a call is without its answer or its ACK.
    pub fn is_busy(&self, at: usize) -> bool {
        let call = &self.calls[at];
        call.client.is_some() || call.server.is_some() || call.unacked.is_some() || call.has_update_open
    }

    /// Changes a call.
    pub fn reinvite(&mut self, now: Instant, at: usize) -> &'static str {
        if self.is_busy(at) {
            return "is busy";
        }
        let streams = 1 + self.random.below(2) as usize;
        let (is_late, seed) = (self.random.below(5) == 0, self.random.below(1_000));
        let new = (!is_late).then(|| self.sdp(streams, seed));
        let repeats = self.terms.below(3) == 0;
        let offer = self.calls[at].said.clone().filter(|_| repeats).or(new);
        let Some(request) = self.in_dialog(at, &Method::Invite, offer) else { return "nothing" };
        let client = self.send(now, at, Purpose::Reinvite, request);
        self.calls[at].client = Some(client);
        "re-INVITEs"
    }

    /// Changes every call, by re-INVITE or UPDATE.
    pub fn change_everything(&mut self, now: Instant) {
        for at in 0..self.calls.len() {
            if self.calls[at].state == UaState::Confirmed {
                if self.terms.below(4) > 0 {
                    self.reinvite(now, at)
                } else {
                    self.update(now, at)
                };
            }
        }
        self.pump(now);
    }

    fn update(&mut self, now: Instant, at: usize) -> &'static str {
        if self.is_busy(at) {
            return "is busy";
        }
        let offers = self.random.below(3) > 0;
        let offer = offers.then(|| self.sdp(1, 17));
        let Some(request) = self.in_dialog(at, &Method::Update, offer) else { return "nothing" };
        self.calls[at].has_update_open = true;
        self.send(now, at, Purpose::Update, request);
        "UPDATEs"
    }

    /// An offer before the answer, once the first is answered.
    fn update_early(&mut self, now: Instant, at: usize) -> &'static str {
        if !self.calls[at].ringing.is_settled || self.calls[at].has_update_open {
            return "waits";
        }
        let offer = self.sdp(1, 23);
        let Some(request) = self.in_dialog(at, &Method::Update, Some(offer)) else { return "nothing" };
        self.calls[at].has_update_open = true;
        self.send(now, at, Purpose::Update, request);
        "UPDATEs early"
    }

    fn ask(&mut self, now: Instant, at: usize, method: &Method) -> &'static str {
        let Some(request) = self.in_dialog(at, method, None) else { return "nothing" };
        self.send(now, at, Purpose::Other, request);
        "asks"
    }

    fn send_bye(&mut self, now: Instant, at: usize) {
        let request = self.in_dialog(at, &Method::Bye, None);
        self.calls[at].state = UaState::Over;
        self.refuse_open(now, at);
        if let Some(request) = request {
            self.send(now, at, Purpose::Bye, request);
        }
    }

    /// §15.1.2: requests that are still open are answered 487.
    fn refuse_open(&mut self, now: Instant, at: usize) {
        self.calls[at].unacked = None;
        if let Some((server, request)) = self.calls[at].server.take() {
            self.respond(now, at, server, &request, 487, None);
        }
        if let Some(client) = self.calls[at].client {
            self.transactions.cancel(now, client, None);
        }
    }

    /// Carries out what the transactions want.
    pub fn pump(&mut self, now: Instant) {
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Transmit { hop, message, .. } => self.outbox.push((hop, message)),
                Effect::Request { server, request, .. } => self.on_request(now, server, request),
                Effect::Cancel { server, invite, request, .. } => {
                    self.on_cancel(now, server, invite, &request)
                }
                Effect::Ack { request, .. } => self.on_ack(now, &request),
                Effect::Response { client, response, .. } => self.on_response(now, client, &response),
                Effect::ClientEnded { client, why } => self.on_client_ended(now, client, why),
                Effect::ClientGone { client } => {
                    self.clients.remove(&client);
                }
                Effect::ServerEnded { .. }
                | Effect::ServerGone { .. }
                | Effect::Unreachable { .. }
                | Effect::CancelLost { .. }
                | Effect::Dropped { .. } => {}
            }
        }
    }

    fn on_request(&mut self, now: Instant, server: ServerId, request: Message) {
        let has_tag = request.to().is_some_and(|to| to.tag().is_some());
        if !has_tag && request.method() == Some(&Method::Invite) {
            let tag = Bytes::from(self.mint("tag"));
            let at = self.add_call(Bytes::copy_from_slice(request.call_id()), tag, false);
            self.calls[at].server = Some((server, request));
            return;
        }
        let Some(at) = self.find(&request) else {
            let gone = response_to(&request, self.sbc, Status::of(481), None, Some("x")).finish().unwrap();
            self.transactions.respond(now, server, gone);
            return;
        };
        self.on_in_dialog(now, at, server, request);
    }

    fn on_in_dialog(&mut self, now: Instant, at: usize, server: ServerId, request: Message) {
        let is_busy = self.is_busy(at);
        let call = &mut self.calls[at];
        let sequence = request.cseq().unwrap().number;
        if let Some(dialog) = call.dialog.as_mut() {
            let taken = dialog.take_sequence(sequence);
            // With reordering a later request may overtake; never may one come twice.
            if taken.is_err() {
                assert_ne!(dialog.remote_sequence, Some(sequence), "CSeq {sequence} was used twice");
                return self.respond(now, at, server, &request, 500, None);
            }
        }
        let is_over = call.state == UaState::Over;
        let is_settled_early =
            call.state == UaState::Early && call.ringing.is_settled && !call.ringing.is_pending();
        match request.method() {
            Some(Method::Bye) => {
                call.state = UaState::Over;
                self.respond(now, at, server, &request, 200, None);
                self.refuse_open(now, at);
            }
            _ if is_over => self.respond(now, at, server, &request, 481, None),
            Some(Method::Prack) => self.on_prack(now, at, server, &request),
            Some(Method::Invite) if is_busy => self.respond(now, at, server, &request, 491, None),
            Some(Method::Invite) => {
                call.server = Some((server, request));
                if self.random.below(2) == 0 {
                    self.accept(now, at);
                }
            }
            Some(Method::Update) if !request.body().is_empty() && is_busy && !is_settled_early => {
                self.respond(now, at, server, &request, 491, None);
            }
            Some(Method::Update) if !request.body().is_empty() => {
                let answer = self.sdp(streams_of(&request), 5);
                self.respond(now, at, server, &request, 200, Some(answer));
            }
            _ => {
                let status = if self.random.below(10) == 0 { 415 } else { 200 };
                self.respond(now, at, server, &request, status, None);
            }
        }
    }

    fn on_cancel(&mut self, now: Instant, server: ServerId, invite: Option<ServerId>, request: &Message) {
        let at = self
            .calls
            .iter()
            .position(|call| call.server.as_ref().is_some_and(|(open, _)| Some(*open) == invite));
        let response = response_to(request, self.sbc, Status::of(200), None, Some("c")).finish().unwrap();
        self.transactions.respond(now, server, response);
        let Some(at) = at else { return };
        if let Some((server, request)) = self.calls[at].server.take() {
            if self.calls[at].state == UaState::Early {
                self.calls[at].ringing.stop();
                self.calls[at].state = UaState::Over;
            }
            self.respond(now, at, server, &request, 487, None);
        }
    }

    fn on_ack(&mut self, now: Instant, request: &Message) {
        let Some(at) = self.find(request) else { return };
        let sequence = request.cseq().unwrap().number;
        let call = &mut self.calls[at];
        if call.unacked.as_ref().is_some_and(|unacked| unacked.sequence == sequence) {
            call.unacked = None;
            if call.hangs_up && call.state == UaState::Confirmed {
                self.send_bye(now, at);
            }
        }
    }

    fn on_response(&mut self, now: Instant, client: ClientId, response: &Message) {
        let Some((at, purpose, _)) = self.clients.get(&client) else { return };
        let (at, purpose) = (*at, *purpose);
        let status = response.status().unwrap();
        let is_invite = matches!(purpose, Purpose::Setup | Purpose::Reinvite);
        if purpose == Purpose::Setup && status.is_final() {
            self.calls[at].heard.get_or_insert(status.code());
        }
        if status.is_provisional() {
            if purpose == Purpose::Setup && response.to().is_some_and(|to| to.tag().is_some()) {
                self.learn_dialog(at, client, response);
                self.on_ringing(now, at, client, response);
            }
        } else if status.is_success() && is_invite {
            self.on_success(now, at, client, purpose, response);
        } else if status.is_success() {
            self.calls[at].has_update_open &= purpose != Purpose::Update;
        } else {
            self.on_failure(now, client, status.code());
        }
    }

    fn learn_dialog(&mut self, at: usize, client: ClientId, response: &Message) {
        let hop = self.hop();
        let call = &mut self.calls[at];
        if call.dialog.is_none()
            && let Some(invite) = self.clients.get(&client).map(|sent| &sent.2)
        {
            call.dialog = Some(Dialog::from_response(invite, response, hop));
        }
    }

    fn on_success(
        &mut self,
        now: Instant,
        at: usize,
        client: ClientId,
        purpose: Purpose,
        response: &Message,
    ) {
        let sequence = response.cseq().unwrap().number;
        let tag = Bytes::copy_from_slice(response.to().unwrap().tag().unwrap());
        if let Some((.., ack)) =
            self.calls[at].acks.iter().find(|known| known.0 == sequence && known.1 == tag)
        {
            let ack = ack.clone();
            return self.outbox.push((self.hop(), ack));
        }
        self.learn_dialog(at, client, response);
        let is_late =
            self.clients.get(&client).map(|sent| &sent.2).is_some_and(|invite| invite.body().is_empty());
        let was_settled = purpose == Purpose::Setup && self.calls[at].ringing.is_settled;
        assert_eq!(response.body().is_empty(), was_settled, "{}", lab::text(response));
        let answer = (is_late && !was_settled).then(|| self.sdp(streams_of(response), 3));
        let via = self.via();
        let call = &mut self.calls[at];
        let Some(dialog) = &mut call.dialog else { panic!("a 2xx without a dialog") };
        assert_eq!(dialog.remote_tag, tag, "a second dialog for one INVITE");
        dialog.refresh_target(response);
        let ack = finish(dialog.ack(sequence, &via), answer);
        call.acks.push((sequence, tag, ack.clone()));
        call.client = None;
        self.outbox.push((self.hop(), ack));
        let call = &mut self.calls[at];
        if purpose == Purpose::Setup {
            call.state = UaState::Confirmed;
        }
        if call.hangs_up && call.state == UaState::Confirmed {
            self.send_bye(now, at);
        }
    }

    /// No answer came in time, or the connection broke; a BYE is sent over another then.
    fn on_client_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some((at, purpose, _)) = self.clients.get(&client) else { return };
        let (at, purpose) = (*at, *purpose);
        self.calls[at].gave_up |= purpose == Purpose::Setup;
        if why != ClientEnd::Transport {
            return self.on_failure(now, client, 408);
        }
        self.on_failure(now, client, 503);
        if purpose == Purpose::Bye && self.calls[at].lost_byes < MAX_LOST_BYES {
            self.calls[at].lost_byes += 1;
            self.send_bye(now, at);
        }
    }

    fn on_failure(&mut self, now: Instant, client: ClientId, status: u16) {
        let Some((at, purpose, _)) = self.clients.get(&client) else { return };
        let (at, purpose) = (*at, *purpose);
        let call = &mut self.calls[at];
        match purpose {
            Purpose::Setup => {
                call.client = None;
                call.state = UaState::Over;
            }
            Purpose::Reinvite => call.client = None,
            Purpose::Update => call.has_update_open = false,
            Purpose::Bye => call.state = UaState::Over,
            Purpose::Other => {}
        }
        if matches!(status, 408 | 481) && call.state == UaState::Confirmed {
            call.hangs_up = true;
            if call.unacked.is_none() {
                self.send_bye(now, at);
            }
        }
    }

    /// §13.3.1.4: the 2xx again, or BYE when it was never ACKed.
    fn repeat_success(&mut self, now: Instant, at: usize) {
        let call = &mut self.calls[at];
        let Some(unacked) = call.unacked.as_mut().filter(|unacked| unacked.next <= now) else { return };
        if now.since(unacked.since) >= T1 * 64 {
            call.unacked = None;
            self.send_bye(now, at);
            return self.pump(now);
        }
        unacked.wait = (unacked.wait * 2).min(T1 * 8);
        unacked.next = now + unacked.wait;
        self.outbox.push((unacked.hop, unacked.response.clone()));
    }

    fn add_call(&mut self, call_id: Bytes, local_tag: Bytes, is_caller: bool) -> usize {
        self.calls.push(UaCall {
            call_id,
            local_tag,
            is_caller,
            state: UaState::Early,
            dialog: None,
            client: None,
            server: None,
            unacked: None,
            acks: Vec::new(),
            has_update_open: false,
            ringing: Ringing::default(),
            said: None,
            hangs_up: false,
            heard: None,
            gave_up: false,
            lost_byes: 0,
        });
        self.calls.len() - 1
    }

    fn find(&self, request: &Message) -> Option<usize> {
        let tag = request.to()?.tag()?;
        self.calls.iter().position(|call| call.local_tag == tag && call.call_id == request.call_id())
    }

    fn send(&mut self, now: Instant, at: usize, purpose: Purpose, request: Message) -> ClientId {
        let hop = self.hop();
        let client = self.transactions.send_request(now, request.clone(), hop);
        self.clients.insert(client, (at, purpose, request));
        client
    }

    fn in_dialog(&mut self, at: usize, method: &Method, sdp: Option<String>) -> Option<Message> {
        let (via, contact) = (self.via(), self.contact());
        let mut writer = self.calls[at].dialog.as_mut()?.request(method, &via);
        if matches!(method, Method::Invite | Method::Update) {
            writer = self.session_timer(writer.header(Header::Contact, contact));
        }
        Some(finish(writer, sdp))
    }

    fn respond(
        &mut self,
        now: Instant,
        at: usize,
        server: ServerId,
        request: &Message,
        status: u16,
        sdp: Option<String>,
    ) {
        let response = self.response(at, request, status, sdp);
        self.transactions.respond(now, server, response);
    }

    fn mint(&mut self, kind: &str) -> String {
        self.minted += 1;
        format!("{}{kind}{}x{}", self.mark, self.minted, self.address.port())
    }

    fn hop(&self) -> Hop {
        Hop::new(ListenerId(0), self.transport, self.sbc)
    }
}

fn streams_of(message: &Message) -> usize {
    let body = message.body();
    String::from_utf8_lossy(&body).matches("\r\nm=").count()
}

fn finish(writer: Writer, sdp: Option<String>) -> Message {
    match sdp {
        Some(sdp) => writer.finish_with(b"application/sdp", sdp.as_bytes()).unwrap(),
        None => writer.finish().unwrap(),
    }
}
