//! Certificates in the configuration: what is read, what is refused, what a reload sees.

use super::*;
use crate::transport::Authority;

fn tls_listener(tls: &str) -> String {
    minimal_and(&format!(
        "[[listener]]\nrealm = \"untrusted\"\ntransport = \"tls\"\nbind = \"127.0.0.2:5061\"\n{tls}\n"
    ))
}

fn server(authority: &Authority, name: &str) -> String {
    let (certificate, key) = authority.sign(name);
    format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", certificate.display(), key.display())
}

fn first_fault(text: &str) -> String {
    faults(&[("drawbridge.toml", text)]).lines().next().unwrap().to_owned()
}

#[test]
fn a_tls_trunk_and_its_listener_are_read() {
    let authority = Authority::new("config-whole");
    let (certificate, key) = authority.sign("sbc.example");
    let text = tls_listener(&format!(
        "tls = {{ certificate = \"{0}\", key = \"{1}\", client_ca = \"{2}\" }}\n[trunk.a]\ntransport = \"tls\"\n\
         hosts = [{{ host = \"a.example\" }}, {{ host = \"192.0.2.1\" }}]\ndomain = \"d.example\"\n\
         tls = {{ ca = \"{2}\", certificate = \"{0}\", key = \"{1}\" }}",
        certificate.display(),
        key.display(),
        authority.ca().display()
    ));
    let config = read(&[("drawbridge.toml", &text)]).unwrap();
    let listener = &config.listeners[2];
    assert_eq!(listener.advertise.to_string(), "127.0.0.2:5061");
    assert_eq!(listener.tls.as_ref().unwrap().files.client_ca, Some(authority.ca()));
    let trunk = &config.routing.trunks[0];
    assert!(trunk.tls.verify);
    let names: Vec<_> = ["a.example", "192.0.2.1"]
        .iter()
        .map(|host| config.clients[&trunk.identity(host)].1.as_str())
        .collect();
    assert_eq!(names, ["a.example", "d.example"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_its_place() {
    let authority = Authority::new("config-faults");
    let (certificate, key) = authority.sign("a.example");
    let (_, other_key) = authority.sign("b.example");
    let table = |certificate: &Path, key: &Path| {
        tls_listener(&format!(
            "tls = {{ certificate = \"{}\", key = \"{}\" }}",
            certificate.display(),
            key.display()
        ))
    };
    let found = first_fault(&table(Path::new("/none.pem"), &key));
    assert_eq!(
        found,
        "drawbridge.toml:16:23: listener[3].tls.certificate: /none.pem cannot be read: No such file or directory \
         (os error 2); write the path of a file that the user drawbridge may read"
    );
    let found = first_fault(&table(&certificate, &other_key));
    assert!(found.contains("listener[3].tls.key: the key is not that of the certificate"), "{found}");
    let found = first_fault(&tls_listener("tls = { certificate = \"sbc.pem\", key = \"/sbc.key\" }"));
    assert!(found.contains("listener[3].tls.certificate: \"sbc.pem\" is no absolute path"), "{found}");
    let found = first_fault(&tls_listener(""));
    assert!(found.contains("listener[3]: a TLS listener needs a certificate; write tls = {"), "{found}");
    let found = first_fault(&table(&certificate, &key).replace("\"tls\"", "\"tcp\""));
    assert!(found.contains("listener[3].tls: a listener of transport tcp has no certificate"), "{found}");
}

#[test]
fn a_trunk_needs_a_listener_of_its_transport_and_tls_where_it_is_written() {
    let found = first_fault(&minimal_and("[trunk.a]\nhost = \"192.0.2.1\"\ntransport = \"tcp\"\n"));
    assert!(
        found.contains(
            "trunk.a.transport: the untrusted realm has no listener of transport tcp; add [[listener]]"
        ),
        "{found}"
    );
    let found = first_fault(&minimal_and("[trunk.a]\nhost = \"192.0.2.1\"\ntls = { verify = true }\n"));
    assert!(found.contains("trunk.a.tls: the trunk does not use TLS; write transport = \"tls\""), "{found}");
    let authority = Authority::new("config-trunk");
    let text = tls_listener(&format!(
        "{}\n[trunk.a]\nhost = \"192.0.2.1\"\ntransport = \"tls\"\ntls = {{ ca = \"/none\", server_name = \"-\" }}",
        server(&authority, "sbc.example")
    ));
    let found = faults(&[("drawbridge.toml", &text)]);
    assert!(found.contains("trunk.a.tls.server_name: \"-\" is no name of a certificate"), "{found}");
    assert!(found.contains("trunk.a.tls.ca: /none cannot be read"), "{found}");
}

#[test]
fn a_peer_that_nobody_verifies_is_warned_about() {
    let authority = Authority::new("config-verify");
    let text = tls_listener(&format!(
        "{}\n[trunk.a]\nhost = \"192.0.2.1\"\ntransport = \"tls\"\ntls = {{ verify = false }}",
        server(&authority, "sbc.example")
    ));
    let config = read(&[("drawbridge.toml", &text)]).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].key, "trunk.a.tls.verify");
}

#[test]
fn a_certificate_that_changed_on_disk_is_a_change_that_needs_no_restart() {
    let authority = Authority::new("config-reload");
    let text = tls_listener(&server(&authority, "sbc.example"));
    let old = read(&[("drawbridge.toml", &text)]).unwrap();
    let mut same = read(&[("drawbridge.toml", &text)]).unwrap();
    assert!(diff(&old, &same).is_empty() && same.keep_until_restart(&old).is_empty());
    authority.sign("sbc.example");
    let mut new = read(&[("drawbridge.toml", &text)]).unwrap();
    assert_eq!(diff(&old, &new).len(), 1);
    assert!(new.keep_until_restart(&old).is_empty());
    assert_ne!(new.listeners, old.listeners);
}
