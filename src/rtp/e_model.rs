//! An opinion score from loss and jitter: the E-model of ITU-T G.107 with the codec's own impairment
//! (G.113). What is not seen from the middle of a call (echo, loudness, the whole delay) has G.107's
//! defaults.
//!
//! **Wideband codecs** are rated on the narrowband scale as G.711 is, the best that it has: their
//! scale (G.107.1) begins where this one ends, and one histogram cannot have two. So their score says
//! what the network did to them and not how much wider they sound, and calls can be compared.
//!
//! Must not know: packets.

use std::time::Duration;

use super::Codec;

/// R with every default of G.107 (its clause 7.7).
const DEFAULT_RATING: f64 = 93.2;
/// The voice in one packet, as far as it delays: most send 20 ms.
const PACKET_MS: f64 = 20.0;
/// A jitter buffer holds some twice the jitter.
const BUFFERED_JITTERS: f64 = 2.0;
/// The range of burst ratios for which G.107 gives its formula.
const BURST_RATIO: (f64, f64) = (1.0, 2.0);

/// What a codec does to speech, by itself and when packets are lost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// Ie: what it takes off the rating R without any loss.
    pub equipment: f64,
    /// Bpl: how well it bears random loss, in per cent of packets.
    pub loss_robustness: f64,
}

impl Impairment {
    /// By the tables I.1 and I.4 of G.113 Appendix I, where they have the codec. Phones conceal lost
    /// packets of G.711 (its Appendix I); one that does not has 4.3 in the place of 25.1.
    ///
    /// What the tables do not have is estimated: the robustness of G.726, G.728 and GSM, iLBC (whose
    /// frames do not build on each other), Speex as G.729, and all that is wider than 4 kHz.
    pub const fn of(codec: Codec) -> Impairment {
        let (equipment, loss_robustness) = match codec {
            Codec::Pcmu | Codec::Pcma => (0.0, 25.1),
            // At 32 kbit/s.
            Codec::G726 => (7.0, 25.1),
            Codec::G728 => (7.0, 10.0),
            // G.729A with VAD.
            Codec::G729 => (11.0, 19.0),
            // G.723.1 at 6.3 kbit/s with VAD.
            Codec::G723 => (15.0, 16.1),
            Codec::Gsm => (20.0, 10.0),
            // At 12.2 kbit/s, which is GSM's enhanced full rate.
            Codec::Amr => (5.0, 10.0),
            Codec::Ilbc => (11.0, 32.0),
            Codec::Speex => (11.0, 19.0),
            Codec::G722 | Codec::Opus => (0.0, 25.1),
            Codec::AmrWb | Codec::Evs => (0.0, 10.0),
            // Not known, or no voice: as the most common.
            Codec::Other | Codec::TelephoneEvent | Codec::ComfortNoise | Codec::Redundancy => (0.0, 25.1),
        };
        Impairment { equipment, loss_robustness }
    }

    /// Ie,eff of G.107 (clause 7.5): with this share of packets lost (0–1), in bursts that are
    /// `burst_ratio` times as long as those of random loss.
    pub fn with_loss(&self, loss_ratio: f64, burst_ratio: f64) -> f64 {
        let loss_percent = loss_ratio.clamp(0.0, 1.0) * 100.0;
        let burst_ratio = burst_ratio.clamp(BURST_RATIO.0, BURST_RATIO.1);
        self.equipment
            + (95.0 - self.equipment) * loss_percent / (loss_percent / burst_ratio + self.loss_robustness)
    }
}

/// A mean opinion score, 1.0–4.5. Of the delay only what a packet and a jitter buffer make is counted:
/// it is known of every call, and nobody's round trip makes one call look worse than another.
pub fn mean_opinion_score(codec: Codec, loss_ratio: f64, burst_ratio: f64, jitter: Duration) -> f64 {
    let delay_ms = PACKET_MS + BUFFERED_JITTERS * jitter.as_secs_f64() * 1_000.0;
    let delay_impairment = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let equipment_impairment = Impairment::of(codec).with_loss(loss_ratio, burst_ratio);
    opinion_of_rating(DEFAULT_RATING - delay_impairment - equipment_impairment)
}

/// The opinion score of a transmission rating R (G.107 annex B).
fn opinion_of_rating(rating: f64) -> f64 {
    let rating = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_give_the_scores_of_g_107() {
        for (rating, score) in
            [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)]
        {
            assert!((opinion_of_rating(rating) - score).abs() < 0.01, "{rating}");
        }
        assert_eq!(opinion_of_rating(-5.0), 1.0);
        assert_eq!(opinion_of_rating(100.0), 4.5);
    }

    /// What listeners said, as G.113 Appendix I tabulates it (table I.2, random loss): the formula is
    /// fitted to it.
    #[test]
    fn the_impairment_by_loss_is_near_what_g_113_measured() {
        let without_concealment = Impairment { loss_robustness: 4.3, ..Impairment::of(Codec::Pcmu) };
        for (impairment, percent, measured) in [
            (Impairment::of(Codec::Pcmu), 0.0, 0.0),
            (Impairment::of(Codec::Pcmu), 2.0, 7.0),
            (Impairment::of(Codec::Pcma), 5.0, 15.0),
            (without_concealment, 2.0, 35.0),
            (without_concealment, 5.0, 55.0),
            (Impairment::of(Codec::G729), 0.0, 11.0),
            (Impairment::of(Codec::G729), 1.0, 15.0),
            (Impairment::of(Codec::G729), 2.0, 19.0),
            (Impairment::of(Codec::G729), 4.0, 26.0),
            (Impairment::of(Codec::G723), 0.0, 15.0),
            (Impairment::of(Codec::G723), 2.0, 24.0),
            (Impairment::of(Codec::G723), 4.0, 32.0),
            (Impairment::of(Codec::Amr), 2.0, 21.0),
        ] {
            let computed = impairment.with_loss(percent / 100.0, 1.0);
            assert!((computed - measured).abs() <= 5.0, "{impairment:?} {percent} %: {computed}");
        }
        assert!((Impairment::of(Codec::G729).with_loss(0.02, 1.0) - 19.0).abs() < 1e-9);
    }

    #[test]
    fn scores_fall_with_loss_and_jitter_and_with_the_codec() {
        let score =
            |codec, loss, jitter_ms| mean_opinion_score(codec, loss, 1.0, Duration::from_millis(jitter_ms));
        assert!(score(Codec::Pcmu, 0.0, 0) > 4.35);
        assert!((3.0..4.0).contains(&score(Codec::Pcmu, 0.05, 0)));
        assert!((3.0..4.0).contains(&score(Codec::Pcmu, 0.0, 150)));
        for (codec, best) in [(Codec::G729, 4.09), (Codec::G723, 3.93), (Codec::Gsm, 3.72)] {
            assert!((score(codec, 0.0, 0) - best).abs() < 0.02, "{codec:?}: {}", score(codec, 0.0, 0));
        }
        assert_eq!(score(Codec::Opus, 0.01, 0), score(Codec::Pcmu, 0.01, 0));
        assert_eq!(score(Codec::Pcmu, 1.0, 9_000), 1.0);
    }

    #[test]
    fn bursts_are_worse_than_random_loss_as_far_as_the_formula_holds() {
        let impairment = Impairment::of(Codec::Pcmu);
        assert!(impairment.with_loss(0.1, 2.0) > impairment.with_loss(0.1, 1.0));
        assert_eq!(impairment.with_loss(0.1, 50.0), impairment.with_loss(0.1, 2.0));
        assert_eq!(impairment.with_loss(0.1, 0.0), impairment.with_loss(0.1, 1.0));
    }
}
