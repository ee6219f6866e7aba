use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use super::super::settings::PostUrl;
use super::super::tests::TempDir;
use super::*;
use crate::telemetry::Metrics;

/// What a server was sent: the head in lower case, and the body.
type Asked = (String, String);

/// A server that answers so, one after another; the last answer for ever.
fn server(answers: &'static [&'static str]) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.iter().chain(std::iter::repeat(answers.last().unwrap()));
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(request) = read_request(&mut stream) {
                let answer = answers.next().unwrap();
                let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\nok");
                if tell.send(request).is_err() || stream.get_mut().write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    (address, asked)
}

fn read_request(stream: &mut impl BufRead) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn settings(directory: &TempDir, server: SocketAddr, batch: usize) -> PostSettings {
    let authority = server.to_string();
    let url = PostUrl {
        is_secure: false,
        host: server.ip().to_string(),
        port: server.port(),
        authority,
        target: "/cdr?key=1".to_owned(),
    };
    PostSettings {
        url,
        headers: vec![("Authorization".to_owned(), "Bearer secret".to_owned())],
        timeout: Duration::from_secs(20),
        batch,
        spool: directory.0.join("spool"),
        spool_max: 1 << 20,
        tls: None,
    }
}

fn state() -> Arc<CdrState> {
    Arc::new(CdrState::new(Arc::new(Metrics::new().unwrap())))
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn each_record_is_posted_with_its_id_as_the_key_and_again_until_it_is_taken() {
    let directory = TempDir::new("post-again");
    let (address, asked) = server(&["200 OK", "503 Service Unavailable", "201 Created"]);
    let state = state();
    let post = Post::start(settings(&directory, address, 1), Arc::clone(&state)).unwrap();
    post.push(b"{\"id\":\"a\",\"n\":1}\n").unwrap();
    post.push(b"{\"id\":\"b\",\"n\":2}\n").unwrap();
    let took: Vec<Asked> = (0..3).map(|_| asked.recv_timeout(PATIENCE).unwrap()).collect();
    let bodies: Vec<_> = took.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(bodies, ["{\"id\":\"a\",\"n\":1}\n", "{\"id\":\"b\",\"n\":2}\n", bodies[1]]);
    for ((head, _), id) in took.iter().zip(["a", "b", "b"]) {
        assert!(head.starts_with("post /cdr?key=1 http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nidempotency-key: {id}\r\n")), "{head}");
        assert!(head.contains("\r\nauthorization: bearer secret\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    }
    post.end();
}

#[test]
fn what_was_not_taken_is_sent_by_the_next_run() {
    let directory = TempDir::new("post-restart");
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first = state();
    let post = Post::start(settings(&directory, nobody, 10), Arc::clone(&first)).unwrap();
    post.push(b"{\"id\":\"a\"}\n").unwrap();
    post.push(b"{\"id\":\"b\"}\n").unwrap();
    assert_eq!(first.report().spooled, 2);
    post.end();

    let (address, asked) = server(&["200 OK"]);
    let post = Post::start(settings(&directory, address, 10), state()).unwrap();
    let (head, body) = asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(body, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
    assert!(head.contains("application/x-ndjson") && !head.contains("idempotency-key"), "{head}");
    post.end();
}

#[tokio::test]
async fn a_record_that_is_called_wrong_holds_up_nobody() {
    let directory = TempDir::new("post-wrong");
    let state = state();
    let mut spool = Spool::open(&directory.0.join("spool"), 1 << 20).unwrap();
    for id in ["a", "b"] {
        spool.push(format!("{{\"id\":\"{id}\"}}\n").as_bytes()).unwrap();
    }
    let mut worker = Worker {
        client: Client { settings: settings(&directory, "127.0.0.1:9".parse().unwrap(), 2), sender: None },
        spool: Arc::new(Mutex::new(spool)),
        state: Arc::clone(&state),
        wake: Arc::new(Notify::new()),
        back_off: BackOff::default(),
        refusals: REFUSALS_MAX - 1,
        alone: 0,
    };
    let next = |worker: &Worker, most| lock(&worker.spool).next(most).unwrap();
    let both = next(&worker, 2);
    worker.follow(&both, Answer::Wrong("400".to_owned())).await;
    assert_eq!(worker.alone, 2, "one by one it is found out which it is");
    let first = next(&worker, 1);
    worker.refusals = REFUSALS_MAX - 1;
    worker.follow(&first, Answer::Wrong("400".to_owned())).await;
    let second = next(&worker, 1);
    assert_eq!(second.lines, ["{\"id\":\"b\"}"]);
    worker.follow(&second, Answer::Taken).await;
    let report = state.report();
    assert_eq!((report.sent, report.dropped, report.spooled), (1, 1, 0));
    assert_eq!((worker.alone, worker.refusals), (0, 0));
}

#[test]
fn waits_grow_to_their_bound_and_begin_anew() {
    let mut back_off = BackOff::default();
    let waits: Vec<_> = (0..11).map(|_| back_off.next().as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert!(back_off.reset() && !back_off.reset());
    assert_eq!(back_off.next().as_secs(), 1);
}

#[test]
fn answers_are_told_apart() {
    let of = |status: u16| judge(StatusCode::from_u16(status).unwrap(), None);
    for status in [200, 204, 409] {
        assert_eq!(of(status), Answer::Taken);
    }
    for status in [400, 413, 422] {
        assert!(matches!(of(status), Answer::Wrong(_)), "{status}");
    }
    for status in [301, 401, 403, 404, 408, 429, 500, 503] {
        assert!(matches!(of(status), Answer::NotNow(..)), "{status}");
    }
}
