//! What kind of stream an m= line is to the relay, and what is wrong with an offer of which nothing can
//! be relayed (RFC 3261 §13.3.1.3, §20.43).
//!
//! Must not know: ports, legs.

use crate::media::StreamKind;
use crate::sdp::{Media, Sdp};
use crate::sip::Message;

/// How a stream crosses the relay; `None` if it is refused, or nothing that the relay carries: TCP,
/// MSRP, RTP whose keys are agreed on in the media path (RFC 5763), and what names a host instead of an
/// address, for nothing is looked up because a peer wrote it.
pub(in super::super) fn stream_kind(media: &Media) -> Option<StreamKind> {
    if media.rejected() || media.connection.is_none() || media.is_keyed_by_dtls() {
        None
    } else if media.is_secured_rtp() {
        Some(StreamKind::SecuredRtp)
    } else if media.is_rtp() {
        Some(StreamKind::Rtp)
    } else {
        media.is_udptl().then_some(StreamKind::Udptl)
    }
}

/// Whether there is something in a description that is not refused, and nothing of it can be relayed.
pub(super) fn is_useless(sdp: &Sdp) -> bool {
    fault_of(sdp).is_some()
}

/// Why nothing of an offer can be relayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum OfferFault {
    /// Its streams need DTLS.
    Dtls,
    /// A host name stands where an address should, or nothing.
    NoAddress,
    /// No stream is RTP or UDPTL.
    Transport,
}

impl OfferFault {
    /// What is wrong with the offer of a message; `None`: nothing, or there is none that can be read.
    pub(in super::super) fn of(message: &Message) -> Option<OfferFault> {
        let sdp = Sdp::parse(&message.sdp()?).ok()?;
        fault_of(&sdp)
    }

    /// For the record.
    pub(in super::super) fn cause(self) -> &'static str {
        match self {
            OfferFault::Dtls => "DTLS-SRTP is not relayed, and nothing else was offered",
            OfferFault::NoAddress => "no address in c= of the offer (host names are not looked up)",
            OfferFault::Transport => "neither RTP nor UDPTL was offered",
        }
    }

    /// Warning (RFC 3261 §20.43): 300 incompatible network protocol, 301 incompatible network address
    /// formats, 302 incompatible transport protocol.
    pub(in super::super) fn warning(self) -> &'static str {
        match self {
            OfferFault::Dtls => "302 sbc \"Incompatible transport protocol: DTLS\"",
            OfferFault::NoAddress => "301 sbc \"Incompatible network address formats\"",
            OfferFault::Transport => "302 sbc \"Incompatible transport protocol\"",
        }
    }
}

fn fault_of(sdp: &Sdp) -> Option<OfferFault> {
    let mut wanted = sdp.medias().iter().filter(|media| !media.rejected()).peekable();
    wanted.peek()?;
    let wanted: Vec<&Media> = wanted.collect();
    if wanted.iter().any(|media| stream_kind(media).is_some()) {
        None
    } else if wanted.iter().any(|media| media.is_keyed_by_dtls()) {
        Some(OfferFault::Dtls)
    } else if wanted.iter().any(|media| media.connection.is_none()) {
        Some(OfferFault::NoAddress)
    } else {
        Some(OfferFault::Transport)
    }
}
