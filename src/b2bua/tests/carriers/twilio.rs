//! Twilio: a trunk that is found by the host of the Request-URI, and takes one call a second.

use super::*;

const DOMAIN: &str = "acme.pstn.twilio.com";

fn twilio() -> Provider {
    let edge = Provider::new(&[(DOMAIN, &["54.172.60.0", "54.172.60.1", "54.172.60.2", "54.172.60.3"])]);
    let edge = edge.asking("user", "pass-word", "sip.twilio.com").with_rule(|invite| {
        let asked = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        (!asked.starts_with("sip:+") || !asked.ends_with(&format!("@{DOMAIN}"))).then_some(404)
    });
    Provider { cps: Some(1), ..edge }
}

fn trunk(limits: &str) -> String {
    format!(
        "[trunk.twilio]\nprofile = \"twilio\"\nhost = \"{DOMAIN}\"\nusername = \"user\"\npassword = \"pass-word\"\n{limits}\n\
         [trunk.spare]\nhost = \"192.0.2.99\"\n\
         [[route]]\nname = \"out\"\nfrom = \"trusted\"\ntrunks = [\"twilio\", \"spare\"]\n"
    )
}

#[test]
fn twilio_is_asked_no_more_often_than_it_takes_calls_and_the_rest_goes_elsewhere() {
    let spare = Provider::new(&[("spare.example", &["192.0.2.99"])]);
    let mut bench = Bench::new(&trunk("limits = { cps = 1 }"), vec![twilio(), spare]);
    let first = bench.call("+12025550177", "+442079460000");
    assert_eq!(
        (first.status, first_line(first.invite().1)),
        (200, format!("INVITE sip:+442079460000@{DOMAIN} SIP/2.0"))
    );
    let second = bench.call("+12025550177", "+442079460000");
    assert_eq!((second.status, second.tried()), (200, vec!["192.0.2.99".to_owned()]));
    bench.lab.advance(Duration::from_secs(1));
    assert_ne!(bench.call("+12025550177", "+442079460000").tried(), ["192.0.2.99"]);
    bench.end();
}

#[test]
fn a_503_of_twilios_limit_moves_the_call_to_the_next_trunk() {
    let spare = Provider::new(&[("spare.example", &["192.0.2.99"])]);
    let mut bench = Bench::new(&trunk(""), vec![twilio(), spare]);
    assert_eq!(bench.call("+12025550177", "+442079460000").status, 200);
    let second = bench.call("+12025550177", "+442079460000");
    assert_eq!((second.status, second.tried().last().map(String::as_str)), (200, Some("192.0.2.99")));
    bench.end();
}
