//! How events leave a worker, which never waits for the driver: what the channel does not take
//! stays here and is offered again.

use std::collections::VecDeque;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::media::MediaEvent;

/// Events on their way to the driver. The backlog is bounded by the commands that ask for an
/// answer, and by the notices of a session: of silence, of one-way audio, of its loss, each once in its
/// time. Keys and copies, of which there may be any number, are not sent while there is a backlog.
#[derive(Debug)]
pub(super) struct Outbox {
    channel: Sender<MediaEvent>,
    backlog: VecDeque<MediaEvent>,
}

impl Outbox {
    pub(super) fn new(channel: Sender<MediaEvent>) -> Outbox {
        Outbox { channel, backlog: VecDeque::new() }
    }

    /// Sends after all that was sent before.
    pub(super) fn send(&mut self, event: MediaEvent) {
        self.backlog.push_back(event);
        self.flush();
    }

    /// Offers the backlog again.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.channel.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => return self.backlog.push_front(event),
                // The driver has ended; nobody waits for events any more.
                Err(TrySendError::Closed(_)) => self.backlog.clear(),
            }
        }
    }

    /// Whether the driver is so far from being behind that it may be told what could as well be lost: nothing
    /// waits here, and half of the channel is empty.
    pub(super) fn has_room_for_favours(&self) -> bool {
        self.backlog.is_empty() && self.channel.capacity() > self.channel.max_capacity() / 2
    }

    /// Whether something waits to be offered again.
    pub(super) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }
}
