//! From the trunk's hosts to places: what DNS was asked, what it said, and what to do where it did not.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::place::{Place, Subject};
use super::step::{Mark, Name, Step};
use crate::base::Transport;
use crate::resolver::{self, Resolver};
use crate::routing::{Host, ResolveFault, TrunkHost, host_text};
use crate::runtime::Clock;

/// No more places are tested.
const MAX_PLACES: usize = 64;

/// Looks up every host, and gives the places in the order in which calls would try them.
pub(super) async fn look_up(subject: &Subject, clock: &Clock) -> (Vec<Step>, Vec<Place>) {
    let settings = resolver::Settings { nameservers: subject.config.nameservers.clone() };
    let (mut steps, mut places) = (Vec::new(), Vec::new());
    let resolver = match Resolver::new(&settings) {
        Ok(resolver) => resolver,
        Err(fault) => {
            let step = Step::failed(Name::Dns, fault.to_string());
            let hint = "write the name servers to ask as [dns] nameservers = [\"192.0.2.53:53\"]";
            return (vec![step.hint(hint)], places);
        }
    };
    let mut hosts: Vec<&TrunkHost> = subject.trunk.hosts.iter().collect();
    hosts.sort_by_key(|host| (host.priority, std::cmp::Reverse(host.weight)));
    let transport = subject.trunk.transport.unwrap_or(Transport::Udp);
    for at in hosts {
        let port = at.port.unwrap_or(transport.default_port());
        let host = host_text(&at.host);
        let place =
            |address| Place { host: host.clone(), address: SocketAddr::new(address, port), transport };
        match &at.host {
            Host::Address(address) => {
                places.push(place(*address));
            }
            Host::Name(name) => {
                let began = clock.now();
                let answer = resolver.resolve(name).await;
                let took = clock.now().since(began);
                let found = answer.map(|found| found.addresses).map_err(|fault| (fault, took));
                steps.push(match &found {
                    Ok(addresses) => {
                        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                        told("A/AAAA", name, &list).in_time(took)
                    }
                    Err((fault, took)) => failed(subject, name, *fault, *took),
                });
                places.extend(found.unwrap_or_default().into_iter().map(place));
            }
        }
    }
    if steps.is_empty() {
        steps.push(Step::skipped(Name::Dns, "an address needs none"));
    }
    places.dedup();
    places.truncate(MAX_PLACES);
    (steps, places)
}

/// What one look-up gave.
fn told(kind: &str, name: &str, found: &[String]) -> Step {
    let what = format!("{kind} {name}: {}", found.join(", "));
    Step::passed(Name::Dns, what).with(json!({ "kind": kind, "name": name, "found": found }))
}

fn failed(subject: &Subject, name: &str, fault: ResolveFault, took: Duration) -> Step {
    let trunk = &subject.trunk.name;
    let servers: Vec<String> = subject.config.nameservers.iter().map(ToString::to_string).collect();
    let asked = match servers.as_slice() {
        [] => "the servers of /etc/resolv.conf".to_owned(),
        servers => format!("{} of [dns] nameservers", servers.join(", ")),
    };
    let step = Step::new(Name::Dns, Mark::Failed, format!("A/AAAA {name}: {fault}")).in_time(took);
    let detail = json!({ "kind": "A/AAAA", "name": name, "found": [], "fault": fault.to_string() });
    let step = step.with(detail);
    match fault {
        ResolveFault::NoSuchHost => step
            .hint(format!(
                "compare host of [trunk.{trunk}] with what the provider gave you, letter by letter"
            ))
            .hint(format!("ask another server: dig {name} @9.9.9.9; if that knows it, {asked} may be wrong")),
        ResolveFault::NoAnswer => step
            .hint(format!("asked {asked}: are they up, and is port 53 open from here? dig {name}"))
            .hint("the daemon serves on with the addresses that it had; after a restart it has none"),
    }
}
