//! Where nobody answers: does somebody by another transport, or on the usual port? So the hint can say
//! what would work instead of what might.

use std::net::SocketAddr;
use std::time::Duration;

use super::place::{Origin, Place, Subject};
use super::walk::{ask, at_once};
use super::wire::Wire;
use crate::b2bua::inquiry;
use crate::base::Transport;
use crate::runtime::Clock;

/// So long each of them is waited for.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What is found at the same address by other ways, a hint each.
pub(super) async fn look(subject: &Subject, place: &Place, origin: &Origin, clock: Clock) -> Vec<String> {
    let looks = others(place).into_iter().map(|other| {
        let (subject, origin) = (subject.clone(), origin.clone());
        async move {
            let what = try_it(&subject, &other, &origin, clock).await?;
            Some(hint(&subject, &other, &what))
        }
    });
    at_once(looks).await.into_iter().flatten().collect()
}

/// The other ways to the same host: the port as it is, and the ports that are usual.
fn others(place: &Place) -> Vec<Place> {
    let port = place.address.port();
    let ways = [
        (Transport::Udp, port),
        (Transport::Tcp, port),
        (Transport::Udp, Transport::Udp.default_port()),
        (Transport::Tcp, Transport::Tcp.default_port()),
        (Transport::Tls, Transport::Tls.default_port()),
    ];
    let mut tried = vec![(place.transport.is_reliable(), port)];
    let mut others = Vec::new();
    for (transport, port) in ways {
        let way = (transport.is_reliable(), port);
        if !tried.contains(&way) {
            tried.push(way);
            let address = SocketAddr::new(place.address.ip(), port);
            others.push(Place { address, transport, ..place.clone() });
        }
    }
    others
}

async fn try_it(subject: &Subject, place: &Place, origin: &Origin, clock: Clock) -> Option<String> {
    let mut wire = match place.transport {
        Transport::Udp => Wire::datagrams(place, origin).ok()?,
        Transport::Tcp | Transport::Tls => {
            let stream = Wire::connect(place, origin, PATIENCE).await.ok()?;
            if place.transport == Transport::Tls {
                return Some("takes connections".to_owned());
            }
            Wire::stream(stream.local_addr().ok()?, place.address, stream)
        }
    };
    let question = inquiry::Subject::Presence;
    let answered = ask(subject, place, origin, &mut wire, (question, None), clock, PATIENCE).await.ok()?;
    Some(format!("answers OPTIONS with {}", answered.finding.response.status()?.code()))
}

fn hint(subject: &Subject, place: &Place, what: &str) -> String {
    let (trunk, realm) = (&subject.trunk.name, subject.trunk.realm);
    let Place { transport, address, .. } = place;
    let listener = match subject.listener(*transport, address.is_ipv6()) {
        Some(_) => String::new(),
        None => format!(", with a [[listener]] of realm \"{realm}\" and transport \"{transport}\""),
    };
    let (name, port) = (if *transport == Transport::Udp { "UDP" } else { "TCP" }, address.port());
    format!(
        "{name} port {port} {what} there: try transport = \"{transport}\" and port = {port} in [trunk.{trunk}]\
         {listener}"
    )
}
