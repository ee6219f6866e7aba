//! Entropy for the core's generator, from the operating system.

use std::fs::File;
use std::io::{self, Read};

use crate::base::Random;

/// A generator that nobody can predict.
///
/// # Errors
/// The system gives no random bytes (no `/dev/urandom` in this root).
pub fn random() -> io::Result<Random> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(Random::from_seed(seed))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_generators_are_alike() {
        let (mut one, mut other) = (super::random().unwrap(), super::random().unwrap());
        assert_ne!(one.token::<24>(), other.token::<24>());
    }
}
