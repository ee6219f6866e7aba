//! TLS: what is told of a certificate, and the cure of each way to fail.

use std::path::PathBuf;
use std::sync::Arc;

use expect_test::expect;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::carrier::{Carrier, Script, is_silent, says};
use crate::site::{Run, Site};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What a carrier shows: for this name, until the first day of this year.
    fn server(&self, name: &str, until: i32, client_ca: Option<&Authority>) -> ServerConfig {
        let (certificate, key) = self.sign(name, until);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.0.pem().as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        builder.with_single_cert(chain, key).unwrap()
    }

    fn sign(&self, name: &str, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A site with a TLS listener, and a trunk at this carrier that knows this authority.
fn site(name: &str, carrier: &Carrier, authority: &Authority, more: &str) -> Site {
    let site = Site::new(name, "");
    let ca = site.write("ca.pem", &authority.0.pem());
    let (certificate, key) = Authority::new("own").sign("sbc.example", 4_000);
    let certificate = site.write("sbc.pem", &certificate);
    let key = private(&site, "sbc.key", &key);
    let text = std::fs::read_to_string(site.directory.join("drawbridge.toml")).unwrap();
    let tls = format!(
        "{text}[[listener]]\nrealm = \"untrusted\"\ntransport = \"tls\"\nbind = \"127.44.1.1:5061\"\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [trunk.carrier]\nhost = \"{}\"\nport = {}\ndomain = \"sip.carrier.example\"\ntransport = \"tls\"\n\
         tls = {{ ca = \"{}\"{more} }}\n",
        certificate.display(),
        key.display(),
        carrier.address.ip(),
        carrier.port(),
        ca.display()
    );
    site.write("drawbridge.toml", &tls);
    site
}

fn private(site: &Site, name: &str, key: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = site.write(name, key);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn page(run: &Run, site: &Site, carrier: &Carrier) -> String {
    let page = run.normalised(site, &[(carrier.port(), "5061")]);
    let days = regex::Regex::new(r"[0-9]+ days").unwrap();
    days.replace_all(&page, "DAYS days").into_owned()
}

fn tls_carrier(config: ServerConfig, script: Script) -> Carrier {
    Carrier::tls("127.44.0.1", config, script)
}

#[test]
fn a_handshake_that_works_shows_version_certificate_and_who_vouches_for_it() {
    let authority = Authority::new("Carrier Root");
    let carrier = tls_carrier(authority.server("sip.carrier.example", 3_000, None), says(200));
    let site = site("tls", &carrier, &authority, "");
    let run = site.test(&["carrier"]);
    expect![[r#"

          trunk carrier

          ok   configuration            127.44.0.1:5061 (tls), domain sip.carrier.example, without credentials, untrusted realm
          skip dns                      an address needs none

          127.44.0.1:5061 tls
          ok   connect            TIME  from 127.44.1.1:EPHEMERAL
          ok   tls                TIME  TLS 1.3, AES_256_GCM_SHA384; sip.carrier.example by Carrier Root, DAYS days left; verified by /etc/drawbridge/ca.pem
          ok   options            TIME  200 OK
          ok   address                  they see 127.44.1.1:EPHEMERAL, as we say

          ok   1 of 1 target answers; TIME

    "#]].assert_eq(&page(&run, &site, &carrier));
    assert_eq!(run.code, 0);
    let json = site.test(&["carrier", "--json"]).json();
    let detail = &json["steps"][3]["detail"];
    assert_eq!((&json["steps"][3]["step"], &detail["verified"]), (&"tls".into(), &true.into()));
    assert_eq!(detail["certificate"]["names"][0], "sip.carrier.example");
    assert_eq!(detail["certificate"]["not_after"], "3000-01-01");
}

#[test]
fn each_fault_of_a_certificate_has_its_cure() {
    let (ours, theirs) = (Authority::new("Our Root"), Authority::new("Their Root"));
    let name = "sip.carrier.example";
    let faults = [
        ("unknown-ca", theirs.server(name, 3_000, None)),
        ("expired", ours.server(name, 2_021, None)),
        ("wrong-name", ours.server("sip.other.example", 3_000, None)),
    ];
    let mut pages = String::new();
    for (fault, config) in faults {
        let carrier = tls_carrier(config, says(200));
        let site = site(fault, &carrier, &ours, "");
        let run = site.test(&["carrier"]);
        assert_eq!(run.code, 1, "{}", run.page);
        assert!(carrier.heard().is_empty(), "nothing is told to a stranger");
        let page = page(&run, &site, &carrier);
        let lines = page.lines().skip_while(|line| !line.contains("FAIL tls"));
        pages.extend(lines.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")));
    }
    let today = regex::Regex::new("It says [0-9-]+").unwrap();
    expect![[r#"
          FAIL tls                TIME  /etc/drawbridge/ca.pem does not have who signed their certificate (sip.carrier.example): Their Root
                 - get the authority's certificate ("Their Root") from the provider, and write
                   tls = { ca = "/etc/drawbridge/tls/carrier-ca.pem" } in [trunk.carrier]
                 - they sent one certificate alone: perhaps the one between is missing, which is theirs to send
                 - or leave ca out, if a public authority signs for them now
                   (/etc/drawbridge/ca.pem is all that counts while it is there)
          skip options                  not connected
          FAIL tls                TIME  their certificate ended on 2021-01-01, DAYS days ago
                 - theirs to renew: tell the provider; calls by TLS fail until then
                 - or is the clock here wrong? It says TODAY: timedatectl
          skip options                  not connected
          FAIL tls                TIME  their certificate is for sip.other.example, not for sip.carrier.example
                 - if sip.other.example is whom you mean: write host = "sip.other.example" in [trunk.carrier], or,
                   where the host must stay, tls = { server_name = "sip.other.example" }
                 - if not, somebody else is at that address: check host, and DNS, with the provider
          skip options                  not connected
    "#]].assert_eq(&today.replace_all(&pages, "It says TODAY"));
}

#[test]
fn a_peer_that_wants_our_certificate_is_understood_after_the_handshake_as_well() {
    let authority = Authority::new("Carrier Root");
    let strict = || authority.server("sip.carrier.example", 3_000, Some(&authority));
    let carrier = tls_carrier(strict(), says(200));
    let without = site("mutual-without", &carrier, &authority, "");
    let run = without.test(&["carrier"]);
    assert_eq!(run.code, 1, "{}", run.page);
    for words in [
        "FAIL tls",
        "they want a certificate of ours, and there is none",
        "certificate = \"/etc/drawbridge/tls/sbc.pem\"",
    ] {
        assert!(run.says(words), "{words}\n{}", run.page);
    }
    let stranger = site("mutual-stranger", &carrier, &authority, "");
    let path = stranger.directory.join("drawbridge.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let own = format!(
        "ca.pem\", certificate = \"{0}/sbc.pem\", key = \"{0}/sbc.key\" }}",
        stranger.directory.display()
    );
    std::fs::write(&path, text.replace("ca.pem\" }", &own)).unwrap();
    let run = stranger.test(&["carrier"]);
    assert_eq!(run.code, 1, "{}", run.page);
    assert!(run.says("they do not take our certificate"), "{}", run.page);
    let (certificate, key) = authority.sign("sbc.example", 3_000);
    stranger.write("sbc.pem", &certificate);
    private(&stranger, "sbc.key", &key);
    let run = stranger.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
}

#[test]
fn what_is_not_verified_is_told_and_a_port_without_tls() {
    let (ours, theirs) = (Authority::new("Our Root"), Authority::new("Their Root"));
    let carrier = tls_carrier(theirs.server("sip.other.example", 3_000, None), says(200));
    let site_without = site("unverified", &carrier, &ours, ", verify = false");
    let run = site_without.test(&["carrier"]);
    assert_eq!(run.code, 0, "{}", run.page);
    assert!(run.says("warn tls") && run.says("verify = false"), "{}", run.page);
    let plain = Carrier::tcp("127.44.0.1:0".parse().unwrap(), is_silent());
    let site = site("plain", &plain, &ours, "");
    let run = site.test(&["carrier", "--timeout", "1"]);
    assert_eq!(run.code, 1, "{}", run.page);
    assert!(run.says("FAIL tls") && run.says("transport = \"tcp\""), "{}", run.page);
}
