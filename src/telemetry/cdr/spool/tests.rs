use super::super::tests::TempDir;
use super::*;

/// A line of the smallest size that has a number.
fn line(number: u64) -> Vec<u8> {
    format!("{{\"id\":\"{number:0>1000}\"}}\n").into_bytes()
}

fn numbers(batch: &Batch) -> Vec<u64> {
    let number = |line: &String| {
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.trim_start_matches('0').parse().unwrap_or(0)
    };
    batch.lines.iter().map(number).collect()
}

#[test]
fn lines_come_out_in_their_order_and_over_restarts() {
    let directory = TempDir::new("spool-order");
    let mut spool = Spool::open(&directory.0.join("spool"), 1 << 20).unwrap();
    for number in 1..=50 {
        assert_eq!(spool.push(&line(number)).unwrap(), 0);
    }
    let batch = spool.next(3).unwrap();
    assert_eq!(numbers(&batch), [1, 2, 3]);
    // Nobody said that they were sent.
    assert_eq!(spool.next(3).unwrap(), batch);
    spool.sent(&batch).unwrap();
    assert_eq!(spool.waiting().0, 47);
    drop(spool);

    let mut spool = Spool::open(&directory.0.join("spool"), 1 << 20).unwrap();
    assert_eq!(spool.waiting().0, 47);
    spool.push(&line(51)).unwrap();
    let mut seen = Vec::new();
    loop {
        let batch = spool.next(7).unwrap();
        if batch.lines.is_empty() {
            break;
        }
        seen.extend(numbers(&batch));
        spool.sent(&batch).unwrap();
    }
    assert_eq!(seen, (4..=51).collect::<Vec<_>>());
    assert_eq!(spool.waiting(), (0, 0));
    // The files that are through are gone.
    assert!(std::fs::read_dir(directory.0.join("spool")).unwrap().count() <= 2);
}

#[test]
fn a_full_spool_drops_the_oldest_and_says_how_many() {
    let directory = TempDir::new("spool-full");
    let mut spool = Spool::open(&directory.0, 64 << 10).unwrap();
    let dropped: u64 = (1..=200).map(|number| spool.push(&line(number)).unwrap()).sum();
    let (waiting, bytes) = spool.waiting();
    assert_eq!(dropped + waiting, 200);
    assert!(bytes <= 64 << 10, "{bytes}");
    assert!(waiting >= 40, "{waiting}");
    let batch = spool.next(1).unwrap();
    assert_eq!(numbers(&batch), [dropped + 1]);
}

#[test]
fn what_was_on_its_way_while_it_was_dropped_moves_no_cursor() {
    let directory = TempDir::new("spool-race");
    let mut spool = Spool::open(&directory.0, 64 << 10).unwrap();
    spool.push(&line(1)).unwrap();
    let batch = spool.next(1).unwrap();
    let dropped: u64 = (2..=100).map(|number| spool.push(&line(number)).unwrap()).sum();
    assert!(dropped > 0);
    spool.sent(&batch).unwrap();
    assert_eq!(numbers(&spool.next(1).unwrap()), [dropped + 1]);
}

#[test]
fn half_a_line_gets_its_end_and_a_broken_cursor_sends_anew() {
    let directory = TempDir::new("spool-torn");
    let mut spool = Spool::open(&directory.0, 1 << 20).unwrap();
    spool.push(&line(1)).unwrap();
    spool.push(&line(2)).unwrap();
    let batch = spool.next(1).unwrap();
    spool.sent(&batch).unwrap();
    drop(spool);
    let path = directory.0.join(file_name(1));
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"id\":\"3");
    std::fs::write(&path, text).unwrap();
    std::fs::write(directory.0.join(CURSOR), b"\xff nonsense").unwrap();
    let mut spool = Spool::open(&directory.0, 1 << 20).unwrap();
    assert_eq!(numbers(&spool.next(9).unwrap()), [1, 2, 3]);
    assert_eq!(spool.waiting().0, 3);
}

#[test]
fn a_spool_is_one_process_s() {
    let directory = TempDir::new("spool-lock");
    let _first = Spool::open(&directory.0, 1 << 20).unwrap();
    assert_eq!(Spool::open(&directory.0, 1 << 20).unwrap_err().to_string(), "another process uses it");
}

/// A spool outlives the program that made it: so it was left by the first version, and stays readable.
#[test]
fn a_spool_of_the_first_version_goes_on_where_that_stopped() {
    let directory = TempDir::new("spool-first");
    let lines = |numbers: &[u64]| numbers.iter().flat_map(|number| line(*number)).collect::<Vec<u8>>();
    let length = line(1).len();
    std::fs::write(directory.0.join("0000000003.jsonl"), lines(&[5, 6, 7])).unwrap();
    std::fs::write(directory.0.join("0000000004.jsonl"), lines(&[8])).unwrap();
    std::fs::write(directory.0.join("cursor"), format!("00000000000000000003 {length:020}\n")).unwrap();
    let mut spool = Spool::open(&directory.0, 1 << 20).unwrap();
    assert_eq!(spool.waiting(), (3, 3 * length as u64));
    let batch = spool.next(10).unwrap();
    assert_eq!(numbers(&batch), [6, 7]);
    spool.sent(&batch).unwrap();
    assert_eq!(numbers(&spool.next(10).unwrap()), [8]);
    spool.push(&line(9)).unwrap();
    drop(spool);
    // And so it is left by this one.
    let cursor = std::fs::read_to_string(directory.0.join("cursor")).unwrap();
    assert_eq!(cursor, format!("{:020} {:020}\n", 4, 0));
    assert_eq!(std::fs::read(directory.0.join("0000000004.jsonl")).unwrap(), lines(&[8, 9]));
}
