//! Parsing takes nothing from the heap: a message is its bytes and an index on the stack.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test finds wrong ends it")]
#![allow(unsafe_code, reason = "a counting allocator is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use drawbridge::sip::{Header, Message};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; the count is a thread's own and needs no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INVITE: &[u8] = include_bytes!("../bench/invite.sip");

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn an_invite_is_parsed_and_read_without_the_heap() {
    // The first clone of a Bytes that came from a Vec allocates its counter, once.
    let bytes = Bytes::from_static(INVITE);
    let count = allocations(|| {
        let message = Message::parse(bytes.clone()).unwrap();
        assert_eq!(message.fault(), None);
        assert_eq!(message.fields().count(), 14);
        assert!(message.top_via().unwrap().branch().is_some());
        assert!(message.from().unwrap().tag().is_some() && message.to().unwrap().uri().is_ok());
        assert!(message.contact().unwrap().uri().is_ok() && message.cseq().is_some());
        assert!(message.lists_token(Header::Supported, "timer"));
        assert!(message.has_body_type("application/sdp") && !message.body().is_empty());
    });
    assert_eq!(count, 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}
