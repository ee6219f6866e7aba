//! RFC 3263 against a name server in this process.

mod nameserver;

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType::{A, AAAA, NAPTR, SRV};

use self::nameserver::NameServer;
use super::*;
use crate::base::Transport;

const HOST: &str = "sip.example";

/// How long a silent server is waited for here.
const PATIENCE: Duration = Duration::from_millis(400);

fn resolver_of(servers: &[&NameServer]) -> Resolver {
    let servers: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    Resolver(Servers::new(&servers, PATIENCE).unwrap())
}

async fn lab() -> (NameServer, Resolver) {
    let server = NameServer::start().await;
    let resolver = resolver_of(&[&server]);
    (server, resolver)
}

fn host() -> Query {
    Query::new(HOST, None, None)
}

/// UDP, TCP and TLS over IPv4.
fn v4() -> Reach {
    [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .fold(Reach::default(), |reach, transport| reach.with(transport, false))
}

/// `PRIORITY WEIGHT ADDRESS TRANSPORT HOST`, a line an endpoint.
fn told(resolution: &Resolution) -> Vec<String> {
    let line = |endpoint: &crate::routing::Endpoint| {
        let crate::routing::Endpoint { host, address, transport, priority, weight } = endpoint;
        format!("{priority} {weight} {address} {transport} {host}")
    };
    resolution.endpoints.iter().map(line).collect()
}

async fn resolved(resolver: &Resolver, query: &Query, reach: Reach) -> Vec<String> {
    told(&resolver.resolve(query, reach).await.unwrap())
}

fn seconds(from: u64, to: u64, duration: Duration) -> bool {
    duration > Duration::from_secs(from) && duration <= Duration::from_secs(to)
}

#[tokio::test]
async fn naptr_chooses_the_service_srv_the_targets_and_the_smallest_ttl_counts() {
    let (server, resolver) = lab().await;
    server
        .naptr(HOST, "20 10 s SIP+D2U _sip._udp.sip.example", 900)
        .naptr(HOST, "10 20 s SIP+D2T _sip._tcp.pool.example", 900)
        .naptr(HOST, "10 10 S sips+d2t _sips._tcp.pool.example", 900)
        .naptr(HOST, "5 10 s SIP+D2S _sip._sctp.sip.example", 900)
        .naptr(HOST, "5 10 u SIP+D2U _sip._udp.wrong.example", 900)
        .srv("_sips._tcp.pool.example", "20 0 5061 b.example", 600)
        .srv("_sips._tcp.pool.example", "10 60 5061 a.example", 600)
        .a("a.example", "192.0.2.1", 77)
        .a("a.example", "192.0.2.2", 77)
        .a("b.example", "192.0.2.3", 300);
    let found = resolver.resolve(&host(), v4()).await.unwrap();
    assert_eq!(
        told(&found),
        [
            "10 60 192.0.2.1:5061 tls a.example",
            "10 60 192.0.2.2:5061 tls a.example",
            "20 0 192.0.2.3:5061 tls b.example"
        ]
    );
    assert!(seconds(70, 77, found.valid_for), "{found:?}");
    assert!(!found.is_partial);
    let asked = ["NAPTR sip.example", "SRV _sips._tcp.pool.example", "A a.example", "A b.example"];
    let mut seen = server.asked();
    seen[2..].sort();
    assert_eq!(seen, asked);
}

#[tokio::test]
async fn a_transport_without_a_listener_is_not_chosen() {
    let (server, resolver) = lab().await;
    server
        .naptr(HOST, "10 10 s SIPS+D2T _sips._tcp.sip.example", 900)
        .naptr(HOST, "20 10 s SIP+D2U _sip._udp.sip.example", 900)
        .srv("_sip._udp.sip.example", "10 60 5070 a.example", 600)
        .a("a.example", "192.0.2.1", 60)
        .aaaa("a.example", "2001:db8::1", 60);
    let udp = Reach::default().with(Transport::Udp, false).with(Transport::Udp, true);
    assert_eq!(
        resolved(&resolver, &host(), udp).await,
        ["10 60 192.0.2.1:5070 udp a.example", "10 60 [2001:db8::1]:5070 udp a.example"]
    );
}

#[tokio::test]
async fn without_naptr_every_transport_is_asked_for_and_udp_comes_first() {
    let (server, resolver) = lab().await;
    server
        .srv("_sips._tcp.sip.example", "10 60 5061 a.example", 600)
        .srv("_sip._tcp.sip.example", "10 60 5060 a.example", 600)
        .a("a.example", "192.0.2.1", 60);
    assert_eq!(resolved(&resolver, &host(), v4()).await, ["10 60 192.0.2.1:5060 tcp a.example"]);
    server.srv("_sip._udp.sip.example", "1 1 5099 a.example", 600);
    assert_eq!(resolved(&resolver, &host(), v4()).await, ["1 1 192.0.2.1:5099 udp a.example"]);
    let tls = Query::new(HOST, None, Some(Transport::Tls));
    server.asked();
    assert_eq!(resolved(&resolver, &tls, v4()).await, ["10 60 192.0.2.1:5061 tls a.example"]);
    assert_eq!(server.asked(), ["SRV _sips._tcp.sip.example", "A a.example"], "no NAPTR");
}

#[tokio::test]
async fn without_srv_the_host_itself_is_called_and_a_port_asks_for_nothing_else() {
    let (server, resolver) = lab().await;
    server.a(HOST, "192.0.2.7", 77).no_data(HOST, NAPTR, Some(3_600)).no_data(HOST, AAAA, Some(1));
    let found = resolver.resolve(&host(), Reach::ALL).await.unwrap();
    assert_eq!(told(&found), ["0 0 192.0.2.7:5060 udp sip.example"]);
    assert!(seconds(70, 77, found.valid_for), "a family that is missing is no news: {found:?}");
    server.asked();
    let tls = Query::new(HOST, None, Some(Transport::Tls));
    assert_eq!(resolved(&resolver, &tls, v4()).await, ["0 0 192.0.2.7:5061 tls sip.example"]);
    server.asked();
    let query = Query::new(HOST, Some(5080), None);
    assert_eq!(resolved(&resolver, &query, v4()).await, ["0 0 192.0.2.7:5080 udp sip.example"]);
    assert_eq!(server.asked(), ["A sip.example"]);
    let numeric = Query::new("192.0.2.9", None, Some(Transport::Tls));
    assert_eq!(resolved(&resolver, &numeric, v4()).await, ["0 0 192.0.2.9:5061 tls 192.0.2.9"]);
    assert!(server.asked().is_empty());
}

/// RFC 2782: "A Target of "." means that the service is decidedly not available at this domain."
#[tokio::test]
async fn a_service_that_is_not_offered_is_not_looked_for_elsewhere() {
    let (server, resolver) = lab().await;
    server.srv("_sip._udp.sip.example", "0 0 0 .", 600).a(HOST, "192.0.2.7", 77);
    let none = resolver.resolve(&host(), v4()).await.unwrap_err();
    assert!(none.is_no_such_host(), "{none:?}");
    server.srv("_sip._tcp.sip.example", "1 1 5060 sip.example", 600);
    assert_eq!(resolved(&resolver, &host(), v4()).await, ["1 1 192.0.2.7:5060 tcp sip.example"]);
}

#[tokio::test]
async fn no_such_host_says_for_how_long_and_no_answer_is_another_thing() {
    let (server, resolver) = lab().await;
    server.nxdomain(HOST, A, Some(25));
    let none = resolver.resolve(&host(), v4()).await;
    assert_eq!(none, Err(ResolveFault::NoSuchHost { valid_for: Duration::from_secs(25) }));
    server.fail(HOST, A);
    assert_eq!(resolver.resolve(&host(), v4()).await, Err(ResolveFault::NoAnswer));
    server.refuse(HOST, A);
    assert_eq!(resolver.resolve(&host(), v4()).await, Err(ResolveFault::NoAnswer));
    // One target of two is nowhere, of the other nothing is known.
    server
        .srv("_sip._udp.sip.example", "1 1 5060 gone.example", 60)
        .srv("_sip._udp.sip.example", "1 1 5060 dark.example", 60)
        .fail("dark.example", A);
    assert_eq!(resolver.resolve(&host(), v4()).await, Err(ResolveFault::NoAnswer));
}

/// opensips 3285, freeswitch 870: one refusing resolver ended it all.
#[tokio::test]
async fn a_refused_or_silent_question_on_the_way_is_got_round_and_told() {
    let (server, resolver) = lab().await;
    server.refuse(HOST, NAPTR).fail("_sip._udp.sip.example", SRV).refuse("_sip._tcp.sip.example", SRV).a(
        HOST,
        "192.0.2.7",
        77,
    );
    let found = resolver.resolve(&host(), v4()).await.unwrap();
    assert_eq!(told(&found), ["0 0 192.0.2.7:5060 udp sip.example"]);
    assert!(found.is_partial);
    // NAPTR said TLS: that its SRV is refused does not take the call to UDP.
    server
        .forget(HOST, NAPTR)
        .naptr(HOST, "10 10 s SIPS+D2T _sips._tcp.sip.example", 900)
        .naptr(HOST, "20 10 s SIP+D2U _sip._udp.sip.example", 900)
        .refuse("_sips._tcp.sip.example", SRV);
    let found = resolver.resolve(&host(), v4()).await.unwrap();
    assert_eq!(
        (told(&found), found.is_partial),
        (vec!["0 0 192.0.2.7:5061 tls sip.example".to_owned()], true)
    );
}

#[tokio::test]
async fn the_next_name_server_is_asked_after_a_refusal_a_failure_and_silence() {
    let (good, bad) = (NameServer::start().await, NameServer::start().await);
    good.a(HOST, "192.0.2.7", 77);
    let query = Query::new(HOST, Some(5060), None);
    bad.refuse(HOST, A);
    assert_eq!(resolved(&resolver_of(&[&bad, &good]), &query, v4()).await.len(), 1);
    bad.fail(HOST, A);
    assert_eq!(resolved(&resolver_of(&[&bad, &good]), &query, v4()).await.len(), 1);
    bad.ignore(HOST, A);
    let resolver = resolver_of(&[&bad, &good]);
    assert_eq!(resolved(&resolver, &query, v4()).await.len(), 1);
    bad.asked();
    assert_eq!(resolved(&resolver, &query, v4()).await.len(), 1);
    assert!(bad.asked().is_empty(), "the one that answers is asked first from now on");
    bad.nxdomain(HOST, A, None);
    assert!(resolver_of(&[&bad, &good]).resolve(&query, v4()).await.is_err(), "a denial is an answer");
}

#[tokio::test]
async fn the_last_of_many_name_servers_has_its_turn() {
    let (good, dead) = (NameServer::start().await, NameServer::start().await);
    good.a(HOST, "192.0.2.7", 77);
    dead.ignore(HOST, A);
    let resolver = resolver_of(&[&dead, &dead, &dead, &good]);
    assert_eq!(resolved(&resolver, &Query::new(HOST, Some(5060), None), v4()).await.len(), 1);
}

#[tokio::test]
async fn each_step_is_told_with_its_time() {
    let (server, resolver) = lab().await;
    server.srv("_sip._udp.sip.example", "1 2 5060 a.example", 600).a("a.example", "192.0.2.1", 60);
    server.refuse(HOST, NAPTR);
    let reach = Reach::default().with(Transport::Udp, false);
    let walk = resolver.walk(&host(), reach).await;
    let steps: Vec<String> = walk
        .steps
        .iter()
        .map(|step| match &step.result {
            Ok(answer) => format!("{}: {}", step.question, answer.records.join(", ")),
            Err(fault) => format!("{}: {fault}", step.question),
        })
        .collect();
    assert_eq!(
        steps,
        [
            "NAPTR sip.example: refused by the name server (REFUSED)",
            "SRV _sip._udp.sip.example: 1 2 5060 a.example.",
            "A a.example: 192.0.2.1"
        ]
    );
    assert!(walk.steps.iter().all(|step| step.took > Duration::ZERO));
    assert!(walk.resolution.unwrap().is_partial);
}

#[tokio::test]
async fn silence_is_waited_for_a_bounded_time_and_told_of_each_question() {
    let (server, resolver) = lab().await;
    for kind in [NAPTR, A, AAAA] {
        server.ignore(HOST, kind);
    }
    for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
        server.ignore(&format!("{service}.{HOST}"), SRV);
    }
    let walk = resolver.walk(&host(), v4()).await;
    assert_eq!(walk.resolution, Err(ResolveFault::NoAnswer));
    assert_eq!(walk.steps.len(), 5, "{:?}", walk.steps);
    assert!(walk.steps.iter().all(|step| step.result == Err(QuestionFault::Silence)));
    let longest = walk.steps.iter().map(|step| step.took).max().unwrap();
    assert!(longest < 4 * PATIENCE, "{longest:?}");
}

#[tokio::test]
async fn an_answer_too_large_for_a_datagram_comes_by_tcp() {
    let (server, resolver) = lab().await;
    let records: Vec<String> = (0..40).map(|at| format!("{at} 1 5060 a.example")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    server.truncated_srv("_sip._udp.sip.example", &records).a("a.example", "192.0.2.1", 60);
    let found = resolved(&resolver, &host(), v4()).await;
    assert_eq!(found.len(), 32, "no more targets are used");
    assert_eq!(found[31], "31 1 192.0.2.1:5060 udp a.example");
}

#[tokio::test]
async fn aliases_are_followed_and_nothing_is_kept_beyond_the_answer() {
    let (server, resolver) = lab().await;
    server.cname(HOST, "a.example", 600).a("a.example", "192.0.2.1", 60);
    assert_eq!(resolved(&resolver, &host(), v4()).await, ["0 0 192.0.2.1:5060 udp sip.example"]);
    server.forget("a.example", A).a("a.example", "192.0.2.2", 60);
    assert_eq!(resolved(&resolver, &host(), v4()).await, ["0 0 192.0.2.2:5060 udp sip.example"]);
    server.forget("a.example", A).cname("a.example", HOST, 60);
    assert!(resolver.resolve(&host(), v4()).await.is_err(), "aliases in a circle");
}

#[tokio::test]
async fn localhost_needs_no_server() {
    let (server, resolver) = lab().await;
    let found = resolver.resolve(&Query::new("localhost", None, None), Reach::ALL).await.unwrap();
    assert!(found.endpoints.iter().all(|endpoint| endpoint.address.ip().is_loopback()), "{found:?}");
    assert!(server.asked().is_empty());
    Resolver::new(&Settings::default()).expect("the system's resolv.conf can be read");
}
