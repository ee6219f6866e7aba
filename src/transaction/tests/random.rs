//! Any sequence of inputs: nothing panics, and whatever happened, nothing is left in the end.

use proptest::prelude::*;

use super::*;

/// One thing that may happen. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Input {
    Request { method: usize, branch: u8, hop: usize, to_tag: bool },
    Response { code: usize, branch: u8, method: usize, hop: usize },
    Send { method: usize, branch: u8, hop: usize },
    Cancel { which: usize },
    Respond { code: usize, which: usize },
    Fail { hop: usize },
    Wait { millis: u64 },
}

const METHODS: [&str; 5] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"];
const SENT: [&str; 2] = ["INVITE", "OPTIONS"];
const CODES: [u16; 6] = [100, 180, 200, 302, 487, 603];

fn input() -> impl Strategy<Value = Input> {
    let (branch, hop) = (0..5u8, 0..3usize);
    prop_oneof![
        (0..METHODS.len(), branch.clone(), hop.clone(), any::<bool>())
            .prop_map(|(method, branch, hop, to_tag)| Input::Request { method, branch, hop, to_tag }),
        (0..CODES.len(), branch.clone(), 0..METHODS.len(), hop.clone())
            .prop_map(|(code, branch, method, hop)| Input::Response { code, branch, method, hop }),
        (0..SENT.len(), branch, hop.clone()).prop_map(|(method, branch, hop)| Input::Send {
            method,
            branch,
            hop
        }),
        any::<usize>().prop_map(|which| Input::Cancel { which }),
        (0..CODES.len(), any::<usize>()).prop_map(|(code, which)| Input::Respond { code, which }),
        hop.prop_map(|hop| Input::Fail { hop }),
        (0..20_000u64).prop_map(|millis| Input::Wait { millis }),
    ]
}

/// Branch 0 is one of RFC 2543.
fn request_of(method: &str, branch: u8) -> Message {
    let cookie = if branch == 0 { "" } else { "z9hG4bK" };
    request_via(method, &format!("SIP/2.0/UDP 192.0.2.9:5060;branch={cookie}{branch}"))
}

fn hop_of(number: usize) -> Hop {
    [udp(), tcp(), hop(Transport::Udp, "192.0.2.10:5060")][number]
}

fn carry_out(stage: &mut Stage, sent: &mut Vec<ClientId>, input: &Input) {
    match *input {
        Input::Request { method, branch, hop, to_tag } => {
            let mut request = request_of(METHODS[method], branch);
            if to_tag {
                request = altered(&request, "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b");
            }
            stage.receive(&request, hop_of(hop));
        }
        Input::Response { code, branch, method, hop } => {
            let request = request_of(METHODS[method], branch);
            stage.receive(&response(&request, CODES[code]), hop_of(hop));
        }
        Input::Send { method, branch, hop } => {
            let id = stage.send(&request_of(SENT[method], branch), hop_of(hop));
            sent.push(id);
        }
        Input::Cancel { which } => {
            if !sent.is_empty() {
                stage.cancel(sent[which % sent.len()]);
            }
        }
        Input::Respond { code, which } => {
            if !stage.asked.is_empty() {
                let id = stage.asked[which % stage.asked.len()];
                stage.respond(id, CODES[code]);
            }
        }
        Input::Fail { hop } => stage.transport_failed(hop_of(hop)),
        Input::Wait { millis } => stage.until(stage.now.as_micros() / 1_000 + millis),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn whatever_happens_nothing_is_left(inputs in proptest::collection::vec(input(), 1..80)) {
        let mut stage = Stage::with_limit(12);
        let mut sent = Vec::new();
        for input in &inputs {
            carry_out(&mut stage, &mut sent, input);
            prop_assert!(stage.layer.armed_timers() <= 2 * stage.layer.active());
        }
        // The TU does what it owes: it answers what it was asked, and gives up what it asked.
        for id in stage.asked.clone() {
            stage.respond(id, 500);
        }
        for id in &sent {
            stage.cancel(*id);
        }
        stage.until(stage.now.as_micros() / 1_000 + 200_000);
        let gone = stage.log.iter().filter(|line| line.ends_with("client gone")).count();
        prop_assert_eq!(gone, sent.len(), "each client ends, and once");
        stage.log.clear();
        stage.is_over();
    }
}
