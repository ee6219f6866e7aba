//! Telephone events (RFC 4733) in the name of a peer that has none: for who sends its keys to us so, and
//! they go on as INFO.
//!
//! Must not know: SIP, what becomes of the events.

use bytes::Bytes;

use super::media::{Media, MediaKind};
use super::parse::parse;
use super::{Sdp, SdpFault};

/// Where an offer says nothing else, events have the number that most devices give them.
const USUAL: u8 = 101;

impl Media {
    /// Whether telephone events could go with it: it is audio by plain RTP.
    pub fn can_have_events(&self) -> bool {
        self.kind == MediaKind::Audio && !self.rejected() && self.is_rtp() && !self.is_secured_rtp()
    }

    /// The payload type that it lists for telephone events.
    pub fn event_payload_type(&self) -> Option<u8> {
        let mut codecs = self.codecs();
        codecs
            .find(|codec| codec.name.eq_ignore_ascii_case("telephone-event"))
            .map(|codec| codec.payload_type)
    }

    /// A dynamic payload type that it does not list.
    pub fn free_payload_type(&self) -> Option<u8> {
        let is_free = |wanted: &u8| !self.formats.iter().any(|format| format.payload_type == Some(*wanted));
        std::iter::once(USUAL).chain(96..=127).find(is_free)
    }
}

impl Sdp {
    /// The same description with telephone events in one m= line, at the end of its formats.
    pub fn with_events(&self, at: usize, payload_type: u8) -> Result<Sdp, SdpFault> {
        let Some(media) = self.medias.get(at) else { return Ok(self.clone()) };
        let lines = &self.lines[media.lines.clone()];
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(self.clone()) };
        let (head, rest) = self.bytes.split_at(usize::from(first.value_end));
        let end = usize::from(last.value_end) + usize::from(last.end_bytes) - head.len();
        let (own, others) = rest.split_at(end);
        let mut bytes = [head, format!(" {payload_type}").as_bytes(), own].concat();
        if !bytes.ends_with(b"\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        let attributes =
            format!("a=rtpmap:{payload_type} telephone-event/8000\r\na=fmtp:{payload_type} 0-15\r\n");
        bytes.extend_from_slice(attributes.as_bytes());
        bytes.extend_from_slice(others);
        parse(&Bytes::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stand_at_the_end_of_their_line_and_nothing_else_changes() {
        let text = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
            m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 opus/48000/2\r\nm=video 30002 RTP/AVP 34\r\na=x";
        let sdp = Sdp::parse(&Bytes::from_static(text.as_bytes())).unwrap();
        let audio = &sdp.medias()[0];
        assert_eq!((audio.can_have_events(), audio.event_payload_type()), (true, None));
        assert_eq!(audio.free_payload_type(), Some(96), "101 is taken");
        let with = sdp.with_events(0, 96).unwrap();
        assert_eq!(with.medias()[0].event_payload_type(), Some(96));
        let expected = text.replace("AVP 0 101\r\n", "AVP 0 101 96\r\n").replace(
            "opus/48000/2\r\n",
            "opus/48000/2\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n",
        );
        assert_eq!(with.as_bytes(), expected.as_bytes());
        let video = sdp.with_events(1, 101).unwrap();
        assert_eq!(video.medias()[1].event_payload_type(), Some(101), "a last line without an end");
        assert_eq!(sdp.with_events(9, 101).unwrap().as_bytes(), text.as_bytes());
        assert!(!sdp.medias()[1].can_have_events());
    }
}
