//! What a working trunk of a provider looks like: its pack, its names, its realm. The page that
//! docs/providers.md shows is the one that is printed here.

use super::carrier::{Carrier, name_server, registrar};
use super::site::Site;

const SINCH: &str = r#"Digest realm="euc1.sip.sinch.com", nonce="8f2a", qop="auth""#;
const NAMES: &[(&str, &[[u8; 4]])] = &[("euc1.sip.sinch.com", &[[127, 44, 0, 1]])];
const PAGE: &str = include_str!("../../docs/providers.md");

#[test]
fn r7_trunk_test_walks_dns_port_options_and_authentication_of_a_provider() {
    let carrier = Carrier::udp("127.44.0.1", registrar(SINCH, "app-key", "app-secret"));
    let server = name_server(NAMES);
    let trunk = format!(
        "[dns]\nnameservers = [\"{server}\"]\n[trunk.sinch]\nprofile = \"sinch\"\nregion = \"euc1\"\nport = {}\nusername = \"app-key\"\npassword = \"app-secret\"\n",
        carrier.port()
    );
    let site = Site::new("sinch", &trunk);
    let run = site.test(&["sinch"]);
    let page = run.normalised(&site, &[(carrier.port(), "5060")]);
    assert_eq!((run.code, run.error.as_str()), (0, ""), "{page}");
    assert_eq!(carrier.heard(), ["OPTIONS", "REGISTER", "REGISTER with a digest"]);
    // The signs of a terminal, the times and the addresses are other ones in the page.
    let plain = |text: &str| {
        let text = text.replace("✓", "ok").replace("TIME", "").replace("127.44.0.1", "18.196.245.254");
        let text = text.replace("127.44.1.1:EPHEMERAL", "203.0.113.5:58071");
        let words = text
            .split_whitespace()
            .filter(|word| *word != "|" && !word.ends_with("ms") && word.parse::<f64>().is_err());
        words.collect::<Vec<_>>().join(" ")
    };
    // The page has no port, and so more of DNS, and both of the region's addresses; each is told like this.
    let lines = page.lines().skip_while(|line| !line.contains("127.44.0.1:5060 udp"));
    let target: Vec<&str> = lines.take_while(|line| !line.contains(" of 1 target")).collect();
    assert_eq!(target.iter().filter(|line| line.contains("ok ")).count(), 4, "{page}");
    let target = target.join("\n");
    assert!(plain(PAGE).contains(plain(&target).trim()), "docs/providers.md does not have this:\n{target}");
}
