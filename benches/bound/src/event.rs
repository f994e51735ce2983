//! Builds events by copying templates, and hands them over.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::window::Record;

/// Bytes of an event, by the count of a record's payload and what comes with it.
const EVENT_BYTES: usize = 6 * 1024 * 1024;
const OVERHEAD_BYTES: usize = 560;

/// Records that one event holds at most.
const BATCH_RECORDS: usize = 10_000;

/// What all records have in common.
pub(crate) struct Identity<'a> {
    pub(crate) shard: &'a str,
    pub(crate) role: &'a str,
    pub(crate) region: &'a str,
    pub(crate) arn: &'a str,
}

/// Builds events and calls the handler with them.
pub(crate) struct Events<'py> {
    /// Records that the handler has had.
    pub(crate) delivered: usize,
    handler: Bound<'py, PyAny>,
    outer: Bound<'py, PyDict>,
    inner: Bound<'py, PyDict>,
    keys: Keys<'py>,
    prefix: Vec<u8>,
    batch: Option<Bound<'py, PyAny>>,
    filled: usize,
    bytes: usize,
}

struct Keys<'py> {
    records: Bound<'py, PyString>,
    kinesis: Bound<'py, PyString>,
    event_id: Bound<'py, PyString>,
    partition_key: Bound<'py, PyString>,
    sequence_number: Bound<'py, PyString>,
    data: Bound<'py, PyString>,
    arrival: Bound<'py, PyString>,
}

impl<'py> Events<'py> {
    pub(crate) fn new(
        py: Python<'py>,
        identity: &Identity<'_>,
        handler: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let key = |name| PyString::intern(py, name);
        let keys = Keys {
            records: key("Records"),
            kinesis: key("kinesis"),
            event_id: key("eventID"),
            partition_key: key("partitionKey"),
            sequence_number: key("sequenceNumber"),
            data: key("data"),
            arrival: key("approximateArrivalTimestamp"),
        };
        let inner = PyDict::new(py);
        inner.set_item("kinesisSchemaVersion", "1.0")?;
        for name in [
            &keys.partition_key,
            &keys.sequence_number,
            &keys.data,
            &keys.arrival,
        ] {
            inner.set_item(name, py.None())?;
        }
        let outer = PyDict::new(py);
        outer.set_item(&keys.kinesis, py.None())?;
        outer.set_item("eventSource", "aws:kinesis")?;
        outer.set_item("eventVersion", "1.0")?;
        outer.set_item(&keys.event_id, py.None())?;
        outer.set_item("eventName", "aws:kinesis:record")?;
        outer.set_item("invokeIdentityArn", identity.role)?;
        outer.set_item("awsRegion", identity.region)?;
        outer.set_item("eventSourceARN", identity.arn)?;
        Ok(Self {
            delivered: 0,
            handler: handler.clone(),
            outer,
            inner,
            keys,
            prefix: format!("{}:", identity.shard).into_bytes(),
            batch: None,
            filled: 0,
            bytes: 0,
        })
    }

    /// Adds a record; an event that it does not fit into is handed over first.
    pub(crate) fn push(&mut self, py: Python<'py>, record: &Record<'_>) -> PyResult<()> {
        let bytes = record.data.len() + OVERHEAD_BYTES;
        if self.bytes + bytes > EVENT_BYTES {
            self.deliver(py)?;
        }
        let place = isize::try_from(self.filled)?;
        let built = self.build(py, record)?;
        if self.batch.is_none() {
            // SAFETY: attached to the interpreter. The list has holes, so the collector, which is
            // off, is not told of it before they are gone; nobody else sees it until then.
            self.batch = Some(unsafe {
                let size = BATCH_RECORDS as ffi::Py_ssize_t;
                let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(size))?;
                ffi::PyObject_GC_UnTrack(list.as_ptr().cast());
                list
            });
        }
        let Some(batch) = &self.batch else {
            unreachable!("it was just made");
        };
        assert!(self.filled < BATCH_RECORDS, "an answer has 10,000 records");
        // SAFETY: the place is in the list and empty, and takes over the reference of `built`.
        unsafe { ffi::PyList_SET_ITEM(batch.as_ptr(), place, built.into_ptr()) };
        self.filled += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Hands over what there is.
    pub(crate) fn deliver(&mut self, py: Python<'py>) -> PyResult<()> {
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        let filled = std::mem::take(&mut self.filled);
        self.bytes = 0;
        // SAFETY: cuts the places that are still empty off the end of a list that is ours alone,
        // then tells the collector of it, which it does not know yet.
        unsafe {
            let (from, to) = (filled as ffi::Py_ssize_t, BATCH_RECORDS as ffi::Py_ssize_t);
            if ffi::PyList_SetSlice(batch.as_ptr(), from, to, ptr::null_mut()) != 0 {
                return Err(PyErr::fetch(py));
            }
            ffi::PyObject_GC_Track(batch.as_ptr().cast());
        }
        let event = PyDict::new(py);
        event.set_item(&self.keys.records, batch)?;
        self.handler.call1((event, py.None()))?;
        self.delivered += filled;
        Ok(())
    }

    fn build(&self, py: Python<'py>, record: &Record<'_>) -> PyResult<Bound<'py, PyDict>> {
        let (inner, outer) = (self.inner.copy()?, self.outer.copy()?);
        let keys = &self.keys;
        inner.set_item(&keys.partition_key, text(py, [record.partition_key])?)?;
        inner.set_item(&keys.sequence_number, text(py, [record.sequence_number])?)?;
        inner.set_item(&keys.data, text(py, [record.data])?)?;
        inner.set_item(&keys.arrival, record.arrival)?;
        outer.set_item(&keys.kinesis, inner)?;
        outer.set_item(
            &keys.event_id,
            text(py, [&self.prefix, record.sequence_number])?,
        )?;
        Ok(outer)
    }
}

/// A `str` of the parts, which our server writes in ASCII.
fn text<'py, const PARTS: usize>(
    py: Python<'py>,
    parts: [&[u8]; PARTS],
) -> PyResult<Bound<'py, PyAny>> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    // SAFETY: attached to the interpreter. The string is new, has one byte per character and room
    // for `length` of them, which the loop fills. Our server writes ASCII.
    unsafe {
        let made = ffi::PyUnicode_New(length as ffi::Py_ssize_t, 127);
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        let mut place = ffi::PyUnicode_1BYTE_DATA(made.as_ptr());
        for part in parts {
            ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
            place = place.add(part.len());
        }
        Ok(made)
    }
}
