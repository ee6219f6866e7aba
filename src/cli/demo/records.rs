//! What the SBC itself says of the calls: its call detail records, read as an operator's script
//! reads them, but from a pipe, so that the demo leaves no file behind.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;

use serde::Deserialize;

/// A record, as far as the demo looks at it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Record {
    /// The number that was called.
    pub to: String,
    /// What the relay measured; `None` if no media was opened.
    pub media: Option<Media>,
}

/// Both directions of a call.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Media {
    /// The caller's audio.
    pub from_caller: Relayed,
    /// The callee's audio.
    pub from_callee: Relayed,
}

/// One direction, as the relay saw it.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct Relayed {
    /// Packets forwarded.
    pub packets: u64,
    /// Packets that never reached the relay.
    pub lost: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
}

/// A pipe whose one end is a path that the daemon can write records to.
#[derive(Debug)]
pub struct Records {
    /// Kept open until the daemon has opened and closed its own.
    writer: PipeWriter,
    reader: JoinHandle<Vec<Record>>,
}

impl Records {
    /// Opens the pipe, and reads from it on a thread: a full pipe would hold the daemon up.
    pub fn open() -> io::Result<Records> {
        let (reader, writer) = io::pipe()?;
        Ok(Records { writer, reader: std::thread::spawn(move || read(reader)) })
    }

    /// The path for `[cdr] path`.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.writer.as_raw_fd())
    }

    /// Every record written, once the daemon has closed the path.
    pub fn finish(self) -> Vec<Record> {
        drop(self.writer);
        self.reader.join().unwrap_or_default()
    }
}

/// Reads to the end; what is no record is left out.
fn read(reader: PipeReader) -> Vec<Record> {
    let lines = BufReader::new(reader).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn records_come_through_the_path_and_rubbish_does_not() {
        let records = Records::open().unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(records.path()).unwrap();
        let direction = r#"{"packets":150,"bytes":25800,"lost":1,"jitter_ms":0.25,"mos":4.4}"#;
        writeln!(
            file,
            r#"{{"id":"1","to":"a","media":{{"from_caller":{direction},"from_callee":{direction}}}}}"#
        )
        .unwrap();
        writeln!(file, "rubbish").unwrap();
        writeln!(file, r#"{{"id":"2","to":"b","media":null}}"#).unwrap();
        drop(file);
        let found = records.finish();
        let relayed = Relayed { packets: 150, lost: 1, jitter_ms: 0.25 };
        let media = Media { from_caller: relayed.clone(), from_callee: relayed };
        assert_eq!(
            found,
            [Record { to: "a".to_owned(), media: Some(media) }, Record { to: "b".to_owned(), media: None }]
        );
    }
}
