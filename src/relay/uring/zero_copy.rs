//! Whether to send without a copy (`SEND_ZC` out of the registered receive buffers): decided once,
//! when the relay starts.
//!
//! Such a send spares the copy of the payload, and costs a notification: the kernel keeps the buffer
//! until the network card has read it, and says so with a completion of its own. What the copy of an
//! RTP packet costs is known (172 bytes: some ten nanoseconds). So the measurement weighs the rest, on
//! loopback, where the kernel has to copy in either case. That is the worst case for it: over a card
//! it would gain those ten nanoseconds, which is no more than the measurement's error.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::Socket;

use super::super::settings::ZeroCopy;
use super::super::sys;
use super::buffers::BufferId;
use super::pace::Wait;
use super::ring::{Completion, Ring};
use super::self_test::{self, FIRST, SECOND};

/// A packet of 20 ms of G.711.
const PACKET: [u8; 172] = [0xd5; 172];
/// Packets of one measurement, all of which wait in one socket.
const PACKETS: usize = 24;
/// Measurements of each kind, in turn; the best of each counts, for what disturbs one only adds.
const ROUNDS: usize = 8;
/// Percent of the copying send's cost below which the other is taken.
const TAKEN_BELOW: u128 = 95;
/// Waits of [`WAIT`] before the kernel is given up.
const WAITS_MAX: usize = 50;
const WAIT: Duration = Duration::from_millis(2);

/// Decides for a ring that has nothing under way. `is_first`: of several workers, so that one alone
/// says what came of it.
pub(super) fn choose(ring: &mut Ring, setting: ZeroCopy, is_first: bool) {
    if setting == ZeroCopy::Off {
        return;
    }
    let chosen = ring.prepare_sends_without_copy().and_then(|()| {
        ring.send_without_copy(true);
        // What is not relayed rightly is not chosen, whatever it costs.
        self_test::run(ring)?;
        match setting {
            ZeroCopy::On | ZeroCopy::Off => Ok(None),
            ZeroCopy::Auto => measure(ring).map(Some),
        }
    });
    ring.send_without_copy(match &chosen {
        Ok(costs) => costs.is_none_or(|costs| costs.is_gain()),
        Err(_) => false,
    });
    tell(setting, chosen, is_first);
}

fn tell(setting: ZeroCopy, chosen: io::Result<Option<Costs>>, is_first: bool) {
    match chosen {
        Ok(_) if !is_first => {}
        Ok(None) => tracing::info!("media is sent without a copy, as media.zero_copy wants it"),
        Ok(Some(costs)) => tracing::info!(
            copied_ns = costs.copied.as_nanos() / PACKETS as u128,
            zero_copy_ns = costs.zero_copy.as_nanos() / PACKETS as u128,
            zero_copy = costs.is_gain(),
            "media.zero_copy = \"auto\" has measured what a packet costs"
        ),
        Err(error) if setting == ZeroCopy::On => {
            tracing::warn!(%error, "media.zero_copy = \"on\" has no effect: the kernel refuses it");
        }
        Err(error) => tracing::info!(%error, "media is sent with a copy: the kernel refuses to do without"),
    }
}

/// CPU time of [`PACKETS`] sends.
#[derive(Clone, Copy)]
struct Costs {
    copied: Duration,
    zero_copy: Duration,
}

impl Costs {
    fn is_gain(&self) -> bool {
        100 * self.zero_copy.as_nanos() < TAKEN_BELOW * self.copied.as_nanos()
    }
}

/// Sends packets of RTP's size both ways in turn.
fn measure(ring: &mut Ring) -> io::Result<Costs> {
    let (outside, sink) = (self_test::bind()?, self_test::bind()?);
    let (first, second) = (self_test::bind()?, self_test::bind()?);
    let (first_address, sink_address) = (self_test::local_address(&first)?, self_test::local_address(&sink)?);
    ring.add_file(FIRST, first)?;
    ring.add_file(SECOND, second)?;
    ring.receive(FIRST);
    let mut costs = Costs { copied: Duration::MAX, zero_copy: Duration::MAX };
    let mut measured = Ok(());
    for round in 0..2 * ROUNDS {
        let zero_copy = round % 2 == 1;
        ring.send_without_copy(zero_copy);
        match measure_once(ring, &outside, first_address, sink_address) {
            Ok(cost) if zero_copy => costs.zero_copy = costs.zero_copy.min(cost),
            Ok(cost) => costs.copied = costs.copied.min(cost),
            Err(error) => {
                measured = Err(error);
                break;
            }
        }
        drain(&sink);
    }
    self_test::close(ring, FIRST)?;
    ring.remove_file(SECOND);
    measured.map(|()| costs)
}

/// The CPU time from the first send's request until every buffer is free again.
fn measure_once(
    ring: &mut Ring,
    outside: &Socket,
    relay: SocketAddr,
    sink: SocketAddr,
) -> io::Result<Duration> {
    for _ in 0..PACKETS {
        outside.send_to(&PACKET, &relay.into())?;
    }
    let buffers = receive(ring)?;
    let before = sys::thread_cpu_time()?;
    for buffer in buffers {
        ring.send(FIRST, SECOND, buffer, PACKET.len(), sink);
    }
    let mut completions = Vec::with_capacity(2 * PACKETS);
    for _ in 0..WAITS_MAX {
        ring.finish_sends(&mut completions)?;
        if ring.sends_under_way() == 0 {
            return Ok(sys::thread_cpu_time()?.saturating_sub(before));
        }
    }
    Err(io::Error::other("io_uring does not complete a send"))
}

/// Waits for the packets that were sent to [`FIRST`].
fn receive(ring: &mut Ring) -> io::Result<Vec<BufferId>> {
    let (mut buffers, mut completions) = (Vec::new(), Vec::new());
    for _ in 0..WAITS_MAX {
        ring.wait(Wait::First, Some(WAIT), &mut completions)?;
        for completion in completions.drain(..) {
            match completion {
                Completion::Datagram { slot: FIRST, buffer, is_last, .. } => {
                    buffers.push(buffer);
                    if is_last {
                        ring.receive(FIRST);
                    }
                }
                Completion::ReceiveEnded { slot: FIRST, .. } => ring.receive(FIRST),
                _ => {}
            }
        }
        if buffers.len() >= PACKETS {
            return Ok(buffers);
        }
    }
    for buffer in buffers {
        ring.discard(buffer);
    }
    Err(io::Error::other("packets were lost over loopback"))
}

fn drain(sink: &Socket) {
    let mut bytes = [std::mem::MaybeUninit::uninit(); 256];
    for _ in 0..PACKETS {
        if sink.recv(&mut bytes).is_err() {
            return;
        }
    }
}
