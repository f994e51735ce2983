//! Counts what is allocated.
#![allow(unsafe_code, reason = "an allocator has no safe interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The program's allocator.
#[global_allocator]
pub(crate) static COUNTER: Counter = Counter(AtomicU64::new(0));

/// The system's allocator, with a count.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Allocations until now; a block that grows counts again.
    pub(crate) fn made(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// SAFETY: every call is the system's own, which keeps the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on, and every block is the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.0.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on, and every block is the system's.
        unsafe { System.realloc(block, layout, size) }
    }
}
