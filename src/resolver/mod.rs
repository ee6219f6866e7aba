//! DNS: A and AAAA look-ups with their TTLs, bounded in time (RFC 1035, 3596). What to do with an
//! answer, and with none, the core decides.
//!
//! Must not know: trunks.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::timeout;

use crate::routing::{Resolution, ResolveFault};

/// One query to one server waits so long.
const QUERY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A whole look-up, all servers and retries, takes no longer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(4);
/// Retries after a query that failed.
const RETRIES: usize = 1;
/// Answers kept; each is used until its TTL runs out.
const CACHED_ANSWERS: u64 = 1_024;

/// Which servers to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// In order; empty: those of the system's resolv.conf.
    pub nameservers: Vec<SocketAddr>,
}

/// No resolver could be made of the settings or of the system's configuration.
#[derive(Debug, thiserror::Error)]
#[error("no DNS resolver: {0}")]
pub struct SetupFault(#[from] NetError);

/// Looks names up. Clones share their cache. Names of /etc/hosts need no server.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(…)")
    }
}

impl Resolver {
    /// A resolver for the tokio runtime that it is used on.
    pub fn new(settings: &Settings) -> Result<Resolver, SetupFault> {
        let mut builder = if settings.nameservers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = settings.nameservers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = RETRIES;
        options.cache_size = CACHED_ANSWERS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        Ok(Resolver(builder.build()?))
    }

    /// The addresses of a host name, IPv4 and IPv6.
    pub async fn resolve(&self, host: &str) -> Result<Resolution, ResolveFault> {
        // A name with a dot is whole: the final dot says so, and the system's search list, which
        // could lead it elsewhere, does not apply.
        let whole = host.contains('.') && !host.ends_with('.');
        let host = if whole { format!("{host}.") } else { host.to_owned() };
        match timeout(LOOKUP_TIMEOUT, self.0.lookup_ip(host)).await {
            Ok(Ok(answer)) => resolution(&answer),
            Ok(Err(error)) => Err(fault(&error)),
            Err(_elapsed) => Err(ResolveFault::NoAnswer),
        }
    }
}

fn resolution(answer: &LookupIp) -> Result<Resolution, ResolveFault> {
    let addresses: Vec<_> = answer.iter().collect();
    let valid_for = answer.valid_until().saturating_duration_since(now());
    if addresses.is_empty() { Err(ResolveFault::NoSuchHost) } else { Ok(Resolution { addresses, valid_for }) }
}

fn fault(error: &NetError) -> ResolveFault {
    // `NoRecordsFound` comes of NXDOMAIN and of NOERROR without a record alone (RFC 2308 §2); a
    // refusal, a failure or silence of the servers says nothing about the host.
    if error.is_no_records_found() { ResolveFault::NoSuchHost } else { ResolveFault::NoAnswer }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections)
}

/// hickory says until when an answer is valid on the clock it read itself.
#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    /// Answers every A query with 192.0.2.7 for 77 s, AAAA with nothing, and names under
    /// `nowhere.` with NXDOMAIN; `silent.` gets no answer.
    async fn serve(socket: tokio::net::UdpSocket) {
        let mut query = [0u8; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let question_end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            let name = String::from_utf8_lossy(&query[12..question_end]).to_lowercase();
            if name.contains("silent") {
                continue;
            }
            let is_a = query[question_end - 3] == 1;
            let known = !name.contains("nowhere");
            let mut answer = query[..2].to_vec();
            answer.extend([
                0x81,
                if known { 0x80 } else { 0x83 },
                0,
                1,
                0,
                u8::from(known && is_a),
                0,
                0,
                0,
                0,
            ]);
            answer.extend(&query[12..question_end]);
            if known && is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 77, 0, 4, 192, 0, 2, 7]);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    async fn resolver() -> Resolver {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nameservers = vec![socket.local_addr().unwrap()];
        tokio::spawn(serve(socket));
        Resolver::new(&Settings { nameservers }).unwrap()
    }

    #[tokio::test]
    async fn an_answer_comes_with_its_time_to_live() {
        let found = resolver().await.resolve("sip.example").await.unwrap();
        assert_eq!(found.addresses, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert!(found.valid_for > Duration::from_secs(70) && found.valid_for <= Duration::from_secs(77));
    }

    #[tokio::test]
    async fn no_such_host_and_no_answer_are_two_things() {
        let resolver = resolver().await;
        assert_eq!(resolver.resolve("sip.nowhere").await, Err(ResolveFault::NoSuchHost));
        assert_eq!(resolver.resolve("sip.silent").await, Err(ResolveFault::NoAnswer));
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let found = Resolver::new(&Settings::default()).unwrap().resolve("localhost").await.unwrap();
        assert!(found.addresses.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
