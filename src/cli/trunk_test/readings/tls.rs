//! What a TLS handshake showed, and why it failed.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::{AlertDescription, CertificateError, Error, ProtocolVersion, SupportedCipherSuite};
use serde_json::{Value, json};

use super::super::certificate::Certificate;
use super::super::place::{Place, Subject};
use super::super::step::{Mark, Name, Step};
use super::super::wire::tls_error;
use super::clean;
use crate::telemetry::rfc3339::utc_millis;
use crate::transport::Seen;

/// A certificate that ends sooner is worth a word.
const SOON_DAYS: i64 = 21;
/// No more names of a certificate are shown.
const NAMES_SHOWN: usize = 6;
/// Where our own files are, in what is to be typed.
const PATH: &str = "/etc/drawbridge/tls";

/// A handshake, whatever became of it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Handshake<'a> {
    pub(in super::super) subject: &'a Subject,
    pub(in super::super) place: &'a Place,
    /// The name that the certificate must have.
    pub(in super::super) name: &'a str,
    pub(in super::super) seen: &'a Seen,
    pub(in super::super) took: Duration,
    /// The time of day.
    pub(in super::super) now: SystemTime,
}

/// It is done: version and cipher.
pub(in super::super) fn done(handshake: &Handshake<'_>, version: &str, cipher: &str) -> Step {
    let certificate = handshake.certificate();
    let verifies = handshake.subject.trunk.tls.verify;
    let against = match (&handshake.subject.trunk.tls.ca, verifies) {
        (_, false) => "not verified".to_owned(),
        (Some(ca), true) => format!("verified by {}", ca.display()),
        (None, true) => "verified by the system's authorities".to_owned(),
    };
    let shown = certificate.as_ref().map_or_else(String::new, |certificate| {
        let days = certificate.days_left(handshake.seconds());
        format!("; {} by {}, {days} days left", names_of(certificate), certificate.issuer)
    });
    let what = format!("{version}, {cipher}{shown}; {against}");
    let mut step =
        Step::passed(Name::Tls, what).in_time(handshake.took).with(handshake.detail(version, cipher));
    if !verifies {
        step = step.warn(format!(
            "verify = false in [trunk.{}]: whoever answers is believed. Write ca = \"{PATH}/ca.pem\" with the \
             authority's certificate instead",
            handshake.subject.trunk.name
        ));
    }
    if let Some(certificate) = certificate.filter(|found| found.days_left(handshake.seconds()) < SOON_DAYS) {
        let end = date(certificate.not_after);
        step =
            step.warn(format!("their certificate ends on {end}: ask the provider when the next one comes"));
    }
    let has_own = handshake.subject.trunk.tls.certificate.is_some();
    match (handshake.seen.asked_for_ours, has_own) {
        (true, false) => step.warn(format!(
            "they asked for a certificate of ours, and there is none: write certificate = \"…\" and key = \"…\" in \
             tls of [trunk.{}] if they want one",
            handshake.subject.trunk.name
        )),
        (false, true) => step.hint("our own certificate was not asked for"),
        _ => step,
    }
}

/// It failed.
pub(in super::super) fn failed(handshake: &Handshake<'_>, error: &io::Error) -> Step {
    let reason = tls_error(error);
    let (what, hints) = match (&handshake.seen.refused, &reason) {
        (Some(refused), _) => handshake.refused(refused),
        (None, Some(reason)) => handshake.broken(reason),
        (None, None) => handshake.closed(error),
    };
    let step = Step::failed(Name::Tls, what).in_time(handshake.took).hints(hints);
    step.with(handshake.detail("", ""))
}

/// Nothing came in time.
pub(in super::super) fn silent(handshake: &Handshake<'_>) -> Step {
    let port = handshake.place.address.port();
    Step::failed(Name::Tls, "connected, but no handshake").in_time(handshake.took).hint(format!(
        "something takes connections on port {port} and speaks no TLS: ask the provider for its TLS port \
         (5061 mostly), or write transport = \"tcp\" in [trunk.{}]",
        handshake.subject.trunk.name
    ))
}

/// The peer closed after the handshake, as TLS 1.3 does it to clients without a certificate.
pub(in super::super) fn closed_after(step: Step, subject: &Subject, reason: Option<&Error>) -> Step {
    let why = reason.map(|reason| format!(": {}", error_text(reason))).unwrap_or_default();
    let trunk = &subject.trunk;
    let (what, hint) = match &trunk.tls.certificate {
        None => {
            (format!("they want a certificate of ours, and there is none{why}"), own_certificate(subject))
        }
        Some(own) => (
            format!("they do not take our certificate{why}"),
            format!(
                "give the provider {} (or the authority that signed it), and the name in it: see openssl x509 -in {} \
                 -noout -subject -issuer -dates",
                own.display(),
                own.display()
            ),
        ),
    };
    Step {
        name: Name::Tls,
        mark: Mark::Failed,
        what,
        took: step.took,
        hints: vec![hint],
        detail: step.detail,
    }
}

impl Handshake<'_> {
    fn certificate(&self) -> Option<Certificate> {
        self.seen.chain.first().and_then(|der| Certificate::read(der))
    }

    fn seconds(&self) -> i64 {
        let since = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn detail(&self, version: &str, cipher: &str) -> Value {
        let certificate = self.certificate().map(|certificate| {
            json!({
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "names": certificate.names,
                "not_before": date(certificate.not_before),
                "not_after": date(certificate.not_after),
                "days_left": certificate.days_left(self.seconds()),
            })
        });
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({
            "version": text(version),
            "cipher": text(cipher),
            "expected_name": self.name,
            "verified": self.subject.trunk.tls.verify && self.seen.refused.is_none() && !version.is_empty(),
            "asked_for_ours": self.seen.asked_for_ours,
            "certificate": certificate,
        })
    }

    /// We do not take their certificate.
    fn refused(&self, error: &Error) -> (String, Vec<String>) {
        let certificate = self.certificate();
        let Error::InvalidCertificate(reason) = error else { return self.broken(error) };
        match (reason, &certificate) {
            (CertificateError::UnknownIssuer, Some(certificate)) => self.unknown_issuer(certificate),
            (CertificateError::Expired | CertificateError::ExpiredContext { .. }, Some(certificate)) => {
                let days = (self.seconds() - certificate.not_after).max(0) / 86_400;
                let what =
                    format!("their certificate ended on {}, {days} days ago", date(certificate.not_after));
                (
                    what,
                    vec![
                        "theirs to renew: tell the provider; calls by TLS fail until then".to_owned(),
                        self.our_clock(),
                    ],
                )
            }
            (
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
                Some(certificate),
            ) => (
                format!("their certificate begins on {} only", date(certificate.not_before)),
                vec![self.our_clock()],
            ),
            (
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                Some(certificate),
            ) => self.wrong_name(certificate),
            (CertificateError::Other(_), Some(certificate)) if certificate.is_self_signed => {
                self.unknown_issuer(certificate)
            }
            (reason, _) => (
                format!("their certificate is refused: {}", clean(&reason.to_string())),
                vec![format!(
                    "look at it: openssl s_client -connect {} -showcerts; then tell the provider",
                    self.place.address
                )],
            ),
        }
    }

    fn unknown_issuer(&self, certificate: &Certificate) -> (String, Vec<String>) {
        let trunk = &self.subject.trunk.name;
        let name = names_of(certificate);
        let what = match (certificate.is_self_signed, &self.subject.trunk.tls.ca) {
            (true, _) => {
                format!("their certificate ({name}) is signed by itself, and nobody that we trust knows it")
            }
            (false, Some(ca)) => {
                format!(
                    "{} does not have who signed their certificate ({name}): {}",
                    ca.display(),
                    certificate.issuer
                )
            }
            (false, None) => format!(
                "the system's authorities do not have who signed their certificate ({name}): {}",
                certificate.issuer
            ),
        };
        let mut hints = vec![format!(
            "get the authority's certificate (\"{}\") from the provider, and write tls = {{ ca = \
             \"{PATH}/{trunk}-ca.pem\" }} in [trunk.{trunk}]",
            certificate.issuer
        )];
        if !certificate.is_self_signed && self.seen.chain.len() == 1 {
            hints.push(
                "they sent one certificate alone: perhaps the one between is missing, which is theirs to send"
                    .to_owned(),
            );
        }
        match &self.subject.trunk.tls.ca {
            Some(ca) => hints.push(format!(
                "or leave ca out, if a public authority signs for them now ({} is all that counts while it is there)",
                ca.display()
            )),
            None => hints.push("is the package ca-certificates up to date? sudo apt install ca-certificates".to_owned()),
        }
        (what, hints)
    }

    fn wrong_name(&self, certificate: &Certificate) -> (String, Vec<String>) {
        let (trunk, name) = (&self.subject.trunk.name, self.name);
        let names = names_of(certificate);
        let what = format!("their certificate is for {names}, not for {name}");
        let exact = certificate.names.iter().find(|name| !name.contains('*'));
        let hint = match exact {
            Some(other) => format!(
                "if {other} is whom you mean: write host = \"{other}\" in [trunk.{trunk}], or, where the host must \
                 stay, tls = {{ server_name = \"{other}\" }}"
            ),
            None => format!(
                "write a name that {names} covers as host of [trunk.{trunk}], or as server_name in its tls"
            ),
        };
        let stranger =
            "if not, somebody else is at that address: check host, and DNS, with the provider".to_owned();
        (what, vec![hint, stranger])
    }

    /// The two do not understand each other, or they closed with a reason.
    fn broken(&self, error: &Error) -> (String, Vec<String>) {
        let (trunk, port) = (&self.subject.trunk.name, self.place.address.port());
        match error {
            Error::InvalidMessage(_) => (
                format!("what answers on port {port} is no TLS"),
                vec![format!(
                    "ask the provider for its TLS port (5061 mostly) and write port = … in [trunk.{trunk}]; or is it \
                     transport = \"tcp\"?"
                )],
            ),
            Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => (
                format!("no common version or cipher: {}", error_text(error)),
                vec!["we speak TLS 1.3, and 1.2 with ECDHE and AES-GCM or ChaCha20: they must take one of these".to_owned()],
            ),
            Error::AlertReceived(AlertDescription::UnrecognisedName) => (
                format!("they know no \"{}\"", self.name),
                vec![format!(
                    "we ask for the name of host: write host, or tls = {{ server_name = \"…\" }}, as the provider \
                     names it in [trunk.{trunk}]"
                )],
            ),
            Error::AlertReceived(alert) if is_about_ours(*alert) || self.seen.asked_for_ours => {
                let what = format!("they refuse our certificate, or that there is none: {}", error_text(error));
                (what, vec![own_certificate(self.subject)])
            }
            Error::AlertReceived(AlertDescription::HandshakeFailure) => (
                "they refuse the handshake".to_owned(),
                vec![
                    "mostly no common cipher: we speak TLS 1.3, and 1.2 with ECDHE and AES-GCM or ChaCha20".to_owned(),
                    own_certificate(self.subject),
                ],
            ),
            other => (
                format!("the handshake failed: {}", clean(&other.to_string())),
                vec![format!("see it step by step: openssl s_client -connect {} -servername {}", self.place.address, self.name)],
            ),
        }
    }

    fn closed(&self, error: &io::Error) -> (String, Vec<String>) {
        let (trunk, port) = (&self.subject.trunk.name, self.place.address.port());
        let mut hints = vec![
            "providers close connections of strangers so: add our address to the allowlist there".to_owned(),
            format!(
                "or no TLS is spoken on port {port}: 5061 is usual; or write transport = \"tcp\" in [trunk.{trunk}]"
            ),
        ];
        if self.seen.asked_for_ours {
            hints.insert(0, own_certificate(self.subject));
        }
        (format!("the connection was closed during the handshake: {error}"), hints)
    }

    fn our_clock(&self) -> String {
        format!("or is the clock here wrong? It says {}: timedatectl", date(self.seconds()))
    }
}

/// The name that a certificate is asked for by, where the configuration knows none: a place that only DNS says is TLS.
pub(in super::super) fn no_material(subject: &Subject) -> Step {
    let trunk = &subject.trunk.name;
    Step::failed(Name::Tls, "the trunk has nothing to open TLS with")
        .hint(format!("write transport = \"tls\" in [trunk.{trunk}]"))
}

/// `TLS 1.3`.
pub(in super::super) fn version_text(version: Option<ProtocolVersion>) -> String {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        Some(other) => format!("{other:?}"),
        None => "TLS".to_owned(),
    }
}

/// `AES_256_GCM_SHA384`, without the TLS before it.
pub(in super::super) fn cipher_text(suite: Option<SupportedCipherSuite>) -> String {
    let name = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown cipher");
    name.trim_start_matches("TLS13_").trim_start_matches("TLS_").to_owned()
}

fn own_certificate(subject: &Subject) -> String {
    format!(
        "if they ask for one: tls = {{ certificate = \"{PATH}/sbc.pem\", key = \"{PATH}/sbc.key\" }} in \
         [trunk.{}], and give the provider sbc.pem",
        subject.trunk.name
    )
}

/// Alerts that speak of the client's certificate.
fn is_about_ours(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::AccessDenied
    )
}

fn error_text(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("alert {alert:?}"),
        other => clean(&other.to_string()),
    }
}

fn names_of(certificate: &Certificate) -> String {
    match certificate.names.as_slice() {
        [] if certificate.subject.is_empty() => "nobody in particular".to_owned(),
        [] => certificate.subject.clone(),
        names => {
            let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
    }
}

/// `2026-11-21`.
fn date(seconds: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    utc_millis(at).chars().take_while(|letter| *letter != 'T').collect()
}
