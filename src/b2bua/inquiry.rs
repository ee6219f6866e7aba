//! What a trunk is asked outside of any call to find out whether it answers and takes our credentials:
//! OPTIONS (RFC 3261 §11), and a REGISTER without Contact, which asks for bindings and makes none
//! (§10.2.3). One [`Inquiry`] is one question with all that follows: it is repeated by timer E
//! (§17.1.2.2), known again by its branch, and sent once more for a challenge (§22).
//!
//! Nothing is concluded here: what came is told, and who asks draws the conclusion. Which challenges are
//! answered, and how often, is what `credentials.rs` and `nonces.rs` say for every request of ours.
//!
//! Must not know: sockets, what people read.

use std::net::SocketAddr;
use std::time::Duration;

use super::challenge::with_credentials;
use super::credentials::{self, AuthenticationFault};
use super::nonces::{Answers, Nonces};
use super::outside_dialog::{self, Marks};
use crate::base::{Instant, Random, Transport, TrunkName};
use crate::routing::{Authentication, Credentials};
use crate::sip::digest::{Challenge, ChallengeFault};
use crate::sip::{Message, Method};

/// Timer E begins with this (RFC 3261 §17.1.2.2: T1).
const T1: Duration = Duration::from_millis(500);
/// And doubles up to this (T2).
const T2: Duration = Duration::from_secs(4);

/// Who asks whom: the parts that a question is written of.
#[derive(Clone, Debug)]
pub struct Party {
    /// Whose credentials they are.
    pub trunk: TrunkName,
    /// Where it is sent.
    pub peer: SocketAddr,
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
    /// What is asked of us, and may be answered.
    nonces: Nonces,
    /// What the request carries of that.
    answers: Answers,
    answered: Vec<Challenge>,
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
    /// The challenges that the last request answered: a registrar may ask, and a proxy before it.
    pub answered: Vec<Challenge>,
    /// Why the challenge of `response`, if it is one, is not answered.
    pub fault: Option<AuthenticationFault>,
}

impl Finding {
    /// Whether anybody wanted to know who we are.
    pub fn was_asked(&self) -> bool {
        self.fault.is_some() || !self.answered.is_empty()
    }
}

impl Inquiry {
    /// A question that is due at once.
    pub fn new(party: Party, subject: Subject, now: Instant, mut random: Random) -> Option<Inquiry> {
        let (branch, tag, call_id) = (branch(&mut random), token(&mut random), token(&mut random));
        let request =
            write(&party, subject, Parts { branch: &branch, tag: &tag, call_id: &call_id, sequence: 1 })?;
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
            nonces: Nonces::default(),
            answers: Answers::default(),
            answered: Vec::new(),
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
        let is_challenge = matches!(status.code(), 401 | 407);
        let fault = if is_challenge { self.answer(now, message).err() } else { None };
        if is_challenge && fault.is_none() {
            return Heard::Challenged;
        }
        let (response, answered) = (message.clone(), self.answered.clone());
        Heard::Final(Box::new(Finding { response, answered, fault }))
    }

    /// RFC 3261 §17.1.3: the branch of the topmost Via, and the method of CSeq.
    fn is_answer(&self, message: &Message) -> bool {
        let has_branch = message.top_via().and_then(|via| via.branch()) == Some(self.branch.as_bytes());
        has_branch && message.cseq().is_some_and(|cseq| cseq.method == self.subject.method())
    }

    /// Writes the request that answers a challenge, or says why there is none.
    fn answer(&mut self, now: Instant, response: &Message) -> Result<(), AuthenticationFault> {
        let Some(credentials) = self.party.credentials.clone() else {
            return Err(AuthenticationFault::NoCredentials { realm: credentials::first_realm(response) });
        };
        let place = (&self.party.trunk, self.party.peer);
        let policy = &self.party.authentication;
        let owed = self.nonces.take(now, place, policy, response, &self.answers)?;
        self.branch = branch(&mut self.random);
        self.sequence += 1;
        let parts =
            Parts { branch: &self.branch, tag: &self.tag, call_id: &self.call_id, sequence: self.sequence };
        let too_large = || AuthenticationFault::Unusable(ChallengeFault::Malformed);
        let bare = write(&self.party, self.subject, parts).ok_or_else(too_large)?;
        let (headers, answers) =
            self.nonces.authorize(now, place, &credentials, &bare, &owed, &mut self.random);
        self.request = with_credentials(&bare, &headers).ok_or_else(too_large)?;
        (self.answers, self.answered) = (answers, self.nonces.challenges(place).cloned().collect());
        (self.due, self.interval, self.sent) = (Some(now), T1, 0);
        Ok(())
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

/// What differs from one request of a question to the next.
#[derive(Clone, Copy)]
struct Parts<'a> {
    branch: &'a str,
    tag: &'a str,
    call_id: &'a str,
    sequence: u32,
}

fn write(party: &Party, subject: Subject, parts: Parts<'_>) -> Option<Message> {
    let Party { transport, sent_by, here, .. } = party;
    let via = outside_dialog::via(*transport, sent_by, parts.branch);
    let (tag, call_id) = (parts.tag.as_bytes(), parts.call_id.as_bytes());
    let marks = Marks { via: &via, tag, call_id, sequence: parts.sequence };
    let writer = match (subject, &party.user) {
        (Subject::Presence, _) => outside_dialog::options(marks, &party.target, here, *transport),
        (Subject::Bindings, Some(user)) => {
            let of_record = format!("<{}>", outside_dialog::address_of_record(user, &party.domain));
            outside_dialog::register(marks, &party.registrar, (&of_record, &of_record))
        }
        (Subject::Bindings, None) => {
            let parties = (format!("<sip:{here}>"), format!("<sip:{}>", party.registrar));
            outside_dialog::register(marks, &party.registrar, (&parties.0, &parties.1))
        }
    };
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
