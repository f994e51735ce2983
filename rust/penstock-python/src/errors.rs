//! Makes the exceptions of `penstock.errors`; nothing else in this crate raises anything.
//!
//! Rules: the classes are Python's and looked up when one is raised; every failure has a stable
//! code; a panic becomes an `InternalError` here and goes no further.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_aws::access::AccessError;
use penstock_engine::config::ConfigError;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_runtime::error::{
    DestinationError, QueueError, RuntimeError, SourceError, StoreError, StreamError,
};
use penstock_runtime::moves::MoveError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a call from Python can end with, other than its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// A document, or an argument, that cannot be used.
    #[error("{}", .0.message)]
    Configuration(#[from] ConfigError),
    /// A source or destination that this build cannot serve.
    #[error("{}", .error.message)]
    Unserved {
        code: &'static str,
        error: ConfigError,
    },
    /// What the runtime refuses.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// What the embedded streams refuse.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What the embedded queues refuse.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A source that failed before it was read.
    #[error("{fault}")]
    Source { source_arn: String, fault: Fault },
    /// A destination that failed before it was given anything.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A checkpoint that could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Runtime(error) => error.into(),
            MoveError::Store(error) if error.fault().kind == FaultKind::Invalid => {
                Self::argument("position", error.fault().message.clone())
            }
            MoveError::Store(error) => error.into(),
        }
    }
}

/// Every code that a `Failure` can carry.
pub(crate) const CODES: [&str; 25] = [
    "PS100", "PS105", "PS106", "PS110", "PS111", "PS200", "PS203", "PS204", "PS210", "PS211",
    "PS212", "PS213", "PS300", "PS301", "PS302", "PS303", "PS304", "PS305", "PS400", "PS600",
    "PS601", "PS602", "PS603", "PS604", "PS900",
];

impl Failure {
    /// An argument, or a member of a document, that cannot be used.
    pub(crate) fn argument(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Configuration(ConfigError::new(path, message))
    }

    /// A source that failed before it was read.
    pub(crate) fn source(source_arn: &str, error: SourceError) -> Self {
        Self::Source {
            source_arn: source_arn.to_owned(),
            fault: error.into(),
        }
    }

    /// The stable code, and the class that stands for it.
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Configuration(_) => ("PS100", "ConfigurationError"),
            Self::Unserved { code, .. } => (code, "ConfigurationError"),
            Self::Runtime(error) => (error.code(), runtime_class(error)),
            Self::Stream(error) => (error.code(), stream_class(error)),
            Self::Queue(error) => (error.code(), queue_class(error)),
            Self::Source { fault, .. } => (source_code(fault.kind), "SourceError"),
            Self::Destination(_) => ("PS400", "DestinationError"),
            Self::Store(_) => ("PS300", "CheckpointError"),
            Self::Internal(_) => ("PS900", "InternalError"),
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Configuration(error) => error.hint.as_deref(),
            Self::Runtime(error) => error.hint(),
            Self::Stream(error) => error.hint(),
            Self::Queue(error) => error.hint(),
            _ => None,
        }
    }

    fn retryable(&self) -> bool {
        let fault = match self {
            Self::Source { fault, .. } => fault.clone(),
            Self::Destination(error) => error.fault().clone(),
            Self::Store(error) => error.fault().clone(),
            Self::Stream(error) => error.fault(),
            Self::Queue(error) => error.fault(),
            _ => return false,
        };
        matches!(
            fault.kind,
            FaultKind::Throttled { .. } | FaultKind::Transient | FaultKind::Expired
        )
    }

    fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        keywords.set_item("code", self.kind().0)?;
        keywords.set_item("hint", self.hint())?;
        keywords.set_item("retryable", self.retryable())?;
        match self {
            Self::Configuration(error) | Self::Unserved { error, .. } => {
                keywords.set_item("path", &error.path)?;
            }
            Self::Source { source_arn, .. } => keywords.set_item("source", source_arn)?,
            Self::Runtime(
                RuntimeError::UnknownMapping(mapping)
                | RuntimeError::MappingExists(mapping)
                | RuntimeError::UnknownInvocation { mapping, .. },
            ) => keywords.set_item("mapping", mapping.as_str())?,
            _ => {}
        }
        Ok(keywords)
    }

    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = py.import("penstock.errors")?.getattr(self.kind().1)?;
        class.call((self.to_string(),), Some(&self.keywords(py)?))
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            failure
                .exception(py)
                .map_or_else(|error| error, PyErr::from_value)
        })
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        Self::argument("access", error.to_string())
    }
}

/// Runs what Python asked for; a panic becomes an `InternalError`.
pub(crate) fn contained<T, E>(call: impl FnOnce() -> Result<T, E>) -> PyResult<T>
where
    PyErr: From<E>,
{
    // What a panic leaves half done stays behind locks that forgive it, or belongs to the one
    // mapping that failed.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(PyErr::from),
        Err(panic) => Err(Failure::Internal(panic_message(&*panic)).into()),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a bug of penstock's own: {}", text.unwrap_or("no message"))
}

fn runtime_class(error: &RuntimeError) -> &'static str {
    match error {
        RuntimeError::Closed => "RuntimeClosed",
        RuntimeError::Forked { .. } => "ForkedProcess",
        RuntimeError::UnknownMapping(_) => "MappingNotFound",
        RuntimeError::MappingExists(_) => "MappingConflict",
        RuntimeError::UnknownPool(_) | RuntimeError::ClockNotManual => "ConfigurationError",
        RuntimeError::UnknownInvocation { .. } => "InternalError",
        RuntimeError::StateInUse { .. }
        | RuntimeError::StateCorrupt { .. }
        | RuntimeError::StateTooNew { .. }
        | RuntimeError::StateReadOnly { .. }
        | RuntimeError::StateUnfit { .. }
        | RuntimeError::Io { .. } => "CheckpointError",
    }
}

fn stream_class(error: &StreamError) -> &'static str {
    match error {
        StreamError::InvalidName(_) | StreamError::Invalid(_) => "ConfigurationError",
        StreamError::Store(_) => "CheckpointError",
        StreamError::Exists(_)
        | StreamError::NotFound(_)
        | StreamError::ShardNotFound { .. }
        | StreamError::ShardClosed { .. }
        | StreamError::Full { .. } => "SourceError",
    }
}

fn queue_class(error: &QueueError) -> &'static str {
    match error {
        QueueError::InvalidName(_) | QueueError::Invalid(_) | QueueError::StaleReceipt(_) => {
            "ConfigurationError"
        }
        QueueError::Store(_) => "CheckpointError",
        QueueError::Exists(_) | QueueError::NotFound(_) | QueueError::Full { .. } => "SourceError",
    }
}

fn source_code(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::NotFound => "PS203",
        FaultKind::Denied => "PS204",
        _ => "PS200",
    }
}
