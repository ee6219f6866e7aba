//! Call flows of RFCs, one file an RFC, each test named after its section. Where an RFC draws Alice,
//! proxies and Bob, here Alice's side and Bob's each speak to Drawbridge in the proxies' place: each
//! message that crosses stands in the test, in its order, and none is left over at the end.
//!
//! How a back-to-back user agent's flow differs from a proxy's, in every file: each side has a dialog
//! of its own; the INVITE is answered by 100 at once ([`Phone::invites`] takes it); Bob's 2xx is ACKed
//! at once, Alice's ACK ends here, unless it carries an SDP answer; BYE and CANCEL are answered here
//! and go on as requests of the other dialog. A message that is lost is one that a phone does not
//! send, or takes and does not act upon.

mod rfc3665;
mod rfc3960;
mod rfc5359;
mod rfc5359_transfer;
mod rfc5407;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::lab::*;
use crate::b2bua::{Cdr, Settings};
use crate::media::MediaCommand;
use crate::sip::{Header, Message, Method, Status, Writer, response_to};

/// The lab, shared by everybody who takes part.
pub struct Flow {
    lab: Rc<RefCell<Lab>>,
    phones: Cell<u32>,
    /// How many media commands were looked at.
    media_seen: Cell<usize>,
}

/// A user agent at one address, with at most one dialog.
pub struct Phone {
    lab: Rc<RefCell<Lab>>,
    at: &'static str,
    /// Who it calls.
    called: &'static str,
    /// Its Call-ID, its tag and its branches are made of this.
    name: String,
    /// Its Contact, unless the test changes it.
    pub contact: String,
    /// The Record-Route that the proxies on its side leave in what it sends.
    pub record_route: Vec<&'static str>,
    /// The methods that it says it takes.
    pub allow: &'static str,
    dialog: PhoneDialog,
    sequence: u32,
    invite_sequence: u32,
    branches: u32,
}

/// What a phone and Drawbridge call each other.
#[derive(Clone, Default)]
struct PhoneDialog {
    call_id: Vec<u8>,
    local: Vec<u8>,
    remote: Vec<u8>,
    target: Vec<u8>,
}

impl Flow {
    /// With carrier A alone.
    pub fn new() -> Flow {
        Flow::changed(|settings| settings.routing.routes[0].tiers.truncate(1))
    }

    /// With other settings.
    pub fn changed(change: impl FnOnce(&mut Settings)) -> Flow {
        let mut settings = settings();
        change(&mut settings);
        let lab = Rc::new(RefCell::new(Lab::with(settings)));
        Flow { lab, phones: Cell::new(0), media_seen: Cell::new(0) }
    }

    /// Alice at the PBX and Bob at carrier A.
    pub fn alice_and_bob(&self) -> (Phone, Phone) {
        (self.phone(PBX), self.phone(CARRIER_A))
    }

    /// A phone at (or behind) one address.
    pub fn phone(&self, at: &'static str) -> Phone {
        self.phones.set(self.phones.get() + 1);
        let trusted = at.starts_with("10.");
        Phone {
            lab: Rc::clone(&self.lab),
            at,
            called: if trusted { "+442079460000" } else { "+14155550111" },
            name: format!("phone-{}", self.phones.get()),
            contact: format!("<sip:phone@{at}>"),
            record_route: vec![],
            allow: "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE",
            dialog: PhoneDialog::default(),
            sequence: 0,
            invite_sequence: 0,
            branches: 0,
        }
    }

    /// Nothing crosses.
    #[track_caller]
    pub fn is_silent(&self) {
        self.lab.borrow().expect_silence();
    }

    /// Time passes.
    pub fn after_ms(&self, millis: u64) {
        self.lab.borrow_mut().advance(Duration::from_millis(millis));
    }

    /// What the relay was told since this was asked last.
    #[track_caller]
    pub fn media_is(&self, expected: &[&str]) {
        let lab = self.lab.borrow();
        // That a call is answered is seen elsewhere.
        let is_shown = |command: &&MediaCommand| !matches!(command, MediaCommand::SetAnswered { .. });
        let told: Vec<String> =
            lab.media.iter().skip(self.media_seen.get()).filter(is_shown).map(describe).collect();
        self.media_seen.set(lab.media.len());
        assert_eq!(told, expected);
    }

    /// The ports that were opened last, as SDP says them: towards the trusted side, the untrusted.
    pub fn ports(&self) -> (String, String) {
        let ports = opened_ports(&self.lab.borrow());
        let line = |at: usize| format!("m=audio {} ", ports[at].rtp_port);
        let trusted = usize::from(ports[0].address.to_string() != "10.0.0.5");
        (line(trusted), line(1 - trusted))
    }

    /// The lab, for what no phone does.
    pub fn lab<T>(&self, act: impl FnOnce(&mut Lab) -> T) -> T {
        act(&mut self.lab.borrow_mut())
    }

    /// Everything was said, nothing is repeated, and nothing is left; the records of the calls.
    #[track_caller]
    pub fn records(&self) -> Vec<Cdr> {
        let mut lab = self.lab.borrow_mut();
        lab.expect_silence();
        lab.expect_nothing_left();
        lab.expect_silence();
        lab.cdrs.clone()
    }

    /// The same, of the only call.
    #[track_caller]
    pub fn record(&self) -> Cdr {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.into_iter().next().expect("a record")
    }
}

impl Phone {
    /// Opens a dialog; 100 comes back at once.
    pub fn invites(&mut self, sdp: Option<&str>) -> Message {
        let invite = self.writes_invite(sdp, |writer| writer);
        self.sends_this(&invite);
        self.hears(100);
        invite
    }

    /// The INVITE that would open a dialog, with more headers.
    pub fn writes_invite(&mut self, sdp: Option<&str>, more: impl FnOnce(Writer) -> Writer) -> Message {
        self.sequence += 1;
        self.invite_sequence = self.sequence;
        let (called, at) = (self.called, sbc_towards(self.at));
        let writer =
            request(self.at, &Method::Invite, &format!("sip:{called}@{at}"), &self.name, self.sequence)
                .header(Header::To, format!("<sip:{called}@{at}>"))
                .header(Header::Contact, &self.contact)
                .header(Header::Allow, self.allow);
        let writer = self.record_route.iter().fold(writer, |w, route| w.header(Header::RecordRoute, route));
        let invite = finish(more(writer), sdp);
        self.dialog.call_id = invite.call_id().to_vec();
        self.dialog.local = invite.header(Header::From).expect("a From").to_vec();
        invite
    }

    /// Sends any message, or one again.
    pub fn sends_this(&self, message: &Message) {
        self.lab.borrow_mut().receive(self.at, message);
    }

    /// A request of its dialog; an INVITE is answered by 100 at once.
    pub fn sends(&mut self, method: &Method, sdp: Option<&str>) -> Message {
        let request = self.writes(method, sdp);
        self.sends_this(&request);
        if *method == Method::Invite {
            self.hears(100);
        }
        request
    }

    /// A request of its dialog that is still to be sent.
    pub fn writes(&mut self, method: &Method, sdp: Option<&str>) -> Message {
        if *method != Method::Ack {
            self.sequence += 1;
        }
        if *method == Method::Invite {
            self.invite_sequence = self.sequence;
        }
        let sequence = if *method == Method::Ack { self.invite_sequence } else { self.sequence };
        self.branches += 1;
        let via = format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{}x{}", self.at, self.name, self.branches);
        let mut writer = Writer::request(method, &self.dialog.target)
            .header(Header::Via, via)
            .header(Header::From, &self.dialog.local)
            .header(Header::To, &self.dialog.remote)
            .header(Header::CallId, &self.dialog.call_id)
            .display(Header::CSeq, format!("{sequence} {}", method.label()))
            .header(Header::MaxForwards, "70");
        if matches!(method, Method::Invite | Method::Update | Method::Refer) {
            writer = writer.header(Header::Contact, &self.contact);
        }
        finish(writer, sdp)
    }

    /// The ACK of the 2xx to its last INVITE.
    pub fn acks(&mut self, sdp: Option<&str>) -> Message {
        self.sends(&Method::Ack, sdp)
    }

    /// PRACK of a reliable provisional response (RFC 3262), and its 200.
    pub fn pracks(&mut self, response: &Message) {
        let (rseq, cseq) = (header(response, Header::RSeq), header(response, Header::CSeq));
        let prack = text(&self.writes(&Method::Prack, None));
        let prack = prack.replacen("Max-Forwards", &format!("RAck: {rseq} {cseq}\r\nMax-Forwards"), 1);
        self.sends_this(&Message::parse(prack.into()).expect("a message"));
        self.hears(200);
    }

    /// The ACK of another final response (RFC 3261 §17.1.1.3).
    pub fn acks_failure(&self, invite: &Message, response: &Message) {
        let number = invite.cseq().expect("a CSeq").number;
        let ack = Writer::request(&Method::Ack, invite.request_uri_raw())
            .copy(invite, Header::Via)
            .copy(invite, Header::From)
            .copy(response, Header::To)
            .copy(invite, Header::CallId)
            .display(Header::CSeq, format!("{number} ACK"))
            .header(Header::MaxForwards, "70");
        self.sends_this(&finish(ack, None));
    }

    /// Hears this failure of its INVITE, and acknowledges it.
    #[track_caller]
    pub fn is_refused(&mut self, invite: &Message, status: u16) -> Message {
        let response = self.hears(status);
        self.acks_failure(invite, &response);
        response
    }

    /// CANCEL, and its 200.
    pub fn cancels(&mut self, invite: &Message) {
        self.sends_this(&cancel_of(invite));
        self.hears(200);
    }

    /// Gets a request; an INVITE that opens a dialog becomes its dialog.
    #[track_caller]
    pub fn gets(&mut self, method: &Method) -> Message {
        let request = self.lab.borrow_mut().take_request(self.at, method);
        let opens = *method == Method::Invite && request.to().is_some_and(|to| to.tag().is_none());
        if opens {
            let mut local = request.header(Header::To).expect("a To").to_vec();
            local.extend_from_slice(format!(";tag=tag-{}", self.name).as_bytes());
            self.dialog = PhoneDialog {
                call_id: request.call_id().to_vec(),
                local,
                remote: request.header(Header::From).expect("a From").to_vec(),
                target: request.contact().expect("a Contact").uri_raw.to_vec(),
            };
        }
        request
    }

    /// Hears a response; what establishes a dialog gives the names for its next requests.
    #[track_caller]
    pub fn hears(&mut self, status: u16) -> Message {
        let response = self.lab.borrow_mut().take_response(self.at, status);
        let is_invites = response.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
        if is_invites && (101..300).contains(&status) {
            self.dialog.remote = response.header(Header::To).expect("a To").to_vec();
            self.dialog.target = response.contact().expect("a Contact").uri_raw.to_vec();
        }
        response
    }

    /// Answers a request.
    pub fn answers(&self, request: &Message, status: u16, sdp: Option<&str>) -> Message {
        self.answers_with(request, status, sdp, |writer| writer)
    }

    /// Answers a request with more headers.
    pub fn answers_with(
        &self,
        request: &Message,
        status: u16,
        sdp: Option<&str>,
        more: impl FnOnce(Writer) -> Writer,
    ) -> Message {
        let response = self.writes_answer(request, status, sdp, more);
        self.sends_this(&response);
        response
    }

    /// A response that is still to be sent.
    pub fn writes_answer(
        &self,
        request: &Message,
        status: u16,
        sdp: Option<&str>,
        more: impl FnOnce(Writer) -> Writer,
    ) -> Message {
        let sbc = sbc_towards(self.at).parse().expect("an address");
        let tag = format!("tag-{}", self.name);
        let tag = (status > 100).then_some(&tag[..]);
        let mut writer = response_to(request, sbc, Status::of(status), None, tag);
        if (101..300).contains(&status) {
            writer = self.record_route.iter().fold(writer, |w, route| w.header(Header::RecordRoute, route));
            writer = writer.header(Header::Contact, &self.contact).header(Header::Allow, self.allow);
        }
        finish(more(writer), sdp)
    }

    /// Gets BYE and answers it.
    #[track_caller]
    pub fn gets_bye(&mut self) -> Message {
        let bye = self.gets(&Method::Bye);
        self.answers(&bye, 200, None);
        bye
    }

    /// Says BYE, and hears 200.
    pub fn hangs_up(&mut self) {
        self.sends(&Method::Bye, None);
        self.hears(200);
    }
}

/// Alice calls, Bob rings and answers, both with SDP; the INVITE that Bob got.
pub fn establish(alice: &mut Phone, bob: &mut Phone) -> Message {
    alice.invites(Some(sdp_of(alice.at)));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(sdp_of(bob.at)));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    invite
}

/// What a phone at an address says of its media.
pub fn sdp_of(at: &str) -> &'static str {
    if at.starts_with("10.") { SDP_PBX } else { SDP_CARRIER }
}

/// An SDP with another direction.
pub fn directed(sdp: &str, direction: &str) -> String {
    format!("{sdp}a={direction}\r\n")
}

/// An SDP with its media somewhere else: `10.0.0.9 30000`.
pub fn moved(sdp: &str, to: &str) -> String {
    let (address, port) = to.split_once(' ').expect("an address and a port");
    sdp.replace("c=IN IP4 10.0.0.9", &format!("c=IN IP4 {address}"))
        .replace("c=IN IP4 198.51.100.77", &format!("c=IN IP4 {address}"))
        .replace("m=audio 30000", &format!("m=audio {port}"))
        .replace("m=audio 40000", &format!("m=audio {port}"))
}

/// A header's value as text; empty if there is none.
pub fn header(message: &Message, header: Header) -> String {
    String::from_utf8_lossy(message.header(header).unwrap_or(b"")).into_owned()
}

fn describe(command: &MediaCommand) -> String {
    match command {
        MediaCommand::Open { streams, .. } => format!("open {}", streams.len()),
        MediaCommand::SetRemote { side, stream, remote, .. } => {
            let stream = if *stream == 0 { String::new() } else { format!(" stream {stream}") };
            let Some(remote) = remote else { return format!("{side:?}{stream} none") };
            let direction = match (remote.sends, remote.receives) {
                (true, true) => "",
                (true, false) => " sendonly",
                (false, true) => " recvonly",
                (false, false) => " inactive",
            };
            format!("{side:?}{stream} {}{direction}", remote.rtp)
        }
        MediaCommand::SetHold { held: true, .. } => "hold".to_owned(),
        MediaCommand::SetHold { held: false, .. } => "resume".to_owned(),
        MediaCommand::SetAnswered { .. } => "answered".to_owned(),
        MediaCommand::Press { side, .. } => format!("press {side:?}"),
        MediaCommand::Report { .. } => "report".to_owned(),
        MediaCommand::Close { .. } => "close".to_owned(),
    }
}
