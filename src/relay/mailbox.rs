//! How commands reach a worker: a bounded queue and an eventfd that wakes the worker once for all
//! that was posted since it last looked.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::sys;
use crate::media::{MediaCommand, SilenceLimits};

/// Commands that wait for one worker: several for each call of a full port range.
const COMMANDS_MAX: usize = 65_536;

/// Too many commands wait for the worker; the command comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayBusy(pub Box<MediaCommand>);

impl fmt::Display for RelayBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the media relay is too far behind to take a command")
    }
}

impl std::error::Error for RelayBusy {}

/// One worker's mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    waiting: Mutex<Vec<MediaCommand>>,
    /// Whether the worker was woken and has not looked yet.
    is_woken: AtomicBool,
    is_stopping: AtomicBool,
    silence: Mutex<SilenceLimits>,
    wake_up: File,
}

impl Mailbox {
    pub(super) fn new(silence: SilenceLimits) -> io::Result<Mailbox> {
        Ok(Mailbox {
            waiting: Mutex::new(Vec::new()),
            is_woken: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            silence: Mutex::new(silence),
            wake_up: sys::eventfd()?.into(),
        })
    }

    /// Queues a command. The lock is held for a push, by the worker for a swap.
    pub(super) fn post(&self, command: MediaCommand) -> Result<(), RelayBusy> {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // There are no more `Close`s than there were `Open`s.
            if waiting.len() >= COMMANDS_MAX && !matches!(command, MediaCommand::Close { .. }) {
                return Err(RelayBusy(Box::new(command)));
            }
            waiting.push(command);
        }
        self.wake();
        Ok(())
    }

    /// Asks the worker to end.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// Other limits; the worker reads them with its next look for silence.
    pub(super) fn set_silence(&self, limits: SilenceLimits) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// How long which silence may last. Once a look: the lock is nobody's for longer than a copy.
    pub(super) fn silence(&self) -> SilenceLimits {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the worker shall end.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Moves what waits into `commands`, which is empty; costs one load if nothing does.
    pub(super) fn take(&self, commands: &mut Vec<MediaCommand>) {
        // Cleared before the queue is looked at: what is posted after this wakes again.
        if self.is_woken.load(Ordering::Relaxed) && self.is_woken.swap(false, Ordering::AcqRel) {
            mem::swap(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner), commands);
        }
    }

    /// The eventfd that is readable when the worker was woken.
    pub(super) fn wake_up_fd(&self) -> RawFd {
        self.wake_up.as_raw_fd()
    }

    /// Makes the eventfd unreadable again. To be called only when it is readable.
    pub(super) fn acknowledge(&self) {
        let _ = (&self.wake_up).read(&mut [0u8; 8]);
    }

    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // Fails only where the count would overflow, and then it is readable anyway.
            let _ = (&self.wake_up).write(&1u64.to_ne_bytes());
        }
    }
}
