use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect;

use super::record::Record;
use super::*;
use crate::b2bua::{Attempt, AttemptResult, CdrLeg, CdrTransfer, EndedBy};
use crate::base::{Realm, TrunkName};
use crate::media::{DirectionReport, MediaReport, PeerReport};

/// A record with every field that there is.
pub(super) fn cdr(clock: &Clock) -> Cdr {
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
                rang_after: None,
                millis: 4_000,
            },
            Attempt {
                trunk: TrunkName::from("b"),
                target: "[2001:db8::5]:5060".parse().ok(),
                result: AttemptResult::Status(200),
                rang_after: Some(Duration::from_millis(340)),
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
              "ms": 1990,
              "rang_ms": 340
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

/// A directory that is gone with the test.
pub(super) struct TempDir(pub(super) PathBuf);

impl TempDir {
    pub(super) fn new(name: &str) -> TempDir {
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

/// A writer without its thread: dropped, it is as if the program had been killed.
struct Bench {
    directory: TempDir,
    clock: Clock,
    state: Arc<CdrState>,
    writer: Writer,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let directory = TempDir::new(name);
        let (clock, state, writer) = Bench::start(&directory.0.join("cdr.jsonl"));
        Bench { directory, clock, state, writer }
    }

    fn start(path: &Path) -> (Clock, Arc<CdrState>, Writer) {
        let clock = Clock::start();
        let state = Arc::new(CdrState::new(Arc::new(Metrics::new().unwrap())));
        let mut writer = Writer::new(CdrSettings::in_file(path.to_owned()), clock, Arc::clone(&state));
        writer.start();
        (clock, state, writer)
    }

    /// The program is killed here, and started again.
    fn crash(self) -> Bench {
        let Bench { directory, writer, .. } = self;
        drop(writer);
        let (clock, state, writer) = Bench::start(&directory.0.join("cdr.jsonl"));
        Bench { directory, clock, state, writer }
    }

    fn path(&self) -> PathBuf {
        self.directory.0.join("cdr.jsonl")
    }

    fn journal(&self) -> PathBuf {
        self.directory.0.join("cdr.jsonl.open")
    }

    /// A record of another call than the rest.
    fn cdr(&self, id: &str) -> Box<Cdr> {
        Box::new(Cdr { id: id.to_owned(), ..cdr(&self.clock) })
    }

    /// What is known of a call that was answered five seconds ago.
    fn open(&mut self, id: &str) {
        let now = self.clock.now();
        let start = crate::base::Instant::from_micros(now.as_micros() - 7_000_000);
        let answer = Some(start + Duration::from_secs(2));
        let open = Cdr { start, answer, end: start, media: None, cause: String::new(), ..*self.cdr(id) };
        self.writer.take(Job::Open(Box::new(open)));
    }

    fn write(&mut self, id: &str) {
        let cdr = self.cdr(id);
        self.writer.take(Job::Write(cdr));
    }

    /// As if so many seconds had gone by.
    fn settle_after(&mut self, seconds: u64) {
        self.writer.settle(self.clock.now() + Duration::from_secs(seconds));
    }

    fn records(&self) -> Vec<serde_json::Value> {
        records(&self.path())
    }
}

fn records(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(records: &[serde_json::Value]) -> Vec<&str> {
    records.iter().map(|record| record["id"].as_str().unwrap()).collect()
}

#[test]
fn each_record_is_one_line_and_a_rotated_file_is_opened_anew() {
    let mut bench = Bench::new("cdr-rotate");
    let rotated = bench.directory.0.join("cdr.jsonl.1");
    bench.write("a");
    bench.write("b");
    std::fs::rename(bench.path(), &rotated).unwrap();
    bench.writer.take(Job::Reopen);
    bench.write("c");
    bench.writer.close();
    assert_eq!((ids(&records(&rotated)), ids(&bench.records())), (vec!["a", "b"], vec!["c"]));
}

#[test]
fn a_full_disk_keeps_records_waiting_until_it_has_room_again() {
    let mut bench = Bench::new("cdr-full");
    bench.write("a");
    std::fs::remove_file(bench.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", bench.path()).unwrap();
    bench.writer.take(Job::Reopen);
    for id in ["b", "c", "d"] {
        bench.write(id);
    }
    bench.settle_after(1);
    let report = bench.state.report();
    assert_eq!((report.written, report.waiting, report.lost), (1, 3, 0));
    assert_eq!(report.fault.as_deref(), Some("No space left on device (os error 28)"));

    std::fs::remove_file(bench.path()).unwrap();
    bench.settle_after(2);
    assert_eq!(ids(&bench.records()), ["b", "c", "d"]);
    let report = bench.state.report();
    assert_eq!((report.written, report.waiting, report.lost, report.fault), (4, 0, 0, None));
}

#[test]
fn what_waits_for_a_disk_is_bounded_and_what_is_beyond_counted() {
    let mut bench = Bench::new("cdr-bound");
    std::fs::remove_file(bench.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", bench.path()).unwrap();
    bench.writer.take(Job::Reopen);
    for number in 0..writer::BACKLOG_MAX + 3 {
        bench.write(&format!("c-{number}"));
    }
    let report = bench.state.report();
    assert_eq!((report.waiting, report.lost), (writer::BACKLOG_MAX as u64, 3));
}

#[test]
fn what_a_full_disk_kept_back_is_written_by_the_next_run_however_this_one_ended() {
    for is_killed in [false, true] {
        let mut bench = Bench::new(&format!("cdr-full-end-{is_killed}"));
        std::fs::remove_file(bench.path()).unwrap();
        std::os::unix::fs::symlink("/dev/full", bench.path()).unwrap();
        bench.writer.take(Job::Reopen);
        bench.write("a");
        bench.settle_after(1);
        if !is_killed {
            bench.writer.close();
            assert_eq!(bench.state.report().lost, 0);
        }
        std::fs::remove_file(bench.path()).unwrap();
        let bench = bench.crash();
        let records = bench.records();
        assert_eq!(ids(&records), ["a"]);
        // As it was: nobody ended that call but the callee.
        assert_eq!((&records[0]["ended_by"], &records[0]["duration_ms"]), (&"callee".into(), &60_500.into()));
        assert_eq!(records[0]["media"]["from_caller"]["packets"], 3_000);
    }
}

#[test]
fn a_call_that_was_open_at_a_crash_is_recorded_by_the_next_run_once() {
    let mut bench = Bench::new("cdr-crash");
    bench.open("open");
    bench.open("over");
    bench.settle_after(0);
    bench.write("over");
    bench.settle_after(1);
    let bench = bench.crash();
    let records = bench.records();
    assert_eq!(ids(&records), ["over", "open"]);
    let record = &records[1];
    assert_eq!((&record["ended_by"], &record["status"]), (&"sbc".into(), &200.into()));
    assert!(
        record["cause"].as_str().unwrap().starts_with("Drawbridge ended while the call was up"),
        "{record}"
    );
    let talked = record["duration_ms"].as_u64().unwrap();
    assert!((5_000..60_000).contains(&talked), "{talked} ms");
    assert!(record["answer"].as_str() < record["end"].as_str(), "{record}");
    assert_eq!((record["codec"].as_str(), record["egress"]["trunk"].as_str()), (Some("PCMU"), Some("b")));
    assert_eq!(bench.state.report().recovered, 1);

    let bench = bench.crash();
    assert_eq!((bench.records().len(), bench.state.report().recovered), (2, 0));
}

#[test]
fn a_call_that_was_not_answered_at_a_crash_has_no_duration() {
    let mut bench = Bench::new("cdr-crash-early");
    let open = Cdr { answer: None, status: 0, ..*bench.cdr("early") };
    bench.writer.take(Job::Open(Box::new(open)));
    bench.settle_after(0);
    let bench = bench.crash();
    let record = &bench.records()[0];
    assert_eq!((&record["status"], &record["duration_ms"]), (&500.into(), &0.into()));
}

#[test]
fn a_crash_between_a_record_and_its_crossing_out_makes_no_second_record() {
    let mut bench = Bench::new("cdr-crash-between");
    bench.open("a");
    bench.open("b");
    bench.settle_after(0);
    bench.write("a");
    // And log rotation comes in between, too.
    std::fs::rename(bench.path(), bench.directory.0.join("cdr.jsonl-20261121")).unwrap();
    let bench = bench.crash();
    assert_eq!(ids(&bench.records()), ["b"]);
}

#[test]
fn a_crash_while_the_last_one_is_made_good_makes_no_second_record() {
    let mut bench = Bench::new("cdr-crash-twice");
    for id in ["a", "b"] {
        bench.open(id);
    }
    bench.settle_after(0);
    let journal = std::fs::read(bench.journal()).unwrap();
    let bench = bench.crash();
    assert_eq!(bench.records().len(), 2);
    // The second run came as far as the first of its records.
    let (directory, path) = (bench.journal(), bench.path());
    let first = std::fs::read_to_string(&path).unwrap().split_inclusive('\n').next().unwrap().to_owned();
    std::fs::write(&path, first).unwrap();
    std::fs::write(directory, journal).unwrap();
    let bench = bench.crash();
    let records = bench.records();
    let found: HashSet<&str> = ids(&records).into_iter().collect();
    assert_eq!((records.len(), found), (2, HashSet::from(["a", "b"])));
}

#[test]
fn a_line_of_the_journal_that_cannot_be_read_loses_nothing_else() {
    let mut bench = Bench::new("cdr-crash-torn");
    for id in ["x", "y", "z"] {
        bench.open(id);
        bench.settle_after(0);
    }
    let text = std::fs::read(bench.journal()).unwrap();
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let middle = lines.iter().position(|line| line.windows(3).any(|part| part == b"\"y\"")).unwrap();
    lines[middle] = b"\xff\x00{\"open\":{}}\n".to_vec();
    lines.push(b"{\"alive\":{\"utc\":\"20".to_vec());
    std::fs::write(bench.journal(), lines.concat()).unwrap();
    let bench = bench.crash();
    let records = bench.records();
    assert_eq!(ids(&records), ["x", "z"]);
}

#[test]
fn a_second_process_does_not_take_the_open_calls_of_the_first() {
    let mut bench = Bench::new("cdr-two");
    bench.open("a");
    bench.settle_after(0);
    let (_, _, second) = Bench::start(&bench.path());
    assert_eq!(bench.records().len(), 0);
    drop(second);
    bench.write("a");
    bench.settle_after(1);
    assert_eq!(ids(&bench.crash().records()), ["a"]);
}

#[test]
fn the_journal_stays_small_however_many_calls_there_were() {
    let mut bench = Bench::new("cdr-compact");
    bench.open("long");
    for number in 0..2_000 {
        bench.open(&format!("short-{number}"));
        bench.write(&format!("short-{number}"));
        bench.settle_after(0);
    }
    let length = std::fs::metadata(bench.journal()).unwrap().len();
    assert!(length < 400_000, "{length} bytes");
    let bench = bench.crash();
    let records = bench.records();
    assert_eq!((records.len(), ids(&records).last()), (2_001, Some(&"long")));
}

#[test]
fn records_that_move_take_their_open_calls_along() {
    let mut bench = Bench::new("cdr-move");
    let elsewhere = bench.directory.0.join("other.jsonl");
    bench.open("a");
    bench.settle_after(0);
    let settings = CdrSettings::in_file(elsewhere.clone());
    bench.writer.take(Job::Configure(Box::new(settings)));
    bench.settle_after(1);
    assert_eq!(std::fs::read(bench.journal()).unwrap(), b"", "or the next run there would record it");
    let Bench { directory: _directory, writer, .. } = bench;
    drop(writer);
    let _next = Bench::start(&elsewhere);
    assert_eq!(ids(&records(&elsewhere)), ["a"]);
}

#[test]
fn no_file_and_no_copy_means_no_record_and_no_journal() {
    let mut bench = Bench::new("cdr-none");
    bench.writer.take(Job::Configure(Box::default()));
    bench.open("a");
    bench.write("a");
    bench.settle_after(1);
    assert_eq!((bench.records().len(), bench.state.report().written), (0, 0));
    assert_eq!(std::fs::read(bench.journal()).unwrap(), b"");
}

#[test]
fn a_clean_end_leaves_no_call_behind() {
    let mut bench = Bench::new("cdr-clean");
    bench.open("a");
    bench.settle_after(0);
    bench.write("a");
    bench.writer.close();
    assert_eq!(std::fs::read(bench.journal()).unwrap(), b"");
}

#[test]
fn a_record_after_half_a_line_has_a_line_of_its_own() {
    let bench = Bench::new("cdr-torn");
    std::fs::write(bench.path(), "{\"id\":\"half").unwrap();
    let mut bench = bench.crash();
    bench.write("whole");
    let text = std::fs::read_to_string(bench.path()).unwrap();
    assert_eq!(text.lines().next(), Some("{\"id\":\"half"));
    assert!(text.lines().nth(1).unwrap().starts_with("{\"id\":\"whole\""), "{text}");
}

#[test]
fn the_sink_writes_what_was_queued_before_it_ends() {
    let directory = TempDir::new("cdr-end");
    let path = directory.0.join("cdr.jsonl");
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new().unwrap()));
    let settings = CdrSettings::in_file(path.clone());
    let (sink, thread) = CdrSink::start(settings, clock, metrics, oneshot::channel().0).unwrap();
    for _ in 0..10 {
        sink.write(Box::new(cdr(&clock)));
    }
    sink.end();
    thread.join().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 10);
}
