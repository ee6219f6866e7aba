//! The way from a host to its addresses: NAPTR, SRV, A and AAAA (RFC 3263 §4), each question told.
//!
//! An answer decides, whether it says what there is or that there is nothing; silence, a failure and a
//! refusal decide nothing. Then the way goes round that question, the addresses of the host itself
//! being the last, and the resolution is called partial.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;

use super::servers::{QuestionFault, Records, Servers, now};
use crate::base::Transport;
use crate::routing::{
    DnsQuestion, Endpoint, Query, Reach, RecordKind, Resolution, ResolveFault, transport_of_service,
};

/// So many services of NAPTR are tried.
const MAX_SERVICES: usize = 6;
/// So many targets of SRV are used, the most preferred ones.
const MAX_TARGETS: usize = 32;
/// So many addresses of one name are used.
const MAX_ADDRESSES: usize = 16;
/// How long an address that is written is good for.
const FOR_EVER: Duration = Duration::from_secs(86_400);
/// How long "there is nothing" holds where DNS does not say.
const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// A denial on the way (no NAPTR, no SRV) is not asked about again sooner, though DNS lets it: what is
/// missing is missing for years.
const MIN_DENIAL: Duration = Duration::from_secs(60);

/// What came of a query, and how.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Every question, in the order in which they were asked.
    pub steps: Vec<Step>,
    /// Where the host is reached.
    pub resolution: Result<Resolution, ResolveFault>,
}

/// One question and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What was asked.
    pub question: DnsQuestion,
    /// The answer, or why there is none.
    pub result: Result<Answer, QuestionFault>,
    /// How long it took.
    pub took: Duration,
}

/// Records as people read them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Each as in a zone file, without its name.
    pub records: Vec<String>,
    /// The smallest TTL.
    pub valid_for: Duration,
}

/// What became of a service's SRV records.
enum Service {
    /// Where it is.
    Found(Vec<Endpoint>),
    /// There are no SRV records.
    Unknown,
    /// RFC 2782: "A Target of "." means that the service is decidedly not available at this domain." Or
    /// its targets have no address.
    Denied,
    /// No answer.
    Unanswered,
}

/// On its way.
pub(super) struct Walker<'a> {
    servers: &'a Servers,
    query: &'a Query,
    reach: Reach,
    steps: Vec<Step>,
    /// The smallest TTL so far, of what was found and of what was missed.
    valid_for: Duration,
    /// The smallest TTL of a denial.
    denied_for: Option<Duration>,
    /// A question had no answer.
    is_partial: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(servers: &'a Servers, query: &'a Query, reach: Reach) -> Walker<'a> {
        let (steps, valid_for) = (Vec::new(), FOR_EVER);
        Walker { servers, query, reach, steps, valid_for, denied_for: None, is_partial: false }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    pub(super) async fn run(&mut self) -> Result<Resolution, ResolveFault> {
        let endpoints = self.endpoints().await;
        if endpoints.is_empty() {
            let valid_for = self.denied_for.unwrap_or(NEGATIVE_TTL);
            let denial = ResolveFault::NoSuchHost { valid_for };
            return Err(if self.is_partial { ResolveFault::NoAnswer } else { denial });
        }
        Ok(Resolution { endpoints, valid_for: self.valid_for, is_partial: self.is_partial })
    }

    async fn endpoints(&mut self) -> Vec<Endpoint> {
        let plain = self.query.plain_transport(self.reach);
        if let Some(address) = self.query.address() {
            let port = self.query.port.unwrap_or(plain.default_port());
            return vec![Endpoint::plain(&self.query.host, SocketAddr::new(address, port), plain)];
        }
        if !self.query.asks_srv() {
            return self.plain_endpoints(plain).await;
        }
        let services = if self.query.asks_naptr() { self.services().await } else { Vec::new() };
        if let Some((preferred, _)) = services.first() {
            let preferred = *preferred;
            return self.endpoints_of_services(services, preferred).await;
        }
        let transports = self.query.transports(self.reach);
        self.endpoints_of_transports(&transports).await
    }

    /// The services that a domain says it has, the preferred first. RFC 3263 §4.1: "First, a client
    /// resolving a SIPS URI MUST discard any services that do not contain "SIPS" as the protocol in the
    /// service field. […] a client resolving a SIP URI SHOULD retain records with "SIPS" as the protocol,
    /// if the client supports TLS. Second, a client MUST discard any service fields that identify a
    /// resolution service whose value is not "D2X", for values of X that indicate transport protocols
    /// supported by the client."
    async fn services(&mut self) -> Vec<(Transport, Name)> {
        let question = DnsQuestion { kind: RecordKind::Naptr, name: self.query.host.clone() };
        let Some(name) = name_of(&self.query.host) else { return Vec::new() };
        let Ok(records) = self.ask(question, name).await else { return Vec::new() };
        let mut known: Vec<&NAPTR> = records
            .data
            .iter()
            .filter_map(|data| match data {
                RData::NAPTR(naptr) => Some(naptr),
                _ => None,
            })
            .collect();
        known.sort_by_key(|naptr| (naptr.order, naptr.preference));
        let service = |naptr: &NAPTR| {
            let transport = transport_of_service(&naptr.services)?;
            // "s": the replacement is the name of SRV records, and there is no expression (RFC 3403 §4.1).
            let is_terminal = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
            (is_terminal && self.reach.has(transport)).then(|| (transport, naptr.replacement.clone()))
        };
        known.into_iter().filter_map(service).take(MAX_SERVICES).collect()
    }

    /// By NAPTR. RFC 3403 §4.1: "once a match is found the client MUST NOT consider records with a
    /// different Order"; but a service without SRV records is no match. One whose SRV had no answer is:
    /// else silence would be enough to take a call from TLS to UDP.
    async fn endpoints_of_services(
        &mut self,
        services: Vec<(Transport, Name)>,
        preferred: Transport,
    ) -> Vec<Endpoint> {
        let mut is_denied = false;
        for (transport, name) in services {
            match self.service(transport, name).await {
                Service::Found(endpoints) => return endpoints,
                Service::Unanswered => return self.plain_endpoints(transport).await,
                Service::Denied => is_denied = true,
                Service::Unknown => {}
            }
        }
        if is_denied { Vec::new() } else { self.plain_endpoints(preferred).await }
    }

    /// RFC 3263 §4.1: "If no NAPTR records are found, the client constructs SRV queries for those
    /// transport protocols it supports, and does a query for each." All at once; the first of our
    /// preference that is there counts. §4.2: "If no SRV records were found, the client performs an A or
    /// AAAA record lookup of the domain name."
    async fn endpoints_of_transports(&mut self, transports: &[Transport]) -> Vec<Endpoint> {
        let mut fallback = None;
        let mut is_denied = false;
        for (transport, records) in self.ask_services(transports).await {
            match self.service_found(transport, records).await {
                Service::Found(endpoints) => return endpoints,
                Service::Unanswered => fallback = fallback.or(Some(transport)),
                Service::Denied => is_denied = true,
                Service::Unknown => {}
            }
        }
        match (fallback, is_denied) {
            (Some(transport), _) => self.plain_endpoints(transport).await,
            (None, true) => Vec::new(),
            (None, false) => self.plain_endpoints(self.query.plain_transport(self.reach)).await,
        }
    }

    async fn ask_services(
        &mut self,
        transports: &[Transport],
    ) -> Vec<(Transport, Result<Records, QuestionFault>)> {
        let named = transports.iter().filter_map(|transport| {
            let name = self.query.service_name(*transport);
            let question = DnsQuestion { kind: RecordKind::Srv, name: name.clone() };
            Some((question, name_of(&name)?))
        });
        let answers = self.ask_all(named.collect()).await;
        transports.iter().copied().zip(answers).collect()
    }

    async fn service(&mut self, transport: Transport, name: Name) -> Service {
        let question = DnsQuestion { kind: RecordKind::Srv, name: text_of(&name) };
        let records = self.ask(question, name).await;
        self.service_found(transport, records).await
    }

    async fn service_found(
        &mut self,
        transport: Transport,
        records: Result<Records, QuestionFault>,
    ) -> Service {
        let records = match records {
            Ok(records) => records,
            Err(fault) if fault.is_denial() => return Service::Unknown,
            Err(_) => return Service::Unanswered,
        };
        let mut targets: Vec<SRV> = records
            .data
            .into_iter()
            .filter_map(|data| match data {
                RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(srv),
                _ => None,
            })
            .collect();
        targets.sort_by_key(|srv| srv.priority);
        targets.truncate(MAX_TARGETS);
        let before = self.is_partial;
        let endpoints = self.endpoints_of_targets(transport, &targets).await;
        match endpoints.is_empty() {
            false => Service::Found(endpoints),
            true if self.is_partial && !before => Service::Unanswered,
            true => Service::Denied,
        }
    }

    /// All addresses of all targets.
    async fn endpoints_of_targets(&mut self, transport: Transport, targets: &[SRV]) -> Vec<Endpoint> {
        let names: BTreeSet<&Name> = targets.iter().map(|srv| &srv.target).collect();
        let names: Vec<Name> = names.into_iter().cloned().collect();
        let addresses = self.addresses(&names).await;
        let mut endpoints = Vec::new();
        for srv in targets {
            let of_target = names.iter().zip(&addresses).filter(|(name, _)| **name == srv.target);
            endpoints.extend(of_target.flat_map(|(_, addresses)| addresses).map(|address| Endpoint {
                host: text_of(&srv.target),
                address: SocketAddr::new(*address, srv.port),
                transport,
                priority: srv.priority,
                weight: srv.weight,
            }));
        }
        endpoints
    }

    /// The addresses of the host itself.
    async fn plain_endpoints(&mut self, transport: Transport) -> Vec<Endpoint> {
        let Some(name) = name_of(&self.query.host) else { return Vec::new() };
        let addresses = self.addresses(&[name]).await;
        let port = self.query.port.unwrap_or(transport.default_port());
        let host = &self.query.host;
        let at = |address| Endpoint::plain(host, SocketAddr::new(address, port), transport);
        addresses.into_iter().flatten().map(at).collect()
    }

    /// The addresses of each name, of the families that are of use, all asked for at once.
    async fn addresses(&mut self, names: &[Name]) -> Vec<Vec<IpAddr>> {
        let kinds = self.reach.address_kinds();
        let questions = names.iter().flat_map(|name| {
            let question = |kind| (DnsQuestion { kind, name: text_of(name) }, name.clone());
            kinds.iter().copied().map(question)
        });
        let mut answers = self.ask_all(questions.collect()).await.into_iter();
        let mut found = Vec::with_capacity(names.len());
        for _ in names {
            let of_name: Vec<_> = answers.by_ref().take(kinds.len()).flatten().collect();
            let data = of_name.into_iter().flat_map(|records| records.data);
            let addresses = data.filter_map(|data| match data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            });
            found.push(addresses.take(MAX_ADDRESSES).collect());
        }
        found
    }

    async fn ask(&mut self, question: DnsQuestion, name: Name) -> Result<Records, QuestionFault> {
        let answers = self.ask_all(vec![(question, name)]).await;
        answers.into_iter().next().unwrap_or(Err(QuestionFault::Silence))
    }

    /// Asks several questions at once; the answers are in their order.
    async fn ask_all(&mut self, questions: Vec<(DnsQuestion, Name)>) -> Vec<Result<Records, QuestionFault>> {
        let mut running = JoinSet::new();
        let began = now();
        for (at, (question, name)) in questions.iter().enumerate() {
            let (servers, kind, name) = (self.servers.clone(), record_type(question.kind), name.clone());
            running.spawn(async move {
                let answer = servers.ask(&name, kind).await;
                (at, answer, began.elapsed())
            });
        }
        let mut answers: Vec<_> =
            questions.iter().map(|_| (Err(QuestionFault::Silence), Duration::ZERO)).collect();
        while let Some(done) = running.join_next().await {
            if let Ok((at, answer, took)) = done
                && let Some(slot) = answers.get_mut(at)
            {
                *slot = (answer, took);
            }
        }
        let told = questions.into_iter().zip(answers);
        told.map(|((question, _), (answer, took))| self.note(question, answer, took)).collect()
    }

    /// Remembers an answer's share in how long the whole is good for.
    fn note(
        &mut self,
        question: DnsQuestion,
        answer: Result<Records, QuestionFault>,
        took: Duration,
    ) -> Result<Records, QuestionFault> {
        let is_address = matches!(question.kind, RecordKind::A | RecordKind::Aaaa);
        match &answer {
            Ok(records) => self.valid_for = self.valid_for.min(records.valid_for),
            Err(fault) if fault.is_denial() => {
                let valid_for = fault.valid_for();
                // A host of one address family only is no worse for it.
                if let Some(valid_for) = valid_for.filter(|_| !is_address) {
                    self.valid_for = self.valid_for.min(valid_for.max(MIN_DENIAL));
                }
                self.denied_for = [self.denied_for, valid_for].into_iter().flatten().min();
            }
            Err(_) => self.is_partial = true,
        }
        let result = answer.as_ref().map(|records| Answer {
            records: records.data.iter().map(ToString::to_string).collect(),
            valid_for: records.valid_for,
        });
        self.steps.push(Step { question, result: result.map_err(|fault| *fault), took });
        answer
    }
}

const fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
    }
}

/// A name with a dot is whole: the system's search list, which could lead it elsewhere, does not apply.
fn name_of(host: &str) -> Option<Name> {
    let mut name = Name::from_ascii(host).ok()?;
    name.set_fqdn(host.contains('.'));
    Some(name)
}

/// Lower case, without the final dot.
fn text_of(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
