//! One question to the name servers, through hickory: one server after the other, since the refusal
//! of one says nothing about what the next knows.
//!
//! Must not know: SIP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use super::SetupFault;

/// One server is given so long for one question, and less if there are more than `ROUNDS`.
pub const QUERY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Each server is asked so often at most: again only if one was silent.
pub(super) const ROUNDS: usize = 2;
/// More servers are not asked.
const MAX_SERVERS: usize = 8;
/// So many records of one answer are looked at.
pub(super) const MAX_RECORDS: usize = 64;

/// The records of an answer.
#[derive(Clone, Debug)]
pub(super) struct Records {
    /// At most [`MAX_RECORDS`], those asked for alone.
    pub(super) data: Vec<RData>,
    /// The smallest TTL.
    pub(super) valid_for: Duration,
}

/// Why a question has no records for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QuestionFault {
    /// RFC 2308 §2.1.
    #[error("no such name (NXDOMAIN)")]
    NoSuchName {
        /// How long that is so, if the answer said.
        valid_for: Option<Duration>,
    },
    /// RFC 2308 §2.2.
    #[error("no such record")]
    NoRecords {
        /// How long that is so, if the answer said.
        valid_for: Option<Duration>,
    },
    /// Every name server that answered would not say.
    #[error("refused by the name server (REFUSED)")]
    Refused,
    /// Every name server that answered could not say.
    #[error("failure of the name server (SERVFAIL)")]
    Failed,
    /// Another error, or an answer that could not be read.
    #[error("no usable answer from the name server")]
    Unusable,
    /// Silence.
    #[error("no answer from the name server in time")]
    Silence,
}

impl QuestionFault {
    /// Whether DNS said that there is nothing, rather than nothing.
    pub const fn is_denial(self) -> bool {
        matches!(self, QuestionFault::NoSuchName { .. } | QuestionFault::NoRecords { .. })
    }

    /// How long a denial holds, if it said.
    pub const fn valid_for(self) -> Option<Duration> {
        match self {
            QuestionFault::NoSuchName { valid_for } | QuestionFault::NoRecords { valid_for } => valid_for,
            _ => None,
        }
    }
}

/// The name servers. Clones share what they know of each other.
#[derive(Clone)]
pub(super) struct Servers {
    servers: Arc<[TokioResolver]>,
    /// The one that answered last is asked first: one that is dead costs its patience once.
    preferred: Arc<AtomicUsize>,
    /// [`QUERY_TIMEOUT`], but for tests.
    patience: Duration,
}

impl Servers {
    pub(super) fn new(nameservers: &[SocketAddr], patience: Duration) -> Result<Servers, SetupFault> {
        let (config, mut options) = if nameservers.is_empty() {
            read_system_conf()?
        } else {
            let servers = nameservers.iter().map(|server| name_server(*server)).collect();
            (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
        };
        options.timeout = patience;
        // hickory's own failover takes the first refusal for the answer.
        options.attempts = 0;
        // A cached answer would come back when it is asked for again before it runs out.
        options.cache_size = 0;
        options.preserve_intermediates = false;
        let one_alone = |server: &NameServerConfig| {
            let mut config = config.clone();
            config.name_servers = vec![server.clone()];
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options.clone();
            builder.build()
        };
        let servers: Result<Vec<TokioResolver>, NetError> =
            config.name_servers.iter().take(MAX_SERVERS).map(one_alone).collect();
        Ok(Servers { servers: servers?.into(), preferred: Arc::default(), patience })
    }

    /// The records of one kind of a name, CNAMEs followed. All servers together take no longer than a
    /// single one might.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Records, QuestionFault> {
        let patience = self.patience * ROUNDS as u32;
        timeout(patience, self.ask_each(name, kind)).await.unwrap_or(Err(QuestionFault::Silence))
    }

    async fn ask_each(&self, name: &Name, kind: RecordType) -> Result<Records, QuestionFault> {
        // All are to have their turn within the time of the whole.
        let turns = u32::try_from(self.servers.len().max(ROUNDS)).unwrap_or(u32::MAX);
        let patience = self.patience * ROUNDS as u32 / turns;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut worst = QuestionFault::Silence;
        for _ in 0..ROUNDS {
            let mut was_silent = false;
            for offset in 0..self.servers.len() {
                let at = (first + offset) % self.servers.len();
                let Some(server) = self.servers.get(at) else { continue };
                let answer = ask_one(server, name, kind, patience).await;
                match answer {
                    Err(QuestionFault::Silence) => was_silent = true,
                    Err(fault) if !fault.is_denial() => worst = fault,
                    Ok(_) | Err(_) => {
                        self.preferred.store(at, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
            if !was_silent {
                break;
            }
        }
        Err(worst)
    }
}

async fn ask_one(
    server: &TokioResolver,
    name: &Name,
    kind: RecordType,
    patience: Duration,
) -> Result<Records, QuestionFault> {
    let answer = timeout(patience, server.lookup(name.clone(), kind)).await;
    let answer = answer.map_err(|_elapsed| QuestionFault::Silence)?;
    let answer = answer.map_err(|error| fault(&error))?;
    let of_kind = answer.answers().iter().filter(|record| record.record_type() == kind);
    let data: Vec<RData> = of_kind.take(MAX_RECORDS).map(|record| record.data.clone()).collect();
    if data.is_empty() {
        return Err(QuestionFault::NoRecords { valid_for: None });
    }
    Ok(Records { data, valid_for: answer.valid_until().saturating_duration_since(now()) })
}

fn fault(error: &NetError) -> QuestionFault {
    match error {
        // Of NXDOMAIN and of NOERROR without a record alone (RFC 2308 §2); a refusal, a failure or
        // silence of the servers says nothing about the name.
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let valid_for = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
            if error.is_nx_domain() {
                QuestionFault::NoSuchName { valid_for }
            } else {
                QuestionFault::NoRecords { valid_for }
            }
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => QuestionFault::Refused,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => QuestionFault::Failed,
        // A port that nobody listens at, or no way there.
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) | NetError::Busy => {
            QuestionFault::Silence
        }
        _ => QuestionFault::Unusable,
    }
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
pub(super) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
