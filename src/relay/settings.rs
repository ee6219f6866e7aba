//! What the relay is started with, and what it makes of it: filled by `config`, plain values.

use std::time::Duration;

use crate::media::SilenceLimits;

/// The longest `media.batch`: what a phone's jitter buffer does not notice.
pub const BATCH_MAX: Duration = Duration::from_millis(5);
/// The longest `media.busy_poll`.
pub const BUSY_POLL_MAX: Duration = Duration::from_millis(1);

/// What the relay is started with, filled by `config`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelaySettings {
    /// Threads, at least one.
    pub workers: usize,
    /// How packets are moved.
    pub engine: EngineChoice,
    /// How long which silence may last before it is told.
    pub silence: SilenceLimits,
    /// `media.batch`: for how long packets may gather before a worker is woken for them, at most
    /// [`BATCH_MAX`]. It delays a packet of even traffic by this at most; zero wakes for each.
    pub batch: Duration,
    /// `media.zero_copy`.
    pub zero_copy: ZeroCopy,
    /// `media.busy_poll`: for how long a waiting worker asks the network card instead of sleeping, at
    /// most [`BUSY_POLL_MAX`]; zero: not at all.
    pub busy_poll: Duration,
    /// `media.pin`: each worker keeps to a core of its own where there are as many workers as cores.
    pub pin: bool,
    /// What is not to be used although the kernel has it: the kernels of others, for tests.
    #[doc(hidden)]
    pub without: Features,
}

impl RelaySettings {
    /// These (of silence that of the whole call alone), and for the rest what `config` has by default, but no pinned threads.
    pub const fn new(workers: usize, engine: EngineChoice, timeout: Duration) -> RelaySettings {
        RelaySettings {
            workers,
            engine,
            silence: SilenceLimits::only(timeout),
            batch: Duration::from_micros(200),
            zero_copy: ZeroCopy::Off,
            busy_poll: Duration::ZERO,
            pin: false,
            without: Features::NONE,
        }
    }
}

/// `media.engine`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EngineChoice {
    /// io_uring where it is to be had, else the portable engine, with one warning.
    #[default]
    Auto,
    /// io_uring or no start.
    IoUring,
    /// epoll, `recvmmsg` and `sendmmsg`.
    Portable,
}

/// `media.zero_copy`: whether the kernel sends out of the receive buffer itself (`SEND_ZC`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ZeroCopy {
    /// Where a measurement at the start says that it is cheaper.
    #[default]
    Auto,
    /// Wherever the kernel can.
    On,
    /// Never.
    Off,
}

impl ZeroCopy {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            ZeroCopy::Auto => "auto",
            ZeroCopy::On => "on",
            ZeroCopy::Off => "off",
        }
    }
}

/// Parts of io_uring that a kernel may lack; true: done without.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Features {
    /// All of it, as a container's filter refuses it.
    pub io_uring: bool,
    /// `IORING_SETUP_SINGLE_ISSUER` (6.0).
    pub single_issuer: bool,
    /// `IORING_SETUP_DEFER_TASKRUN` (6.1).
    pub defer_taskrun: bool,
    /// `IORING_SETUP_COOP_TASKRUN` (5.19).
    pub coop_taskrun: bool,
    /// `IORING_FEAT_MIN_TIMEOUT` (6.12).
    pub min_wait: bool,
    /// The ring's own file table.
    pub fixed_files: bool,
    /// `IORING_REGISTER_PBUF_RING` (5.19).
    pub buffer_ring: bool,
    /// `IORING_FEAT_CQE_SKIP` (5.17).
    pub skip_success: bool,
    /// Multishot `IORING_OP_RECVMSG` (6.0).
    pub multishot: bool,
    /// `IORING_OP_SEND_ZC` (6.0).
    pub send_zc: bool,
    /// `IORING_REGISTER_NAPI` (6.9).
    pub napi: bool,
}

impl Features {
    /// Done without nothing.
    pub const NONE: Features = Features {
        io_uring: false,
        single_issuer: false,
        defer_taskrun: false,
        coop_taskrun: false,
        min_wait: false,
        fixed_files: false,
        buffer_ring: false,
        skip_success: false,
        multishot: false,
        send_zc: false,
        napi: false,
    };
}
