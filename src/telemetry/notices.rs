//! What the engine has to tell people: one line of the log a change, with the reason and the cure.
//!
//! Must not know: how often a thing may be told; the engine says each once.

use std::time::Duration;

use super::{one_way, redact};
use crate::b2bua::{AuthenticationFault, EndedBy, Event, RegistrationChange};
use crate::base::TrunkName;
use crate::routing::Ambiguity;

/// Writes the line of an event that is worth one; most are only counted.
pub fn log(event: &Event) {
    match event {
        Event::NotAuthenticated { trunk, fault: fault @ AuthenticationFault::Refused { .. } } => {
            tracing::warn!(%trunk, "the trunk refuses our answer to its challenge: {fault}");
        }
        Event::NotAuthenticated { trunk, fault } => {
            tracing::warn!(%trunk, "the trunk's challenge is not answered: {fault}");
        }
        Event::SourceShared(Ambiguity { source, first, second, .. }) => {
            tracing::warn!(
                %source, %first, %second,
                "DNS gave two trunks the same source: calls from there are taken for the first, unless match tells them apart"
            );
        }
        Event::OneWay(told) => {
            let leg = if told.silent == EndedBy::Caller { "ingress" } else { "egress" };
            tracing::warn!(
                call = told.call,
                trunk = told.place.trunk.as_ref().map(TrunkName::as_str),
                leg,
                realm = told.place.realm.as_str(),
                "one-way audio: {}",
                one_way::text(told)
            );
        }
        Event::Registration { trunk, host, change, .. } => {
            let at = host.as_ref().map_or_else(String::new, |host| format!(" at {host}"));
            log_registration(trunk.as_str(), &at, change);
        }
        _ => {}
    }
}

fn log_registration(trunk: &str, at: &str, change: &RegistrationChange) {
    match change {
        RegistrationChange::Begins => {}
        RegistrationChange::Registered { at: target, expires } => {
            tracing::info!(trunk, peer = %target, "registered{at} ({target}) for {} s", expires.as_secs());
        }
        RegistrationChange::Failed { fault, retry, remaining } => {
            let remaining = match remaining.filter(|remaining| *remaining > Duration::ZERO) {
                Some(remaining) => format!("; registered for {} s yet", remaining.as_secs()),
                None => String::new(),
            };
            let retry = retry.as_secs();
            let fault = fault.to_string();
            let fault = redact::words(&fault);
            tracing::warn!(trunk, "cannot register{at}: {fault}; next try in {retry} s{remaining}");
        }
        RegistrationChange::Expired => {
            tracing::warn!(trunk, "no longer registered{at}: it was not renewed in time");
        }
        RegistrationChange::Left => tracing::info!(trunk, "registration{at} taken back"),
    }
}
