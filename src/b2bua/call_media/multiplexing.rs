//! Whether RTCP shares RTP's port (RFC 5761): each side has its own way, and the relay joins them.

use std::net::SocketAddr;

use super::SideMedia;
use crate::sdp::Media;

/// Where a peer takes the RTCP of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtcpPlaces {
    /// On RTP's port, if both agree to that.
    multiplexed: Option<SocketAddr>,
    /// On its own.
    separate: SocketAddr,
}

impl RtcpPlaces {
    pub(super) fn of(media: &Media) -> Option<RtcpPlaces> {
        let multiplexed = media.rtp_address().filter(|_| media.rtcp_mux);
        Some(RtcpPlaces { multiplexed, separate: media.separate_rtcp_address()? })
    }
}

/// An offer is answered: "If the answer does not contain an \"a=rtcp-mux\" attribute, the offerer MUST NOT
/// multiplex RTP and RTCP packets on a single port" (RFC 5761 §5.1.1); what it offered was a wish.
pub(super) fn settle(offered: &mut SideMedia, answer: &SideMedia) {
    for (at, remote) in offered.remotes.iter_mut().enumerate() {
        let places = |side: &[Option<RtcpPlaces>]| side.get(at).copied().flatten();
        if let (Some(remote), Some(own), Some(theirs)) =
            (remote.as_mut(), places(&offered.rtcp), places(&answer.rtcp))
            && remote.kind.is_rtp()
        {
            let agreed = own.multiplexed.filter(|_| theirs.multiplexed.is_some());
            remote.rtcp = agreed.unwrap_or(own.separate);
        }
    }
}
