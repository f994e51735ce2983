//! Does the least that delivers Lambda's event: the bound that penstock is measured against.
//!
//! One thread fetches over a bare socket, scans what is in the window, copies templates, calls the
//! handler and drops the event. No rules, retries, checkpoints, lanes, TLS, signatures, and no
//! answer but a well-formed one of our own server: a yardstick, not a poller. It keeps to the same
//! events, which `make bench` compares before it measures.
//!
//! Rules: the collector is off from a request to the end of its answer, as penstock keeps it off
//! while it builds; records are built while their bytes are still in the cache.
#![allow(
    unsafe_code,
    reason = "the bound is what can be had from the interpreter when nothing stands in between"
)]

mod event;
mod heap;
mod window;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::event::{Events, Identity};
use crate::window::Window;

/// The smallest program that delivers events.
#[pymodule]
mod penstock_bound {
    #[pymodule_export]
    use super::drain;
}

/// Calls `handler` with events until it has seen so many records.
///
/// # Errors
///
/// When the connection or the handler fails, or an answer is not as our server writes it.
#[pyfunction]
#[pyo3(signature = (port, iterator, records, handler, *, shard, role, region, arn))]
#[allow(
    clippy::too_many_arguments,
    reason = "a bench's harness names them all"
)]
fn drain(
    py: Python<'_>,
    port: u16,
    mut iterator: String,
    records: usize,
    handler: &Bound<'_, PyAny>,
    shard: &str,
    role: &str,
    region: &str,
    arn: &str,
) -> PyResult<()> {
    heap::keep(py);
    let identity = Identity {
        shard,
        role,
        region,
        arn,
    };
    let mut events = Events::new(py, &identity, handler)?;
    let mut window = Window::connect(port).map_err(PyOSError::new_err)?;
    while events.delivered < records {
        let _pause = heap::Pause::begin(py);
        window.ask(&iterator).map_err(PyOSError::new_err)?;
        while !window.is_over() {
            py.detach(|| window.fill()).map_err(PyOSError::new_err)?;
            while let Some(record) = window.next_record() {
                events.push(py, &record)?;
            }
            window.shift();
        }
        iterator = window.next_iterator().to_owned();
        events.deliver(py)?;
    }
    Ok(())
}
