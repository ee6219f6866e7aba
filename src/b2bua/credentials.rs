//! To whom a trunk's credentials are given (RFC 3261 §22, RFC 7616, RFC 8760): which challenges of a response are
//! answered, and why others are not. How often, and with which nonce, is `nonces.rs`.
//!
//! Must not know: calls, transactions, who waits for an answer.

use std::fmt;
use std::net::IpAddr;

use crate::routing::Authentication;
use crate::sip::digest::{self, Challenge, ChallengeFault};
use crate::sip::{Header, Message};

/// The most realms that one address has.
pub(super) const MAX_REALMS: usize = 4;
/// The most bytes of realm, nonce and opaque together.
pub(super) const MAX_CHALLENGE_BYTES: usize = 4_096;
/// Why a challenge to a request of ours is not answered. The text says what the operator can do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthenticationFault {
    /// The trunk has no credentials.
    #[error("realm \"{realm}\" asks for credentials and the trunk has none; give it username and password")]
    NoCredentials {
        /// The first realm that asks.
        realm: String,
    },
    /// Somebody else asks.
    #[error("a challenge came from {from}, which is no address of the trunk; if it is, add it to allow")]
    Elsewhere {
        /// The address.
        from: IpAddr,
    },
    /// The realm is not one of `auth_realm`.
    #[error("realm \"{realm}\" asks, and auth_realm is {expected}; is it the right host?")]
    Realm {
        /// The realm that asks.
        realm: String,
        /// `auth_realm`.
        expected: String,
    },
    /// None of its hashes is one of `auth_algorithms`.
    #[error("realm \"{realm}\" asks for {algorithm}, and auth_algorithms does not have it")]
    Algorithm {
        /// The realm that asks.
        realm: String,
        /// The hash that it asks for.
        algorithm: &'static str,
    },
    /// No challenge can be answered by anybody here.
    #[error("its challenge cannot be answered: {0}")]
    Unusable(ChallengeFault),
    /// There is no challenge in the 401 or 407.
    #[error("it asks for credentials and does not say how")]
    NoChallenge,
    /// The answer was wrong.
    #[error("realm \"{realm}\" refuses the username or the password")]
    Refused {
        /// The realm.
        realm: String,
    },
    /// Each answer is followed by another challenge.
    #[error("realm \"{realm}\" asks again and again with other nonces")]
    Endless {
        /// The realm.
        realm: String,
    },
}

/// Who asks: a server itself by WWW-Authenticate, or a proxy before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// 401, answered by Authorization.
    Server,
    /// 407, answered by Proxy-Authorization.
    Proxy,
}

impl Asker {
    const fn of(header: Header) -> Option<Asker> {
        match header {
            Header::WwwAuthenticate => Some(Asker::Server),
            Header::ProxyAuthenticate => Some(Asker::Proxy),
            _ => None,
        }
    }

    pub(super) const fn answers_in(self) -> Header {
        match self {
            Asker::Server => Header::Authorization,
            Asker::Proxy => Header::ProxyAuthorization,
        }
    }
}

/// A protection space (RFC 3261 §22.1): who asks, under which name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Space {
    pub(super) asker: Asker,
    pub(super) realm: String,
}

/// One challenge that can be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Offer {
    pub(super) space: Space,
    pub(super) challenge: Challenge,
}

/// The strongest challenge of each space that asks, as far as the policy allows it. RFC 3261 §22.3: a
/// proxy that forks puts the challenges of several servers and proxies into one response, of either
/// kind.
pub(super) fn answerable(
    response: &Message,
    policy: &Authentication,
) -> Result<Vec<Offer>, AuthenticationFault> {
    let (offers, mut fault) = offers(response);
    let mut chosen: Vec<Offer> = Vec::new();
    for offer in &offers {
        let realm = offer.space.realm.clone();
        if chosen.len() >= MAX_REALMS || chosen.iter().any(|other| other.space == offer.space) {
            continue;
        }
        if !policy.trusts(&realm) {
            let expected = Quoted(&policy.realms).to_string();
            fault = AuthenticationFault::Realm { realm, expected };
            continue;
        }
        let same_space = offers.iter().filter(|other| other.space == offer.space);
        let allowed = same_space.filter(|other| policy.takes(other.challenge.algorithm.as_str()));
        match digest::strongest(allowed.map(|other| &other.challenge)) {
            Some(challenge) => {
                chosen.push(Offer { space: offer.space.clone(), challenge: challenge.clone() });
            }
            None => {
                let algorithm = offer.challenge.algorithm.as_str();
                fault = AuthenticationFault::Algorithm { realm, algorithm };
            }
        }
    }
    if chosen.is_empty() { Err(fault) } else { Ok(chosen) }
}

/// Every challenge that can be read, and what is wrong if there is none.
fn offers(response: &Message) -> (Vec<Offer>, AuthenticationFault) {
    let mut fault = AuthenticationFault::NoChallenge;
    let mut offers = Vec::new();
    let asking = response.fields().filter_map(|field| Some((Asker::of(field.header)?, field.value)));
    for (asker, value) in asking.take(digest::MAX_CHALLENGES) {
        match Challenge::parse(value) {
            Ok(challenges) => offers.extend(challenges.into_iter().map(|challenge| Offer {
                space: Space { asker, realm: challenge.realm.clone() },
                challenge,
            })),
            Err(why) => fault = AuthenticationFault::Unusable(why),
        }
    }
    let bytes = |challenge: &Challenge| {
        challenge.realm.len() + challenge.nonce.len() + challenge.opaque.as_ref().map_or(0, String::len)
    };
    offers.truncate(digest::MAX_CHALLENGES);
    offers.retain(|offer| bytes(&offer.challenge) <= MAX_CHALLENGE_BYTES);
    (offers, fault)
}

/// The realm that asks first, to be told to people.
pub(super) fn first_realm(response: &Message) -> String {
    let (offers, _) = offers(response);
    offers.first().map_or_else(String::new, |offer| offer.space.realm.clone())
}

/// `"a" or "b"`.
struct Quoted<'a>(&'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, text) in self.0.iter().enumerate() {
            write!(f, "{}\"{text}\"", if at == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}
