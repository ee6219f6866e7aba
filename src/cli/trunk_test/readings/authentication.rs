//! What became of our credentials.

use serde_json::{Value, json};

use super::super::step::{Mark, Name, Step};
use super::super::wire::{Answered, Fault};
use super::options::Scene;
use super::{clean, header_text, status_text};
use crate::b2bua::AuthenticationFault;
use crate::b2bua::inquiry::{Finding, Subject};
use crate::sip::digest::{Algorithm, Challenge, ChallengeFault};
use crate::sip::{Header, Message, Status};

/// What an answer says of them; `asked` is what was asked.
pub(in super::super) fn judge(scene: &Scene<'_>, asked: Subject, answered: &Answered) -> Step {
    let Finding { response, answered: challenges, fault } = &answered.finding;
    let of_realm = |realm: &str| challenges.iter().find(|challenge| challenge.realm == realm);
    let step = match (fault, challenges.last()) {
        (None, Some(challenge)) => sent(scene, asked, challenge, response),
        (Some(AuthenticationFault::Refused { realm }), _) => refused(scene, realm, of_realm(realm), response),
        (Some(AuthenticationFault::Endless { realm }), _) => endless(of_realm(realm), response),
        (Some(AuthenticationFault::Realm { realm, expected }), _) => {
            other_realm(scene, response, realm, expected)
        }
        (Some(AuthenticationFault::Algorithm { realm, algorithm }), _) => {
            other_algorithm(scene, response, realm, algorithm)
        }
        (Some(AuthenticationFault::Unusable(fault)), _) => unanswerable(response, Some(*fault)),
        (Some(AuthenticationFault::NoChallenge), _) => unanswerable(response, None),
        // Nobody asked, or nobody was to be answered: the first question goes out without credentials.
        (None, None)
        | (Some(AuthenticationFault::NoCredentials { .. } | AuthenticationFault::Elsewhere { .. }), _) => {
            not_asked(scene, asked, response)
        }
    };
    let mut step = step.in_time(answered.took);
    if let Value::Object(detail) = &mut step.detail {
        detail.insert("method".to_owned(), json!(asked.method().label()));
        detail.insert("status".to_owned(), json!(response.status().map(Status::code)));
    }
    step
}

fn step(mark: Mark, digest: &str, what: String) -> Step {
    Step::new(Name::Authentication, mark, what).with(json!({ "digest": digest }))
}

/// Our digest was answered by something else than a challenge.
fn sent(scene: &Scene<'_>, asked: Subject, challenge: &Challenge, response: &Message) -> Step {
    let (trunk, username) = (&scene.subject.trunk.name, username(scene));
    let realm = clean(&challenge.realm);
    let how = challenge.algorithm.as_str();
    let code = response.status().map_or(0, Status::code);
    let method = asked.method().label();
    let told = format!("{} to {method} as \"{username}\", realm \"{realm}\", {how}", status_text(response));
    let with_realm = |step: Step| {
        let mut step = step;
        step.detail["realm"] = json!(challenge.realm);
        step.detail["algorithm"] = json!(how);
        step
    };
    let is_bindings = asked == Subject::Bindings;
    with_realm(match code {
        200..=299 => step(Mark::Passed, "accepted", told),
        403 | 603 => step(Mark::Failed, "forbidden", told)
            .hint(format!("the provider knows \"{username}\" and refuses it: a wrong password, a locked or unpaid account"))
            .hint(scene.allow_us(Some(response)))
            .hint("not tried again at the other targets, so that nothing is locked by this test"),
        404 | 480 if is_bindings && scene.subject.registers() => step(Mark::Failed, "unknown_user", told)
            .hint(format!("there is no user \"{username}\" at \"{}\": compare username and domain of [trunk.{trunk}]", scene.subject.trunk.domain)),
        500..=599 if code != 501 => step(Mark::Failed, "server_error", told)
            .hint("broken on their side: try again, then tell the provider's support"),
        // A registrar, or a proxy, that has no use for the request: it looked at the digest before.
        _ => step(Mark::Passed, "accepted", format!("{told}: the digest was taken, and then REGISTER refused"))
            .hints((scene.subject.registers() && is_bindings).then(|| format!("it takes no registration: write register = false in [trunk.{trunk}]"))),
    })
}

/// The challenge came again.
fn refused(scene: &Scene<'_>, realm: &str, challenge: Option<&Challenge>, response: &Message) -> Step {
    let (trunk, username, realm) = (&scene.subject.trunk.name, username(scene), clean(realm));
    let code = response.status().map_or(0, Status::code);
    let mut step = step(
        Mark::Failed,
        "refused",
        format!("{code} again with realm \"{realm}\": username or password is wrong"),
    )
    .with_realm(challenge)
    .hint(format!(
        "[trunk.{trunk}] has username = \"{username}\": the provider's name for it may be key, SIP user, or auth \
         user; the caller's number it is not"
    ));
    for oddity in oddities(scene) {
        step = step.hint(oddity);
    }
    step.hint("set the password anew at the provider, and in the place that password of the trunk points to")
        .hint("not tried again at the other targets, so that nothing is locked by this test")
}

/// The challenge came again and again, and not for the password.
fn endless(challenge: Option<&Challenge>, response: &Message) -> Step {
    let code = response.status().map_or(0, Status::code);
    let what = format!("{code} again and again, each time \"stale\" or of another realm");
    step(Mark::Failed, "stale", what)
        .hint("their servers do not know each other's nonces, or clocks there are wrong: tell the provider")
        .with_realm(challenge)
}

/// What is odd about the credentials themselves, without a word of the password.
fn oddities(scene: &Scene<'_>) -> Vec<String> {
    let Some(credentials) = &scene.subject.trunk.credentials else { return Vec::new() };
    let mut oddities = Vec::new();
    for (what, text) in [("password", &credentials.password), ("username", &credentials.username)] {
        if text.trim() != text {
            oddities.push(format!("the {what} begins or ends with a blank or a line break: is that meant?"));
        }
        if text.len() > 1 && text.starts_with(['"', '\'']) && text.ends_with(['"', '\'']) {
            oddities
                .push(format!("the {what} is in quotes twice: an environment file keeps them as they are"));
        }
    }
    oddities
}

/// Somebody else's realm.
fn other_realm(scene: &Scene<'_>, response: &Message, realm: &str, expected: &str) -> Step {
    let (trunk, code) = (&scene.subject.trunk.name, response.status().map_or(0, Status::code));
    let realm = clean(realm);
    let host = &scene.place.host;
    step(
        Mark::Failed,
        "other_realm",
        format!("{code} with realm \"{realm}\": the trunk expects realm {expected}, so nothing was answered"),
    )
    .hint(format!("is {host} the right host, and of the right region? Its realm should be {expected}"))
    .hint(format!(
        "if the provider says that \"{realm}\" is its realm: write auth_realm = \"{realm}\" in [trunk.{trunk}]"
    ))
}

/// A hash that the configuration does not let us compute.
fn other_algorithm(scene: &Scene<'_>, response: &Message, realm: &str, algorithm: &str) -> Step {
    let (trunk, code) = (&scene.subject.trunk.name, response.status().map_or(0, Status::code));
    let known = scene.subject.trunk.authentication.algorithms.join(", ");
    let realm = clean(realm);
    step(
        Mark::Failed,
        "other_algorithm",
        format!("{code} with realm \"{realm}\" wants {algorithm}, and auth_algorithms has {known} alone"),
    )
    .hint(format!(
        "ask the provider for {known}, or add \"{algorithm}\" to auth_algorithms of [trunk.{trunk}]"
    ))
}

/// A challenge that we do not know.
fn unanswerable(response: &Message, fault: Option<ChallengeFault>) -> Step {
    let code = response.status().map_or(0, Status::code);
    let Some(fault) = fault else {
        let name = if code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        return step(Mark::Failed, "unanswerable", format!("{code} without a challenge")).hint(format!(
            "tell the provider: a {code} has a {name} that can be read (RFC 3261 §22), and this one has none"
        ));
    };
    let asked = header_text(response, Header::WwwAuthenticate);
    let asked = asked.or_else(|| header_text(response, Header::ProxyAuthenticate)).unwrap_or_default();
    let what = match fault {
        ChallengeFault::NotDigest => "asks for another scheme than Digest",
        ChallengeFault::Unsupported => "asks for an algorithm or a qop that we do not know",
        ChallengeFault::Incomplete => "names no realm or no nonce",
        ChallengeFault::Malformed => "cannot be read",
    };
    let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(", ");
    step(Mark::Failed, "unanswerable", format!("{code}, and its challenge {what}: {asked}")).hint(format!(
        "ask the provider for Digest with one of {algorithms}, and qop \"auth\" or none (RFC 8760)",
    ))
}

/// Nobody wanted to know who we are.
fn not_asked(scene: &Scene<'_>, asked: Subject, response: &Message) -> Step {
    let trunk = &scene.subject.trunk.name;
    let code = response.status().map_or(0, Status::code);
    let (told, method) = (status_text(response), asked.method().label());
    let by_address = "username and password are kept for calls that ask for them";
    if scene.subject.registers() && !(200..=299).contains(&code) {
        let step = step(Mark::Failed, "not_asked", format!("{told} to {method}, and no challenge"));
        return match code {
            405 | 501 => {
                step.hint(format!("it takes no registration: write register = false in [trunk.{trunk}]"))
            }
            403 => step.hint(scene.allow_us(Some(response))),
            404 | 416 | 484 => step.hint(format!(
                "it is no registrar for \"{}\": compare domain of [trunk.{trunk}] with the provider's",
                scene.subject.trunk.domain
            )),
            _ => step.hint("registration will fail the same way: ask the provider for its registrar"),
        };
    }
    match code {
        200..=299 => step(
            Mark::Passed,
            "not_asked",
            format!("{told} to {method}, and nobody asked who we are: it knows us by address"),
        )
        .hint(by_address),
        _ => step(
            Mark::Passed,
            "not_testable",
            format!("{told} to {method}, and no challenge: it cannot be tested without a call"),
        )
        .hint(format!(
            "it takes no REGISTER, as many trunks: known by address, or asked with each call; {by_address}"
        )),
    }
}

/// No answer to REGISTER, at a place that answers OPTIONS.
pub(in super::super) fn failed(scene: &Scene<'_>, fault: &Fault, took: std::time::Duration) -> Step {
    let what = match fault {
        Fault::Closed(_) => "the connection was closed instead of an answer to REGISTER".to_owned(),
        Fault::Endless => "the answer to REGISTER does not say where it ends (Content-Length)".to_owned(),
        _ => "no answer to REGISTER".to_owned(),
    };
    let step = if scene.subject.registers() {
        step(Mark::Failed, "no_answer", what)
            .hint("OPTIONS is answered and REGISTER is not: ask the provider for its registrar")
            .hint(scene.allow_us(None))
    } else {
        step(Mark::Warned, "not_testable", format!("{what}: it cannot be tested without a call")).hint(
            "trunks that know no registration may be silent: place a call, and see its status in the record",
        )
    };
    step.in_time(took)
}

/// Not done, and why.
pub(in super::super) fn skipped(why: &str) -> Step {
    Step::skipped(Name::Authentication, why)
}

fn username<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.subject.trunk.credentials.as_ref().map_or("", |credentials| credentials.username.as_str())
}

impl Step {
    fn with_realm(mut self, challenge: Option<&Challenge>) -> Step {
        if let Some(challenge) = challenge {
            self.detail["realm"] = json!(challenge.realm);
            self.detail["algorithm"] = json!(challenge.algorithm.as_str());
        }
        self
    }
}
