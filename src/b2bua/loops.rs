//! Knowing a request of ours that comes back (RFC 3261 §16.3 step 4, RFC 5393): every branch that we
//! mint is marked, and the mark is looked for in the Vias of an INVITE that came.
//!
//! Between us and us are proxies, then, for anybody else takes the Vias off: of a call that other
//! B2BUAs lead in a circle Max-Forwards is the end. A proxy may have changed the Request-URI on the way
//! (a spiral, RFC 5393 §3). That is refused too: the SDP is still our own, and media that goes round
//! within us is silent.
//!
//! Must not know: calls, transactions.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::base::Random;
use crate::sip::{Header, Message, Via};

const COOKIE: &str = "z9hG4bK";
/// What makes a branch unique: 100 bits.
const UNIQUE_BYTES: usize = 20;
/// What makes it known as ours: 40 bits, so that no branch of somebody else's is taken for one.
const MARK_BYTES: usize = 8;

/// Mints branches and knows them again. It need not withstand forgery: who writes a Via of ours into
/// a request has that request refused.
#[derive(Debug)]
pub(super) struct Branches {
    key: u64,
}

impl Branches {
    pub(super) fn new(random: &mut Random) -> Branches {
        Branches { key: random.bits() }
    }

    /// A new branch (RFC 3261 §8.1.1.7).
    pub(super) fn mint(&self, random: &mut Random) -> String {
        let unique = random.token::<UNIQUE_BYTES>();
        let mark = self.mark(&unique);
        format!("{COOKIE}{}{}", String::from_utf8_lossy(&unique), String::from_utf8_lossy(&mark))
    }

    /// Whether a request went through us before.
    pub(super) fn is_own(&self, request: &Message) -> bool {
        let vias = request.list(Header::Via).filter_map(Via::parse);
        vias.filter_map(|via| via.branch()).any(|branch| self.is_minted(branch))
    }

    fn is_minted(&self, branch: &[u8]) -> bool {
        let Some(text) = branch.strip_prefix(COOKIE.as_bytes()) else { return false };
        let Some((unique, mark)) = text.split_at_checked(UNIQUE_BYTES) else { return false };
        mark.len() == MARK_BYTES && mark == self.mark(unique)
    }

    fn mark(&self, unique: &[u8]) -> [u8; MARK_BYTES] {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijkmnpqrstuvwx";
        let mut hasher = DefaultHasher::new();
        (self.key, unique).hash(&mut hasher);
        let bits = hasher.finish();
        std::array::from_fn(|at| ALPHABET[(bits >> (5 * at) & 31) as usize])
    }
}
