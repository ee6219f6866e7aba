//! What the answer to OPTIONS means: whether the peer is alive, and whether it wants us.

use serde_json::json;

use super::super::place::{Origin, Place, Subject};
use super::super::step::{Mark, Name, Step};
use super::super::wire::{Answered, Fault};
use super::{clean, connect, header_text, our_address, status_text};
use crate::base::Transport;
use crate::sip::{Header, Message, Status};

/// Where a test ran: what hints are made of.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Scene<'a> {
    pub(in super::super) subject: &'a Subject,
    pub(in super::super) place: &'a Place,
    pub(in super::super) origin: &'a Origin,
    pub(in super::super) local: std::net::SocketAddr,
}

impl Scene<'_> {
    /// `add 203.0.113.5 …`: the words that an operator types at the provider's side.
    pub(super) fn allow_us(&self, response: Option<&Message>) -> String {
        let ours = our_address(response, self.origin, self.local);
        let suffix = if ours.contains(':') { 128 } else { 32 };
        format!("at the provider, add {ours} ({ours}/{suffix}) to the addresses that may call")
    }
}

/// An answer came.
pub(in super::super) fn answered(scene: &Scene<'_>, answered: &Answered) -> Step {
    let response = &answered.finding.response;
    let code = response.status().map_or(0, Status::code);
    let (mark, meaning) = meaning(code);
    let is_down = !scene.subject.trunk.health.means_alive(code);
    let mark = if is_down { Mark::Failed } else { mark };
    let agent = header_text(response, Header::Server).or_else(|| header_text(response, Header::UserAgent));
    let shown_agent = agent.as_ref().map(|agent| format!("; it is {agent}")).unwrap_or_default();
    let meaning = if meaning.is_empty() { String::new() } else { format!(": {meaning}") };
    let what = format!("{}{meaning}{shown_agent}", status_text(response));
    let methods: Vec<String> =
        response.list(Header::Allow).take(32).map(|method| clean(&String::from_utf8_lossy(method))).collect();
    let detail = json!({
        "status": code,
        "phrase": clean(&String::from_utf8_lossy(response.reason())),
        "agent": agent,
        "allow": methods,
        "answered_by": answered.from.to_string(),
    });
    let mut step = Step::new(Name::Options, mark, what).in_time(answered.took).with(detail);
    step.hints.extend(hints(scene, response, code));
    if is_down && !matches!(code, 408 | 503) {
        let trunk = &scene.subject.trunk.name;
        step = step.hint(format!(
            "health of [trunk.{trunk}] takes {code} for down: add \"{code}\" to its alive, if calls work"
        ));
    }
    let takes_calls = methods.iter().any(|method| method.eq_ignore_ascii_case("INVITE"));
    if code == 200 && !methods.is_empty() && !takes_calls {
        let what =
            "its Allow does not name INVITE: it may be no place for calls; ask the provider for the host";
        step = step.warn(what);
    }
    heard_from(scene, answered, step)
}

/// An answer from another place than the one that was asked.
fn heard_from(scene: &Scene<'_>, answered: &Answered, step: Step) -> Step {
    let (from, peer) = (answered.from, scene.place.address);
    if from.ip() != peer.ip() {
        let (trunk, other, asked) = (&scene.subject.trunk.name, from.ip(), peer.ip());
        step.warn(format!(
            "the answer came from {other}, not from {asked}: the daemon hears it only with allow = [\"{other}\"] in \
             [trunk.{trunk}]"
        ))
    } else if from.port() != peer.port() {
        step.warn(format!(
            "the answer came from port {}: a NAT or a load balancer on their side",
            from.port()
        ))
    } else {
        step
    }
}

/// Whether a code means that calls can go there, and what it says.
fn meaning(code: u16) -> (Mark, &'static str) {
    match code {
        200..=299 => (Mark::Passed, ""),
        401 | 407 => (Mark::Passed, "alive, and asks who we are"),
        403 | 603 => (Mark::Failed, "it does not want to hear from us"),
        404 | 405 | 501 | 480 | 484 | 406 | 415 | 416 | 420 | 488 => {
            (Mark::Passed, "alive; it does not do OPTIONS for this address")
        }
        408 => (Mark::Failed, "what is behind it does not answer"),
        482 | 483 => (Mark::Failed, "the request goes in a circle"),
        300..=399 => (Mark::Warned, "it is somewhere else"),
        400..=499 => (Mark::Warned, "alive, but it does not like the request"),
        503 => (Mark::Failed, "it takes no calls now"),
        500..=599 => (Mark::Warned, "alive, but something is broken on their side"),
        _ => (Mark::Failed, "it refuses"),
    }
}

fn hints(scene: &Scene<'_>, response: &Message, code: u16) -> Vec<String> {
    let (trunk, domain) = (&scene.subject.trunk.name, &scene.subject.trunk.domain);
    match code {
        401 | 407 if scene.subject.trunk.credentials.is_none() => vec![format!(
            "calls will be asked, too: write username and password in [trunk.{trunk}]; or, if you are known there \
             by address, {}",
            scene.allow_us(Some(response)).trim_start_matches("at the provider, ")
        )],
        403 | 603 => vec![
            scene.allow_us(Some(response)),
            format!(
                "or it does not serve sip:{domain}: is domain in [trunk.{trunk}] what the provider wrote?"
            ),
        ],
        408 | 500 | 502 | 504..=599 => vec![
            "nothing to change here: the provider's support wants this line, the time and the address"
                .to_owned(),
        ],
        503 => {
            let pause = response.number(Header::RetryAfter);
            let pause =
                pause.map(|seconds| format!(" It asks for {seconds} s (Retry-After).")).unwrap_or_default();
            vec![format!(
                "overload or maintenance there, or an account that may not call: see the provider's status page.{pause}"
            )]
        }
        482 | 483 => {
            vec![format!("does host of [trunk.{trunk}] lead back to this SBC? {}", scene.place.address)]
        }
        300..=399 => {
            let contact =
                header_text(response, Header::Contact).unwrap_or_else(|| "nowhere in particular".to_owned());
            vec![format!(
                "it points to {contact}: if the provider says so, too, write that as host in [trunk.{trunk}]"
            )]
        }
        416 | 484 | 400 => vec![format!("it may want another domain in [trunk.{trunk}] than \"{domain}\"")],
        _ => Vec::new(),
    }
}

/// `1 request`, `2 requests`.
fn requests(times: u32) -> String {
    format!("{times} request{}", if times == 1 { "" } else { "s" })
}

/// None came.
pub(in super::super) fn failed(scene: &Scene<'_>, fault: &Fault, patience: std::time::Duration) -> Step {
    let Place { address, transport, .. } = scene.place;
    let (port, trunk) = (address.port(), &scene.subject.trunk.name);
    let step = |what: String| {
        Step::failed(Name::Options, what).in_time(patience).with(json!({ "fault": connect::kind(fault) }))
    };
    match fault {
        Fault::Silence { is_working: true, .. } => step("100 Trying, and then no answer".to_owned())
            .hint("what is behind it does not answer: the provider's support wants to know"),
        Fault::Silence { times, .. } if *transport == Transport::Udp => step(format!(
            "no answer to {}",
            requests(*times)
        ))
        .hint(format!("{}: many are silent to strangers", scene.allow_us(None)))
        .hint(format!(
            "a firewall here or on the way: UDP from {} to {address} must pass, and the answers to it",
            scene.local.ip()
        ))
        .hint(format!(
            "the wrong place: compare host and port (here {port}) with the provider's, and try \
                     transport = \"tcp\" or \"tls\" in [trunk.{trunk}]"
        )),
        Fault::Silence { .. } => step("connected, but no answer".to_owned())
            .hint(format!("{}: some take the connection and say nothing", scene.allow_us(None)))
            .hint(format!(
                "or no SIP is spoken on port {port}: ask the provider for the port of {transport}"
            )),
        Fault::NotSip(begin) if begin.is_empty() => step("what answers speaks no SIP".to_owned())
            .hint(format!("port {port} is another service's: write port = … in [trunk.{trunk}]")),
        Fault::NotSip(begin) => step(format!("what answers speaks no SIP: \"{begin}\""))
            .hint(format!("port {port} is another service's: write port = … in [trunk.{trunk}]")),
        Fault::Endless => step("its answer has no Content-Length that says where it ends".to_owned())
            .hint(format!(
                "over {transport} nobody can read on after it (RFC 3261 §18.3), so calls would fail: tell the \
                 provider, or try transport = \"udp\" in [trunk.{trunk}]"
            )),
        Fault::Closed(reason) => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let step = step(format!("the connection was closed instead of an answer{reason}"));
            let step = step.hint(format!("{}: connections of strangers are closed", scene.allow_us(None)));
            if *transport == Transport::Tcp {
                step.hint(format!(
                    "perhaps TLS is spoken on port {port}: try transport = \"tls\" in [trunk.{trunk}]"
                ))
            } else {
                step
            }
        }
        Fault::Refused | Fault::Unreachable(_) => step("it cannot be sent".to_owned()),
    }
}
