//! Whether a trunk takes the media that a caller offers: secured RTP (RFC 3711) or plain, as `srtp` of the
//! trunk says. The keys are the parties' own and cross as they are; so a caller with the wrong kind is better
//! refused (488), or sent to the next trunk, than answered in silence.
//!
//! Looked at when a call is set up. Must not know: SRTP itself.

use crate::routing::{Srtp, Trunk};
use crate::sdp::{Media, Sdp};
use crate::sip::Message;

/// Whether the trunk takes this INVITE's offer. An INVITE without one cannot be known to be secured.
pub(super) fn fits(trunk: &Trunk, invite: &Message) -> bool {
    let offered = invite.sdp().and_then(|sdp| Sdp::parse(&sdp).ok());
    let is_wanted = |media: &&Media| !media.rejected() && media.is_rtp();
    let mut streams = offered.iter().flat_map(Sdp::medias).filter(is_wanted).peekable();
    match trunk.srtp {
        Srtp::Pass => true,
        Srtp::Refused => !streams.any(Media::is_secured_rtp),
        Srtp::Required => streams.peek().is_some() && streams.all(Media::is_secured_rtp),
    }
}
