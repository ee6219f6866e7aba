//! Calls over TCP and TLS through the real daemon, and its certificate swapped while one goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(50);
/// Looks until patience ends.
const LOOKS: u32 = 400;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key, as PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (certificate.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

/// The daemon with a TCP listener for the PBX and a TLS listener for the carrier; both peers listen.
struct Site {
    directory: PathBuf,
    trusted: SocketAddr,
    untrusted: SocketAddr,
    admin: SocketAddr,
    pbx: TcpListener,
    carrier: TcpListener,
    child: Option<Child>,
}

impl Site {
    /// The carrier's certificate must be of this authority.
    fn start(name: &str, authority: &Authority) -> Site {
        let directory =
            std::env::temp_dir().join(format!("drawbridge-connections-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let [pbx, carrier] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [trusted, untrusted, admin] = free.map(|listener| listener.local_addr().unwrap());
        let mut site = Site { directory, trusted, untrusted, admin, pbx, carrier, child: None };
        site.write("ca.pem", &authority.0.pem());
        site.show(&authority.sign("sbc.example"));
        site.write("drawbridge.toml", &site.configuration());
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        let child = command.arg("run").arg("--config").arg(site.directory.join("drawbridge.toml"));
        site.child = Some(child.stderr(Stdio::null()).spawn().unwrap());
        wait_for("readiness", || site.page("/readyz").filter(|page| page.starts_with("HTTP/1.1 200")));
        site
    }

    fn configuration(&self) -> String {
        let Site { trusted, untrusted, admin, directory, .. } = self;
        let (pbx, carrier) =
            (self.pbx.local_addr().unwrap().port(), self.carrier.local_addr().unwrap().port());
        let directory = directory.display();
        format!(
            r#"
[admin]
listen = "{admin}"
[[listener]]
realm = "trusted"
transport = "tcp"
bind = "{trusted}"
[[listener]]
realm = "untrusted"
transport = "tls"
bind = "{untrusted}"
tls = {{ certificate = "{directory}/sbc.pem", key = "{directory}/sbc.key" }}
[realm.trusted]
media_bind = "127.0.0.1"
[realm.untrusted]
media_bind = "127.0.0.1"
[media]
workers = 1
[trunk.pbx]
realm = "trusted"
transport = "tcp"
host = "127.0.0.1"
port = {pbx}
health = {{ interval = "0s" }}
[trunk.carrier]
transport = "tls"
host = "127.0.0.1"
port = {carrier}
health = {{ interval = "0s" }}
domain = "carrier.example"
tls = {{ ca = "{directory}/ca.pem" }}
[[route]]
name = "in"
from = "carrier"
trunks = ["pbx"]
[[route]]
name = "out"
from = "pbx"
trunks = ["carrier"]
"#
        )
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).unwrap();
    }

    /// The SBC's certificate from now on. One file after the other, as certbot does: between the two
    /// they do not match, and that must do no harm.
    fn show(&self, (certificate, key): &(String, String)) {
        self.write("sbc.pem", certificate);
        self.write("sbc.key", key);
    }

    fn page(&self, page: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn expect_metric(&self, line: &str) {
        let family = line.split('{').next().unwrap();
        let mut shown = String::new();
        let is_there = || {
            let text = self.page("/metrics")?;
            shown = text.lines().filter(|found| found.starts_with(family)).collect::<Vec<_>>().join("\n");
            text.lines().any(|found| found == line).then_some(())
        };
        if !look_for(is_there) {
            panic!("{line} did not come, but\n{shown}");
        }
    }

    /// A connection of the carrier's to the TLS listener; `None`: the certificate is of nobody it
    /// trusts.
    fn carrier_connects(&self, client: Arc<ClientConfig>) -> Option<Peer<impl Read + Write + use<>>> {
        let name = ServerName::try_from("sbc.example").unwrap();
        let mut stream =
            StreamOwned::new(ClientConnection::new(client, name).unwrap(), connect(self.untrusted));
        stream.conn.complete_io(&mut stream.sock).ok()?;
        Some(Peer::new(stream, "TLS"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next connection that comes, and one does come.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = wait_for("a connection", || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Looks until it is there. It comes in another process: a channel's timeout paces the looking.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    let is_there = look_for(|| {
        found = look();
        found.as_ref().map(|_| ())
    });
    assert!(is_there, "{what} did not come");
    found.unwrap()
}

fn look_for(mut look: impl FnMut() -> Option<()>) -> bool {
    let (_never, pace) = channel::<()>();
    (0..LOOKS).any(|_| {
        let is_there = look().is_some();
        if !is_there {
            let _ = pace.recv_timeout(LOOK);
        }
        is_there
    })
}

/// One end of a connection that speaks SIP.
struct Peer<S> {
    stream: S,
    transport: &'static str,
    /// Its Call-ID.
    call: &'static str,
}

impl<S: Read + Write> Peer<S> {
    fn new(stream: S, transport: &'static str) -> Peer<S> {
        Peer { stream, transport, call: "one" }
    }

    fn send(&mut self, message: &str) {
        self.stream.write_all(message.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next message, cut where its Content-Length says.
    fn receive(&mut self) -> String {
        let mut message = Vec::new();
        while !message.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            message.push(byte[0]);
        }
        let head = String::from_utf8(message).unwrap();
        let mut body = vec![0; header(&head, "Content-Length").parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        head + std::str::from_utf8(&body).unwrap()
    }

    /// The next message that begins so; provisional responses before it are passed over.
    fn expect(&mut self, beginning: &str) -> String {
        loop {
            let message = self.receive();
            if message.starts_with(beginning) {
                return message;
            }
            assert!(message.starts_with("SIP/2.0 1"), "{message}");
        }
    }

    fn request(&mut self, method: &str, uri: &str, to: &str, sequence: u32, body: &str) {
        let Peer { transport, call, .. } = *self;
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        self.send(&format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bK{call}{method}{sequence};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+15557654321@127.0.0.1>;tag=caller\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {sequence} {method}\r\nContact: <sip:caller@127.0.0.1:9;transport={transport}>\r\n\
             {content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// A 200 to a request, as a callee that listens at this port gives it.
    fn accept(&mut self, request: &str, port: u16, body: &str) {
        let copied: String = ["Via", "From", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", header(request, name)))
            .collect();
        let to = header(request, "To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let transport = self.transport;
        self.send(&format!(
            "SIP/2.0 200 OK\r\n{copied}To: {to}{tag}\r\nContact: <sip:callee@127.0.0.1:{port};transport={transport}>\r\n\
             {content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find(|line| line.split(':').next().is_some_and(|found| found == name));
    line.unwrap_or_else(|| panic!("no {name} in\n{message}")).split_once(": ").unwrap().1
}

fn contact_uri(message: &str) -> &str {
    let contact = header(message, "Contact");
    contact.split_once('<').unwrap().1.split_once('>').unwrap().0
}

const CALLED: &str = "sip:+442079460000@sbc.example";

/// Sets a call up from one peer to the other: the 200 that the caller got.
fn set_up<A: Read + Write, B: Read + Write>(
    caller: &mut Peer<A>,
    callee: impl FnOnce() -> Peer<B>,
    port: u16,
) -> (String, Peer<B>) {
    caller.request("INVITE", CALLED, &format!("<{CALLED}>"), 1, SDP);
    let mut callee = callee();
    let invite = callee.expect("INVITE ");
    assert!(header(&invite, "Via").starts_with(&format!("SIP/2.0/{} ", callee.transport)), "{invite}");
    callee.accept(&invite, port, SDP);
    callee.expect("ACK ");
    let answer = caller.expect("SIP/2.0 200 ");
    caller.request("ACK", contact_uri(&answer), header(&answer, "To"), 1, "");
    (answer, callee)
}

fn hang_up<A: Read + Write, B: Read + Write>(caller: &mut Peer<A>, callee: &mut Peer<B>, answer: &str) {
    caller.request("BYE", contact_uri(answer), header(answer, "To"), 2, "");
    caller.expect("SIP/2.0 200 ");
    let bye = callee.expect("BYE ");
    callee.accept(&bye, 9, "");
}

#[test]
fn a_call_comes_by_tls_and_goes_out_by_tcp_while_the_certificate_is_swapped() {
    let (before, after) = (Authority::new(), Authority::new());
    let site = Site::start("swap", &before);
    let mut carrier = site.carrier_connects(before.client()).expect("the certificate of the beginning");
    let port = site.pbx.local_addr().unwrap().port();
    let pbx = || Peer::new(accept(&site.pbx), "TCP");
    let (answer, mut pbx) = set_up(&mut carrier, pbx, port);
    assert!(contact_uri(&answer).ends_with(";transport=tls"), "{answer}");
    site.expect_metric(r#"drawbridge_sip_connections{realm="untrusted",transport="tls"} 1"#);
    site.expect_metric(r#"drawbridge_sip_connections{realm="trusted",transport="tcp"} 1"#);

    site.show(&after.sign("sbc.example"));
    let client = after.client();
    let mut new = wait_for("the new certificate", || site.carrier_connects(Arc::clone(&client)));
    assert!(site.carrier_connects(before.client()).is_none(), "the old certificate is still shown");
    new.send("\r\n\r\n");
    let mut pong = [0; 2];
    new.stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");

    // The call goes on where it was.
    hang_up(&mut carrier, &mut pbx, &answer);
    site.expect_metric(r#"drawbridge_calls_active{trunk="carrier"} 0"#);
}

#[test]
fn a_call_comes_by_tcp_and_goes_out_by_tls_to_whom_the_trunk_names() {
    let (authority, impostor) = (Authority::new(), Authority::new());
    let site = Site::start("out", &authority);
    let port = site.carrier.local_addr().unwrap().port();
    let accept = |config: Arc<ServerConfig>| {
        StreamOwned::new(ServerConnection::new(config).unwrap(), accept(&site.carrier))
    };
    let mut pbx = Peer::new(connect(site.trusted), "TCP");
    let (answer, mut carrier) =
        set_up(&mut pbx, || Peer::new(accept(authority.server("carrier.example")), "TLS"), port);
    hang_up(&mut pbx, &mut carrier, &answer);
    site.expect_metric(r#"drawbridge_calls_active{trunk="carrier"} 0"#);
    drop(carrier);
    site.expect_metric(r#"drawbridge_sip_connections{realm="untrusted",transport="tls"} 0"#);

    let wrong = [("two", authority.server("other.example")), ("three", impostor.server("carrier.example"))];
    for (call, wrong) in wrong {
        pbx.call = call;
        pbx.request("INVITE", CALLED, &format!("<{CALLED}>"), 1, SDP);
        let mut stream = accept(wrong);
        assert!(stream.conn.complete_io(&mut stream.sock).is_err(), "it was believed");
        pbx.expect("SIP/2.0 503 ");
    }
}

#[test]
fn a_stranger_is_shown_out_and_a_message_without_end_is_the_last() {
    let authority = Authority::new();
    let site = Site::start("strangers", &authority);
    let stranger = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    stranger.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into()).unwrap();
    stranger.connect(&site.trusted.into()).unwrap();
    let mut stranger = TcpStream::from(stranger);
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut nothing = Vec::new();
    let _ = stranger.read_to_end(&mut nothing);
    assert!(nothing.is_empty());
    site.expect_metric(r#"drawbridge_sip_dropped_total{realm="trusted",reason="source_not_allowed"} 1"#);

    let mut pbx = Peer::new(connect(site.trusted), "TCP");
    pbx.send(
        "OPTIONS sip:sbc SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:sbc>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4294967328\r\n\r\n",
    );
    assert!(pbx.receive().starts_with("SIP/2.0 400 Content-Length Larger Than Message\r\n"));
    pbx.stream.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
}
