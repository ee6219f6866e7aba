//! The order of the test: configuration, names, then every place at once as far as OPTIONS, then the
//! credentials. Those are tried at one place first: a password that is wrong is refused once, and not
//! once for each address of a provider that locks accounts.

use std::sync::Arc;
use std::time::Duration;

use super::place::{Origin, Place, Subject};
use super::readings::options::Scene;
use super::readings::{address, authentication, connect, options, tls};
use super::step::{Mark, Name, Report, Step, TargetReport};
use super::wire::{Answered, Fault, Wire};
use super::{describe, dns, elsewhere};
use crate::b2bua::inquiry::{self, Inquiry, Party};
use crate::base::Transport;
use crate::routing::Credentials;
use crate::runtime::{Clock, seed};
use crate::transport::Seen;

/// Asked of everybody, and first without credentials: so nothing is refused at many places at once.
const PRESENCE: inquiry::Subject = inquiry::Subject::Presence;

/// Does all of it.
pub(super) async fn walk(subject: &Subject, clock: Clock) -> Report {
    let began = clock.now();
    let mut before = vec![describe::configuration(subject)];
    let (steps, places) = dns::look_up(subject).await;
    before.extend(steps);
    let visits = places.into_iter().map(|place| visit(subject.clone(), place, clock));
    let mut visits = at_once(visits).await;
    compare(&mut visits);
    authenticate(subject, &mut visits, clock).await;
    let targets = visits.into_iter().map(|visit| visit.report).collect();
    Report { trunk: subject.trunk.name.to_string(), before, targets, took: clock.now().since(began) }
}

/// Where another address of the trunk answers, port and transport are right: what to do is another thing.
fn compare(visits: &mut [Visit]) {
    let good = visits.iter().find(|visit| visit.report.answers()).map(|visit| visit.report.place.clone());
    let Some(good) = good else { return };
    for TargetReport { place, steps, .. } in visits.iter_mut().map(|visit| &mut visit.report) {
        let is_alike = (place.transport, place.address.port()) == (good.transport, good.address.port());
        let is_dead = |step: &&mut Step| matches!(step.detail["fault"].as_str(), Some("silence" | "refused"));
        for step in steps.iter_mut().filter(|_| is_alike).filter(is_dead) {
            step.hints = connect::dead_beside(place, &good);
        }
    }
}

/// Every future to its end, all of them at the same time, their results in order.
pub(super) async fn at_once<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    // Spawned one and all before the first is waited for.
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.extend(task.await.ok());
    }
    results
}

/// One place, and what is still open there.
struct Visit {
    report: TargetReport,
    origin: Option<Origin>,
    wire: Option<Wire>,
    /// What OPTIONS was answered with.
    answer: Option<Answered>,
}

impl Visit {
    fn push(&mut self, step: Step) {
        self.report.steps.push(step);
    }

    fn skip(&mut self, names: &[Name], why: &str) {
        for name in names {
            self.push(Step::skipped(*name, why));
        }
    }
}

/// As far as OPTIONS.
async fn visit(subject: Subject, place: Place, clock: Clock) -> Visit {
    let report = TargetReport { place: place.clone(), from: None, steps: Vec::new() };
    let mut visit = Visit { report, origin: None, wire: None, answer: None };
    let Some(listener) = subject.listener(place.transport, place.address.is_ipv6()) else {
        visit.push(connect::no_listener(&subject, &place));
        return visit;
    };
    let origin = Origin::towards(&place, listener);
    visit.origin = Some(origin.clone());
    let began = clock.now();
    let opened = open(&subject, &place, &origin, clock, &mut visit).await;
    let mut wire = match opened {
        Ok(wire) => wire,
        Err(Some(fault)) => {
            let took = clock.now().since(began);
            let step = connect::failed(&subject, &place, &origin, &fault, took);
            let looked = look_elsewhere(&subject, &place, &origin, &fault, clock).await;
            visit.push(Step { hints: [looked, step.hints].concat(), ..step });
            visit.skip(&[Name::Options], "not connected");
            return visit;
        }
        // TLS has told already.
        Err(None) => {
            visit.skip(&[Name::Options], "not connected");
            return visit;
        }
    };
    visit.report.from = Some(wire.local);
    options(&subject, &place, &origin, &mut wire, clock, &mut visit).await;
    visit.wire = Some(wire);
    visit
}

/// Asks whether it is there.
async fn options(
    subject: &Subject,
    place: &Place,
    origin: &Origin,
    wire: &mut Wire,
    clock: Clock,
    visit: &mut Visit,
) {
    let scene = Scene { subject, place, origin, local: wire.local };
    let began = clock.now();
    let asked = ask(subject, place, origin, wire, (PRESENCE, None), clock, subject.patience).await;
    let took = clock.now().since(began);
    match asked {
        Ok(answered) => {
            visit.push(options::answered(&scene, &answered));
            visit.push(address::seen(&scene, &answered.finding.response));
            visit.answer = Some(answered);
        }
        // ICMP says what a connection would have said.
        Err(fault @ (Fault::Refused | Fault::Unreachable(_))) => {
            visit.report.steps.retain(|step| step.name != Name::Connect);
            let step = connect::failed(subject, place, origin, &fault, took);
            let looked = look_elsewhere(subject, place, origin, &fault, clock).await;
            visit.push(Step { hints: [looked, step.hints].concat(), ..step });
            visit.skip(&[Name::Options], "not reached");
        }
        Err(fault) => {
            if !closed_for_our_certificate(subject, &fault, visit) {
                let step = options::failed(&scene, &fault, took);
                let looked = look_elsewhere(subject, place, origin, &fault, clock).await;
                visit.push(Step { hints: [looked, step.hints].concat(), ..step });
            }
        }
    }
}

/// TLS 1.3 lets a client finish before it hears that its certificate is missed.
fn closed_for_our_certificate(subject: &Subject, fault: &Fault, visit: &mut Visit) -> bool {
    let Fault::Closed(reason) = fault else { return false };
    let Some(at) = visit.report.steps.iter().position(|step| {
        step.name == Name::Tls && step.mark != Mark::Failed && step.detail["asked_for_ours"] == true
    }) else {
        return false;
    };
    let step = visit.report.steps.remove(at);
    let step = tls::closed_after(step, subject, reason.as_ref());
    visit.push(step);
    visit.skip(&[Name::Options], "not connected");
    true
}

/// Where nobody answers, somebody may by another way.
async fn look_elsewhere(
    subject: &Subject,
    place: &Place,
    origin: &Origin,
    fault: &Fault,
    clock: Clock,
) -> Vec<String> {
    match fault {
        Fault::Refused | Fault::Silence { is_working: false, .. } | Fault::NotSip(_) => {
            elsewhere::look(subject, place, origin, clock).await
        }
        Fault::Silence { .. } | Fault::Unreachable(_) | Fault::Closed(_) | Fault::Endless => Vec::new(),
    }
}

/// A socket that questions can go out of. `Err(None)`: the failure has been told.
async fn open(
    subject: &Subject,
    place: &Place,
    origin: &Origin,
    clock: Clock,
    visit: &mut Visit,
) -> Result<Wire, Option<Fault>> {
    let began = clock.now();
    if place.transport == Transport::Udp {
        let wire = Wire::datagrams(place, origin).map_err(Some)?;
        visit.push(connect::connected(subject, origin, wire.local, clock.now().since(began)));
        return Ok(wire);
    }
    let stream = Wire::connect(place, origin, subject.patience).await.map_err(Some)?;
    let local = stream.local_addr().map_err(|error| Some(Fault::Unreachable(error)))?;
    visit.push(connect::connected(subject, origin, local, clock.now().since(began)));
    match place.transport {
        Transport::Tls => shake_hands(subject, place, stream, clock, visit).await.ok_or(None),
        Transport::Udp | Transport::Tcp => Ok(Wire::stream(local, place.address, stream)),
    }
}

async fn shake_hands(
    subject: &Subject,
    place: &Place,
    stream: tokio::net::TcpStream,
    clock: Clock,
    visit: &mut Visit,
) -> Option<Wire> {
    let local = stream.local_addr().ok()?;
    let Some((client, name)) = subject.config.clients.get(&subject.trunk.identity(&place.host)) else {
        visit.push(tls::no_material(subject));
        return None;
    };
    let watched = client.watched();
    let began = clock.now();
    let connected = tokio::time::timeout(subject.patience, watched.connect(name, stream)).await;
    let seen: Seen = watched.seen();
    let took = clock.now().since(began);
    let now = clock.time_of_day(clock.now());
    let handshake = tls::Handshake { subject, place, name, seen: &seen, took, now };
    match connected {
        Ok(Ok(stream)) => {
            let (version, cipher) = {
                let (_, connection) = stream.get_ref();
                (
                    tls::version_text(connection.protocol_version()),
                    tls::cipher_text(connection.negotiated_cipher_suite()),
                )
            };
            visit.push(tls::done(&handshake, &version, &cipher));
            Some(Wire::stream(local, place.address, stream))
        }
        Ok(Err(error)) => {
            visit.push(tls::failed(&handshake, &error));
            None
        }
        Err(_elapsed) => {
            visit.push(tls::silent(&handshake));
            None
        }
    }
}

/// Tries the credentials: at the first place that answers, then, if they are not refused, at the others.
async fn authenticate(subject: &Subject, visits: &mut Vec<Visit>, clock: Clock) {
    if subject.trunk.credentials.is_none() && !subject.registers() {
        return;
    }
    let mut is_refused = false;
    let mut is_first = true;
    let mut later = Vec::new();
    for (at, visit) in visits.iter_mut().enumerate() {
        if visit.answer.is_none() || visit.wire.is_none() {
            let why = if visit.report.from.is_some() { "no answer" } else { "not connected" };
            visit.push(authentication::skipped(why));
        } else if !visit.report.answers() {
            visit.push(authentication::skipped("it does not want to hear from us"));
        } else if is_first {
            is_first = false;
            let step = identify(subject, visit, clock).await;
            is_refused = matches!(step.detail["digest"].as_str(), Some("refused" | "forbidden"));
            visit.push(step);
        } else if is_refused {
            visit
                .push(authentication::skipped("refused already; not tried again, so that nothing is locked"));
        } else {
            later.push(at);
        }
    }
    identify_the_rest(subject, visits, &later, clock).await;
}

async fn identify_the_rest(subject: &Subject, visits: &mut Vec<Visit>, later: &[usize], clock: Clock) {
    let mut waiting = Vec::new();
    let mut kept: Vec<Option<Visit>> = std::mem::take(visits).into_iter().map(Some).collect();
    for at in later {
        let Some(mut visit) = kept.get_mut(*at).and_then(Option::take) else { continue };
        let subject = subject.clone();
        waiting.push(async move {
            let step = identify(&subject, &mut visit, clock).await;
            visit.push(step);
            visit
        });
    }
    let mut done = at_once(waiting).await.into_iter();
    visits.extend(kept.into_iter().filter_map(|visit| visit.or_else(|| done.next())));
}

/// Whether it takes our credentials: by OPTIONS, if that was challenged, else by a REGISTER that binds
/// nothing.
async fn identify(subject: &Subject, visit: &mut Visit, clock: Clock) -> Step {
    let (Some(origin), Some(wire)) = (visit.origin.clone(), visit.wire.as_mut()) else {
        return authentication::skipped("not connected");
    };
    let place = &visit.report.place;
    let scene = Scene { subject, place, origin: &origin, local: wire.local };
    let question = match &visit.answer {
        Some(answered) if answered.finding.was_asked() && !subject.registers() => PRESENCE,
        _ => inquiry::Subject::Bindings,
    };
    let credentials = subject.trunk.credentials.clone();
    let began = clock.now();
    match ask(subject, place, &origin, wire, (question, credentials), clock, subject.patience).await {
        Ok(answered) => authentication::judge(&scene, question, &answered),
        Err(fault) => authentication::failed(&scene, &fault, clock.now().since(began)),
    }
}

/// One question, with all that follows from it.
pub(super) async fn ask(
    subject: &Subject,
    place: &Place,
    origin: &Origin,
    wire: &mut Wire,
    (question, credentials): (inquiry::Subject, Option<Credentials>),
    clock: Clock,
    patience: Duration,
) -> Result<Answered, Fault> {
    let trunk = &subject.trunk;
    let target = trunk.uri_host(&place.host, place.address, place.transport);
    let party = Party {
        trunk: trunk.name.clone(),
        peer: place.address,
        transport: place.transport,
        sent_by: origin.sent_by(wire.local),
        here: origin.here(wire.local),
        registrar: subject.registrar().unwrap_or_else(|| target.clone()),
        target,
        user: subject.user(),
        domain: trunk.uri_domain(),
        credentials,
        authentication: trunk.authentication.clone(),
    };
    let random = seed::random().map_err(Fault::Unreachable)?;
    let inquiry = Inquiry::new(party, question, clock.now(), random);
    let mut inquiry = inquiry.ok_or_else(|| Fault::Unreachable(std::io::ErrorKind::InvalidInput.into()))?;
    wire.ask(&clock, &mut inquiry, patience).await
}

/// What is tested, shared by every place.
pub(super) fn subject(
    config: crate::config::Config,
    name: &str,
    patience: Duration,
) -> Result<Subject, Vec<String>> {
    match config.routing.trunk(&name.into()).cloned() {
        Some(trunk) => Ok(Subject { config: Arc::new(config), trunk: Arc::new(trunk), patience }),
        None => Err(config.routing.trunks.iter().map(|trunk| trunk.name.to_string()).collect()),
    }
}
