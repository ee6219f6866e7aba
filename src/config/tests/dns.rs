//! What the configuration says of DNS, and what it must not say.

use super::*;
use crate::transport::Authority;

#[test]
fn a_host_is_a_domain_and_not_the_name_of_its_srv_records() {
    let text = minimal_and(
        "[trunk.a]\nhost = \"_sip._udp.carrier.example\"\n\
         [trunk.b]\nhosts = [{ host = \"_sips._tcp.b.example\", port = 5061 }]\n",
    );
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(
        found.contains(
            "trunk.a.host: \"_sip._udp.carrier.example\" is the name of SRV records; write \"carrier.example\", \
             without a port: its SRV records are looked up"
        ),
        "{found}"
    );
    assert!(found.contains("trunk.b.hosts[1].host: \"_sips._tcp.b.example\" is the name"), "{found}");
}

#[test]
fn name_servers_are_addresses_and_few() {
    let text = minimal_and("[dns]\nnameservers = [\"192.0.2.53\", \"[2001:db8::53]:5353\"]\n");
    let config = read(&[("drawbridge.toml", &text)]).unwrap();
    let told: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["192.0.2.53:53", "[2001:db8::53]:5353"]);
    let many = ["\"192.0.2.53\""; 9].join(", ");
    let found = faults(&[("drawbridge.toml", &minimal_and(&format!("[dns]\nnameservers = [{many}]\n")))]);
    assert!(found.contains("dns.nameservers: these are too many; write at most 8"), "{found}");
    let found = faults(&[("drawbridge.toml", &minimal_and("[dns]\nnameservers = [\"dns.example\"]\n"))]);
    assert!(found.contains("dns.nameservers[1]"), "{found}");
}

/// With a TLS listener DNS may choose TLS, and then the carrier has to be known by something.
#[test]
fn a_trunk_that_dns_may_lead_to_tls_is_known_by_its_name() {
    let authority = Authority::new("config-dns");
    let (certificate, key) = authority.sign("sbc.example");
    let listener = format!(
        "[[listener]]\nrealm = \"untrusted\"\ntransport = \"tls\"\nbind = \"127.0.0.2:5061\"\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n",
        certificate.display(),
        key.display()
    );
    let ca = authority.ca();
    let trunk = format!("[trunk.a]\nhost = \"carrier.example\"\ntls = {{ ca = \"{}\" }}\n", ca.display());
    let text = minimal_and(&format!("{listener}{trunk}"));
    let config = read(&[("drawbridge.toml", &text)]).unwrap();
    let identity = config.routing.trunks[0].identity("carrier.example");
    assert_eq!(config.clients[&identity].1, "carrier.example");
    // Nothing could lead there without a listener, or past a port that is written.
    let found = faults(&[("drawbridge.toml", &minimal_and(&trunk))]);
    assert!(found.contains("trunk.a.tls: the trunk does not use TLS"), "{found}");
    let with_port = text.replace("tls = { ca", "port = 5060\ntls = { ca");
    let found = faults(&[("drawbridge.toml", &with_port)]);
    assert!(found.contains("trunk.a.tls: the trunk does not use TLS"), "{found}");
}
