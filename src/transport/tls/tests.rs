//! TLS on both sides of a connection to ourselves, with certificates made for the test.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::super::{Arrival, Transports, Unsent, bind};
use super::*;
use crate::admission::DropReason;
use crate::base::{Hop, Transport};

const PATIENCE: Duration = Duration::from_secs(10);

/// An authority and a directory for what it signs, gone with the test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let directory = std::env::temp_dir().join(format!("drawbridge-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { issuer, directory };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    /// A certificate for this name, and its key.
    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = self.write(&format!("{name}.key"), &key.serialize_pem());
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        (self.write(&format!("{name}.pem"), &certificate.pem()), key)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn server(&self, name: &str, client_ca: Option<PathBuf>) -> ServerTls {
        let (certificate, key) = self.sign(name);
        ServerTls::load(&ServerFiles { certificate, key, client_ca }).unwrap()
    }

    fn client(&self, own: Option<&str>) -> ClientTls {
        let own = own.map(|name| self.sign(name));
        ClientTls::load(&ClientFiles { ca: Some(self.ca()), own, verify: true }).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One TLS listener that talks to itself.
struct Stage {
    transports: Transports,
    address: SocketAddr,
}

impl Stage {
    fn new() -> Stage {
        let bound = bind(Transport::Tls, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.address;
        Stage { transports: Transports::open(vec![bound]).unwrap(), address }
    }

    fn show(&mut self, server: ServerTls, clients: &[(u64, ClientTls, &str)]) {
        let clients = clients
            .iter()
            .map(|(identity, client, name)| (PeerIdentity(*identity), (client.clone(), (*name).to_owned())));
        let servers = HashMap::from([(ListenerId(0), server)]);
        self.transports.set_tls(TlsMaterial { servers, clients: clients.collect() });
    }

    fn hop(&self, identity: u64) -> Hop {
        Hop { identity: PeerIdentity(identity), ..Hop::new(ListenerId(0), Transport::Tls, self.address) }
    }

    /// Sends a message to ourselves: whether it arrived, or was lost and what else was counted.
    async fn send(&mut self, identity: u64) -> Result<Hop, Option<DropReason>> {
        let (hop, text) = (self.hop(identity), message(identity));
        self.transports.send(hop, Bytes::from(text.clone())).unwrap();
        let (mut dropped, mut is_lost) = (None, false);
        loop {
            for arrival in self.arrivals().await {
                match arrival {
                    Arrival::Connected { hop } => self.transports.begin(hop),
                    Arrival::Message { hop, bytes } if bytes == text => return Ok(hop),
                    Arrival::Dropped { reason, .. } => dropped = Some(reason),
                    Arrival::Lost { hop: lost } => is_lost |= lost == hop,
                    other => panic!("{other:?}"),
                }
            }
            if is_lost && self.transports.connections().all(|(_, _, count)| count == 0) {
                return Err(dropped);
            }
        }
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while arrivals.is_empty() {
            let ready = poll_fn(|cx| self.transports.poll_ready(cx));
            tokio::time::timeout(PATIENCE, ready).await.expect("something arrives");
            self.transports.turn(&mut arrivals);
        }
        arrivals
    }

    fn count(&self) -> usize {
        self.transports.connections().map(|(_, _, count)| count).sum()
    }
}

fn message(number: u64) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK{number}\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn a_verified_connection_is_used_again_and_for_no_other_name() {
    let authority = Authority::new("names");
    let mut stage = Stage::new();
    let client = authority.client(None);
    let clients = [(1, client.clone(), "sbc.example"), (2, client, "127.0.0.1")];
    stage.show(authority.server("sbc.example", None), &clients);
    let first = stage.send(1).await.unwrap();
    assert_eq!(stage.send(1).await, Ok(first));
    assert_eq!(stage.count(), 2, "both ends of one connection");
    // Another name at the same address: the living connection is none for it.
    stage.transports.send(stage.hop(2), Bytes::from(message(2))).unwrap();
    loop {
        let arrivals = stage.arrivals().await;
        for arrival in &arrivals {
            match arrival {
                Arrival::Connected { hop } => stage.transports.begin(*hop),
                Arrival::Message { .. } => panic!("it went to somebody else"),
                _ => {}
            }
        }
        if arrivals.contains(&Arrival::Lost { hop: stage.hop(2) }) {
            break;
        }
    }
    assert_eq!(stage.send(1).await, Ok(first));
    // Nor is there one without a name.
    assert_eq!(stage.transports.send(stage.hop(0), Bytes::new()), Err(Unsent::Disconnected));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_unless_somebody_wrote_so() {
    let (theirs, ours) = (Authority::new("theirs"), Authority::new("ours"));
    let mut stage = Stage::new();
    let anybody = ClientTls::load(&ClientFiles { ca: None, own: None, verify: false }).unwrap();
    let clients = [(1, ours.client(None), "sbc.example"), (2, anybody, "sbc.example")];
    stage.show(theirs.server("sbc.example", None), &clients);
    assert_eq!(stage.send(1).await, Err(Some(DropReason::TlsHandshake)));
    stage.send(2).await.unwrap();
}

#[tokio::test]
async fn a_listener_with_a_client_ca_takes_its_certificates_alone() {
    let (authority, stranger) = (Authority::new("mutual"), Authority::new("stranger"));
    let mut stage = Stage::new();
    // It trusts the server, and shows what somebody else has signed.
    let (certificate, key) = stranger.sign("carrier.example");
    let odd = ClientFiles { ca: Some(authority.ca()), own: Some((certificate, key)), verify: true };
    let clients = [
        (1, authority.client(Some("carrier.example")), "sbc.example"),
        (2, authority.client(None), "sbc.example"),
        (3, ClientTls::load(&odd).unwrap(), "sbc.example"),
    ];
    stage.show(authority.server("sbc.example", Some(authority.ca())), &clients);
    assert_eq!(stage.send(2).await, Err(Some(DropReason::TlsHandshake)));
    assert_eq!(stage.send(3).await, Err(Some(DropReason::TlsHandshake)));
    stage.send(1).await.unwrap();
}

/// As `openssl req -x509` makes them.
#[tokio::test]
async fn a_certificate_that_calls_itself_an_authority_is_trusted_where_it_is_written() {
    let authority = Authority::new("pinned");
    let make = |name: &str, days: i64| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = params.not_before + Duration::from_secs(86_400) * u32::try_from(days).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            authority.write(&format!("{name}.{days}.pem"), &params.self_signed(&key).unwrap().pem());
        (certificate, authority.write(&format!("{name}.{days}.key"), &key.serialize_pem()))
    };
    let (sbc, carrier, other) =
        (make("sbc.example", 50_000), make("carrier.example", 50_000), make("other.example", 50_000));
    let old = make("old.example", 30);
    let mut stage = Stage::new();
    let client = |ca: &PathBuf, own: &(PathBuf, PathBuf)| {
        ClientTls::load(&ClientFiles { ca: Some(ca.clone()), own: Some(own.clone()), verify: true }).unwrap()
    };
    let everybody = [&carrier.0, &old.0].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    let client_ca = Some(authority.write("clients.pem", &everybody));
    let clients = [
        (1, client(&sbc.0, &carrier), "sbc.example"),
        (2, client(&sbc.0, &carrier), "carrier.example"),
        (3, client(&sbc.0, &other), "sbc.example"),
        (4, client(&sbc.0, &old), "sbc.example"),
        (5, client(&other.0, &carrier), "sbc.example"),
    ];
    let server = ServerFiles { certificate: sbc.0.clone(), key: sbc.1.clone(), client_ca };
    stage.show(ServerTls::load(&server).unwrap(), &clients);
    stage.send(1).await.unwrap();
    let mut stage = Stage::new();
    stage.show(ServerTls::load(&server).unwrap(), &clients);
    // Another name, another's certificate, one that is over, and a server that is not the one that was written.
    for identity in 2..=5 {
        assert_eq!(stage.send(identity).await, Err(Some(DropReason::TlsHandshake)), "{identity}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_old_ones_live_on() {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let mut stage = Stage::new();
    let clients = [(1, before.client(None), "sbc.example"), (2, after.client(None), "sbc.example")];
    stage.show(before.server("sbc.example", None), &clients);
    let old = stage.send(1).await.unwrap();
    stage.show(after.server("sbc.example", None), &clients);
    let new = stage.send(2).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(stage.send(1).await, Ok(old));
}

#[test]
fn a_file_that_is_of_no_use_is_named_with_its_cure() {
    let authority = Authority::new("faults");
    let (certificate, key) = authority.sign("a.example");
    let (_, other_key) = authority.sign("b.example");
    let files = |certificate: &PathBuf, key: &PathBuf| ServerFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: None,
    };
    let fault = |files: &ServerFiles| ServerTls::load(files).unwrap_err();
    let missing = authority.ca().with_file_name("none.pem");
    let found = fault(&files(&missing, &key));
    assert_eq!(found.key, "certificate");
    assert!(found.message.contains("none.pem cannot be read: No such file"), "{}", found.message);
    let found = fault(&files(&certificate, &other_key));
    assert_eq!((found.key, found.message.as_str()), ("key", "the key is not that of the certificate"));
    assert!(fault(&files(&key, &key)).message.ends_with("holds no certificate"));
    assert!(fault(&files(&certificate, &certificate)).message.ends_with("holds no private key"));
    assert!(fault(&files(&PathBuf::from("/dev/zero"), &key)).message.ends_with("no regular file"));
    let odd = ServerFiles { client_ca: Some(key.clone()), ..files(&certificate, &key) };
    assert_eq!(fault(&odd).key, "client_ca");
}

#[test]
fn a_key_that_everybody_may_read_is_noticed() {
    let authority = Authority::new("exposed");
    let (certificate, key) = authority.sign("a.example");
    let files = ServerFiles { certificate, key, client_ca: None };
    assert!(!ServerTls::load(&files).unwrap().exposed_key);
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ServerTls::load(&files).unwrap().exposed_key);
}

#[tokio::test]
async fn a_connection_that_no_certificate_can_be_shown_to_is_told_as_lost() {
    let mut stage = Stage::new();
    let peer = TcpStream::connect(stage.address).await.unwrap();
    let hop = Hop::new(ListenerId(0), Transport::Tls, peer.local_addr().unwrap());
    assert_eq!(stage.arrivals().await, [Arrival::Connected { hop }]);
    stage.transports.begin(hop);
    assert_eq!(stage.arrivals().await, [Arrival::Lost { hop }]);
    assert_eq!(stage.count(), 0);
}
