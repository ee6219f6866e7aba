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
fn r28_user_domain_and_password_register_and_calls_go_both_ways_over_it() {
    let mut bench = Bench::new(&trunk(DOMAIN), vec![signalwire(DOMAIN)]);
    bench.pass(Duration::from_secs(30));
    let register = bench.sent.iter().rfind(|(_, sent)| sent.method() == Some(&Method::Register));
    let (_, register) = register.expect("a REGISTER");
    assert_eq!(first_line(register), format!("REGISTER sip:{DOMAIN} SIP/2.0"));
    assert!(value(register, Header::To).contains(&format!("<sip:sbc@{DOMAIN}>")));
    assert!(value(register, Header::ProxyAuthorization).contains("username=\"sbc\""), "{}", text(register));
    let contact = bench.providers[0].registered.clone().expect("the registrar took it");
    assert_eq!(bench.call("+12025550177", "+12027621401").status, 200);
    // SignalWire calls the Contact that was registered.
    let uri = contact.split_once('<').unwrap().1.split_once('>').unwrap().0;
    let from = "Contact: <sip:+12027621401@192.0.2.51:5060>\r\n";
    let to = format!("sip:+12025550123@{DOMAIN}");
    let invite = incoming("192.0.2.51:5060", uri, &format!("sip:+12027621401@{DOMAIN}"), &to, from);
    let arrived = bench.arrive("192.0.2.51:5060", &invite).expect("an INVITE for the PBX");
    bench.lab.receive(PBX, &respond(PBX, &arrived, 486, "pbx", None));
    bench.settle();
    assert_eq!(bench.last_answer(), Some(486));
    bench.end();
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
    let trunk =
        format!("[trunk.sw]\nprofile = \"signalwire-app\"\nhost = \"{APPLICATION}\"\n{}", routes("sw"));
    let mut bench = Bench::new(&trunk, vec![Provider::new(&[(APPLICATION, &["192.0.2.52"])])]);
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
        include_str!("../../../../etc/profiles/signalwire-app.toml"),
        include_str!("../../../../docs/providers.md"),
    ];
    for page in pages {
        let words = page.replace("# ", "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("domain application takes calls from everybody"), "{words}");
    }
}
