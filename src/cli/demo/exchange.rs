//! The calls of the demo: who calls whom, with which audio, and what came of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::call::{CallNumber, Event, Order};
use super::phone::Phone;
use super::rtp::{Heard, PACKET_TIME, Stream, Talk, talk};
use super::trace::Trace;
use crate::base::{Instant, Random};
use crate::runtime::Clock;
use crate::sip::Method;

/// The most calls; there are as many numbers reserved for fiction on the PBX's side.
pub const CALLS_MAX: CallNumber = 100;
/// Between the beginnings of two calls.
const STAGGER: Duration = Duration::from_millis(37);
/// How often a socket is bound anew to get an even port, which RTP wants (RFC 3550 §11).
const BIND_TRIES: usize = 64;
/// Longer than any user agent waits for a message before it gives the call up.
const EVENT_WAIT_MAX: Duration = Duration::from_secs(12);
/// Streams sing 400 Hz and upwards, each a little higher, so that none is taken for another.
const LOWEST_TONE_HZ: u16 = 400;
const TONE_STEP_HZ: u16 = 7;

/// From whom to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the PBX to the carrier.
    Out,
    /// From the carrier to the PBX.
    In,
}

/// The two parties, and where each finds its next hop.
#[derive(Debug)]
pub struct Exchange {
    /// On the trusted side.
    pub pbx: Phone,
    /// On the untrusted side.
    pub carrier: Phone,
    /// Where the PBX sends its calls.
    pub towards_trusted: SocketAddr,
    /// Where the carrier sends its calls.
    pub towards_untrusted: SocketAddr,
    /// The one clock by which both are measured.
    pub clock: Clock,
}

/// What came of one call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Counted from 1.
    pub number: CallNumber,
    /// From whom to whom.
    pub direction: Direction,
    /// The number that was called; no two calls share one.
    pub called: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The caller's signalling.
    pub caller: Trace,
    /// The callee's signalling.
    pub callee: Trace,
    /// When the audio began.
    pub talk_began: Option<Instant>,
    /// The caller's audio as the callee heard it.
    pub at_callee: Heard,
    /// The callee's audio as the caller heard it.
    pub at_caller: Heard,
}

impl CallRecord {
    /// Whether every step of the call was taken and both parties heard each other.
    pub fn is_complete(&self) -> bool {
        self.fault().is_none()
    }

    /// What was wrong with it, in words.
    pub fn fault(&self) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        for (party, trace) in [("caller", &self.caller), ("callee", &self.callee)] {
            if !trace.is_complete() {
                return Some(format!("the {party} missed a step of INVITE 100 180 200 ACK BYE 200"));
            }
        }
        for (party, heard) in [("caller", &self.at_caller), ("callee", &self.at_callee)] {
            if !heard.is_good() {
                return Some(format!("the {party} {}", heard.complaint()));
            }
        }
        None
    }

    /// How long the INVITE took from the caller to the callee.
    pub fn invite_crossed_in(&self) -> Option<Duration> {
        let (left, came) = (self.caller.request_at(&Method::Invite), self.callee.request_at(&Method::Invite));
        Some(came?.since(left?))
    }

    /// Who sent the BYE: the one who saw it first.
    pub fn hung_up_by(&self) -> Option<&'static str> {
        let at = |trace: &Trace| trace.request_at(&Method::Bye);
        let (caller, callee) = (at(&self.caller)?, at(&self.callee)?);
        Some(if caller <= callee { "caller" } else { "callee" })
    }
}

impl Exchange {
    /// Places the calls, a little after each other, and beside them lets the two parties talk once
    /// without an SBC between, as the measure of what loopback itself takes.
    pub async fn run(self, calls: CallNumber, talk_time: Duration, mut random: Random) -> Outcome {
        let packets = (talk_time.as_millis() / PACKET_TIME.as_millis()) as u32;
        let exchange = Arc::new(self);
        let mut running = JoinSet::new();
        for number in 1..=calls {
            let (exchange, script) = (exchange.clone(), Script::of(number, packets, &mut random));
            running.spawn(async move {
                tokio::time::sleep(STAGGER * u32::from(number - 1)).await;
                exchange.call(&script).await
            });
        }
        let straight = exchange.straight(packets, &mut random).await.unwrap_or_default();
        let mut records: Vec<CallRecord> = running.join_all().await;
        records.sort_by_key(|record| record.number);
        Outcome { records, straight }
    }

    /// One call from beginning to end.
    async fn call(&self, script: &Script) -> CallRecord {
        let mut record = script.record();
        if let Err(failure) = self.try_call(script, &mut record).await {
            record.failure = Some(failure);
        }
        record
    }

    async fn try_call(&self, script: &Script, record: &mut CallRecord) -> Result<(), String> {
        let (caller, callee, next_hop) = match script.direction {
            Direction::Out => (&self.pbx, &self.carrier, self.towards_trusted),
            Direction::In => (&self.carrier, &self.pbx, self.towards_untrusted),
        };
        let no_socket = |fault: io::Error| format!("no socket for RTP: {fault}");
        let caller_socket = bind_even(caller.address().ip()).await.map_err(no_socket)?;
        let callee_socket = bind_even(callee.address().ip()).await.map_err(no_socket)?;
        let order = |socket: &UdpSocket| {
            let media = socket.local_addr().map_err(no_socket)?;
            Ok::<Order, String>(script.order(next_hop, media))
        };
        let mut at_callee = callee.expect(order(&callee_socket)?).await;
        let mut at_caller = caller.place(order(&caller_socket)?).await;

        let to_callee = record.wait_for_media(Role::Caller, &mut at_caller).await?;
        let to_caller = record.wait_for_media(Role::Callee, &mut at_callee).await?;
        record.talk_began = Some(self.clock.now());
        let (said_by_caller, said_by_callee) = tokio::join!(
            talk(
                &caller_socket,
                to_callee,
                &script.caller_says,
                &script.callee_says,
                script.packets,
                self.clock
            ),
            talk(
                &callee_socket,
                to_caller,
                &script.callee_says,
                &script.caller_says,
                script.packets,
                self.clock
            ),
        );
        record.hear(&said_by_caller, &said_by_callee);

        let hangs_up = if script.callee_hangs_up { callee } else { caller };
        hangs_up.hang_up(script.number).await;
        record.wait_for_end(Role::Caller, &mut at_caller).await?;
        record.wait_for_end(Role::Callee, &mut at_callee).await
    }

    /// The PBX's address talks to the carrier's, and the reverse, with nothing between.
    async fn straight(&self, packets: u32, random: &mut Random) -> io::Result<Heard> {
        let (pbx, carrier) =
            (bind_even(self.pbx.address().ip()).await?, bind_even(self.carrier.address().ip()).await?);
        let (pbx_at, carrier_at) = (pbx.local_addr()?, carrier.local_addr()?);
        let (out, back) = (Stream::new(LOWEST_TONE_HZ, random), Stream::new(LOWEST_TONE_HZ, random));
        let (said_by_pbx, said_by_carrier) = tokio::join!(
            talk(&pbx, carrier_at, &out, &back, packets, self.clock),
            talk(&carrier, pbx_at, &back, &out, packets, self.clock),
        );
        let mut heard = Heard::of(&said_by_pbx.sent, &said_by_carrier.heard);
        heard.merge(&Heard::of(&said_by_carrier.sent, &said_by_pbx.heard));
        Ok(heard)
    }
}

/// What came of all of it.
#[derive(Debug)]
pub struct Outcome {
    /// Every call, in order.
    pub records: Vec<CallRecord>,
    /// RTP between the parties' addresses without an SBC, both ways taken together.
    pub straight: Heard,
}

/// Which of the two parties of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Caller,
    Callee,
}

impl CallRecord {
    fn hear(&mut self, caller: &Talk, callee: &Talk) {
        self.at_callee = Heard::of(&caller.sent, &callee.heard);
        self.at_caller = Heard::of(&callee.sent, &caller.heard);
    }

    /// Waits until a call is set up, and says where the far end wants its RTP.
    async fn wait_for_media(
        &mut self,
        role: Role,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<SocketAddr, String> {
        match timeout(EVENT_WAIT_MAX, events.recv()).await {
            Ok(Some(Event::Talking { media })) => Ok(media),
            Ok(Some(Event::Ended { result, trace })) => {
                *self.trace_mut(role) = trace;
                Err(result
                    .err()
                    .map_or_else(|| "ended before it began".to_owned(), |fault| fault.to_string()))
            }
            Ok(None) | Err(_) => Err(format!("never reached the {}", role.as_str())),
        }
    }

    /// Waits until a call is over.
    async fn wait_for_end(&mut self, role: Role, events: &mut mpsc::Receiver<Event>) -> Result<(), String> {
        match timeout(EVENT_WAIT_MAX, events.recv()).await {
            Ok(Some(Event::Ended { result, trace })) => {
                *self.trace_mut(role) = trace;
                result.map_err(|fault| fault.to_string())
            }
            Ok(Some(Event::Talking { .. }) | None) | Err(_) => {
                Err(format!("never ended at the {}", role.as_str()))
            }
        }
    }

    fn trace_mut(&mut self, role: Role) -> &mut Trace {
        match role {
            Role::Caller => &mut self.caller,
            Role::Callee => &mut self.callee,
        }
    }
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Role::Caller => "caller",
            Role::Callee => "callee",
        }
    }
}

/// One call as it is planned.
#[derive(Debug)]
struct Script {
    number: CallNumber,
    direction: Direction,
    callee_hangs_up: bool,
    pbx_number: String,
    carrier_number: String,
    caller_says: Stream,
    callee_says: Stream,
    packets: u32,
}

impl Script {
    /// Directions alternate, and so, half as often, does who hangs up. The numbers are reserved for
    /// fiction: +1 201 555 01xx and +44 20 7946 0xxx.
    fn of(number: CallNumber, packets: u32, random: &mut Random) -> Script {
        let place = number - 1;
        let tone = |stream: u16| LOWEST_TONE_HZ + (2 * place + stream) * TONE_STEP_HZ;
        Script {
            number,
            direction: if place.is_multiple_of(2) { Direction::Out } else { Direction::In },
            callee_hangs_up: place % 4 == 1 || place % 4 == 2,
            pbx_number: format!("+1201555{:04}", 100 + place),
            carrier_number: format!("+44207946{place:04}"),
            caller_says: Stream::new(tone(0), random),
            callee_says: Stream::new(tone(1), random),
            packets,
        }
    }

    /// The numbers of caller and callee.
    fn numbers(&self) -> (&str, &str) {
        match self.direction {
            Direction::Out => (&self.pbx_number, &self.carrier_number),
            Direction::In => (&self.carrier_number, &self.pbx_number),
        }
    }

    fn order(&self, next_hop: SocketAddr, media: SocketAddr) -> Order {
        let (from, to) = self.numbers();
        Order { number: self.number, from: from.to_owned(), to: to.to_owned(), next_hop, media }
    }

    fn record(&self) -> CallRecord {
        CallRecord {
            number: self.number,
            direction: self.direction,
            called: self.numbers().1.to_owned(),
            failure: None,
            caller: Trace::default(),
            callee: Trace::default(),
            talk_began: None,
            at_callee: Heard::default(),
            at_caller: Heard::default(),
        }
    }
}

/// A socket on any free even port.
async fn bind_even(address: IpAddr) -> io::Result<UdpSocket> {
    // Those with odd ports are kept until the end, so that they are not given again.
    let mut odd = Vec::new();
    for _ in 0..BIND_TRIES {
        let socket = UdpSocket::bind((address, 0)).await?;
        if socket.local_addr()?.port() % 2 == 0 {
            return Ok(socket);
        }
        odd.push(socket);
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// The two phones, each being the other's next hop: no SBC.
    async fn back_to_back(clock: Clock) -> Exchange {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let pbx = Phone::start(any, Random::from_number(1), clock).await.unwrap();
        let carrier = Phone::start(any, Random::from_number(2), clock).await.unwrap();
        let (towards_trusted, towards_untrusted) = (carrier.address(), pbx.address());
        Exchange { pbx, carrier, towards_trusted, towards_untrusted, clock }
    }

    #[tokio::test]
    async fn two_phones_back_to_back_complete_calls_both_ways() {
        let exchange = back_to_back(Clock::start()).await;
        let outcome = exchange.run(4, Duration::from_millis(200), Random::from_number(3)).await;
        assert_eq!(outcome.records.len(), 4);
        for record in &outcome.records {
            assert_eq!(record.fault(), None, "call {}", record.number);
            assert_eq!((record.at_caller.sent, record.at_callee.sent), (10, 10));
            assert!(record.invite_crossed_in().is_some());
        }
        let ends: Vec<_> = outcome.records.iter().filter_map(CallRecord::hung_up_by).collect();
        assert_eq!(ends, ["caller", "callee", "callee", "caller"]);
        assert_eq!(outcome.straight.sent, 20);
        assert!(outcome.straight.is_good());
    }

    #[tokio::test]
    async fn a_refused_call_is_no_complete_one() {
        let exchange = back_to_back(Clock::start()).await;
        // The carrier answers for nobody: its phone is told of no call.
        let script = Script::of(1, 10, &mut Random::from_number(1));
        let media = SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000));
        let mut events = exchange.pbx.place(script.order(exchange.towards_trusted, media)).await;
        let mut record = script.record();
        record.failure = record.wait_for_media(Role::Caller, &mut events).await.err();
        assert_eq!(record.fault().as_deref(), Some("INVITE was answered by 404 Not Found"));
        assert!(!record.is_complete() && record.caller.0.len() == 3);
    }

    #[test]
    fn no_two_calls_share_a_number_or_a_tone() {
        let mut random = Random::from_number(1);
        let scripts: Vec<Script> = (1..=CALLS_MAX).map(|number| Script::of(number, 1, &mut random)).collect();
        let mut called: Vec<&str> = scripts.iter().map(|script| script.numbers().1).collect();
        called.sort_unstable();
        called.dedup();
        assert_eq!(called.len(), scripts.len());
        assert!(scripts.iter().all(|script| script.pbx_number.len() == 12));
        assert_eq!(scripts[99].pbx_number, "+12015550199");
    }
}
