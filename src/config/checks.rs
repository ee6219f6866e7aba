//! What only shows when everything is read: names that nothing has, addresses that collide, realms
//! without a listener.

use std::collections::HashSet;

use super::balance::TierDraft;
use super::matching::sources_are_distinct;
use super::reader::{Report, Table};
use super::relay::warn_of_local_ports;
use super::sections::{Draft, REALMS};
use super::settings::HostPort;
use super::trunks::{Placed, RouteDraft};
use crate::base::{Realm, Transport, TrunkName};
use crate::routing::{Host, RouteSource};

pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    every_realm_is_served(draft, report);
    binds_do_not_collide(draft, report);
    routes_name_what_exists(draft, report);
    trunks_can_be_reached(draft, report);
    sources_are_distinct(draft, report);
    calls_have_a_way(draft, report);
    every_trunk_has_a_route(draft, report);
    every_route_is_reached(draft, report);
    peers_can_answer(draft, report);
    warn_of_local_ports(&draft.ports, report);
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
            report.fault(place, &key, message, "choose a port outside of media.ports, or other media.ports");
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
    let what = if also.is_empty() { "trunk" } else { "realm and no trunk" };
    report.fault(&at.place, &at.path, format!("there is no {what} \"{name}\""), cure);
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

/// Only a warning, and only where there is somebody on both sides: a configuration may be half written.
fn calls_have_a_way(draft: &Draft, report: &Report<'_>) {
    let peopled = |realm: Realm| {
        let trunk = draft.trunks.iter().any(|trunk| trunk.what.realm == realm && trunk.what.enabled);
        trunk || !draft.realms[realm].allow.is_empty()
    };
    if draft.routes.is_empty() && Realm::ALL.into_iter().all(peopled) {
        report.warn(
            &draft.start,
            "route",
            "there is no route: every call is refused with 404",
            "write [[route]] with from = \"trusted\" and trunks = [\"NAME\"], and another one for calls that come in",
        );
    }
}

/// Only a warning: a trunk may be there for what is to come. Without any route it is told as that.
fn every_trunk_has_a_route(draft: &Draft, report: &Report<'_>) {
    if draft.routes.is_empty() {
        return;
    }
    for trunk in draft.trunks.iter().filter(|trunk| trunk.what.enabled) {
        let name = &trunk.what.name;
        let leads_there = |route: &Placed<RouteDraft>| {
            route.what.tiers.iter().flatten().any(|other| other.trunk.what == *name)
        };
        let comes_from = |route: &Placed<RouteDraft>| match &route.what.from {
            Some(from) => match &from.what {
                RouteSource::Trunk(trunk_name) => trunk_name == name,
                RouteSource::Realm(realm) => *realm == trunk.what.realm,
            },
            None => true,
        };
        let (to, from) = (draft.routes.iter().any(leads_there), draft.routes.iter().any(comes_from));
        let wrong = match (to, from) {
            (false, false) => "no route leads to this trunk, and none takes its calls",
            (false, true) => "no route leads to this trunk",
            // Who only takes calls is usual.
            (true, _) => continue,
        };
        report.warn(&trunk.place, &trunk.path, wrong, format!("name \"{name}\" in trunks of a [[route]]"));
    }
}

/// Of two routes from one place the second sees no call if the first takes all.
fn every_route_is_reached(draft: &Draft, report: &Report<'_>) {
    let source = |route: &Placed<RouteDraft>| route.what.from.as_ref().map(|from| from.what.clone());
    for (index, route) in draft.routes.iter().enumerate() {
        let takes_all = |before: &&Placed<RouteDraft>| {
            before.what.to.is_empty() && source(before).is_some() && source(before) == source(route)
        };
        if let Some(before) = draft.routes[..index].iter().find(takes_all) {
            let message = format!(
                "no call gets here: route \"{}\" before it takes every call from {}",
                before.what.name,
                source(route).map(|from| from.to_string()).unwrap_or_default(),
            );
            report.warn(
                &route.place,
                &route.path,
                message,
                "put this one first, or give the other a to = [ … ]",
            );
        }
    }
}

/// Only a warning: carriers may be in a private network of the operator's.
fn peers_can_answer(draft: &Draft, report: &Report<'_>) {
    for listener in draft.listeners.iter().filter(|listener| listener.what.realm == Realm::Untrusted) {
        let HostPort { host, port } = &listener.what.advertise;
        if let Host::Address(address) = host
            && is_private(*address)
        {
            report.warn(
                &listener.place,
                &format!("{}.advertise", listener.path),
                format!("{address} is private, and carriers on the internet cannot send to it"),
                format!("behind NAT write advertise = \"203.0.113.5:{port}\", with your public address"),
            );
        }
    }
    let media = &draft.realms[Realm::Untrusted];
    for address in media.media.addresses.iter().filter(|address| is_private(address.advertise)) {
        report.warn(
            media.place.as_ref().unwrap_or(&draft.start),
            "realm.untrusted.media_advertise",
            format!("{} is private, and carriers on the internet cannot send media to it", address.advertise),
            "behind NAT write media_advertise = \"203.0.113.5\", with your public address",
        );
    }
}

/// RFC 1918, RFC 6598, RFC 4193; loopback is for trying things out.
fn is_private(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => {
            let [a, b, _, _] = address.octets();
            address.is_private() || (a == 100 && (64..128).contains(&b))
        }
        std::net::IpAddr::V6(address) => address.is_unique_local(),
    }
}
