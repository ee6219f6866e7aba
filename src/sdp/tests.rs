use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Sdp {
    Sdp::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn crlf(text: &str) -> String {
    text.trim_start().lines().map(|line| format!("{}\r\n", line.trim_start())).collect()
}

fn ours() -> IpAddr {
    "203.0.113.5".parse().unwrap()
}

/// Relayed on the ports 20000/20001, 20002/20003, …
fn rewritten(text: &str, codecs: &[&str]) -> Result<String, RewriteFault> {
    let sdp = parse(text);
    let codecs: Vec<String> = codecs.iter().map(ToString::to_string).collect();
    let stream = |at| StreamRewrite::Relay {
        address: ours(),
        rtp_port: 20_000 + 2 * at as u16,
        rtcp_port: 20_001 + 2 * at as u16,
    };
    let streams = (0..sdp.medias().len()).map(stream).collect();
    let origin = OurOrigin { session_id: 11, version: 3, address: ours() };
    let bytes = sdp.rewrite(&Rewrite { origin, streams, codecs: &codecs, offer: &[] })?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// The lines that `before` has and `after` has not, and the reverse.
fn changes(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let missing = |from: &str, of: &str| {
        let there: Vec<_> = of.lines().collect();
        from.lines().filter(|line| !there.contains(line)).map(str::to_owned).collect()
    };
    (missing(before, after), missing(after, before))
}

const ASTERISK: &str = "v=0
    o=- 1821420 1821421 IN IP4 198.51.100.20
    s=Asterisk
    c=IN IP4 198.51.100.20
    t=0 0
    m=audio 14208 RTP/AVP 0 8 101
    a=rtpmap:0 PCMU/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=ptime:20
    a=maxptime:150
    a=sendrecv";

#[test]
fn asterisk_only_origin_addresses_and_port_change() {
    let offer = crlf(ASTERISK);
    let (gone, new) = changes(&offer, &rewritten(&offer, &[]).unwrap());
    assert_eq!(
        gone,
        [
            "o=- 1821420 1821421 IN IP4 198.51.100.20",
            "s=Asterisk",
            "c=IN IP4 198.51.100.20",
            "m=audio 14208 RTP/AVP 0 8 101"
        ]
    );
    assert_eq!(
        new,
        ["o=- 11 3 IN IP4 203.0.113.5", "s=-", "c=IN IP4 203.0.113.5", "m=audio 20000 RTP/AVP 0 8 101"]
    );
}

#[test]
fn what_the_relay_must_know_is_read() {
    let sdp = parse(&crlf(ASTERISK));
    assert_eq!(
        sdp.origin(),
        Origin { username: b"-", session_id: b"1821420", version: b"1821421", address: b"198.51.100.20" }
    );
    let [media] = sdp.medias() else { panic!("one stream") };
    assert_eq!((media.kind, media.port, media.direction), (MediaKind::Audio, 14_208, Direction::SendRecv));
    assert!(media.is_rtp() && !media.rejected() && !media.rtcp_mux && !sdp.is_hold());
    assert_eq!(media.rtp_address(), Some("198.51.100.20:14208".parse().unwrap()));
    assert_eq!(media.rtcp_address(), Some("198.51.100.20:14209".parse().unwrap()));
    let codecs: Vec<_> =
        media.codecs().map(|codec| (codec.payload_type, codec.name, codec.clock_rate)).collect();
    assert_eq!(codecs, [(0, "PCMU", 8_000), (8, "PCMA", 8_000), (101, "telephone-event", 8_000)]);
    assert_eq!(sdp.negotiated_codec(), Some("PCMU"));
}

#[test]
fn cisco_static_types_without_rtpmap_and_odd_user() {
    let sdp = parse(&crlf(
        "v=0
        o=Cisco SystemsSIP-GW-UserAgent 7905 4211 IN IP4 192.0.2.8
        s=SIP Call
        c=IN IP4 192.0.2.8
        t=0 0
        m=audio 17380 RTP/AVP 18 0 101 19
        c=IN IP4 192.0.2.9
        a=rtpmap:101 telephone-event/8000
        a=fmtp:18 annexb=no
        a=rtpmap:19 CN/8000",
    ));
    assert_eq!(sdp.origin().username, b"Cisco SystemsSIP-GW-UserAgent");
    assert_eq!(sdp.medias()[0].connection, Some("192.0.2.9".parse().unwrap()));
    assert_eq!(sdp.negotiated_codec(), Some("G729"));
}

#[test]
fn freeswitch_secured_media_keeps_its_keys_and_loses_its_addresses() {
    let offer = crlf(
        "v=0
        o=FreeSWITCH 1400 1401 IN IP4 198.51.100.7
        s=FreeSWITCH
        c=IN IP4 198.51.100.7
        t=0 0
        a=msid-semantic: WMS x
        m=audio 26998 RTP/SAVP 102 0
        a=rtpmap:102 opus/48000/2
        a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
        a=rtcp-mux
        a=rtcp:26998 IN IP4 198.51.100.7
        a=ssrc:3012 cname:kzKz
        a=ssrc:3012 msid:x a0
        a=candidate:1 1 udp 659136 198.51.100.7 26998 typ host generation 0
        a=end-of-candidates
        a=x-vendor:something odd:  kept
        a=x-seen:198.51.100.7:26998
        a=x-seen:198.51.100.77:26998
        a=ptime:20",
    );
    let (gone, new) = changes(&offer, &rewritten(&offer, &[]).unwrap());
    assert_eq!(new.len(), 5, "{new:?}");
    assert!(new.contains(&"a=rtcp:20001".to_owned()));
    assert_eq!(
        &gone[4..],
        [
            "a=rtcp:26998 IN IP4 198.51.100.7",
            "a=ssrc:3012 cname:kzKz",
            "a=candidate:1 1 udp 659136 198.51.100.7 26998 typ host generation 0",
            "a=end-of-candidates",
            "a=x-seen:198.51.100.7:26998",
            "a=x-seen:198.51.100.77:26998"
        ]
    );
}

#[test]
fn twilio_hold_by_direction_and_by_address() {
    let offer = crlf(ASTERISK);
    assert!(parse(&offer.replace("a=sendrecv", "a=sendonly")).is_hold());
    assert!(parse(&offer.replace("a=sendrecv", "a=inactive")).is_hold());
    for (direction, told) in [
        ("a=sendrecv\r\n", "a=sendonly"),
        ("", "a=sendonly"),
        ("a=sendonly\r\n", "a=sendonly"),
        ("a=recvonly\r\n", "a=inactive"),
        ("a=inactive\r\n", "a=inactive"),
    ] {
        let held =
            offer.replace("c=IN IP4 198.51.100.20", "c=IN IP4 0.0.0.0").replace("a=sendrecv\r\n", direction);
        assert!(parse(&held).is_hold() && !parse(&held).medias()[0].receives());
        let written = rewritten(&held, &[]).unwrap();
        assert!(written.contains("c=IN IP4 203.0.113.5\r\n"));
        let directions: Vec<_> =
            written.lines().filter(|line| line.starts_with("a=") && !line.contains([':'])).collect();
        assert_eq!(directions, [told], "{direction}");
        assert!(parse(&written).is_hold());
    }
}

#[test]
fn a_browser_is_not_on_hold_before_its_candidates() {
    let offer = crlf(
        "v=0
        o=mozilla...THIS_IS 5 0 IN IP4 0.0.0.0
        s=-
        t=0 0
        a=group:BUNDLE 0
        a=ice-options:trickle
        m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8
        c=IN IP4 0.0.0.0
        a=ice-ufrag:6ad4
        a=ice-pwd:0a1b
        a=mid:0
        a=setup:actpass
        a=rtcp-mux
        a=rtpmap:109 opus/48000/2
        a=rtcp-fb:109 nack",
    );
    let sdp = parse(&offer);
    assert!(!sdp.is_hold() && sdp.medias()[0].is_rtp());
    let written = rewritten(&offer, &[]).unwrap();
    assert!(!written.contains("ice-") && written.contains("a=group:BUNDLE 0\r\n"));
    assert!(written.contains("a=mid:0\r\n") && written.contains("a=rtcp-mux\r\n"));
}

#[test]
fn fax_video_and_rejected_streams_keep_their_places() {
    let offer = crlf(
        "v=0
        o=- 1 1 IN IP4 192.0.2.1
        s=-
        c=IN IP4 192.0.2.1
        t=0 0
        m=audio 0 RTP/AVP 0
        m=video 5002/2 RTP/AVP 99
        a=rtpmap:99 H264/90000
        a=fmtp:99 profile-level-id=42e01f
        m=image 5006 udptl t38
        a=T38FaxVersion:0
        a=T38FaxRateManagement:transferredTCF",
    );
    let sdp = parse(&offer);
    assert!(sdp.medias()[0].rejected() && sdp.medias()[2].is_udptl() && !sdp.medias()[2].is_rtp());
    let written = rewritten(&offer, &[]).unwrap();
    assert!(written.contains("m=audio 0 RTP/AVP 0\r\nm=video 20002 RTP/AVP 99\r\n"));
    assert!(written.contains("m=image 20004 udptl t38\r\na=T38FaxVersion:0\r\n"));
    // The filter is about RTP: fax passes, video that is not listed is refused in its place.
    let written = rewritten(&offer, &["PCMU"]).unwrap();
    assert!(written.contains("m=video 0 RTP/AVP 99\r\n") && written.contains("m=image 20004 udptl"));
    let origin = OurOrigin { session_id: 1, version: 1, address: ours() };
    let rewrite = Rewrite { origin, streams: vec![], codecs: &[], offer: &[] };
    let refused = String::from_utf8(sdp.rewrite(&rewrite).unwrap()).unwrap();
    assert!(parse(&refused).medias().iter().all(Media::rejected));
}

#[test]
fn the_filter_orders_and_removes_with_all_that_belongs_to_it() {
    let offer = crlf(ASTERISK).replace("RTP/AVP 0 8 101", "RTP/AVP 18 0 8 101 96").replace(
        "a=ptime",
        "a=fmtp:18 annexb=no\r\na=rtcp-fb:* nack\r\na=rtcp-fb:18 x\r\na=rtpmap:96 opus/48000\r\na=ptime",
    );
    let written = rewritten(&offer, &["pcma", "PCMU", "telephone-event"]).unwrap();
    assert!(written.contains("m=audio 20000 RTP/AVP 8 0 101\r\n"));
    for gone in ["opus", "annexb", "rtcp-fb:18"] {
        assert!(!written.contains(gone), "{gone}");
    }
    assert!(written.contains("a=fmtp:101 0-16") && written.contains("a=rtcp-fb:* nack"));
    assert_eq!(rewritten(&offer, &["G722", "telephone-event"]), Err(RewriteFault::NoCodec));
}

#[test]
fn addresses_of_both_families_and_many_connections() {
    let offer = crlf(
        "v=0
        o=x 1 1 IN IP6 2001:DB8::7
        s=-
        t=0 0
        m=audio 4000 RTP/AVP 0
        c=IN IP6 2001:DB8::7
        c=IN IP6 2001:DB8::8
        a=rtcp:4009
        a=x-a:[2001:db8::7]:5
        m=audio 4002 RTP/AVP 0
        c=IN IP4 233.252.0.1/127/2",
    );
    let sdp = parse(&offer);
    assert_eq!(sdp.medias()[0].rtcp_address(), Some("[2001:db8::7]:4009".parse().unwrap()));
    assert_eq!(sdp.medias()[1].connection, Some("233.252.0.1".parse().unwrap()));
    let address = "2001:db8:ffff::1".parse().unwrap();
    let relay = StreamRewrite::Relay { address, rtp_port: 8, rtcp_port: 9 };
    let origin = OurOrigin { session_id: 1, version: 1, address };
    let rewrite = Rewrite { origin, streams: vec![relay, relay], codecs: &[], offer: &[] };
    let written = String::from_utf8(sdp.rewrite(&rewrite).unwrap()).unwrap();
    assert_eq!(written.matches("c=IN IP6 2001:db8:ffff::1\r\n").count(), 2);
    assert!(!written.to_lowercase().contains("2001:db8::") && !written.contains("233."));
    assert!(written.contains("o=- 1 1 IN IP6 2001:db8:ffff::1\r\n") && written.contains("a=rtcp:9\r\n"));
}

#[test]
fn whatever_holds_an_address_or_the_host_of_the_description_is_caught() {
    let offer = crlf(
        "v=0
        o=x 1 1 IN IP4 pbx.Internal
        s=Secret
        i=Secret
        u=http://secret.example/
        e=secret@example.com
        p=+1 555 0100
        k=uri:http://secret.example/key
        c=IN IP4 media.secret.example
        b=AS:80
        t=0 0
        m=audio 4000 RTP/AVP 18 0
        a=RTCP:4009 IN IP6 2001:db8::9
        a=Candidate:1 1 udp 1 2001:db8::8 4000 typ host
        a=x-v6:2001:db8::7
        a=x-host:sip:bob@PBX.internal:5060
        a=x-below:m1.media.secret.example
        a=rtpmap:18 G729/8000
        a=fmtp:18 annexb=no
        a=ptime:20
        a=maxptime:40
        a=rtpmap:97 iLBC/8000
        a=fmtp:97 mode=20
        a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB
        a=x-kept:something.example",
    );
    let written = rewritten(&offer, &[]).unwrap().to_lowercase();
    for gone in ["secret", "internal", "2001", "candidate", "\nu=", "\ne=", "\np=", "\nk="] {
        assert!(!written.contains(gone), "{gone} is in {written}");
    }
    for kept in [
        "b=as:80",
        "a=rtcp:20001",
        "annexb=no",
        "a=fmtp:97 mode=20",
        "a=ptime:20",
        "a=maxptime:40",
        "a=fingerprint:sha-1 4a",
        "a=x-kept:something.example",
    ] {
        assert!(written.contains(kept), "{kept} is not in {written}");
    }
}

#[test]
fn an_address_that_is_longer_than_any_host_is_refused() {
    for line in ["o=- 1821420 1821421 IN IP4 ", "c=IN IP4 "] {
        let long =
            crlf(ASTERISK).replace(&format!("{line}198.51.100.20"), &format!("{line}{}", "a".repeat(256)));
        assert_eq!(Sdp::parse(&Bytes::from(long)).err(), Some(SdpFault::AddressTooLong));
    }
}

#[test]
fn lines_go_to_the_places_of_an_offer() {
    let offer = parse(&crlf(ASTERISK).replace("a=sendrecv\r\n", "m=video 5002 RTP/AVP 99\r\na=sendonly\r\n"));
    let short = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0");
    let fitted = short.answering(&offer.places()).unwrap();
    assert!(fitted.as_bytes().ends_with(b"m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 99\r\n"));
    assert_eq!(fitted.succeeding(&short.places()).unwrap().as_bytes(), fitted.as_bytes());
    // A refused line is answered by a refused one, whatever its answerer says.
    let refused = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\nt=0 0\nm=audio 0 RTP/AVP 8\n");
    assert!(short.answering(&refused.places()).unwrap().as_bytes().ends_with(b"\nm=audio 0 RTP/AVP 8\r\n"));
    let none = parse("v=0\no=- 1 1 IN IP4 192.0.2.1\nt=0 0\n");
    assert!(none.answering(&offer.places()).unwrap().medias().iter().all(Media::rejected));
    assert_eq!(offer.answering(&none.places()).unwrap().medias().len(), 0);
    assert_eq!(offer.answering(&offer.places()).unwrap().as_bytes(), offer.as_bytes());
    assert_eq!(none.succeeding(&offer.places()).unwrap().medias().len(), 2);
}

#[test]
fn sloppy_devices_are_read() {
    // LF alone, no s=, a blank line, blanks at ends, order, no end of the last line.
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\na=x\nt=0 0\nc=IN IP4 192.0.2.1 \n\n\
                m=audio  4000 RTP/AVP 0 \na=sendonly ";
    let sdp = parse(text);
    assert_eq!(sdp.medias()[0].direction, Direction::SendOnly);
    let written = rewritten(text, &[]).unwrap();
    assert_eq!(
        written,
        "v=0\no=- 11 3 IN IP4 203.0.113.5\ns=-\na=x\nt=0 0\nc=IN IP4 203.0.113.5\n\
         m=audio  20000 RTP/AVP 0 \na=sendonly \r\n"
    );
}

#[test]
fn what_is_no_description_is_refused_with_its_line() {
    let good = crlf(ASTERISK);
    for (from, to, fault) in [
        ("v=0", "v=1", SdpFault::Version),
        ("o=- 1821420 1821421 IN IP4 198.51.100.20\r\n", "", SdpFault::MissingOrigin),
        ("o=- 1821420 ", "o=", SdpFault::Origin(2)),
        ("s=Asterisk", "o=- 1 1 IN IP4 x", SdpFault::Misplaced(3)),
        ("a=ptime:20", "v=0", SdpFault::Misplaced(11)),
        ("a=ptime:20", "o=- 1 1 IN IP4 x", SdpFault::Misplaced(11)),
        ("a=ptime:20", "a=x\rc=IN IP4 192.0.2.9", SdpFault::Character(11)),
        ("a=ptime:20", "a=x\0", SdpFault::Character(11)),
        ("a=ptime:20", "ptime", SdpFault::Line(11)),
        ("c=IN IP4 198", "c=IN 198", SdpFault::Connection(4)),
        ("14208", "70000", SdpFault::Media(6)),
        ("14208", "-1", SdpFault::Media(6)),
        ("RTP/AVP 0 8 101", "RTP/AVP", SdpFault::Media(6)),
        ("a=ptime:20", "a=rtcp:x", SdpFault::Rtcp(11)),
    ] {
        let text = good.replacen(from, to, 1);
        assert_eq!(Sdp::parse(&Bytes::from(text)).err(), Some(fault), "{from} -> {to}");
    }
    for (line, times, fault) in [
        ("m=audio 0 RTP/AVP 0\r\n", limits::MAX_MEDIAS, SdpFault::TooManyMedias),
        ("a=x\r\n", limits::MAX_LINES, SdpFault::TooManyLines),
        ("a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", limits::MAX_LINES, SdpFault::TooLong),
    ] {
        let text = format!("{good}{}", line.repeat(times));
        assert_eq!(Sdp::parse(&Bytes::from(text)).err(), Some(fault));
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "a=[a-z]{1,8}(:[ -~]{0,20})?",
        "[abkrtz]=[ -~]{0,24}",
        Just("a=sendonly".to_owned()),
        Just("a=rtcp-mux".to_owned()),
        "a=rtcp:[1-9][0-9]{0,3}",
        "a=rtpmap:(9[6-9]|101) [A-Za-z0-9-]{1,8}/8000",
        "m=(audio|video|image) (0|[1-9][0-9]{0,3}) (RTP/AVP|udptl) [0-9]{1,2}( 101)?",
        "c=IN IP4 (0\\.0\\.0\\.0|192\\.0\\.2\\.[1-9])",
    ]
}

proptest! {
    #[test]
    fn any_description_becomes_ours_and_keeps_the_rest(lines in prop::collection::vec(line(), 0..40)) {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{}\r\n", lines.join("\r\n"));
        let Ok(before) = Sdp::parse(&Bytes::from(text.clone())) else { return Ok(()) };
        let written = rewritten(&text, &[]).unwrap();
        let after = parse(&written);
        prop_assert!(!written.contains("192.0.2.1\r\n"));
        prop_assert_eq!(before.is_hold(), after.is_hold());
        for (old, new) in before.medias().iter().zip(after.medias()) {
            prop_assert_eq!(old.rejected(), new.rejected());
            prop_assert!(old.formats().eq(new.formats()));
            prop_assert!(new.rejected() || new.connection == Some(ours()));
        }
        prop_assert_eq!(rewritten(&written, &[]).unwrap(), written);
    }
}

#[test]
fn a_direction_stays_though_a_host_is_called_like_it() {
    let offer = crlf(&ASTERISK.replace("198.51.100.20", "recvonly").replace("sendrecv", "recvonly"));
    let offer = offer.replace("c=IN IP4 recvonly", "c=IN IP4 198.51.100.20");
    let written = rewritten(&offer, &[]).unwrap();
    assert!(!parse(&written).medias()[0].sends(), "{written}");
}
