//! `drawbridge trunk test` as an operator meets it, against carriers that do what carriers do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod carrier;
mod providers;
mod site;
mod tls;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use carrier::{Carrier, answer, bytes, introduce, is_digest_of, is_silent, name_server, registrar, says};
use drawbridge::sip::{Header, Method, Writer};
use expect_test::expect;
use site::{HERE, Site};

const CHALLENGE: &str = r#"Digest realm="carrier.example", nonce="8f2a", qop="auth", algorithm=SHA-256"#;
const SECRET: &str = "not-to-be-seen";

fn trunk(address: SocketAddr, more: &str) -> String {
    format!("[trunk.carrier]\nhost = \"{}\"\nport = {}\n{more}\n", address.ip(), address.port())
}

fn with_user(address: SocketAddr, more: &str) -> String {
    trunk(
        address,
        &format!("domain = \"carrier.example\"\nusername = \"alice\"\npassword = \"{SECRET}\"\n{more}"),
    )
}

#[test]
fn a_trunk_that_works_is_told_step_by_step() {
    let carrier = Carrier::udp("127.44.0.1", registrar(CHALLENGE, "alice", SECRET));
    let site = Site::new("works", &with_user(carrier.address, ""));
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5060 (udp by default), domain carrier.example, as "alice", untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5060 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK; it is kamailio (5.8.2 (x86_64/linux))
        |  ok   address                  they see 127.44.1.1:EPHEMERAL, as we say
        |  ok   authentication     TIME  200 OK to REGISTER as "alice", realm "carrier.example", SHA-256
        |
        |  ok   1 of 1 target answers, authenticated; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5060")]));
    assert_eq!((run.code, run.error.as_str()), (0, ""));
    assert_eq!(carrier.heard(), ["OPTIONS", "REGISTER", "REGISTER with a digest"]);
    assert!(!run.page.contains(SECRET));
}

#[test]
fn machines_get_the_same_steps_with_stable_names() {
    let carrier = Carrier::udp("127.44.0.1", registrar(CHALLENGE, "alice", SECRET));
    let site = Site::new("json", &with_user(carrier.address, ""));
    let run = site.test(&["carrier", "--json"]);
    let json = run.json();
    assert_eq!((run.code, &json["passed"]), (0, &true.into()));
    let names: Vec<&str> =
        json["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["configuration", "dns", "connect", "options", "address", "authentication"]);
    let step = &json["steps"][5];
    assert_eq!((&step["outcome"], &step["detail"]["digest"]), (&"passed".into(), &"accepted".into()));
    assert_eq!(step["detail"]["realm"], "carrier.example");
    assert_eq!(step["detail"]["algorithm"], "SHA-256");
    assert_eq!(step["target"]["address"], carrier.address.to_string());
    assert_eq!(json["steps"][3]["detail"]["agent"], "kamailio (5.8.2 (x86_64/linux))");
    assert!(json["steps"][3]["ms"].is_f64());
    assert!(!run.page.contains(SECRET));
}

#[test]
fn a_wrong_password_is_tried_at_one_address_alone() {
    let refusing = || registrar(CHALLENGE, "alice", "another password");
    let (first, second) = (Carrier::udp("127.44.0.1", refusing()), Carrier::udp("127.44.0.2", refusing()));
    let site = Site::new(
        "wrong-password",
        &format!(
            "[trunk.carrier]\nhosts = [{{ host = \"127.44.0.1\", port = {} }}, \
             {{ host = \"127.44.0.2\", port = {}, priority = 2 }}]\n\
             domain = \"carrier.example\"\nusername = \"alice\"\npassword = \"{SECRET}\\n\"\n",
            first.port(),
            second.port()
        ),
    );
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5060, 127.44.0.2:5060 (udp by default), domain carrier.example, as "alice", untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5060 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK; it is kamailio (5.8.2 (x86_64/linux))
        |  ok   address                  they see 127.44.1.1:EPHEMERAL, as we say
        |  FAIL authentication     TIME  401 again with realm "carrier.example": username or password is wrong
        |         - [trunk.carrier] has username = "alice": the provider's name for it may be key, SIP user, or auth
        |           user; the caller's number it is not
        |         - the password begins or ends with a blank or a line break: is that meant?
        |         - set the password anew at the provider, and in the place that password of the trunk points to
        |         - not tried again at the other targets, so that nothing is locked by this test
        |
        |  127.44.0.2:5060 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK; it is kamailio (5.8.2 (x86_64/linux))
        |  ok   address                  they see 127.44.1.1:EPHEMERAL, as we say
        |  skip authentication           refused already; not tried again, so that nothing is locked
        |
        |  FAIL 2 of 2 targets answer, but authentication fails: so will calls; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(first.port(), "5060"), (second.port(), "5060")]));
    assert_eq!(run.code, 1);
    assert_eq!(first.heard(), ["OPTIONS", "REGISTER", "REGISTER with a digest"]);
    assert_eq!(second.heard(), ["OPTIONS"]);
    assert!(!run.page.contains(SECRET));
}

#[test]
fn a_challenge_to_options_is_enough_to_try_the_credentials() {
    let challenge = CHALLENGE;
    let carrier = Carrier::udp(
        "127.44.0.1",
        Arc::new(move |request, from| {
            let header = Header::ProxyAuthorization;
            let is_alice = is_digest_of(request, header, challenge, "alice", SECRET);
            let code = if is_alice { 200 } else { 407 };
            let writer = answer(request, from, code);
            Some(bytes(if is_alice { writer } else { writer.header(Header::ProxyAuthenticate, challenge) }))
        }),
    );
    let site = Site::new("options-407", &with_user(carrier.address, ""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert_eq!(carrier.heard(), ["OPTIONS", "OPTIONS with a digest"]);
    for words in [
        "407 Proxy Authentication Required: alive, and asks who we are",
        "200 OK to OPTIONS as \"alice\", realm \"carrier.example\", SHA-256",
        "1 of 1 target answers, authenticated",
    ] {
        assert!(run.says(words), "{words}\n{}", run.page);
    }
}

#[test]
fn a_realm_that_is_not_the_expected_one_gets_no_digest() {
    let carrier = Carrier::udp("127.44.0.1", registrar(CHALLENGE, "alice", SECRET));
    let site = Site::new("realm", &with_user(carrier.address, "auth_realm = \"euc1.sip.sinch.com\""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 1, "{}", run.page);
    assert_eq!(carrier.heard(), ["OPTIONS", "REGISTER"]);
    let words = "401 with realm \"carrier.example\": the trunk expects realm \"euc1.sip.sinch.com\"";
    assert!(run.says(words), "{}", run.page);
    assert!(run.says("write auth_realm = \"carrier.example\""), "{}", run.page);
}

#[test]
fn who_is_asked_and_has_nothing_to_say_is_told() {
    let carrier = Carrier::udp(
        "127.44.0.1",
        Arc::new(|request, from| {
            let writer = answer(request, from, 401).header(Header::WwwAuthenticate, CHALLENGE);
            Some(bytes(writer))
        }),
    );
    let site = Site::new("no-credentials", &trunk(carrier.address, ""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert!(run.says("calls will be asked, too"), "{}", run.page);
    assert!(run.says(&format!("add {HERE} ({HERE}/32)")), "{}", run.page);
}

#[test]
fn credentials_that_nobody_asks_for_are_told_and_pass() {
    for (code, words) in [
        (405, "405 Method Not Allowed to REGISTER, and no challenge: it cannot be tested without a call"),
        (200, "200 OK to REGISTER, and nobody asked who we are: it knows us by address"),
    ] {
        let carrier = Carrier::udp(
            "127.44.0.1",
            Arc::new(move |request, from| {
                let code = if request.method() == Some(&Method::Options) { 200 } else { code };
                Some(bytes(answer(request, from, code)))
            }),
        );
        let site = Site::new(&format!("by-address-{code}"), &with_user(carrier.address, ""));
        let run = site.test(&["carrier"]);
        assert_eq!(run.code, 0, "{}", run.page);
        assert!(run.says(words), "{words}\n{}", run.page);
        assert!(run.says("1 of 1 target answers; "), "{}", run.page);
    }
}

#[test]
fn a_trunk_that_registers_needs_a_registrar_that_takes_its_user() {
    let registrar = Carrier::udp("127.44.0.1", registrar(CHALLENGE, "alice", SECRET));
    let site = Site::new("registers", &with_user(registrar.address, "register = { user = \"bob\" }"));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}{}", run.page, run.error);
    assert!(
        run.says("registers as \"alice\"") && run.says("200 OK to REGISTER as \"alice\""),
        "{}",
        run.page
    );
    let proxy = Carrier::udp(
        "127.44.0.1",
        Arc::new(|request, from| {
            let code = if request.method() == Some(&Method::Options) { 200 } else { 405 };
            Some(bytes(answer(request, from, code)))
        }),
    );
    let site = Site::new("no-registrar", &with_user(proxy.address, "register = true"));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 1, "{}", run.page);
    assert!(run.says("it takes no registration: write register = false in [trunk.carrier]"), "{}", run.page);
}

/// A NAT between us: the carrier saw us at 203.0.113.9.
fn behind_nat(code: u16) -> carrier::Script {
    Arc::new(move |request, _| {
        let nat = "203.0.113.9:40000".parse().unwrap();
        Some(bytes(introduce(answer(request, nat, code))))
    })
}

#[test]
fn who_is_not_on_their_list_is_told_which_address_to_put_there() {
    let carrier = Carrier::udp("127.44.0.1", behind_nat(403));
    let site = Site::new("403", &with_user(carrier.address, ""));
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5060 (udp by default), domain carrier.example, as "alice", untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5060 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  FAIL options            TIME  403 Forbidden: it does not want to hear from us; it is kamailio (5.8.2 (x86_64/linux))
        |         - at the provider, add 203.0.113.9 (203.0.113.9/32) to the addresses that may call
        |         - or it does not serve sip:carrier.example: is domain in [trunk.carrier] what the provider wrote?
        |  warn address                  behind NAT: they see 203.0.113.9:40000, and calls say 127.44.1.1
        |         - write advertise = "203.0.113.9:5060" in the [[listener]] of the untrusted realm that binds
        |           127.44.1.1:5060 (udp), and restart: without it their requests within calls (ACK, BYE) go astray
        |         - on the NAT, forward UDP 5060 and UDP 10000-19999 (media) from 203.0.113.9 to 127.44.1.1
        |         - write media_advertise = "203.0.113.9" below [realm.untrusted]: SDP says 127.44.1.1, which nobody
        |           out there can send audio to
        |  skip authentication           it does not want to hear from us
        |
        |  FAIL the target does not answer as it should: calls over this trunk fail; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5060")]));
    assert_eq!(run.code, 1);
    assert_eq!(carrier.heard(), ["OPTIONS"], "no credentials to who does not want to hear us");
}

#[test]
fn an_address_behind_nat_is_seen_and_what_to_write_told() {
    let carrier = Carrier::udp("127.44.0.1", behind_nat(200));
    let site = Site::new("nat", &trunk(carrier.address, ""));
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5060 (udp by default), domain 127.44.0.1, without credentials, untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5060 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK; it is kamailio (5.8.2 (x86_64/linux))
        |  warn address                  behind NAT: they see 203.0.113.9:40000, and calls say 127.44.1.1
        |         - write advertise = "203.0.113.9:5060" in the [[listener]] of the untrusted realm that binds
        |           127.44.1.1:5060 (udp), and restart: without it their requests within calls (ACK, BYE) go astray
        |         - on the NAT, forward UDP 5060 and UDP 10000-19999 (media) from 203.0.113.9 to 127.44.1.1
        |         - write media_advertise = "203.0.113.9" below [realm.untrusted]: SDP says 127.44.1.1, which nobody
        |           out there can send audio to
        |
        |  ok   1 of 1 target answers; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5060")]));
    assert_eq!(run.code, 0);
}

#[test]
fn overload_is_theirs_and_says_how_long() {
    let carrier = Carrier::udp(
        "127.44.0.1",
        Arc::new(|request, from| Some(bytes(answer(request, from, 503).header(Header::RetryAfter, "120")))),
    );
    let site = Site::new("503", &trunk(carrier.address, ""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 1);
    for words in
        ["FAIL options", "503 Service Unavailable: it takes no calls now", "It asks for 120 s (Retry-After)."]
    {
        assert!(run.says(words), "{words}\n{}", run.page);
    }
}

#[test]
fn silence_names_the_ways_out_and_the_transport_that_would_answer() {
    let carrier = Carrier::udp("127.44.0.1", is_silent());
    let _by_tcp = Carrier::tcp(carrier.address, says(200));
    let site = Site::new("silence", &with_user(carrier.address, ""));
    let run = site.test(&["carrier", "--timeout", "1"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5080 (udp by default), domain carrier.example, as "alice", untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5080 udp
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  FAIL options            TIME  no answer to 2 requests
        |         - TCP port 5080 answers OPTIONS with 200 there: try transport = "tcp" and port = 5080 in
        |           [trunk.carrier]
        |         - at the provider, add 127.44.1.1 (127.44.1.1/32) to the addresses that may call: many are silent to
        |           strangers
        |         - a firewall here or on the way: UDP from 127.44.1.1 to 127.44.0.1:5080 must pass, and the answers
        |           to it
        |         - the wrong place: compare host and port (here 5080) with the provider's, and try transport = "tcp"
        |           or "tls" in [trunk.carrier]
        |  skip authentication           no answer
        |
        |  FAIL the target does not answer as it should: calls over this trunk fail; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5080")]));
    assert_eq!(run.code, 1);
}

#[test]
fn a_port_that_nobody_listens_on_is_refused_and_not_waited_for() {
    let address = UdpSocket::bind("127.44.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new("refused", &trunk(address, ""));
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            127.44.0.1:5080 (udp by default), domain 127.44.0.1, without credentials, untrusted realm
        |  skip dns                      an address needs none
        |
        |  127.44.0.1:5080 udp
        |  FAIL connect            TIME  nobody listens on UDP port 5080 (ICMP: port unreachable)
        |         - ask the provider for port and transport, and write port = … and transport = "udp", "tcp" or "tls"
        |           in [trunk.carrier]
        |         - if 127.44.0.1:5080 is yours: is it running there? ss -lnp 'sport = :5080'
        |  skip options                  not reached
        |
        |  FAIL the target does not answer as it should: calls over this trunk fail; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(address.port(), "5080")]));
    assert_eq!(run.code, 1);
    let by_tcp = Site::new("refused-tcp", &trunk(address, "transport = \"tcp\""));
    let run = by_tcp.test(&["carrier"]);
    let words = format!("nobody listens on TCP port {}", address.port());
    assert!(run.code == 1 && run.says(&words), "{}", run.page);
}

#[test]
fn tcp_carries_the_questions_too_and_a_closed_connection_is_told() {
    let any = "127.44.0.1:0".parse().unwrap();
    let carrier = Carrier::tcp(any, registrar(CHALLENGE, "alice", SECRET));
    let site = Site::new("tcp", &with_user(carrier.address, "transport = \"tcp\""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert_eq!(carrier.heard(), ["OPTIONS", "REGISTER", "REGISTER with a digest"]);
    let closing = Carrier::tcp(any, is_silent());
    let site = Site::new("tcp-closed", &trunk(closing.address, "transport = \"tcp\""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 1);
    assert!(run.says("the connection was closed instead of an answer"), "{}", run.page);
    assert!(run.says(&format!("add {HERE} ({HERE}/32)")), "{}", run.page);
}

#[test]
fn an_answer_without_an_end_is_no_sign_of_life() {
    for length in ["", "Content-Length: 99999999\r\n"] {
        let endless: carrier::Script = Arc::new(move |request, from| {
            let text = String::from_utf8(bytes(answer(request, from, 200))).unwrap();
            Some(text.replace("Content-Length: 0\r\n", length).into_bytes())
        });
        let carrier = Carrier::tcp("127.44.0.1:0".parse().unwrap(), endless);
        let site =
            Site::new(&format!("endless-{}", length.len()), &trunk(carrier.address, "transport = \"tcp\""));
        let run = site.test(&["carrier"]);
        assert_eq!(run.code, 1, "{}", run.page);
        assert!(run.says("no Content-Length that says where it ends"), "{}", run.page);
    }
}

#[test]
fn what_speaks_no_sip_is_shown() {
    let listener = TcpListener::bind("127.44.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream, page);
        }
    });
    let site = Site::new("http", &trunk(address, "transport = \"tcp\""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 1);
    assert!(run.says("what answers speaks no SIP: \"HTTP/1.1 400 Bad Request\""), "{}", run.page);
}

const NAMES: &[(&str, &[[u8; 4]])] = &[("sip.carrier.example", &[[127, 44, 0, 1], [127, 44, 0, 3]])];

#[test]
fn every_address_of_a_name_is_tested_and_one_that_is_dead_named() {
    let carrier = Carrier::udp("127.44.0.1", says(200));
    let server = name_server(NAMES);
    let more = format!(
        "[dns]\nnameservers = [\"{server}\"]\n[trunk.carrier]\nhost = \"sip.carrier.example\"\nport = {}\n",
        carrier.port()
    );
    let site = Site::new("two-addresses", &more);
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            sip.carrier.example:5080 (udp by default), domain sip.carrier.example, without credentials, untrusted realm
        |  ok   dns                TIME  A sip.carrier.example: 127.44.0.1, 127.44.0.3
        |
        |  127.44.0.1:5080 udp  sip.carrier.example
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK
        |  ok   address                  they see 127.44.1.1:EPHEMERAL, as we say
        |
        |  127.44.0.3:5080 udp  sip.carrier.example
        |  FAIL connect            TIME  nobody listens on UDP port 5080 (ICMP: port unreachable)
        |         - 127.44.0.1 answers the same question, so this is no matter of port, transport or password
        |         - the daemon passes 127.44.0.3 over while it is down; tell the provider, and see that no firewall
        |           lets you reach 127.44.0.1 alone
        |  skip options                  not reached
        |
        |  FAIL 1 of 2 targets answers; calls go to those that do; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5080")]));
    assert_eq!(run.code, 1);
}

#[test]
fn srv_leads_to_the_ports_and_names_that_it_says() {
    let carrier = Carrier::udp("127.44.0.1", says(200));
    let server =
        carrier::service("sip.carrier.example", "a.carrier.example", [127, 44, 0, 1], carrier.port());
    let more = format!(
        "[dns]\nnameservers = [\"{server}\"]\n[trunk.carrier]\nhost = \"sip.carrier.example\"\n\
         transport = \"udp\"\n"
    );
    let site = Site::new("srv", &more);
    let run = site.test(&["carrier"]);
    expect![[r#"
        |
        |  trunk carrier
        |
        |  ok   configuration            sip.carrier.example (udp), domain sip.carrier.example, without credentials, untrusted realm
        |  ok   dns                TIME  SRV _sip._udp.sip.carrier.example: 10 60 5090 a.carrier.example.
        |  ok   dns                TIME  A a.carrier.example: 127.44.0.1
        |
        |  127.44.0.1:5090 udp  a.carrier.example
        |  ok   connect            TIME  from 127.44.1.1:EPHEMERAL
        |  ok   options            TIME  200 OK
        |  ok   address                  they see 127.44.1.1:EPHEMERAL, as we say
        |
        |  ok   1 of 1 target answers; TIME
        |
    "#]].assert_eq(&run.normalised(&site, &[(carrier.port(), "5090")]));
    assert_eq!(run.code, 0);
}

#[test]
fn a_name_that_is_not_there_is_told_from_a_server_that_is_silent() {
    let server = name_server(NAMES);
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (name, server, words) in
        [("typo", server, "no such host"), ("dead-dns", nowhere.local_addr().unwrap(), "no answer from DNS")]
    {
        let more =
            format!("[dns]\nnameservers = [\"{server}\"]\n[trunk.carrier]\nhost = \"sip.carier.example\"\n");
        let site = Site::new(name, &more);
        let run = site.test(&["carrier"]);
        assert_eq!(run.code, 1);
        for words in
            [words, "FAIL dns", "nothing is found for", "dig sip.carier.example", "there is no target"]
        {
            assert!(run.says(words), "{words}\n{}", run.page);
        }
    }
}

#[test]
fn an_answer_from_another_address_is_one_that_the_daemon_would_not_hear() {
    let other = UdpSocket::bind("127.44.0.9:0").unwrap();
    let carrier = Carrier::udp(
        "127.44.0.1",
        Arc::new(move |request, from| {
            other.send_to(&bytes(answer(request, from, 200)), from).unwrap();
            None
        }),
    );
    let site = Site::new("other-source", &trunk(carrier.address, ""));
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert!(run.says("allow = [\"127.44.0.9\"] in [trunk.carrier]"), "{}", run.page);
}

#[test]
fn a_listener_that_is_none_of_this_host_is_told() {
    let carrier = Carrier::udp("127.44.0.1", says(200));
    let site = Site::new("elsewhere", &trunk(carrier.address, ""));
    let path = site.directory.join("drawbridge.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("127.44.1.1", "198.51.100.77")).unwrap();
    let run = site.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert!(run.says("binds 198.51.100.77, which is no address of this host"), "{}", run.page);
}

#[test]
fn what_a_stranger_writes_moves_no_cursor() {
    let carrier = Carrier::udp(
        "127.44.0.1",
        Arc::new(|request, from| {
            let writer: Writer = answer(request, from, 200);
            Some(bytes(writer.header(Header::Server, "\x1b[2J\x1b[31mevil\x07")))
        }),
    );
    let site = Site::new("cursor", &trunk(carrier.address, ""));
    let run = site.test(&["carrier"]);
    assert!(!run.page.contains('\x1b') && !run.page.contains('\x07'), "{:?}", run.page);
}

#[test]
fn wrong_usage_is_two_and_a_wrong_configuration_one() {
    let site = Site::new("usage", &trunk("127.44.0.1:5060".parse().unwrap(), ""));
    let run = site.test(&["carier"]);
    assert_eq!((run.code, run.error.contains("did you mean \"carrier\"?")), (2, true), "{}", run.error);
    assert_eq!(site.test(&["carrier", "--timeout", "0"]).code, 2);
    let site = Site::new("faulty", &trunk("127.44.0.1:5060".parse().unwrap(), "prot = 1"));
    let run = site.test(&["carrier"]);
    assert_eq!((run.code, run.page.as_str()), (1, ""));
    assert!(run.error.contains("did you mean"), "{}", run.error);
    let json = site.test(&["carrier", "--json"]).json();
    assert_eq!((&json["passed"], json["faults"].as_array().unwrap().len()), (&false.into(), 1));
}
