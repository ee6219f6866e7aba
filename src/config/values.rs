//! Values that are written as strings: durations, networks, addresses, hosts, patterns.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::reader::{Text, Value};
use crate::routing::{CodePattern, Host, NumberPattern};

/// A regular expression is no longer than this.
const MAX_PATTERN_BYTES: usize = 512;

impl Value<'_> {
    /// `"30s"`, `"200ms"`, `"1m"`, `"2h"`.
    pub(super) fn duration(&self) -> Option<Duration> {
        if matches!(self.value, DeValue::Integer(_)) {
            self.fault("a duration has a unit", "write it in quotes with ms, s, m or h, as in \"30s\"");
            return None;
        }
        let text = self.text()?;
        let parsed = duration(&text.text);
        if parsed.is_none() {
            text.fault("is no duration", "write a whole number with ms, s, m or h, as in \"30s\"");
        }
        parsed
    }

    /// The same, and `"200us"`.
    pub(super) fn short_duration(&self) -> Option<Duration> {
        let micros = self.literal().and_then(|text| text.strip_suffix("us")?.parse::<u32>().ok());
        micros.map_or_else(|| self.duration(), |micros| Some(Duration::from_micros(micros.into())))
    }

    /// A duration between these bounds. `why`: what is wrong with others; `zero`: for what else "0s" may be
    /// written, if it may.
    pub(super) fn duration_within(
        &self,
        bounds: RangeInclusive<Duration>,
        why: &str,
        zero: Option<&str>,
    ) -> Option<Duration> {
        let duration = self.duration()?;
        if bounds.contains(&duration) || (zero.is_some() && duration.is_zero()) {
            return Some(duration);
        }
        let [low, high] = [bounds.start(), bounds.end()].map(|bound| written(*bound));
        let zero = zero.map(|meaning| format!(", or \"0s\" for {meaning}")).unwrap_or_default();
        self.fault(why, format!("write \"{low}\" to \"{high}\"{zero}"));
        None
    }

    /// A list of networks and addresses.
    pub(super) fn networks(&self) -> Vec<IpNet> {
        self.texts().unwrap_or_default().iter().filter_map(Text::network).collect()
    }
}

impl Text<'_> {
    /// `10.0.0.0/8`, or one address.
    pub(super) fn network(&self) -> Option<IpNet> {
        if let Ok(address) = self.text.parse::<IpAddr>() {
            return Some(IpNet::from(address.to_canonical()));
        }
        let Ok(network) = self.text.parse::<IpNet>() else {
            self.fault(
                "is no network and no address",
                "write it as 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32",
            );
            return None;
        };
        if network.trunc() != network {
            let (net, host) = (network.trunc(), network.addr());
            self.fault(
                "has host bits set",
                format!("write \"{net}\" for the network or \"{host}\" for the one address"),
            );
            return None;
        }
        Some(network)
    }

    /// An address without a port.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let bare = self.text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&self.text);
        let parsed = bare.parse::<IpAddr>().ok();
        if parsed.is_none() {
            self.fault("is no IP address", "write it as 192.0.2.7 or 2001:db8::7");
        }
        parsed
    }

    /// An address with a port.
    pub(super) fn socket_address(&self, default_port: Option<u16>) -> Option<SocketAddr> {
        if let Ok(address) = self.text.parse::<SocketAddr>() {
            return Some(address);
        }
        let bare = self.text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&self.text);
        match (bare.parse::<IpAddr>(), default_port) {
            (Ok(address), Some(port)) => return Some(SocketAddr::new(address, port)),
            (Ok(address), None) => {
                self.fault("has no port", format!("write it as \"{}\"", SocketAddr::new(address, 5060)));
            }
            (Err(_), None)
                if !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                self.fault(
                    "is a port without an address",
                    format!("write it as \"127.0.0.1:{}\"", self.shown),
                );
            }
            (Err(_), Some(port)) => {
                let cure = format!("write it as 192.0.2.7, 192.0.2.7:{port} or [2001:db8::7]:{port}");
                self.fault("is no address", cure);
            }
            (Err(_), None) => {
                self.fault("is no address with a port", "write it as 192.0.2.7:5060 or [2001:db8::7]:5060");
            }
        }
        None
    }

    /// A domain name or an address.
    pub(super) fn host(&self) -> Option<Host> {
        let parsed = host(&self.text);
        if parsed.is_none() {
            let cure = if self.text.contains("sip:") || self.text.contains('@') {
                "write the host alone, without sip: and user"
            } else if self.text.contains(':') {
                "write the host alone, and the port as port = 5060"
            } else {
                "write a domain name such as sip.example.com, or an IP address"
            };
            self.fault("is no host", cure);
        }
        parsed
    }

    /// A host with an optional port.
    pub(super) fn host_port(&self, default_port: u16) -> Option<(Host, u16)> {
        if let Ok(address) = self.text.parse::<SocketAddr>() {
            return Some((Host::Address(address.ip()), address.port()));
        }
        if let Some(host) = host(&self.text) {
            return Some((host, default_port));
        }
        let parsed =
            self.text.rsplit_once(':').and_then(|(name, port)| Some((host(name)?, port.parse().ok()?)));
        if parsed.is_none() {
            self.fault(
                "is no host with a port",
                "write it as sbc.example.com:5060, 192.0.2.7:5060 or [2001:db8::7]:5060",
            );
        }
        parsed
    }

    /// `+` and 7 to 15 digits. The numbering plan is not asked: owners know their numbers, and
    /// plans change.
    pub(super) fn e164(&self) -> Option<String> {
        let digits = self.text.strip_prefix('+').unwrap_or("");
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if !fits {
            self.fault("is no E.164 number", "write + and 7 to 15 digits, as in \"+12025550123\"");
        }
        fits.then(|| self.text.clone())
    }

    /// `"408"` or `"5xx"`: a failure.
    pub(super) fn code_pattern(&self) -> Option<CodePattern> {
        let pattern = self.pattern_of_codes(b'3');
        if pattern.is_none() {
            self.fault(
                "is no final failure",
                "write a status code from \"300\" to \"699\", or a class as in \"5xx\"",
            );
        }
        pattern
    }

    /// A status code or a class of them, from the class `lowest` (as a digit) to 6xx.
    pub(super) fn pattern_of_codes(&self, lowest: u8) -> Option<CodePattern> {
        let is_class = |class: u8| (lowest..=b'6').contains(&class);
        match self.text.as_bytes() {
            [class, b'x' | b'X', b'x' | b'X'] if is_class(*class) => Some(CodePattern::Class(class - b'0')),
            [class, b'0'..=b'9', b'0'..=b'9'] if is_class(*class) => {
                self.text.parse().ok().map(CodePattern::Code)
            }
            _ => None,
        }
    }

    /// A regular expression that matches whole user parts.
    pub(super) fn whole_pattern(&self, pattern: &str) -> Option<regex::Regex> {
        if pattern.len() > MAX_PATTERN_BYTES {
            self.fault("is too long", format!("write at most {MAX_PATTERN_BYTES} bytes"));
            return None;
        }
        match crate::numbering::whole_user_pattern(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason = match &error {
                    regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                    other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
                };
                self.fault("is no regular expression", reason.trim_start_matches("error: ").to_owned());
                None
            }
        }
    }

    /// One entry of a route's `to`.
    pub(super) fn number_pattern(&self) -> Option<NumberPattern> {
        let text = self.text.as_str();
        if let Some(pattern) = text.strip_prefix("regex:") {
            return self.whole_pattern(pattern).map(NumberPattern::Regex);
        }
        let (stem, is_prefix) = match text.strip_suffix('*') {
            // `*97` and `**21*` are service codes: a star at the end is a wildcard after all.
            Some(stem) => (stem, true),
            None => (text, false),
        };
        if let Some(cure) = pattern_cure(stem, is_prefix) {
            self.fault("matches no normalised number", cure);
            return None;
        }
        let stem = stem.to_owned();
        Some(if is_prefix { NumberPattern::Prefix(stem) } else { NumberPattern::Exact(stem) })
    }

    /// A header name or a pattern of one, `*` where allowed (RFC 3261 §25.1 token).
    pub(super) fn header_name(&self, wildcard: bool) -> Option<String> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%_+`'~".contains(&byte);
        let fits = !self.text.is_empty()
            && self.text.bytes().all(|byte| is_token(byte) || (wildcard && byte == b'*'));
        if !fits {
            self.fault(
                "is no header name",
                if wildcard { "write a name, or a pattern as in \"X-*\"" } else { "" },
            );
        }
        fits.then(|| self.text.clone())
    }
}

/// Why a pattern can match nothing, as the cure; numbers are `+` and digits by the time routes are
/// looked at.
fn pattern_cure(stem: &str, is_prefix: bool) -> Option<String> {
    if stem.is_empty() && !is_prefix {
        return Some("leave `to` out to match everything".to_owned());
    }
    if let Some(digits) = stem.strip_prefix('+') {
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some("after + come digits, and * at the end alone".to_owned());
        }
        if !is_prefix && digits.len() < 4 {
            return Some(format!("write \"{stem}*\" for all numbers that begin so"));
        }
    }
    if let Some(rest) = stem.strip_prefix("00")
        && is_prefix
        && rest.bytes().all(|byte| byte.is_ascii_digit())
    {
        let e164 = if rest.is_empty() { "44" } else { rest };
        return Some(format!("numbers are in E.164 form here: write it as in \"+{e164}*\""));
    }
    None
}

/// A duration as the configuration writes it (`"30s"`, `"200ms"`), a day at most; `None`: it is none.
pub fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // A day is more than any timer of a call wants, and far from any overflow.
    number.checked_mul(millis).filter(|millis| *millis <= 86_400_000).map(Duration::from_millis)
}

/// As people would write it.
fn written(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (_, 1..) => format!("{}ms", duration.as_millis()),
        (seconds, _) if seconds >= 3_600 && seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        (seconds, _) if seconds > 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, _) => format!("{seconds}s"),
    }
}

/// Addresses with or without brackets; names by RFC 1123 §2.1, in lower case.
pub(super) fn host(text: &str) -> Option<Host> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Host::Address(address.to_canonical()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits is a mistyped address (RFC 3696 §2).
    let is_address_like =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label) && !is_address_like;
    is_name.then(|| Host::Name(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("1m"), Some(Duration::from_secs(60)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bounds_are_written_as_people_would() {
        for text in ["500ms", "32s", "60s", "90s", "10m", "1h", "24h"] {
            assert_eq!(duration(text).map(written), Some(text.to_owned()));
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert_eq!(host("SIP.Example.com."), Some(Host::Name("sip.example.com".into())));
        assert_eq!(host("192.0.2.7"), Some(Host::Address("192.0.2.7".parse().unwrap())));
        assert_eq!(host("[2001:db8::7]"), Some(Host::Address("2001:db8::7".parse().unwrap())));
        assert_eq!(host("localhost"), Some(Host::Name("localhost".into())));
        for wrong in [
            "",
            ".",
            "a..b",
            "-a.example",
            "192.0.2.300",
            "sip:a.example",
            "a.example:5060",
            "a b",
            "ä.example",
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
