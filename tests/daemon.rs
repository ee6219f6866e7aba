//! The program as an operator meets it: started with a file, asked by HTTP, spoken to in SIP, told
//! by signals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(50);
/// Looks until patience ends.
const LOOKS: u32 = 400;

struct Site {
    directory: PathBuf,
    text: String,
    trusted: SocketAddr,
    admin: SocketAddr,
}

impl Site {
    fn new(name: &str) -> Site {
        let directory = std::env::temp_dir().join(format!("drawbridge-daemon-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let free: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let (trusted, untrusted) = (free[0].local_addr().unwrap(), free[1].local_addr().unwrap());
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            r#"
[node]
name = "before"
[admin]
listen = "{admin}"
[[listener]]
realm = "trusted"
bind = "{trusted}"
[[listener]]
realm = "untrusted"
bind = "{untrusted}"
[realm.trusted]
media_bind = "127.0.0.1"
allow = ["127.0.0.1"]
[realm.untrusted]
media_bind = "127.0.0.1"
[media]
workers = 1
[cdr]
path = "{}"
"#,
            directory.join("cdr.jsonl").display(),
        );
        let site = Site { directory, text, trusted, admin };
        site.write(&site.text);
        site
    }

    fn config(&self) -> PathBuf {
        self.directory.join("drawbridge.toml")
    }

    /// As careful editors do: a new file, renamed over the old.
    fn write(&self, text: &str) {
        let draft = self.directory.join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.config()).unwrap();
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.arg(name).arg("--config").arg(self.config());
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A running daemon; killed if a test fails before it stopped it.
struct Daemon<'a> {
    child: Option<Child>,
    site: &'a Site,
}

impl Daemon<'_> {
    fn start(site: &Site) -> Daemon<'_> {
        let child = site.command("run").stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Daemon { child: Some(child), site };
        daemon.wait_for("readiness", || daemon.get("/readyz").is_some_and(|(code, _)| code == 200));
        daemon
    }

    fn get(&self, page: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.site.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/api/v1/status").unwrap().1).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
    }

    /// Looks until it is so. What is waited for happens in another process: there is no event of
    /// ours to wait on, but a channel's timeout paces the looking.
    fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let (_never, pace) = channel::<()>();
        let mut looks = (0..LOOKS).map(|_| {
            let so = is_so();
            if !so {
                let _ = pace.recv_timeout(LOOK);
            }
            so
        });
        assert!(looks.any(|so| so), "{what} did not come");
    }

    /// The exit status and what was logged.
    fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let output = exit_of(self.child.take().unwrap());
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for the end, which interface and unit promise within 10 s.
fn exit_of(child: Child) -> Output {
    let (sender, exit): (_, Receiver<Output>) = channel();
    let pid = child.id();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    match exit.recv_timeout(Duration::from_secs(10)) {
        Ok(output) => output,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
            panic!("it did not end within 10 s");
        }
    }
}

#[test]
fn sigterm_ends_it_with_0() {
    let site = Site::new("term");
    let daemon = Daemon::start(&site);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    assert!(!log.contains('\u{1b}'), "colours in a pipe: {log}");
}

#[test]
fn options_from_an_allowed_source_is_answered_with_200() {
    let site = Site::new("options");
    let daemon = Daemon::start(&site);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let (us, it) = (peer.local_addr().unwrap(), site.trusted);
    let request = format!(
        "OPTIONS sip:{it} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-1\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@{us}>;tag=1\r\nTo: <sip:{it}>\r\nCall-ID: probe-1\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    peer.send_to(request.as_bytes(), it).unwrap();
    let mut answer = [0; 2_048];
    let length = peer.recv(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    let (_, metrics) = daemon.get("/metrics").unwrap();
    let counted =
        r#"drawbridge_sip_messages_total{direction="in",kind="OPTIONS",realm="trusted",transport="udp"} 1"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn a_faulty_file_is_refused_and_a_good_one_is_taken_without_asking() {
    let site = Site::new("reload");
    let daemon = Daemon::start(&site);
    let state = |key: &str| daemon.status()["configuration"][key].clone();

    site.write(&site.text.replace("realm = \"untrusted\"", "realm = \"unknown\""));
    daemon.signal("HUP");
    daemon.wait_for("the refusal", || state("last_reload_successful") == false);
    assert!(state("faults").as_array().is_some_and(|faults| !faults.is_empty()));
    assert_eq!(daemon.status()["node"], "before");
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);

    site.write(&site.text.replace("before", "after"));
    daemon.wait_for("the new configuration", || daemon.status()["node"] == "after");
    assert_eq!(state("last_reload_successful"), true);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("node.name: before → after"), "{log}");
}

#[test]
fn check_says_what_is_there_or_what_is_wrong() {
    let site = Site::new("check");
    let run = |arguments: &[&str]| {
        let output = site.command("check").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&[]), (Some(0), "valid: 2 listeners, 0 trunks, 0 routes\n".to_owned()));
    let (code, json) = run(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["valid"], &json["summary"]["listeners"]), (Some(0), &true.into(), &2.into()));

    site.write(&site.text.replace("bind =", "bnid ="));
    let (code, text) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("drawbridge.toml:") && text.contains("bnid") && text.contains("invalid: "),
        "{text}"
    );
    assert_eq!(run(&["--nonsense"]).0, Some(2));
}

#[test]
fn what_keeps_it_from_starting_is_one_line_and_1() {
    let site = Site::new("taken");
    let _taken = UdpSocket::bind(site.trusted).unwrap();
    let output = exit_of(site.command("run").stderr(Stdio::piped()).spawn().unwrap());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("cannot listen on the trusted realm's udp address"), "{message}");
    assert!(message.contains("another program has this port"), "{message}");
}

#[test]
fn a_report_that_nobody_reads_or_that_does_not_fit_is_no_crash() {
    let site = Site::new("pipe");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = site.command("check").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = site.command("check").stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the report cannot be written"));
}
