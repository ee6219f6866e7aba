//! What any provider asks.

use super::*;
use crate::base::Transport;

fn any(address: &str) -> Provider {
    Provider::new(&[("sip.any.example", &[address])]).asking("alice", "wonder-land", "any.example")
}

const FIVE: &str = "[trunk.any]\nprofile = \"plain\"\nhost = \"sip.any.example\"\nport = 5070\nusername = \"alice\"\npassword = \"wonder-land\"\ndomain = \"any.example\"\n";

#[test]
fn r1_five_values_are_enough_for_any_provider() {
    let mut bench = Bench::new(&format!("{FIVE}{}", routes("any")), vec![any("192.0.2.71")]);
    let placed = bench.call("+12025550177", "+442079460000");
    let (hop, invite) = placed.invite();
    assert_eq!((placed.status, hop.peer.to_string()), (200, "192.0.2.71:5070".to_owned()));
    assert_eq!(first_line(invite), "INVITE sip:+442079460000@any.example SIP/2.0");
    assert!(value(invite, Header::From).contains("<sip:+12025550177@any.example>;tag="));
    assert!(value(invite, Header::ProxyAuthorization).contains("username=\"alice\""));
    bench.end();
}

#[test]
fn r2_a_secret_is_expanded_and_shown_nowhere() {
    let file = std::env::temp_dir().join(format!("drawbridge-r2-{}", std::process::id()));
    std::fs::write(&file, "wonder-land\n").unwrap();
    let trunk = FIVE.replace("\"wonder-land\"", &format!("\"${{file:{}}}\"", file.display()));
    let config = configuration(&trunk);
    assert_eq!(config.routing.trunks[1].credentials.as_ref().unwrap().password, "wonder-land");
    let told = faults(&format!("{trunk}codec = [\"${{file:{}}}\"]\n", file.display()));
    let mut bench = Bench::new(&format!("{trunk}{}", routes("any")), vec![any("192.0.2.71")]);
    assert_eq!(bench.call("+12025550177", "+442079460000").status, 200);
    std::fs::remove_file(&file).unwrap();
    let (cdrs, events) = (format!("{:?}", bench.lab.cdrs), format!("{:?}", bench.lab.events));
    for shown in
        [format!("{config:?}"), told, cdrs, events, config::diff(&configuration(""), &config).join("\n")]
    {
        assert!(!shown.contains("wonder-land"), "{shown}");
    }
    bench.end();
}

#[test]
fn r3_several_providers_at_once_are_chosen_by_what_is_called_names_as_well_as_numbers() {
    let trunks = r#"
[trunk.one]
host = "192.0.2.81"
[trunk.two]
host = "192.0.2.82"
[trunk.ai]
profile = "elevenlabs"
username = "agent_1"
password = "api-key"
[[route]]
name = "support"
from = "trusted"
to = ["support", "+44*"]
trunks = ["one"]
[[route]]
name = "sales"
from = "trusted"
to = ["sales"]
trunks = ["two"]
[[route]]
name = "ai"
from = "trusted"
to = ["ai_assistant"]
trunks = ["ai"]
"#;
    let providers = vec![
        Provider::new(&[("one.example", &["192.0.2.81"])]),
        Provider::new(&[("two.example", &["192.0.2.82"])]),
        Provider::new(&[("sip.elevenlabs.io", &["192.0.2.83"])]),
    ];
    let mut bench = Bench::new(trunks, providers);
    for (called, address) in [
        ("support", "192.0.2.81"),
        ("+442079460000", "192.0.2.81"),
        ("sales", "192.0.2.82"),
        ("ai_assistant", "192.0.2.83"),
    ] {
        let placed = bench.call("+12025550177", called);
        assert_eq!((placed.status, placed.tried()), (200, vec![address.to_owned()]), "{called}");
    }
    assert_eq!(bench.call("+12025550177", "nobody").status, 404);
    bench.end();
}

#[test]
fn r4_udp_and_tcp_have_5060_and_a_port_that_is_written_counts() {
    for (keys, transport, port) in [
        ("", Transport::Udp, 5060),
        ("transport = \"udp\"", Transport::Udp, 5060),
        ("transport = \"tcp\"", Transport::Tcp, 5060),
        ("transport = \"tcp\"\nport = 5099", Transport::Tcp, 5099),
        ("port = 5080", Transport::Udp, 5080),
    ] {
        let trunk = format!("[trunk.any]\nhost = \"sip.any.example\"\n{keys}\n{}", routes("any"));
        let mut bench = Bench::new(&trunk, vec![Provider::new(&[("sip.any.example", &["192.0.2.71"])])]);
        let placed = bench.call("+12025550177", "+442079460000");
        let (hop, _) = placed.invite();
        assert_eq!((placed.status, hop.transport, hop.peer.port()), (200, transport, port), "{keys}");
        bench.end();
    }
}

#[test]
fn r6_networks_and_single_addresses_may_call_from_any_port_and_are_never_challenged() {
    let trunk = format!(
        "[trunk.any]\nhost = \"192.0.2.71\"\nallow = [\"192.0.2.128/30\", \"192.0.2.9\"]\n{}",
        routes("any")
    );
    for (source, heard) in [
        ("192.0.2.71:5060", true),
        ("192.0.2.71:61000", true),
        ("192.0.2.129:5061", true),
        ("192.0.2.9:1024", true),
        ("192.0.2.132:5060", false),
        ("192.0.2.10:5060", false),
    ] {
        let mut bench = Bench::new(&trunk, vec![any("192.0.2.71")]);
        let contact = format!("Contact: <sip:x@{source}>\r\n");
        let invite = incoming(
            source,
            "sip:+12025550123@203.0.113.5",
            "sip:+442079460000@any.example",
            "sip:+12025550123@any.example",
            &contact,
        );
        let arrived = bench.arrive(source, &invite);
        assert_eq!(arrived.is_some(), heard, "{source}");
        assert_eq!(bench.answers.is_empty(), !heard, "{source}");
        assert!(
            bench.answers.iter().all(|answer| !matches!(answer.status().map(Status::code), Some(401 | 407)))
        );
        if let Some(arrived) = arrived {
            bench.lab.receive(PBX, &respond(PBX, &arrived, 486, "pbx", None));
            bench.settle();
        }
        bench.end();
    }
}
