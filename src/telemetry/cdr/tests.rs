use std::time::Duration;

use expect_test::expect;

use super::*;
use crate::b2bua::EndedBy;
use crate::base::Realm;
use crate::media::MediaReport;

fn cdr(clock: &Clock) -> Cdr {
    let start = clock.now();
    let at = |millis| start + Duration::from_millis(millis);
    Cdr {
        id: "c-1".to_owned(),
        start,
        ring: Some(at(350)),
        answer: Some(at(2_000)),
        end: at(62_500),
        from: "1001".to_owned(),
        to: "00442071234567".to_owned(),
        from_e164: None,
        to_e164: Some("+442071234567".to_owned()),
        redirected_to: Some("+442071234568".to_owned()),
        transfers: vec![CdrTransfer { by: EndedBy::Callee, to: "+442071234569".to_owned(), status: 200 }],
        ingress: CdrLeg {
            realm: Realm::Trusted,
            trunk: None,
            remote: "10.0.0.9:5060".parse().unwrap(),
            call_id: "a@pbx".to_owned(),
        },
        egress: Some(CdrLeg {
            realm: Realm::Untrusted,
            trunk: Some(TrunkName::from("b")),
            remote: "[2001:db8::5]:5060".parse().unwrap(),
            call_id: "0123".to_owned(),
        }),
        attempts: vec![
            Attempt {
                trunk: TrunkName::from("a"),
                target: "203.0.113.7:5060".parse().ok(),
                result: AttemptResult::Timeout,
                millis: 4_000,
            },
            Attempt {
                trunk: TrunkName::from("b"),
                target: "[2001:db8::5]:5060".parse().ok(),
                result: AttemptResult::Status(200),
                millis: 1_990,
            },
        ],
        status: 200,
        ended_by: EndedBy::Callee,
        cause: "BYE \"quoted\"".to_owned(),
        codec: Some("PCMU".to_owned()),
        media: Some(MediaReport {
            from_a: DirectionReport {
                packets: 3_000,
                bytes: 516_000,
                lost: 2,
                jitter_ms: 0.123_456,
                mos: Some(4.408_9),
                reordered: 3,
                duplicates: 4,
                jitter_max_ms: 7.891,
                ssrc_changes: 1,
                sequence_step: Some(-12),
                dropped: 37,
                one_way: Duration::from_millis(5_900),
                rtcp: Some(PeerReport {
                    lost: 5,
                    loss: 0.001_666,
                    jitter_ms: 2.345,
                    round_trip_ms: Some(41.237),
                    discarded: Some(0.003_906),
                    mos: Some(4.1),
                }),
                ..DirectionReport::default()
            },
            from_b: DirectionReport::default(),
        }),
    }
}

/// The times of a record come from the wall clock: each is replaced by its name.
fn line_without_times(line: &str, record: &Record<'_>) -> String {
    let mut line = line.replace(&record.start, "START").replace(&record.end, "END");
    for (time, name) in [(&record.ring, "RING"), (&record.answer, "ANSWER")] {
        line = line.replace(time.as_deref().unwrap(), name);
    }
    line
}

#[test]
fn a_record_has_the_fields_of_the_contract_in_their_order() {
    let clock = Clock::start();
    let cdr = cdr(&clock);
    let record = Record::new(&cdr, &clock);
    let line = line_without_times(&serde_json::to_string_pretty(&record).unwrap(), &record);
    expect![[r#"
        {
          "id": "c-1",
          "start": "START",
          "ring": "RING",
          "answer": "ANSWER",
          "end": "END",
          "duration_ms": 60500,
          "from": "1001",
          "to": "00442071234567",
          "from_e164": null,
          "to_e164": "+442071234567",
          "redirected_to": "+442071234568",
          "ingress": {
            "realm": "trusted",
            "trunk": null,
            "remote": "10.0.0.9:5060",
            "call_id": "a@pbx"
          },
          "egress": {
            "realm": "untrusted",
            "trunk": "b",
            "remote": "[2001:db8::5]:5060",
            "call_id": "0123"
          },
          "transfers": [
            {
              "by": "callee",
              "to": "+442071234569",
              "status": 200
            }
          ],
          "attempts": [
            {
              "trunk": "a",
              "target": "203.0.113.7:5060",
              "status": "timeout",
              "ms": 4000
            },
            {
              "trunk": "b",
              "target": "[2001:db8::5]:5060",
              "status": 200,
              "ms": 1990
            }
          ],
          "status": 200,
          "ended_by": "callee",
          "cause": "BYE \"quoted\"",
          "codec": "PCMU",
          "media": {
            "from_caller": {
              "packets": 3000,
              "bytes": 516000,
              "lost": 2,
              "jitter_ms": 0.12,
              "mos": 4.41,
              "reordered": 3,
              "duplicates": 4,
              "jitter_max_ms": 7.89,
              "ssrc_changes": 1,
              "restarts": 0,
              "sequence_step": -12,
              "dropped": 37,
              "one_way_ms": 5900,
              "rtcp": {
                "lost": 5,
                "loss": 0.0017,
                "jitter_ms": 2.35,
                "rtt_ms": 41.24,
                "discarded": 0.0039,
                "mos": 4.1
              }
            },
            "from_callee": {
              "packets": 0,
              "bytes": 0,
              "lost": 0,
              "jitter_ms": 0.0,
              "mos": null,
              "reordered": 0,
              "duplicates": 0,
              "jitter_max_ms": 0.0,
              "ssrc_changes": 0,
              "restarts": 0,
              "dropped": 0,
              "one_way_ms": 0
            }
          }
        }"#]]
    .assert_eq(&line);
}

struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> TempDir {
        let path = std::env::temp_dir().join(format!("drawbridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn each_record_is_one_line_and_a_rotated_file_is_opened_anew() {
    let directory = TempDir::new("cdr-rotate");
    let (path, rotated) = (directory.0.join("cdr.jsonl"), directory.0.join("cdr.jsonl.1"));
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new().unwrap()));
    let mut writer = Writer { path: Some(path.clone()), file: None, failing: false, torn: false, clock };
    assert!(writer.write(&path, &cdr(&clock)));
    assert!(writer.write(&path, &cdr(&clock)));
    std::fs::rename(&path, &rotated).unwrap();
    let (jobs, waiting) = sync_channel(4);
    jobs.send(Job::Reopen(Some(path.clone()))).unwrap();
    jobs.send(Job::Write(Box::new(cdr(&clock)))).unwrap();
    jobs.send(Job::End).unwrap();
    writer.run(&waiting, &metrics);

    let lines = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .inspect(|record| assert_eq!(record["id"], "c-1"))
            .count()
    };
    assert_eq!((lines(&rotated), lines(&path)), (2, 1));
}

#[test]
fn a_full_disk_loses_records_and_is_noticed_when_it_has_room_again() {
    let directory = TempDir::new("cdr-full");
    let clock = Clock::start();
    let (full, good) = (PathBuf::from("/dev/full"), directory.0.join("cdr.jsonl"));
    let mut writer = Writer { path: Some(full.clone()), file: None, failing: false, torn: false, clock };
    assert!(!writer.write(&full, &cdr(&clock)));
    assert!(writer.failing);
    assert!(!writer.write(&full, &cdr(&clock)));
    assert!(writer.write(&good, &cdr(&clock)));
    assert!(!writer.failing);
}

#[test]
fn the_sink_writes_what_was_queued_before_it_ends() {
    let directory = TempDir::new("cdr-end");
    let path = directory.0.join("cdr.jsonl");
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new().unwrap()));
    let (sink, thread) = CdrSink::start(Some(path.clone()), clock, metrics, oneshot::channel().0).unwrap();
    for _ in 0..10 {
        sink.write(Box::new(cdr(&clock)));
    }
    sink.end();
    thread.join().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 10);
}
