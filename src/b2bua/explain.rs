//! What would become of a call, and why: a dry run, for `drawbridge explain`.
//!
//! The verdict and what would be sent are not worked out here: a real engine is given an INVITE
//! (`explain/rehearsal.rs`), and its word counts. The reasons come from the functions that the engine
//! itself decides with, asked once more. So neither can drift from what calls do.
//!
//! Must not know: how it is printed.

mod rehearsal;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::Settings;
use super::attempt::MAX_ATTEMPTS;
use super::call::CallNumbers;
use super::caller::Privacy;
use super::identity::{self, CallerChoice, Who};
use super::party;
use crate::admission::DropReason;
use crate::base::{Hop, Realm, Transport, TrunkName};
use crate::numbering::{self, Number};
use crate::routing::{DnsQuestion, Host, Identity, Ingress, Mismatch, NoRoute, Query, Route, Target, Trunk};
use crate::sip::{Header, Message};
use rehearsal::{Rehearsal, Sent};

/// A call that nobody makes.
#[derive(Clone, Debug)]
pub struct Question {
    /// The side whose listener it comes to.
    pub realm: Realm,
    /// Who sends it.
    pub source: SocketAddr,
    /// The user of From, or a whole URI, or a name and a URI in brackets.
    pub from: String,
    /// The user of the Request-URI, or a whole URI.
    pub to: String,
    /// Further headers: names and values.
    pub headers: Vec<(String, String)>,
    /// What DNS is to say of a name; every other name has some address that nobody knows.
    pub resolved: Vec<(String, IpAddr)>,
}

/// Each step of a call, as far as it comes.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Where it comes in.
    pub listener: Option<Via>,
    /// Who lets it in.
    pub admission: Admission,
    /// Whether its identity headers count.
    pub is_believed: bool,
    /// What is called.
    pub called: Option<Reading>,
    /// Who calls.
    pub caller: Option<Reading>,
    /// What the caller asks about being shown.
    pub privacy: &'static str,
    /// The routes that were looked at, in order; if one matches, it is the last.
    pub routes: Vec<RouteStep>,
    /// Trunks of the route that are disabled.
    pub disabled: Vec<TrunkName>,
    /// The trunks of the route in the order in which they are tried.
    pub trunks: Vec<TrunkStep>,
    /// What comes of it all.
    pub verdict: Verdict,
}

/// A listener of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// Its address.
    pub bind: SocketAddr,
    /// Its transport.
    pub transport: Transport,
}

/// Who lets the source in, and whose calls are its.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// The entry of the allowlist that matched; `None`: no entry did.
    pub entry: Option<IpNet>,
    /// What that entry is.
    pub owner: Option<EntryOwner>,
    /// The trunk whose calls come from there.
    pub trunk: Option<TrunkName>,
    /// Another trunk that claims the same source, and comes later in the configuration.
    pub rival: Option<TrunkName>,
    /// The source may speak to the other realm.
    pub is_of_other_realm: bool,
    /// Names of trunks of this realm whose addresses are not known offline: each lets its own in.
    pub unknown_names: Vec<(TrunkName, String)>,
}

/// Where an entry of an allowlist stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryOwner {
    /// `allow` of the realm.
    Realm,
    /// `allow` of a trunk.
    TrunkAllow(TrunkName),
    /// A host of a trunk: an address, or a name that DNS was said to know.
    TrunkHost(TrunkName, String),
}

/// How a user part is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// As it came, unescaped.
    pub received: String,
    /// Each step.
    pub steps: Vec<String>,
    /// What it is taken for; the error says why it can be nothing.
    pub result: Result<Number, String>,
    /// Why it is no number, though it looks like one. Of a caller it goes on as it came.
    pub fault: Option<String>,
}

/// A look at one route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteStep {
    /// Its name.
    pub name: String,
    /// Its `from`.
    pub from: String,
    /// Its `to`; empty: every number.
    pub to: Vec<String>,
    /// Why it is not this one; `None`: it is.
    pub mismatch: Option<Mismatch>,
    /// The entry of `to` that fits.
    pub pattern: Option<String>,
}

/// A trunk that is tried.
#[derive(Clone, Debug)]
pub struct TrunkStep {
    /// Its name.
    pub name: TrunkName,
    /// The tier of the route that it is of, from 1.
    pub tier: usize,
    /// What its policy makes of the caller.
    pub caller: CallerStep,
    /// What DNS is asked, in order, for its names; nobody was asked here.
    pub lookups: Vec<LookupStep>,
    /// Its targets in the order in which they are tried.
    pub targets: Vec<TargetStep>,
}

/// The look-ups of a name (RFC 3263). Each that has an answer spares some that follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupStep {
    /// The name.
    pub host: String,
    /// In order.
    pub questions: Vec<DnsQuestion>,
}

/// Who is shown to a trunk, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerStep {
    /// "own", "default", "anonymous", "refused".
    pub shown: &'static str,
    /// The number that is shown to it.
    pub number: Option<String>,
    /// Why.
    pub because: String,
}

/// One place to send to.
#[derive(Clone, Debug)]
pub struct TargetStep {
    /// As it is configured.
    pub host: String,
    /// Where to; `None`: where DNS says.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// How.
    pub transport: Transport,
    /// What is sent; the error says why nothing is.
    pub invite: Result<InviteSent, String>,
}

/// An INVITE as it would be sent, without what is minted anew for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InviteSent {
    /// Over which listener.
    pub listener: Option<Via>,
    /// The Request-URI.
    pub request_uri: String,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
}

/// What comes of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// At least one target is sent an INVITE.
    Routed,
    /// The caller hears this.
    Refused {
        /// The SIP status.
        status: u16,
        /// Its phrase.
        phrase: String,
        /// Why, as in the call's record.
        cause: String,
    },
    /// The caller hears nothing.
    Dropped {
        /// Why.
        cause: String,
    },
}

/// What is minted anew for each INVITE, or says what we can do and not who calls.
const NOT_SHOWN: [Header; 9] = [
    Header::Via,
    Header::CallId,
    Header::CSeq,
    Header::MaxForwards,
    Header::ContentLength,
    Header::Allow,
    Header::Supported,
    Header::SessionExpires,
    Header::MinSe,
];

/// Says what would become of a call.
pub fn explain(settings: &Arc<Settings>, question: &Question) -> Explanation {
    let family = if question.source.ip().to_canonical().is_ipv6() { "IPv6" } else { "IPv4" };
    let Some(hop) = rehearsal::ingress_hop(settings, question) else {
        return dropped(format!("the {} realm has no {family} listener", question.realm));
    };
    let Some(invite) = rehearsal::invite(settings, question, hop) else {
        return dropped("the message would be too large".to_owned());
    };
    let rehearsal = rehearsal::rehearse(settings, question, hop, &invite);
    let mut explanation = dropped(String::new());
    explanation.listener = via(settings, hop);
    explanation.admission = admission(settings, &rehearsal, question.realm, hop.peer.ip());
    explanation.verdict = verdict(&rehearsal, question);
    // Without a record there was no call: who calls whom was not asked.
    if rehearsal.cdr.is_some() {
        read_numbers(settings, &rehearsal, &invite, question.realm, &mut explanation);
    }
    explanation
}

fn dropped(cause: String) -> Explanation {
    Explanation {
        listener: None,
        admission: Admission::default(),
        is_believed: false,
        called: None,
        caller: None,
        privacy: privacy_name(Privacy::Unsaid),
        routes: Vec::new(),
        disabled: Vec::new(),
        trunks: Vec::new(),
        verdict: Verdict::Dropped { cause },
    }
}

fn via(settings: &Settings, hop: Hop) -> Option<Via> {
    settings.listener(hop.listener).map(|listener| Via { bind: listener.bind, transport: listener.transport })
}

fn verdict(rehearsal: &Rehearsal, question: &Question) -> Verdict {
    if !rehearsal.sent.is_empty() {
        return Verdict::Routed;
    }
    let Some((status, phrase)) = &rehearsal.answer else {
        let cause = match rehearsal.dropped {
            Some(DropReason::SourceNotAllowed) => {
                format!("the source is in no allowlist of the {} realm", question.realm)
            }
            Some(reason) => format!("the message is dropped: {}", reason.as_str()),
            None => "the message is dropped".to_owned(),
        };
        return Verdict::Dropped { cause };
    };
    let cause = rehearsal.cdr.as_ref().map_or_else(|| phrase.clone(), |cdr| cdr.cause.clone());
    Verdict::Refused { status: status.code(), phrase: phrase.clone(), cause }
}

fn admission(settings: &Settings, rehearsal: &Rehearsal, realm: Realm, source: IpAddr) -> Admission {
    let (router, allowlist) = (&rehearsal.engine.router, &rehearsal.engine.allowlist);
    let entry = allowlist.entry(realm, source);
    let claim = router.source_claim(realm, source);
    let trunk = claim.map(|(_, trunk)| trunk.clone());
    let owner = entry.map(|entry| match claim {
        Some((claimed, name)) if claimed == entry => owner(rehearsal, settings, name, source),
        _ => EntryOwner::Realm,
    });
    let rival = router.ambiguities().iter().find(|found| {
        found.realm == realm && found.source.contains(&source) && trunk.as_ref() == Some(&found.first)
    });
    let other = Realm::ALL.into_iter().find(|other| *other != realm);
    Admission {
        entry,
        owner,
        rival: rival.map(|found| found.second.clone()),
        is_of_other_realm: other.is_some_and(|other| allowlist.allows(other, source)),
        unknown_names: unknown_names(rehearsal, settings, realm),
        trunk,
    }
}

/// What of a trunk lets this source in.
fn owner(rehearsal: &Rehearsal, settings: &Settings, name: &TrunkName, source: IpAddr) -> EntryOwner {
    let trunk = settings.routing.trunk(name);
    let hosts = trunk.map_or(&[][..], |trunk| &trunk.hosts);
    let host = hosts.iter().find(|at| match &at.host {
        Host::Address(address) => address.to_canonical() == source,
        Host::Name(_) => {
            let query = trunk.and_then(|trunk| trunk.query(at));
            query.is_some_and(|query| rehearsal.engine.router.addresses_of(&query).contains(&source))
        }
    });
    match host {
        Some(at) => EntryOwner::TrunkHost(name.clone(), crate::routing::host_text(&at.host)),
        None => EntryOwner::TrunkAllow(name.clone()),
    }
}

fn unknown_names(rehearsal: &Rehearsal, settings: &Settings, realm: Realm) -> Vec<(TrunkName, String)> {
    let is_unknown = |query: &Query| {
        let addresses = rehearsal.engine.router.addresses_of(query);
        addresses.iter().any(|address| rehearsal.made_up.contains(address))
    };
    let trunks = settings.routing.trunks.iter().filter(|trunk| trunk.realm == realm);
    let asked = trunks.flat_map(|trunk| trunk.queries().map(|query| (trunk.name.clone(), query)));
    asked.filter(|(_, query)| is_unknown(query)).map(|(trunk, query)| (trunk, query.host)).collect()
}

/// What `inbound.rs` does when a call is planned, with the reasons.
fn read_numbers(
    settings: &Settings,
    rehearsal: &Rehearsal,
    invite: &Message,
    realm: Realm,
    explanation: &mut Explanation,
) {
    let ingress = Ingress { realm, trunk: explanation.admission.trunk.clone() };
    let sender = settings.trunk_of(ingress.trunk.as_ref());
    let numbering = settings.numbering_of(sender);
    explanation.is_believed = settings.believes(realm, sender);
    let mut numbers = CallNumbers::from_request(invite);
    numbers.learn_caller(invite, explanation.is_believed, numbering);
    let called = numbers.learn_called(invite, numbering).map_err(|rejection| rejection.cause);
    let is_service = party::is_emergency_service(invite.request_uri_raw());
    let called = called.map(|()| numbers.called.clone());
    explanation.privacy = privacy_name(numbers.privacy);
    explanation.caller =
        Some(reading(numbering, &numbers.caller_received, Ok(numbers.caller.clone()), false));
    let is_called = called.is_ok();
    explanation.called = Some(reading(numbering, &numbers.called_received, called, is_service));
    if is_called {
        explain_route(settings, rehearsal, &ingress, &numbers, explanation);
    }
}

fn reading(
    numbering: &numbering::Settings,
    received: &str,
    result: Result<Number, String>,
    is_service: bool,
) -> Reading {
    let mut steps = Vec::new();
    let mut fault = result.as_ref().err().cloned();
    if is_service {
        steps.push("the emergency service: the first of numbering.emergency".to_owned());
    } else if !received.is_empty() {
        let plain = numbering.normalise_with_steps(received, &mut steps);
        match &result {
            // A local number with the context of RFC 3966 §5.1.5.
            Ok(number @ Number::E164(_)) if plain.as_ref() != Ok(number) => {
                steps.push(format!("with its phone-context read as {number}"));
            }
            Ok(_) => fault = plain.err().map(|fault| fault.to_string()),
            Err(_) => {}
        }
    }
    Reading { received: received.to_owned(), steps, result, fault }
}

const fn privacy_name(privacy: Privacy) -> &'static str {
    match privacy {
        Privacy::Unsaid => "unsaid",
        Privacy::Declined => "declined",
        Privacy::Hidden { critical: false } => "hidden",
        Privacy::Hidden { critical: true } => "hidden, critical",
    }
}

fn explain_route(
    settings: &Settings,
    rehearsal: &Rehearsal,
    ingress: &Ingress,
    numbers: &CallNumbers,
    explanation: &mut Explanation,
) {
    let selection = rehearsal.engine.router.route(ingress, &numbers.called);
    if let Err(NoRoute::IngressDisabled(_)) = selection {
        // Routes are not asked.
        return;
    }
    let routes = &settings.routing.routes;
    let matching = routes.iter().position(|route| route.mismatch(ingress, &numbers.called).is_none());
    let looked_at = matching.map_or(routes.len(), |at| at + 1);
    let steps = routes.iter().take(looked_at).map(|route| route_step(route, ingress, &numbers.called));
    explanation.routes = steps.collect();
    let Some(route) = matching.and_then(|at| routes.get(at)) else { return };
    let enabled = |name: &TrunkName| settings.routing.trunk(name).is_some_and(|trunk| trunk.enabled);
    explanation.disabled = route.tiers.iter().flatten().filter(|name| !enabled(name)).cloned().collect();
    let mut sent: Vec<&Sent> = rehearsal.sent.iter().collect();
    for name in selection.map(|selection| selection.trunks).unwrap_or_default() {
        let Some(trunk) = settings.routing.trunk(&name) else { continue };
        let tier = route.tiers.iter().position(|tier| tier.contains(&name)).map_or(0, |at| at + 1);
        let caller = caller_step(settings, numbers, trunk);
        let targets = rehearsal.engine.router.all_targets(&name);
        let targets = targets
            .into_iter()
            .map(|target| target_step(settings, rehearsal, trunk, target, &caller, &mut sent));
        let targets = targets.collect();
        let lookups = lookups(settings, rehearsal, trunk);
        explanation.trunks.push(TrunkStep { name, tier, caller, lookups, targets });
    }
}

fn route_step(route: &Route, ingress: &Ingress, called: &Number) -> RouteStep {
    RouteStep {
        name: route.name.clone(),
        from: route.from.to_string(),
        to: route.to.iter().map(ToString::to_string).collect(),
        mismatch: route.mismatch(ingress, called),
        pattern: route.pattern_of(called).map(ToString::to_string),
    }
}

/// What DNS would be asked for a trunk's names, but for those that the question answers itself.
fn lookups(settings: &Settings, rehearsal: &Rehearsal, trunk: &Trunk) -> Vec<LookupStep> {
    let reach = settings.reach()[trunk.realm];
    let is_asked = |query: &Query| {
        let addresses = rehearsal.engine.router.addresses_of(query);
        addresses.iter().any(|address| rehearsal.made_up.contains(address))
    };
    let step = |query: Query| LookupStep { questions: query.questions(reach), host: query.host };
    trunk.queries().filter(is_asked).map(step).collect()
}

fn caller_step(settings: &Settings, numbers: &CallNumbers, trunk: &Trunk) -> CallerStep {
    let numbering = settings.numbering_of(Some(trunk));
    let Ok(CallerChoice { who, because }) = identity::choose_caller(numbers, trunk, numbering) else {
        let because = "the caller's is not in caller_id.allowed, and caller_id.otherwise is \"reject\"";
        return CallerStep { shown: "refused", number: None, because: because.to_owned() };
    };
    let (shown, number) = match who {
        Who::Caller(number) => ("own", Some(number)),
        Who::Default(number) => ("default", Some(number)),
        Who::Nobody => ("anonymous", None),
    };
    if !identity::is_hidden(numbers) || number.is_none() {
        return CallerStep { shown, number, because: because.to_owned() };
    }
    // Who is hidden is named to those whom we trust, in a header beside From.
    let told = number.filter(|_| trunk.trust_identity && trunk.identity != Identity::From);
    let because = "the caller asks not to be shown";
    CallerStep { shown: "anonymous", number: told, because: because.to_owned() }
}

fn target_step(
    settings: &Settings,
    rehearsal: &Rehearsal,
    trunk: &Trunk,
    target: Target,
    caller: &CallerStep,
    sent: &mut Vec<&Sent>,
) -> TargetStep {
    let found = sent.iter().position(|sent| sent.target == target).map(|at| sent.remove(at));
    let transport = found.map_or(target.transport, |sent| sent.hop.transport);
    let invite = found.map(|sent| shown(settings, sent));
    let invite = invite.ok_or_else(|| why_not_sent(settings, rehearsal, trunk, &target, caller));
    let address = Some(target.address.ip()).filter(|address| !rehearsal.made_up.contains(address));
    TargetStep { host: target.host, address, port: target.address.port(), transport, invite }
}

fn why_not_sent(
    settings: &Settings,
    rehearsal: &Rehearsal,
    trunk: &Trunk,
    target: &Target,
    caller: &CallerStep,
) -> String {
    if caller.shown == "refused" {
        "the trunk's caller_id policy refuses the caller (403)".to_owned()
    } else if settings.listener_towards(trunk.realm, target.transport, target.address).is_none() {
        let family = if target.address.is_ipv6() { "IPv6" } else { "IPv4" };
        format!("the {} realm has no {} listener for {family}", trunk.realm, target.transport)
    } else if rehearsal.sent.len() >= MAX_ATTEMPTS {
        format!("not tried: a call is tried at {MAX_ATTEMPTS} targets at most")
    } else if [trunk.limits.calls, trunk.limits.calls_per_second].contains(&Some(0)) {
        "the trunk's limits let no call through".to_owned()
    } else {
        "the call cannot be sent there".to_owned()
    }
}

fn shown(settings: &Settings, sent: &Sent) -> InviteSent {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = sent.invite.fields().filter(|field| !NOT_SHOWN.contains(&field.header));
    let headers = fields.map(|field| {
        let value = text(field.value);
        // Our tag is another for each call.
        let value = match (field.header, value.split_once(";tag=")) {
            (Header::From, Some((before, _))) => before.to_owned(),
            _ => value,
        };
        (text(field.name), value)
    });
    InviteSent {
        listener: via(settings, sent.hop),
        request_uri: text(sent.invite.request_uri_raw()),
        headers: headers.collect(),
    }
}
