//! The floor under every relay on io_uring: receive, send, nothing else. No session, no check of the source or
//! of RTP, no counter but one. `relay_cpu` measures it beside the relay, with the same load in the same run.
//!
//! `connected`: sockets that know their one peer, so that the kernel looks up no route for a send and needs
//! no address for a receive. It is what a latched flow could be at the best.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a measurement, not a program: it has one input, its own"
)]

use std::alloc::{Layout, alloc_zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{BufRingEntry, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

const BUFFERS: u16 = 1_024;
const BUFFER_BYTES: usize = 2_048;
/// The header and the room for a name before each payload of multishot `recvmsg`.
const HEADER_BYTES: usize = 16;
const NAME_BYTES: usize = size_of::<libc::sockaddr_in>();

/// One port: where it is bound, from which port of the list it is sent on, and to where.
pub struct Port {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub out: usize,
}

/// A running floor. It waits for as many packets as the relay would.
pub struct Floor {
    pub forwarded: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Floor {
    pub fn start(ports: Vec<Port>, connected: bool, batch: usize) -> Floor {
        let (forwarded, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, is_over) = (Arc::clone(&forwarded), Arc::clone(&stop));
        let (ready, is_ready) = channel();
        let thread = std::thread::Builder::new()
            .name("relay-floor".to_owned())
            .spawn(move || run(&ports, connected, batch, &count, &is_over, &ready))
            .unwrap();
        is_ready.recv().unwrap();
        Floor { forwarded, stop, thread: Some(thread) }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(
    ports: &[Port],
    connected: bool,
    batch: usize,
    forwarded: &AtomicU64,
    stop: &AtomicBool,
    ready: &Sender<()>,
) {
    let sockets: Vec<UdpSocket> = ports.iter().map(|port| UdpSocket::bind(port.local).unwrap()).collect();
    if connected {
        for (socket, port) in sockets.iter().zip(ports) {
            socket.connect(port.peer).unwrap();
        }
    }
    let names: Vec<libc::sockaddr_in> = ports.iter().map(|port| name(port.peer)).collect();
    let mut ring = IoUring::builder()
        .setup_cqsize(8_192)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_no_sqarray()
        .build(1_024)
        .unwrap();
    let files: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    ring.submitter().register_files(&files).unwrap();
    let buffers = Buffers::register(&ring);
    // SAFETY: all-zero bytes are an empty header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_namelen = NAME_BYTES as u32;
    let receive = |ring: &mut IoUring, port: usize| {
        let file = Fixed(port as u32);
        let request = if connected {
            opcode::RecvMulti::new(file, 0).build()
        } else {
            opcode::RecvMsgMulti::new(file, &raw const message, 0).build()
        };
        // SAFETY: the header and the buffers outlive the ring.
        while unsafe { ring.submission().push(&request.clone().user_data(1 << 32 | port as u64)) }.is_err() {
            ring.submit().unwrap();
        }
    };
    for port in 0..ports.len() {
        receive(&mut ring, port);
    }
    let (payload_at, most) =
        (if connected { 0 } else { HEADER_BYTES + NAME_BYTES }, Timespec::from(Duration::from_millis(5)));
    let _ = ready.send(());
    let (mut arrived, mut spent) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Acquire) {
        let waiting = SubmitArgs::new().timespec(&most);
        let _ = ring.submitter().submit_with_args(batch, &waiting);
        buffers.give_back(&mut spent);
        arrived.extend(ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        let mut count = 0;
        for (user_data, result, flags) in arrived.drain(..) {
            let port = user_data as u32 as usize;
            if user_data >> 32 != 1 {
                continue;
            }
            if let (Some(buffer), true) = (cqueue::buffer_select(flags), result >= 0) {
                let out = ports[port].out;
                let length = result as usize - payload_at;
                let send =
                    opcode::Send::new(Fixed(out as u32), buffers.payload(buffer, payload_at), length as u32)
                        .flags(libc::MSG_DONTWAIT);
                let send = if connected {
                    send
                } else {
                    send.dest_addr((&raw const names[out]).cast()).dest_addr_len(NAME_BYTES as u32)
                };
                let request = send.build().flags(Flags::SKIP_SUCCESS);
                // SAFETY: the buffer is given back after its send was submitted.
                while unsafe { ring.submission().push(&request) }.is_err() {
                    ring.submit().unwrap();
                }
                spent.push(buffer);
                count += 1;
            }
            if !cqueue::more(flags) {
                receive(&mut ring, port);
            }
        }
        forwarded.fetch_add(count, Ordering::Relaxed);
    }
    // Closes the sockets now, not when the kernel finds time for it.
    let _ = ring.submitter().unregister_files();
}

struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
}

impl Buffers {
    /// Never freed: a measurement ends with its process.
    fn register(ring: &IoUring) -> Buffers {
        let pages = |bytes: usize| Layout::from_size_align(bytes, 4_096).unwrap();
        // SAFETY: neither layout is empty.
        let (entries, memory) = unsafe {
            let entries = alloc_zeroed(pages(usize::from(BUFFERS) * size_of::<BufRingEntry>()));
            (entries.cast(), alloc_zeroed(pages(usize::from(BUFFERS) * BUFFER_BYTES)))
        };
        let buffers = Buffers { ring: entries, memory };
        // SAFETY: page-aligned memory of that many entries that is never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0) }.unwrap();
        buffers.give_back(&mut (0..BUFFERS).collect());
        buffers
    }

    fn payload(&self, buffer: u16, at: usize) -> *const u8 {
        // SAFETY: the number is one of ours and the offset lies within a buffer.
        unsafe { self.memory.add(usize::from(buffer) * BUFFER_BYTES + at) }
    }

    fn give_back(&self, spent: &mut Vec<u16>) {
        // SAFETY: the pointer is to the ring's tail; entries beyond it are ours.
        unsafe {
            let shared = AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut());
            let mut tail = shared.load(Ordering::Relaxed);
            for buffer in spent.drain(..) {
                let entry = &mut *self.ring.add(usize::from(tail & (BUFFERS - 1)));
                entry.set_addr(self.payload(buffer, 0) as u64);
                entry.set_len(BUFFER_BYTES as u32);
                entry.set_bid(buffer);
                tail = tail.wrapping_add(1);
            }
            shared.store(tail, Ordering::Release);
        }
    }
}

fn name(address: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else { unreachable!("the load is on IPv4") };
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}
