//! The keys of the node: everything but trunks and routes.

use super::Takes::{Reload, Restart};
use super::Unset::{As, Means, Required};
use super::Values::{Any, Between, OneOf, OrZero};
use super::{Section, key};

pub(super) const NODE: Section = Section {
    table: "[node]",
    text: "This machine.",
    keys: &[
        key(
            "node.name",
            "string",
            As("\"drawbridge\""),
            Any("letters, digits, `-`, `.`, `_`; 63 at most"),
            Reload,
            r#""sbc1""#,
            "What `drawbridge status` and the API call this node.",
        ),
        key(
            "node.limits.calls",
            "number",
            Means("no limit"),
            Between("1", "1000000"),
            Reload,
            "2000",
            "Calls at once over all trunks. A call beyond it hears 503 with Retry-After; emergency calls pass.",
        ),
        key(
            "node.limits.cps",
            "number",
            Means("no limit"),
            Between("1", "1000000"),
            Reload,
            "50",
            "New calls a second over all trunks, up to a second's worth at a time; beyond it 503 with Retry-After.",
        ),
    ],
};

pub(super) const ADMIN: Section = Section {
    table: "[admin]",
    text: "Where the daemon is asked how it is, and told what to do.",
    keys: &[
        key(
            "admin.listen",
            "address and port",
            As("\"127.0.0.1:9060\""),
            Any(""),
            Restart,
            r#""127.0.0.1:9061""#,
            "HTTP, to be read alone: `/metrics`, `/healthz`, `/readyz` and `/api/v1/`. It asks nobody for a password: keep \
             it on loopback or on a management network.",
        ),
        key(
            "admin.socket",
            "absolute path",
            As("\"/run/drawbridge/admin.sock\""),
            Any("`\"\"`: none; 90 bytes at most"),
            Restart,
            r#""/run/drawbridge/other.sock""#,
            "The Unix socket that `drawbridge status`, `reload`, `drain` … use: for root, for the daemon's user and its group.",
        ),
    ],
};

pub(super) const LISTENER: Section = Section {
    table: "[[listener]]",
    text: "Where SIP is received and sent. Any number up to 64, and at least one for each realm.",
    keys: &[
        key(
            "listener.realm",
            "word",
            Required,
            OneOf(&["trusted", "untrusted"]),
            Restart,
            r#""trusted""#,
            "Whose side it is: the PBX's (`trusted`) or the carriers' (`untrusted`). Calls go from one side to the other by routes alone.",
        ),
        key(
            "listener.transport",
            "word",
            As("\"udp\""),
            OneOf(&["udp", "tcp", "tls"]),
            Restart,
            r#""tcp""#,
            "How messages travel. A trunk needs a listener of its transport in its realm, though it only calls out.",
        ),
        key(
            "listener.bind",
            "address and port",
            Required,
            Any("IPv6 as `\"[2001:db8::5]:5060\"`; no port 0"),
            Restart,
            r#""10.0.0.5:5060""#,
            "The address of this machine that it listens at, and sends from.",
        ),
        key(
            "listener.advertise",
            "host with an optional port",
            Means("`bind`"),
            Any(""),
            Restart,
            r#""203.0.113.5:5060""#,
            "What Via and Contact say, where it differs from `bind`: the public address behind a NAT.",
        ),
        key(
            "listener.tls.certificate",
            "absolute path",
            Required,
            Any("PEM, with the chain"),
            Reload,
            r#""/etc/drawbridge/tls/sbc.pem""#,
            "The certificate of a listener with `transport = \"tls\"`. It is read again on reload and when the file changes; connections go on.",
        ),
        key(
            "listener.tls.key",
            "absolute path",
            Required,
            Any("PEM"),
            Reload,
            r#""/etc/drawbridge/tls/sbc.key""#,
            "Its private key. The user `drawbridge` must be able to read it, and nobody else should.",
        ),
        key(
            "listener.tls.client_ca",
            "absolute path",
            Means("nobody is asked for a certificate"),
            Any("PEM"),
            Reload,
            r#""/etc/drawbridge/tls/ca.pem""#,
            "Who connects must show a certificate that one of these authorities has signed (mutual TLS).",
        ),
    ],
};

pub(super) const REALM: Section = Section {
    table: "[realm.NAME]",
    text: "One side; NAME is `trusted` (the PBX's) or `untrusted` (the carriers'). Both are needed.",
    keys: &[
        key(
            "realm.NAME.media_bind",
            "address, or a list",
            Required,
            Any("one IPv4 and one IPv6 address at most"),
            Reload,
            r#""10.0.0.5""#,
            "Where RTP of this side is received and sent from.",
        ),
        key(
            "realm.NAME.media_advertise",
            "address, or a list",
            Means("`media_bind`"),
            Any("of a family that `media_bind` has"),
            Reload,
            r#""203.0.113.5""#,
            "What SDP says, where it differs: the public address behind a NAT.",
        ),
        key(
            "realm.NAME.allow",
            "list of networks and addresses",
            As("[]"),
            Any(""),
            Reload,
            r#"["10.0.0.0/8", "192.168.7.9"]"#,
            "Who may send SIP here, beside the trunks' own addresses. Everybody else gets silence; a TCP or TLS connection of theirs is closed.",
        ),
        key(
            "realm.NAME.rate",
            "number",
            As("200"),
            Between("0", "1000000"),
            Reload,
            "1000",
            "OPTIONS and the like (requests that begin nothing) a second that one source is answered; 0: all. Calls have limits of their own.",
        ),
    ],
};

pub(super) const MEDIA: Section = Section {
    table: "[media]",
    text: "The relay that all RTP crosses ([media.md](media.md)), and what silence means.",
    keys: &[
        key(
            "media.ports",
            "two ports",
            As("\"10000-20000\""),
            Any("from 1024 on; even ports for RTP, the odd ones above for RTCP"),
            Restart,
            r#""30000-32000""#,
            "UDP ports for media, of each side: open them in your firewall. A call takes two a side for each stream (audio alone: two).",
        ),
        key(
            "media.timeout",
            "duration",
            As("\"60s\""),
            Between("\"5s\"", "\"24h\""),
            Reload,
            r#""90s""#,
            "A call without any RTP, and not on hold, ends after so long (a fax after 5 minutes at least).",
        ),
        key(
            "media.one_way_timeout",
            "duration",
            As("\"0s\""),
            OrZero("\"10s\"", "\"24h\"", "never"),
            Reload,
            r#""2m""#,
            "A call in which one side is not heard, while the other speaks, ends after so long. It is found and told within 6 s all the same.",
        ),
        key(
            "media.hold_timeout",
            "duration",
            As("\"0s\""),
            OrZero("\"10s\"", "\"24h\"", "never"),
            Reload,
            r#""30m""#,
            "A call on hold with neither RTP nor RTCP ends after so long.",
        ),
        key(
            "media.workers",
            "number",
            Means("one a core"),
            Between("1", "256"),
            Restart,
            "2",
            "Threads of the relay.",
        ),
        key(
            "media.engine",
            "word",
            As("\"auto\""),
            OneOf(&["auto", "io_uring", "portable"]),
            Restart,
            r#""portable""#,
            "How the relay speaks to the kernel: `auto` takes io_uring where it may, else epoll (`portable`) with one warning; \
             `io_uring` refuses to start without it.",
        ),
        key(
            "media.batch",
            "duration, also `\"200us\"`",
            As("\"200us\""),
            Between("\"0us\"", "\"5ms\""),
            Restart,
            r#""1ms""#,
            "For how long packets may gather, which spares CPU and delays each by so much at most.",
        ),
        key(
            "media.zero_copy",
            "word",
            As("\"auto\""),
            OneOf(&["auto", "on", "off"]),
            Restart,
            r#""off""#,
            "Whether packets are sent without a copy (SEND_ZC); `auto` measures at the start.",
        ),
        key(
            "media.busy_poll",
            "duration, also `\"50us\"`",
            As("\"0us\""),
            Between("\"0us\"", "\"1ms\""),
            Restart,
            r#""50us""#,
            "For how long the network card is asked before a worker sleeps: less delay for more CPU; Linux 6.9 and later.",
        ),
        key(
            "media.pin",
            "true or false",
            As("true"),
            Any(""),
            Restart,
            "false",
            "A core for each worker, where there are as many of both.",
        ),
    ],
};

pub(super) const DNS: Section = Section {
    table: "[dns]",
    text: "Whom trunks' names are asked of.",
    keys: &[key(
        "dns.nameservers",
        "list of addresses, with or without a port",
        Means("the system's (`/etc/resolv.conf`)"),
        Any("8 at most; port 53"),
        Reload,
        r#"["127.0.0.1:5353"]"#,
        "Asked in turn.",
    )],
};

pub(super) const NUMBERING: Section = Section {
    table: "[numbering]",
    text: "How numbers are read. They become E.164 (`+` and digits) before routes are looked at; a trunk may have its own `numbering`.",
    keys: &[
        key(
            "numbering.country",
            "two letters",
            Means("national numbers are refused (484)"),
            Any("ISO 3166"),
            Reload,
            r#""GB""#,
            "Whose numbering plan national numbers are read by.",
        ),
        key(
            "numbering.prefixes",
            "list of strings",
            As(r#"["00", "011"]"#),
            Any("1 to 15 digits each"),
            Reload,
            r#"["00"]"#,
            "International prefixes: each means `+`.",
        ),
        key(
            "numbering.short",
            "list of regular expressions",
            As(r#"["1[0-9]{2}"]"#),
            Any("each of whole numbers; 512 bytes at most"),
            Reload,
            r#"["1[0-9]{2}", "[2-4][0-9]{3}"]"#,
            "Codes and extensions that are never rewritten.",
        ),
        key(
            "numbering.emergency",
            "list of strings",
            As(r#"["911", "112"]"#),
            Any("1 to 15 digits each"),
            Reload,
            r#"["999", "112"]"#,
            "Emergency numbers: never rewritten, never limited, shed or refused by policy. `drawbridge check` warns where the \
             country's own is missing.",
        ),
    ],
};

pub(super) const CALLS: Section = Section {
    table: "[calls]",
    text: "How long calls may take. A trunk may have its own `calls`; a call keeps what it began with.",
    keys: &[
        key(
            "calls.progress_timeout",
            "duration",
            As("\"60s\""),
            OrZero("\"1s\"", "\"10m\"", "none"),
            Reload,
            r#""20s""#,
            "From INVITE to ringing; then the next target is tried.",
        ),
        key(
            "calls.answer_timeout",
            "duration",
            As("\"185s\""),
            Between("\"1s\"", "\"1h\""),
            Reload,
            r#""90s""#,
            "From 100 or ringing to the answer; then the caller hears 408.",
        ),
        key(
            "calls.max_duration",
            "duration",
            As("\"12h\""),
            Between("\"1m\"", "\"24h\""),
            Reload,
            r#""4h""#,
            "Of an answered call; then both sides get BYE. The shorter of both sides' counts.",
        ),
        key(
            "calls.session_expires",
            "duration",
            As("\"1800s\""),
            OrZero("\"90s\"", "\"24h\"", "only if a side wants it"),
            Reload,
            r#""600s""#,
            "A side that is not heard of for so long is gone (RFC 4028): it is asked when half of it is over. Not below `min_session_expires`.",
        ),
        key(
            "calls.min_session_expires",
            "duration",
            As("\"90s\""),
            Between("\"90s\"", "\"24h\""),
            Reload,
            r#""120s""#,
            "The shortest such time that a side may ask for (422 with Min-SE below it).",
        ),
    ],
};

pub(super) const CDR: Section = Section {
    table: "[cdr]",
    text: "Call detail records: one JSON object a line for each call, when it ends.",
    keys: &[key(
        "cdr.path",
        "absolute path",
        Means("no records are written"),
        Any("`\"\"`: none"),
        Reload,
        r#""/var/log/drawbridge/cdr.jsonl""#,
        "The file. SIGHUP opens it anew, for logrotate. A full disk stops no call: records that are lost are counted.",
    )],
};
