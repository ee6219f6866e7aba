//! Providers by TLS: ports, certificates, and calls to `sips:`.

use super::*;
use crate::base::{ListenerId, Transport};
use crate::transport::Authority;

/// TLS listeners behind those of the node, the untrusted one at this port.
fn listeners(authority: &Authority, port: u16) -> String {
    let (certificate, key) = authority.sign("sbc");
    let tls = format!("{{ certificate = \"{}\", key = \"{}\" }}", certificate.display(), key.display());
    [("trusted", format!("10.0.0.5:{port}")), ("untrusted", format!("203.0.113.5:{port}"))]
        .map(|(realm, bind)| {
            format!(
                "[[listener]]\nrealm = \"{realm}\"\ntransport = \"tls\"\nbind = \"{bind}\"\ntls = {tls}\n"
            )
        })
        .concat()
}

#[test]
fn r4_tls_has_5061() {
    let authority = Authority::new("r4");
    let trunk = format!(
        "[trunk.any]\nhost = \"sip.any.example\"\ntransport = \"tls\"\n{}{}",
        routes("any"),
        listeners(&authority, 5061)
    );
    let mut bench = Bench::new(&trunk, vec![Provider::new(&[("sip.any.example", &["192.0.2.71"])])]);
    let placed = bench.call("+12025550177", "+442079460000");
    let (hop, invite) = placed.invite();
    assert_eq!((placed.status, hop.transport, hop.peer.port()), (200, Transport::Tls, 5061));
    assert!(value(invite, Header::Contact).contains("transport=tls"), "{}", value(invite, Header::Contact));
    bench.end();
}

#[test]
fn r18_our_certificate_may_be_self_signed_and_sips_calls_come_in_on_any_port() {
    let authority = Authority::new("r18");
    let own = rcgen::generate_simple_self_signed(vec!["sbc.example.com".to_owned()]).unwrap();
    let certificate = authority.write("own.pem", &own.cert.pem());
    let key = authority.write("own.key", &own.signing_key.serialize_pem());
    let trunk = format!(
        "[trunk.vonage]\nprofile = \"vonage\"\nusername = \"key\"\npassword = \"secret\"\ntransport = \"tls\"\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n{}{}",
        certificate.display(),
        key.display(),
        routes("vonage"),
        listeners(&authority, 5062)
    );
    let edge = Provider::new(&[("sip.nexmo.com", &["192.0.2.11"])]).asking("key", "secret", "sip.nexmo.com");
    let mut bench = Bench::new(&trunk, vec![edge]);
    let placed = bench.call("+447937947990", "+442079460000");
    assert_eq!((placed.status, placed.invite().0.transport), (200, Transport::Tls));
    let hop = Hop::new(ListenerId(5), Transport::Tls, "173.193.199.24:40000".parse().unwrap());
    bench.lab.input(Input::Connected { hop });
    assert!(bench.lab.disconnected.is_empty());
    let invite = incoming(
        "173.193.199.24:40000",
        "sips:12025550123@mydomain.com:5062",
        "sips:447937947990@sip.nexmo.com",
        "sips:12025550123@mydomain.com:5062",
        "Contact: <sips:447937947990@173.193.199.24:5061>\r\n",
    );
    bench.lab.input(Input::Received { hop, bytes: invite.replace("SIP/2.0/UDP", "SIP/2.0/TLS").into() });
    bench.settle();
    let arrived = bench.lab.take_request(PBX, &Method::Invite);
    assert_eq!(first_line(&arrived), "INVITE sip:+12025550123@10.0.0.9 SIP/2.0");
    bench.lab.receive(PBX, &respond(PBX, &arrived, 486, "pbx", None));
    bench.settle();
    assert_eq!(bench.last_answer(), Some(486));
    bench.end();
}

#[test]
fn r27_sinch_by_tls_is_verified_by_the_systems_authorities() {
    let authority = Authority::new("r27");
    let keys = "[trunk.sinch]\nprofile = \"sinch\"\nregion = \"use1\"\nusername = \"k\"\npassword = \"s\"\ntransport = \"tls\"\n";
    let config = configuration(&format!("{keys}{}", listeners(&authority, 5061)));
    let trunk = config.routing.trunks.iter().find(|trunk| trunk.name.as_str() == "sinch").unwrap();
    assert_eq!((trunk.tls.ca.as_ref(), trunk.tls.verify), (None, true));
    assert_eq!(config.clients.len(), 1);
    let own = configuration(&format!(
        "{keys}tls = {{ ca = \"{}\" }}\n{}",
        authority.ca().display(),
        listeners(&authority, 5061)
    ));
    assert!(own.warnings.iter().any(|warning| warning.key == "trunk.sinch.tls.ca"), "{:?}", own.warnings);
}
