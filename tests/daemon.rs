//! The program as an operator meets it: started with a file, asked by HTTP, spoken to in SIP, told
//! by signals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod site;

use std::net::UdpSocket;
use std::process::Stdio;

use site::{Daemon, PATIENCE, Site, exit_of};

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
