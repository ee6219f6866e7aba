//! What only shows when everything is read: names that nothing has, addresses that collide, realms
//! without a listener.

use std::collections::HashSet;

use super::balance::TierDraft;
use super::matching::sources_are_distinct;
use super::reader::{Report, Table};
use super::sections::{Draft, REALMS};
use super::trunks::Placed;
use crate::base::{Realm, Transport, TrunkName};
use crate::routing::{Host, RouteSource};

pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    every_realm_is_served(draft, report);
    binds_do_not_collide(draft, report);
    routes_name_what_exists(draft, report);
    trunks_can_be_reached(draft, report);
    sources_are_distinct(draft, report);
}

fn every_realm_is_served(draft: &Draft, report: &Report<'_>) {
    for (name, realm) in REALMS {
        let listener = draft.listeners.iter().find(|listener| listener.what.realm == realm);
        let media = &draft.realms[realm];
        if listener.is_none() && !draft.lacks_listeners {
            let cure = format!("add [[listener]] with realm = \"{name}\" and bind = \"ADDRESS:5060\"");
            report.fault(&draft.start, "listener", format!("the {name} realm has no listener"), cure);
        }
        if media.media.addresses.is_empty() {
            let place =
                media.place.as_ref().or(listener.map(|listener| &listener.place)).unwrap_or(&draft.start);
            let cure = format!("write media_bind = \"ADDRESS\" below [realm.{name}]");
            report.fault(
                place,
                &format!("realm.{name}.media_bind"),
                "the realm has no usable media address",
                cure,
            );
        }
    }
}

fn binds_do_not_collide(draft: &Draft, report: &Report<'_>) {
    let (first, last) = draft.ports.what;
    for (index, listener) in draft.listeners.iter().enumerate() {
        let Placed { what, place, path } = listener;
        let key = format!("{path}.bind");
        let same = |other: &&Placed<super::Listener>| {
            other.what.transport.is_reliable() == what.transport.is_reliable()
                && other.what.bind.port() == what.bind.port()
                && other.what.bind.is_ipv4() == what.bind.is_ipv4()
                && (other.what.bind.ip() == what.bind.ip()
                    || other.what.bind.ip().is_unspecified()
                    || what.bind.ip().is_unspecified())
        };
        if let Some(other) = draft.listeners[..index].iter().find(same) {
            let message = format!("{} binds the same address and port", other.path);
            report.fault(place, &key, message, "give one of them another port or address");
        }
        let media = REALMS.iter().flat_map(|(_, realm)| &draft.realms[*realm].media.addresses);
        let collides =
            |address: std::net::IpAddr| address == what.bind.ip() || what.bind.ip().is_unspecified();
        let shares_address = media.clone().any(|address| collides(address.bind));
        if what.transport == Transport::Udp && (first..=last).contains(&what.bind.port()) && shares_address {
            let message = format!("port {} is one of media.ports", what.bind.port());
            report.fault(place, &key, message, "choose a port outside of media.ports");
        }
    }
}

fn routes_name_what_exists(draft: &Draft, report: &Report<'_>) {
    let mut names = HashSet::new();
    for route in &draft.routes {
        if !names.insert(route.what.name.as_str()) {
            let message = format!("another route is named \"{}\"", route.what.name);
            report.fault(&route.place, &format!("{}.name", route.path), message, "give it a name of its own");
        }
        if let Some(from) = &route.what.from
            && let RouteSource::Trunk(name) = &from.what
        {
            trunk_exists(draft, report, from, name, &["trusted", "untrusted"]);
        }
        for TierDraft { trunk, .. } in route.what.tiers.iter().flatten() {
            trunk_exists(draft, report, trunk, &trunk.what, &[]);
        }
    }
}

fn trunk_exists<T>(draft: &Draft, report: &Report<'_>, at: &Placed<T>, name: &TrunkName, also: &[&str]) {
    if draft.trunks.iter().any(|trunk| trunk.what.name == *name) {
        return;
    }
    let known: Vec<&str> =
        draft.trunks.iter().map(|trunk| trunk.what.name.as_str()).chain(also.iter().copied()).collect();
    let cure = match Table::nearest(name.as_str(), &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("add [trunk.{name}], or name one that exists"),
    };
    report.fault(&at.place, &at.path, format!("there is no trunk \"{name}\""), cure);
}

/// A trunk needs a listener of its transport on its side, and a literal address one of its family.
fn trunks_can_be_reached(draft: &Draft, report: &Report<'_>) {
    for trunk in &draft.trunks {
        let serving = |realm: Realm, ipv6: bool| {
            draft
                .listeners
                .iter()
                .any(|listener| listener.what.realm == realm && listener.what.bind.is_ipv6() == ipv6)
        };
        let realm = trunk.what.realm;
        if !serving(realm, true) && !serving(realm, false) {
            continue;
        }
        // What DNS chooses has a listener, if there is any.
        let is_dns_asked = trunk.what.queries().any(|query| query.asks_naptr());
        let transport = trunk.what.transport.unwrap_or(Transport::Udp);
        let speaks = |listener: &Placed<super::Listener>| {
            listener.what.realm == realm && listener.what.transport == transport
        };
        if !draft.lacks_listeners && !is_dns_asked && !draft.listeners.iter().any(speaks) {
            let message = format!("the {realm} realm has no listener of transport {transport}");
            let port = transport.default_port();
            let cure = format!(
                "add [[listener]] with realm = \"{realm}\", transport = \"{transport}\" and bind = \"ADDRESS:{port}\""
            );
            report.fault(&trunk.place, &format!("{}.transport", trunk.path), message, cure);
            continue;
        }
        for host in &trunk.what.hosts {
            if let Host::Address(address) = host.host
                && !serving(realm, address.is_ipv6())
            {
                let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
                let message =
                    format!("{address} cannot be reached: the {realm} realm has no {family} listener");
                report.fault(
                    &trunk.place,
                    &format!("{}.host", trunk.path),
                    message,
                    format!("add an {family} listener to the {realm} realm"),
                );
            }
        }
    }
}
