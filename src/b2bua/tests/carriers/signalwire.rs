//! SignalWire: an endpoint, and a domain application that is called by any name.

use super::*;

const DOMAIN: &str = "acme-1a2b.sip.signalwire.com";

fn trunk(host: &str) -> String {
    format!(
        "[trunk.sw]\nprofile = \"signalwire\"\nhost = \"{host}\"\nusername = \"sbc\"\npassword = \"endpoint-secret\"\n{}",
        routes("sw")
    )
}

fn signalwire(host: &str) -> Provider {
    Provider::new(&[(host, &["192.0.2.51"])]).asking("sbc", "endpoint-secret", host)
}

#[test]
fn r29_separators_of_a_number_are_stripped() {
    let mut bench = Bench::new(&trunk(DOMAIN), vec![signalwire(DOMAIN)]);
    for called in ["+1-202-762-1401", "+1%20(202)%20762.1401", "1-202-762-1401"] {
        let placed = bench.call("+12025550177", called);
        let line = first_line(placed.invite().1);
        assert_eq!(
            (placed.status, line),
            (200, format!("INVITE sip:+12027621401@{DOMAIN} SIP/2.0")),
            "{called}"
        );
    }
    bench.end();
}

#[test]
fn r30_users_that_are_no_numbers_pass_as_they_are() {
    const APPLICATION: &str = "acme.dapp.signalwire.com";
    let mut bench = Bench::new(&trunk(APPLICATION), vec![signalwire(APPLICATION)]);
    for called in ["anything", "sales.Team_7", "agent-1"] {
        let placed = bench.call("+12025550177", called);
        assert_eq!(
            (placed.status, first_line(placed.invite().1)),
            (200, format!("INVITE sip:{called}@{APPLICATION} SIP/2.0"))
        );
    }
    bench.end();
}

#[test]
fn r31_the_pack_and_the_documentation_warn_of_a_domain_application_that_takes_everybody() {
    let pages = [
        include_str!("../../../../etc/profiles/signalwire.toml"),
        include_str!("../../../../docs/providers.md"),
    ];
    for page in pages {
        let words = page.replace("# ", "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("domain application takes calls from everybody"), "{words}");
    }
}
