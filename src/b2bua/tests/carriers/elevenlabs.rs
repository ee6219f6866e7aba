//! ElevenLabs: host and domain differ, the user of the digest is no caller, JSON in a header.

use super::*;

fn trunk() -> String {
    format!(
        "[trunk.agent]\nprofile = \"elevenlabs\"\nusername = \"agent_1234567890abcdef\"\npassword = \"api-key\"\n{}",
        routes("agent")
    )
}

fn elevenlabs() -> Provider {
    let edge = Provider::new(&[("sip.elevenlabs.io", &["192.0.2.61"])]);
    edge.asking("agent_1234567890abcdef", "api-key", "elevenlabs.io")
}

#[test]
fn r5_the_json_of_an_x_header_crosses_byte_for_byte() {
    const JSON: &str =
        r#"{"user_id":"12345","language":"en", "context":"customer_support","x":"a;b,c \"q\" é"}"#;
    let mut bench = Bench::new(&trunk(), vec![elevenlabs()]);
    let placed = bench.call_with(
        "+12025550177",
        "support",
        SDP_PBX,
        &format!("X-Agent-Context: {JSON}\r\nX-Other: 1\r\n"),
    );
    let sent = text(placed.invite().1);
    assert!(sent.contains(&format!("\r\nX-Agent-Context: {JSON}\r\n")), "{sent}");
    assert!(!sent.contains("X-Other"));
    bench.end();
}

#[test]
fn r1_the_domain_differs_from_the_host_and_the_user_from_the_caller() {
    let mut bench = Bench::new(&trunk(), vec![elevenlabs()]);
    let placed = bench.call("+12025550177", "support");
    let (hop, invite) = placed.invite();
    assert_eq!((placed.status, hop.peer.to_string()), (200, "192.0.2.61:5060".to_owned()));
    assert_eq!(first_line(invite), "INVITE sip:support@elevenlabs.io SIP/2.0");
    assert!(value(invite, Header::From).contains("<sip:+12025550177@elevenlabs.io>;tag="));
    assert!(value(invite, Header::ProxyAuthorization).contains("username=\"agent_1234567890abcdef\""));
    bench.end();
}
