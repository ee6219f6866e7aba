use expect_test::expect;
use serde_json::json;

use super::*;
use crate::cli::style::Palette;

fn data() -> Data {
    let target = |address: &str, state: &str, ms: Value| json!({ "address": address, "transport": "udp", "state": state, "latency_ms": ms });
    let points: Vec<Value> = (0..300).map(|at| json!({ "active": at / 10, "calls": 1 })).collect();
    Data {
        snapshot: json!({
            "at": "2026-03-21T09:05:07.042Z",
            "status": { "node": "sbc1", "version": "1.2.3", "engine": "io_uring", "state": "serving", "calls": 29,
                        "uptime_seconds": 7_500, "configuration": { "faults": [] },
                        "media_ports": { "trusted": { "in_use": 58, "limit": 10_000 },
                                         "untrusted": { "in_use": 58, "limit": 10_000 } } },
            "second": { "packets": 2_900, "bytes": 498_800, "relay_load": 0.052, "engine_load": 0.017 },
            "relay_loads": [0.052, 0.031],
            "windows": { "five_minutes": { "active_max": 30, "asr": 0.8182, "ner": 0.9394, "attempts": 330,
                "delay_p50_ms": 215.0, "delay_p95_ms": 1_400.0, "answer_p50_ms": 4_210.0, "mos": 4.401, "dropped": 19 } },
            "trunks": [
                { "name": "pbx", "state": "up", "calls": 29, "limits": { "calls": null },
                  "hour": { "asr": null, "ner": null, "mos": null },
                  "targets": [target("10.0.0.10:5060", "up", json!(1.2))] },
                { "name": "carrier", "state": "up", "calls": 29, "limits": { "calls": 200 },
                  "hour": { "asr": 0.8, "ner": 0.92, "mos": 4.4 },
                  "targets": [target("192.0.2.1:5060", "up", json!(20.4)), target("192.0.2.2:5060", "down", Value::Null)] },
            ],
        }),
        calls: json!({ "total": 2, "calls": [
            { "id": "00ab", "from": "+14155550100", "to": "911", "phase": "answered", "seconds": 3_725, "emergency": true,
              "ingress": { "trunk": null, "remote": "10.0.0.9:5060" }, "egress": { "trunk": "carrier" } },
            { "id": "00cd", "from": "\u{1b}[2Jevil", "to": "+442079460000442079460000", "phase": "setup", "seconds": 7,
              "ingress": { "trunk": "pbx" }, "egress": null },
        ]}),
        history: json!({ "seconds": { "points": points } }),
        call: None,
    }
}

fn drawn(screen: &Screen, size: Size, lost: Option<&str>) -> String {
    let data = data();
    let lines = Frame { data: &data, screen, size, lost }.lines();
    assert_eq!(lines.len(), size.height);
    let lines: Vec<String> = lines.iter().map(|line| line.print(Palette::PLAIN)).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= size.width), "{lines:#?}");
    lines.join("\n") + "\n"
}

const SMALL: Size = Size { width: 80, height: 14 };

#[test]
fn the_trunks_stand_below_the_node() {
    expect![[r#"
        sbc1  serving  up 2 h 5 min  Drawbridge 1.2.3, io_uring  09:05:07 UTC
        calls    29 at most 30, new 1.0/s, ASR 82 %, NER 94 % of 330 in 5 min
        quality  PDD 215 ms, 95 % within 1.4 s, answered after 4.2 s, MOS 4.40
        media    2900 packets/s, 4.0 Mbit/s, 19 dropped; ports 58/10000 trusted, 58/100…
        load     relay 5 % (2 workers), engine 2 %
        5 min    ▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇██
        trunks (2)  calls   as configured
        TRUNK           STATE            CALLS    ASR    NER   MOS  TARGETS
        pbx             up                  29      -      -     -  10.0.0.10:5060 1 ms
        carrier         up              29/200   80 %   92 %  4.40  192.0.2.2:5060 down…



        q quit   tab trunks, calls   ↑↓ select   enter open   / filter   s sort
    "#]]
    .assert_eq(&drawn(&Screen::default(), SMALL, None));
}

#[test]
fn the_calls_are_searched_and_what_a_peer_chose_moves_no_cursor() {
    let screen = Screen { tab: Tab::Calls, filter: "+4".to_owned(), is_typing: true, ..Screen::default() };
    expect![[r#"
        sbc1  serving  old: no daemon listens at /run/drawbridge/admin.sock  up 2 h 5 m…
        calls    29 at most 30, new 1.0/s, ASR 82 %, NER 94 % of 330 in 5 min
        quality  PDD 215 ms, 95 % within 1.4 s, answered after 4.2 s, MOS 4.40
        media    2900 packets/s, 4.0 Mbit/s, 19 dropped; ports 58/10000 trusted, 58/100…
        load     relay 5 % (2 workers), engine 2 %
        5 min    ▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇██
        calls (1)  trunks   oldest first   /+4▏
        FROM                TO                  PHASE           FOR  IN            OUT
        �[2Jevil            +4420794600004420…  setup          0:07  pbx           -




        enter keep the filter   esc no filter
    "#]]
    .assert_eq(&drawn(&screen, SMALL, Some("no daemon listens at /run/drawbridge/admin.sock")));
}

#[test]
fn any_size_is_drawn() {
    for (width, height) in [(1, 1), (20, 5), (80, 24), (200, 60)] {
        drawn(&Screen { tab: Tab::Calls, row: 1, ..Screen::default() }, Size { width, height }, None);
        drawn(
            &Screen { call: Some("00ab".to_owned()), row: 7, ..Screen::default() },
            Size { width, height },
            None,
        );
    }
}

#[test]
fn a_daemon_that_says_nothing_is_drawn_too() {
    let data = Data::default();
    let screen = Screen::default();
    let frame = Frame { data: &data, screen: &screen, size: SMALL, lost: None };
    assert_eq!(frame.lines().len(), SMALL.height);
}

/// What the daemon serves (`admin/golden.rs`).
#[test]
fn the_calls_that_are_served_are_the_calls_that_are_read() {
    let calls = serde_json::from_str(include_str!("../../../admin/golden/calls.json")).unwrap();
    let data = Data { calls, ..Data::default() };
    let screen = Screen { tab: Tab::Calls, ..Screen::default() };
    let lines = Frame { data: &data, screen: &screen, size: SMALL, lost: None }.lines();
    let page: String = lines.iter().map(|line| line.print(Palette::PLAIN) + "\n").collect();
    assert!(
        page.contains("+14155550100        911                 answered       1:02  10.0.0.9:50…  sinch"),
        "{page}"
    );
}
