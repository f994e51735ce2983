//! Checks documents: a mapping's, which comes back normalised, and the runtime's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use penstock_engine::config::document;
use penstock_runtime::runtime::RuntimeConfig;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tracing::Level;

use crate::documents::Document;
use crate::errors::{self, Failure};

/// Checks a mapping's document and gives it back with every default written out.
#[pyfunction]
#[pyo3(signature = (document, /))]
pub(crate) fn normalize<'py>(py: Python<'py>, document: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let normal = errors::contained(|| document::normalize(document).map_err(Failure::from))?;
    Ok(PyBytes::new(py, &normal))
}

/// Every member that a mapping's document may have, as a path.
#[pyfunction]
pub(crate) fn config_fields() -> Vec<&'static str> {
    document::fields().iter().map(|field| field.path).collect()
}

/// What a runtime is started with.
pub(crate) fn runtime_config(text: &[u8]) -> Result<RuntimeConfig, Failure> {
    let mut document = Document::parse(text)?;
    let mut config = RuntimeConfig {
        state_dir: document.take::<PathBuf>("state_dir")?,
        manual_clock: manual_clock(&mut document)?,
        seed: document.take("seed")?,
        pools: document
            .take::<BTreeMap<String, u32>>("workers")?
            .unwrap_or_default(),
        trace_dir: document.take::<PathBuf>("trace_dir")?,
        ..RuntimeConfig::default()
    };
    if let Some(bytes) = document.take("buffered_bytes_max")? {
        config.buffered_bytes_max = bytes;
    }
    if let Some(lines) = document.take("log_capacity")? {
        config.log_capacity = lines;
    }
    if let Some(level) = log_level(&mut document)? {
        config.log_level = level;
    }
    if let Some(seconds) = document.take("stream_retention_s")? {
        config.stream_retention = Duration::from_secs(seconds);
    }
    if let Some(bytes) = document.take("stream_bytes_max")? {
        config.stream_bytes_max = bytes;
    }
    if let Some(bytes) = document.take("queue_bytes_max")? {
        config.queue_bytes_max = bytes;
    }
    document.finish()?;
    Ok(config)
}

fn manual_clock(document: &mut Document) -> Result<bool, Failure> {
    match document.take::<String>("clock")?.as_deref() {
        None | Some("system") => Ok(false),
        Some("manual") => Ok(true),
        Some(other) => Err(Failure::argument(
            "clock",
            format!("{other:?} is neither system nor manual"),
        )),
    }
}

fn log_level(document: &mut Document) -> Result<Option<Level>, Failure> {
    let Some(word) = document.take::<String>("log_level")? else {
        return Ok(None);
    };
    match word.as_str() {
        "trace" => Ok(Some(Level::TRACE)),
        "debug" => Ok(Some(Level::DEBUG)),
        "info" => Ok(Some(Level::INFO)),
        "warning" | "warn" => Ok(Some(Level::WARN)),
        "error" => Ok(Some(Level::ERROR)),
        other => Err(Failure::argument(
            "log_level",
            format!("{other:?} is none of trace, debug, info, warning and error"),
        )),
    }
}
