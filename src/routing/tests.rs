use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::base::{Instant, Random, Realm, Transport, TrunkName};
use crate::numbering::Number;

fn trunk(name: &str, realm: Realm, hosts: &[&str], allow: &[&str]) -> Trunk {
    let host = |host: &&str| TrunkHost {
        host: host.parse().map_or_else(|_| Host::Name((*host).to_owned()), Host::Address),
        port: None,
        priority: 1,
        weight: 1,
    };
    Trunk {
        hosts: hosts.iter().map(host).collect(),
        domain: "example.com".to_owned(),
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..Trunk::new(name, realm, Host::Name(String::new()), None)
    }
}

fn route(name: &str, from: RouteSource, to: &[NumberPattern], tiers: &[&[&str]]) -> Route {
    let tiers = tiers.iter().map(|tier| tier.iter().map(|&name| name.into()).collect()).collect();
    Route { name: name.to_owned(), from, to: to.to_vec(), tiers, balance: Balance::default() }
}

fn prefix(text: &str) -> NumberPattern {
    NumberPattern::Prefix(text.to_owned())
}

fn settings() -> Settings {
    Settings {
        trunks: vec![
            trunk("pbx", Realm::Trusted, &["10.0.0.9"], &[]),
            trunk("sinch", Realm::Untrusted, &["sip.example", "backup.example"], &["192.0.2.0/24"]),
            trunk("vonage", Realm::Untrusted, &["198.51.100.1"], &["192.0.2.128/25"]),
        ],
        routes: vec![
            route(
                "us",
                RouteSource::Realm(Realm::Trusted),
                &[prefix("+1"), NumberPattern::Exact("911".into())],
                &[&["sinch"], &["vonage", "sinch"]],
            ),
            route("names", RouteSource::Realm(Realm::Trusted), &[prefix("sup")], &[&["vonage"]]),
            route("in", RouteSource::Trunk("sinch".into()), &[], &[&["pbx"]]),
        ],
        limits: Limits::default(),
    }
}

fn from(realm: Realm, trunk: Option<&str>) -> Ingress {
    Ingress { realm, trunk: trunk.map(TrunkName::from) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Addresses at port 5060 over UDP, for a name without SRV records.
fn answer(addresses: &[&str], seconds: u64) -> Result<Resolution, ResolveFault> {
    let at = |address: &&str| Endpoint::plain("", SocketAddr::new(ip(address), 5060), Transport::Udp);
    Ok(Resolution::new(addresses.iter().map(at).collect(), Duration::from_secs(seconds)))
}

fn query(host: &str) -> Query {
    Query::new(host, None, None)
}

/// DNS answers; says whether addresses changed.
fn resolve(
    router: &mut Router,
    query: &Query,
    answer: Result<Resolution, ResolveFault>,
    now: Instant,
) -> bool {
    router.resolved(query, answer, now, &mut Random::from_number(now.as_micros()))
}

fn due(router: &mut Router, now: Instant) -> Vec<String> {
    router.take_due(now).iter().map(|(query, _)| query.to_string()).collect()
}

fn chosen(router: &Router, ingress: &Ingress, called: &Number) -> String {
    match router.route(ingress, called) {
        Ok(selection) => {
            let trunks: Vec<_> = selection.trunks().map(TrunkName::as_str).collect();
            format!("{}: {}", selection.route, trunks.join(" "))
        }
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn the_first_route_that_matches_gives_its_tiers_in_order() {
    let router = Router::new(settings());
    let pbx = from(Realm::Trusted, Some("pbx"));
    let e164 = |number: &str| Number::E164(number.into());
    assert_eq!(chosen(&router, &pbx, &e164("+12027621401")), "us: sinch vonage");
    assert_eq!(chosen(&router, &pbx, &Number::Emergency("911".into())), "us: sinch vonage");
    assert_eq!(chosen(&router, &pbx, &Number::Name("support".into())), "names: vonage");
    assert_eq!(chosen(&router, &pbx, &e164("+442079460000")), "no route matches");
    let sinch = from(Realm::Untrusted, Some("sinch"));
    assert_eq!(chosen(&router, &sinch, &e164("+442079460000")), "in: pbx");
    assert_eq!(
        chosen(&router, &from(Realm::Untrusted, Some("vonage")), &e164("+12027621401")),
        "no route matches"
    );
    assert_eq!(chosen(&router, &from(Realm::Untrusted, None), &e164("+12027621401")), "no route matches");
}

#[test]
fn disabled_trunks_are_skipped_and_may_send_nothing() {
    let mut settings = settings();
    settings.trunks[1].enabled = false;
    let router = Router::new(settings.clone());
    let number = Number::E164("+12027621401".into());
    assert_eq!(chosen(&router, &from(Realm::Trusted, None), &number), "us: vonage");
    let refused = router.route(&from(Realm::Untrusted, Some("sinch")), &number);
    assert_eq!(refused, Err(NoRoute::IngressDisabled("sinch".into())));
    settings.trunks[2].enabled = false;
    let refused = Router::new(settings).route(&from(Realm::Trusted, None), &number);
    assert_eq!(refused, Err(NoRoute::AllDisabled { route: "us".into() }));
}

#[test]
fn a_source_belongs_to_the_trunk_with_the_longest_prefix() {
    let mut router = Router::new(settings());
    let of = |router: &Router, realm, source: &str| {
        router.trunk_of_source(realm, ip(source)).map(|name| name.as_str().to_owned())
    };
    assert_eq!(of(&router, Realm::Untrusted, "192.0.2.1").as_deref(), Some("sinch"));
    assert_eq!(of(&router, Realm::Untrusted, "192.0.2.200").as_deref(), Some("vonage"));
    assert_eq!(of(&router, Realm::Untrusted, "::ffff:192.0.2.200").as_deref(), Some("vonage"));
    assert_eq!(of(&router, Realm::Untrusted, "198.51.100.1").as_deref(), Some("vonage"));
    assert_eq!(of(&router, Realm::Trusted, "198.51.100.1"), None);
    assert_eq!(of(&router, Realm::Untrusted, "203.0.113.7"), None);
    assert!(resolve(&mut router, &query("sip.example"), answer(&["203.0.113.7"], 60), Instant::ZERO));
    assert_eq!(of(&router, Realm::Untrusted, "203.0.113.7").as_deref(), Some("sinch"));
    assert_eq!(router.realms_of(&query("sip.example")).collect::<Vec<_>>(), [Realm::Untrusted]);
}

#[test]
fn two_trunks_on_one_source_are_reported_and_the_first_gets_the_calls() {
    let mut settings = settings();
    settings.trunks.push(trunk("sinch-2", Realm::Untrusted, &["192.0.2.7"], &["192.0.2.0/24"]));
    settings.trunks.push(trunk("mapped", Realm::Untrusted, &["::ffff:198.51.100.1"], &[]));
    let found: Vec<_> = ambiguities(&settings)
        .into_iter()
        .map(|a| format!("{} {} {} {}", a.realm, a.source, a.first, a.second))
        .collect();
    assert_eq!(found, ["untrusted 192.0.2.0/24 sinch sinch-2", "untrusted 198.51.100.1 vonage mapped"]);
    let router = Router::new(settings);
    assert_eq!(router.trunk_of_source(Realm::Untrusted, ip("192.0.2.1")), Some(&"sinch".into()));
}

#[test]
fn targets_are_all_addresses_of_all_hosts_by_priority() {
    let mut settings = settings();
    settings.trunks[1].hosts[0].priority = 20;
    settings.trunks[1].hosts[1].port = Some(5080);
    let mut router = Router::new(settings);
    let addresses = |router: &Router, name: &str| -> Vec<String> {
        router
            .all_targets(&name.into())
            .iter()
            .map(|target| format!("{} {}", target.host, target.address))
            .collect()
    };
    assert_eq!(addresses(&router, "sinch"), Vec::<String>::new(), "nothing is resolved yet");
    assert!(router.is_unresolved(&"sinch".into()));
    assert_eq!(addresses(&router, "vonage"), ["198.51.100.1 198.51.100.1:5060"]);
    assert_eq!(addresses(&router, "nobody"), Vec::<String>::new());
    assert!(!router.is_unresolved(&"vonage".into()) && !router.is_unresolved(&"nobody".into()));
    let found = answer(&["203.0.113.7", "203.0.113.7", "2001:db8::7"], 60);
    resolve(&mut router, &query("sip.example"), found, Instant::ZERO);
    let backup = Query::new("backup.example", Some(5080), None);
    let found = vec![Endpoint::plain("backup.example", "203.0.113.8:5080".parse().unwrap(), Transport::Udp)];
    let found = Ok(Resolution::new(found, Duration::from_secs(60)));
    resolve(&mut router, &backup, found, Instant::ZERO);
    assert_eq!(
        addresses(&router, "sinch"),
        ["backup.example 203.0.113.8:5080", "sip.example 203.0.113.7:5060", "sip.example [2001:db8::7]:5060"]
    );
    assert!(!router.is_unresolved(&"sinch".into()));
}

fn srv(host: &str, address: &str, transport: Transport, priority: u16, weight: u16) -> Endpoint {
    Endpoint { host: host.to_owned(), address: address.parse().unwrap(), transport, priority, weight }
}

#[test]
fn each_call_draws_its_order_and_the_addresses_of_a_target_stay_together() {
    let mut router = Router::new(settings());
    let found = vec![
        srv("a.example", "203.0.113.1:5060", Transport::Udp, 10, 75),
        srv("a.example", "203.0.113.2:5060", Transport::Udp, 10, 75),
        srv("b.example", "203.0.113.3:5070", Transport::Udp, 10, 25),
        srv("last.example", "203.0.113.4:5060", Transport::Udp, 20, 0),
        // The same place again, by another name.
        srv("b2.example", "203.0.113.3:5070", Transport::Udp, 30, 0),
    ];
    let found = Ok(Resolution::new(found, Duration::from_secs(60)));
    resolve(&mut router, &query("sip.example"), found, Instant::ZERO);
    let mut random = Random::from_number(4);
    let mut a_first = 0;
    for _ in 0..4_000 {
        let targets = router.targets(&"sinch".into(), &mut random);
        let last: Vec<u8> = targets.iter().map(|target| last_octet(target.address)).collect();
        match last.as_slice() {
            [1, 2, 3, 4] => a_first += 1,
            [3, 1, 2, 4] => {}
            other => panic!("{other:?}"),
        }
        assert!(targets.iter().all(|target| target.host == "sip.example"), "as it is configured");
    }
    assert!((2_850..3_150).contains(&a_first), "{a_first}");
}

fn last_octet(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    }
}

#[test]
fn hosts_of_one_priority_share_by_weight() {
    let mut settings = settings();
    let host = |address: &str, weight| TrunkHost {
        host: Host::Address(ip(address)),
        port: None,
        priority: 1,
        weight,
    };
    settings.trunks[1].hosts = vec![host("203.0.113.1", 1), host("203.0.113.2", 3)];
    let router = Router::new(settings);
    let mut random = Random::from_number(5);
    let mut first = || last_octet(router.targets(&"sinch".into(), &mut random)[0].address);
    let heavy = (0..4_000).filter(|_| first() == 2).count();
    assert!((2_700..3_050).contains(&heavy), "{heavy}");
}

#[test]
fn dns_chooses_the_transport_but_not_whom_we_believe() {
    let reach = Reach::default().with(Transport::Udp, false).with(Transport::Tls, false);
    let reach = crate::base::ByRealm { trusted: reach, untrusted: reach };
    let mut router = Router::reaching(settings(), reach);
    let found = vec![
        srv("edge.carrier.example", "203.0.113.1:5061", Transport::Tls, 10, 1),
        srv("edge.carrier.example", "203.0.113.1:5060", Transport::Tcp, 20, 1),
        srv("edge.carrier.example", "[2001:db8::1]:5060", Transport::Udp, 20, 1),
    ];
    let found = Ok(Resolution::new(found, Duration::from_secs(60)));
    resolve(&mut router, &query("sip.example"), found, Instant::ZERO);
    let targets = router.all_targets(&"sinch".into());
    assert_eq!(targets.len(), 1, "what no listener leads to is none: {targets:?}");
    assert_eq!((targets[0].transport, targets[0].address.port()), (Transport::Tls, 5061));
    let sinch = router.settings().trunk(&"sinch".into()).unwrap();
    assert_eq!(sinch.server_name(&targets[0].host), "sip.example");
    assert_eq!(targets[0].identity, sinch.identity("sip.example"));
}

#[test]
fn names_are_asked_again_before_they_run_out_and_dead_dns_changes_nothing() {
    let mut router = Router::new(settings());
    let start = Instant::from_millis(1_000);
    assert_eq!(due(&mut router, start), ["backup.example", "sip.example"]);
    assert!(due(&mut router, start).is_empty(), "an answer is on its way");
    let (sip, backup) = (query("sip.example"), query("backup.example"));
    resolve(&mut router, &backup, answer(&["203.0.113.8"], 3_600), start);
    resolve(&mut router, &sip, answer(&["203.0.113.7"], 60), start);
    let refresh = router.next_due().unwrap().since(start);
    assert!((48..=54).contains(&refresh.as_secs()), "{refresh:?}");
    let mut now = start + refresh;
    for wait in [10, 20, 40, 60, 60] {
        assert_eq!(due(&mut router, now), ["sip.example"]);
        assert!(!resolve(&mut router, &sip, Err(ResolveFault::NoAnswer), now));
        assert_eq!(router.all_targets(&"sinch".into()).len(), 2, "the last good addresses serve on");
        let next = router.next_due().unwrap().since(now);
        assert!(next >= Duration::from_secs(wait) && next <= Duration::from_secs(wait) * 11 / 10, "{next:?}");
        now = now + next;
    }
    let report = router.hosts(now).pop().unwrap();
    assert_eq!((report.query, report.valid_for), (sip.clone(), Some(Duration::ZERO)));
    assert!(report.age.unwrap() > Duration::from_secs(180), "{:?}", report.age);
    assert_eq!(report.fault.map(|(fault, _)| fault), Some(ResolveFault::NoAnswer));
    // A TTL of 0 is no reason to storm.
    resolve(&mut router, &sip, answer(&["203.0.113.9"], 0), now);
    assert!(due(&mut router, now + Duration::from_secs(4)).is_empty());
    assert_eq!(router.hosts(now).pop().unwrap().fault, None);
}

#[test]
fn what_dns_promised_holds_for_its_ttl_and_a_name_that_never_was_has_nothing() {
    let mut router = Router::new(settings());
    let start = Instant::from_millis(1_000);
    let (sip, backup) = (query("sip.example"), query("backup.example"));
    let gone = Err(ResolveFault::NoSuchHost { valid_for: Duration::from_secs(600) });
    assert!(!resolve(&mut router, &backup, gone.clone(), start));
    resolve(&mut router, &sip, answer(&["203.0.113.7"], 60), start);
    due(&mut router, start + Duration::from_secs(54));
    let early = start + Duration::from_secs(54);
    assert!(!resolve(&mut router, &sip, gone.clone(), early));
    assert_eq!(router.all_targets(&"sinch".into()).len(), 1, "a zone that is broken for a moment");
    let late = start + Duration::from_secs(66);
    assert_eq!(due(&mut router, late), ["backup.example", "sip.example"]);
    assert!(resolve(&mut router, &sip, gone, late));
    assert!(router.is_unresolved(&"sinch".into()));
    assert_eq!(router.trunk_of_source(Realm::Untrusted, ip("203.0.113.7")), None);
}

#[test]
fn an_answer_got_round_a_silent_question_does_not_push_out_a_whole_one() {
    let mut router = Router::new(settings());
    let start = Instant::from_millis(1_000);
    let sip = query("sip.example");
    let partial = |address| Ok(Resolution { is_partial: true, ..answer(&[address], 300).unwrap() });
    let first = |router: &Router| router.all_targets(&"sinch".into())[0].address.ip().to_string();
    assert!(resolve(&mut router, &sip, partial("203.0.113.1"), start), "better than nothing");
    let soon = router.hosts(start).pop().unwrap();
    assert!(soon.is_partial);
    assert!(resolve(&mut router, &sip, answer(&["203.0.113.7"], 60), start));
    assert!(!resolve(&mut router, &sip, partial("203.0.113.1"), start + Duration::from_secs(50)));
    assert!(!resolve(&mut router, &sip, partial("203.0.113.1"), start + Duration::from_secs(3_600)));
    assert_eq!(first(&router), "203.0.113.7");
    assert!(resolve(&mut router, &sip, partial("203.0.113.1"), start + Duration::from_secs(3_660)));
    assert_eq!(first(&router), "203.0.113.1", "for ever would be too long");
}

#[test]
fn nobodys_address_is_taken_from_dns() {
    let mut router = Router::reaching(settings(), {
        let reach = Reach::default().with(Transport::Udp, false);
        crate::base::ByRealm { trusted: reach.with_loopback(), untrusted: reach }
    });
    let sip = query("sip.example");
    let found = answer(&["0.0.0.0", "127.0.0.1", "224.0.0.7", "255.255.255.255", "203.0.113.7"], 60);
    resolve(&mut router, &sip, found, Instant::ZERO);
    assert_eq!(router.addresses_of(&sip), [ip("203.0.113.7")]);
    assert!(!resolve(&mut router, &sip, answer(&["127.0.0.1"], 60), Instant::ZERO), "as if there were none");
    let report = router.hosts(Instant::ZERO).pop().unwrap();
    assert!(report.fault.is_some_and(|(fault, _)| fault.is_no_such_host()));
}

#[test]
fn a_reload_keeps_addresses_and_running_calls() {
    let mut router = Router::new(settings());
    resolve(&mut router, &query("sip.example"), answer(&["203.0.113.7"], 60), Instant::ZERO);
    let sinch = TrunkName::from("sinch");
    let vonage = TrunkName::from("vonage");
    router.limits().try_begin(&sinch, Instant::ZERO).unwrap();
    router.limits().try_begin(&vonage, Instant::ZERO).unwrap();
    let mut next = settings();
    next.trunks[1].limits.calls = Some(1);
    next.trunks.remove(2);
    router.replace(next);
    assert_eq!(router.all_targets(&sinch).len(), 1);
    assert_eq!(router.trunk_of_source(Realm::Untrusted, ip("203.0.113.7")), Some(&sinch));
    assert_eq!(router.limits().try_begin(&sinch, Instant::ZERO), Err(LimitReached::Calls));
    assert_eq!(router.limits().calls(&vonage), 1, "a removed trunk's call still runs");
    router.limits().end(&vonage);
    assert_eq!(router.limits().calls(&vonage), 0);
}

#[test]
fn an_operator_switches_a_trunk_until_its_key_changes() {
    let configured = settings();
    let mut router = Router::new(configured.clone());
    let (sinch, number) = (TrunkName::from("sinch"), Number::E164("+12027621401".into()));
    let pbx = from(Realm::Trusted, None);
    let second = Instant::from_millis(1_000);
    router.switch(&sinch, false, second);
    router.switch(&sinch, false, Instant::from_millis(2_000));
    assert_eq!(router.switched(&sinch), Some(Switched { enabled: false, since: second }));
    assert_eq!(chosen(&router, &pbx, &number), "us: vonage");
    // A reload that leaves the key as it was.
    let mut other = configured.clone();
    other.routes.remove(1);
    other.trunks[1].domain = "other.example".to_owned();
    router.replace(other);
    assert_eq!(chosen(&router, &pbx, &number), "us: vonage");
    router.switch(&sinch, true, second);
    assert_eq!(
        (router.switched(&sinch), chosen(&router, &pbx, &number).as_str()),
        (None, "us: sinch vonage")
    );
    // One that changes it has the last word, whichever way it was switched.
    let mut disabled = configured.clone();
    disabled.trunks[1].enabled = false;
    router.switch(&sinch, false, second);
    router.replace(disabled);
    assert_eq!(router.switched(&sinch), None);
    router.switch(&sinch, true, second);
    assert_eq!(chosen(&router, &pbx, &number), "us: sinch vonage");
    // What is gone is forgotten, and what never was is not kept.
    router.replace(Settings { trunks: vec![configured.trunks[0].clone()], ..Settings::default() });
    router.replace(configured);
    router.switch(&"nobody".into(), true, second);
    assert_eq!((router.switched(&sinch), router.switched(&"nobody".into())), (None, None));
}

#[test]
fn a_report_says_how_each_trunk_is() {
    let mut settings = settings();
    settings.trunks[2].limits.calls = Some(1);
    let mut router = Router::new(settings);
    let states = |router: &Router| {
        let reports = router.report(Instant::ZERO);
        let line = |report: &TrunkReport| {
            format!("{} {} {}", report.name, report.state().as_str(), report.targets.len())
        };
        reports.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(states(&router), "pbx new 1, sinch unresolved 0, vonage new 1");
    let found = answer(&["203.0.113.7", "203.0.113.8"], 60);
    resolve(&mut router, &query("sip.example"), found, Instant::ZERO);
    router.limits().begin_unlimited(&"vonage".into());
    router.switch(&"pbx".into(), false, Instant::ZERO);
    assert_eq!(states(&router), "pbx disabled 1, sinch new 2, vonage full 1");
    let reports = router.report(Instant::ZERO);
    assert!(reports[0].configured && !reports[0].is_enabled());
    let names: Vec<_> =
        reports[1].dns.iter().map(|host| (host.query.host.as_str(), host.endpoints.len())).collect();
    assert_eq!(names, [("sip.example", 2), ("backup.example", 0)]);
    assert_eq!(reports[1].targets[1].address.to_string(), "203.0.113.8:5060");
}

#[test]
fn a_reload_keeps_what_is_known_of_the_trunks_that_remain() {
    let mut router = Router::new(settings());
    resolve(&mut router, &query("sip.example"), answer(&["203.0.113.7"], 60), Instant::ZERO);
    for trunk in ["sinch", "vonage"] {
        router.limits().begin_unlimited(&trunk.into());
    }
    let mut other = settings();
    other.trunks[1].limits.calls = Some(7);
    other.trunks.remove(2);
    router.replace(other);
    let reports = router.report(Instant::ZERO);
    let lines: Vec<_> = reports.iter().map(|report| format!("{} {}", report.name, report.calls)).collect();
    assert_eq!(lines, ["pbx 0", "sinch 1"]);
    assert_eq!((reports[1].targets.len(), reports[1].limits.calls), (1, Some(7)));
    // Its call goes on and is counted until it ends; then nothing is left of it.
    assert_eq!(router.calls_of(&"vonage".into()), 1);
    router.limits().end(&"vonage".into());
    router.replace(settings());
    assert_eq!(router.calls_of(&"vonage".into()), 0);
}

// Whose a call is where two trunks have its source.

const SHARED: &str = "192.0.2.7";

fn to(patterns: &[&str]) -> TrunkMatch {
    let pattern = |text: &&str| match text.strip_suffix('*') {
        Some(stem) => prefix(stem),
        None => NumberPattern::Exact((*text).to_owned()),
    };
    TrunkMatch { to: Some(patterns.iter().map(pattern).collect()), ..TrunkMatch::default() }
}

fn of_domains(domains: &[&str]) -> TrunkMatch {
    TrunkMatch {
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        ..TrunkMatch::default()
    }
}

/// Trunks `a`, `b`, … that all have the same source.
fn sharing(matches: &[TrunkMatch]) -> Settings {
    let named = (b'a'..).zip(matches).map(|(letter, matching)| Trunk {
        matching: matching.clone(),
        domain: format!("{}.example", char::from(letter)),
        ..trunk(&char::from(letter).to_string(), Realm::Untrusted, &[SHARED], &[])
    });
    Settings { trunks: named.collect(), ..Settings::default() }
}

/// Whose a call is, or "nobody".
fn owner(router: &Router, source: &str, user: &str, hosts: &[&str]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let called = |_: &Trunk| (!user.is_empty()).then(|| Number::E164(user.to_owned()));
    let source = source.parse().unwrap();
    let facts = RequestFacts { source, user, hosts: &hosts, called: &called };
    router.trunk_of_request(Realm::Untrusted, &facts).map_or("nobody".to_owned(), ToString::to_string)
}

const FROM_SHARED: &str = "192.0.2.7:5060";

#[test]
fn trunks_of_one_source_are_told_apart_by_the_called_number() {
    let router =
        Router::new(sharing(&[TrunkMatch::default(), to(&["+1555*"]), to(&["+15551*", "+15552000000"])]));
    for (number, trunk) in [
        ("+15553000000", "b"),
        ("+15551000000", "c"),
        ("+15552000000", "c"),
        ("+15552000001", "b"),
        ("+442079460000", "a"),
        ("", "a"),
    ] {
        assert_eq!(owner(&router, FROM_SHARED, number, &[]), trunk, "{number}");
    }
    let closed = Router::new(sharing(&[to(&[]), to(&["+1555*"])]));
    assert_eq!(owner(&closed, FROM_SHARED, "+15553000000", &[]), "b");
    assert_eq!(owner(&closed, FROM_SHARED, "+442079460000", &[]), "nobody");
    // What has no number to look at is the first's, as every request but INVITE.
    assert_eq!(closed.trunk_of_source(Realm::Untrusted, ip(SHARED)), Some(&"a".into()));
}

#[test]
fn trunks_of_one_source_are_told_apart_by_domain_and_by_both() {
    let mut both = to(&["+1*"]);
    both.domains = vec!["eu.example".to_owned()];
    let router =
        Router::new(sharing(&[of_domains(&["eu.example"]), of_domains(&["us.example", "ca.example"]), both]));
    assert_eq!(owner(&router, FROM_SHARED, "+442079460000", &["203.0.113.5", "eu.example"]), "a");
    assert_eq!(owner(&router, FROM_SHARED, "+442079460000", &["ca.example"]), "b");
    assert_eq!(owner(&router, FROM_SHARED, "+15551000000", &["eu.example"]), "c");
    assert_eq!(owner(&router, FROM_SHARED, "+15551000000", &["203.0.113.5"]), "nobody");
    // Without any match, a trunk's own domain is a hint.
    let open = Router::new(sharing(&[TrunkMatch::default(), TrunkMatch::default()]));
    assert_eq!(owner(&open, FROM_SHARED, "+15551000000", &["b.example"]), "b");
    assert_eq!(owner(&open, FROM_SHARED, "+15551000000", &["x.example"]), "a");
}

#[test]
fn a_call_to_a_registered_contact_is_the_trunks_that_registered_it() {
    let registering = TrunkMatch { registration: true, ..TrunkMatch::default() };
    let mut router = Router::new(sharing(&[TrunkMatch::default(), registering, to(&["+1555*"])]));
    assert_eq!(owner(&router, FROM_SHARED, "k3x9", &[]), "a", "nothing is registered yet");
    router.set_registrations(&"b".into(), "k3x9", Vec::new());
    router.set_registrations(&"a".into(), "p0w2", Vec::new());
    assert_eq!(owner(&router, FROM_SHARED, "k3x9", &[]), "b");
    assert_eq!(owner(&router, FROM_SHARED, "p0w2", &[]), "a");
    assert_eq!(owner(&router, FROM_SHARED, "+15551000000", &[]), "c");
    router.replace(router.settings().clone());
    assert_eq!(owner(&router, FROM_SHARED, "k3x9", &[]), "b", "a reload forgets no registration");
    router.forget_registrations(&"b".into());
    assert_eq!(owner(&router, FROM_SHARED, "k3x9", &[]), "a");
}

#[test]
fn the_longest_prefix_comes_first_and_who_takes_no_such_call_lets_the_next_have_it() {
    let mut settings = sharing(&[to(&["+1555*"])]);
    settings.trunks.push(trunk("wide", Realm::Untrusted, &[], &["192.0.2.0/24"]));
    let router = Router::new(settings);
    assert_eq!(owner(&router, FROM_SHARED, "+15551000000", &[]), "a");
    assert_eq!(owner(&router, FROM_SHARED, "+442079460000", &[]), "wide");
    assert_eq!(owner(&router, "192.0.2.8:5060", "+15551000000", &[]), "wide");
    assert_eq!(owner(&router, "203.0.113.1:5060", "+15551000000", &[]), "nobody");
}

#[test]
fn trunks_at_one_address_are_told_apart_by_the_port_that_they_send_from() {
    let mut settings = sharing(&[TrunkMatch::default(), TrunkMatch::default()]);
    settings.trunks[1].hosts[0].port = Some(5_080);
    let found = ambiguities(&settings);
    assert_eq!((found.len(), found[0].by_port), (1, true));
    let router = Router::new(settings);
    for (source, trunk) in [(FROM_SHARED, "a"), ("192.0.2.7:5080", "b"), ("192.0.2.7:40000", "a")] {
        assert_eq!(owner(&router, source, "+15551000000", &[]), trunk, "{source}");
    }
}

#[test]
fn what_nothing_tells_apart_is_ambiguous_and_what_fits_better_is_not() {
    let is_ambiguous = |one: &TrunkMatch, other: &TrunkMatch| {
        let found = ambiguities(&sharing(&[one.clone(), other.clone()]));
        assert!(found.iter().all(|found| !found.by_port));
        !found.is_empty()
    };
    let open = TrunkMatch::default();
    let registering = TrunkMatch { registration: true, ..TrunkMatch::default() };
    let mut us_of_a = to(&["+1*"]);
    us_of_a.domains = vec!["a.example".to_owned()];
    for (one, other, expected) in [
        (&open, &open, true),
        (&open, &to(&["+1*"]), false),
        (&to(&["+1*"]), &to(&["+44*", "+1*"]), true),
        (&to(&["+1*"]), &to(&["+15*"]), false),
        (&to(&[]), &to(&[]), false),
        (&of_domains(&["a.example"]), &of_domains(&["b.example", "a.example"]), true),
        (&of_domains(&["a.example"]), &of_domains(&["b.example"]), false),
        (&us_of_a, &to(&["+1*"]), false),
        (&us_of_a, &us_of_a, true),
        (&registering, &registering, false),
        (&registering, &open, false),
    ] {
        assert_eq!(is_ambiguous(one, other), expected, "{one:?} {other:?}");
        assert_eq!(is_ambiguous(other, one), expected);
    }
    // Names that two trunks have are the same addresses, whatever they are.
    let mut names = sharing(&[TrunkMatch::default(), TrunkMatch::default()]);
    for trunk in &mut names.trunks {
        trunk.hosts[0].host = Host::Name("sip.example".to_owned());
    }
    assert_eq!(ambiguities(&names)[0].source.to_string(), "sip.example");
    names.trunks[1].realm = Realm::Trusted;
    assert!(ambiguities(&names).is_empty(), "another realm has other listeners");
}
