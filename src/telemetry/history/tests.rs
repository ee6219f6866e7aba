use super::*;
use crate::b2bua::{Attempt, CdrLeg};
use crate::base::{Realm, Transport};
use crate::media::{DirectionReport, MediaReport};

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn cdr(status: u16, results: &[AttemptResult], ring: bool, by: EndedBy) -> Cdr {
    let leg = |realm, trunk: Option<&str>| CdrLeg {
        realm,
        trunk: trunk.map(TrunkName::from),
        remote: "192.0.2.1:5060".parse().unwrap(),
        call_id: "x".to_owned(),
    };
    // What rang is the one that was tried last.
    let attempt = |(place, result): (usize, &AttemptResult)| Attempt {
        trunk: "sinch".into(),
        target: "192.0.2.1:5060".parse().ok(),
        result: *result,
        rang_after: (ring && place + 1 == results.len()).then(|| Duration::from_millis(90)),
        millis: 1,
    };
    let direction = |mos| DirectionReport { mos, ..DirectionReport::default() };
    let answered = status == 200;
    Cdr {
        id: "1".to_owned(),
        start: at(0),
        ring: ring.then(|| Instant::from_millis(180)),
        answer: answered.then(|| at(4)),
        end: at(9),
        from: String::new(),
        to: String::new(),
        from_e164: None,
        to_e164: None,
        redirected_to: None,
        transfers: vec![],
        ingress: leg(Realm::Trusted, Some("pbx")),
        egress: Some(leg(Realm::Untrusted, Some("sinch"))),
        attempts: results.iter().enumerate().map(attempt).collect(),
        status,
        ended_by: by,
        cause: String::new(),
        codec: None,
        media: answered.then(|| MediaReport { from_a: direction(Some(4.4)), from_b: direction(Some(4.0)) }),
    }
}

/// As the engine tells of it: the answer at once, and the record at the end.
fn tell(history: &History, cdr: &Cdr, is_known: impl Fn(&TrunkName) -> bool) {
    if let Some(answer) = cdr.answer {
        let rang_after = cdr.ring.map(|ring| ring.since(cdr.start));
        history.call_answered(Some(&"sinch".into()), rang_after, answer.since(cdr.start));
    }
    history.call_ended(cdr, is_known);
}

fn after(cdrs: &[Cdr]) -> Ends {
    let history = History::default();
    for cdr in cdrs {
        tell(&history, cdr, |_| true);
    }
    history.tick(at(1), Sample::default());
    history.read(|past| past.last_seconds(5).ends)
}

fn counts(ends: Ends) -> (u32, u32, u32) {
    (ends.attempts, ends.answered, ends.effective)
}

#[test]
fn a_call_counts_for_asr_if_it_was_answered_and_for_ner_if_the_network_did_its_part() {
    use AttemptResult::{Cancelled, Status, Timeout};
    use EndedBy::{Caller, Sbc};
    let one = |cdr: Cdr| counts(after(&[cdr]));
    assert_eq!(one(cdr(200, &[Status(503), Status(200)], true, Caller)), (1, 1, 1));
    for (status, name) in [(486, "busy"), (600, "busy everywhere"), (603, "declined"), (480, "nobody there")]
    {
        assert_eq!(one(cdr(status, &[Status(status)], false, Sbc)), (1, 0, 1), "{name}");
    }
    // It rang, and the caller hung up, or nobody came.
    assert_eq!(one(cdr(487, &[Cancelled], true, Caller)), (1, 0, 1));
    assert_eq!(one(cdr(408, &[Timeout], true, Sbc)), (1, 0, 1));
    // Abandoned before it rang, no answer, a number that there is not, congestion.
    assert_eq!(one(cdr(487, &[Cancelled], false, Caller)), (1, 0, 0));
    assert_eq!(one(cdr(408, &[Timeout], false, Sbc)), (1, 0, 0));
    assert_eq!(one(cdr(404, &[Status(404)], false, Sbc)), (1, 0, 0));
    assert_eq!(one(cdr(503, &[Status(503)], false, Sbc)), (1, 0, 0));
    // No target was up: a failure of ours. What an operator refused with 480 nobody declined.
    assert_eq!(one(cdr(503, &[], false, Sbc)), (1, 0, 0));
    assert_eq!(one(cdr(480, &[Cancelled], false, Sbc)), (1, 0, 0));
}

#[test]
fn what_is_refused_for_what_it_asked_is_no_attempt() {
    let history = History::default();
    for status in [403, 404, 484] {
        history.call_ended(&cdr(status, &[], false, EndedBy::Sbc), |_| true);
    }
    history.tick(at(1), Sample::default());
    let bucket = history.read(|past| past.last_seconds(1));
    assert_eq!((bucket.refused, bucket.ends.attempts, bucket.ends.asr()), (3, 0, None));
}

#[test]
fn each_attempt_counts_on_its_trunk_and_its_media_where_it_came_from() {
    use AttemptResult::{Dns, Status};
    let history = History::default();
    history.call_began(Some(&"pbx".into()), true);
    history.call_began(Some(&"sinch".into()), false);
    let results = [Status(500), Status(486), Dns, Status(200)];
    tell(&history, &cdr(200, &results, true, EndedBy::Caller), |name| name.as_str() != "never configured");
    history.tick(at(1), Sample::default());
    history.read(|past| {
        let sinch = past.trunk(&"sinch".into(), 12);
        assert_eq!((sinch.calls, counts(sinch.ends)), (1, (4, 1, 2)));
        assert_eq!(sinch.ends.mos(), Some(4.0));
        assert_eq!(past.trunk(&"pbx".into(), 12).calls, 1);
        let node = past.last_minutes(1);
        assert_eq!((node.calls, counts(node.ends)), (1, (1, 1, 1)));
        assert!((node.ends.mos().unwrap() - 4.2).abs() < 1e-9);
        assert!(node.delay.percentile_ms(0.5).is_some_and(|ms| (150.0..=200.0).contains(&ms)));
        assert!(node.setup.percentile_ms(0.5).is_some_and(|ms| (3_000.0..=4_000.0).contains(&ms)));
    });
}

/// `failover.after_ringing`: the caller heard one phone, and hung up before the next one rang.
#[test]
fn a_trunk_did_its_part_if_it_rang_itself_however_its_attempt_ended() {
    use AttemptResult::{Cancelled, Status, Timeout};
    for left in [Timeout, Status(503)] {
        let mut cdr = cdr(487, &[left, Cancelled], true, EndedBy::Caller);
        cdr.attempts[0].trunk = "first".into();
        cdr.attempts[0].rang_after = cdr.attempts[1].rang_after.take();
        let history = History::default();
        tell(&history, &cdr, |_| true);
        history.tick(at(1), Sample::default());
        history.read(|past| {
            assert_eq!(counts(past.trunk(&"first".into(), 1).ends), (1, 0, 1), "{left:?}");
            assert_eq!(counts(past.trunk(&"sinch".into(), 1).ends), (1, 0, 0), "{left:?}");
            assert_eq!(counts(past.last_seconds(1).ends), (1, 0, 1));
        });
    }
}

#[test]
fn seconds_become_minutes_and_neither_grow_without_end() {
    let history = History::default();
    let seconds = 60 * (MINUTES_KEPT as u64 + 2) + 30;
    for second in 1..=seconds {
        history.call_began(Some(&"pbx".into()), true);
        let sample = Sample { packets: second * 50, active: (second % 7) as u32, ..Sample::default() };
        history.tick(at(second), sample);
    }
    history.read(|past| {
        assert_eq!((past.seconds().len(), past.minutes().len()), (SECONDS_KEPT, MINUTES_KEPT));
        let minute = past.minutes().last().unwrap();
        assert_eq!((minute.calls, minute.packets, minute.active), (60, 3_000, 6));
        assert_eq!(past.last_minutes(60).calls, 60 * 60 + 30);
        assert_eq!(past.seconds_into_the_minute(), 30);
        assert_eq!(past.trunk_steps(&"pbx".into()).len(), TRUNK_STEPS_KEPT + 1);
        assert_eq!(past.trunk(&"pbx".into(), 12).calls, 12 * 300 + (seconds % 300) as u32);
    });
}

#[test]
fn a_machine_that_slept_leaves_a_gap_and_loses_no_count() {
    let history = History::default();
    history.tick(at(1), Sample { packets: 50, ..Sample::default() });
    history.call_began(None, true);
    history.tick(at(5), Sample { packets: 250, ..Sample::default() });
    history.read(|past| {
        let known: Vec<bool> = past.seconds().map(|second| second.is_some()).collect();
        assert_eq!(known, [true, false, false, false, true]);
        assert_eq!((past.last_seconds(10).packets, past.last_seconds(10).calls), (250, 1));
        assert_eq!(past.seconds_known(), 5);
    });
}

#[test]
fn a_quiet_trunk_is_forgotten_after_a_day() {
    let history = History::default();
    history.call_began(Some(&"pbx".into()), true);
    for second in 1..=u64::from(TRUNK_STEP_S) {
        history.tick(at(second), Sample::default());
    }
    assert_eq!(history.read(|past| past.trunk_steps(&"pbx".into()).len()), 2);
    for step in 2..=TRUNK_STEPS_KEPT as u64 + 1 {
        history.tick(at(step * u64::from(TRUNK_STEP_S)), Sample::default());
    }
    assert!(history.read(|past| past.trunk_steps(&"pbx".into()).is_empty()));
}

#[test]
fn the_latest_changes_of_a_target_are_kept_until_it_is_gone() {
    let target = TargetKey {
        trunk: "sinch".into(),
        address: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
    };
    let history = History::default();
    let change =
        |up, known| HealthChange::Target { target: target.clone(), up, why: None, known, left: 1, total: 1 };
    history.health_changed(&change(true, false));
    history.tick(at(1), Sample::default());
    for second in 2..100 {
        history.health_changed(&change(second % 2 == 1, true));
        history.tick(at(second), Sample::default());
    }
    history.read(|past| {
        let changes: Vec<&Change> = past.changes(&target).collect();
        assert_eq!(changes.len(), CHANGES_KEPT);
        let last = changes.last().unwrap();
        assert_eq!((last.at, last.up, last.is_new), (at(99), true, false));
        assert_eq!(last.at.since(changes[0].at), Duration::from_secs(63));
    });
    history.health_changed(&HealthChange::Gone { target: target.clone() });
    history.tick(at(100), Sample::default());
    assert_eq!(history.read(|past| past.changes(&target).count()), 0);
}

#[test]
fn a_call_that_lasts_counts_when_it_is_answered_and_not_when_it_ends() {
    let history = History::default();
    history.call_answered(Some(&"sinch".into()), None, Duration::from_secs(2));
    history.tick(at(1), Sample::default());
    assert_eq!(history.read(|past| counts(past.last_seconds(1).ends)), (1, 1, 1));
    history.call_ended(&cdr(200, &[AttemptResult::Status(200)], true, EndedBy::Caller), |_| true);
    history.tick(at(2), Sample::default());
    history.read(|past| {
        assert_eq!(counts(past.last_seconds(2).ends), (1, 1, 1));
        assert_eq!(counts(past.trunk(&"sinch".into(), 1).ends), (1, 1, 1));
    });
}

#[test]
fn who_is_not_heard_and_why_packets_are_dropped_is_told_of_the_time_when_it_was() {
    use crate::media::DropReason;
    let index = |wanted| DropReason::ALL.iter().position(|reason| *reason == wanted).unwrap();
    let (mismatch, not_rtp) = (index(DropReason::SourceMismatch), index(DropReason::NotRtp));
    let history = History::default();
    let mut dropped_by = Dropped::default();
    dropped_by[mismatch] = 40;
    history.not_heard(Some(&"sinch".into()));
    history.not_heard(None);
    history.tick(at(1), Sample { dropped_by, ..Sample::default() });
    dropped_by[mismatch] = 41;
    dropped_by[not_rtp] = 2;
    history.tick(at(2), Sample { dropped_by, ..Sample::default() });
    history.read(|past| {
        let told = |bucket: Bucket| (bucket.not_heard, bucket.dropped_by[mismatch], bucket.dropped());
        assert_eq!(told(past.last_seconds(1)), (0, 1, 3));
        assert_eq!(told(past.last_seconds(2)), (2, 41, 43));
        assert_eq!(past.trunk(&"sinch".into(), 1).not_heard, 1);
    });
}
