//! The extension module `penstock._penstock`: everything that crosses between Python and Rust.
//!
//! Rules: no callbacks into Python and no Python objects kept; only threads that Python made, in
//! calls that Python made, touch the interpreter; no lock of ours is held across an attach or
//! detach; every wait is bounded; every failure becomes an exception in `errors`.

mod config;
mod documents;
mod errands;
mod errors;
mod event;
mod facts;
mod filter;
mod heap;
mod invocation;
mod json;
mod moves;
mod queues;
mod registry;
mod response;
mod running;
mod runtime;
mod shm;
mod streams;

use pyo3::pymodule;

/// The names that Python sees.
#[pymodule]
mod _penstock {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::config::{config_fields, normalize};
    #[pymodule_export]
    use crate::facts::{debug_build, error_codes, features, version};
    #[pymodule_export]
    use crate::filter::matches;
    #[pymodule_export]
    use crate::invocation::Invocation;
    #[pymodule_export]
    use crate::runtime::Runtime;
    #[pymodule_export]
    use crate::shm::{Inbox, Outbox};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::heap::prepare(module.py())
    }
}
