//! Builds a handler's event as plain dictionaries.
//!
//! Rules: every event is fresh, nothing of it is shared with another but interned keys and texts
//! that never change; members stand in the order of the template; no Python object outlives the
//! build; between slices another thread that waits for the interpreter gets it, so that a large
//! event does not hold it up.
//!
//! A record is a copy of a template dictionary with the varying members put in, and its texts are
//! made in place: together these are twice as fast as the plain way.
#![allow(
    unsafe_code,
    reason = "texts made in place and a list filled in place are not in pyo3's safe interface"
)]

use std::{ptr, slice};

use penstock_engine::event::{
    self, EventContext, EventSink, Member, RecordTemplate, Slot, WindowMembers,
};
use penstock_engine::event::{Value, Varying, kinesis};
use penstock_engine::io::TumblingCall;
use penstock_engine::record::{Batch, RecordView};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString};

use crate::heap::CollectorPause;
use crate::json::JsonBuilder;

/// After so many records the interpreter is offered to others: less than a millisecond's work.
const SLICE_RECORDS: usize = 512;

/// Builds the event of a batch.
pub(crate) fn build<'py>(
    py: Python<'py>,
    context: &EventContext<'_>,
    batch: &Batch,
    window: Option<&TumblingCall>,
) -> PyResult<Bound<'py, PyDict>> {
    // Off before the first template exists and on again only after the whole event does: a pause
    // that ends earlier only puts the collection off to the next allocation.
    let _pause = CollectorPause::begin(py);
    let mut sink = DictSink {
        py,
        form: None,
        items: JsonBuilder::new(py),
        records: None,
        turn: None,
        event: PyDict::new(py),
    };
    event::walk_window(context, batch, window, &mut sink)?;
    Ok(sink.event)
}

struct DictSink<'py> {
    py: Python<'py>,
    form: Option<Form<'py>>,
    items: JsonBuilder<'py>,
    records: Option<Records<'py>>,
    turn: Option<Turn<'py>>,
    event: Bound<'py, PyDict>,
}

impl EventSink for DictSink<'_> {
    type Error = PyErr;

    fn begin(&mut self, template: &RecordTemplate<'_>, records: usize) -> PyResult<()> {
        self.form = Some(Form::of(self.py, &template.members)?);
        self.records = Some(Records::with_len(self.py, records)?);
        Ok(())
    }

    fn record(&mut self, view: &RecordView<'_>) -> PyResult<()> {
        let (Some(form), Some(records)) = (&self.form, &mut self.records) else {
            unreachable!("a walk begins before it shows records");
        };
        records.push(form.fill(self.py, view, &mut self.items)?);
        if !records.filled.is_multiple_of(SLICE_RECORDS) {
            return Ok(());
        }
        match &self.turn {
            Some(turn) => turn.offer(),
            None => self.turn.insert(Turn::new(self.py)?).offer(),
        }
    }

    fn end(&mut self, window: Option<&WindowMembers<'_>>) -> PyResult<()> {
        let Some(records) = self.records.take() else {
            unreachable!("a walk begins before it ends");
        };
        let key = |name| PyString::intern(self.py, name);
        self.event.set_item(key("Records"), records.finish())?;
        let Some(window) = window else {
            return Ok(());
        };
        let bounds = PyDict::new(self.py);
        bounds.set_item(key("start"), &window.start)?;
        bounds.set_item(key("end"), &window.end)?;
        self.event.set_item(key("shardId"), window.shard)?;
        self.event
            .set_item(key("eventSourceARN"), window.source_arn)?;
        self.event.set_item(key("window"), bounds)?;
        self.event
            .set_item(key("state"), self.items.value(window.state)?)?;
        self.event
            .set_item(key("isFinalInvokeForWindow"), window.is_final)?;
        self.event
            .set_item(key("isWindowTerminatedEarly"), window.terminated_early)
    }
}

/// Gives the interpreter to a thread that has waited for a switch interval, as Python code does
/// between its own instructions; costs a call of an empty function while nobody waits.
///
/// Detaching and attaching again would not do: the waiting thread is woken, finds the interpreter
/// taken once more and starts its interval anew, so that it starves while slices are shorter.
struct Turn<'py>(Bound<'py, PyAny>);

impl<'py> Turn<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        let globals = PyDict::new(py);
        py.eval(c"lambda: None", Some(&globals), None).map(Self)
    }

    /// Fails with what the interpreter raises between instructions: an interrupt, for one.
    fn offer(&self) -> PyResult<()> {
        self.0.call0().map(drop)
    }
}

/// An object of the event: a dictionary to copy, and what is put into each copy.
struct Form<'py> {
    template: Bound<'py, PyDict>,
    fills: Vec<(Bound<'py, PyString>, Fill<'py>)>,
}

enum Fill<'py> {
    Slot(Slot),
    Optional(Slot),
    Joined(String, Slot),
    Object(Form<'py>),
}

impl<'py> Form<'py> {
    fn of(py: Python<'py>, members: &[Member<'_>]) -> PyResult<Self> {
        let template = PyDict::new(py);
        let mut fills = Vec::new();
        for member in members {
            let key = PyString::intern(py, member.key);
            let fill = match &member.value {
                Value::Text(constant) => {
                    template.set_item(key, text(py, [constant])?)?;
                    continue;
                }
                Value::Varying(slot) => Fill::Slot(*slot),
                Value::Optional(slot) => Fill::Optional(*slot),
                // The template's null stays where the slot is empty.
                Value::Nullable(slot) => Fill::Slot(*slot),
                Value::Joined(prefix, slot) => Fill::Joined((*prefix).to_owned(), *slot),
                Value::Object(members) => Fill::Object(Self::of(py, members)?),
            };
            // Keeps the member's place in the order.
            template.set_item(&key, py.None())?;
            fills.push((key, fill));
        }
        Ok(Self { template, fills })
    }

    fn fill(
        &self,
        py: Python<'py>,
        view: &RecordView<'_>,
        items: &mut JsonBuilder<'py>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let object = self.template.copy()?;
        for (key, fill) in &self.fills {
            match fill {
                Fill::Slot(slot) | Fill::Optional(slot) => match slot.of(view) {
                    Varying::Text(value) | Varying::Plain(value) | Varying::Quoted(value) => {
                        object.set_item(key, text(py, [value])?)?;
                    }
                    Varying::Seconds(moment) => {
                        object.set_item(key, PyFloat::new(py, kinesis::arrival_seconds(moment)))?;
                    }
                    Varying::Number(number) => object.set_item(key, number)?,
                    Varying::Json(json) => object.set_item(key, items.value(json)?)?,
                    Varying::Absent if matches!(fill, Fill::Optional(_)) => object.del_item(key)?,
                    Varying::Absent => {}
                },
                Fill::Joined(prefix, slot) => {
                    if let Varying::Text(value) | Varying::Plain(value) = slot.of(view) {
                        object.set_item(key, text(py, [prefix, ":", value])?)?;
                    }
                }
                Fill::Object(form) => object.set_item(key, form.fill(py, view, items)?)?,
            }
        }
        Ok(object)
    }
}

/// Makes a `str` of the parts, written straight into it when they are ASCII.
///
/// The parts come from a page that is cold by now: they are read once, by the copy, and what was
/// copied is looked at where it is hot.
pub(crate) fn text<'py, const PARTS: usize>(
    py: Python<'py>,
    parts: [&str; PARTS],
) -> PyResult<Bound<'py, PyString>> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let size = ffi::Py_ssize_t::try_from(length)?;
    // SAFETY: attached to the interpreter. The new string is ours alone until it is returned, has
    // one byte per character because its greatest character is 127, and has room for `length` of
    // them, which the loop fills exactly. It is returned only when every byte is ASCII; one that
    // is not is freed, which looks at none. For a length of 0 the interpreter gives its shared
    // empty string, and nothing is written.
    unsafe {
        let made = ffi::PyUnicode_New(size, 127);
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        let start = ffi::PyUnicode_1BYTE_DATA(made.as_ptr());
        let mut place = start;
        for part in parts {
            ptr::copy_nonoverlapping(part.as_ptr(), place, part.len());
            place = place.add(part.len());
        }
        if is_ascii(slice::from_raw_parts(start, length)) {
            return Ok(made.cast_into_unchecked());
        }
    }
    Ok(PyString::new(py, &parts.concat()))
}

/// Texts from this length on are worth asking what the processor can do.
const LONG_TEXT: usize = 256;

/// Whether all bytes are ASCII.
fn is_ascii(text: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if text.len() >= LONG_TEXT && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was made for.
        return unsafe { is_ascii_wide(text) };
    }
    text.is_ascii()
}

/// Without an early exit, so that the compiler looks at many bytes at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn is_ascii_wide(text: &[u8]) -> bool {
    text.iter().fold(0, |all, byte| all | byte).is_ascii()
}

/// A list of known length that is filled from the front.
///
/// Until it is whole the collector does not know it: other threads run between slices, and
/// `gc.get_objects()` must not show them a list with holes.
struct Records<'py> {
    list: Bound<'py, PyAny>,
    length: usize,
    filled: usize,
}

impl<'py> Records<'py> {
    fn with_len(py: Python<'py>, length: usize) -> PyResult<Self> {
        let size = ffi::Py_ssize_t::try_from(length)?;
        // SAFETY: attached to the interpreter. The list is new and nobody else has seen it, since
        // no Python code ran between the two calls; a list that is not tracked may be dropped.
        let list = unsafe {
            let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(size))?;
            ffi::PyObject_GC_UnTrack(list.as_ptr().cast());
            list
        };
        Ok(Self {
            list,
            length,
            filled: 0,
        })
    }

    fn push(&mut self, record: Bound<'py, PyDict>) {
        assert!(
            self.filled < self.length,
            "a walk shows as many records as it announced"
        );
        // SAFETY: `list` is a list of `length` places that nobody else has; this place is in it
        // and still empty, and it takes over the reference that `record` owned.
        unsafe {
            let place = self.filled as ffi::Py_ssize_t;
            ffi::PyList_SET_ITEM(self.list.as_ptr(), place, record.into_ptr());
        }
        self.filled += 1;
    }

    fn finish(self) -> Bound<'py, PyAny> {
        assert_eq!(
            self.filled, self.length,
            "a walk shows as many records as it announced"
        );
        // SAFETY: every place is filled, and the list is not tracked yet.
        unsafe { ffi::PyObject_GC_Track(self.list.as_ptr().cast()) };
        self.list
    }
}
