//! The commands that ask a running daemon, and tell it something: over its admin socket, with a call in
//! progress.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;

use serde_json::Value;
use site::{Daemon, PATIENCE, Site, exit_of};

/// Exit status, standard output, standard error.
type Said = (Option<i32>, String, String);

fn run(site: &Site, words: &str) -> Said {
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.arg(name).args(rest.split_whitespace()).arg("--config").arg(site.config());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn well(site: &Site, words: &str) -> String {
    let (code, out, err) = run(site, words);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    out
}

fn json(site: &Site, words: &str) -> Value {
    serde_json::from_str(&well(site, &format!("{words} --json"))).unwrap()
}

/// A carrier behind a trunk, and a PBX that is let in by its address.
struct Parties {
    pbx: UdpSocket,
    carrier: UdpSocket,
    sbc: SocketAddr,
}

impl Parties {
    fn new(site: &mut Site) -> Parties {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (pbx, carrier) = (bind(), bind());
        let port = carrier.local_addr().unwrap().port();
        site.text.push_str(&format!(
            "[trunk.carrier]\nhost = \"127.0.0.1\"\nport = {port}\nlimits = {{ calls = 5 }}\n\
             [[route]]\nname = \"out\"\nfrom = \"trusted\"\ntrunks = [\"carrier\"]\n"
        ));
        site.write(&site.text);
        Parties { pbx, carrier, sbc: site.trusted }
    }

    fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
        let mut bytes = [0; 4_096];
        let (length, from) = socket.recv_from(&mut bytes).unwrap();
        (String::from_utf8_lossy(&bytes[..length]).into_owned(), from)
    }

    /// The first line of the next message that is not a 100 or a probe.
    fn next(socket: &UdpSocket) -> String {
        loop {
            let (message, _) = Self::receive(socket);
            if !message.starts_with("SIP/2.0 100") && !message.starts_with("OPTIONS ") {
                return message.lines().next().unwrap().to_owned();
            }
        }
    }

    fn invite(&self, id: &str) {
        let (us, sbc) = (self.pbx.local_addr().unwrap(), self.sbc);
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 30000 RTP/AVP 0\r\n";
        let invite = format!(
            "INVITE sip:+442079460000@{sbc} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-{id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+14155550100@{us}>;tag={id}\r\nTo: <sip:+442079460000@{sbc}>\r\n\
             Call-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:pbx@{us}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.pbx.send_to(invite.as_bytes(), sbc).unwrap();
    }

    /// A call that the carrier refuses.
    fn fail(&self, id: &str, with: &str) {
        self.invite(id);
        self.refuse(with, "");
        assert_eq!(Self::next(&self.pbx), format!("SIP/2.0 {with}"));
    }

    /// The carrier refuses the next INVITE, with `more` headers; gives that INVITE.
    fn refuse(&self, with: &str, more: &str) -> String {
        let (invite, from) = loop {
            let (message, from) = Self::receive(&self.carrier);
            if message.starts_with("INVITE ") {
                break (message, from);
            }
        };
        let keep = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let kept = invite.lines().filter(|line| keep.iter().any(|name| line.starts_with(name)));
        let kept: String =
            kept.map(|line| {
                if line.starts_with("To:") { format!("{line};tag=t\r\n") } else { format!("{line}\r\n") }
            })
            .collect();
        let refusal = format!("SIP/2.0 {with}\r\n{kept}{more}Content-Length: 0\r\n\r\n");
        self.carrier.send_to(refusal.as_bytes(), from).unwrap();
        invite
    }

    /// A call that rings at the carrier.
    fn ring(&self, id: &str) {
        self.invite(id);
        let (invite, from) = loop {
            let (message, from) = Self::receive(&self.carrier);
            if !message.starts_with("OPTIONS ") {
                break (message, from);
            }
        };
        assert!(invite.starts_with("INVITE "), "{invite}");
        let us = self.carrier.local_addr().unwrap();
        let keep = ["Via:", "From:", "Call-ID:", "CSeq:"];
        let kept = invite.lines().filter(|line| keep.iter().any(|name| line.starts_with(name)));
        let to = invite.lines().find(|line| line.starts_with("To:")).unwrap();
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        let ringing = format!(
            "SIP/2.0 180 Ringing\r\n{kept}{to};tag=callee\r\nContact: <sip:callee@{us}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.carrier.send_to(ringing.as_bytes(), from).unwrap();
        assert_eq!(Self::next(&self.pbx), "SIP/2.0 180 Ringing");
    }
}

#[test]
fn a_call_is_seen_and_hung_up() {
    let mut site = Site::new("calls");
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    assert_eq!(well(&site, "calls"), "0 calls\n");
    parties.ring("one");
    let calls = json(&site, "calls");
    assert_eq!((&calls["total"], &calls["calls"][0]["phase"]), (&1.into(), &"ringing".into()));
    assert_eq!(calls["calls"][0]["egress"]["trunk"], "carrier");
    let id = calls["calls"][0]["id"].as_str().unwrap();
    let page = well(&site, "calls");
    assert!(page.starts_with("CALL ") && page.contains("+442079460000"), "{page}");
    assert!(page.ends_with("carrier\n1 call\n") && !page.contains('\u{1b}'), "{page}");
    assert!(well(&site, &format!("call {id}")).contains("phase  ringing"));
    assert_eq!(json(&site, "trunks")["trunks"][0]["calls"], 1);

    assert_eq!(well(&site, &format!("hangup {id}")), format!("hung up: {id}\n"));
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 480"));
    assert!(Parties::next(&parties.carrier).starts_with("CANCEL "));
    let (code, out, err) = run(&site, "hangup another");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = "drawbridge: there is no call \"another\"; it may be over: drawbridge calls lists those in progress\n";
    assert_eq!(err, told);
    let (code, out, _) = run(&site, "call another --json");
    let failure: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &failure["error"]), (Some(1), &"there is no call \"another\"".into()));
    daemon.stop();
}

#[test]
fn a_call_is_hung_up_by_the_beginning_of_its_id() {
    let mut site = Site::new("beginnings");
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    parties.ring("one");
    let ids = || -> Vec<String> {
        let calls = json(&site, "calls");
        calls["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = ids().remove(0);
    // Three letters do for looking, not for this.
    assert!(well(&site, &format!("call {}", &first[..3])).contains(&first));
    let (code, _, err) = run(&site, &format!("hangup {}", &first[..3]));
    assert_eq!((code, ids().len()), (Some(1), 1), "{err}");
    parties.ring("two");
    let short = &first[..6];
    assert_eq!(well(&site, &format!("hangup {short}")), format!("hung up: {first}\n"));
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 480"));
    daemon.wait_for("the end", || ids().len() == 1);
    assert_ne!(ids()[0], first);
    // What is over is not hung up again, nor is another in its place.
    let (code, _, err) = run(&site, &format!("hangup {short}"));
    let told = format!("drawbridge: the call {first} is over; see how it ended: drawbridge call {first}\n");
    assert_eq!((code, err, ids().len()), (Some(1), told, 1));
    daemon.stop();
}

/// Payload and correlation id of a packet of HEP3.
fn copied(collector: &UdpSocket) -> (String, String) {
    let mut packet = [0; 8_192];
    let (length, _) = collector.recv_from(&mut packet).unwrap();
    assert_eq!(&packet[..4], b"HEP3");
    let (mut at, mut payload, mut correlation) = (6, String::new(), String::new());
    while at < length {
        let size = usize::from(u16::from_be_bytes([packet[at + 4], packet[at + 5]]));
        let value = String::from_utf8_lossy(&packet[at + 6..at + size]).into_owned();
        match packet[at + 3] {
            15 => payload = value,
            17 => correlation = value,
            _ => {}
        }
        at += size;
    }
    (payload, correlation)
}

#[test]
fn a_call_is_told_message_by_message_and_copied_to_a_capture_server() {
    let mut site = Site::new("ladder");
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(PATIENCE)).unwrap();
    let copies = collector.local_addr().unwrap();
    site.text.push_str(&format!(
        "[hep]\ncollector = \"{copies}\"\npassword = \"geheim\"\n[log]\nredact_numbers = true\n"
    ));
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    parties.ring("one");
    let id = json(&site, "calls")["calls"][0]["id"].as_str().unwrap().to_owned();
    let page = well(&site, &format!("call {}", &id[..8]));
    assert!(page.contains("Route out (trusted)") && page.contains("is being tried"), "{page}");
    assert!(
        page.contains("│── INVITE +442079460000 ──►│") && page.contains("180 Ringing ───────│"),
        "{page}"
    );
    assert!(page.contains("Media, as it is now") && !page.contains('\u{1b}'), "{page}");
    let call = json(&site, &format!("call {id}"));
    let lines: Vec<&str> =
        call["messages"].as_array().unwrap().iter().map(|one| one["line"].as_str().unwrap()).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert_eq!((lines[1], lines[3], lines[4]), ("100 Trying", "180 Ringing", "180 Ringing"));
    assert_eq!((&call["state"], &call["media"]["live"]), (&"active".into(), &true.into()));
    assert_eq!(call["media"]["streams"][0]["a_to_b"]["source"]["signalled"], "127.0.0.1:30000");
    well(&site, &format!("hangup {id}"));
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 480"));
    daemon.wait_for("the end", || json(&site, &format!("call {id}"))["state"] == "ended");
    let ended = json(&site, &format!("call {id}"));
    assert_eq!((&ended["status"], &ended["cause"]), (&480.into(), &"an operator hung up".into()));

    // Both legs, under the name of the caller's.
    let copies = std::iter::from_fn(|| Some(copied(&collector)));
    let of_call = copies.filter(|(message, _)| !message.contains("CSeq: 1 OPTIONS"));
    let heard: Vec<(String, String)> = of_call.take(5).collect();
    let invites = heard.iter().filter(|(message, _)| message.starts_with("INVITE ")).count();
    assert_eq!(invites, 2, "{heard:?}");
    assert!(heard.iter().all(|(_, correlation)| correlation == "one"), "{heard:?}");
    let (_, log) = daemon.stop();
    assert_eq!(log.matches("call ended").count(), 1, "{log}");
    assert!(log.contains("+1415xxxxx00") && !log.contains("4155550100") && !log.contains("geheim"), "{log}");
}

#[test]
fn no_secret_is_logged_or_told_however_much_is_logged() {
    let mut site = Site::new("secrets");
    let parties = Parties::new(&mut site);
    let with = "limits = { calls = 5 }\nusername = \"alice\"\npassword = \"hunter2secret\"";
    let text = site.text.replace("limits = { calls = 5 }", with) + "[log]\nfilter = \"trace\"\n";
    site.write(&text);
    let daemon = Daemon::start(&site);
    parties.invite("one");
    let challenge = "WWW-Authenticate: Digest realm=\"carrier.example\", nonce=\"abcdef0123\"\r\n";
    parties.refuse("401 Unauthorized", challenge);
    let again = parties.refuse("403 Forbidden", "");
    assert!(again.contains("response=\"") && again.contains("abcdef0123"), "{again}");
    assert_eq!(Parties::next(&parties.pbx), "SIP/2.0 403 Forbidden");
    // Told once the call is over: it is in the record, too.
    let records = site.directory.join("cdr.jsonl");
    let record = || std::fs::read_to_string(&records).unwrap_or_default();
    daemon.wait_for("the record", || !record().is_empty());
    let record: Value = serde_json::from_str(&record()).unwrap();
    let told = json(&site, &format!("call {}", record["id"].as_str().unwrap())).to_string();
    assert!(told.contains("401 Unauthorized"), "{told}");
    let (_, log) = daemon.stop();
    assert!(log.contains("call ended"), "{log}");
    for text in [&told, &log, &record.to_string()] {
        for secret in ["hunter2secret", "response=", "abcdef0123"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn what_is_logged_changes_at_once() {
    let site = Site::new("log");
    let daemon = Daemon::start(&site);
    assert_eq!(well(&site, "log"), "info\n");
    let (code, _, err) = run(&site, "log inof");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("drawbridge: \"inof\" is no filter of the log; write error, warn,"), "{err}");
    assert_eq!(well(&site, "log error"), "error\n");
    well(&site, "undrain");
    assert_eq!(well(&site, "log info"), "info\n");
    well(&site, "drain");
    assert_eq!(daemon.request("POST", "/api/v1/log").unwrap().0, 403);
    site.write(&format!("{}\n[log]\nfilter = \"debug\"\n", site.text));
    well(&site, "reload");
    assert_eq!(json(&site, "log")["filter"], "debug");
    let (_, log) = daemon.stop();
    assert!(!log.contains("ends the drain") && log.contains("drains the node"), "{log}");
    assert!(log.contains("log.filter: info → debug"), "{log}");
}

#[test]
fn a_trunk_is_switched_off_and_on() {
    let mut site = Site::new("switch");
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    let off = well(&site, "trunk disable carrier");
    assert_eq!(off, "carrier is disabled: no new call goes over it\n");
    parties.invite("one");
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 503"));
    let page = well(&site, "trunks");
    assert!(page.contains("carrier  disabled  untrusted  0/5    -       127.0.0.1:"), "{page}");
    assert!(page.contains("disabled by hand at 20"), "{page}");
    // A reload for another reason leaves it as it is.
    site.write(&site.text.replace("before", "after"));
    well(&site, "reload");
    assert_eq!(json(&site, "trunks")["trunks"][0]["state"], "disabled");
    assert_eq!(well(&site, "trunk enable carrier"), "carrier is enabled: new calls may go over it\n");
    parties.ring("two");
    let (code, _, err) = run(&site, "trunk disable carier");
    let told = "drawbridge: there is no trunk \"carier\"; drawbridge trunks lists those there are\n";
    assert_eq!((code, err.as_str()), (Some(1), told));
    let (_, log) = daemon.stop();
    assert!(log.contains("an operator switched a trunk"), "{log}");
}

#[test]
fn a_trunk_whose_calls_fail_is_seen_with_what_they_met() {
    let mut site = Site::new("failing");
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    assert_eq!(json(&site, "trunks")["trunks"][0]["state"], "new");
    assert!(well(&site, "status").contains("trunks        1 new\n"));
    for id in ["one", "two", "three"] {
        parties.fail(id, "403 Forbidden");
    }
    let trunk = &json(&site, "trunks")["trunks"][0];
    assert_eq!((&trunk["state"], &trunk["targets"][0]["state"]), (&"up".into(), &"up".into()));
    let attempts = &trunk["attempts"];
    assert_eq!((&attempts["total"], &attempts["failed_in_a_row"]), (&3.into(), &3.into()), "{attempts}");
    assert_eq!(attempts["last_failure"]["code"], "403");
    let page = well(&site, "trunks");
    assert!(page.contains("  3/3     "), "{page}");
    assert!(page.contains("403 Forbidden to 3 of the last 3 calls, last "), "{page}");
    let page = well(&site, "status");
    assert!(page.contains("failing       carrier: 403 Forbidden to 3 of the last 3 calls"), "{page}");
    let (_, log) = daemon.stop();
    let told = "trunk carrier: 1 call failed, the last: 403 Forbidden; see their records, and the caller id and the number";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert_eq!(log.matches("403 Forbidden").count(), 1, "{log}");
}

#[test]
fn what_the_api_cannot_read_is_told_as_json_with_a_cure() {
    let site = Site::new("api");
    let daemon = Daemon::start(&site);
    let socket = site.directory.join("admin.sock");
    let ask = |verb: &str, path: &str, kind: &str, body: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // What is refused by its length is not read to its end.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let json: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert!(json["error"].is_string() && json["cure"].is_string(), "{verb} {path}: {json}");
        assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
        (head.split(' ').nth(1).unwrap().parse::<u16>().unwrap(), json)
    };
    let described: Value = serde_json::from_str(&daemon.get("/api/v1/openapi.json").unwrap().1).unwrap();
    let json = "application/json";
    let large = format!("{{\"filter\": \"{}\"}}", "x".repeat(3 << 20));
    for (path, kind, body, expected) in [
        ("/api/v1/drain", json, "{", 400),
        ("/api/v1/drain", json, "{\"deadline\": 5}", 422),
        ("/api/v1/drain", json, "{\"deadline_seconds\": \"soon\"}", 422),
        ("/api/v1/drain", json, "[]", 422),
        ("/api/v1/drain", "text/plain", "{}", 415),
        ("/api/v1/log", json, "", 400),
        ("/api/v1/log", json, "{\"filter\": 5}", 422),
        ("/api/v1/log", "text/plain", "{}", 415),
        ("/api/v1/log", json, &large, 413),
    ] {
        assert_eq!(ask("POST", path, kind, body).0, expected, "{path} {kind}");
        let told = &described["paths"][path]["post"]["responses"][expected.to_string()];
        assert_eq!(told["content"][json]["schema"]["$ref"], "#/components/schemas/Problem", "{path}: {told}");
    }
    for (verb, path) in [
        ("POST", "/api/v1/trunks/%ff/disable"),
        ("GET", "/api/v1/trunks/%ff"),
        ("GET", "/api/v1/calls/%ff"),
        ("POST", "/api/v1/calls/%ff/hangup"),
    ] {
        let (status, problem) = ask(verb, path, json, "");
        assert_eq!(status, 400, "{problem}");
        assert!(problem["cure"].as_str().unwrap().contains("percent-encoded"), "{problem}");
    }
    for (verb, path) in [
        ("PUT", "/api/v1/log"),
        ("DELETE", "/api/v1/calls/x"),
        ("GET", "/api/v1/drain"),
        ("POST", "/metrics"),
    ] {
        assert_eq!(ask(verb, path, json, "").0, 405, "{verb} {path}");
    }
    assert_eq!(ask("GET", "/api/v2/", json, "").0, 404);
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    daemon.stop();
}

#[test]
fn a_reload_that_loses_every_trunk_says_so() {
    let mut site = Site::new("lost");
    let alone = site.text.clone();
    Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    site.write(&alone);
    well(&site, "reload");
    daemon.wait_for("the reload", || daemon.status()["configuration"]["trunks"] == 0);
    let (_, log) = daemon.stop();
    assert!(log.contains("trunk: the only trunk is gone; see whether trunks.d is beside this file"), "{log}");
}

#[test]
fn a_reload_says_what_changed_or_what_is_wrong() {
    let site = Site::new("reloads");
    let daemon = Daemon::start(&site);
    assert_eq!(well(&site, "reload"), "nothing to reload: the files say what is in force\n");
    site.write(&site.text.replace("[media]", "[media]\ntimout = \"30s\"\n"));
    let (code, out, err) = run(&site, "reload");
    assert_eq!((code, err.as_str()), (Some(1), ""));
    assert!(out.contains("media.timout: unknown key; did you mean \"timeout\"?"), "{out}");
    assert!(out.ends_with("refused: 1 fault; the running configuration stays in force\n"), "{out}");
    let page = well(&site, "status");
    assert!(
        page.contains("The files on disk are refused (1 fault); what was in force before still is:"),
        "{page}"
    );
    assert!(page.contains("media.timout"), "{page}");

    // The file's change is taken by itself, too: whichever comes first has the change.
    site.write(&site.text.replace("[media]", "[media]\ntimeout = \"30s\"\nports = \"20000-20100\"\n"));
    let answer = json(&site, "reload");
    assert!(answer["outcome"] == "taken" || answer["outcome"] == "unchanged", "{answer}");
    assert_eq!(answer["waiting_for_restart"][0], "media.ports");
    let (_, log) = daemon.stop();
    assert!(log.contains("media.timeout: 60s → 30s"), "{log}");
}

#[test]
fn a_drain_ends_what_is_left_at_its_deadline_and_an_undrain_lets_calls_in() {
    let mut site = Site::new("drains");
    let parties = Parties::new(&mut site);
    let daemon = Daemon::start(&site);
    parties.ring("one");
    let begun = well(&site, "drain");
    assert_eq!(begun, "draining: new calls are refused; 1 call goes on\n");
    assert_eq!(daemon.get("/readyz").unwrap().0, 503);
    parties.invite("two");
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 503"));
    assert!(well(&site, "status").contains("calls         1, and no new ones"));
    assert_eq!(well(&site, "undrain"), "serving: new calls are taken\n");
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);

    let (code, out, err) = run(&site, "drain --deadline 1");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("1 call left, hung up at 20"), "{out}");
    assert!(out.ends_with("drained: no call is left, and new ones are refused\n"), "{out}");
    assert!(Parties::next(&parties.pbx).starts_with("SIP/2.0 503"));
    assert!(Parties::next(&parties.carrier).starts_with("CANCEL "));
    assert_eq!(run(&site, "drain --deadline soon").0, Some(2));
    daemon.stop();
}

/// A package script asks before it knows.
#[test]
fn a_drain_of_no_daemon_fails_at_once() {
    let site = Site::new("drains-nobody");
    let (code, out, err) = run(&site, "drain --deadline 600");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("no daemon listens at"), "{err}");
}

#[test]
fn http_changes_nothing() {
    let site = Site::new("http");
    let daemon = Daemon::start(&site);
    for page in ["/api/v1/trunks", "/api/v1/calls", "/api/v1/status"] {
        assert_eq!(daemon.get(page).unwrap().0, 200, "{page}");
    }
    let (code, body) = daemon.request("POST", "/api/v1/drain").unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["error"]), (403, &"HTTP serves what can be read, and changes nothing".into()));
    assert!(body["cure"].as_str().unwrap().starts_with("ask at the admin socket"), "{body}");
    assert_eq!(daemon.request("POST", "/api/v1/trunks/x/disable").unwrap().0, 403);
    assert_eq!(daemon.request("POST", "/api/v1/status").unwrap().0, 405);
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    daemon.stop();
}

#[test]
fn the_socket_is_one_daemons_alone_and_outlives_none() {
    let site = Site::new("socket");
    let socket = site.directory.join("admin.sock");
    let (code, _, err) = run(&site, "status");
    let told = format!("drawbridge: no daemon listens at {}; start it with systemctl", socket.display());
    assert!(code == Some(1) && err.starts_with(&told), "{err}");

    let daemon = Daemon::start(&site);
    assert!(socket.exists());
    let page = well(&site, &format!("status --socket {}", socket.display()));
    assert!(page.starts_with("before is serving: Drawbridge "), "{page}");
    let second = Site::new("socket-second");
    second.write(&second.text.replace("socket-second", "socket"));
    let output = exit_of(second.command("run").stderr(Stdio::piped()).spawn().unwrap());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("a Drawbridge that runs has the admin socket"), "{message}");
    assert!(message.contains("write another path as admin.socket"), "{message}");

    // Killed, it leaves its socket; the next one takes the place, and leaves nothing when it ends well.
    drop(daemon);
    assert!(socket.exists());
    let (code, _, err) = run(&site, "status");
    assert!(code == Some(1) && err.contains("no daemon listens at"), "{err}");
    let daemon = Daemon::start(&site);
    well(&site, "status");
    daemon.stop();
    assert!(!socket.exists());
}
