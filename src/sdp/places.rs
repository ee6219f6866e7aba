//! The places of m= lines: which stream of an answer is about which of its offer.
//!
//! "For each \"m=\" line in the offer, there MUST be a corresponding \"m=\" line in the answer. The
//! answer MUST contain exactly the same number of \"m=\" lines as the offer" (RFC 3264 §6), and a
//! later offer has no fewer than what was agreed before (§8). Devices break both; what they leave
//! out is refused in its place, and what nobody offered is left out.

use bytes::Bytes;

use super::media::{Direction, Media, MediaKind};
use super::parse::parse;
use super::{Sdp, SdpFault};

/// One m= line as far as the other side's line in the same place must agree with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPlace {
    kind: MediaKind,
    transport: Transport,
    /// Its port is 0: whatever answers it must be refused, too (RFC 3264 §6).
    rejected: bool,
    /// Which way its maker wants it to flow.
    direction: Direction,
    /// Whether RTCP may share RTP's port (RFC 5761).
    multiplexes: bool,
    /// The line that refuses it.
    refusal: Vec<u8>,
}

/// Protocols that can stand for each other: an offer of RTP/AVPF is answered with RTP/AVP by many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transport {
    Rtp,
    Udptl,
    Other,
}

impl StreamPlace {
    fn of(media: &Media) -> StreamPlace {
        let format = media.formats().next().unwrap_or(b"0");
        let told =
            if media.is_held_by_address() { media.direction.without_receiving() } else { media.direction };
        StreamPlace {
            kind: media.kind,
            transport: Transport::of(media),
            rejected: media.rejected(),
            direction: told,
            multiplexes: media.rtcp_mux,
            refusal: [b"m=", media.kind_text(), b" 0 ", media.proto(), b" ", format].concat(),
        }
    }

    /// Which way its maker wants it to flow.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether its maker would have RTCP on RTP's port.
    pub(super) fn multiplexes(&self) -> bool {
        self.multiplexes
    }

    fn takes(&self, media: &Media) -> bool {
        media.rejected()
            || (!self.rejected && self.kind == media.kind && self.transport == Transport::of(media))
    }
}

impl Transport {
    fn of(media: &Media) -> Transport {
        match (media.is_rtp(), media.is_udptl()) {
            (true, _) if media.is_keyed_by_dtls() => Transport::Other,
            (true, _) => Transport::Rtp,
            (_, true) => Transport::Udptl,
            _ => Transport::Other,
        }
    }
}

impl Sdp {
    /// The places of its m= lines.
    pub fn places(&self) -> Vec<StreamPlace> {
        self.medias().iter().map(StreamPlace::of).collect()
    }

    /// The same description as an answer to an offer with these places: what it has beyond them is
    /// left out, what it leaves out or answers with something else is refused.
    pub fn answering(&self, offer: &[StreamPlace]) -> Result<Sdp, SdpFault> {
        let fits = self.medias.len() == offer.len()
            && self.medias.iter().zip(offer).all(|(media, place)| place.takes(media));
        if fits { Ok(self.clone()) } else { self.with_places(offer) }
    }

    /// Whether it may stand as it is as the answer to an offer with these places (RFC 3264 §6, §6.1).
    pub fn answers(&self, offer: &[StreamPlace]) -> bool {
        let fits = |(media, place): (&Media, &StreamPlace)| {
            let says_no_more = place.direction.answered(media.direction) == media.direction;
            place.takes(media) && (media.rejected() || says_no_more)
        };
        self.medias.len() == offer.len() && self.medias.iter().zip(offer).all(fits)
    }

    /// The same description as an offer after one with these places: what it has no line for any
    /// more is offered as refused.
    pub fn succeeding(&self, before: &[StreamPlace]) -> Result<Sdp, SdpFault> {
        match before.get(self.medias.len()..) {
            None | Some([]) => Ok(self.clone()),
            Some(missing) => {
                let places: Vec<StreamPlace> =
                    self.places().into_iter().chain(missing.iter().cloned()).collect();
                self.with_places(&places)
            }
        }
    }

    fn with_places(&self, places: &[StreamPlace]) -> Result<Sdp, SdpFault> {
        let session_end = self.medias.first().map_or(self.lines.len(), |media| media.lines.start);
        let mut bytes = self.text_of(0..session_end).to_vec();
        for (at, place) in places.iter().enumerate() {
            if !bytes.ends_with(b"\n") {
                bytes.extend_from_slice(b"\r\n");
            }
            match self.medias.get(at).filter(|media| place.takes(media)) {
                Some(media) => bytes.extend_from_slice(self.text_of(media.lines.clone())),
                None => bytes.extend_from_slice(&[&place.refusal[..], b"\r\n"].concat()),
            }
        }
        parse(&Bytes::from(bytes))
    }

    /// The bytes of some lines, with their ends.
    fn text_of(&self, lines: std::ops::Range<usize>) -> &[u8] {
        let lines = &self.lines[lines];
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return b"" };
        let end = usize::from(last.value_end) + usize::from(last.end_bytes);
        &self.bytes[usize::from(first.value_start) - 2..end]
    }
}
