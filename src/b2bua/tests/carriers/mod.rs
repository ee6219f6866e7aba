//! Providers as their documents describe them, on virtual time, and a test for each thing that they ask
//! (R1 to R31: the table in docs/providers.md). The trunk of each is made by the real pack of etc/profiles,
//! read through `config`, so that pack, documentation and tests cannot drift apart.

mod any;
mod elevenlabs;
mod secured;
mod signalwire;
mod sinch;
mod telnyx;
mod twilio;
mod vonage;
mod vonage_programmable;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::lab::*;
use crate::b2bua::Input;
use crate::base::{Hop, Instant, Transport};
use crate::config::{self, Config};
use crate::routing::{Endpoint, Query, Resolution};
use crate::sip::digest::{Answerer, Challenge, Request};
use crate::sip::{Header, Message, Method, Status, response_to};

/// A node with the PBX and a route each way; trunks come behind it.
const NODE: &str = r#"
[[listener]]
realm = "trusted"
bind = "10.0.0.5:5060"
[[listener]]
realm = "untrusted"
bind = "203.0.113.5:5060"
[[listener]]
realm = "trusted"
transport = "tcp"
bind = "10.0.0.5:5060"
[[listener]]
realm = "untrusted"
transport = "tcp"
bind = "203.0.113.5:5060"
[realm.trusted]
media_bind = "10.0.0.5"
[realm.untrusted]
media_bind = "203.0.113.5"
[media]
ports = "20000-21999"
[numbering]
country = "US"
"#;

/// The PBX of the lab.
const PBX_TRUNK: &str = "[trunk.pbx]\nprofile = \"plain\"\nrealm = \"trusted\"\nhost = \"10.0.0.9\"\nhealth = { interval = \"0s\" }\n";

/// A configuration of these trunks, without routes. Panics with its faults.
pub fn configuration(trunks: &str) -> Config {
    let text = format!("{NODE}{PBX_TRUNK}{trunks}");
    match config::parse("drawbridge.toml", &text) {
        Ok(config) => config,
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

/// The faults of a configuration of these trunks.
pub fn faults(trunks: &str) -> String {
    let faults = config::parse("drawbridge.toml", &format!("{NODE}{PBX_TRUNK}{trunks}")).unwrap_err();
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// Routes to this trunk from the PBX, and from everybody else to the PBX.
pub fn routes(trunk: &str) -> String {
    format!(
        "[[route]]\nname = \"out\"\nfrom = \"trusted\"\ntrunks = [\"{trunk}\"]\n[[route]]\nname = \"in\"\nfrom = \"untrusted\"\ntrunks = [\"pbx\"]\n"
    )
}

/// Target, priority and weight (RFC 2782).
pub type SrvRecord = (String, u16, u16);

/// What a provider says of an INVITE: nothing, or the status it refuses it with.
type Rule = Box<dyn Fn(&Message) -> Option<u16>>;

/// One provider.
pub struct Provider {
    /// Its names and their addresses.
    pub zone: Vec<(String, Vec<IpAddr>)>,
    /// SRV records of its names.
    pub srv: Vec<(String, Vec<SrvRecord>)>,
    /// Addresses that say nothing.
    pub dead: BTreeSet<IpAddr>,
    /// Username, password and realm, where it asks who we are.
    pub digest: Option<(String, String, String)>,
    /// What it asks of an INVITE.
    pub rule: Rule,
    /// How many calls a second it takes.
    pub cps: Option<usize>,
    /// What it answers with.
    pub sdp: String,
    /// The Contact that is registered.
    pub registered: Option<String>,
    /// When it took calls.
    taken: Vec<Instant>,
    /// How often each nonce was used.
    nonces: Vec<(String, u32)>,
}

impl Provider {
    /// A provider that takes every call.
    pub fn new(zone: &[(&str, &[&str])]) -> Provider {
        let entry = |(name, addresses): &(&str, &[&str])| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            ((*name).to_owned(), addresses.collect())
        };
        Provider {
            zone: zone.iter().map(entry).collect(),
            srv: Vec::new(),
            dead: BTreeSet::new(),
            digest: None,
            rule: Box::new(|_| None),
            cps: None,
            sdp: SDP_CARRIER.to_owned(),
            registered: None,
            taken: Vec::new(),
            nonces: Vec::new(),
        }
    }

    /// The same, asking for these credentials.
    pub fn asking(self, username: &str, password: &str, realm: &str) -> Provider {
        Provider { digest: Some((username.to_owned(), password.to_owned(), realm.to_owned())), ..self }
    }

    /// The same, with this rule.
    pub fn with_rule(self, rule: impl Fn(&Message) -> Option<u16> + 'static) -> Provider {
        Provider { rule: Box::new(rule), ..self }
    }

    fn is_at(&self, address: IpAddr) -> bool {
        self.zone.iter().any(|(_, addresses)| addresses.contains(&address))
    }

    /// What it answers to a request.
    fn serve(&mut self, now: Instant, peer: SocketAddr, request: &Message) -> Vec<Message> {
        if self.dead.contains(&peer.ip()) {
            return Vec::new();
        }
        let at = peer.to_string();
        let status = |status| vec![respond(&at, request, status, "edge", None)];
        match request.method() {
            Some(Method::Ack) | None => Vec::new(),
            Some(Method::Invite) => {
                if let Some(refusal) = self.challenge(request) {
                    return vec![refusal];
                }
                if let Some(refused) = (self.rule)(request) {
                    return status(refused);
                }
                self.taken.retain(|taken| now - *taken < Duration::from_secs(1));
                if self.cps.is_some_and(|cps| self.taken.len() >= cps) {
                    return status(503);
                }
                self.taken.push(now);
                let answer = respond(&at, request, 200, "edge", Some(&self.sdp));
                vec![respond(&at, request, 100, "edge", None), answer]
            }
            Some(Method::Register) => {
                if let Some(refusal) = self.challenge(request) {
                    return vec![refusal];
                }
                let contact = value(request, Header::Contact);
                let granted =
                    response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(200), None, Some("edge"))
                        .header(Header::Contact, format!("{contact};expires=3600"))
                        .finish();
                self.registered = Some(contact);
                vec![granted.unwrap()]
            }
            Some(_) => status(200),
        }
    }

    /// Where a query leads: the targets of SRV where nobody says a port, else the name's addresses.
    fn resolve(&self, query: &Query) -> Option<Vec<Endpoint>> {
        let addresses =
            |name: &str| self.zone.iter().find(|(known, _)| known == name).map(|(_, at)| at.clone());
        let transport = query.transport.unwrap_or(Transport::Udp);
        let endpoint = |host: &str, address, priority, weight| {
            let address = SocketAddr::new(address, query.port.unwrap_or(transport.default_port()));
            Endpoint { host: host.to_owned(), address, transport, priority, weight }
        };
        let srv = self.srv.iter().find(|(name, _)| *name == query.host).filter(|_| query.port.is_none());
        if let Some((_, targets)) = srv {
            let of = |(name, priority, weight): &(String, u16, u16)| {
                let found = addresses(name).unwrap_or_default().into_iter();
                found.map(|address| endpoint(name, address, *priority, *weight)).collect::<Vec<_>>()
            };
            return Some(targets.iter().flat_map(of).collect());
        }
        let found = addresses(&query.host)?.into_iter();
        Some(found.map(|address| endpoint(&query.host, address, 0, 0)).collect())
    }

    /// A 407, unless the request has the right answer to a challenge of ours, with a count that goes up.
    fn challenge(&mut self, request: &Message) -> Option<Message> {
        let (username, password, realm) = self.digest.clone()?;
        let said = request
            .header(Header::ProxyAuthorization)
            .map(|value| String::from_utf8_lossy(value).into_owned());
        let parameter = |name: &str| {
            let said = said.as_deref()?;
            let rest = said.split_once(&format!("{name}="))?.1;
            Some(rest.trim_start_matches('"').split(['"', ',']).next()?.to_owned())
        };
        let count = parameter("nc").and_then(|count| u32::from_str_radix(&count, 16).ok()).unwrap_or(0);
        let known = self.nonces.iter_mut().find(|(nonce, _)| Some(nonce) == parameter("nonce").as_ref());
        if let (Some((nonce, used)), Some(cnonce)) = (known, parameter("cnonce"))
            && count > *used
        {
            let asked = format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\"");
            let challenge = Challenge::parse(asked.as_bytes()).unwrap().remove(0);
            let who = Answerer { username: &username, password: &password };
            let body = request.body();
            let method = request.method().map_or("", Method::label);
            let request = Request { method, uri: request.request_uri_raw(), body: &body };
            let expected = challenge.answer(who, request, count, &cnonce);
            if said.as_deref().map(str::as_bytes) == Some(&expected) {
                *used = count;
                return None;
            }
        }
        let nonce = format!("nonce{}", self.nonces.len());
        let asked = format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\"");
        self.nonces.push((nonce, 0));
        let sbc = SBC_UNTRUSTED.parse().unwrap();
        let refusal = response_to(request, sbc, Status::of(407), None, Some("edge"));
        Some(refusal.header(Header::ProxyAuthenticate, asked).finish().unwrap())
    }
}

/// The lab, with providers in it that answer by themselves.
pub struct Bench {
    pub lab: Lab,
    pub providers: Vec<Provider>,
    /// Every request that the providers were sent, dead edges too, and where.
    pub sent: Vec<(Hop, Message)>,
    /// Responses that the providers got.
    pub answers: Vec<Message>,
    calls: usize,
}

/// What became of a call.
pub struct Placed {
    /// The final status that the PBX got.
    pub status: u16,
    /// What the providers got of it, in order.
    pub sent: Vec<(Hop, Message)>,
    /// The final response to the PBX.
    pub answer: Message,
}

impl Placed {
    /// The last INVITE that went out, and where.
    pub fn invite(&self) -> (&Hop, &Message) {
        let invites = self.sent.iter().rev();
        let (hop, invite) =
            invites.clone().find(|(_, sent)| sent.method() == Some(&Method::Invite)).expect("an INVITE");
        (hop, invite)
    }

    /// Where INVITEs went, in order, each address once.
    pub fn tried(&self) -> Vec<String> {
        let mut tried: Vec<String> = Vec::new();
        for (hop, _) in self.sent.iter().filter(|(_, sent)| sent.method() == Some(&Method::Invite)) {
            let address = hop.peer.ip().to_string();
            if !tried.contains(&address) {
                tried.push(address);
            }
        }
        tried
    }
}

impl Bench {
    /// A node with these trunks and routes, and these providers around it. Nobody is probed.
    pub fn new(trunks: &str, providers: Vec<Provider>) -> Bench {
        let mut config = configuration(trunks);
        for trunk in &mut config.routing.trunks {
            trunk.health.interval = Duration::ZERO;
        }
        Bench::of(config, providers)
    }

    /// The same, with the probes that the trunks ask for.
    pub fn probing(trunks: &str, providers: Vec<Provider>) -> Bench {
        Bench::of(configuration(trunks), providers)
    }

    fn of(config: Config, providers: Vec<Provider>) -> Bench {
        let lab = Lab::with(crate::app::offline_settings(&config));
        let (sent, answers) = (Vec::new(), Vec::new());
        let mut bench = Bench { lab, providers, sent, answers, calls: 0 };
        bench.settle();
        bench
    }

    /// Everybody answers what there is to answer; what is for the PBX stays.
    pub fn settle(&mut self) {
        loop {
            self.look_up();
            let for_provider = |(hop, _): &(Hop, Message)| hop.peer.ip().to_string() != "10.0.0.9";
            let Some(at) = self.lab.sent.iter().position(for_provider) else { break };
            let (hop, message) = self.lab.sent.remove(at).unwrap();
            let provider = self.providers.iter_mut().find(|provider| provider.is_at(hop.peer.ip()));
            if !message.is_request() {
                self.answers.push(message);
                continue;
            }
            let answers = provider.map(|provider| provider.serve(self.lab.now, hop.peer, &message));
            self.sent.push((hop, message));
            for answer in answers.into_iter().flatten() {
                self.lab.input(Input::Received { hop, bytes: answer.as_bytes().clone() });
            }
        }
        for (_, message) in &self.lab.sent {
            self.expect_hidden(message);
        }
    }

    /// Time passes, and everybody answers at once.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.lab.now + duration;
        while let Some(next) = self.lab.engine.next_deadline().filter(|next| *next <= until) {
            self.lab.advance(next - self.lab.now);
            self.settle();
        }
        self.lab.advance(until - self.lab.now);
    }

    /// DNS, for what the engine has asked.
    fn look_up(&mut self) {
        for query in std::mem::take(&mut self.lab.lookups) {
            let found = self.providers.iter().find_map(|provider| provider.resolve(&query));
            let resolution = found.map(|endpoints| Resolution::new(endpoints, Duration::from_secs(3_600)));
            let resolution = resolution.map_or_else(no_such_host, Ok);
            self.lab.input(Input::Resolved { query, resolution });
        }
    }

    /// No name and no address of a provider is seen by the PBX.
    fn expect_hidden(&self, message: &Message) {
        let text = text(message);
        for (name, addresses) in self.providers.iter().flat_map(|provider| &provider.zone) {
            assert!(!text.contains(name.as_str()), "{name} is seen in\n{text}");
            assert!(!addresses.iter().any(|address| text.contains(&address.to_string())), "{text}");
        }
    }

    /// The PBX calls; if the call is answered, it hangs up at once.
    pub fn call(&mut self, caller: &str, called: &str) -> Placed {
        self.call_with(caller, called, SDP_PBX, "")
    }

    /// The same with other SDP, and with more header lines.
    pub fn call_with(&mut self, caller: &str, called: &str, sdp: &str, lines: &str) -> Placed {
        self.calls += 1;
        self.sent.clear();
        let plain = invite(PBX, called, &format!("out-{}", self.calls), Some(sdp));
        let from = text(&plain).replacen("<sip:+14155550100@", &format!("<sip:{caller}@"), 1);
        let from = from.replacen("User-Agent", &format!("{lines}User-Agent"), 1);
        let invite = Message::parse(from.into()).unwrap();
        self.lab.receive(PBX, &invite);
        let answer = self.final_answer(&invite);
        let status = answer.status().unwrap().code();
        if status == 200 {
            self.lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
            self.lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
            self.settle();
            self.lab.take_response(PBX, 200);
        } else {
            // An ACK for a failure has the branch of its INVITE.
            let ack = text(&invite).replacen("INVITE ", "ACK ", 1).replace(" INVITE\r\n", " ACK\r\n");
            self.lab.receive(PBX, &Message::parse(ack.into()).unwrap());
        }
        Placed { status, sent: std::mem::take(&mut self.sent), answer }
    }

    /// The first final response to the PBX; time passes until there is one.
    fn final_answer(&mut self, invite: &Message) -> Message {
        for _ in 0..200 {
            self.settle();
            while let Some((_, message)) = self.lab.sent.pop_front() {
                let is_final = message.status().is_some_and(|status| !status.is_provisional());
                if is_final && message.call_id() == invite.call_id() {
                    return message;
                }
            }
            self.lab.advance(Duration::from_millis(500));
        }
        panic!("the PBX heard nothing in 100 s");
    }

    /// A provider calls in with this INVITE from this address; the INVITE that the PBX gets, if any.
    pub fn arrive(&mut self, from: &str, invite: &str) -> Option<Message> {
        self.answers.clear();
        self.lab.receive_bytes(from, invite.to_owned());
        self.settle();
        let is_invite = |(_, message): &(Hop, Message)| message.method() == Some(&Method::Invite);
        let at = self.lab.sent.iter().position(is_invite)?;
        Some(self.lab.sent.remove(at).unwrap().1)
    }

    /// The status of the last response that a provider got.
    pub fn last_answer(&self) -> Option<u16> {
        self.answers.last()?.status().map(Status::code)
    }

    /// Nothing is left of any call.
    pub fn end(mut self) {
        // A probe may be under way.
        for _ in 0..64 {
            if self.lab.engine.census().transactions == 0 {
                break;
            }
            self.pass(Duration::from_secs(1));
        }
        self.lab.sent.clear();
        self.lab.expect_nothing_left();
    }
}

/// An INVITE as a provider sends it, from this address.
pub fn incoming(at: &str, uri: &str, from: &str, to: &str, lines: &str) -> String {
    let id = uri.len() + at.len() * 100;
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{id}in\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=as386cfb27\r\nTo: <{to}>\r\nCall-ID: {id}@{at}\r\nCSeq: 102 INVITE\r\n\
         {lines}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP_CARRIER}",
        SDP_CARRIER.len()
    )
}

/// The request line of a message.
pub fn first_line(message: &Message) -> String {
    text(message).lines().next().unwrap_or_default().to_owned()
}

/// The value of a header as text; empty where there is none.
pub fn value(message: &Message, header: Header) -> String {
    String::from_utf8_lossy(message.header(header).unwrap_or_default()).into_owned()
}
