//! Carriers for a test: each answers on its own socket in a thread of its own, as a closure says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use drawbridge::sip::digest::{Answerer, Challenge, Request};
use drawbridge::sip::{Frame, Framer, Header, Message, Method, Status, Writer, response_to};

/// What a carrier says to a request from there; nothing: silence.
pub type Script = Arc<dyn Fn(&Message, SocketAddr) -> Option<Vec<u8>> + Send + Sync>;

/// A carrier that runs until the test's process ends.
pub struct Carrier {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Carrier {
    /// Listens by UDP at this address of loopback.
    pub fn udp(ip: &str, script: Script) -> Carrier {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let carrier = Carrier { address: socket.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&carrier.heard);
        thread::spawn(move || {
            let mut bytes = [0; 65_535];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let request = Message::parse(Bytes::copy_from_slice(&bytes[..length])).unwrap();
                note(&heard, &request);
                if let Some(answer) = script(&request, from) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        carrier
    }

    /// Listens by TCP at this address, on this port (0: any).
    pub fn tcp(address: SocketAddr, script: Script) -> Carrier {
        let listener = TcpListener::bind(address).unwrap();
        let carrier = Carrier { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&carrier.heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let from = stream.peer_addr().unwrap();
                let (script, heard) = (Arc::clone(&script), Arc::clone(&heard));
                thread::spawn(move || serve(stream, from, &script, &heard));
            }
        });
        carrier
    }

    /// Listens by TLS at this address with this configuration.
    pub fn tls(ip: &str, config: rustls::ServerConfig, script: Script) -> Carrier {
        let (listener, config) = (TcpListener::bind((ip, 0)).unwrap(), Arc::new(config));
        let carrier = Carrier { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&carrier.heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let from = stream.peer_addr().unwrap();
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let (script, heard) = (Arc::clone(&script), Arc::clone(&heard));
                let stream = rustls::StreamOwned::new(connection, stream);
                thread::spawn(move || serve(stream, from, &script, &heard));
            }
        });
        carrier
    }

    /// What was asked, a method each, without what was repeated.
    pub fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap().clone();
        heard.dedup();
        heard
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

fn serve(mut stream: impl Read + Write, from: SocketAddr, script: &Script, heard: &Mutex<Vec<String>>) {
    let (mut framer, mut bytes) = (Framer::new(), [0; 16_384]);
    loop {
        while let Some(frame) = framer.poll() {
            let Frame::Message(bytes) = frame else { continue };
            let request = Message::parse(bytes).unwrap();
            note(heard, &request);
            match script(&request, from) {
                Some(answer) => stream.write_all(&answer).and_then(|()| stream.flush()).unwrap(),
                None => return,
            }
        }
        match stream.read(&mut bytes) {
            Ok(length) if length > 0 => framer.push(&bytes[..length]),
            _ => return,
        }
    }
}

fn note(heard: &Mutex<Vec<String>>, request: &Message) {
    let method = request.method().map_or("", Method::label);
    let has_digest = request.header(Header::Authorization).or(request.header(Header::ProxyAuthorization));
    let digest = if has_digest.is_some() { " with a digest" } else { "" };
    heard.lock().unwrap().push(format!("{method}{digest}"));
}

/// The same answer to everything.
pub fn says(code: u16) -> Script {
    Arc::new(move |request, from| Some(bytes(answer(request, from, code))))
}

/// Nothing to anybody.
pub fn is_silent() -> Script {
    Arc::new(|_, _| None)
}

/// 200 to OPTIONS with what a carrier says of itself; REGISTER asks for this user's digest.
pub fn registrar(challenge: &'static str, username: &'static str, password: &'static str) -> Script {
    Arc::new(move |request, from| {
        Some(bytes(match request.method() {
            Some(Method::Options) => introduce(answer(request, from, 200)),
            _ if is_digest_of(request, Header::Authorization, challenge, username, password) => {
                answer(request, from, 200)
            }
            _ => answer(request, from, 401).header(Header::WwwAuthenticate, challenge),
        }))
    })
}

/// What a carrier says of itself.
pub fn introduce(writer: Writer) -> Writer {
    writer
        .header(Header::Server, "kamailio (5.8.2 (x86_64/linux))")
        .header(Header::Allow, "INVITE, ACK, BYE, CANCEL, OPTIONS")
}

/// Whether a request has the digest that answers this challenge.
pub fn is_digest_of(
    request: &Message,
    header: Header,
    challenge: &str,
    username: &str,
    password: &str,
) -> bool {
    let Some(value) = request.header(header) else { return false };
    let text = String::from_utf8_lossy(value).into_owned();
    let cnonce = text.split("cnonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let challenge = Challenge::parse(challenge.as_bytes()).unwrap().remove(0);
    let method = request.method().map_or("", Method::label);
    let asked = Request { method, uri: request.request_uri_raw(), body: b"" };
    challenge.answer(Answerer { username, password }, asked, 1, cnonce) == value
}

pub fn answer(request: &Message, from: SocketAddr, code: u16) -> Writer {
    response_to(request, from, Status::new(code).unwrap(), None, Some("carrier"))
}

pub fn bytes(writer: Writer) -> Vec<u8> {
    writer.finish().unwrap().as_bytes().to_vec()
}

/// A name server that knows these addresses (IPv4), and that there are no other names.
pub fn name_server(names: &[(&str, &[[u8; 4]])]) -> SocketAddr {
    let address = |address: &[u8; 4]| (TYPE_A, address.to_vec());
    serve_names(
        names.iter().map(|(name, at)| ((*name).to_owned(), at.iter().map(address).collect())).collect(),
    )
}

/// A name server that has one UDP service of a domain, at one address.
pub fn service(domain: &str, host: &str, address: [u8; 4], port: u16) -> SocketAddr {
    // RFC 2782: priority, weight, port, target.
    let mut record = vec![0, 10, 0, 60];
    record.extend(port.to_be_bytes());
    for label in host.split('.') {
        record.push(label.len() as u8);
        record.extend(label.as_bytes());
    }
    record.push(0);
    serve_names(vec![
        (format!("_sip._udp.{domain}"), vec![(TYPE_SRV, record)]),
        (host.to_owned(), vec![(TYPE_A, address.to_vec())]),
    ])
}

const TYPE_A: u8 = 1;
const TYPE_SRV: u8 = 33;

/// Names, each with its records: type and data.
type Zone = Vec<(String, Vec<(u8, Vec<u8>)>)>;

fn serve_names(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut query = [0u8; 1_232];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&dns_answer(&query[..length], &zone), from);
        }
    });
    address
}

/// RFC 1035 §4: the query's question, and its records.
fn dns_answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_lowercase());
        at += 1 + length;
    }
    let question_end = at + 5;
    let kind = query[question_end - 3];
    let found = zone.iter().find(|(name, _)| *name == labels.join("."));
    let records: Vec<_> =
        found.iter().flat_map(|(_, records)| records).filter(|(of, _)| *of == kind).collect();
    let code = if found.is_some() { 0x80 } else { 0x83 };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend(&query[12..question_end]);
    for (kind, data) in records {
        answer.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 77, 0, data.len() as u8]);
        answer.extend(data);
    }
    answer
}
