//! Telnyx: two addresses a region, of which the A record gives one; 20 calls a second.

use super::*;

fn telnyx() -> Provider {
    let edge = Provider::new(&[("sip.telnyx.eu", &["185.246.41.140", "185.246.41.141"])]);
    let edge = edge.asking("user", "pass-word", "sip.telnyx.com");
    Provider { cps: Some(20), ..edge }
}

fn trunk() -> String {
    format!(
        "[trunk.telnyx]\nprofile = \"telnyx\"\nregion = \"eu\"\nusername = \"user\"\npassword = \"pass-word\"\nlimits = {{ cps = 20 }}\n{}",
        routes("telnyx")
    )
}

#[test]
fn telnyx_takes_twenty_calls_a_second_and_is_asked_for_no_more() {
    let mut bench = Bench::new(&trunk(), vec![telnyx()]);
    let taken = (0..30).filter(|_| bench.call("+12025550177", "+442079460000").status == 200).count();
    assert_eq!(taken, 20);
    bench.lab.advance(Duration::from_secs(1));
    let later = bench.call("+12025550177", "+442079460000");
    assert_eq!(later.status, 200);
    bench.end();
}

#[test]
fn both_addresses_of_telnyxs_region_serve_and_may_call() {
    for dead in ["185.246.41.140", "185.246.41.141"] {
        let mut provider = telnyx();
        provider.dead.insert(dead.parse().unwrap());
        let mut bench = Bench::new(&trunk(), vec![provider]);
        assert_eq!(bench.call("+12025550177", "+442079460000").status, 200);
        let contact = format!("Contact: <sip:+442079460000@{dead}:5060>\r\n");
        let invite = incoming(
            &format!("{dead}:5060"),
            "sip:+12025550123@203.0.113.5",
            "sip:+442079460000@sip.telnyx.eu",
            "sip:+12025550123@203.0.113.5",
            &contact,
        );
        let arrived = bench.arrive(&format!("{dead}:5060"), &invite).expect("an INVITE for the PBX");
        bench.lab.receive(PBX, &respond(PBX, &arrived, 486, "pbx", None));
        bench.settle();
        bench.end();
    }
}
