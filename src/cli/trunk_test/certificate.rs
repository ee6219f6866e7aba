//! What a certificate says of itself (RFC 5280), for people.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use crate::cli::style::is_obeyed;

/// No more names of one certificate are kept.
const MAX_NAMES: usize = 100;

/// A certificate's own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Certificate {
    /// Common name, or the whole subject; may be empty.
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) is_self_signed: bool,
    /// Domain names and addresses that it is for.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Certificate {
    /// Reads DER; `None`: it is no certificate.
    pub(super) fn read(der: &[u8]) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        Some(Certificate {
            subject: shown(certificate.subject()),
            issuer: shown(certificate.issuer()),
            is_self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            names: names.filter_map(name).take(MAX_NAMES).collect(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// Whole days until it ends; negative if it has.
    pub(super) fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(86_400)
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(clean(name)),
        GeneralName::URI(uri) => Some(clean(uri)),
        GeneralName::IPAddress(bytes) => {
            let ipv4 = <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
            let address = ipv4.or_else(|| <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from));
            address.map(|address| address.to_string())
        }
        _ => None,
    }
}

fn shown(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|common| common.as_str().ok());
    clean(&common.map_or_else(|| name.to_string(), str::to_owned))
}

/// What a stranger wrote, without what moves a terminal's cursor.
fn clean(text: &str) -> String {
    text.chars().filter(|letter| !is_obeyed(*letter)).collect()
}
