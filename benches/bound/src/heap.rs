//! Keeps freed memory, and the collector away, as the extension does.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Freed memory that stays.
const KEPT_BYTES: libc::c_int = 1 << 30;

/// Blocks of half a kilobyte, together more than the small objects of an event.
const BLOCKS: usize = 32_768;

/// One in so many blocks stays: at least one in each arena of the interpreter's allocator.
const STAYS: usize = 256;

/// The collector is off while one of these lives.
pub(crate) struct Pause<'py> {
    ran_before: bool,
    _py: Python<'py>,
}

impl<'py> Pause<'py> {
    pub(crate) fn begin(py: Python<'py>) -> Self {
        // SAFETY: attached to the interpreter; sets a flag and returns the old one.
        let ran_before = unsafe { ffi::PyGC_Disable() } == 1;
        Self {
            ran_before,
            _py: py,
        }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if self.ran_before {
            // SAFETY: attached to the interpreter, as `_py` says; sets a flag.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

/// Lets neither allocator give memory back.
pub(crate) fn keep(py: Python<'_>) {
    // SAFETY: mallopt takes two integers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
    }
    // An arena of the interpreter's own allocator goes back when it is empty: blocks that are
    // never freed keep it.
    let blocks: Vec<_> = (0..BLOCKS).map(|_| PyBytes::new(py, &[0; 470])).collect();
    for (index, block) in blocks.into_iter().enumerate() {
        if index % STAYS == 0 {
            std::mem::forget(block);
        }
    }
}
