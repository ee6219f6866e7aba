//! Status codes. Which there are and what they are called is `rsip`'s, the classes are ours.

use std::fmt;

/// A status code, 100–699.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

impl Status {
    /// The code, if it is one (RFC 3261 §25.1: three digits, first 1–6).
    pub const fn new(code: u16) -> Option<Status> {
        if code >= 100 && code <= 699 { Some(Status(code)) } else { None }
    }

    /// A code known to be one when this is compiled; used for our own answers.
    pub const fn of(code: u16) -> Status {
        assert!(code >= 100 && code <= 699);
        Status(code)
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1–6.
    pub const fn class(self) -> u8 {
        (self.0 / 100) as u8
    }

    /// 1xx.
    pub const fn is_provisional(self) -> bool {
        self.class() == 1
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// 2xx–6xx.
    pub const fn is_final(self) -> bool {
        !self.is_provisional()
    }

    /// The phrase of the RFC that defines the code.
    pub fn phrase(self) -> String {
        match rsip::StatusCode::from(self.0) {
            rsip::StatusCode::CallTransactionDoesNotExist => "Call/Transaction Does Not Exist".to_owned(),
            rsip::StatusCode::OK => "OK".to_owned(),
            // RFC 3265 §7.3.1, which `rsip` does not know.
            rsip::StatusCode::Other(202, ..) => "Accepted".to_owned(),
            rsip::StatusCode::Other(..) => "Unknown".to_owned(),
            // `rsip` prints the name of its variant: "486 BusyHere".
            known => {
                known.to_string().split_once(' ').map_or_else(String::new, |(_, name)| split_words(name))
            }
        }
    }
}

/// "BusyHere" as "Busy Here".
fn split_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_the_rfcs_own() {
        for (code, phrase) in [
            (100, "Trying"),
            (180, "Ringing"),
            (183, "Session Progress"),
            (200, "OK"),
            (202, "Accepted"),
            (404, "Not Found"),
            (481, "Call/Transaction Does Not Exist"),
            (484, "Address Incomplete"),
            (486, "Busy Here"),
            (487, "Request Terminated"),
            (503, "Service Unavailable"),
            (603, "Decline"),
        ] {
            assert_eq!(Status::of(code).phrase(), phrase, "{code}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert!(Status::new(99).is_none() && Status::new(700).is_none() && Status::new(0).is_none());
    }
}
