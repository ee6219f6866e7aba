//! A small SIP user agent (RFC 3261) for the demo: it places calls and answers those it expects.
//!
//! Sans-IO: datagrams and the time go in, datagrams and events come out, so that what it does about
//! a lost packet is a test on virtual time. It shares the wire ([`crate::sip`]) with the SBC and
//! nothing else, so that the two check each other. Must not know: sockets, RTP, the SBC.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use super::call::{Call, CallNumber, Event, Order, Transmit};
use super::trace::dialled;
use crate::base::{Instant, Random};
use crate::sip::{Header, Message, Method, Status, response_to};

/// One party: an address and its calls.
#[derive(Debug)]
pub struct UserAgent {
    address: SocketAddr,
    random: Random,
    expected: Vec<Order>,
    calls: Vec<Call>,
    /// Answers that belong to no call.
    refusals: VecDeque<Transmit>,
}

impl UserAgent {
    /// A party at this address; tags, branches and Call-IDs are made of `random`.
    pub fn new(address: SocketAddr, random: Random) -> UserAgent {
        UserAgent { address, random, expected: Vec::new(), calls: Vec::new(), refusals: VecDeque::new() }
    }

    /// Calls.
    pub fn place(&mut self, now: Instant, order: Order) {
        let token = self.token();
        self.calls.push(Call::place(now, order, self.address, token));
    }

    /// Will answer a call to `order.to` when it comes.
    pub fn expect(&mut self, order: Order) {
        self.expected.push(order);
    }

    /// Ends a call with BYE.
    pub fn hang_up(&mut self, now: Instant, number: CallNumber) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.number() == number) {
            call.hang_up(now);
        }
    }

    /// Takes a datagram. What cannot be read, or answers nothing of ours, is left alone.
    pub fn receive(&mut self, now: Instant, source: SocketAddr, datagram: Bytes) {
        let Ok(message) = Message::parse(datagram) else { return };
        if message.fault().is_some() {
            return;
        }
        let known = self.calls.iter_mut().find(|call| call.call_id() == message.call_id());
        match (known, message.method()) {
            (Some(call), Some(method)) => call.on_request(now, source, method, &message),
            (Some(call), None) => call.on_response(now, &message),
            (None, Some(Method::Invite)) => self.ring(now, source, &message),
            (None, Some(Method::Ack) | None) => {}
            (None, Some(Method::Options)) => self.refuse(source, &message, Status::of(200)),
            (None, Some(_)) => self.refuse(source, &message, Status::of(481)),
        }
    }

    /// When [`UserAgent::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.calls.iter().filter_map(Call::next_deadline).min()
    }

    /// Sends again, answers or gives up, where it is time to.
    pub fn on_time(&mut self, now: Instant) {
        for call in &mut self.calls {
            call.on_time(now);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let mut calls = self.calls.iter_mut();
        self.refusals.pop_front().or_else(|| calls.find_map(Call::poll_transmit))
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<(CallNumber, Event)> {
        self.calls.iter_mut().find_map(|call| Some((call.number(), call.poll_event()?)))
    }

    fn ring(&mut self, now: Instant, source: SocketAddr, invite: &Message) {
        let called = dialled(invite);
        match self.expected.iter().position(|order| order.to.as_bytes() == called) {
            Some(at) => {
                let (order, token) = (self.expected.swap_remove(at), self.token());
                self.calls.push(Call::ring(now, order, self.address, token, source, invite));
            }
            None => self.refuse(source, invite, Status::of(404)),
        }
    }

    fn refuse(&mut self, source: SocketAddr, request: &Message, status: Status) {
        let answer = response_to(request, source, status, None, Some("demo"))
            .header(Header::Allow, "INVITE, ACK, BYE, OPTIONS")
            .finish();
        if let Ok(answer) = answer {
            self.refusals.push_back(Transmit::new(source, &answer));
        }
    }

    fn token(&mut self) -> String {
        self.random.token::<12>().map(char::from).iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::call::Failure;
    use super::super::trace::{Said, Step, Trace};
    use super::*;

    const CALLER: &str = "192.0.2.1:5060";
    const CALLEE: &str = "192.0.2.2:5060";
    /// How long a datagram travels.
    const TRIP: Duration = Duration::from_millis(1);

    /// Two user agents back to back, over a wire that loses what it is told to.
    struct Bench {
        now: Instant,
        agents: [UserAgent; 2],
        wire: VecDeque<(Instant, usize, Bytes)>,
        events: [Vec<Event>; 2],
        /// Each message as "METHOD" or "CODE METHOD", counted when it is sent.
        said: BTreeMap<String, u32>,
        /// How often each is lost before it passes.
        lose: BTreeMap<&'static str, u32>,
    }

    impl Bench {
        fn new(lose: &[(&'static str, u32)]) -> Bench {
            let agent =
                |address: &str, seed| UserAgent::new(address.parse().unwrap(), Random::from_number(seed));
            let mut bench = Bench {
                now: Instant::from_millis(1_000),
                agents: [agent(CALLER, 1), agent(CALLEE, 2)],
                wire: VecDeque::new(),
                events: [Vec::new(), Vec::new()],
                said: BTreeMap::new(),
                lose: lose.iter().copied().collect(),
            };
            bench.agents[1].expect(order("192.0.2.2:4000"));
            bench.agents[0].place(bench.now, order("192.0.2.1:4000"));
            bench
        }

        /// Runs until `until` is so, or nothing more happens.
        fn run(&mut self, until: impl Fn(&Bench) -> bool) {
            for _ in 0..1_000 {
                self.drain();
                if until(self) {
                    return;
                }
                let arrival = self.wire.front().map(|(at, ..)| *at);
                let timers = self.agents.iter().filter_map(UserAgent::next_deadline);
                let Some(next) = timers.chain(arrival).min() else { return };
                self.now = next.max(self.now);
                while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                    let (_, to, bytes) = self.wire.pop_front().unwrap();
                    let source = [CALLEE, CALLER][to].parse().unwrap();
                    self.agents[to].receive(self.now, source, bytes);
                }
                self.agents.iter_mut().for_each(|agent| agent.on_time(self.now));
            }
            panic!("never still: {:?}", self.said);
        }

        fn drain(&mut self) {
            for at in 0..2 {
                while let Some(transmit) = self.agents[at].poll_transmit() {
                    assert_eq!(transmit.to, [CALLEE, CALLER][at].parse().unwrap());
                    let message = Message::parse(transmit.bytes.clone()).unwrap();
                    assert_eq!(message.fault(), None);
                    let name = match Said::of(&message) {
                        Said::Request { method, .. } => method.label().to_owned(),
                        Said::Response { status, method, .. } => format!("{status} {}", method.label()),
                    };
                    *self.said.entry(name.clone()).or_default() += 1;
                    match self.lose.get_mut(name.as_str()) {
                        Some(left) if *left > 0 => *left -= 1,
                        _ => self.wire.push_back((self.now + TRIP, 1 - at, transmit.bytes)),
                    }
                }
                while let Some((number, event)) = self.agents[at].poll_event() {
                    assert_eq!(number, 1);
                    self.events[at].push(event);
                }
            }
        }

        /// Talks, hangs up at one end, and gives both traces.
        fn complete(&mut self, hangs_up: usize) -> [Trace; 2] {
            self.run(|bench| bench.events.iter().all(|events| !events.is_empty()));
            let media = |address: &str| Event::Talking { media: address.parse().unwrap() };
            assert_eq!(self.events, [vec![media("192.0.2.2:4000")], vec![media("192.0.2.1:4000")]]);
            self.agents[hangs_up].hang_up(self.now, 1);
            self.run(|_| false);
            [self.ended(0, &Ok(())), self.ended(1, &Ok(()))]
        }

        fn ended(&self, agent: usize, wanted: &Result<(), Failure>) -> Trace {
            match self.events[agent].last() {
                Some(Event::Ended { result, trace }) if result == wanted => trace.clone(),
                other => panic!("agent {agent}: {other:?}"),
            }
        }
    }

    fn order(media: &str) -> Order {
        Order {
            number: 1,
            from: "+12015550100".to_owned(),
            to: "+442079460000".to_owned(),
            next_hop: CALLEE.parse().unwrap(),
            media: media.parse().unwrap(),
        }
    }

    fn counts(bench: &Bench) -> String {
        bench.said.iter().map(|(name, count)| format!("{name} {count}, ")).collect()
    }

    #[test]
    fn a_call_is_set_up_and_ended_by_either_party() {
        for hangs_up in [0, 1] {
            let mut bench = Bench::new(&[]);
            let traces = bench.complete(hangs_up);
            assert!(traces.iter().all(Trace::is_complete));
            assert!(traces.iter().all(|trace| trace.0.len() == 7));
            assert_eq!(
                counts(&bench),
                "100 INVITE 1, 180 INVITE 1, 200 BYE 1, 200 INVITE 1, ACK 1, BYE 1, INVITE 1, "
            );
            assert_eq!(bench.agents.iter().find_map(UserAgent::next_deadline), None);
        }
    }

    #[test]
    fn each_message_may_be_lost_and_the_call_still_completes() {
        // What is lost, and what each message was said in all.
        for (lost, said) in [
            ("INVITE", "100 INVITE 1, 180 INVITE 1, 200 BYE 1, 200 INVITE 1, ACK 1, BYE 1, INVITE 3, "),
            ("200 INVITE", "100 INVITE 1, 180 INVITE 1, 200 BYE 1, 200 INVITE 3, ACK 1, BYE 1, INVITE 1, "),
            ("ACK", "100 INVITE 1, 180 INVITE 1, 200 BYE 1, 200 INVITE 3, ACK 3, BYE 1, INVITE 1, "),
            ("BYE", "100 INVITE 1, 180 INVITE 1, 200 BYE 1, 200 INVITE 1, ACK 1, BYE 3, INVITE 1, "),
            ("200 BYE", "100 INVITE 1, 180 INVITE 1, 200 BYE 3, 200 INVITE 1, ACK 1, BYE 3, INVITE 1, "),
        ] {
            let mut bench = Bench::new(&[(lost, 2)]);
            let [caller, _] = bench.complete(0);
            assert!(caller.is_complete(), "{lost}");
            assert_eq!(counts(&bench), said, "{lost}");
        }
    }

    #[test]
    fn provisional_responses_end_retransmission_of_the_invite() {
        let mut bench = Bench::new(&[("100 INVITE", 1), ("180 INVITE", 1)]);
        let [caller, callee] = bench.complete(0);
        assert!(!caller.is_complete() && callee.is_complete(), "the caller saw no 180");
        assert_eq!(bench.said["INVITE"], 1);
    }

    #[test]
    fn repeated_messages_are_marked_as_such() {
        let mut bench = Bench::new(&[("ACK", 1)]);
        let [caller, _] = bench.complete(0);
        let again: Vec<String> =
            caller.0.iter().filter(|step: &&Step| step.again).map(|step| step.said.to_string()).collect();
        assert_eq!(again, ["200 OK (SDP)", "ACK"]);
    }

    #[test]
    fn a_far_end_that_is_silent_is_given_up() {
        let mut bench = Bench::new(&[("INVITE", u32::MAX)]);
        bench.run(|_| false);
        bench.ended(0, &Err(Failure::Silence("answer to INVITE")));
        // At 0, 0.5, 1.5, 3.5 and 7.5 s.
        assert_eq!(bench.said["INVITE"], 5);

        let mut bench = Bench::new(&[("BYE", u32::MAX)]);
        bench.run(|bench| bench.events.iter().all(|events| !events.is_empty()));
        bench.agents[0].hang_up(bench.now, 1);
        bench.run(|_| false);
        bench.ended(0, &Err(Failure::Silence("answer to BYE")));

        let mut bench = Bench::new(&[("ACK", u32::MAX)]);
        bench.run(|_| false);
        bench.ended(1, &Err(Failure::Silence("ACK")));
    }

    #[test]
    fn a_number_that_is_not_expected_is_refused_and_the_refusal_acknowledged() {
        let mut bench = Bench::new(&[]);
        bench.agents[1].expected.clear();
        bench.run(|_| false);
        let refused =
            Failure::Refused { method: "INVITE", status: Status::of(404), phrase: "Not Found".to_owned() };
        bench.ended(0, &Err(refused));
        assert_eq!(counts(&bench), "404 INVITE 1, ACK 1, INVITE 1, ");
    }
}
