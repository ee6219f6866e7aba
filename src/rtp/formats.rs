//! What a peer's SDP says of the payload types that it knows (RFC 3264 §5.1, RFC 3551 §6): a small
//! table of numbers, encodings and clocks, without the names.
//!
//! Must not know: SDP's syntax, ports, addresses.

/// An encoding, as far as the relay treats it differently from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Codec {
    /// Any other.
    #[default]
    Other,
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722 at 64 kbit/s. Its clock in RTP is 8,000 Hz (RFC 3551 §4.5.2).
    G722,
    /// G.723.1.
    G723,
    /// G.726, whatever its rate.
    G726,
    /// G.728.
    G728,
    /// G.729, with or without its annexes.
    G729,
    /// GSM full rate.
    Gsm,
    /// iLBC (RFC 3952).
    Ilbc,
    /// Opus (RFC 7587).
    Opus,
    /// Speex (RFC 5574).
    Speex,
    /// AMR (RFC 4867).
    Amr,
    /// AMR-WB (RFC 4867).
    AmrWb,
    /// EVS (3GPP TS 26.445, annex A).
    Evs,
    /// Keys and tones as events (RFC 4733).
    TelephoneEvent,
    /// Comfort noise (RFC 3389).
    ComfortNoise,
    /// What was lost, once more (RFC 2198).
    Redundancy,
}

impl Codec {
    /// By the encoding name of a=rtpmap, in any case.
    pub fn named(name: &str) -> Codec {
        const NAMES: [(&str, Codec); 20] = [
            ("PCMU", Codec::Pcmu),
            ("PCMA", Codec::Pcma),
            ("G722", Codec::G722),
            ("G723", Codec::G723),
            ("G726-16", Codec::G726),
            ("G726-24", Codec::G726),
            ("G726-32", Codec::G726),
            ("G726-40", Codec::G726),
            ("G728", Codec::G728),
            ("G729", Codec::G729),
            ("GSM", Codec::Gsm),
            ("iLBC", Codec::Ilbc),
            ("opus", Codec::Opus),
            ("speex", Codec::Speex),
            ("AMR", Codec::Amr),
            ("AMR-WB", Codec::AmrWb),
            ("EVS", Codec::Evs),
            ("telephone-event", Codec::TelephoneEvent),
            ("CN", Codec::ComfortNoise),
            ("red", Codec::Redundancy),
        ];
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Codec::Other, |(_, codec)| *codec)
    }
}

/// One payload type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Format {
    /// 0–127.
    pub payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// The clock of its timestamps, in Hz; 0: it is not known.
    pub clock_hz: u32,
}

impl Format {
    /// What a payload type is that no SDP need say (RFC 3551 §6); `None`: it is dynamic, or reserved.
    pub const fn of_static_type(payload_type: u8) -> Option<Format> {
        let (codec, clock_hz) = match payload_type {
            0 => (Codec::Pcmu, 8_000),
            3 => (Codec::Gsm, 8_000),
            4 => (Codec::G723, 8_000),
            8 => (Codec::Pcma, 8_000),
            9 => (Codec::G722, 8_000),
            13 | 19 => (Codec::ComfortNoise, 8_000),
            15 => (Codec::G728, 8_000),
            18 => (Codec::G729, 8_000),
            6 => (Codec::Other, 16_000),
            10 | 11 => (Codec::Other, 44_100),
            14 | 25 | 26 | 28 | 31..=34 => (Codec::Other, 90_000),
            16 => (Codec::Other, 11_025),
            17 => (Codec::Other, 22_050),
            1..=34 => (Codec::Other, 8_000),
            _ => return None,
        };
        Some(Format { payload_type, codec, clock_hz })
    }
}

/// The payload types that a peer's SDP lists, in its order. Plain data of a fixed size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Formats {
    list: [Format; Formats::MAX],
    count: u8,
}

impl Formats {
    /// More are not kept: who offers so many is content with the first of them.
    pub const MAX: usize = 16;

    /// Nothing known.
    pub const EMPTY: Formats = Formats {
        list: [Format { payload_type: 0, codec: Codec::Other, clock_hz: 0 }; Formats::MAX],
        count: 0,
    };

    /// The table of these; what is beyond [`Formats::MAX`] is left out.
    pub fn of(formats: impl IntoIterator<Item = Format>) -> Formats {
        let mut table = Formats::default();
        for (place, format) in table.list.iter_mut().zip(formats) {
            *place = format;
            table.count += 1;
        }
        table
    }

    /// Those that are known; none where no SDP told them.
    pub fn iter(&self) -> impl Iterator<Item = &Format> {
        self.list.iter().take(usize::from(self.count))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there may be more than are kept.
    pub fn is_full(&self) -> bool {
        usize::from(self.count) == Formats::MAX
    }

    /// Whether a codec is among them.
    pub fn has(&self, codec: Codec) -> bool {
        self.iter().any(|format| format.codec == codec)
    }

    /// These, and of the others those whose numbers are not among them, as far as they fit.
    pub fn and(&self, others: &Formats) -> Formats {
        let is_new = |format: &&Format| self.of_payload_type(format.payload_type).is_none();
        Formats::of(self.iter().chain(others.iter().filter(is_new)).copied())
    }

    /// What a payload type is.
    pub fn of_payload_type(&self, payload_type: u8) -> Option<&Format> {
        self.iter().find(|format| format.payload_type == payload_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_order_and_what_fits() {
        let format = |payload_type| Format { payload_type, codec: Codec::Other, clock_hz: 8_000 };
        let formats = Formats::of((0..40).map(format));
        assert_eq!(formats.iter().count(), Formats::MAX);
        assert_eq!(formats.of_payload_type(15), Some(&format(15)));
        assert_eq!(formats.of_payload_type(16), None);
        assert!(Formats::default().is_empty() && !formats.is_empty());
        assert!(formats.is_full() && !Formats::default().is_full());
    }

    #[test]
    fn static_types_are_known_without_sdp() {
        let known =
            |payload_type| Format::of_static_type(payload_type).map(|format| (format.codec, format.clock_hz));
        assert_eq!(known(0), Some((Codec::Pcmu, 8_000)));
        assert_eq!(known(9), Some((Codec::G722, 8_000)));
        assert_eq!(known(5), Some((Codec::Other, 8_000)));
        assert_eq!(known(34), Some((Codec::Other, 90_000)));
        assert_eq!((known(35), known(96), known(127)), (None, None, None));
    }

    #[test]
    fn names_are_known_in_any_case() {
        for (name, codec) in [
            ("pcmu", Codec::Pcmu),
            ("ILBC", Codec::Ilbc),
            ("Opus", Codec::Opus),
            ("G722", Codec::G722),
            ("x", Codec::Other),
        ] {
            assert_eq!(Codec::named(name), codec, "{name}");
        }
    }
}
