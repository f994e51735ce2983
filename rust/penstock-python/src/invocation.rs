//! Shows one call to make to Python.
//!
//! Rules: frozen; it keeps its records alive until it is dropped, and every event is built anew
//! from them, so that a retry sees what the first attempt saw.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::event::json::JsonSink;
use penstock_engine::event::{self, ENVELOPE_BYTES, EventContext};
use penstock_runtime::clock::Clock;
use penstock_runtime::exchange::Delivery;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::{self, Failure};
use crate::event as dictionaries;

/// One call to make.
#[pyclass(frozen, module = "penstock._penstock")]
pub(crate) struct Invocation {
    delivery: Arc<Delivery>,
    clock: Arc<dyn Clock>,
}

impl Invocation {
    pub(crate) fn new(delivery: Arc<Delivery>, clock: Arc<dyn Clock>) -> Self {
        Self { delivery, clock }
    }

    /// What it was made of.
    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The clock of its deadline.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn context(&self) -> EventContext<'_> {
        EventContext {
            shard: &self.delivery.invocation.shard,
            config: &self.delivery.config,
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let (context, batch) = (self.context(), &self.delivery.invocation.batch);
        let weights: u64 = (0..batch.len())
            .map(|index| u64::from(batch.facts(index).weight))
            .sum();
        let constant = (event::constant_bytes(&context) + 1) * batch.len() as u64;
        let window = self.delivery.invocation.window.as_ref();
        let members = window.map_or(0, |call| {
            event::window::bytes(call, context.shard, context.config)
        });
        let bytes = usize::try_from(ENVELOPE_BYTES + weights + constant + members).unwrap_or(0);
        let mut sink = JsonSink::with_capacity(bytes);
        let Ok(()) = event::walk_window(&context, batch, window, &mut sink);
        sink.into_bytes()
    }
}

#[pymethods]
impl Invocation {
    /// Names it within its mapping.
    #[getter]
    fn id(&self) -> u64 {
        self.delivery.invocation.id.0
    }

    /// The mapping's id.
    #[getter]
    fn mapping(&self) -> &str {
        self.delivery.mapping.as_str()
    }

    /// The name under which the handler is registered.
    #[getter]
    fn handler(&self) -> &str {
        &self.delivery.config.function.handler
    }

    /// 1 for the first call with exactly these records, then 2, and so on.
    #[getter]
    fn attempt(&self) -> u32 {
        self.delivery.invocation.attempt
    }

    /// The id that the handler sees; the same for every retry of one batch.
    #[getter]
    fn request_id(&self) -> String {
        self.delivery.invocation.request_id.to_string()
    }

    /// The shard of all its records.
    #[getter]
    fn shard(&self) -> &str {
        self.delivery.invocation.shard.as_str()
    }

    /// The lane of all its records.
    #[getter]
    fn lane(&self) -> u8 {
        self.delivery.invocation.lane
    }

    /// The number that proves the lease under which the shard is read.
    #[getter]
    fn fence(&self) -> u64 {
        self.delivery.invocation.fence.0
    }

    /// Milliseconds until the function's timeout by the runtime's clock; may be negative.
    #[getter]
    fn remaining_ms(&self) -> i64 {
        let deadline = self.delivery.invocation.deadline;
        let now = self.clock.now().mono;
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        if now <= deadline {
            millis(deadline - now)
        } else {
            -millis(now - deadline)
        }
    }

    /// How many records.
    #[getter]
    fn record_count(&self) -> usize {
        self.delivery.invocation.batch.len()
    }

    /// Builds the event anew, as plain dictionaries.
    fn event<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        errors::contained(|| {
            let invocation = &self.delivery.invocation;
            let (batch, window) = (&invocation.batch, invocation.window.as_ref());
            dictionaries::build(py, &self.context(), batch, window)
        })
    }

    /// Writes the event anew, as compact JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let text = errors::contained(|| Ok::<_, Failure>(py.detach(|| self.encoded())))?;
        Ok(PyBytes::new(py, &text))
    }

    fn __repr__(&self) -> String {
        let Delivery {
            mapping,
            invocation,
            ..
        } = &*self.delivery;
        let (id, attempt, records) = (invocation.id.0, invocation.attempt, invocation.batch.len());
        format!("<Invocation {id} of {mapping}: {records} records, attempt {attempt}>")
    }
}
