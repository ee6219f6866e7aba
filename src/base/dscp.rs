//! How packets are marked for the network (RFC 2474), by the names that people give the code points.

use std::fmt;

/// A DSCP, 0–63: the upper six bits of IPv4's TOS and of IPv6's traffic class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dscp(u8);

impl Default for Dscp {
    /// EF, telephony (RFC 4594 §4.1).
    fn default() -> Dscp {
        Dscp::EF
    }
}

impl Dscp {
    /// Expedited forwarding (RFC 3246).
    pub const EF: Dscp = Dscp(46);

    /// Code points with a name: CS0–CS7 (RFC 2474), AFxy (RFC 2597), EF, VOICE-ADMIT (RFC 5865), LE (RFC 8622).
    const NAMES: [(&'static str, u8); 23] = [
        ("EF", 46),
        ("VOICE-ADMIT", 44),
        ("CS0", 0),
        ("CS1", 8),
        ("CS2", 16),
        ("CS3", 24),
        ("CS4", 32),
        ("CS5", 40),
        ("CS6", 48),
        ("CS7", 56),
        ("AF11", 10),
        ("AF12", 12),
        ("AF13", 14),
        ("AF21", 18),
        ("AF22", 20),
        ("AF23", 22),
        ("AF31", 26),
        ("AF32", 28),
        ("AF33", 30),
        ("AF41", 34),
        ("AF42", 36),
        ("AF43", 38),
        ("LE", 1),
    ];

    /// By its value; `None`: it has no more than six bits.
    pub const fn new(value: u8) -> Option<Dscp> {
        if value < 64 { Some(Dscp(value)) } else { None }
    }

    /// By its name, in any case.
    pub fn named(name: &str) -> Option<Dscp> {
        let found = Dscp::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| Dscp(*value))
    }

    /// 0–63.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The byte of IPv4's TOS or IPv6's traffic class; its ECN bits are 0.
    pub const fn traffic_class(self) -> u8 {
        self.0 << 2
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Dscp::NAMES.iter().find(|(_, value)| *value == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_mean_the_same() {
        for (name, value) in Dscp::NAMES {
            assert_eq!(Dscp::named(&name.to_lowercase()), Dscp::new(value));
            assert_eq!(Dscp(value).to_string(), name);
        }
        assert_eq!((Dscp::default().value(), Dscp::default().traffic_class()), (46, 0xb8));
        assert_eq!(Dscp::new(63).map(|dscp| dscp.to_string()), Some("63".to_owned()));
        assert_eq!((Dscp::new(64), Dscp::named("AF44")), (None, None));
    }
}
