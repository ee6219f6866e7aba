//! What the messages of a fuzzed sequence are made of. An input names an entry by its place, so that
//! a changed table changes what the kept inputs mean: `seeds.rs` is written with names.

use drawbridge::base::Transport;
use drawbridge::sip::{Header, Method};

/// Who is on no list. Nothing may be sent there.
pub const STRANGER: &str = "192.0.2.66";

/// Where messages come from: address, listener, transport.
pub const PEERS: [(&str, u16, Transport); 8] = [
    ("10.0.0.9:5060", 0, Transport::Udp),
    ("198.51.100.1:5060", 1, Transport::Udp),
    ("198.51.100.2:5060", 2, Transport::Tcp),
    ("198.51.100.2:40001", 2, Transport::Tcp),
    ("10.0.0.10:5060", 0, Transport::Udp),
    ("198.51.100.3:5060", 1, Transport::Udp),
    ("192.0.2.66:5060", 1, Transport::Udp),
    ("192.0.2.66:40002", 2, Transport::Tcp),
];

pub const METHODS: [Method; 12] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Prack,
    Method::Update,
    Method::Info,
    Method::Options,
    Method::Refer,
    Method::Notify,
    Method::Message,
    Method::Register,
];

pub const STATUSES: [u16; 19] =
    [100, 180, 183, 199, 200, 202, 302, 401, 407, 408, 422, 480, 481, 486, 487, 488, 491, 503, 603];

pub const CALLED: [&str; 8] =
    ["+442079460000", "+14155550101", "911", "support", "0044207946", "x@y", "+1;npdi", ""];

pub const BODIES: [(&str, &str); 9] = [
    ("", ""),
    (
        "application/sdp",
        "v=0\r\no=x 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.77\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n",
    ),
    (
        "application/sdp",
        "v=0\r\no=x 1 2 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         m=audio 30000 RTP/AVP 0 8\r\na=sendonly\r\n",
    ),
    (
        "application/sdp",
        "v=0\r\no=x 1 3 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
         m=audio 0 RTP/AVP 8\r\nm=image 30002 udptl t38\r\n",
    ),
    (
        "application/sdp",
        "v=0\r\no=x 1 4 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
         m=audio 30000 RTP/AVP 0\r\nm=video 30010 RTP/AVP 96\r\nm=video 30020 RTP/AVP 96\r\n",
    ),
    ("application/sdp", "v=0\r\n"),
    (
        "multipart/mixed;boundary=b",
        "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=x 1 1 IN IP4 10.0.0.9\r\ns=-\r\n\
         c=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n\r\n\
         --b\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--b--\r\n",
    ),
    ("message/sipfrag", "SIP/2.0 200 OK\r\n"),
    ("echo", ""),
];

/// What may stand in a message beside what must: one bit of three bytes each, the lowest first.
pub const EXTRAS: [(Header, &str); 24] = [
    (Header::Require, "100rel"),
    (Header::RSeq, "1"),
    (Header::Supported, "timer, 100rel, replaces"),
    (Header::SessionExpires, "90;refresher=uac"),
    (Header::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REFER, NOTIFY"),
    (Header::MinSe, "3600"),
    (Header::ReferTo, "<sip:+442079460001@10.0.0.5>"),
    (Header::ReferTo, "<sip:x@203.0.113.5?Replaces=call-1%3Bto-tag%3Da%3Bfrom-tag%3Df1>"),
    (Header::Event, "refer"),
    (Header::SubscriptionState, "terminated;reason=noresource"),
    (Header::RecordRoute, "<sip:198.51.100.1;lr>, <sip:198.51.100.2>"),
    (Header::RecordRoute, "<sip:192.0.2.66;lr>"),
    (Header::Contact, "<sip:c@192.0.2.66:5060;transport=tcp>"),
    (Header::Replaces, "call-1;to-tag=a;from-tag=f1"),
    (Header::Privacy, "id;user"),
    (Header::PAssertedIdentity, "\"A\" <sip:+19995550123@h>, <tel:+14155550199>"),
    (Header::Diversion, "<sip:+14155550188@h>;reason=unconditional;counter=3"),
    (Header::HistoryInfo, "<sip:+14155550188@h>;index=1, <sip:a@h?Reason=SIP%3Bcause%3D302>;index=1.1"),
    (Header::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n\", qop=\"auth\""),
    (Header::RetryAfter, "5"),
    (Header::ContentEncoding, "gzip"),
    (Header::Expires, "1"),
    (Header::Reason, "Q.850;cause=16"),
    (Header::SessionExpires, "1800;refresher=uas"),
];

pub const PAUSES_MS: [u64; 8] = [1, 100, 500, 4_000, 33_000, 60_000, 200_000, 1_000_000];
