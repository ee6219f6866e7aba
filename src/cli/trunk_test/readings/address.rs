//! Under which address the peer sees us, and whether we say the same of ourselves: where the two differ,
//! calls connect and nobody hears anybody.

use std::net::IpAddr;

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
    let detail = json!({
        "seen": seen.map(|seen| seen.to_string()),
        "seen_port": port,
        "local": scene.local.to_string(),
        "advertised": said.to_string(),
    });
    let step = |mark, what: String| Step::new(Name::Address, mark, what).with(detail.clone());
    let Some(seen) = seen else {
        // RFC 3261 §18.2.1: without "received" the sender of the answer saw what Via says.
        return match &said.host {
            Host::Address(_) => {
                step(Mark::Passed, format!("they see {}, as it says of itself", said.host.uri_text()))
            }
            Host::Name(_) => step(Mark::Skipped, "they do not say which address they see".to_owned()),
        };
    };
    let shown =
        port.map_or_else(|| seen.to_string(), |port| std::net::SocketAddr::new(seen, port).to_string());
    let is_behind_nat = seen != scene.local.ip();
    match &said.host {
        _ if scene.origin.is_elsewhere => {
            step(Mark::Skipped, format!("they see {shown}; the daemon's address is another"))
        }
        Host::Name(name) => {
            let what = format!("they see {shown}, and calls say {name}: that name must lead to {seen}");
            step(Mark::Passed, what)
        }
        Host::Address(said) if *said == seen => media(
            scene,
            seen,
            step(
                Mark::Passed,
                match is_behind_nat {
                    true => {
                        format!("they see {shown}, as advertised; behind NAT here it is {}", scene.local.ip())
                    }
                    false => format!("they see {shown}, as we say"),
                },
            ),
        ),
        Host::Address(said) => {
            let what = match is_behind_nat {
                true => format!("behind NAT: they see {shown}, and calls say {said}"),
                false => format!("they see {shown}, and calls say {said}"),
            };
            let step = step(Mark::Warned, what).hints(cures(scene, seen, is_behind_nat));
            media(scene, seen, step)
        }
    }
}

/// What to write so that Via and Contact say what is true.
fn cures(scene: &Scene<'_>, seen: IpAddr, is_behind_nat: bool) -> Vec<String> {
    let (realm, transport, bind) = (scene.subject.trunk.realm, scene.place.transport, scene.origin.listener);
    let public = std::net::SocketAddr::new(seen, bind.port());
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
