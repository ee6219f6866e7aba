//! The JSON, to the letter, and whatever a peer may send.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A packet of a compound: its length is worked out, for nobody can.
fn part(count: u8, packet_type: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    assert!(content.len().is_multiple_of(4));
    let words = u16::try_from(content.len() / 4).unwrap().to_be_bytes();
    [&[0x80 | count, packet_type, words[0], words[1]][..], &content].concat()
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn written(datagram: &[u8]) -> String {
    String::from_utf8(json(datagram).unwrap()).unwrap()
}

#[test]
fn a_compound_of_every_report_is_one_object() {
    let block = |ssrc, lost| words([ssrc, lost, 0x0001_0203, 160, 0xabcd_ef01, 0x0001_8000]);
    let sender = words([3_900_000_000, 0x8000_0000, 160_000, 1_000, 160_000]);
    let names = [
        &words([1])[..],
        &[1, 13],
        b"\"al\\\0\nice@h\xc3\xa9",
        &[6, 4, b'0', 0xff, b'3', 0x7f],
        &[0, 0, 0],
        &words([2]),
        &[1, 1, b'b', 0],
    ];
    let metrics =
        [&words([0xbeef])[..], &[25, 51, 12, 13], &words([0x0064_0065, 0x0066_0067, 0, 0x5d7f_297f, 0])]
            .concat();
    let metrics = [&[7, 0, 0, 8][..], &metrics, &[0; 4]].concat();
    let datagram = [
        part(1, 200, &[&words([1]), &sender, &block(0xbeef, 0x4000_03e8)]),
        part(2, 202, &names),
        // More of the same reporter's, and what another reports.
        part(1, 201, &[&words([1]), &block(7, 0x00ff_fffd)]),
        part(1, 201, &[&words([99]), &block(8, 0)]),
        part(0, 207, &[&words([1]), &[4, 0, 0, 2], &[1; 8], &metrics]),
        part(1, 203, &[&words([1])]),
    ]
    .concat();
    let expected = concat!(
        r#"{"sender_information":{"ntp_timestamp_sec":3900000000,"ntp_timestamp_usec":2147483648,"#,
        r#""rtp_timestamp":160000,"packets":1000,"octets":160000},"ssrc":1,"type":200,"report_count":2,"#,
        r#""report_blocks":[{"source_ssrc":48879,"fraction_lost":64,"packets_lost":1000,"highest_seq_no":66051,"#,
        r#""ia_jitter":160,"lsr":2882400001,"dlsr":98304},{"source_ssrc":7,"fraction_lost":0,"packets_lost":-3,"#,
        r#""highest_seq_no":66051,"ia_jitter":160,"lsr":2882400001,"dlsr":98304}],"#,
        r#""report_blocks_xr":{"type":7,"id":48879,"fraction_lost":25,"fraction_discard":51,"burst_density":12,"#,
        r#""gap_density":13,"burst_duration":100,"gap_duration":101,"round_trip_delay":102,"end_system_delay":103},"#,
        r#""sdes_ssrc":1,"sdes_report_count":2,"sdes_information":[{"sdes_chunk_ssrc":1,"type":1,"#,
        r#""text":"\"al\\__ice@hé"},{"sdes_chunk_ssrc":1,"type":6,"text":"0_3_"},"#,
        r#"{"sdes_chunk_ssrc":2,"type":1,"text":"b"}]}"#,
    );
    assert_eq!(written(&datagram), expected);
}

#[test]
fn an_extended_report_may_come_alone_and_padding_is_no_part_of_it() {
    let alone = r#"{"ssrc":5,"type":207,"report_count":0,"report_blocks":[]}"#;
    assert_eq!(written(&part(0, 207, &[&words([5])])), alone);
    let mut padded = part(0, 207, &[&words([5]), &[7, 0, 0, 4]]);
    padded[0] |= 0x20;
    assert_eq!(written(&padded), alone);
    let receiver = part(0, 201, &[&words([5])]);
    let both = [part(0, 207, &[&words([5])]), receiver].concat();
    assert_eq!(written(&both), alone.replace("207", "201"));
}

#[test]
fn what_reports_nothing_is_nothing() {
    let feedback = part(1, 206, &[&words([1, 2])]);
    let names = part(1, 202, &[&words([1]), &[1, 1, b'x', 0]]);
    for datagram in [&b""[..], b"rubbish", &feedback, &names, &[0x80, 200, 0, 0, 0x80, 201, 0, 0]] {
        assert_eq!(json(datagram), None, "{datagram:?}");
    }
}

#[test]
fn what_is_counted_but_not_there_is_not_made_up() {
    // A sender's report without its half, and 31 chunks of which one is there and cut short.
    let short =
        [part(31, 200, &[&words([5, 1, 2])]), part(31, 202, &[&words([5]), &[1, 9, b'x', 0]])].concat();
    let expected = concat!(
        r#"{"ssrc":5,"type":200,"report_count":0,"report_blocks":[],"#,
        r#""sdes_ssrc":5,"sdes_report_count":31,"sdes_information":[]}"#
    );
    assert_eq!(written(&short), expected);
}

#[test]
fn the_longest_datagram_makes_no_long_object() {
    let blocks = [0x41; 24 * 31];
    // Each item as short as can be, or each character as long.
    let items = [1, 0].repeat(350);
    let quotes = [&[7, 255][..], &[b'"'; 255]].concat().repeat(2);
    for names in [items, quotes] {
        let reports = part(31, 201, &[&words([1]), &blocks]);
        let padding = vec![0; 4 - names.len() % 4];
        let datagram = [reports, part(1, 202, &[&words([1]), &names, &padding])].concat();
        let text = written(&datagram);
        assert!(text.len() < 8_000, "{}", text.len());
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["report_blocks"].as_array().unwrap().len(), 31);
        assert!(read["sdes_information"].as_array().unwrap().len() <= 16);
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_sound_json_without_control_characters_or_nothing(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        types in proptest::collection::vec(prop_oneof![Just(200u8), Just(201), Just(202), Just(207), any::<u8>()], 12),
        as_it_is in any::<bool>(),
    ) {
        // Mostly sound: packets of a few words, of the types that are read.
        let mut at = 0;
        for packet_type in types {
            let Some(header) = bytes.get_mut(at..at + 4).filter(|_| !as_it_is) else { break };
            (header[0], header[1]) = (0x80 | header[0] & 0x1f, packet_type.clamp(192, 223));
            (header[2], header[3]) = (0, header[3] % 24);
            at += 4 * (1 + usize::from(header[3]));
        }
        if !as_it_is {
            bytes.truncate(at);
        }
        if let Some(text) = json(&bytes) {
            let text = String::from_utf8(text).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(!text.contains("\\u") && !text.contains(|c: char| c.is_control()));
            prop_assert!(read["ssrc"].is_u64() && text.len() < 20_000);
            prop_assert_eq!(&read["report_count"], &Value::from(read["report_blocks"].as_array().unwrap().len()));
        }
    }
}
