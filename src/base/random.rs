//! Seeded randomness. The core draws tags, branches and ports from here and nowhere else; the
//! shell seeds it from the operating system, a test from a number that it prints on failure.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// A cryptographically strong generator: what it gives cannot be guessed from what it gave
/// (RFC 3261 §19.3 asks that of tags).
#[derive(Clone)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// A generator from 32 bytes of entropy.
    pub fn from_seed(seed: [u8; 32]) -> Random {
        Random(ChaCha12Rng::from_seed(seed))
    }

    /// A generator for tests and simulations: the same number, the same sequence.
    pub fn from_number(seed: u64) -> Random {
        Random(ChaCha12Rng::seed_from_u64(seed))
    }

    /// A generator of its own, drawn from this one.
    pub fn fork(&mut self) -> Random {
        let mut seed = [0u8; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.bits().to_le_bytes());
        }
        Random::from_seed(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        // Multiply-shift: the bias is below 2^-32, which no use of ours can see.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u32
    }

    /// `N` characters of [0-9a-z] that are safe in every SIP token: 5 bits of entropy each.
    pub fn token<const N: usize>(&mut self) -> [u8; N] {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijkmnpqrstuvwx";
        let mut token = [0u8; N];
        for chunk in token.chunks_mut(12) {
            let mut bits = self.bits();
            for byte in chunk {
                *byte = ALPHABET[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        token
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_another() {
        let (mut a, mut b, mut c) = (Random::from_number(7), Random::from_number(7), Random::from_number(8));
        let (x, y, z) = (a.token::<20>(), b.token::<20>(), c.token::<20>());
        assert_eq!(x, y);
        assert_ne!(x, z);
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::from_number(1);
        assert!((0..1_000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
    }
}
