//! Matches one pattern against one record, for whoever writes patterns.

use penstock_engine::config::ConfigError;
use penstock_engine::filter::{self, ExplainError, Explanation};
use pyo3::prelude::*;

use crate::errors::{self, Failure};

/// Whether a record passes a pattern, and the reason when it does not.
#[pyfunction]
#[pyo3(signature = (pattern, record, /))]
pub(crate) fn matches(pattern: &str, record: &[u8]) -> PyResult<(bool, Option<String>)> {
    errors::contained(|| match filter::explain(pattern, record) {
        Ok(Explanation::Matched) => Ok((true, None)),
        Ok(Explanation::Dropped(reason)) => Ok((false, Some(reason))),
        Err(ExplainError::Pattern(error)) => {
            let error = ConfigError::new("Pattern", error.message).with_hint(error.hint);
            Err(Failure::from(error))
        }
        Err(error @ ExplainError::Record(_)) => Err(Failure::argument("Record", error.to_string())),
    })
}
