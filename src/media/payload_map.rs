//! Which payload types change on their way through a stream, because one peer names a codec by another
//! number than the other (RFC 3264 §5.1). What is written into a packet stands in `transform.rs`.
//!
//! **Who sends which number.** The numbers in a peer's SDP are those that it "expects to receive, and
//! would prefer to send" (§5.1); so its partner sends those, and since SDP crosses with its numbers as
//! they are, a packet's number is right as it came. It is not where
//!
//! - a peer sends with the numbers of its own SDP, though the other side answered with others (§6.1 lets
//!   it: "that same payload type number SHOULD be used");
//! - the other side has changed, and its partner has not heard of it or not heard yet: after a transfer, a
//!   re-INVITE of ours that was answered with other numbers, another branch of a fork.
//!
//! So what a number means is looked for in this order: what the receiver lists (the packet goes as it
//! is), what the receiver's side listed before, what the sender lists. §8.3.2 helps: a number never
//! changes its meaning "for the duration of a session". What it means becomes the receiver's number for
//! that, where there is exactly one.
//!
//! Never touched: RFC 2198 redundancy (its blocks have payload types of their own within), codecs whose name alone
//! does not say whether two are the same (video, by their parameters), secured RTP (its header is
//! authenticated).
//!
//! Must not know: addresses, where packets come from.

use crate::rtp::{Codec, Format, Formats};

/// What becomes of payload types on the way from one side to the other. Plain data of a fixed size; the
/// default changes none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PayloadMap {
    changes: [(u8, u8); PayloadMap::MAX],
    count: u8,
}

impl PayloadMap {
    /// More changes than this are not made: twice as many as an audio stream could need.
    pub const MAX: usize = 8;

    /// The map for packets from a peer whose own SDP lists `own` to one whose SDP lists `far`, and on whose
    /// side `former` was listed before. Changes nothing where a side's formats are not known.
    pub fn between(own: &Formats, far: &Formats, former: &Formats) -> PayloadMap {
        let mut map = PayloadMap::default();
        if far.is_empty() {
            return map;
        }
        for (at, meant) in former.iter().chain(own.iter()).enumerate() {
            let is_settled = map.changed(meant.payload_type).is_some()
                || former.iter().take(at).any(|known| known.payload_type == meant.payload_type);
            if is_settled || far.of_payload_type(meant.payload_type).is_some() {
                continue;
            }
            // The list in which the number has this meaning.
            let said = if former.iter().any(|known| known == meant) { former } else { own };
            if let (Some(_), Some(wanted)) = (only(said, meant), only(far, meant)) {
                map.push(meant.payload_type, wanted.payload_type);
            }
        }
        map
    }

    fn push(&mut self, from: u8, to: u8) {
        if let Some(place) = self.changes.get_mut(usize::from(self.count)) {
            *place = (from, to);
            self.count += 1;
        }
    }

    /// What a payload type becomes; `None`: it stays.
    #[inline]
    pub fn changed(&self, payload_type: u8) -> Option<u8> {
        let mut changes = self.changes.iter().take(usize::from(self.count));
        changes.find(|(from, _)| *from == payload_type).map(|(_, to)| *to)
    }

    /// Whether nothing changes.
    pub fn is_identity(&self) -> bool {
        self.count == 0
    }
}

/// The one format of a list that is the same as this but for its number.
fn only<'a>(list: &'a Formats, wanted: &Format) -> Option<&'a Format> {
    let is_same = |format: &&Format| format.codec == wanted.codec && format.clock_hz == wanted.clock_hz;
    let mut same = list.iter().filter(is_same);
    let first = same.next().filter(|_| says_it_all(wanted.codec))?;
    same.next().is_none().then_some(first)
}

/// Whether codec and clock say all that a receiver must know of a payload type.
const fn says_it_all(codec: Codec) -> bool {
    !matches!(codec, Codec::Other | Codec::G726 | Codec::Redundancy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(list: &[(u8, Codec, u32)]) -> Formats {
        let format =
            |&(payload_type, codec, clock_hz): &(u8, Codec, u32)| Format { payload_type, codec, clock_hz };
        Formats::of(list.iter().map(format))
    }

    const EVENT: Codec = Codec::TelephoneEvent;
    const NONE: Formats = Formats::EMPTY;

    #[test]
    fn a_number_that_the_receiver_lists_goes_as_it_is() {
        let own = formats(&[(0, Codec::Pcmu, 8_000), (101, EVENT, 8_000)]);
        let far = formats(&[(0, Codec::Pcmu, 8_000), (96, EVENT, 8_000)]);
        let map = PayloadMap::between(&own, &far, &NONE);
        assert_eq!((map.changed(0), map.changed(96)), (None, None), "RFC 3264 §5.1: it is the receiver's");
        assert_eq!(map.changed(101), Some(96), "the sender's own number");
        assert!(PayloadMap::between(&own, &own, &NONE).is_identity());
    }

    #[test]
    fn a_number_with_two_meanings_has_the_receivers() {
        let own = formats(&[(96, EVENT, 8_000), (97, Codec::Opus, 48_000)]);
        let far = formats(&[(97, EVENT, 8_000), (96, Codec::Opus, 48_000)]);
        assert!(PayloadMap::between(&own, &far, &NONE).is_identity());
    }

    #[test]
    fn after_a_transfer_the_numbers_of_who_was_there_before_still_mean_what_they_meant() {
        let own = formats(&[(0, Codec::Pcmu, 8_000), (100, EVENT, 8_000)]);
        let former = formats(&[(0, Codec::Pcmu, 8_000), (96, EVENT, 8_000)]);
        let far = formats(&[(0, Codec::Pcmu, 8_000), (101, EVENT, 8_000)]);
        let map = PayloadMap::between(&own, &far, &former);
        assert_eq!((map.changed(96), map.changed(100), map.changed(101)), (Some(101), Some(101), None));
        // What the receiver's side said before goes before what the sender says of itself.
        let own = formats(&[(96, Codec::Opus, 48_000)]);
        let far = formats(&[(101, EVENT, 8_000), (111, Codec::Opus, 48_000)]);
        assert_eq!(PayloadMap::between(&own, &far, &former).changed(96), Some(101));
    }

    #[test]
    fn only_what_is_surely_the_same_is_changed() {
        for (own, far, why) in [
            ((101, EVENT, 8_000), vec![(96, EVENT, 48_000)], "another clock"),
            ((101, EVENT, 8_000), vec![(96, EVENT, 8_000), (97, EVENT, 8_000)], "two to choose from"),
            ((101, EVENT, 8_000), vec![(0, Codec::Pcmu, 8_000)], "nothing like it"),
            ((101, EVENT, 8_000), vec![], "nothing known"),
            ((100, Codec::Other, 90_000), vec![(101, Codec::Other, 90_000)], "some video"),
            ((100, Codec::G726, 8_000), vec![(101, Codec::G726, 8_000)], "any rate"),
            ((100, Codec::Redundancy, 8_000), vec![(101, Codec::Redundancy, 8_000)], "RFC 2198"),
        ] {
            let map = PayloadMap::between(&formats(&[own]), &formats(&far), &NONE);
            assert!(map.is_identity(), "{why}: {map:?}");
        }
        let twice = formats(&[(100, Codec::Amr, 8_000), (101, Codec::Amr, 8_000)]);
        let map = PayloadMap::between(&twice, &formats(&[(96, Codec::Amr, 8_000)]), &NONE);
        assert!(map.is_identity(), "the sender has two kinds of it");
    }

    #[test]
    fn there_are_never_more_changes_than_fit() {
        let list = |first: u8| {
            Formats::of((0..16).map(|at| Format {
                payload_type: first + at,
                codec: Codec::Speex,
                clock_hz: 1_000 + u32::from(at),
            }))
        };
        let map = PayloadMap::between(&list(32), &list(96), &NONE);
        assert_eq!((map.changed(32), map.changed(39), map.changed(40)), (Some(96), Some(103), None));
    }
}
