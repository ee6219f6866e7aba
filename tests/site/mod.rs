//! What tests of the whole program share: a configuration on free ports, and a daemon that runs with it.

#![allow(dead_code, reason = "each test program uses what it needs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Nothing here takes longer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(50);
/// Looks until patience ends.
const LOOKS: u32 = 400;

/// A directory with a configuration on free ports, gone with the test.
pub struct Site {
    pub directory: PathBuf,
    pub text: String,
    pub trusted: SocketAddr,
    pub admin: SocketAddr,
}

impl Site {
    pub fn new(name: &str) -> Site {
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
socket = "{}"
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
            directory.join("admin.sock").display(),
            directory.join("cdr.jsonl").display(),
        );
        let site = Site { directory, text, trusted, admin };
        site.write(&site.text);
        site
    }

    pub fn config(&self) -> PathBuf {
        self.directory.join("drawbridge.toml")
    }

    /// As careful editors do: a new file, renamed over the old.
    pub fn write(&self, text: &str) {
        let draft = self.directory.join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.config()).unwrap();
    }

    pub fn command(&self, name: &str) -> Command {
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
pub struct Daemon<'a> {
    pub child: Option<Child>,
    site: &'a Site,
}

impl Daemon<'_> {
    pub fn start(site: &Site) -> Daemon<'_> {
        let child = site.command("run").stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Daemon::of(site, child);
        daemon.wait_for("readiness", || daemon.get("/readyz").is_some_and(|(code, _)| code == 200));
        daemon
    }

    /// One that a test has started in its own way.
    pub fn of(site: &Site, child: Child) -> Daemon<'_> {
        Daemon { child: Some(child), site }
    }

    pub fn get(&self, page: &str) -> Option<(u16, String)> {
        self.request("GET", page)
    }

    pub fn request(&self, method: &str, page: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.site.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/api/v1/status").unwrap().1).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
    }

    /// Looks until it is so. What is waited for happens in another process: there is no event of
    /// ours to wait on, but a channel's timeout paces the looking.
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
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
    pub fn stop(mut self) -> (ExitStatus, String) {
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
pub fn exit_of(child: Child) -> Output {
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
