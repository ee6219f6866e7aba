use std::path::Path;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::source::Kind;
use super::*;
use crate::base::{Latch, Realm};
use crate::numbering::NumberForm;
use crate::relay::ZeroCopy;
use crate::routing::{
    CallerIdFallback, CodePattern, DiversionForm, Dtmf, Identity, NumberPattern, Redirect, Refer, Register,
    RegisterTo, RouteSource, Timeouts,
};

/// A file and its text.
type File<'a> = (&'a str, &'a str);

fn read(files: &[File<'_>]) -> Result<Config, Vec<Fault>> {
    let kind = |name: &str| match name.split_once('/') {
        Some(("trunks.d", _)) => Kind::Trunks,
        Some(("profiles.d", _)) => Kind::Profile,
        Some(_) | None => Kind::Main,
    };
    let source = |(name, text): &File<'_>| Source::new((*name).to_owned(), (*text).to_owned(), kind(name));
    let sources: Vec<_> = files.iter().map(source).collect();
    let variable = |name: &str| match name {
        "SECRET" => Some("hunter2".to_owned()),
        "PORT" => Some("5062".to_owned()),
        _ => None,
    };
    let file = |path: &Path| match path.to_str() {
        Some("/run/credentials/sinch") => Ok("hunter3\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    check(&sources, &Surroundings::new(&variable, &file))
}

fn faults(files: &[File<'_>]) -> String {
    let faults = read(files).expect_err("faults");
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn expect_faults(text: &str, expected: Expect) {
    expected.assert_eq(&faults(&[("drawbridge.toml", text)]));
}

const MINIMAL: &str = r#"
[[listener]]
realm = "trusted"
bind = "127.0.0.1:5060"
[[listener]]
realm = "untrusted"
bind = "127.0.0.2:5060"
[realm.trusted]
media_bind = "127.0.0.1"
[realm.untrusted]
media_bind = "127.0.0.2"
"#;

fn minimal_and(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

fn valid(more: &str) -> Config {
    match read(&[("drawbridge.toml", &minimal_and(more))]) {
        Ok(config) => config,
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = valid("");
    assert_eq!(config.node, "drawbridge");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9060");
    assert_eq!(config.admin.socket.as_deref(), Some(Path::new("/run/drawbridge/admin.sock")));
    assert!(!config.admin.needs_socket);
    assert_eq!(config.listeners[1].advertise.to_string(), "127.0.0.2:5060");
    assert_eq!(config.media.ports, (10_000, 19_999));
    assert_eq!(config.media.timeout.as_secs(), 60);
    let Relay { workers, engine, batch, zero_copy, busy_poll, pin } = config.relay;
    assert_eq!((workers, engine, zero_copy), (None, RelayEngine::Auto, ZeroCopy::Auto));
    assert_eq!((batch.as_micros(), busy_poll.as_micros(), pin), (200, 0, true));
    assert!(config.media.one_way_timeout.is_zero() && config.media.hold_timeout.is_zero());
    assert_eq!((config.numbering.prefixes[0].as_str(), config.numbering.emergency.len()), ("00", 2));
    assert!(
        config.admission.allow.trusted.is_empty()
            && config.cdr == Default::default()
            && config.warnings.is_empty()
    );
}

const CONTRACT: &str = r#"
[node]
name = "sbc1"
[admin]
listen = "127.0.0.1:9060"
socket = "/run/drawbridge/admin.sock"
[[listener]]
realm     = "trusted"
transport = "udp"
bind      = "10.0.0.5:5060"
advertise = "10.0.0.5:5060"
[[listener]]
realm     = "untrusted"
bind      = "203.0.113.5:5060"
advertise = "sbc.example.com:5060"
[realm.trusted]
media_bind      = "10.0.0.5"
media_advertise = "10.0.0.5"
allow           = ["10.0.0.0/8", "192.168.7.9"]
[realm.untrusted]
media_bind      = ["203.0.113.5", "2001:db8::5"]
allow           = []
[media]
ports   = "10000-20000"
workers = 1
engine  = "auto"
timeout = "60s"
[dns]
nameservers = ["127.0.0.1:5353"]
[numbering]
country  = "US"
prefixes = ["00", "011"]
short    = ["1[0-9]{2}"]
emergency = ["911", "112"]
[cdr]
path = "/var/log/drawbridge/cdr.jsonl"
[trunk.pbx]
realm = "trusted"
host = "10.0.0.9"
[trunk.vonage-a]
hosts = [{ host = "a.example", port = 5060, priority = 1, weight = 50 }, { host = "b.example" }]
[trunk.vonage-b]
host = "c.example"
numbering = { country = "gb" }
[[route]]
name   = "out"
from   = "trusted"
to     = ["+1*", "+44*", "911", "support", "*97", "regex:\\+49(30|40)[0-9]+"]
trunks = ["sinch", ["vonage-a", "vonage-b"]]
[[route]]
name   = "in"
from   = "sinch"
trunks = ["pbx"]
"#;

const CONTRACT_TRUNK: &str = r#"
[trunk.sinch]
realm     = "untrusted"
host      = "euc1.sip.sinch.com"
port      = 5060
transport = "udp"
domain    = "euc1.sip.sinch.com"
username  = "key"
password  = "${SECRET}"
register  = false
allow     = ["18.184.175.4", "18.196.245.254/32"]
send_numbers = "plain"
caller_id = { default = "+15551230000", allowed = ["+1555123*"], otherwise = "anonymous" }
identity  = "pai"
bodies    = { pass = ["application/isup", "application/*+xml"] }
headers   = { pass = ["X-*"], drop = ["X-Nexmo*"], set = { X-Site = "ams" } }
codecs    = ["PCMU", "PCMA", "telephone-event"]
health    = { interval = "60s", timeout = "3s", down_after = 4, up_after = 1, alive = ["2xx", "404"] }
failover  = { codes = ["408", "5xx"], timeout = "4s", after_ringing = true }
limits    = { calls = 100, cps = 10 }
dtmf      = "info"
dscp      = "CS5"
redirect  = "follow"
calls     = { answer_timeout = "90s" }
refer     = "consume"
enabled   = true
"#;

fn contract() -> Config {
    match read(&[("drawbridge.toml", CONTRACT), ("trunks.d/sinch.toml", CONTRACT_TRUNK)]) {
        Ok(config) => config,
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

#[test]
fn every_key_of_the_contract_is_read() {
    let config = contract();
    assert_eq!(config.node, "sbc1");
    assert_eq!(config.listeners[1].advertise.to_string(), "sbc.example.com:5060");
    assert_eq!(config.nameservers, ["127.0.0.1:5353".parse().unwrap()]);
    assert_eq!(config.relay.workers, Some(1));
    assert_eq!(config.media.realms.untrusted.addresses.len(), 2);
    let nets =
        |realm: Realm| config.admission.allow[realm].iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(nets(Realm::Trusted), ["10.0.0.0/8", "192.168.7.9/32", "10.0.0.9/32"]);
    assert_eq!(nets(Realm::Untrusted), ["18.184.175.4/32", "18.196.245.254/32"]);
    let routing = &config.routing;
    let names: Vec<_> = routing.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    assert_eq!(names, ["pbx", "vonage-a", "vonage-b", "sinch"]);
    let sinch = routing.trunk(&"sinch".into()).unwrap();
    assert_eq!(sinch.credentials.as_ref().unwrap().password, "hunter2");
    assert_eq!((sinch.send_numbers, sinch.identity), (NumberForm::Plain, Identity::Pai));
    assert_eq!(sinch.caller_id.otherwise, CallerIdFallback::Anonymous);
    assert_eq!(sinch.headers.set, [("X-Site".to_owned(), "ams".to_owned())]);
    assert_eq!(sinch.bodies.pass, ["application/isup", "application/*+xml"]);
    assert_eq!(sinch.failover.codes, [CodePattern::Code(408), CodePattern::Class(5)]);
    assert_eq!((sinch.redirect, sinch.refer), (Redirect::Follow, Refer::Consume));
    assert_eq!((sinch.limits.calls, sinch.limits.calls_per_second), (Some(100), Some(10)));
    assert_eq!(sinch.calls.unwrap().answer.as_secs(), 90);
    assert_eq!((sinch.dtmf, sinch.dscp.value()), (Dtmf::Info, 40));
    let vonage = routing.trunk(&"vonage-a".into()).unwrap();
    assert_eq!((vonage.hosts[0].weight, vonage.hosts[0].port), (50, Some(5060)));
    assert_eq!((vonage.hosts[1].priority, vonage.domain.as_str()), (1, "a.example"));
    let own = routing.trunk(&"vonage-b".into()).unwrap().numbering.as_ref().unwrap();
    assert_eq!((own.country.as_deref(), own.prefixes.len()), (Some("GB"), 2));
    let out = &routing.routes[0];
    assert!(matches!(&out.to[0], NumberPattern::Prefix(prefix) if prefix == "+1"));
    assert!(matches!(&out.to[4], NumberPattern::Exact(code) if code == "*97"));
    assert_eq!(out.tiers[1], ["vonage-a".into(), "vonage-b".into()]);
    assert_eq!(routing.routes[1].from, RouteSource::Trunk("sinch".into()));
}

#[test]
fn calls_have_timers_and_a_trunk_its_own_over_them() {
    let config = valid(
        "[calls]\nprogress_timeout = \"0s\"\nanswer_timeout = \"2m\"\nmax_duration = \"24h\"\n\
         session_expires = \"600500ms\"\nmin_session_expires = \"120s\"\n\
         [trunk.a]\nhost = \"a.example\"\ncalls = { session_expires = \"0s\", max_duration = \"1h\" }\n\
         [trunk.b]\nhost = \"b.example\"\n",
    );
    let seconds = |timeouts: &Timeouts| {
        let Timeouts { progress, answer, duration, session_expires, min_session_expires } = timeouts;
        [progress, answer, duration, session_expires, min_session_expires].map(std::time::Duration::as_secs)
    };
    assert_eq!(seconds(&config.calls), [0, 120, 86_400, 600, 120]);
    let own = config.routing.trunks[0].calls.as_ref().unwrap();
    assert_eq!(seconds(own), [0, 120, 3_600, 0, 120]);
    assert_eq!(config.routing.trunks[1].calls, None);
    assert_eq!(valid("").calls, Timeouts::default());
    assert_eq!(seconds(&Timeouts::default()), [60, 185, 43_200, 1_800, 90]);
}

#[test]
fn timers_of_calls_have_their_ranges() {
    let text = minimal_and(
        "[calls]\nprogress_timeout = \"500ms\"\nanswer_timeout = \"0s\"\nmax_duration = \"1s\"\n\
         session_expires = \"60s\"\nmin_session_expires = \"89s\"\nring = 1\n\
         [trunk.a]\nhost = \"a.example\"\ncalls = { min_session_expires = \"2h\" }\n",
    );
    expect_faults(
        &text,
        expect![[r#"
        drawbridge.toml:13:20: calls.progress_timeout: this is out of range; write "1s" to "10m", or "0s" for none
         13 | progress_timeout = "…"
            |                    ^^^
        drawbridge.toml:14:18: calls.answer_timeout: this is out of range; write "1s" to "1h"
         14 | answer_timeout = "…"
            |                  ^^^
        drawbridge.toml:15:16: calls.max_duration: this is out of range; write "60s" to "24h"
         15 | max_duration = "…"
            |                ^^^
        drawbridge.toml:16:19: calls.session_expires: this is out of range; write "90s" to "24h", or "0s" for none
         16 | session_expires = "…"
            |                   ^^^
        drawbridge.toml:17:23: calls.min_session_expires: this is out of range; write "90s" to "24h"
         17 | min_session_expires = "…"
            |                       ^^^
        drawbridge.toml:18:1: calls.ring: unknown key
         18 | ring = …
            | ^^^^
        drawbridge.toml:21:33: trunk.a.calls.min_session_expires: session_expires is below min_session_expires; write session_expires = "0s", or at least min_session_expires
         21 | calls = { min_session_expires = "…" }
            |                                 ^^^
    "#]],
    );
}

#[test]
fn all_faults_of_all_files_come_at_once_with_place_and_cure() {
    let main = minimal_and(
        "[media]\nports = \"20000-10000\"\ntimout = \"60s\"\n[[route]]\nfrom = \"sinhc\"\ntrunks = [\"nobody\", [\"sinch\"]]\n",
    );
    let trunk =
        "[trunk.sinch]\nhots = \"a.example\"\nallow = [\"10.0.0.1/8\", \"x\"]\nlimits = { cps = 0 }\n";
    expect![[r#"
        drawbridge.toml:13:9: media.ports: "20000-10000" has no even port with the odd one above it; write the lower port first, as in "10000-20000"
         13 | ports = "…"
            |         ^^^
        drawbridge.toml:14:1: media.timout: unknown key; did you mean "timeout"?
         14 | timout = …
            | ^^^^^^
        drawbridge.toml:16:8: route[1].from: there is no realm and no trunk "sinhc"; did you mean "sinch"?
         16 | from = "…"
            |        ^^^
        drawbridge.toml:17:11: route[1].trunks[1]: there is no trunk "nobody"; add [trunk.nobody], or name one that exists
         17 | trunks = ["…", ["…"]]
            |           ^^^
        trunks.d/a.toml:1:8: trunk.sinch: host is missing; write host = "sip.example.com", or an IP address
         1 | [trunk.sinch]
           |        ^^^^^
        trunks.d/a.toml:2:1: trunk.sinch.hots: unknown key; did you mean "host"?
         2 | hots = …
           | ^^^^
        trunks.d/a.toml:3:10: trunk.sinch.allow[1]: "10.0.0.1/8" has host bits set; write "10.0.0.0/8" for the network or "10.0.0.1" for the one address
         3 | allow = ["…", "…"]
           |          ^^^
        trunks.d/a.toml:3:24: trunk.sinch.allow[2]: "x" is no network and no address; write it as 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32
         3 | allow = ["…", "…"]
           |               ^^^
        trunks.d/a.toml:4:18: trunk.sinch.limits.cps: 0 is out of range; write 1 to 1000000
         4 | limits = { cps = 0 }
           |                  ^
    "#]]
    .assert_eq(&faults(&[("drawbridge.toml", &main), ("trunks.d/a.toml", trunk)]));
}

#[test]
fn an_empty_file_says_what_is_needed() {
    expect_faults(
        "",
        expect![[r#"
        drawbridge.toml:1:1: listener: the trusted realm has no listener; add [[listener]] with realm = "trusted" and bind = "ADDRESS:5060"
        drawbridge.toml:1:1: realm.trusted.media_bind: the realm has no usable media address; write media_bind = "ADDRESS" below [realm.trusted]
        drawbridge.toml:1:1: listener: the untrusted realm has no listener; add [[listener]] with realm = "untrusted" and bind = "ADDRESS:5060"
        drawbridge.toml:1:1: realm.untrusted.media_bind: the realm has no usable media address; write media_bind = "ADDRESS" below [realm.untrusted]
    "#]],
    );
}

#[test]
fn a_syntax_error_has_its_place_and_the_other_files_are_still_read() {
    let trunk = "[trunk.a]\nhots = \"x\"\n";
    expect![[r#"
        drawbridge.toml:1:6: node: the name of the table has no end; write [node]
         1 | [node
           |      ^
        trunks.d/a.toml:1:8: trunk.a: host is missing; write host = "sip.example.com", or an IP address
         1 | [trunk.a]
           |        ^
        trunks.d/a.toml:2:1: trunk.a.hots: unknown key; did you mean "host"?
         2 | hots = …
           | ^^^^
    "#]]
    .assert_eq(&faults(&[("drawbridge.toml", "[node\nname = 1\n"), ("trunks.d/a.toml", trunk)]));
}

#[test]
fn every_kind_of_wrong_value_is_told_apart() {
    let text = r#"
[node]
name = "sbc 1"
[admin]
listen = "localhost"
socket = "admin.sock"
[[listener]]
realm = "trustet"
bind = "0.0.0.0:5060"
[[listener]]
realm = "untrusted"
bind = "127.0.0.1:10010"
[[listener]]
realm = "untrusted"
bind = "127.0.0.1:10010"
[realm.trusted]
media_bind = ["127.0.0.1", "127.0.0.2"]
media_advertise = "::1"
[realm.untrusted]
media_bind = "0.0.0.0"
[media]
timeout = "60"
workers = "two"
engine = "iouring"
[numbering]
country = "UK"
short = ["1["]
[cdr]
path = 5
[trunk.a]
host = "sip:a.example"
port = 70000
password = "x"
caller_id = { allowed = ["555*"] }
failover = { codes = ["200", "5XX"], timeout = "1h" }
headers = { set = { Via = "x", X-A = "a\r\nb" } }
[trunk.trusted]
host = "2001:db8::1"
[[route]]
from = "trusted"
to = ["+1", "00*", "regex:("]
trunks = []
"#;
    expect_faults(
        text,
        expect![[r#"
            drawbridge.toml:3:8: node.name: "sbc 1" is no node name; write letters, digits, - . and _ alone, as in "sbc1"
             3 | name = "…"
               |        ^^^
            drawbridge.toml:5:10: admin.listen: "localhost" is no address with a port; write it as 192.0.2.7:5060 or [2001:db8::7]:5060
             5 | listen = "…"
               |          ^^^
            drawbridge.toml:6:10: admin.socket: "admin.sock" is no absolute path; write the whole path, from / on
             6 | socket = "…"
               |          ^^^
            drawbridge.toml:8:9: listener[1].realm: "trustet" is not known here; did you mean "trusted"? Write "trusted" or "untrusted"
             8 | realm = "…"
               |         ^^^
            drawbridge.toml:9:8: listener[1].bind: nobody can send to this address; write what Via and Contact shall say as advertise = "203.0.113.5:5060"
             9 | bind = "…"
               |        ^^^
            drawbridge.toml:12:8: listener[2].bind: port 10010 is one of media.ports; choose a port outside of media.ports, or other media.ports
             12 | bind = "…"
                |        ^^^
            drawbridge.toml:15:8: listener[3].bind: listener[2] binds the same address and port; give one of them another port or address
             15 | bind = "…"
                |        ^^^
            drawbridge.toml:15:8: listener[3].bind: port 10010 is one of media.ports; choose a port outside of media.ports, or other media.ports
             15 | bind = "…"
                |        ^^^
            drawbridge.toml:17:28: realm.trusted.media_bind[2]: "127.0.0.2" is a second address of its family; write at most one IPv4 and one IPv6 address
             17 | media_bind = ["…", "…"]
                |                    ^^^
            drawbridge.toml:18:19: realm.trusted.media_advertise: "::1" is of a family that media_bind has not; add an address of its family to media_bind
             18 | media_advertise = "…"
                |                   ^^^
            drawbridge.toml:20:14: realm.untrusted.media_bind: "0.0.0.0" cannot be sent to; write the address that SDP shall say as media_advertise
             20 | media_bind = "…"
                |              ^^^
            drawbridge.toml:22:11: media.timeout: "60" is no duration; write a whole number with ms, s, m or h, as in "30s"
             22 | timeout = "…"
                |           ^^^
            drawbridge.toml:23:11: media.workers: this is a string; write a whole number
             23 | workers = "…"
                |           ^^^
            drawbridge.toml:24:10: media.engine: "iouring" is not known here; did you mean "io_uring"? Write "auto" or "io_uring" or "portable"
             24 | engine = "…"
                |          ^^^
            drawbridge.toml:26:11: numbering.country: "UK" is no country with a numbering plan; write the two letters of ISO 3166, as in "US"
             26 | country = "…"
                |           ^^^
            drawbridge.toml:27:10: numbering.short[1]: "1[" is no regular expression; unclosed character class
             27 | short = ["…"]
                |          ^^^
            drawbridge.toml:29:8: cdr.path: this is a whole number; write it in quotes
             29 | path = 5
                |        ^
            drawbridge.toml:31:8: trunk.a.host: "sip:a.example" is no host; write the host alone, without sip: and user
             31 | host = "…"
                |        ^^^
            drawbridge.toml:32:8: trunk.a.port: 70000 is out of range; write 1 to 65535
             32 | port = 70000
                |        ^^^^^
            drawbridge.toml:33:1: trunk.a.password: there is no username with it; write username too
             33 | password = …
                | ^^^^^^^^
            drawbridge.toml:34:1: trunk.a.caller_id: numbers that are not allowed shall become the default, and there is none; write default = "+12025550123", or otherwise = "anonymous" or "reject"
             34 | caller_id = { allowed = ["…"] }
                | ^^^^^^^^^
            drawbridge.toml:34:26: trunk.a.caller_id.allowed[1]: "555*" is no pattern of numbers; write + and digits, with * at the end for all that begin so
             34 | caller_id = { allowed = ["…"] }
                |                          ^^^
            drawbridge.toml:35:23: trunk.a.failover.codes[1]: "200" is no final failure; write a status code from "300" to "699", or a class as in "5xx"
             35 | failover = { codes = ["…", "…"], timeout = "…" }
                |                       ^^^
            drawbridge.toml:35:48: trunk.a.failover.timeout: this is not between the first retransmission and the end of the transaction; write "500ms" to "32s"
             35 | failover = { codes = ["…", "…"], timeout = "…" }
                |                                            ^^^
            drawbridge.toml:36:21: trunk.a.headers.set.Via: this header belongs to the call itself; leave it out
             36 | headers = { set = { Via = "…", X-A = "…" } }
                |                     ^^^
            drawbridge.toml:36:38: trunk.a.headers.set.X-A: this holds a control character; write one line
             36 | headers = { set = { Via = "…", X-A = "…" } }
                |                                      ^^^
            drawbridge.toml:37:8: trunk.trusted: this is no trunk name; use letters, digits, - and _, not the name of a realm
             37 | [trunk.trusted]
                |        ^^^^^^^
            drawbridge.toml:37:8: trunk.trusted.host: 2001:db8::1 cannot be reached: the untrusted realm has no IPv6 listener; add an IPv6 listener to the untrusted realm
             37 | [trunk.trusted]
                |        ^^^^^^^
            drawbridge.toml:41:7: route[1].to[1]: "+1" matches no normalised number; write "+1*" for all numbers that begin so
             41 | to = ["…", "…", "…"]
                |       ^^^
            drawbridge.toml:41:13: route[1].to[2]: "00*" matches no normalised number; numbers are in E.164 form here: write it as in "+44*"
             41 | to = ["…", "…", "…"]
                |            ^^^
            drawbridge.toml:41:20: route[1].to[3]: "regex:(" is no regular expression; unclosed group
             41 | to = ["…", "…", "…"]
                |                 ^^^
            drawbridge.toml:42:10: route[1].trunks: there is no trunk in it; write ["name-of-a-trunk"]
             42 | trunks = []
                |          ^^
        "#]],
    );
}

#[test]
fn a_trunk_says_from_where_its_media_is_taken() {
    let latch =
        |keys: &str| valid(&format!("[trunk.a]\nhost = \"127.0.0.9\"\n{keys}\n")).routing.trunks[0].latch;
    assert_eq!(latch(""), Latch::Signalled);
    assert_eq!(latch("latch = \"signalled\""), Latch::Signalled);
    assert_eq!(latch("latch = \"learn\""), Latch::Learn);
    assert_eq!(latch("latch = \"strict\""), Latch::Strict);
    let text = minimal_and("[trunk.a]\nhost = \"a.example\"\nlatch = \"any\"\n");
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(found.contains("trunk.a.latch: \"any\" is not known here; write \"signalled\""), "{found}");
}

#[test]
fn a_trunk_is_in_the_trust_domain_by_its_realm_or_by_its_key() {
    let trunk = |keys: &str| {
        let config = valid(&format!("[trunk.a]\nhost = \"127.0.0.9\"\n{keys}\n"));
        let trunk = &config.routing.trunks[0];
        (trunk.trust_identity, trunk.diversion)
    };
    assert_eq!(trunk(""), (false, DiversionForm::Drop));
    assert_eq!(trunk("realm = \"trusted\""), (true, DiversionForm::Drop));
    assert!(!trunk("realm = \"trusted\"\ntrust_identity = false").0);
    assert_eq!(trunk("trust_identity = true\ndiversion = \"pass\""), (true, DiversionForm::Pass));
    assert_eq!(trunk("diversion = \"diversion\"").1, DiversionForm::Diversion);
    assert_eq!(trunk("diversion = \"history-info\"").1, DiversionForm::HistoryInfo);
    let text = minimal_and(
        "[trunk.a]\nhost = \"a.example\"\ndiversion = \"all\"\ntrust_identity = 1\nheaders = { pass = [\"X-*\", \"diversion\"] }\n",
    );
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(found.contains("trunk.a.diversion: \"all\" is not known here; write \"drop\""), "{found}");
    assert!(found.contains("trunk.a.trust_identity: this is a whole number"), "{found}");
    let cure =
        "\"diversion\" is written anew for each trunk and passes by no rule; write diversion = \"pass\"";
    assert!(found.contains(&format!("trunk.a.headers.pass[2]: {cure}")), "{found}");
}

#[test]
fn the_admin_socket_is_needed_where_it_is_written_and_none_where_it_is_empty() {
    let admin = |socket: &str| valid(&format!("[admin]\nsocket = \"{socket}\"\n")).admin;
    let written = admin("/run/drawbridge/admin.sock");
    assert_eq!(written.socket.as_deref(), Some(Path::new("/run/drawbridge/admin.sock")));
    assert!(written.needs_socket);
    assert_eq!(admin("").socket, None);
    let long = minimal_and(&format!("[admin]\nsocket = \"/{}\"\n", "a".repeat(90)));
    let found = faults(&[("drawbridge.toml", &long)]);
    assert!(found.contains("is too long for a socket; write a path of at most 90 bytes"), "{found}");
}

#[test]
fn strings_expand_from_the_environment_and_from_files() {
    let config = valid(
        "[trunk.a]\nhost = \"a.example\"\nusername = \"${SECRET}-x\"\npassword = \"${file:/run/credentials/sinch}\"\n",
    );
    let credentials = config.routing.trunks[0].credentials.as_ref().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password.as_str()), ("hunter2-x", "hunter3"));
    let text = minimal_and(
        "[node]\nname = \"${NAMELESS}\"\n[cdr]\npath = \"${file:/nope}\"\n[admin]\nsocket = \"/${x\"\n",
    );
    expect_faults(
        &text,
        expect![[r#"
            drawbridge.toml:13:8: node.name: environment variable NAMELESS is not set; write ${file:PATH}, which is read at each reload; or set it in /etc/drawbridge/secrets.env and restart the daemon (a command in a shell wants it there, too)
             13 | name = "…"
                |        ^^^
            drawbridge.toml:15:8: cdr.path: file /nope: no such file; name a file that the daemon's user may read, by its whole path
             15 | path = "…"
                |        ^^^
            drawbridge.toml:17:10: admin.socket: ${ without its }; write ${NAME} or ${file:PATH}
             17 | socket = "…"
                |          ^^^
        "#]],
    );
}

#[test]
fn trunk_files_hold_trunks_and_a_name_is_there_once() {
    let a = "[media]\nports = \"1-2\"\n[trunk.a]\nhost = \"a.example\"\n";
    let b = "[trunk.a]\nhost = \"b.example\"\n";
    let files = [("drawbridge.toml", MINIMAL), ("trunks.d/a.toml", a), ("trunks.d/b.toml", b)];
    expect![[r#"
        trunks.d/a.toml:1:2: media: files in trunks.d hold [trunk.*] and [[route]] alone; move it to drawbridge.toml
         1 | [media]
           |  ^^^^^
        trunks.d/b.toml:1:8: trunk.a: this trunk was there before; see trunks.d/a.toml:3; give one of them another name
         1 | [trunk.a]
           |        ^
    "#]].assert_eq(&faults(&files));
}

/// Two of one name share every source, which is nothing to be told as well.
#[test]
fn two_trunks_of_one_name_and_host_are_one_fault() {
    let trunk = "[trunk.a]\nhost = \"192.0.2.1\"\n";
    let found =
        faults(&[("drawbridge.toml", MINIMAL), ("trunks.d/a.toml", trunk), ("trunks.d/b.toml", trunk)]);
    assert_eq!(found.matches("trunk.a:").count(), 1, "{found}");
    assert!(found.starts_with("trunks.d/b.toml:1:8: trunk.a: this trunk was there before"), "{found}");
}

#[test]
fn a_difference_is_one_line_a_change_without_secrets() {
    let old = contract();
    let mut new = contract();
    assert_eq!(diff(&old, &new), Vec::<String>::new());
    new.media.timeout = std::time::Duration::from_secs(30);
    new.media.ports = (20_000, 20_999);
    new.calls.answer = std::time::Duration::from_secs(90);
    new.routing.trunks.remove(0);
    let sinch = &mut new.routing.trunks[2];
    sinch.enabled = false;
    sinch.hosts[0].host = crate::routing::Host::Name("use1.sip.sinch.com".to_owned());
    sinch.limits.calls = None;
    sinch.failover.codes.push(CodePattern::Code(404));
    sinch.headers.set[0].1 = "rtm-token-7".to_owned();
    sinch.credentials.as_mut().unwrap().password = "hunter9".to_owned();
    let mut added = sinch.clone();
    added.name = "other".into();
    new.routing.trunks.push(added);
    new.routing.trunks[0].name = "vonage".into();
    new.routing.routes[0].to.remove(1);
    new.routing.routes[0].tiers.remove(0);
    new.routing.routes.swap(0, 1);
    expect![[r#"
        calls.answer_timeout: 185s → 90s
        media.ports: 10000-19999 → 20000-20999
        media.timeout: 60s → 30s
        route out: to +1*, +44*, 911, support, *97, regex:\+49(30|40)[0-9]+ → +1*, 911, support, *97, regex:\+49(30|40)[0-9]+
        route out: trunks sinch, [vonage-a, vonage-b] → [vonage-a, vonage-b]
        trunk other: added
        trunk pbx: removed
        trunk sinch: enabled true → false
        trunk sinch: failover.codes 408, 5xx → 408, 5xx, 404
        trunk sinch: headers.set changed
        trunk sinch: hosts euc1.sip.sinch.com:5060 → use1.sip.sinch.com:5060
        trunk sinch: limits calls 100, cps 10 → cps 10
        trunk sinch: password changed
        trunk vonage-a: renamed to vonage
        routes: out, in → in, out"#]]
    .assert_eq(&diff(&old, &new).join("\n"));
    assert_eq!(new.keep_until_restart(&old), ["media.ports"]);
    assert_eq!(new.media.ports, old.media.ports);
    assert_eq!(new.media.timeout.as_secs(), 30);
}

mod dns;
mod health;
mod load;
mod matching;
mod mistakes;
mod numbers;
mod observing;
mod profiles;
mod providers_page;
mod records;
mod relay;
mod samples;
mod secrets;
mod silence;
mod tls;

#[test]
fn files_are_read_from_the_directory_in_name_order() {
    let directory = std::env::temp_dir().join(format!("drawbridge-config-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("trunks.d")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("drawbridge.toml", MINIMAL);
    write("trunks.d/b.toml", "[trunk.b]\nhost = \"b.example\"\n");
    write("trunks.d/a.toml", "[trunk.a]\nhost = \"a.example\"\n");
    write("trunks.d/c.toml.sample", "not TOML");
    let config = load(&directory.join("drawbridge.toml")).unwrap();
    let names: Vec<_> = config.routing.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let missing = load(&directory.join("missing.toml")).unwrap_err();
    assert!(missing[0].to_string().contains("missing.toml: cannot be read: "), "{}", missing[0]);
    std::os::unix::fs::symlink("nowhere", directory.join("trunks.d/d.toml")).unwrap();
    let nowhere = load(&directory.join("drawbridge.toml")).unwrap_err();
    let cure = "there is no such file; this is a link to nowhere: mend it, or take it away";
    assert!(nowhere[0].to_string().ends_with(cure), "{}", nowhere[0]);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_body_that_may_pass_is_a_media_type() {
    expect_faults(
        &minimal_and(
            "[trunk.a]\nhost = \"a.example\"\nbodies = { pass = [\"xml\", \"a/b/c\", \"*\", \"application/*\"] }\n",
        ),
        expect![[r#"
            drawbridge.toml:14:20: trunk.a.bodies.pass[1]: "xml" is no media type; write one as in "application/pidf+xml", or a pattern as in "application/*"
             14 | bodies = …
                |          ^
            drawbridge.toml:14:27: trunk.a.bodies.pass[2]: "a/b/c" is no media type; write one as in "application/pidf+xml", or a pattern as in "application/*"
             14 | bodies = …
                |          ^
        "#]],
    );
    let anything = valid("[trunk.a]\nhost = \"a.example\"\nbodies = { pass = [\"*\"] }\n");
    assert_eq!(anything.routing.trunks[0].bodies.pass, ["*"]);
}

#[test]
fn a_trunk_says_which_challenges_it_answers() {
    let config = valid(
        "[trunk.a]\nhost = \"a.example\"\nauth_realm = \"Sip.Sinch.com\"\n[trunk.b]\nhost = \"b.example\"\nauth_realm = [\"x\", \"y\"]\nauth_algorithms = [\"SHA-512-256\", \"MD5\"]\n",
    );
    let [a, b] = [0, 1].map(|at| &config.routing.trunks[at].authentication);
    assert_eq!((a.realms.as_slice(), a.algorithms.len()), (&["Sip.Sinch.com".to_owned()][..], 0));
    assert!(a.trusts("Sip.Sinch.com") && !a.trusts("sip.sinch.com") && a.takes("MD5"));
    assert!(b.trusts("y") && b.takes("SHA-512-256") && !b.takes("SHA-256"));
    let found = faults(&[(
        "drawbridge.toml",
        &minimal_and("[trunk.a]\nhost = \"a.example\"\nauth_realm = \"\"\nauth_algorithms = [\"sha1\"]\n"),
    )]);
    assert!(found.contains("trunk.a.auth_realm: \"\" is no realm"), "{found}");
    assert!(found.contains("write \"MD5\" or \"SHA-256\" or \"SHA-512-256\""), "{found}");
}

#[test]
fn a_trunk_may_be_registered_at() {
    let account = "username = \"u\"\npassword = \"p\"\n";
    let trunk = |register: &str| format!("[trunk.a]\nhost = \"a.example\"\n{account}register = {register}\n");
    let read = |register: &str| valid(&trunk(register)).routing.trunks[0].register.clone();
    assert_eq!(read("false"), None);
    assert_eq!(read("true"), Some(Register::default()));
    assert_eq!(read("{}"), Some(Register::default()));
    let all = "{ expires = \"10m\", registrar = \"Sip.Example\", user = \"line1\", contact_user = \"me\", to = \"first\", required = true }";
    let expected = Register {
        expires: Duration::from_secs(600),
        registrar: Some("sip.example".to_owned()),
        user: Some("line1".to_owned()),
        contact_user: Some("me".to_owned()),
        to: RegisterTo::First,
        required: true,
    };
    assert_eq!(read(all), Some(expected));
    let found = |text: &str| faults(&[("drawbridge.toml", &minimal_and(text))]);
    let nobody = found("[trunk.a]\nhost = \"a.example\"\nregister = true\n");
    assert!(nobody.contains("trunk.a.register: there is nobody to register; write username"), "{nobody}");
    let odd = found(&trunk("{ expires = \"5s\", user = \"a@b\", to = \"some\", expire = \"1h\" }"));
    for fault in [
        "trunk.a.register.expires: this is out of range; write \"60s\" to \"24h\"",
        "trunk.a.register.user: \"a@b\" is no user",
        "trunk.a.register.to: \"some\" is not known here; write \"all\" or \"first\"",
        "trunk.a.register.expire: unknown key; did you mean \"expires\"?",
    ] {
        assert!(odd.contains(fault), "{fault}\n{odd}");
    }
    let bare = valid("[trunk.a]\nhost = \"a.example\"\nregister = { user = \"pbx\" }\n");
    assert_eq!(bare.routing.trunks[0].registered_user(), Some("pbx"));
}
