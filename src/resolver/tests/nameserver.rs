//! A name server of a few lines: zones by hand, and every way to fail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What the server does with a question.
#[derive(Clone)]
enum Reply {
    Records(Vec<(RData, u32)>),
    /// NOERROR without a record, or NXDOMAIN; the negative TTL.
    Nothing(ResponseCode, Option<u32>),
    Fault(ResponseCode),
    Silence,
    /// By UDP cut short, by TCP whole.
    Truncated(Vec<(RData, u32)>),
}

type Zone = Arc<Mutex<HashMap<(String, RecordType), Reply>>>;

/// Questions that nothing is written for are NXDOMAIN.
#[derive(Clone)]
pub struct NameServer {
    pub address: SocketAddr,
    zone: Zone,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub async fn start() -> NameServer {
        // The same port for both.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let server = NameServer { address, zone: Zone::default(), asked: Arc::default() };
        tokio::spawn(server.clone().serve_udp(udp));
        tokio::spawn(server.clone().serve_tcp(tcp));
        server
    }

    /// `KIND NAME`, in the order in which they came.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap();
        std::mem::take(&mut *asked)
    }

    fn put(&self, name: &str, kind: RecordType, reply: Reply) -> &NameServer {
        self.zone.lock().unwrap().insert((name.to_owned(), kind), reply);
        self
    }

    fn add(&self, name: &str, kind: RecordType, data: RData, ttl: u32) -> &NameServer {
        let mut zone = self.zone.lock().unwrap();
        match zone.entry((name.to_owned(), kind)).or_insert(Reply::Records(Vec::new())) {
            Reply::Records(records) => records.push((data, ttl)),
            other => *other = Reply::Records(vec![(data, ttl)]),
        }
        drop(zone);
        self
    }

    pub fn a(&self, name: &str, address: &str, ttl: u32) -> &NameServer {
        self.add(name, RecordType::A, RData::A(A(address.parse().unwrap())), ttl)
    }

    pub fn aaaa(&self, name: &str, address: &str, ttl: u32) -> &NameServer {
        self.add(name, RecordType::AAAA, RData::AAAA(AAAA(address.parse().unwrap())), ttl)
    }

    /// Under A; the name that it leads to has to be asked for.
    pub fn cname(&self, name: &str, target: &str, ttl: u32) -> &NameServer {
        self.add(name, RecordType::A, RData::CNAME(CNAME(whole(target))), ttl)
    }

    /// `PRIORITY WEIGHT PORT TARGET`.
    pub fn srv(&self, name: &str, record: &str, ttl: u32) -> &NameServer {
        self.add(name, RecordType::SRV, srv(record), ttl)
    }

    /// `ORDER PREFERENCE FLAGS SERVICE REPLACEMENT`.
    pub fn naptr(&self, name: &str, record: &str, ttl: u32) -> &NameServer {
        let [order, preference, flags, service, replacement] = words(record);
        let bytes = |text: &str| text.trim_matches('-').as_bytes().to_vec().into_boxed_slice();
        let data = NAPTR::new(
            order.parse().unwrap(),
            preference.parse().unwrap(),
            bytes(flags),
            service.as_bytes().to_vec().into_boxed_slice(),
            Box::default(),
            whole(replacement),
        );
        self.add(name, RecordType::NAPTR, RData::NAPTR(data), ttl)
    }

    pub fn no_data(&self, name: &str, kind: RecordType, negative_ttl: Option<u32>) -> &NameServer {
        self.put(name, kind, Reply::Nothing(ResponseCode::NoError, negative_ttl))
    }

    pub fn nxdomain(&self, name: &str, kind: RecordType, negative_ttl: Option<u32>) -> &NameServer {
        self.put(name, kind, Reply::Nothing(ResponseCode::NXDomain, negative_ttl))
    }

    pub fn refuse(&self, name: &str, kind: RecordType) -> &NameServer {
        self.put(name, kind, Reply::Fault(ResponseCode::Refused))
    }

    pub fn fail(&self, name: &str, kind: RecordType) -> &NameServer {
        self.put(name, kind, Reply::Fault(ResponseCode::ServFail))
    }

    pub fn ignore(&self, name: &str, kind: RecordType) -> &NameServer {
        self.put(name, kind, Reply::Silence)
    }

    pub fn truncated_srv(&self, name: &str, records: &[&str]) -> &NameServer {
        let records = records.iter().map(|record| (srv(record), 60)).collect();
        self.put(name, RecordType::SRV, Reply::Truncated(records))
    }

    /// Forgets what was written for a question.
    pub fn forget(&self, name: &str, kind: RecordType) -> &NameServer {
        self.zone.lock().unwrap().remove(&(name.to_owned(), kind));
        self
    }

    async fn serve_udp(self, socket: UdpSocket) {
        let mut query = [0u8; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(reply) = self.reply(&query[..length], false) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let server = self.clone();
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    if stream.read_exact(&mut query).await.is_err() {
                        return;
                    }
                    let Some(reply) = server.reply(&query, true) else { continue };
                    let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
                    framed.extend(reply);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    fn reply(&self, query: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).unwrap();
        let question = query.queries[0].clone();
        let text = question.name().to_ascii().to_lowercase();
        let name = text.trim_end_matches('.').to_owned();
        self.asked.lock().unwrap().push(format!("{} {name}", question.query_type()));
        let known = self.zone.lock().unwrap().get(&(name, question.query_type())).cloned();
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata.recursion_available = true;
        message.add_query(question.clone());
        let records = match known.unwrap_or(Reply::Nothing(ResponseCode::NXDomain, None)) {
            Reply::Silence => return None,
            Reply::Fault(code) => {
                message.metadata.response_code = code;
                Vec::new()
            }
            Reply::Nothing(code, negative_ttl) => {
                message.metadata.response_code = code;
                if let Some(ttl) = negative_ttl {
                    let soa = SOA::new(whole("ns.example"), whole("admin.example"), 1, 2, 3, 4, ttl);
                    message.add_authority(Record::from_rdata(whole("example"), 9_999, RData::SOA(soa)));
                }
                Vec::new()
            }
            Reply::Truncated(_) if !is_tcp => {
                message.metadata.truncation = true;
                Vec::new()
            }
            Reply::Records(records) | Reply::Truncated(records) => records,
        };
        for (data, ttl) in records {
            message.add_answer(Record::from_rdata(question.name().clone(), ttl, data));
        }
        Some(message.to_vec().unwrap())
    }
}

fn srv(record: &str) -> RData {
    let [priority, weight, port, target] = words(record);
    let number = |text: &str| text.parse().unwrap();
    RData::SRV(SRV::new(number(priority), number(weight), number(port), whole(target)))
}

fn words<const N: usize>(text: &str) -> [&str; N] {
    text.split_whitespace().collect::<Vec<_>>().try_into().unwrap()
}

fn whole(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}
