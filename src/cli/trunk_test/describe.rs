//! What is going to be tested: the configuration as it was read, without the password.

use serde_json::json;

use super::place::Subject;
use super::step::{Name, Step};
use crate::base::Transport;
use crate::routing::{Host, TrunkHost};

/// The trunk, in a line.
pub(super) fn configuration(subject: &Subject) -> Step {
    let trunk = &subject.trunk;
    let hosts: Vec<String> = trunk.hosts.iter().map(host).collect();
    let asks_dns = trunk.queries().any(|query| query.asks_naptr());
    let transport = match trunk.transport {
        Some(transport) => transport.as_str(),
        None if asks_dns => "transport by DNS",
        None => "udp by default",
    };
    let username = trunk.credentials.as_ref().map(|credentials| credentials.username.as_str());
    let who = match username {
        Some(username) if subject.registers() => format!("registers as \"{username}\""),
        Some(username) => format!("as \"{username}\""),
        None => "without credentials".to_owned(),
    };
    let what =
        format!("{} ({transport}), domain {}, {who}, {} realm", hosts.join(", "), trunk.domain, trunk.realm);
    let step = Step::passed(Name::Configuration, what).with(json!({
        "realm": trunk.realm.as_str(),
        "hosts": hosts,
        "transport": trunk.transport.map(Transport::as_str),
        "domain": trunk.domain,
        "username": username,
        "register": subject.registers(),
        "enabled": trunk.enabled,
    }));
    if trunk.enabled {
        return step;
    }
    step.warn(format!(
        "enabled = false in [trunk.{}]: calls neither go there nor come from there",
        trunk.name
    ))
}

fn host(at: &TrunkHost) -> String {
    match (&at.host, at.port) {
        (host, None) => host.uri_text(),
        (Host::Name(_) | Host::Address(_), Some(port)) => format!("{}:{port}", at.host.uri_text()),
    }
}
