//! Under which address the peer sees us, and whether we say the same of ourselves: where the two differ,
//! calls connect and nobody hears anybody.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;

use super::super::step::{Mark, Name, Step};
use super::options::Scene;
use super::seen_address;
use crate::base::Transport;
use crate::routing::Host;
use crate::sip::Message;

/// Reads Via of an answer.
pub(in super::super) fn seen(scene: &Scene<'_>, response: &Message) -> Step {
    let (seen, port) = seen_address(response);
    let said = &scene.origin.advertise;
    let step = match (seen, &said.host) {
        (Some(seen), _) => compared(scene, seen, port),
        // RFC 3261 §18.2.1: without "received" the sender of the answer saw what Via says.
        (None, Host::Address(_)) if !scene.origin.is_elsewhere => {
            Step::passed(Name::Address, format!("they see {}, as it says of itself", said.host.uri_text()))
        }
        (None, _) => Step::skipped(Name::Address, "they do not say which address they see"),
    };
    step.with(json!({
        "seen": seen.map(|seen| seen.to_string()),
        "seen_port": port,
        "local": scene.local.to_string(),
        "advertised": said.to_string(),
    }))
}

/// What they see, and what calls say.
fn compared(scene: &Scene<'_>, seen: IpAddr, port: Option<u16>) -> Step {
    let shown = port.map_or_else(|| seen.to_string(), |port| SocketAddr::new(seen, port).to_string());
    let local = scene.local.ip();
    let is_behind_nat = seen != local;
    let step = |mark, what| Step::new(Name::Address, mark, what);
    match &scene.origin.advertise.host {
        _ if scene.origin.is_elsewhere => {
            step(Mark::Skipped, format!("they see {shown}; the daemon's address is another"))
        }
        Host::Name(name) => {
            let what = format!("they see {shown}, and calls say {name}: that name must lead to {seen}");
            step(Mark::Passed, what)
        }
        Host::Address(said) if *said == seen => {
            let how = if is_behind_nat {
                format!("as advertised; behind NAT here it is {local}")
            } else {
                "as we say".to_owned()
            };
            media(scene, seen, step(Mark::Passed, format!("they see {shown}, {how}")))
        }
        Host::Address(said) => {
            let nat = if is_behind_nat { "behind NAT: " } else { "" };
            let step = step(Mark::Warned, format!("{nat}they see {shown}, and calls say {said}"));
            media(scene, seen, step.hints(cures(scene, seen, is_behind_nat)))
        }
    }
}

/// What to write so that Via and Contact say what is true.
fn cures(scene: &Scene<'_>, seen: IpAddr, is_behind_nat: bool) -> Vec<String> {
    let (realm, transport, bind) = (scene.subject.trunk.realm, scene.place.transport, scene.origin.listener);
    let public = SocketAddr::new(seen, bind.port());
    let kind = if transport == Transport::Udp { "UDP" } else { "TCP" };
    let mut cures = vec![format!(
        "write advertise = \"{public}\" in the [[listener]] of the {realm} realm that binds {bind} ({transport}), \
         and restart: without it their requests within calls (ACK, BYE) go astray"
    )];
    if is_behind_nat {
        let (first, last) = scene.subject.config.media.ports;
        cures.push(format!(
            "on the NAT, forward {kind} {} and UDP {first}-{last} (media) from {seen} to {}",
            bind.port(),
            scene.local.ip()
        ));
    }
    cures
}

/// SDP says an address of its own.
fn media(scene: &Scene<'_>, seen: IpAddr, step: Step) -> Step {
    let realm = scene.subject.trunk.realm;
    match scene.subject.media_advertised(seen.is_ipv6()) {
        Some(said) if said != seen && is_private(said) && !is_private(seen) => step.warn(format!(
            "write media_advertise = \"{seen}\" below [realm.{realm}]: SDP says {said}, which nobody out there \
             can send audio to"
        )),
        Some(_) | None => step,
    }
}

/// Addresses that lead nowhere from outside (RFC 1918, 4193, 6598, loopback).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
