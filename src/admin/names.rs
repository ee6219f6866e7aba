//! What is known of the names of trunks, as JSON: where they lead, how old that is, what DNS said last.

use schemars::JsonSchema;
use serde::Serialize;

use crate::routing::{Endpoint, HostReport};

/// One name.
#[derive(Serialize, JsonSchema)]
pub(super) struct NameStatus {
    /// The host as it is configured, with the port and the transport that are written.
    name: String,
    /// `fresh`, `stale` (its TTL is over and it serves on), `unknown` (it leads nowhere).
    state: &'static str,
    /// How old the last good answer is; null: there is none.
    age_seconds: Option<u64>,
    /// How long it is good for still.
    valid_for_seconds: Option<u64>,
    /// Some of the questions on the way to it had no answer.
    partial: bool,
    /// Why the last look-up failed; null: it did not.
    fault: Option<String>,
    fault_age_seconds: Option<u64>,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Serialize, JsonSchema)]
struct EndpointStatus {
    host: String,
    address: String,
    transport: &'static str,
    priority: u16,
    weight: u16,
}

impl From<HostReport> for NameStatus {
    fn from(report: HostReport) -> NameStatus {
        NameStatus {
            name: report.query.to_string(),
            state: match report.valid_for {
                None => "unknown",
                Some(rest) if rest.is_zero() => "stale",
                Some(_) => "fresh",
            },
            age_seconds: report.age.map(|age| age.as_secs()),
            valid_for_seconds: report.valid_for.map(|rest| rest.as_secs()),
            partial: report.is_partial,
            fault: report.fault.map(|(fault, _)| fault.to_string()),
            fault_age_seconds: report.fault.map(|(_, age)| age.as_secs()),
            endpoints: report.endpoints.into_iter().map(EndpointStatus::from).collect(),
        }
    }
}

impl From<Endpoint> for EndpointStatus {
    fn from(endpoint: Endpoint) -> EndpointStatus {
        let Endpoint { host, address, transport, priority, weight } = endpoint;
        EndpointStatus { host, address: address.to_string(), transport: transport.as_str(), priority, weight }
    }
}
