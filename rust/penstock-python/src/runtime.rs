//! Shows the engine's runtime to Python: owned, closable, refused in forked processes.
//!
//! Rules: every call compares the process id; after `close` only notices and logs can be read; a
//! wait is detached from the interpreter and bounded by its caller; no lock of ours is held across
//! an attach or detach; documents are JSON.

use std::collections::BTreeMap;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use penstock_engine::ids::{MappingId, SlotId};
use penstock_engine::io::NoticeLevel;
use penstock_runtime::error::RuntimeError;
use penstock_runtime::snapshot::RuntimeSnapshot;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Serialize;

use crate::documents::write;
use crate::errors::{self, Failure};
use crate::invocation::Invocation;
use crate::registry::Registry;
use crate::response::{self, Ending};
use crate::running::Running;
use crate::{config, errands, moves, queues, streams};

/// How long a runtime that is dropped without `close` may take to stop.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait that can be asked for.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

type Notice = (String, &'static str, &'static str, Option<String>, String);
type Log = (f64, &'static str, String, String, BTreeMap<String, String>);

/// Owns the I/O threads, the state directory and the mappings of one engine.
#[pyclass(frozen, module = "penstock._penstock")]
pub(crate) struct Runtime {
    core: Arc<Core>,
    process: u32,
}

struct Core {
    runtime: penstock_runtime::runtime::Runtime,
    registry: Registry,
    running: Running,
    /// How long workers waited for the interpreter after they had their invocation.
    attach_wait_nanos: AtomicU64,
}

#[derive(Serialize)]
struct Snapshot {
    #[serde(flatten)]
    runtime: RuntimeSnapshot,
    attach_wait_seconds: f64,
}

#[pymethods]
impl Runtime {
    #[new]
    #[pyo3(signature = (document, /))]
    fn new(py: Python<'_>, document: &[u8]) -> PyResult<Self> {
        let runtime = errors::contained(|| {
            let config = config::runtime_config(document)?;
            py.detach(|| penstock_runtime::runtime::Runtime::start(config))
                .map_err(Failure::from)
        })?;
        let core = Core {
            registry: Registry::new(&runtime),
            runtime,
            running: Running::default(),
            attach_wait_nanos: AtomicU64::new(0),
        };
        Ok(Self {
            core: Arc::new(core),
            process: process::id(),
        })
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> PyResult<bool> {
        self.call_even_closed(|core| Ok(core.runtime.closed()))
    }

    /// Starts the mapping that a document describes; returns its id at once.
    #[pyo3(signature = (document, /))]
    fn add_mapping(&self, py: Python<'_>, document: &[u8]) -> PyResult<String> {
        self.wait(py, |core| {
            Ok(core.registry.add(&core.runtime, document)?.to_string())
        })
    }

    /// Gives a running mapping other options; what it reads cannot be changed.
    #[pyo3(signature = (mapping, document, /))]
    fn update_mapping(&self, py: Python<'_>, mapping: &str, document: &[u8]) -> PyResult<()> {
        let id = MappingId::new(mapping);
        self.wait(py, |core| {
            core.registry.update(&core.runtime, &id, document)
        })
    }

    /// Ends a mapping when it has finished what it does; its checkpoints stay.
    #[pyo3(signature = (mapping, /))]
    fn remove_mapping(&self, py: Python<'_>, mapping: &str) -> PyResult<()> {
        let id = MappingId::new(mapping);
        self.wait(py, |core| core.registry.remove(&core.runtime, &id))
    }

    /// Stops a mapping from starting anything new.
    #[pyo3(signature = (mapping, /))]
    fn pause(&self, mapping: &str) -> PyResult<()> {
        self.call(|core| Ok(core.runtime.pause(&MappingId::new(mapping))?))
    }

    /// Lets a paused mapping go on.
    #[pyo3(signature = (mapping, /))]
    fn resume(&self, mapping: &str) -> PyResult<()> {
        self.call(|core| Ok(core.runtime.resume(&MappingId::new(mapping))?))
    }

    /// Says which slots of a pool keep what handlers remember, and with it their lanes.
    #[pyo3(signature = (pool, slots, /))]
    fn keep_lanes(&self, pool: &str, slots: Vec<u32>) -> PyResult<()> {
        let slots = slots.into_iter().map(SlotId).collect();
        self.call(|core| Ok(core.runtime.keep_lanes(pool, slots)?))
    }

    /// Waits for an invocation, detached from the interpreter, at most `timeout` seconds.
    #[pyo3(signature = (pool, slot, timeout, /))]
    fn next_invocation(
        &self,
        py: Python<'_>,
        pool: &str,
        slot: u32,
        timeout: f64,
    ) -> PyResult<Option<Invocation>> {
        self.call(|core| {
            let timeout = seconds("timeout", timeout)?;
            let (delivery, arrived) = py.detach(|| {
                let delivery = core.runtime.next_invocation(pool, SlotId(slot), timeout);
                (delivery, Instant::now())
            });
            let Some(delivery) = delivery?.map(Arc::new) else {
                return Ok(None);
            };
            let waited = u64::try_from(arrived.elapsed().as_nanos()).unwrap_or(u64::MAX);
            core.attach_wait_nanos.fetch_add(waited, Ordering::Relaxed);
            core.running.insert(&delivery);
            Ok(Some(Invocation::new(
                delivery,
                Arc::clone(core.runtime.clock()),
            )))
        })
    }

    /// Reports how an invocation ended; never blocks.
    #[pyo3(signature = (mapping, invocation, outcome, answer=None, kind=None, message=None, /))]
    fn complete(
        &self,
        mapping: &str,
        invocation: u64,
        outcome: &str,
        answer: Option<&[u8]>,
        kind: Option<&str>,
        message: Option<&str>,
    ) -> PyResult<()> {
        let ending = Ending {
            word: outcome,
            answer,
            kind,
            message,
        };
        self.call(|core| {
            let delivery = core.running.find(mapping, invocation)?;
            let outcome = response::outcome(&ending, &delivery)?;
            core.running.remove(&delivery)?;
            Ok(core
                .runtime
                .complete(&delivery.mapping, delivery.invocation.id, outcome)?)
        })
    }

    /// Gives a picture of everything, as JSON.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.wait(py, |core| {
            let nanos = core.attach_wait_nanos.load(Ordering::Relaxed);
            let snapshot = Snapshot {
                runtime: core.runtime.snapshot()?,
                attach_wait_seconds: Duration::from_nanos(nanos).as_secs_f64(),
            };
            write(&snapshot)
        })?;
        Ok(PyBytes::new(py, &text))
    }

    /// Takes notices, the oldest first; also after `close`.
    #[pyo3(signature = (limit, /))]
    fn drain_notices(&self, limit: usize) -> PyResult<Vec<Notice>> {
        self.call_even_closed(|core| {
            let notices = core.runtime.drain_notices(limit).into_iter();
            Ok(notices
                .map(|(mapping, notice)| {
                    let level = level_word(notice.level);
                    let shard = notice.shard.map(|shard| shard.as_str().to_owned());
                    (
                        mapping.as_str().to_owned(),
                        level,
                        notice.code,
                        shard,
                        notice.message,
                    )
                })
                .collect())
        })
    }

    /// Takes log lines, the oldest first; also after `close`.
    #[pyo3(signature = (limit, /))]
    fn drain_logs(&self, limit: usize) -> PyResult<Vec<Log>> {
        self.call_even_closed(|core| {
            let lines = core.runtime.drain_logs(limit).into_iter();
            Ok(lines
                .map(|line| {
                    let fields = line.fields.into_iter().collect();
                    (
                        line.unix_s,
                        log_word(line.level),
                        line.target,
                        line.message,
                        fields,
                    )
                })
                .collect())
        })
    }

    /// Waits for something to do that is not an invocation, at most `timeout` seconds; of one of
    /// these kinds, when some are given.
    #[pyo3(signature = (timeout, kinds=Vec::new(), /))]
    fn next_errand<'py>(
        &self,
        py: Python<'py>,
        timeout: f64,
        kinds: Vec<String>,
    ) -> PyResult<Option<(u64, String, Bound<'py, PyBytes>)>> {
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let errand = self.wait(py, |core| {
            let errands = core.runtime.errands();
            Ok(errands.next(&kinds, seconds("timeout", timeout)?)?)
        })?;
        Ok(errand.map(|errand| (errand.id, errand.kind, PyBytes::new(py, &errand.document))))
    }

    /// Reports what came of an errand.
    #[pyo3(signature = (errand, outcome, detail=None, /))]
    fn finish_errand(&self, errand: u64, outcome: &str, detail: Option<&[u8]>) -> PyResult<()> {
        self.call(|core| {
            core.runtime
                .errands()
                .finish(errand, errands::outcome(outcome, detail)?);
            Ok(())
        })
    }

    /// Takes the region, endpoint and credentials of a source.
    #[pyo3(signature = (document, /))]
    fn push_access(&self, document: &[u8]) -> PyResult<()> {
        self.call(|core| core.registry.push_access(document))
    }

    /// Carries out a command of the embedded streams.
    #[pyo3(signature = (document, /))]
    fn streams<'py>(&self, py: Python<'py>, document: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.wait(py, |core| streams::run(&core.runtime, document))?;
        Ok(PyBytes::new(py, &text))
    }

    /// Carries out a command of the embedded queues.
    #[pyo3(signature = (document, /))]
    fn queues<'py>(&self, py: Python<'py>, document: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.wait(py, |core| queues::run(&core.runtime, document))?;
        Ok(PyBytes::new(py, &text))
    }

    /// Gives what is saved for a mapping, as JSON rows.
    #[pyo3(signature = (mapping, /))]
    fn checkpoints<'py>(&self, py: Python<'py>, mapping: &str) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.wait(py, |core| {
            write(&core.runtime.state().checkpoints(&MappingId::new(mapping))?)
        })?;
        Ok(PyBytes::new(py, &text))
    }

    /// Forgets what is saved for a mapping that does not run: one of its id would begin anew.
    #[pyo3(signature = (mapping, /))]
    fn forget_checkpoints(&self, py: Python<'_>, mapping: &str) -> PyResult<()> {
        let id = MappingId::new(mapping);
        self.wait(py, |core| {
            if core.runtime.runs(&id) {
                return Err(Failure::argument("mapping", format!("{id} still runs")));
            }
            Ok(core.runtime.state().forget_checkpoints(&id)?)
        })
    }

    /// Carries out an operator's move of checkpoints.
    #[pyo3(signature = (document, /))]
    fn move_checkpoints<'py>(
        &self,
        py: Python<'py>,
        document: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.wait(py, |core| moves::run(&core.runtime, document))?;
        Ok(PyBytes::new(py, &text))
    }

    /// Finishes what runs and saves; tells whether all was done before the time was up.
    #[pyo3(signature = (timeout, /))]
    fn drain(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        self.wait(py, |core| {
            Ok(core.runtime.drain(seconds("timeout", timeout)?)?)
        })
    }

    /// Moves a manual clock.
    #[pyo3(signature = (milliseconds, /))]
    fn advance(&self, py: Python<'_>, milliseconds: u64) -> PyResult<()> {
        self.wait(py, |core| {
            Ok(core.runtime.advance(Duration::from_millis(milliseconds))?)
        })
    }

    /// Stops everything, in about `timeout` seconds at most.
    #[pyo3(signature = (timeout, /))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        self.call_even_closed(|core| {
            let timeout = seconds("timeout", timeout)?;
            py.detach(|| {
                core.runtime.close(timeout);
                core.running.clear();
            });
            Ok(())
        })
    }
}

impl Runtime {
    /// Does what Python asked for, in the process that started the runtime.
    fn call_even_closed<T>(&self, call: impl FnOnce(&Core) -> Result<T, Failure>) -> PyResult<T> {
        errors::contained(|| {
            let child = process::id();
            if child != self.process {
                return Err(RuntimeError::Forked {
                    parent: self.process,
                    child,
                }
                .into());
            }
            call(&self.core)
        })
    }

    /// The same, unless the runtime was closed.
    fn call<T>(&self, call: impl FnOnce(&Core) -> Result<T, Failure>) -> PyResult<T> {
        self.call_even_closed(|core| {
            if core.runtime.closed() {
                return Err(RuntimeError::Closed.into());
            }
            call(core)
        })
    }

    /// The same, detached from the interpreter.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Core) -> Result<T, Failure> + Send,
    ) -> PyResult<T> {
        self.call(|core| py.detach(|| call(core)))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if process::id() != self.process {
            // A forked child has none of the threads, and the files are its parent's: nothing may
            // be stopped or closed there, so the memory is left to the process's end.
            std::mem::forget(Arc::clone(&self.core));
            return;
        }
        Python::attach(|py| py.detach(|| self.core.runtime.close(DROP_PATIENCE)));
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|span| *span <= WAIT_MAX)
        .ok_or_else(|| Failure::argument(name, format!("{value} is not 0 to 86400 seconds")))
}

fn level_word(level: NoticeLevel) -> &'static str {
    match level {
        NoticeLevel::Debug => "debug",
        NoticeLevel::Info => "info",
        NoticeLevel::Warn => "warn",
        NoticeLevel::Error => "error",
    }
}

fn log_word(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::TRACE => "trace",
        tracing::Level::DEBUG => "debug",
        tracing::Level::INFO => "info",
        tracing::Level::WARN => "warn",
        tracing::Level::ERROR => "error",
    }
}
