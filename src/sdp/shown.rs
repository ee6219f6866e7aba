//! Whether a line shows an address or a host, in time that is linear in its length.
//!
//! Any address literal does, whoever's it is, and each host name that stands in o=, c= or a=rtcp
//! of the same description. Must not know: which lines are asked about.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Sdp;
use super::parse::split_attribute;

/// The longest text of an address: IPv6 with an IPv4 address in it.
const MAX_LITERAL_BYTES: usize = 45;

/// The longest host name (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// How many of a name's last labels are looked at for a host that it is within.
const MAX_LABELS: usize = 8;

/// Attributes whose values are numbers and keys that may look like an address and hold none: in
/// these only the description's own addresses count.
const NUMERIC: [&str; 3] = ["fmtp", "crypto", "fingerprint"];

/// What would betray the other side.
#[derive(Debug, Default)]
pub(super) struct Shown {
    addresses: BTreeSet<IpAddr>,
    /// Lower case.
    names: BTreeSet<Vec<u8>>,
}

impl Shown {
    /// What a description says of its own whereabouts.
    pub(super) fn of(sdp: &Sdp) -> Shown {
        let mut shown = Shown::default();
        for span in &sdp.addresses {
            let text = &sdp.bytes[span.clone()];
            match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
                Some(address) => {
                    shown.addresses.insert(address);
                }
                // Only what can be a host is looked for: "0" would be found in every line.
                None if text.iter().all(is_host_byte) && text.iter().any(u8::is_ascii_alphabetic) => {
                    shown.names.insert(text.to_ascii_lowercase());
                }
                None => {}
            }
        }
        shown
    }

    /// Whether an attribute shows an address or a host.
    pub(super) fn attribute(&self, value: &[u8]) -> bool {
        let name = split_attribute(value).0;
        let numeric = NUMERIC.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        self.is_in(value, |address| !numeric || self.addresses.contains(&address))
    }

    /// Whether any other line does.
    pub(super) fn line(&self, value: &[u8]) -> bool {
        self.is_in(value, |_| true)
    }

    fn is_in(&self, text: &[u8], counts: impl Fn(IpAddr) -> bool) -> bool {
        literals(text).any(|address| !address.is_unspecified() && counts(address)) || self.names_host(text)
    }

    /// Whether a word is one of the hosts, or a name below one.
    fn names_host(&self, text: &[u8]) -> bool {
        if self.names.is_empty() {
            return false;
        }
        text.to_ascii_lowercase().split(|byte| !is_host_byte(byte)).any(|word| {
            let word = word.trim_ascii_end().strip_suffix(b".").unwrap_or(word);
            let dots = memchr::memrchr_iter(b'.', word).take(MAX_LABELS).map(|dot| &word[dot + 1..]);
            let mut candidates = dots.chain([word]).filter(|name| name.len() <= MAX_NAME_BYTES);
            candidates.any(|name| self.names.contains(name))
        })
    }
}

const fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Every IPv4 and IPv6 address that stands in a text as a word of its own.
fn literals(text: &[u8]) -> impl Iterator<Item = IpAddr> + '_ {
    let four = text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'.'));
    let four = four.filter_map(|word| literal::<Ipv4Addr>(word).map(IpAddr::V4));
    // What stands behind the attribute's colon is a word, too.
    let (_, behind) = split_attribute(text);
    let is_six = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let six = [text, behind].into_iter().flat_map(move |text| text.split(move |byte| !is_six(byte)));
    let six = six.filter_map(|word| literal::<Ipv6Addr>(word).map(IpAddr::V6));
    four.chain(six)
}

fn literal<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    let word = match word {
        [rest @ .., b'.'] => rest,
        // "::" at the end is part of an address, one colon is not.
        [rest @ .., other, b':'] if *other != b':' => &word[..rest.len() + 1],
        _ => word,
    };
    if !(2..=MAX_LITERAL_BYTES).contains(&word.len()) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> Shown {
        Shown {
            addresses: BTreeSet::from(["10.0.0.9".parse().unwrap()]),
            names: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn any_literal_is_found_in_any_dress() {
        let shown = shown(&[]);
        for value in [
            "x-seen:198.51.100.7:26998",
            "X-NAT:198.51.100.7.",
            "x-a:2001:db8::7",
            "x-a:[2001:DB8::7]:5060",
            "x-a:host=fe80::1%eth0;x",
            "candidate:1 1 udp 2130706431 2001:db8::9 9 typ host",
            "x-a:::ffff:192.0.2.1",
            "x-a=2001:db8::7:",
            "x-a:fd00::",
            "fmtp:96 host=10.0.0.9",
        ] {
            assert!(shown.attribute(value.as_bytes()), "{value}");
        }
        for value in [
            "fmtp:18 annexb=no",
            "fmtp:96 v=1.2.3.4",
            "fmtp:97 mode=20",
            "ptime:20",
            "x-time:12:30:45",
            "x-mac:00:11:22:33:44:55",
            "fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB",
            "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:32",
            "x-version:1.2.3",
            "x-a:::",
            "ssrc:3012 msid:x a0",
            "sendrecv",
        ] {
            assert!(!shown.attribute(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_host_is_found_whatever_stands_around_it_and_below_it() {
        let shown = shown(&["pbx.example"]);
        for value in
            ["x-a:PBX.example", "x-a:sip:bob@pbx.example:5060", "x-a:media1.pbx.example.", "pbx.example"]
        {
            assert!(shown.attribute(value.as_bytes()), "{value}");
        }
        for value in ["x-a:notpbx.example", "x-a:pbx.example.org", "x-a:pbx"] {
            assert!(!shown.attribute(value.as_bytes()), "{value}");
        }
    }
}
