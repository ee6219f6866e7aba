//! The program as systemd meets it: what it says over the notification socket (sd_notify(3)), and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod site;

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use site::{Daemon, PATIENCE, Site};

/// What systemd would hear.
struct Manager(UnixDatagram);

impl Manager {
    fn new(site: &Site) -> Manager {
        let socket = UnixDatagram::bind(site.directory.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    /// The next message of which a line begins so.
    fn hear(&self, wanted: &str) -> String {
        let mut buffer = [0; 4_096];
        loop {
            let length = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|line| line.starts_with(wanted)) {
                return message;
            }
        }
    }
}

#[test]
fn systemd_hears_of_the_start_of_life_of_reloads_and_of_the_end() {
    let site = Site::new("service");
    site.write(&format!("{}\n[trunk.pbx]\nrealm = \"trusted\"\nhost = \"127.0.0.1\"\nport = 9\n", site.text));
    let manager = Manager::new(&site);
    let child = site
        .command("run")
        .env("NOTIFY_SOCKET", site.directory.join("notify"))
        .env("WATCHDOG_USEC", "400000")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let daemon = Daemon::of(&site, child);
    let ready = manager.hear("READY=1");
    assert!(ready.contains("STATUS=serving, 0 calls, 1 of 1 trunk up"), "{ready}");
    // It is as good as its word.
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    for _ in 0..3 {
        manager.hear("WATCHDOG=1");
    }
    daemon.signal("HUP");
    let reloading = manager.hear("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hear("READY=1");
    daemon.signal("TERM");
    manager.hear("STOPPING=1");
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_start_nor_the_watchdog_nor_the_end() {
    let site = Site::new("stalled");
    let manager = Manager::new(&site);
    let (reader, mut writer) = std::io::pipe().unwrap();
    // What a pipe holds (pipe(7)): the first line finds it full.
    writer.write_all(&[b'\n'; 65_536]).unwrap();
    let child = site
        .command("run")
        .env("NOTIFY_SOCKET", site.directory.join("notify"))
        .env("WATCHDOG_USEC", "400000")
        .stderr(writer)
        .spawn()
        .unwrap();
    let daemon = Daemon::of(&site, child);
    manager.hear("READY=1");
    for _ in 0..3 {
        manager.hear("WATCHDOG=1");
    }
    assert_eq!(daemon.stop().0.code(), Some(0));
    drop(reader);
}
