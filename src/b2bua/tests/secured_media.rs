//! Trunks that take secured RTP alone, or none.

use super::lab::*;
use crate::routing::Srtp;
use crate::sip::Method;

/// What becomes of a call with this offer where the first trunk says this: the trunk that got it.
fn tried(srtp: Srtp, sdp: Option<&str>, called: &str) -> Option<&'static str> {
    let mut settings = settings();
    settings.routing.trunks[1].srtp = srtp;
    settings.routing.trunks[2].srtp = srtp;
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, called, "1", sdp));
    lab.take_response(PBX, 100);
    if lab.sent.iter().any(|(hop, _)| hop.peer.to_string() == PBX) {
        lab.take_response(PBX, 488);
        lab.expect_nothing_left();
        return None;
    }
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    Some(CARRIER_A)
}

#[test]
fn a_trunk_takes_secured_rtp_as_its_key_says() {
    let secured = SDP_PBX.replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
    let (secured, number) = (secured.as_str(), "+442079460000");
    for (srtp, sdp, takes) in [
        (Srtp::Pass, Some(secured), true),
        (Srtp::Pass, Some(SDP_PBX), true),
        (Srtp::Required, Some(secured), true),
        (Srtp::Required, Some(SDP_PBX), false),
        (Srtp::Required, None, false),
        (Srtp::Refused, Some(secured), false),
        (Srtp::Refused, Some(SDP_PBX), true),
        (Srtp::Refused, None, true),
    ] {
        assert_eq!(tried(srtp, sdp, number).is_some(), takes, "{srtp:?}");
    }
    assert!(tried(Srtp::Required, Some(SDP_PBX), "911").is_some(), "a call for help is never refused for it");
}
