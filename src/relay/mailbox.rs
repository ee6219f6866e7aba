//! How commands reach a worker: a bounded queue and an eventfd that wakes the worker once for all
//! that was posted since it last looked.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
#[cfg(test)]
use std::sync::atomic::AtomicU8;
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

/// How a test makes a worker fail.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) enum SimulatedFault {
    Panic = 1,
    Ring,
    /// It does not come back until it is asked for anything else.
    Hang,
}

/// One worker's mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    waiting: Mutex<VecDeque<MediaCommand>>,
    /// Whether the worker was woken and has not looked yet.
    is_woken: AtomicBool,
    is_stopping: AtomicBool,
    /// Whether anybody wants copies of RTCP.
    copies_rtcp: AtomicBool,
    /// The worker has ended for good and only says so.
    is_dead: AtomicBool,
    silence: Mutex<SilenceLimits>,
    wake_up: File,
    /// How the worker shall fail next.
    #[cfg(test)]
    fault: AtomicU8,
}

impl Mailbox {
    pub(super) fn new(silence: SilenceLimits) -> io::Result<Mailbox> {
        Ok(Mailbox {
            waiting: Mutex::new(VecDeque::new()),
            is_woken: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            copies_rtcp: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
            silence: Mutex::new(silence),
            wake_up: sys::eventfd()?.into(),
            #[cfg(test)]
            fault: AtomicU8::new(0),
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
            waiting.push_back(command);
        }
        self.wake();
        Ok(())
    }

    /// Asks the worker to end.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// The worker says that it carries no media any more.
    pub(super) fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
    }

    /// Whether the worker has said that it carries no media any more.
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// Makes the worker fail.
    #[cfg(test)]
    pub(super) fn break_worker(&self, fault: SimulatedFault) {
        self.fault.store(fault as u8, Ordering::Release);
        self.wake();
    }

    /// A failure that a test asked for, once.
    #[cfg(test)]
    #[allow(clippy::panic)]
    pub(super) fn fail_if_asked(&self) -> io::Result<()> {
        const PANIC: u8 = SimulatedFault::Panic as u8;
        const RING: u8 = SimulatedFault::Ring as u8;
        const HANG: u8 = SimulatedFault::Hang as u8;
        match self.fault.swap(0, Ordering::AcqRel) {
            PANIC => panic!("a test asked for it"),
            RING => Err(io::Error::from_raw_os_error(libc::EBADR)),
            HANG => {
                while self.fault.load(Ordering::Acquire) == 0 && !self.is_stopping() {
                    std::thread::yield_now();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(super) const fn fail_if_asked(&self) -> io::Result<()> {
        Ok(())
    }

    /// Other limits; the worker reads them with its next look for silence.
    pub(super) fn set_silence(&self, limits: SilenceLimits) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// How long which silence may last. Once a look: the lock is nobody's for longer than a copy.
    pub(super) fn silence(&self) -> SilenceLimits {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the worker shall tell copies of RTCP from now on.
    pub(super) fn set_copies_rtcp(&self, wanted: bool) {
        self.copies_rtcp.store(wanted, Ordering::Relaxed);
    }

    /// Whether it shall; a plain load.
    pub(super) fn copies_rtcp(&self) -> bool {
        self.copies_rtcp.load(Ordering::Relaxed)
    }

    /// Whether the worker shall end.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Moves what waits behind `commands`; costs one load if nothing does.
    pub(super) fn take(&self, commands: &mut VecDeque<MediaCommand>) {
        // Cleared before the queue is looked at: what is posted after this wakes again.
        if self.is_woken.load(Ordering::Relaxed) && self.is_woken.swap(false, Ordering::AcqRel) {
            commands.append(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
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

    /// Makes the worker turn once, though there is nothing to do.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // Fails only where the count would overflow, and then it is readable anyway.
            let _ = (&self.wake_up).write(&1u64.to_ne_bytes());
        }
    }
}
