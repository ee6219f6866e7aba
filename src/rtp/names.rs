//! The names that sources give themselves in RTCP (SDES, RFC 3550 §6.5): a CNAME is `user@host` with the address of
//! the host, as a rule (§6.5.1), and a TOOL the name and version of a telephone. Neither is for the other side.
//!
//! Must not know: who hides them from whom.

/// Packet type (RFC 3550 §12.1).
const SOURCE_DESCRIPTION: u8 = 202;
/// The bit that says so in a packet's first byte (RFC 3550 §6.4.1).
const PADDED: u8 = 0x20;
/// Item types (RFC 3550 §12.2). PRIV begins with the length of its prefix.
const END: u8 = 0;
const CNAME: u8 = 1;
const PRIV: u8 = 8;

/// Takes the names out of a valid RTCP datagram, in their places and without a change of length. A CNAME, which ties
/// the streams of a participant together, becomes what `pseudonym` makes of it, in hexadecimal; the others become
/// dashes.
pub fn hide_names(datagram: &mut [u8], pseudonym: impl Fn(&[u8]) -> u64) {
    let mut rest = datagram;
    // Every turn takes at least four bytes.
    while let &mut [first, packet_type, high, low, ..] = rest {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let Some((packet, behind)) = rest.split_at_mut_checked(length) else { return };
        if packet_type == SOURCE_DESCRIPTION
            && let Some(chunks) = packet.get_mut(4..)
        {
            let read = hide_in_chunks(chunks, first & 0x1f, &pseudonym);
            // What nobody counts or has no sound length may hold a name as well. The last byte of padding is its length.
            let end = chunks.len().saturating_sub(usize::from(first & PADDED != 0));
            if let Some(left) = chunks.get_mut(read..end) {
                left.fill(END);
            }
        }
        rest = behind;
    }
}

/// `count` chunks: an SSRC and items each, ended by zeros up to the next four bytes. Gives how many bytes are these, up
/// to the first item that is not whole.
fn hide_in_chunks(chunks: &mut [u8], count: u8, pseudonym: &impl Fn(&[u8]) -> u64) -> usize {
    let mut at = 0;
    for _ in 0..count {
        at += 4;
        // Every turn takes at least two bytes.
        while let Some(&kind) = chunks.get(at)
            && kind != END
        {
            let Some(&length) = chunks.get(at + 1) else { return at };
            let end = at + 2 + usize::from(length);
            let Some(text) = chunks.get_mut(at + 2..end) else { return at };
            hide(kind, text, pseudonym);
            at = end;
        }
        at = (at + 4) & !3;
    }
    at
}

fn hide(kind: u8, text: &mut [u8], pseudonym: &impl Fn(&[u8]) -> u64) {
    match kind {
        CNAME => {
            let digits = pseudonym(text);
            for (place, byte) in text.iter_mut().enumerate() {
                let nibble = (digits >> (4 * (place % 16))) & 0xf;
                *byte = b"0123456789abcdef"[nibble as usize];
            }
        }
        PRIV => text.iter_mut().skip(1).for_each(|byte| *byte = b'-'),
        _ => text.fill(b'-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::RtcpPacket;

    const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0xca, 0xfe, 0, 1];

    fn chunk(ssrc: u32, items: &[(u8, &str)]) -> Vec<u8> {
        let mut chunk = ssrc.to_be_bytes().to_vec();
        for (kind, text) in items {
            chunk.extend([*kind, text.len() as u8]);
            chunk.extend(text.as_bytes());
        }
        chunk.push(END);
        chunk.resize(chunk.len().next_multiple_of(4), END);
        chunk
    }

    fn description(chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = chunks.concat();
        let words = (body.len() / 4) as u8;
        [&RECEIVER_REPORT[..], &[0x80 | chunks.len() as u8, SOURCE_DESCRIPTION, 0, words], &body].concat()
    }

    fn hidden(mut bytes: Vec<u8>) -> Vec<u8> {
        assert!(RtcpPacket::parse(&bytes).is_some());
        hide_names(&mut bytes, |text| {
            text.iter().map(|byte| u64::from(*byte)).sum::<u64>() * 0x0101_0101_0101
        });
        assert!(RtcpPacket::parse(&bytes).is_some());
        bytes
    }

    #[test]
    fn no_name_is_left_and_everything_stays_in_its_place() {
        let told = [(CNAME, "alice@10.0.0.5"), (2, "Alice"), (6, "Phone 1.2"), (PRIV, "\x03abcx")];
        let bytes = description(&[chunk(1, &told), chunk(2, &[(CNAME, "bob@10.0.0.5")]), chunk(3, &[])]);
        let after = hidden(bytes.clone());
        assert_eq!(after.len(), bytes.len());
        let text = String::from_utf8_lossy(&after).into_owned();
        for name in ["alice", "10.0.0.5", "Alice", "Phone", "abc", "bob"] {
            assert!(!text.contains(name), "{name} in {text:?}");
        }
        for left in ["\x02\x05-----", "\x06\x09---------", "\x08\x05\x03----"] {
            assert!(text.contains(left), "{left:?} in {text:?}");
        }
    }

    #[test]
    fn a_participant_has_one_name_in_all_streams_and_others_another() {
        let name = |ssrc, name| hidden(description(&[chunk(ssrc, &[(CNAME, name)])]))[18..].to_vec();
        assert_eq!(name(1, "alice@10.0.0.5"), name(2, "alice@10.0.0.5"));
        assert_ne!(name(1, "alice@10.0.0.5"), name(1, "alice@10.0.0.6"));
    }

    #[test]
    fn what_is_not_counted_or_not_whole_is_left_out() {
        let (alice, bob) = (chunk(1, &[(CNAME, "alice")]), chunk(2, &[(2, "bob")]));
        let whole = description(&[alice.clone(), bob.clone()]);
        let set = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            hidden(bytes)
        };
        let nobody = vec![END; bob.len()];
        // One chunk is counted of two, none is, and Bob's name is longer than what is there.
        assert!(set(8, 0x81).ends_with(&nobody));
        assert!(set(8, 0x80)[12..].iter().all(|byte| *byte == END));
        let cut = set(whole.len() - bob.len() + 5, 200);
        assert!(cut.ends_with(&[&2_u32.to_be_bytes()[..], &nobody[4..]].concat()), "{cut:?}");
        // Padding stays as long as it is.
        let mut padded = description(&[alice, b"bob@10.\x08".to_vec()]);
        padded[8] = 0x81 | PADDED;
        assert!(hidden(padded).ends_with(&[END, END, END, END, END, END, END, 8]));
    }

    #[test]
    fn what_is_no_description_stays_as_it_is() {
        let application =
            [&RECEIVER_REPORT[..], &[0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e']].concat();
        assert_eq!(hidden(application.clone()), application);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_whatever_the_items_say(body in proptest::collection::vec(0..=255_u8, 0..64), count in 0..32_u8) {
            let mut bytes = vec![0x80 | count, SOURCE_DESCRIPTION, 0, (body.len() / 4) as u8];
            bytes.extend(&body);
            let length = bytes.len();
            hide_names(&mut bytes, |text| text.len() as u64);
            proptest::prop_assert_eq!(bytes.len(), length);
        }
    }
}
