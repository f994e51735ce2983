//! Sets what the process does with memory: glibc's allocator for good, the collector for moments.
//!
//! Rules: the allocator is set once, when the extension is imported, and `PENSTOCK_KEEP_HEAP=0`
//! leaves it alone; the collector is paused by one counter for all workers, the first pause notes
//! whether it ran and the last one to end restores that; a forked child starts without pauses.
//!
//! Both concern the whole process. An event of 6 MB is allocated and dropped for every batch. By
//! its defaults glibc gives the top of the heap back each time, and takes a page fault per 4 KiB
//! to get it again, which is more than building the event: so up to 1 GiB of freed memory stays.
//! Every record is a container, so building an event calls for collections, which find nothing and
//! look at everything: they would double the cost. A handler that allocates still meets them.
#![allow(
    unsafe_code,
    reason = "mallopt and the collector's switch have no safe interface"
)]

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

/// The variable that leaves the allocator alone when it is `0`.
const KEEP_HEAP: &str = "PENSTOCK_KEEP_HEAP";

/// Lets the allocator keep what was freed, unless the user says no, and makes pauses of the
/// collector end in forked children.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    if env::var_os(KEEP_HEAP).is_none_or(|value| value != "0") {
        keep_freed_memory();
    }
    end_pauses_in_children(py)
}

/// The collector is off while one of these lives.
pub(crate) struct CollectorPause<'py> {
    py: Python<'py>,
}

impl<'py> CollectorPause<'py> {
    /// Switches the collector off, or keeps it off.
    pub(crate) fn begin(py: Python<'py>) -> Self {
        let mut pauses = pauses();
        if pauses.open == 0 {
            pauses.ran_before = switch_collector_off(py);
        }
        pauses.open += 1;
        Self { py }
    }
}

impl Drop for CollectorPause<'_> {
    fn drop(&mut self) {
        let mut pauses = pauses();
        pauses.open -= 1;
        if pauses.open == 0 && pauses.ran_before {
            switch_collector_on(self.py);
        }
    }
}

static PAUSES: Mutex<Pauses> = Mutex::new(Pauses {
    open: 0,
    ran_before: false,
});

struct Pauses {
    open: usize,
    ran_before: bool,
}

/// Held for a few instructions that neither detach nor run Python code.
fn pauses() -> MutexGuard<'static, Pauses> {
    PAUSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child may be forked while another thread is building; that thread is not in the child.
fn end_pauses_in_children(py: Python<'_>) -> PyResult<()> {
    let after = PyCFunction::new_closure(py, None, None, |arguments, _| {
        let mut pauses = pauses();
        if std::mem::take(&mut pauses.open) > 0 && pauses.ran_before {
            switch_collector_on(arguments.py());
        }
    })?;
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", after)?;
    py.import("os")?
        .getattr("register_at_fork")?
        .call((), Some(&hooks))?;
    Ok(())
}

/// Says whether the collector was on.
fn switch_collector_off(_attached: Python<'_>) -> bool {
    // SAFETY: attached to the interpreter; sets a flag and returns the old one.
    unsafe { ffi::PyGC_Disable() == 1 }
}

fn switch_collector_on(_attached: Python<'_>) {
    // SAFETY: attached to the interpreter; sets a flag and nothing else.
    unsafe { ffi::PyGC_Enable() };
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    const KEPT_BYTES: libc::c_int = 1 << 30;
    const TOP_PAD_BYTES: libc::c_int = 64 << 20;
    // Older glibc refuses a threshold above half of an arena's heap.
    const OLD_MMAP_BYTES: libc::c_int = 32 << 20;

    // SAFETY: mallopt takes two integers, may be called at any time and locks the arena itself; a
    // setting that it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TOP_PAD, TOP_PAD_BYTES);
        if libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, OLD_MMAP_BYTES);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
