//! Trunks and routes as the configuration gives them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::balance::{Balance, TierTrunk};
use super::matching::TrunkMatch;
use super::query::Query;
use super::tls::TrunkTls;
use super::{Authentication, Register, Timeouts};
use crate::base::{Dscp, Latch, Realm, Transport, TrunkName};
use crate::numbering::{self, Number, NumberForm, PrefixRule};

/// All that routing needs to know, filled by `config`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Every trunk, enabled or not, in the order of the configuration.
    pub trunks: Vec<Trunk>,
    /// First match wins.
    pub routes: Vec<Route>,
    /// How much the node may carry at once, all trunks together.
    pub limits: Limits,
}

impl Settings {
    /// The trunk of this name.
    pub fn trunk(&self, name: &TrunkName) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.name == *name)
    }
}

/// A configured peer: a carrier or a PBX.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// `[trunk.NAME]`.
    pub name: TrunkName,
    /// The side on which the peer is.
    pub realm: Realm,
    /// Where to send, in order.
    pub hosts: Vec<TrunkHost>,
    /// How to send; absent: as DNS says (NAPTR, SRV), else UDP.
    pub transport: Option<Transport>,
    /// How it is known over TLS.
    pub tls: TrunkTls,
    /// Host of Request-URI, From and To.
    pub domain: String,
    /// Answer to a digest challenge.
    pub credentials: Option<Credentials>,
    /// Which challenges it answers.
    pub authentication: Authentication,
    /// Whether and how we register there.
    pub register: Option<Register>,
    /// Sources beside the addresses of `hosts`.
    pub allow: Vec<IpNet>,
    /// Which calls from these sources are its own, where another trunk has them too.
    pub matching: TrunkMatch,
    /// The form of numbers sent.
    pub send_numbers: NumberForm,
    /// What is taken from and put before every number sent, in that form.
    pub prefix: PrefixRule,
    /// Put before the number that is called, and before no other (a wholesale carrier's tech prefix).
    pub tech_prefix: String,
    /// How numbers are read that come from this trunk, where it differs from the node's.
    pub numbering: Option<numbering::Settings>,
    /// Which caller ids may go out.
    pub caller_id: CallerIdPolicy,
    /// Where the caller's identity goes.
    pub identity: Identity,
    /// Whether it is in our trust domain (RFC 3325 §2.3): what it says of callers and diversions is
    /// believed, and it is told the number of a caller who is not to be shown.
    pub trust_identity: bool,
    /// How it is told who diverted a call.
    pub diversion: DiversionForm,
    /// Which headers of the other leg cross to this trunk.
    pub headers: HeaderRules,
    /// Which bodies beside SDP cross to this trunk.
    pub bodies: BodyRules,
    /// Whether secured RTP goes to this trunk.
    pub srtp: Srtp,
    /// How closely the source of its media is held to what its SDP says.
    pub latch: Latch,
    /// How keys that people press reach it and come from it.
    pub dtmf: Dtmf,
    /// How media to it is marked.
    pub dscp: Dscp,
    /// Codec names in order of preference; empty: all pass. Between two trunks with lists, what both name.
    pub codecs: Vec<String>,
    /// When the next target is tried.
    pub failover: Failover,
    /// How it is found out whether its targets are alive.
    pub health: Health,
    /// How much may go over this trunk at once.
    pub limits: Limits,
    /// Its share in a tier of a route that says nothing else; 0: only when nobody else takes the call.
    pub weight: u32,
    /// What happens when this trunk redirects a call.
    pub redirect: Redirect,
    /// How long its calls may take, where that differs from the node's.
    pub calls: Option<Timeouts>,
    /// What happens when this trunk asks to transfer a call.
    pub refer: Refer,
    /// A disabled trunk is routed to by no call and may send none.
    pub enabled: bool,
}

impl Trunk {
    /// A trunk at one host, with every other key by default.
    pub fn new(name: impl Into<TrunkName>, realm: Realm, host: Host, port: Option<u16>) -> Trunk {
        Trunk {
            name: name.into(),
            realm,
            domain: host.uri_text(),
            hosts: vec![TrunkHost { host, port, priority: 1, weight: 1 }],
            transport: None,
            tls: TrunkTls::default(),
            credentials: None,
            authentication: Authentication::default(),
            register: None,
            allow: Vec::new(),
            matching: TrunkMatch::default(),
            send_numbers: NumberForm::default(),
            prefix: PrefixRule::default(),
            tech_prefix: String::new(),
            numbering: None,
            caller_id: CallerIdPolicy::default(),
            identity: Identity::default(),
            // A PBX says who calls; what a carrier says counts where its contract says so.
            trust_identity: realm == Realm::Trusted,
            diversion: DiversionForm::default(),
            headers: HeaderRules::default(),
            bodies: BodyRules::default(),
            srtp: Srtp::default(),
            latch: Latch::default(),
            dtmf: Dtmf::default(),
            dscp: Dscp::default(),
            codecs: Vec::new(),
            failover: Failover::default(),
            health: Health::default(),
            limits: Limits::default(),
            weight: 1,
            redirect: Redirect::default(),
            calls: None,
            refer: Refer::default(),
            enabled: true,
        }
    }

    /// What is asked of DNS for one of its hosts; `None`: nothing, it is an address.
    pub fn query(&self, at: &TrunkHost) -> Option<Query> {
        match &at.host {
            Host::Name(name) => Some(Query::new(name, at.port, self.transport)),
            Host::Address(_) => None,
        }
    }

    /// What is asked of DNS for its hosts.
    pub fn queries(&self) -> impl Iterator<Item = Query> {
        self.hosts.iter().filter_map(|at| self.query(at))
    }

    /// Whether it asks this.
    pub fn asks(&self, query: &Query) -> bool {
        let is_host = |at: &TrunkHost| {
            at.port == query.port && matches!(&at.host, Host::Name(name) if *name == query.host)
        };
        self.transport == query.transport && self.hosts.iter().any(is_host)
    }

    /// Whether a call may go to it over TLS: it is written so, or DNS may say so.
    pub fn may_use_tls(&self) -> bool {
        let asks = |query: Query| query.asks_srv();
        self.transport == Some(Transport::Tls) || (self.transport.is_none() && self.queries().any(asks))
    }
}

impl Trunk {
    /// A number as this trunk is sent it, wherever it stands. `received` is the user part that it was
    /// read from. Codes and names go as they came.
    pub fn number(&self, numbering: &numbering::Settings, number: &Number, received: &str) -> String {
        let text = numbering.format(number, received, self.send_numbers);
        if matches!(number, Number::E164(_)) { self.prefix.apply(&text) } else { text }
    }

    /// The number that is called, as it stands in Request-URI and To.
    pub fn called_number(&self, numbering: &numbering::Settings, number: &Number, received: &str) -> String {
        let text = self.number(numbering, number, received);
        if matches!(number, Number::E164(_)) { format!("{}{text}", self.tech_prefix) } else { text }
    }
}

/// One host of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrunkHost {
    /// Name or address.
    pub host: Host,
    /// The port; absent: as SRV says, else 5060 (5061 for TLS).
    pub port: Option<u16>,
    /// Lower is tried first.
    pub priority: u16,
    /// Its share among equals of a priority (RFC 2782).
    pub weight: u16,
}

/// A name to be resolved, or an address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A domain name, lower case.
    Name(String),
    /// A literal address.
    Address(IpAddr),
}

impl Host {
    /// As it stands in a URI: an IPv6 address in brackets.
    pub fn uri_text(&self) -> String {
        match self {
            Host::Name(name) => name.clone(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(address) => address.to_string(),
        }
    }
}

/// What answers a digest challenge (RFC 7616).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password; never printed.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).field("password", &"…").finish()
    }
}

/// `caller_id`: which numbers this trunk's owner may show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallerIdPolicy {
    /// Shown where the caller's own may not be.
    pub default: Option<String>,
    /// Patterns (`+1555123*`); empty: every number may be shown.
    pub allowed: Vec<String>,
    /// What to do with a number that matches none.
    pub otherwise: CallerIdFallback,
}

/// What happens to a call whose caller id is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CallerIdFallback {
    /// `caller_id.default` is shown.
    #[default]
    Default,
    /// Nobody is shown (RFC 3323 §4.1.1.3).
    Anonymous,
    /// 403.
    Reject,
}

/// Where the caller's number is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Identity {
    /// From alone.
    #[default]
    From,
    /// P-Asserted-Identity beside From (RFC 3325 §9.1).
    Pai,
    /// P-Preferred-Identity beside From (RFC 3325 §9.2).
    Ppi,
    /// Remote-Party-ID beside From.
    Rpid,
}

/// How a trunk is told who diverted a call before it came to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiversionForm {
    /// Not at all.
    #[default]
    Drop,
    /// By the header that it came in.
    Pass,
    /// By Diversion (RFC 5806).
    Diversion,
    /// By History-Info (RFC 7044).
    HistoryInfo,
}

/// Which headers cross to a trunk. Default: none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderRules {
    /// Patterns (`X-*`, case does not matter) that pass, value byte for byte.
    pub pass: Vec<String>,
    /// Patterns that do not, though `pass` matches.
    pub drop: Vec<String>,
    /// Added, instead of any that passed under the same name.
    pub set: Vec<(String, String)>,
}

/// Which bodies, and parts of bodies, cross to a trunk beside SDP. Default: none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BodyRules {
    /// Patterns of media types (`application/*`, case does not matter) that pass byte for byte.
    pub pass: Vec<String>,
}

/// Whether media of calls to a trunk is secured RTP (RFC 3711). The keys are the parties' own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Srtp {
    /// Both kinds pass.
    #[default]
    Pass,
    /// Only callers that offer nothing else.
    Required,
    /// Only callers that offer none.
    Refused,
}

/// How keys that people press in a call (DTMF) reach a trunk and come from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dtmf {
    /// As the other side sends them.
    #[default]
    Pass,
    /// It takes telephone events in RTP (RFC 4733), and no INFO.
    Rfc4733,
    /// It takes and sends INFO (application/dtmf-relay), and no events.
    Info,
}

/// What becomes of a 3xx of a trunk (RFC 3261 §21.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirect {
    /// The caller hears 480.
    #[default]
    Reject,
    /// Its Contacts are called, where the policy of `b2bua/redirect.rs` allows it.
    Follow,
    /// The caller gets the 3xx, its Contacts rewritten to addresses of ours.
    Pass,
}

/// What becomes of a REFER that a trunk sends within a call (RFC 3515).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Refer {
    /// 603.
    #[default]
    Reject,
    /// The other party gets it, and calls through us.
    Relay,
    /// We carry the transfer out.
    Consume,
}

/// When to give a target up and try the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failover {
    /// Final responses after which the next target is tried.
    pub codes: Vec<CodePattern>,
    /// How long to wait for the first provisional response.
    pub timeout: Duration,
    /// Whether the next target is tried even if the callee may have rung (18x) at this one.
    pub after_ringing: bool,
}

impl Default for Failover {
    fn default() -> Self {
        Failover {
            codes: vec![CodePattern::Code(408), CodePattern::Class(5)],
            timeout: Duration::from_secs(4),
            after_ringing: false,
        }
    }
}

/// When a target is probed with OPTIONS, and when it is taken for dead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// How often each target is probed, a fifth more or less; zero: never.
    pub interval: Duration,
    /// How long an answer to a probe is waited for.
    pub timeout: Duration,
    /// So many probes, or calls, that fail in a row take a target out; at least 1.
    pub down_after: u32,
    /// So many answered probes in a row bring it back; at least 1.
    pub up_after: u32,
    /// Final responses to a probe that mean that somebody is there.
    pub alive: Vec<CodePattern>,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(2),
            down_after: 3,
            up_after: 2,
            alive: (2..=6).map(CodePattern::Class).collect(),
        }
    }
}

impl Health {
    /// Whether this answer to a probe means that calls can be sent there. Who refuses OPTIONS, asks for
    /// credentials or has never heard of the method is there to say so. A class does not mean the two
    /// codes that say that nobody is (408, which a proxy writes for a server that is silent) or that
    /// no call is wanted (503): who wants that names the code.
    pub fn means_alive(&self, status: u16) -> bool {
        self.alive.iter().any(|pattern| match *pattern {
            CodePattern::Code(code) => code == status,
            CodePattern::Class(class) => u16::from(class) == status / 100 && !matches!(status, 408 | 503),
        })
    }
}

impl Failover {
    /// Whether the next target is tried after this final response.
    pub fn means(&self, status: u16) -> bool {
        self.codes.iter().any(|pattern| pattern.matches(status))
    }
}

/// Whether a final response is a last word: a class in `failover.codes` does not mean it.
pub fn is_last_word(status: u16) -> bool {
    FINAL_WORDS.contains(&status)
}

/// Not Found, Busy Here, Busy Everywhere, Decline, Does Not Exist Anywhere, Unwanted (RFC 8197), Rejected
/// (RFC 8688).
const FINAL_WORDS: [u16; 7] = [404, 486, 600, 603, 604, 607, 608];

/// `"408"` or `"5xx"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodePattern {
    /// One status code.
    Code(u16),
    /// A class, by its first digit.
    Class(u8),
}

impl CodePattern {
    /// Whether `status` is meant. A class does not mean the final words: of a callee that was reached and
    /// does not take the call, for at the next trunk the same phone would ring again, or of somebody
    /// who knows that there is no such callee. Who wants that names the code.
    pub fn matches(self, status: u16) -> bool {
        match self {
            CodePattern::Code(code) => code == status,
            CodePattern::Class(class) => u16::from(class) == status / 100 && !is_last_word(status),
        }
    }
}

/// `limits` of a trunk, or of the node; absent: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Calls at once; of a trunk both directions.
    pub calls: Option<u32>,
    /// New calls a second; of a trunk both directions.
    pub calls_per_second: Option<u32>,
}

/// `[[route]]`: from where, to what, over which trunks.
#[derive(Clone, Debug)]
pub struct Route {
    /// For people, logs and `explain`.
    pub name: String,
    /// Where the call came from.
    pub from: RouteSource,
    /// What is dialled; empty: everything.
    pub to: Vec<NumberPattern>,
    /// Tiers in order.
    pub tiers: Vec<Vec<TierTrunk>>,
    /// Who comes first inside a tier.
    pub balance: Balance,
}

/// `from` of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteSource {
    /// Any call of a realm.
    Realm(Realm),
    /// Calls of one trunk.
    Trunk(TrunkName),
}

/// One entry of a route's `to`.
#[derive(Clone, Debug)]
pub enum NumberPattern {
    /// `+1*`: begins with.
    Prefix(String),
    /// `112`, `support`: is.
    Exact(String),
    /// `regex:…`, on the whole number.
    Regex(regex::Regex),
}

impl fmt::Display for RouteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteSource::Realm(realm) => write!(f, "{realm}"),
            RouteSource::Trunk(trunk) => write!(f, "{trunk}"),
        }
    }
}

/// `sip.example.com:5060`, with priority and weight where one is not 1.
impl fmt::Display for TrunkHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrunkHost { host, port, priority, weight } = self;
        f.write_str(&host.uri_text())?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        if (*priority, *weight) == (1, 1) {
            return Ok(());
        }
        write!(f, " (priority {priority}, weight {weight})")
    }
}

/// As it is written in the configuration.
impl fmt::Display for CodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodePattern::Code(code) => write!(f, "{code}"),
            CodePattern::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberPattern::Prefix(prefix) => write!(f, "{prefix}*"),
            NumberPattern::Exact(exact) => f.write_str(exact),
            NumberPattern::Regex(regex) => {
                // The pattern of a whole number: `numbering::whole_user_pattern`.
                let whole = regex.as_str();
                let written = whole.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$"));
                write!(f, "regex:{}", written.unwrap_or(whole))
            }
        }
    }
}
