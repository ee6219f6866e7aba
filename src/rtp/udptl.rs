//! What a fax sends: UDPTL datagrams (ITU-T T.38 clause 9.1, in the aligned PER of X.691).
//!
//! Must not know: what T.30 says within them.

/// Whether `bytes` have the form of a UDPTL datagram: a sequence number, the primary packet with
/// its length, which fits, and behind it the beginning of the error recovery. Nothing in it is as
/// telling as the version of RTP; rubbish may pass, what is too short does not.
pub fn is_udptl(bytes: &[u8]) -> bool {
    let (primary_start, primary_bytes) = match bytes {
        // X.691 §11.9: below 128 in one byte, below 16,384 in two.
        [_, _, length @ 0..=0x7f, ..] => (3, usize::from(*length)),
        [_, _, high @ 0x80..=0xbf, low, ..] => (4, usize::from(high & 0x3f) << 8 | usize::from(*low)),
        _ => return false,
    };
    bytes.len() > primary_start + primary_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_packet_and_the_error_recovery_must_be_there() {
        // T.38: the indicator "no signal", no secondary packets; and one secondary packet.
        assert!(is_udptl(&[0, 1, 1, 0x00, 0, 0]));
        assert!(is_udptl(&[0, 2, 1, 0x06, 0, 1, 1, 0x00]));
        let mut long = vec![0, 3, 0x80, 0xc8];
        long.extend_from_slice(&[0x55; 200]);
        assert!(!is_udptl(&long));
        long.extend_from_slice(&[0, 0]);
        assert!(is_udptl(&long));
    }

    #[test]
    fn what_is_too_short_is_none() {
        for bytes in [&b""[..], &[0], &[0, 1], &[0, 1, 0], &[0, 1, 1, 6], &[0, 1, 0x80], &[0, 1, 0xc1, 0, 0]]
        {
            assert!(!is_udptl(bytes), "{bytes:?}");
        }
        // RTP, by the length that its sequence number seems to be.
        assert!(!is_udptl(&[0x80, 0, 0x7a, 0x10, 0, 0, 0, 0, 1, 2, 3, 4, 0xff]));
    }
}
