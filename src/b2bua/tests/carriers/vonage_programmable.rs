//! Vonage Programmable SIP: an access control list, a domain with its region, X- headers for the application.

use super::*;

const DOMAIN: &str = "acme.sip-eu.nexmo.com";

fn trunk(more: &str) -> String {
    format!("[trunk.app]\nprofile = \"vonage-programmable\"\nhost = \"{DOMAIN}\"\n{more}\n{}", routes("app"))
}

/// It takes calls from the SBC's address for its domain alone.
fn application() -> Provider {
    Provider::new(&[(DOMAIN, &["192.0.2.41"])]).with_rule(|invite| {
        let asked = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        let is_on_list = value(invite, Header::Via).contains(" 203.0.113.5:5060");
        (!asked.ends_with(&format!("@{DOMAIN}")) || !is_on_list).then_some(403)
    })
}

#[test]
fn r11_a_domain_of_programmable_sip_has_its_region_or_is_refused() {
    for host in ["acme.nexmo.com", "sip.nexmo.com", "acme.sip.nexmo.com", "acme.sip-xx.nexmo.com"] {
        let told = faults(&format!("[trunk.app]\nprofile = \"vonage-programmable\"\nhost = \"{host}\"\n"));
        assert!(
            told.contains("trunk.app.host: a domain of Programmable SIP has its region in its name"),
            "{told}"
        );
    }
    let mut bench = Bench::new(&trunk(""), vec![application()]);
    let placed = bench.call("+12025550177", "12345678");
    assert_eq!(placed.status, 484);
    let placed = bench.call("+12025550177", "support");
    assert_eq!(
        (placed.status, first_line(placed.invite().1)),
        (200, format!("INVITE sip:support@{DOMAIN} SIP/2.0"))
    );
    bench.end();
}

#[test]
fn r12_headers_reach_the_application_but_those_that_vonage_keeps_are_warned_about() {
    let lines = "X-UserId: 1938ND9\r\nX-Nexmo-Trace: 7\r\n";
    let mut bench = Bench::new(&trunk("headers = { pass = [\"X-*\"] }"), vec![application()]);
    let placed = bench.call_with("+12025550177", "support", SDP_PBX, lines);
    let sent = text(placed.invite().1);
    assert!(sent.contains("\r\nX-UserId: 1938ND9\r\n") && !sent.contains("X-Nexmo"), "{sent}");
    bench.end();
    for headers in ["headers = { pass = [\"X-Nexmo-*\"] }", "headers = { set = { X-Nexmo-Site = \"ams\" } }"]
    {
        let config = configuration(&trunk(headers));
        let warned = config.warnings.iter().any(|warning| warning.message.contains("begin with X-Nexmo"));
        assert!(warned, "{headers}: {:?}", config.warnings);
    }
}
