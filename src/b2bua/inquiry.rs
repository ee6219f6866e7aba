//! What a trunk is asked outside of any call to find out whether it answers and takes our credentials:
//! OPTIONS (RFC 3261 §11), and a REGISTER without Contact, which asks for bindings and makes none
//! (§10.2.3). One [`Inquiry`] is one question with all that follows: it is repeated by timer E
//! (§17.1.2.2), known again by its branch, and sent once more for a challenge (§22).
//!
//! Nothing is concluded here: what came is told, and who asks draws the conclusion. No digest is
//! made for a realm that is not the one expected.
//!
//! Must not know: sockets, what people read.

use std::time::Duration;

use super::identity;
use crate::base::{Instant, Random, Transport};
use crate::routing::{Authentication, Credentials};
use crate::sip::digest::{self, Answerer, Challenge, ChallengeFault};
use crate::sip::{Header, Message, Method, Writer};

/// Timer E begins with this (RFC 3261 §17.1.2.2: T1).
const T1: Duration = Duration::from_millis(500);
/// And doubles up to this (T2).
const T2: Duration = Duration::from_secs(4);
/// How often one realm is answered: once, and once more for a stale nonce.
pub const MAX_ANSWERS: u8 = 2;
/// So many realms are answered for one question.
const MAX_REALMS: usize = 4;

/// Who asks whom: the parts that a question is written of.
#[derive(Clone, Debug)]
pub struct Party {
    /// How it travels.
    pub transport: Transport,
    /// `host:port` of Via, to which an answer may come.
    pub sent_by: String,
    /// `host:port` of From and Contact, as the daemon says it.
    pub here: String,
    /// Host of the Request-URI of OPTIONS, with a port where it needs one.
    pub target: String,
    /// The same of REGISTER.
    pub registrar: String,
    /// Host of the address-of-record.
    pub domain: String,
    /// Its user.
    pub user: Option<String>,
    /// What answers a challenge.
    pub credentials: Option<Credentials>,
    /// Which challenges it answers.
    pub authentication: Authentication,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    /// Whether it is there: OPTIONS.
    Presence,
    /// Whether it knows our user: REGISTER without Contact.
    Bindings,
}

/// A question on its way.
#[derive(Debug)]
pub struct Inquiry {
    party: Party,
    subject: Subject,
    random: Random,
    request: Message,
    branch: String,
    tag: String,
    call_id: String,
    sequence: u32,
    /// When it is (or would be) sent next, and after which interval again; `None`: not again.
    due: Option<Instant>,
    interval: Duration,
    /// How often these bytes were sent.
    sent: u32,
    /// Who has asked for our digest: a registrar may, and a proxy before it.
    given: Vec<Given>,
}

/// A challenge that the request carries the answer to.
#[derive(Clone, Debug)]
struct Given {
    header: Header,
    challenge: Challenge,
    /// How often this realm was answered.
    times: u8,
    /// How often with this nonce.
    uses: u32,
}

/// What a message was.
#[derive(Debug)]
pub enum Heard {
    /// No answer to this question.
    Nothing,
    /// A provisional one.
    Progress,
    /// A challenge, which the next request answers.
    Challenged,
    /// The last word.
    Final(Box<Finding>),
}

/// How a question ended.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The final response.
    pub response: Message,
    /// What became of its challenge, if it has one, or of the one before.
    pub digest: DigestOutcome,
}

/// How far authentication went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DigestOutcome {
    /// Nobody asked for it.
    NotAsked,
    /// Somebody asked, and there are no credentials.
    NoCredentials {
        /// The realm that asked, if that can be read.
        realm: Option<String>,
    },
    /// No challenge is of the realm that is expected: no digest was sent.
    OtherRealm {
        /// The realm that asked.
        realm: String,
        /// Those that may have our digest.
        expected: Vec<String>,
    },
    /// No challenge is of a hash that is good enough: no digest was sent.
    OtherAlgorithm {
        /// The realm that asked.
        realm: String,
        /// The hash that it wants.
        algorithm: &'static str,
    },
    /// No challenge can be answered.
    Unanswerable {
        /// Why.
        fault: ChallengeFault,
        /// The header as it came.
        asked: String,
    },
    /// It was sent, and something else than another challenge came.
    Sent(Challenge),
    /// It was sent, and the challenge came again.
    Refused(Challenge),
}

impl Inquiry {
    /// A question that is due at once.
    pub fn new(party: Party, subject: Subject, now: Instant, mut random: Random) -> Option<Inquiry> {
        let (branch, tag, call_id) = (branch(&mut random), token(&mut random), token(&mut random));
        let parts = Parts { branch: &branch, tag: &tag, call_id: &call_id, sequence: 1, answers: &[] };
        let request = write(&party, subject, &parts)?;
        Some(Inquiry {
            party,
            subject,
            random,
            request,
            branch,
            tag,
            call_id,
            sequence: 1,
            due: Some(now),
            interval: T1,
            sent: 0,
            given: Vec::new(),
        })
    }

    /// When [`Self::take_due`] has something.
    pub fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// How often the request was sent so far (for the last challenge).
    pub fn times_sent(&self) -> u32 {
        self.sent
    }

    /// The request, if it is to be sent now.
    pub fn take_due(&mut self, now: Instant) -> Option<&Message> {
        self.due.filter(|due| *due <= now)?;
        self.sent += 1;
        // RFC 3261 §17.1.2.2: timer E runs over unreliable transports alone.
        self.due = (!self.party.transport.is_reliable()).then(|| now + self.interval);
        self.interval = (self.interval * 2).min(T2);
        Some(&self.request)
    }

    /// Whether a message answers this question, and what it says.
    pub fn on_message(&mut self, now: Instant, message: &Message) -> Heard {
        let Some(status) = message.status().filter(|_| self.is_answer(message)) else {
            return Heard::Nothing;
        };
        if status.is_provisional() {
            // "If a provisional response is received […] timer E is set to T2" (§17.1.2.2).
            self.due = self.due.map(|_| now + T2);
            self.interval = T2;
            return Heard::Progress;
        }
        if !matches!(status.code(), 401 | 407) {
            let last = self.given.last().map(|given| given.challenge.clone());
            let digest = last.map_or(DigestOutcome::NotAsked, DigestOutcome::Sent);
            return Heard::Final(Box::new(Finding { response: message.clone(), digest }));
        }
        match self.answer(now, message) {
            Ok(()) => Heard::Challenged,
            Err(digest) => Heard::Final(Box::new(Finding { response: message.clone(), digest })),
        }
    }

    /// RFC 3261 §17.1.3: the branch of the topmost Via, and the method of CSeq.
    fn is_answer(&self, message: &Message) -> bool {
        let has_branch = message.top_via().and_then(|via| via.branch()) == Some(self.branch.as_bytes());
        has_branch && message.cseq().is_some_and(|cseq| cseq.method == self.subject.method())
    }

    /// Writes the request that answers a challenge, or says why there is none.
    fn answer(&mut self, now: Instant, response: &Message) -> Result<(), DigestOutcome> {
        let (challenge, header) = self.choose(response)?;
        let Some(credentials) = self.party.credentials.clone() else {
            return Err(DigestOutcome::NoCredentials { realm: Some(challenge.realm) });
        };
        self.note(&challenge, header)?;
        let answers = self.digests(&credentials);
        self.branch = branch(&mut self.random);
        self.sequence += 1;
        let parts = Parts {
            branch: &self.branch,
            tag: &self.tag,
            call_id: &self.call_id,
            sequence: self.sequence,
            answers: &answers,
        };
        let request = write(&self.party, self.subject, &parts);
        self.request = request.ok_or(DigestOutcome::Refused(challenge))?;
        (self.due, self.interval, self.sent) = (Some(now), T1, 0);
        Ok(())
    }

    /// Counts a challenge; refuses one that was answered already, unless the nonce alone was stale.
    fn note(&mut self, challenge: &Challenge, header: Header) -> Result<(), DigestOutcome> {
        let is_same = |given: &Given| given.header == header && given.challenge.realm == challenge.realm;
        let before = self.given.iter().position(is_same).map(|at| self.given.remove(at));
        let times = before.map_or(0, |given| given.times);
        let may_answer = times == 0 || (times < MAX_ANSWERS && challenge.stale);
        if !may_answer || self.given.len() == MAX_REALMS {
            return Err(DigestOutcome::Refused(challenge.clone()));
        }
        self.given.push(Given { header, challenge: challenge.clone(), times: times + 1, uses: 0 });
        Ok(())
    }

    /// The answer to everybody who has asked so far.
    fn digests(&mut self, Credentials { username, password, .. }: &Credentials) -> Vec<(Header, Vec<u8>)> {
        let (method, uri) = (self.subject.method(), self.request.request_uri_raw());
        let asked = digest::Request { method: method.label(), uri, body: b"" };
        let random = &mut self.random;
        let answers = self.given.iter_mut().map(|given| {
            given.uses += 1;
            let who = Answerer { username, password };
            (given.header, given.challenge.answer(who, asked, given.uses, &token(random)))
        });
        answers.collect()
    }

    /// The challenge to be answered, and the header that does.
    fn choose(&self, response: &Message) -> Result<(Challenge, Header), DigestOutcome> {
        let (asks, answers) = match response.status().map(|status| status.code()) {
            Some(401) => (Header::WwwAuthenticate, Header::Authorization),
            _ => (Header::ProxyAuthenticate, Header::ProxyAuthorization),
        };
        let (challenges, fault) = challenges(response, asks);
        if self.party.credentials.is_none() {
            let realm = challenges.first().map(|challenge| challenge.realm.clone());
            return Err(DigestOutcome::NoCredentials { realm });
        }
        let allowed = &self.party.authentication;
        let of_realm = challenges.iter().filter(|challenge| allowed.trusts(&challenge.realm));
        let good: Vec<Challenge> = of_realm
            .clone()
            .filter(|challenge| allowed.takes(challenge.algorithm.as_str()))
            .cloned()
            .collect();
        if let Some(challenge) = digest::strongest(good.iter()) {
            return Ok((challenge.clone(), answers));
        }
        Err(match (of_realm.clone().next(), challenges.first()) {
            (Some(weak), _) => DigestOutcome::OtherAlgorithm {
                realm: weak.realm.clone(),
                algorithm: weak.algorithm.as_str(),
            },
            (None, Some(other)) => {
                DigestOutcome::OtherRealm { realm: other.realm.clone(), expected: allowed.realms.clone() }
            }
            (None, None) => {
                let asked = response.header(asks).map(|value| String::from_utf8_lossy(value).into_owned());
                DigestOutcome::Unanswerable { fault, asked: asked.unwrap_or_default() }
            }
        })
    }
}

impl Subject {
    /// The request's method.
    pub const fn method(self) -> Method {
        match self {
            Subject::Presence => Method::Options,
            Subject::Bindings => Method::Register,
        }
    }
}

/// Every challenge of a response that we can answer; the fault is that of the last that we cannot.
fn challenges(response: &Message, asks: Header) -> (Vec<Challenge>, ChallengeFault) {
    let (mut found, mut fault) = (Vec::new(), ChallengeFault::NotDigest);
    for field in response.fields().filter(|field| field.header == asks).take(digest::MAX_CHALLENGES) {
        match Challenge::parse(field.value) {
            Ok(challenges) => found.extend(challenges),
            Err(reason) => fault = reason,
        }
    }
    found.truncate(digest::MAX_CHALLENGES);
    (found, fault)
}

/// What differs from one request of a question to the next.
struct Parts<'a> {
    branch: &'a str,
    tag: &'a str,
    call_id: &'a str,
    sequence: u32,
    answers: &'a [(Header, Vec<u8>)],
}

fn write(party: &Party, subject: Subject, parts: &Parts<'_>) -> Option<Message> {
    let Party { transport, sent_by, here, domain, user, .. } = party;
    let target = if subject == Subject::Bindings { &party.registrar } else { &party.target };
    // "The Request-URI names the domain of the location service […] The "userinfo" and "@" components
    // of the SIP URI MUST NOT be present" (RFC 3261 §10.2).
    let uri = format!("sip:{target}");
    let (from, to) = match (subject, user) {
        (Subject::Bindings, Some(user)) => {
            let record = format!("<sip:{}@{domain}>", identity::escape_user(user));
            (record.clone(), record)
        }
        (Subject::Bindings | Subject::Presence, _) => (format!("<sip:{here}>"), format!("<{uri}>")),
    };
    let method = subject.method();
    let via = format!("SIP/2.0/{} {sent_by};rport;branch={}", transport.via_name(), parts.branch);
    let mut writer = Writer::request(&method, uri.as_bytes())
        .header(Header::Via, via)
        .header(Header::MaxForwards, "70")
        .header(Header::From, format!("{from};tag={}", parts.tag))
        .header(Header::To, to)
        .header(Header::CallId, parts.call_id)
        .header(Header::CSeq, format!("{} {}", parts.sequence, method.label()));
    if subject == Subject::Presence {
        writer = writer
            .header(Header::Contact, identity::contact("", here, *transport))
            .header(Header::Accept, "application/sdp");
    }
    for (header, value) in parts.answers {
        writer = writer.header(*header, value);
    }
    writer.finish().ok()
}

fn branch(random: &mut Random) -> String {
    format!("z9hG4bK{}", token(random))
}

fn token(random: &mut Random) -> String {
    String::from_utf8_lossy(&random.token::<20>()).into_owned()
}

#[cfg(test)]
mod tests;
