use super::*;

const NONE: [Option<&Formats>; 2] = [None, None];

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes
}

fn receive(quality: &mut Quality, bytes: &[u8], at_ms: u64, formats: [Option<&Formats>; 2]) {
    quality.receive(&RtpPacket::parse(bytes).unwrap(), Instant::from_millis(at_ms), || formats);
}

/// Feeds sequence numbers, one each 20 ms with timestamps to match.
fn measure(sequences: impl IntoIterator<Item = u16>) -> Quality {
    let mut quality = Quality::default();
    for (index, sequence) in (0u32..).zip(sequences) {
        receive(&mut quality, &packet(7, sequence, index * 160), 1_000 + 20 * u64::from(index), NONE);
    }
    quality
}

/// Feeds SSRCs with sequence numbers.
fn measure_sources(packets: &[(u32, u16)]) -> Quality {
    let mut quality = Quality::default();
    for (ssrc, sequence) in packets {
        receive(&mut quality, &packet(*ssrc, *sequence, 0), 0, NONE);
    }
    quality
}

fn format(payload_type: u8, codec: Codec, clock_hz: u32) -> Formats {
    Formats::of([Format { payload_type, codec, clock_hz }])
}

#[test]
fn nothing_lost_in_order_over_the_wrap() {
    let quality = measure((0..1_000u16).map(|index| 65_000u16.wrapping_add(index)));
    assert_eq!((quality.received(), quality.expected(), quality.lost()), (1_000, 1_000, 0));
    assert!(quality.jitter() < Duration::from_micros(1));
}

#[test]
fn gaps_are_loss_and_late_packets_fill_them() {
    assert_eq!(measure([1, 2, 5, 6]).lost(), 2);
    assert_eq!(measure([65_534, 2]).lost(), 3);
    let quality = measure([1, 2, 5, 3, 4, 6]);
    assert_eq!((quality.lost(), quality.reordered(), quality.duplicates()), (0, 2, 0));
}

#[test]
fn doubled_packets_neither_make_loss_nor_hide_it() {
    let quality = measure([1, 2, 2, 2, 3]);
    assert_eq!((quality.received(), quality.lost(), quality.duplicates()), (5, 0, 2));
    let quality = measure([1, 2, 2, 2, 5]);
    assert_eq!((quality.expected(), quality.lost(), quality.duplicates()), (5, 2, 2));
}

#[test]
fn a_restart_is_no_loss() {
    let quality = measure([10, 11, 12, 40_000, 40_001, 40_002]);
    assert_eq!((quality.received(), quality.expected(), quality.lost()), (6, 6, 0));
    assert_eq!((quality.restarts(), quality.ssrc_changes()), (1, 0));
}

#[test]
fn one_stray_packet_is_no_restart() {
    let quality = measure([10, 11, 40_000, 12, 13]);
    assert_eq!((quality.received(), quality.lost(), quality.restarts()), (5, 0, 0));
}

#[test]
fn a_new_source_keeps_what_the_old_one_lost_and_the_step_is_no_loss() {
    let quality = measure_sources(&[(1, 100), (1, 103), (2, 9_000), (2, 9_002)]);
    assert_eq!((quality.lost(), quality.expected(), quality.ssrc_changes()), (3, 7, 1));
    assert_eq!(quality.sequence_step(), Some(9_000 - 103));
    // One that counts on, with a gap or without, and one that begins before it.
    for (first, step) in [(104, 1), (200, 97), (90, -13), (103, 0)] {
        let quality = measure_sources(&[(1, 100), (1, 103), (2, first), (2, first + 1)]);
        assert_eq!((quality.lost(), quality.expected()), (2, 6), "{first}");
        assert_eq!(quality.sequence_step(), Some(step));
    }
}

#[test]
fn sources_that_take_turns_hide_no_loss() {
    let turns: Vec<(u32, u16)> =
        (0..100).filter(|n| n % 10 != 5).flat_map(|n| [(1, n), (2, 30_000 + n)]).collect();
    let quality = measure_sources(&turns);
    assert_eq!((quality.received(), quality.lost(), quality.ssrc_changes()), (180, 20, 1));
    // The last packets of the old source come after the first of the new one.
    let quality = measure_sources(&[(1, 5), (2, 700), (1, 6), (2, 701), (1, 7), (2, 702)]);
    assert_eq!((quality.lost(), quality.expected(), quality.ssrc_changes()), (0, 6, 1));
    // A third one is as good as new.
    let quality = measure_sources(&[(1, 5), (1, 7), (2, 700), (3, 9), (3, 11), (1, 8)]);
    assert_eq!((quality.lost(), quality.expected(), quality.ssrc_changes()), (2, 8, 3));
}

#[test]
fn jitter_follows_the_formula_of_the_rfc() {
    // Packets alternately on time and 8 ms late: |D| is 8 ms each time, so J converges to it
    // by 1/16 a packet: after n packets 8·(1 − (15/16)^n).
    let mut quality = Quality::default();
    for index in 0..11u32 {
        let late = if index % 2 == 1 { 8 } else { 0 };
        receive(
            &mut quality,
            &packet(1, index as u16, index * 160),
            500 + u64::from(index) * 20 + late,
            NONE,
        );
    }
    let after = |n: i32| 8.0 * (1.0 - (15.0f64 / 16.0).powi(n));
    let ms = |jitter: Duration| jitter.as_secs_f64() * 1_000.0;
    assert!((ms(quality.jitter()) - after(10)).abs() < 0.01);
    assert!((ms(quality.jitter_max()) - after(10)).abs() < 0.01);
    let mean = (1..=10).map(after).sum::<f64>() / 10.0;
    assert!((ms(quality.jitter_mean()) - mean).abs() < 0.01);
}

#[test]
fn a_dynamic_payload_types_clock_is_told_from_its_timestamps() {
    for (clock_hz, late_ms) in [(48_000u32, 0), (48_000, 6), (16_000, 6), (8_000, 6), (90_000, 6)] {
        let quality = jittery(111, clock_hz, late_ms, NONE, 400);
        let jitter_ms = quality.jitter().as_secs_f64() * 1_000.0;
        assert!((jitter_ms - late_ms as f64).abs() < 0.1, "{clock_hz} Hz: {jitter_ms} ms");
    }
}

/// Packets of a payload type, every second one late.
fn jittery(
    payload_type: u8,
    clock_hz: u32,
    late_ms: u64,
    formats: [Option<&Formats>; 2],
    packets: u32,
) -> Quality {
    let mut quality = Quality::default();
    for index in 0..packets {
        let mut bytes = packet(1, index as u16, (index * clock_hz / 50).wrapping_sub(5_000));
        bytes[1] = payload_type;
        let late = if index % 2 == 1 { late_ms } else { 0 };
        receive(&mut quality, &bytes, u64::from(index) * 20 + late, formats);
    }
    quality
}

#[test]
fn the_clock_of_sdp_counts_from_the_first_packet_on() {
    let after_ten = 6.0 * (1.0 - (15.0f64 / 16.0).powi(10));
    let opus = format(111, Codec::Opus, 48_000);
    let other = format(96, Codec::Ilbc, 8_000);
    for formats in [[Some(&opus), None], [Some(&other), Some(&opus)]] {
        let quality = jittery(111, 48_000, 6, formats, 11);
        assert!((quality.jitter().as_secs_f64() * 1_000.0 - after_ten).abs() < 0.01);
        assert_eq!(quality.codec(), Codec::Opus);
    }
    assert_eq!(jittery(111, 48_000, 6, NONE, 11).jitter(), Duration::ZERO);
    // What SDP says of a number is more than what the number means without it; G.722 has 8,000 always.
    let renumbered = format(0, Codec::Amr, 8_000);
    assert_eq!(jittery(0, 8_000, 0, [Some(&renumbered), None], 5).codec(), Codec::Amr);
    let mistaken = format(9, Codec::G722, 16_000);
    let quality = jittery(9, 8_000, 6, [Some(&mistaken), None], 11);
    assert!((quality.jitter().as_secs_f64() * 1_000.0 - after_ten).abs() < 0.01);
}

#[test]
fn another_clock_within_a_source_is_no_jitter() {
    let opus = format(111, Codec::Opus, 48_000);
    let mut quality = Quality::default();
    for index in 0..40u32 {
        let (payload_type, timestamp) = if index < 20 { (0, index * 160) } else { (111, index * 960) };
        let mut bytes = packet(1, index as u16, timestamp);
        bytes[1] = payload_type;
        receive(&mut quality, &bytes, u64::from(index) * 20, [Some(&opus), None]);
    }
    assert!(quality.jitter_max() < Duration::from_micros(1), "{:?}", quality.jitter_max());
}

#[test]
fn the_score_is_that_of_the_codec_that_speaks() {
    let g729 = jittery(18, 8_000, 0, NONE, 100);
    let pcmu = jittery(0, 8_000, 0, NONE, 100);
    assert!(g729.mean_opinion_score().unwrap() < pcmu.mean_opinion_score().unwrap() - 0.2);
    // Keys and noise change nothing.
    let events = format(101, Codec::TelephoneEvent, 8_000);
    let mut quality = g729;
    for (sequence, payload_type) in [(100, 101), (101, 13)] {
        let mut bytes = packet(1, sequence, 0);
        bytes[1] = payload_type;
        receive(&mut quality, &bytes, 2_000, [Some(&events), None]);
    }
    assert_eq!(quality.codec(), Codec::G729);
}

#[test]
fn events_are_not_jitter() {
    let quality = measure_shared_timestamp();
    assert_eq!(quality.jitter_max(), Duration::ZERO);
    // A key that is told late and for long, between packets that are on time.
    let events = format(101, Codec::TelephoneEvent, 8_000);
    let mut quality = Quality::default();
    for index in 0..60u32 {
        let is_key = (20..40).contains(&index);
        let mut bytes = packet(1, index as u16, if is_key { 20 * 160 } else { index * 160 });
        bytes[1] = if is_key { 101 } else { 0 };
        receive(&mut quality, &bytes, u64::from(index) * 20, [Some(&events), None]);
    }
    assert!(quality.jitter_max() < Duration::from_micros(1), "{:?}", quality.jitter_max());
    assert!(!quality.suppresses_silence());
}

fn measure_shared_timestamp() -> Quality {
    let mut quality = Quality::default();
    for index in 0..20u16 {
        receive(&mut quality, &packet(1, index, 160), u64::from(index) * 50, NONE);
    }
    quality
}

#[test]
fn who_pauses_without_losing_a_number_or_sends_comfort_noise_suppresses_silence() {
    let stream = |pauses: &[u32]| {
        let mut quality = Quality::default();
        let mut timestamp = 0;
        for index in 0..100u32 {
            timestamp += if pauses.contains(&index) { 8_000 } else { 160 };
            let at_ms = u64::from(timestamp) / 8;
            receive(&mut quality, &packet(1, index as u16, timestamp), at_ms, NONE);
        }
        quality.suppresses_silence()
    };
    assert!(!stream(&[]) && !stream(&[30]) && stream(&[30, 60]));
    // A second of loss is none.
    assert!(!measure((0..10).chain(60..70).chain(120..130)).suppresses_silence());
    let noise = |payload_type: u8, bytes: usize| {
        let mut quality = measure(0..10);
        let mut packet = packet(7, 10, 1_600);
        packet[1] = payload_type;
        packet.resize(12 + bytes, 0);
        receive(&mut quality, &packet, 1_200, NONE);
        quality.suppresses_silence()
    };
    assert!(noise(13, 1) && noise(18, 12) && noise(18, 2) && noise(4, 4));
    assert!(!noise(18, 20) && !noise(4, 24) && !noise(0, 160));
}

#[test]
fn loss_in_bursts_is_told_from_random_loss() {
    let random = measure((0..2_001).filter(|n| n % 20 != 7));
    let bursts = measure((0..2_001).filter(|n| n % 200 < 190));
    assert_eq!((random.lost(), bursts.lost()), (100, 100));
    assert!((random.burst_ratio() - 0.95).abs() < 0.01, "{}", random.burst_ratio());
    assert!(bursts.burst_ratio() > 8.0, "{}", bursts.burst_ratio());
    assert!(bursts.mean_opinion_score() < random.mean_opinion_score());
    assert_eq!(measure(0..10).burst_ratio(), 1.0);
    assert_eq!(measure([]).mean_opinion_score(), None);
}

#[test]
fn a_measurement_is_small() {
    assert!(size_of::<Quality>() <= 288, "{}", size_of::<Quality>());
}
