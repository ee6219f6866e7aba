//! From the trunk's hosts to places: every question that DNS is asked (RFC 3263), its answer, and what to
//! do where there is none. The order of the places is the router's own.

use serde_json::json;

use super::place::{Place, Subject};
use super::step::{Mark, Name, Step};
use crate::app;
use crate::base::{Instant, Random};
use crate::resolver::{self, QuestionFault, Resolver};
use crate::routing::{Query, Reach, RecordKind, Resolution, ResolveFault, Router, Target};

/// No more places are tested.
const MAX_PLACES: usize = 64;
/// No more records of one answer are shown.
const RECORDS_SHOWN: usize = 8;

/// Looks up every host, and gives the places in the order in which calls would try them.
pub(super) async fn look_up(subject: &Subject) -> (Vec<Step>, Vec<Place>) {
    let settings = resolver::Settings { nameservers: subject.config.nameservers.clone() };
    let resolver = match Resolver::new(&settings) {
        Ok(resolver) => resolver,
        Err(fault) => {
            let step = Step::failed(Name::Dns, fault.to_string());
            let hint = "write the name servers to ask as [dns] nameservers = [\"192.0.2.53:53\"]";
            return (vec![step.hint(hint)], Vec::new());
        }
    };
    let engine = app::offline_settings(&subject.config);
    let reach = engine.reach();
    let mut router = Router::reaching(engine.routing, reach);
    let reach = reach[subject.trunk.realm];
    // It spreads what is asked again later, which nothing is here.
    let mut random = Random::from_number(0);
    let queries: Vec<Query> = subject.trunk.queries().collect();
    let (mut steps, mut found) = (Vec::new(), Vec::new());
    for query in queries {
        let walk = resolver.walk(&query, reach).await;
        steps.extend(told(subject, &query, &walk, reach));
        found.extend(walk.resolution.iter().flat_map(|resolution| resolution.endpoints.clone()));
        router.resolved(&query, walk.resolution, Instant::ZERO, &mut random);
    }
    if steps.is_empty() {
        steps.push(Step::skipped(Name::Dns, "an address needs none"));
    }
    let targets = router.all_targets(&subject.trunk.name).into_iter().take(MAX_PLACES);
    let place = |Target { host, address, transport, .. }: Target| {
        let endpoint = found.iter().find(|at| (at.address, at.transport) == (address, transport));
        let name = endpoint.map_or_else(|| host.clone(), |at| at.host.clone());
        Place { host, name, address, transport }
    };
    (steps, targets.map(place).collect())
}

/// A line for each question, and the last of them says what to do.
fn told(subject: &Subject, query: &Query, walk: &resolver::Walk, reach: Reach) -> Vec<Step> {
    let mut steps: Vec<Step> = walk.steps.iter().map(question).collect();
    let last = match (&walk.resolution, steps.pop()) {
        (Ok(found), Some(last)) => last.hints(remarks(subject, query, found, reach)),
        (Err(fault), last) => {
            let what = format!("nothing is found for {query}: {fault}");
            let summary = Step::failed(Name::Dns, what).with(json!({ "query": query.to_string() }));
            steps.extend(last);
            summary.hints(cures(subject, query, fault))
        }
        (Ok(found), None) => {
            // Names of /etc/hosts ask nobody.
            let list: Vec<String> = found.endpoints.iter().map(|at| at.address.to_string()).collect();
            Step::passed(Name::Dns, format!("{query}: {}", list.join(", ")))
        }
    };
    steps.push(last);
    steps
}

/// A question and its answer. NAPTR and SRV are what many do without, so that none is no fault.
fn question(step: &resolver::Step) -> Step {
    let question = &step.question;
    let told = |mark, what: String| Step::new(Name::Dns, mark, format!("{question}: {what}"));
    let (told, records, ttl) = match &step.result {
        Ok(answer) => {
            let shown: Vec<&str> = answer.records.iter().take(RECORDS_SHOWN).map(String::as_str).collect();
            let more = answer.records.len().saturating_sub(RECORDS_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let told = told(Mark::Passed, format!("{}{more}", shown.join(", ")));
            (told, &answer.records[..], Some(answer.valid_for.as_secs()))
        }
        Err(QuestionFault::NoRecords { .. }) => (told(Mark::Passed, "none".to_owned()), &[][..], None),
        Err(QuestionFault::NoSuchName { .. }) if question.kind == RecordKind::Srv => {
            (told(Mark::Passed, "none".to_owned()), &[][..], None)
        }
        Err(fault) if fault.is_denial() => (told(Mark::Passed, fault.to_string()), &[][..], None),
        Err(fault) => (told(Mark::Warned, fault.to_string()), &[][..], None),
    };
    told.in_time(step.took).with(json!({
        "kind": question.kind.as_str(),
        "name": question.name,
        "found": records,
        "ttl_s": ttl,
        "fault": step.result.as_ref().err().map(ToString::to_string),
    }))
}

/// What was found, and cannot be used.
fn remarks(subject: &Subject, query: &Query, found: &Resolution, reach: Reach) -> Vec<String> {
    let mut remarks = Vec::new();
    let realm = subject.trunk.realm;
    let of_no_use: Vec<String> = found
        .endpoints
        .iter()
        .filter(|at| !reach.leads_to(at.address, at.transport))
        .map(|at| format!("{} {}", at.address, at.transport))
        .collect();
    if !of_no_use.is_empty() {
        let list = of_no_use.join(", ");
        remarks.push(format!("not used, for the {realm} realm has no listener of that kind: {list}"));
    }
    if found.is_partial {
        remarks.push("not every question was answered: there may be more, or better, addresses".to_owned());
    }
    if query.asks_srv() && found.endpoints.iter().all(|at| at.host == query.host) {
        let port = found.endpoints.first().map_or(5060, |at| at.address.port());
        remarks.push(format!(
            "no SRV: port {port} is the usual one; port = … in [trunk.{}] says another",
            subject.trunk.name
        ));
    }
    remarks
}

fn cures(subject: &Subject, query: &Query, fault: &ResolveFault) -> Vec<String> {
    let (trunk, name) = (&subject.trunk.name, &query.host);
    let servers: Vec<String> = subject.config.nameservers.iter().map(ToString::to_string).collect();
    let asked = match servers.as_slice() {
        [] => "the servers of /etc/resolv.conf".to_owned(),
        servers => format!("{} of [dns] nameservers", servers.join(", ")),
    };
    match fault {
        ResolveFault::NoSuchHost { .. } => vec![
            format!("compare host of [trunk.{trunk}] with what the provider gave you, letter by letter"),
            format!("ask another server: dig {name} @9.9.9.9; if that knows it, {asked} may be wrong"),
        ],
        ResolveFault::NoAnswer => vec![
            format!("asked {asked}: are they up, and is port 53 open from here? dig {name}"),
            "the daemon serves on with the addresses that it had; after a restart it has none".to_owned(),
        ],
    }
}
