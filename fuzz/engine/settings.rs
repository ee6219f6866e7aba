//! What the fuzzed engine is configured with: a PBX site of two, three carriers (one by TCP, one by
//! name), each with other keys, so that much of the engine is within reach; and times so short that
//! a call ends soon.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use drawbridge::b2bua::{Listener, Settings, Timeouts};
use drawbridge::base::{ByRealm, Realm, Transport};
use drawbridge::media::{MediaAddress, RealmMedia};
use drawbridge::routing::{
    Balance, CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, DiversionForm, Host, Identity,
    NumberPattern, Redirect, Refer, Route, RouteSource, TierTrunk, Trunk,
};
use drawbridge::{admission, media, numbering, routing};
use regex::Regex;

/// No call lasts longer, ringing and transfers counted in.
pub const LONGER_THAN_A_CALL: Duration = Duration::from_secs(2 * 3_600);

const TIMEOUTS: Timeouts = Timeouts {
    progress: Duration::from_secs(20),
    answer: Duration::from_secs(60),
    duration: Duration::from_secs(900),
    session_expires: Duration::from_secs(120),
    min_session_expires: Duration::from_secs(90),
};

/// The configuration that an input begins with, or the one that it may be changed to: there one
/// carrier and one PBX are gone, and calls may last less.
pub fn settings(is_changed: bool) -> Arc<Settings> {
    static SETTINGS: OnceLock<[Arc<Settings>; 2]> = OnceLock::new();
    let both = SETTINGS.get_or_init(|| [Arc::new(first()), Arc::new(changed())]);
    Arc::clone(&both[usize::from(is_changed)])
}

fn first() -> Settings {
    let listener = |realm, transport, bind: &str| Listener {
        realm,
        transport,
        bind: bind.parse().unwrap(),
        advertise: bind.to_owned(),
    };
    Settings {
        node: "sbc1".to_owned(),
        listeners: vec![
            listener(Realm::Trusted, Transport::Udp, "10.0.0.5:5060"),
            listener(Realm::Untrusted, Transport::Udp, "203.0.113.5:5060"),
            listener(Realm::Untrusted, Transport::Tcp, "203.0.113.5:5060"),
        ],
        admission: admission::Settings {
            allow: ByRealm {
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
                untrusted: vec!["198.51.100.0/24".parse().unwrap()],
            },
            rate: ByRealm::default(),
        },
        numbering: numbering::Settings {
            country: Some("US".to_owned()),
            prefixes: vec!["00".to_owned(), "011".to_owned()],
            short: vec![Regex::new("^(?:1[0-9]{2})$").unwrap()],
            emergency: vec!["911".to_owned(), "112".to_owned()],
            access_codes: Vec::new(),
        },
        routing: routing::Settings { trunks: trunks(), routes: routes(), limits: routing::Limits::default() },
        media: media::Settings {
            ports: (10_000, 10_039),
            timeout: Duration::from_secs(60),
            one_way_timeout: Duration::from_secs(60),
            hold_timeout: Duration::from_secs(60),
            realms: ByRealm { trusted: relay_at("10.0.0.5"), untrusted: relay_at("203.0.113.5") },
        },
        timeouts: TIMEOUTS,
    }
}

fn changed() -> Settings {
    let mut settings = first();
    settings.routing.trunks.retain(|trunk| !matches!(trunk.name.as_str(), "carrier-b" | "pbx-2"));
    settings.admission.allow = ByRealm::default();
    settings.timeouts.duration = Duration::from_secs(300);
    settings.media.realms.untrusted = relay_at("203.0.113.6");
    settings
}

fn relay_at(address: &str) -> RealmMedia {
    let address = address.parse().unwrap();
    RealmMedia { addresses: vec![MediaAddress { bind: address, advertise: address }] }
}

fn trunks() -> Vec<Trunk> {
    let at = |name: &str, realm, host: &str| {
        Trunk::new(name, realm, Host::Address(host.parse().unwrap()), Some(5_060))
    };
    let everything = || vec!["*".to_owned()];

    let mut pbx = at("pbx", Realm::Trusted, "10.0.0.9");
    pbx.refer = Refer::Consume;
    pbx.redirect = Redirect::Pass;
    pbx.diversion = DiversionForm::Pass;
    pbx.headers.pass = everything();

    let mut second = at("pbx-2", Realm::Trusted, "10.0.0.10");
    second.refer = Refer::Relay;
    second.redirect = Redirect::Follow;
    second.identity = Identity::Pai;

    let mut a = at("carrier-a", Realm::Untrusted, "198.51.100.1");
    a.refer = Refer::Relay;
    a.redirect = Redirect::Follow;
    a.identity = Identity::Pai;
    a.diversion = DiversionForm::HistoryInfo;
    a.credentials = Some(Credentials { username: "u".to_owned(), password: "p".to_owned() });
    a.codecs = vec!["PCMU".to_owned(), "telephone-event".to_owned()];
    a.failover.codes.push(CodePattern::Class(4));
    a.limits.calls = Some(4);

    let mut b = at("carrier-b", Realm::Untrusted, "198.51.100.2");
    b.transport = Some(Transport::Tcp);
    b.refer = Refer::Consume;
    b.redirect = Redirect::Pass;
    b.identity = Identity::Rpid;
    b.diversion = DiversionForm::Diversion;
    b.trust_identity = true;
    b.headers.pass = everything();
    b.bodies.pass = vec!["application/*".to_owned()];
    b.headers.set = vec![("X-Set".to_owned(), "1".to_owned())];

    let name = Host::Name("carrier-c.example".to_owned());
    let mut c = Trunk::new("carrier-c", Realm::Untrusted, name, None);
    c.caller_id = CallerIdPolicy {
        default: None,
        allowed: vec!["+1999*".to_owned()],
        otherwise: CallerIdFallback::Anonymous,
    };
    c.identity = Identity::Ppi;
    c.calls =
        Some(Timeouts { duration: Duration::from_secs(400), session_expires: Duration::ZERO, ..TIMEOUTS });
    let mut trunks = vec![pbx, second, a, b, c];
    for trunk in &mut trunks {
        // The table of what is left must be empty when no call is.
        trunk.health.interval = Duration::ZERO;
    }
    trunks
}

fn routes() -> Vec<Route> {
    let route = |name: &str, realm, to: &[&str], trunks: &[&str]| Route {
        name: name.to_owned(),
        from: RouteSource::Realm(realm),
        to: to.iter().map(|prefix| NumberPattern::Prefix((*prefix).to_owned())).collect(),
        tiers: trunks.iter().map(|trunk| vec![TierTrunk::from(*trunk)]).collect(),
        balance: Balance::default(),
    };
    vec![
        route("uk", Realm::Trusted, &["+44"], &["carrier-b", "carrier-a"]),
        route("out", Realm::Trusted, &[], &["carrier-a", "carrier-b", "carrier-c"]),
        route("in", Realm::Untrusted, &[], &["pbx", "pbx-2"]),
    ]
}
