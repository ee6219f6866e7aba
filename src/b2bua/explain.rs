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
use super::addressing::{self, CallerChoice, Who};
use super::attempt::MAX_ATTEMPTS;
use super::call::CallNumbers;
use super::called::Called;
use super::caller::Privacy;
use crate::admission::DropReason;
use crate::base::{Hop, Realm, Transport, TrunkName};
use crate::numbering::{self, Number};
use crate::routing::{
    Balance, Claim, DnsQuestion, Fit, Host, Identity, Ingress, Misfit, Mismatch, NoRoute, Query, Route,
    Selection, Target, Tier, Trunk,
};
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
    /// The tiers of the route in which there is a choice.
    pub choices: Vec<Choice>,
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
    /// Where several trunks have the source, or none of those takes this call: each with why it is its
    /// or not, the one whose it is first.
    pub claims: Vec<ClaimStep>,
    /// The source may speak to the other realm.
    pub is_of_other_realm: bool,
    /// Names of trunks of this realm whose addresses are not known offline: each lets its own in.
    pub unknown_names: Vec<(TrunkName, String)>,
}

/// A trunk that has the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimStep {
    /// Its name.
    pub trunk: TrunkName,
    /// Whether the call is its.
    pub is_its: bool,
    /// Why, or why not.
    pub because: String,
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

/// A tier of which any trunk may be the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The tier, from 1.
    pub tier: usize,
    /// `balance` of the route.
    pub balance: Balance,
    /// The enabled trunks and their weights, as written.
    pub trunks: Vec<(TrunkName, u32)>,
    /// Who comes first for the same caller each time, if that is so.
    pub is_settled: bool,
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
    explanation.admission = admission(settings, &rehearsal, question.realm, hop, &invite);
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
        choices: Vec::new(),
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

fn admission(
    settings: &Settings,
    rehearsal: &Rehearsal,
    realm: Realm,
    hop: Hop,
    invite: &Message,
) -> Admission {
    let (router, allowlist) = (&rehearsal.engine.router, &rehearsal.engine.allowlist);
    let source = hop.peer.ip();
    let entry = allowlist.entry(realm, source);
    let claims = rehearsal.engine.with_facts(invite, hop, |facts| router.claims(realm, facts));
    let trunk = claims.first().filter(|claim| claim.fit.is_ok()).map(|claim| claim.trunk.clone());
    let owner = entry.map(|entry| match claims.iter().find(|claim| claim.entry == entry) {
        Some(claim) => owner(rehearsal, settings, claim.trunk, source),
        None => EntryOwner::Realm,
    });
    let other = Realm::ALL.into_iter().find(|other| *other != realm);
    Admission {
        entry,
        owner,
        claims: if claims.len() > 1 || trunk.is_none() { claim_steps(&claims) } else { Vec::new() },
        is_of_other_realm: other.is_some_and(|other| allowlist.allows(other, source)),
        unknown_names: unknown_names(rehearsal, settings, realm),
        trunk,
    }
}

fn claim_steps(claims: &[Claim<'_>]) -> Vec<ClaimStep> {
    let winner = claims.first().filter(|claim| claim.fit.is_ok());
    let step = |(place, claim): (usize, &Claim<'_>)| ClaimStep {
        trunk: claim.trunk.clone(),
        is_its: place == 0 && winner.is_some(),
        because: match (&claim.fit, winner) {
            (Ok(fit), _) if place == 0 => why_its(fit, claim, claims.get(1)),
            (Ok(_), Some(winner)) if winner.entry != claim.entry && !is_registered(winner) => {
                format!("{} is a closer entry than {}", winner.entry, claim.entry)
            }
            (Ok(fit), Some(winner)) if winner.fit.as_ref() == Ok(fit) => {
                format!("it fits as well, and {} comes before it", winner.trunk)
            }
            (Ok(_), _) => "the other fits better".to_owned(),
            (Err(misfit), _) => why_not_its(*misfit).to_owned(),
        },
    };
    claims.iter().enumerate().map(step).collect()
}

fn is_registered(claim: &Claim<'_>) -> bool {
    claim.fit.as_ref().is_ok_and(|fit| fit.is_registered)
}

fn why_its(fit: &Fit, claim: &Claim<'_>, next: Option<&Claim<'_>>) -> String {
    if fit.is_registered {
        return "it is for the Contact that we registered".to_owned();
    }
    let number = fit.pattern.as_ref().map(|pattern| format!("match.to has {pattern}"));
    let domain = fit.domain.as_ref().map(|domain| format!("match.domain has {domain}"));
    let said: Vec<String> = [number, domain].into_iter().flatten().collect();
    if !said.is_empty() {
        return said.join(", ");
    }
    match next {
        Some(Claim { fit: Err(_), .. }) | None => "the others' match does not fit".to_owned(),
        Some(next) if next.entry != claim.entry => format!("{} is the closest entry", claim.entry),
        Some(Claim { fit: Ok(other), .. }) if fit.is_of_own_domain && !other.is_of_own_domain => {
            "it speaks of its domain".to_owned()
        }
        Some(Claim { fit: Ok(other), .. }) if fit.port.is_some() && other.port.is_none() => {
            "it comes from its port".to_owned()
        }
        Some(_) => "it comes first in the configuration".to_owned(),
    }
}

const fn why_not_its(misfit: Misfit) -> &'static str {
    match misfit {
        Misfit::NoCalls => "match.to is empty: no call comes by it",
        Misfit::Number => "match.to does not have the number",
        Misfit::Domain => "match.domain does not have the domain",
        Misfit::Registration => "it is not for the Contact that we registered",
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
    let whom = Called::of(invite, rehearsal.engine.is_for_our_contact(invite));
    let called = numbers.learn_called(whom, numbering).map_err(|rejection| rejection.cause);
    let is_service = whom.is_emergency_service();
    let called = called.map(|()| numbers.called.clone());
    explanation.privacy = privacy_name(numbers.privacy);
    explanation.caller =
        Some(reading(numbering, &numbers.caller_received, Ok(numbers.caller.clone()), Vec::new()));
    let is_called = called.is_ok();
    let mut steps = Vec::new();
    if is_service {
        steps.push("the emergency service: the first of numbering.emergency".to_owned());
    }
    let behind_code = numbering.normalise_called(&numbers.called_received).ok();
    if let Some(code) = behind_code.and_then(|dialled| dialled.access_code) {
        steps.push(format!("access code {code} taken off: {}", numbers.called_dialled));
    }
    let read = if is_service { "" } else { &numbers.called_dialled };
    let mut called = reading(numbering, read, called, steps);
    called.received.clone_from(&numbers.called_received);
    explanation.called = Some(called);
    if is_called {
        explain_route(settings, rehearsal, &ingress, &numbers, explanation);
    }
}

fn reading(
    numbering: &numbering::Settings,
    received: &str,
    result: Result<Number, String>,
    mut steps: Vec<String>,
) -> Reading {
    let mut fault = result.as_ref().err().cloned();
    if !received.is_empty() {
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
    let members = route.tiers.iter().flatten().map(|member| &member.trunk);
    explanation.disabled = members.filter(|name| !enabled(name)).cloned().collect();
    let Ok(selection) = selection else { return };
    explanation.choices = choices(&selection, numbers);
    let mut sent: Vec<&Sent> = rehearsal.sent.iter().collect();
    for (tier, name) in as_tried(&selection, rehearsal) {
        let Some(trunk) = settings.routing.trunk(&name) else { continue };
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

/// The tiers in which there is something to choose.
fn choices(selection: &Selection, numbers: &CallNumbers) -> Vec<Choice> {
    let may_be_first = |tier: &&Tier| tier.trunks.iter().filter(|(_, weight)| *weight > 0).count() > 1;
    let is_settled = selection.balance == Balance::Hash && !numbers.caller.as_str().is_empty();
    let choice = |tier: &Tier| Choice {
        tier: tier.number,
        balance: selection.balance,
        trunks: tier.trunks.clone(),
        is_settled,
    };
    selection.tiers.iter().filter(may_be_first).map(choice).collect()
}

/// The trunks with their tiers, within a tier as the rehearsal came to them.
fn as_tried(selection: &Selection, rehearsal: &Rehearsal) -> Vec<(usize, TrunkName)> {
    let came_to = |name: &TrunkName| {
        rehearsal.sent.iter().position(|sent| sent.target.trunk == *name).unwrap_or(usize::MAX)
    };
    let trunks = selection.tiers.iter().flat_map(|tier| {
        let mut names: Vec<&TrunkName> = tier.trunks.iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| came_to(name));
        names.into_iter().map(|name| (tier.number, name.clone()))
    });
    trunks.collect()
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
    let Ok(CallerChoice { who, because }) = addressing::choose_caller(numbers, trunk, numbering) else {
        let because = "the caller's is not in caller_id.allowed, and caller_id.otherwise is \"reject\"";
        return CallerStep { shown: "refused", number: None, because: because.to_owned() };
    };
    let (shown, number) = match who {
        Who::Caller(number) => ("own", Some(number)),
        Who::Default(number) => ("default", Some(number)),
        Who::Nobody => ("anonymous", None),
    };
    if !addressing::is_hidden(numbers) || number.is_none() {
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
